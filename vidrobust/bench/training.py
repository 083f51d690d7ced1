"""What commands that train share: a state that survives `kill -9`, and checked settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vidrobust.bench.params import Parameter
from vidrobust.bench.plan import Plan, config_digest
from vidrobust.bench.values import check_keys, convert
from vidrobust.errors import ConfigError


class TrainingState:
    """What an unfinished training has learnt so far: a file `<out>.progress` beside the one it is
    to write.

    Args:
        out: The file that the training writes when it is finished.
        plan: What it trains on; a state made with another plan is refused.
        settings: What else must be the same in a training that goes on, such as epochs.
    """

    def __init__(self, out: Path, plan: Plan, settings: Mapping[str, object]) -> None:
        self.out = out
        self.path = out.with_name(out.name + ".progress")
        shown = sorted((key, str(value)) for key, value in settings.items())
        self._digest = f"{config_digest(plan)} {plan.run.limit} {shown}"

    def check(self, *, resume: bool) -> None:
        """Refuse to write over what was learnt before.

        Raises:
            ConfigError: If `out` exists, or a state that nobody asked to resume.
        """
        if self.out.exists():
            raise ConfigError(
                f"{self.out} exists", hint="its training is finished; choose another --out"
            )
        if self.path.exists() and not resume:
            raise ConfigError(
                f"{self.path} exists: a training was interrupted",
                hint="go on with --resume, or choose another --out",
            )

    def keep(self, content: Mapping[str, object]) -> None:
        """Write tensors, numbers, strings, and lists and dicts of them: all or nothing."""
        import torch

        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(self.path.name + ".part")
        torch.save({"digest": self._digest, **content}, unfinished)
        unfinished.replace(self.path)

    def restore(self) -> dict[str, Any] | None:
        """What was kept last; None where nothing was.

        Raises:
            ConfigError: If it was made with other settings.
        """
        import torch

        if not self.path.exists():
            return None
        kept: dict[str, Any] = torch.load(self.path, weights_only=True)
        if kept.pop("digest") != self._digest:
            raise ConfigError(
                f"{self.path} was made with other settings",
                hint="give the same settings, or choose another --out",
            )
        return kept

    def drop(self) -> None:
        """The training is finished."""
        self.path.unlink(missing_ok=True)


def train_keywords(
    options: Mapping[str, object], known: Mapping[str, Parameter]
) -> dict[str, object]:
    """The settings of a training in the types that they are declared with.

    Args:
        options: As `--set train.KEY=VALUE` and the config give them.
        known: The parameters there are, by name.

    Raises:
        ConfigError: If one is unknown, has the wrong type or is out of range.
    """
    check_keys(options, known, "train")
    return {
        key: convert(
            value, known[key].annotation, path=f"train.{key}", expected=known[key].type_text
        )
        for key, value in options.items()
    }
