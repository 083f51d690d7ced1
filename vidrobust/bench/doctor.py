"""Is this installation healthy? Versions, device, OpenCV, extras, plugins and disk, a finding each.

`vidrobust.bench.doctor_model` examines a model. Everything heavy is imported inside functions.
"""

from __future__ import annotations

import platform
import re
import shutil
import tempfile
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict

from vidrobust.plugin.manager import PluginHost

State: TypeAlias = Literal["ok", "info", "warn", "fail"]

_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+).*?(?:extra == ['\"](?P<extra>\w+)['\"])?")
_LOW_DISK = 2**30


class Finding(TypedDict):
    """One row of `vidrobust doctor`."""

    name: str
    status: State
    """`info` is neither good nor bad: an extra that is not installed, a speed."""
    detail: str
    hint: str
    """What to try; empty where nothing needs to be done."""


def finding(name: str, status: State, detail: str, hint: str = "") -> Finding:
    """A `Finding` in one line."""
    return Finding(name=name, status=status, detail=detail, hint=hint)


def examine_installation(host: PluginHost, out: Path) -> list[Finding]:
    """Everything that can be said without a model.

    Args:
        host: The plugins.
        out: Where runs are written; its disk is looked at.
    """
    requirements = _requirements()
    return [
        _python(),
        _required(requirements.pop("", [])),
        _device(),
        *_opencv(),
        _codecs(),
        _plugins(host),
        _disk("disk", out),
        _disk("temporary folder", Path(tempfile.gettempdir())),
        *(_extra(name, packages) for name, packages in sorted(requirements.items())),
    ]


def installed(package: str) -> str | None:
    """Version of a distribution, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _requirements() -> dict[str, list[str]]:
    """Names of the distributions vidrobust asks for, by extra; those of `""` are required."""
    found: dict[str, list[str]] = {}
    try:
        lines = metadata.requires("vidrobust") or []
    except metadata.PackageNotFoundError:
        lines = []
    for line in lines:
        match = _REQUIREMENT.fullmatch(line)
        if match:
            found.setdefault(match["extra"] or "", []).append(match["name"])
    found.pop("all", None)
    return found


def _python() -> Finding:
    own = installed("vidrobust")
    detail = f"Python {platform.python_version()}, vidrobust {own or '?'}, {platform.platform()}"
    if own is None:
        return finding("python", "warn", detail, "install vidrobust itself: pip install .")
    return finding("python", "ok", detail)


def _required(packages: Iterable[str]) -> Finding:
    versions = {package: installed(package) for package in packages}
    missing = [package for package, version in versions.items() if version is None]
    if missing:
        hint = f"pip install {' '.join(missing)}"
        return finding("packages", "fail", f"missing: {', '.join(missing)}", hint)
    shown = [f"{package} {version}" for package, version in versions.items()]
    return finding("packages", "ok", ", ".join(shown) or "not known: vidrobust is not installed")


def _extra(name: str, packages: Iterable[str]) -> Finding:
    missing = [package for package in packages if installed(package) is None]
    if missing:
        hint = f"pip install 'vidrobust[{name}]'"
        return finding(f"extra {name}", "info", f"not installed: {', '.join(missing)}", hint)
    versions = [f"{package} {installed(package)}" for package in packages]
    return finding(f"extra {name}", "ok", ", ".join(versions))


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return finding("device", "ok", f"{', '.join(names)}; torch {torch.__version__}")
    return finding("device", "ok", f"CPU, {torch.get_num_threads()} threads; no GPU for torch")


def _opencv() -> list[Finding]:
    owners = sorted(set(metadata.packages_distributions().get("cv2", [])))
    try:
        import cv2

        missing = missing_opencv()
    except ImportError as error:
        hint = "pip install --force-reinstall opencv-contrib-python"
        return [finding("opencv", "fail", f"cannot be imported: {error}", hint)]
    return [judge_opencv(cv2.__version__, owners, missing)]


def missing_opencv() -> list[str]:
    """Modules of opencv-contrib that the installed `cv2` lacks, empty ones included: opencv-python
    overwrites the library and leaves the folders of the modules, which import as if all was well.

    Raises:
        ImportError: If there is no `cv2`, or it cannot be loaded.
    """
    import cv2

    needed = {"ximgproc": "createEdgeBoxes", "saliency": "StaticSaliencyFineGrained_create"}
    return [name for name, entry in needed.items() if not hasattr(getattr(cv2, name, None), entry)]


def judge_opencv(version: str, owners: list[str], missing: list[str]) -> Finding:
    """What to think of an OpenCV build.

    Args:
        version: Of the `cv2` module.
        owners: Distributions that installed a `cv2`; they overwrite each other's files.
        missing: Modules of opencv-contrib that it lacks.
    """
    detail = f"cv2 {version} from {' and '.join(owners) or 'an unknown distribution'}"
    reinstall = "pip install --force-reinstall --no-deps opencv-contrib-python"
    clean = f"pip uninstall -y {' '.join(owners)} && {reinstall}" if owners else reinstall
    if missing:
        lacking = " and ".join(f"cv2.{name}" for name in missing)
        return finding("opencv", "fail", f"{detail}; it lacks {lacking}", clean)
    if len(owners) > 1:
        return finding("opencv", "warn", f"{detail}, which overwrite each other's files", clean)
    return finding("opencv", "ok", f"{detail}, with ximgproc and saliency")


def _codecs() -> Finding:
    import av

    missing = [name for name in ("libx264", "ffv1") if name not in av.codecs_available]
    if missing:
        hint = "pip install --force-reinstall --only-binary av av"
        return finding("video encoders", "fail", f"PyAV lacks {' and '.join(missing)}", hint)
    return finding("video encoders", "ok", f"PyAV {av.__version__} with libx264 and ffv1")


def _plugins(host: PluginHost) -> Finding:
    broken = [f"{p.name} ({p.error})" for p in host.plugins if p.status == "broken"]
    working = [p.name for p in host.plugins if p.status == "ok"]
    if broken:
        return finding("plugins", "warn", f"broken: {'; '.join(broken)}", "see vidrobust plugins")
    return finding("plugins", "ok", f"{len(working)} loaded: {', '.join(working)}")


def _disk(name: str, folder: Path) -> Finding:
    """Space and permission where `folder` is, or would be made."""
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"vidrobust")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        detail = f"{folder} cannot be written: {error.strerror or error}"
        return finding(name, "fail", detail, "free some space, or choose another folder")
    detail = f"{folder} has {free / 2**30:.1f} GiB free"
    if free < _LOW_DISK:
        return finding(name, "warn", detail, "free some space: each stored clip takes a few MB")
    return finding(name, "ok", detail)
