"""MMAction2, imported: complete and quiet, or an error that says what is missing.

The wheel of MMAction2 1.2.0 lacks the package `mmaction.models.localizers.drn`, which its own
`__init__` imports, so that `import mmaction.models` fails for everyone. Nothing here needs DRN (it
localises by text queries). Where the package is missing, and only there, an empty one takes its
place before the import.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType

from vidrobust.errors import ConfigError

MISSING = "mmaction.models.localizers.drn"
INSTALL = "pip install 'vidrobust[mmaction2]'"


def import_mmaction() -> Path:
    """Import MMAction2 with everything it registers; gives the folder of the package.

    Calling it again costs nothing.

    Raises:
        ConfigError: If MMAction2 or something it needs is not installed, or does not import.
    """
    spec = importlib.util.find_spec("mmaction")
    if spec is None or spec.origin is None:
        raise ConfigError("model mmaction2: MMAction2 is not installed", hint=INSTALL)
    folder = Path(spec.origin).parent
    _stand_in_for_drn(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mmcv-lite tells of operators that nothing here needs
            for name in ("mmaction.apis", "mmaction.datasets", "mmaction.models"):
                importlib.import_module(name)
    except Exception as error:  # guard: foreign code may fail in any way
        raise ConfigError(
            f"model mmaction2: MMAction2 does not import: {type(error).__name__}: {error}",
            hint=f"{INSTALL} installs what it needs; mmcv has to be 2.1",
        ) from error
    return folder


def _stand_in_for_drn(folder: Path) -> None:
    """Put an empty `drn` where the installed MMAction2 has none."""
    home = folder / "models" / "localizers"
    if MISSING in sys.modules or not home.is_dir() or (home / "drn").exists():
        return
    package, module = ModuleType(MISSING), ModuleType(f"{MISSING}.drn")
    package.__path__ = []
    module.DRN = type("DRN", (), {})  # type: ignore[attr-defined]
    sys.modules[MISSING] = package
    sys.modules[module.__name__] = module
