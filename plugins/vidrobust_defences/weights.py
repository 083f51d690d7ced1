"""Weights of trained defences: safetensors with a card that says what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor, nn

from vidrobust.errors import ConfigError
from vidrobust.trained import read_trained, write_trained

SHIPPED = Path(__file__).parent / "weights"
_CARD = "vidrobust.defence"
_HINT = "train them: vidrobust train-defence --help"


@dataclass(frozen=True)
class Card:
    """What is known of the weights of a defended network.

    Args:
        kind: The defence, `pgd-at` or `oud`.
        settings: Keywords of the trainer.
        block: For `oud`: `stage`, `channels`, `width`, `frames` and `rectify` of the block.
        parameters: Numbers that the defended network learns.
        videos: Training videos.
        epochs: Passes over them.
        seed: Of the training.
        accuracy: Share of the last epoch's adversarial clips that were classified correctly before
            the step they were made for.
        config: The tables `model`, `source` and, where the training began behind one, `defence`.
        network: Class of the network; shapes alone do not tell a TSM from a TSN.
        classes: Its classes, in order.
    """

    kind: str
    settings: Mapping[str, object] = field(default_factory=dict)
    block: Mapping[str, object] = field(default_factory=dict)
    parameters: int = 0
    videos: int = 0
    epochs: int = 0
    seed: int = 0
    accuracy: float = 0.0
    config: Mapping[str, object] = field(default_factory=dict)
    network: str = ""
    classes: Sequence[str] = ()

    def check(self, module: nn.Module, classes: Sequence[str], path: Path) -> None:
        """Refuse a victim that these weights were not trained for.

        Raises:
            ConfigError: If network or classes differ from those that the card names.
        """
        for what, known, found in (
            ("network", self.network, type(module).__qualname__),
            ("classes", list(self.classes), list(classes)),
        ):
            if known and known != found:
                raise ConfigError(
                    f"weights: {path} were trained for {what} {known}, not {found}",
                    hint="defend the model they were trained on; the file's card names it",
                )


def save(path: Path, module: nn.Module, card: Card, *, half: bool) -> None:
    """Write weights and card, whole or not at all.

    Args:
        path: The file.
        module: The defended network.
        card: What to say of it.
        half: Store matrices and kernels in half precision.
    """
    state = {
        name: value.half() if half and value.is_floating_point() and value.ndim > 1 else value
        for name, value in module.state_dict().items()
    }
    write_trained(path, state, card, mark=_CARD)


def find(weights: str, kind: str) -> Path:
    """The file of `weights`: a path, or the name of weights that ship with this package.

    Raises:
        ConfigError: If there is neither.
    """
    shipped = SHIPPED / f"{kind}-{weights}.safetensors"
    for path in (Path(weights), shipped):
        if path.is_file():
            return path
    names = [p.stem.removeprefix(f"{kind}-") for p in sorted(SHIPPED.glob(f"{kind}-*.safetensors"))]
    raise ConfigError(
        f"weights: there is no file {weights}, and none of that name ships for {kind!r}",
        hint=f"{'there ship ' + ', '.join(names) if names else 'none ship'}; {_HINT}",
    )


def read(path: Path, kind: str) -> tuple[dict[str, Tensor], Card]:
    """Weights in single precision, and their card.

    Raises:
        ConfigError: If the file holds no weights of this defence.
    """
    state, card = read_trained(
        path, Card, mark=_CARD, key="weights", noun="weights of a defence", hint=_HINT
    )
    if card.kind != kind:
        raise ConfigError(
            f"weights: {path} are those of defence {card.kind!r}, expected {kind!r}", hint=_HINT
        )
    return {name: v.float() if v.is_floating_point() else v for name, v in state.items()}, card


def load_into(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> nn.Module:
    """The module with these weights, in eval mode, without gradients; changed in place.

    Raises:
        ConfigError: If they are of another network.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise ConfigError(
            f"weights: {path} are of another network: {first}",
            hint="defend the model they were trained on; the file's card names it",
        ) from None
    return module.eval().requires_grad_(False)
