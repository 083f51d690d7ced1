"""Faults of preprocessing and labels, found by undoing them: a clip is changed as a wrong setting
would have to be made up for, and a model that then does clearly better has that setting wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from vidrobust.bench.doctor import Finding, finding
from vidrobust.errors import ModelError
from vidrobust.protocols import Classifier

GAIN = 0.1
"""A rise of the true class's mean score beyond this makes a changed clip the better one."""
PROBE = 1e-3
"""Largest change of a pixel by the noise that stands for an estimator's probe: what published
attacks choose, and less than half a level of 8 bit.
"""
VISIBLE = 0.02
"""Channels that differ by less are those of a grey clip, stored with loss."""
NOTHING = 1e-4
"""Logarithms of scores that move by less do not move: it is rounding."""

FAINT = 1e-9
"""A movement of scores that estimators cannot follow: float32 answers have hardly more digits."""

_RANGES: Mapping[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "divided by 255": (lambda x: x / 255, "'0-1'; it is scaled twice"),
    "times 255": (lambda x: x * 255, "'0-255'"),
    "moved to [-1, 1]": (lambda x: 2 * x - 1, "'-1-1'"),
    "moved to [0.5, 1]": (lambda x: (x + 1) / 2, "'0-1', not '-1-1'"),
}
_AXES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "channels before frames": lambda x: x.transpose(1, 2).reshape(x.shape),
    "frames before channels": lambda x: _viewed(x, (0, 2, 1, 3, 4)),
    "channels last": lambda x: x.permute(0, 1, 3, 4, 2).reshape(x.shape),
    "channels first": lambda x: _viewed(x, (0, 1, 3, 4, 2)),
    "width before height": lambda x: x.transpose(3, 4).reshape(x.shape),
}


def check_labels(classes: Sequence[str], labels: Sequence[int | str | None]) -> Finding:
    """Whether the source's labels are classes of the model."""
    known = [label for label in labels if label is not None]
    if not known:
        return finding("labels", "info", "unknown: these clips have no labels")
    strange = [x for x in known if x not in classes and not _is_index(x, len(classes))]
    if not strange:
        return finding("labels", "ok", f"{len(known)} labels are classes of the model")
    detail = f"{len(strange)} of {len(known)} labels are no class of the model: {strange[0]!r}"
    alike = {_plain(name): name for name in classes}
    near = alike.get(_plain(str(strange[0])))
    if near is not None:
        return finding("labels", "fail", detail, f"the model writes {near!r}: rename one of them")
    shown = ", ".join(classes[:4]) + (", ..." if len(classes) > 4 else "")
    return finding("labels", "fail", detail, f"its classes are {shown}; check model.classes")


def check_class_order(scores: Tensor, labels: Sequence[int | None]) -> Finding:
    """Whether wrong answers `(k, n)` are the same wrong class for all clips of a class."""
    answers: dict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        if label is not None:
            answers[label].append(int(scores[row].argmax()))
    moved = {
        label: found[0]
        for label, found in answers.items()
        if len(found) > 1 and set(found) == {found[0]} and found[0] != label
    }
    if len(moved) >= 2 and len(set(moved.values())) == len(moved) > len(answers) / 3:
        pairs = ", ".join(f"{label} as {answer}" for label, answer in sorted(moved.items())[:4])
        hint = "the class list is in another order than the scores: check model.classes"
        return finding("class order", "warn", f"whole classes are exchanged: {pairs}", hint)
    return finding("class order", "ok", "no two classes are exchanged")


def check_model_range(
    classifier: Classifier, clips: Tensor, scores: Tensor, labels: Sequence[int | None]
) -> Finding:
    """Whether the model sees the clips `(k, t, c, h, w)`, and none better in another range."""
    found = _better(classifier, clips, scores, labels, {k: f for k, (f, _) in _RANGES.items()})
    if found is not None and found[1] > GAIN:
        detail = f"clips {found[0]}: the score of the true class changes by {found[1]:+.3f}"
        return finding("model range", "warn", detail, f"try model.range = {_RANGES[found[0]][1]}")
    moved = _distance(scores, classifier(torch.zeros_like(clips[:1])))
    if moved < 0.02:
        detail = f"clips and a black clip get the same scores, to {moved:.2g}"
        return finding("model range", "warn", detail, "the model wants '0-255'? see model.range")
    if found is None:
        return finding("model range", "info", "unknown without labels; clips do change the scores")
    detail = f"at best (clips {found[0]}) the score of the true class changes by {found[1]:+.3f}"
    return finding("model range", "ok", detail)


def check_axes(
    classifier: Classifier, clips: Tensor, scores: Tensor, labels: Sequence[int | None]
) -> Finding:
    """Whether the model does better when axes of the clips `(k, t, c, h, w)` are mixed up."""
    found = _better(classifier, clips, scores, labels, _AXES)
    if found is None:
        return finding("layout", "info", "unknown: these clips have no labels")
    name, gain = found
    detail = f"at best ({name}) the score of the true class changes by {gain:+.3f}"
    if gain > GAIN:
        hint = f"its axes are mixed up: it reads {name}; check model.layout and its reshapes"
        return finding("layout", "warn", detail, hint)
    return finding("layout", "ok", detail)


def check_order(classifier: Classifier, clips: Tensor, scores: Tensor) -> Finding:
    """Whether the order of frames and of channels changes everything, or nothing at all."""
    later = torch.cat([clips[:, :1], clips[:, :-1]], dim=1)
    turned = (classifier(later).argmax(dim=1) != scores.argmax(dim=1)).to(torch.float32).mean()
    rng = torch.Generator().manual_seed(0)
    shuffled = clips[:, torch.randperm(clips.shape[1], generator=rng).to(clips.device)]
    by_frames = _moved(scores, classifier(shuffled))
    coloured = float((clips.roll(1, dims=2) - clips).abs().max()) > VISIBLE
    by_channels = _moved(scores, classifier(clips.roll(1, dims=2))) if coloured else None
    colours = "these clips are grey" if by_channels is None else f"of channels {by_channels:.2g}"
    detail = f"another order of frames moves log scores by up to {by_frames:.2g}, {colours}"
    detail = f"{detail}; one frame later {100 * float(turned):.0f} % of the answers differ"
    hardly = float((later - clips).abs().mean()) < 0.5 * float(
        (clips.roll(1, 0) - clips).abs().mean()
    )
    if len(clips) >= 4 and hardly and float(turned) >= 0.5:
        hint = "a clip is hardly another one frame later: are frames and channels mixed up?"
        return finding("order", "warn", detail, hint)
    if by_channels is not None and by_channels < NOTHING:
        if by_frames < NOTHING:
            hint = "the model sees neither time nor colour: does it pool before it looks?"
            return finding("order", "warn", detail, hint)
        return finding("order", "info", detail, "the model sees no colour: is that intended?")
    return finding("order", "ok", detail)


def check_resolution(classifier: Classifier, clips: Tensor, scores: Tensor) -> Finding:
    """Whether scores are rounded, and whether probes of published attacks move them at all."""
    hint = "estimators see steps, not slopes: use a larger sigma, or threat.access = 'label'"
    certain = bool(((scores == 0) | (scores == 1)).all())
    if (rounded := _rounding(scores)) and not certain:
        return finding("resolution", "warn", f"scores are rounded to {rounded}", hint)
    rng = torch.Generator().manual_seed(0)
    noise = (2 * torch.rand(clips.shape, generator=rng) - 1).to(clips.device)
    moved = (classifier((clips + PROBE * noise).clamp(0, 1)) - scores).abs().amax(dim=1)
    still = int((moved == 0).sum())
    detail = f"noise of {PROBE:g} moves scores by {float(moved.min()):.2g} to {moved.max():.2g}"
    if still > len(clips) / 2:
        detail = f"noise of {PROBE:g} moves no score of {still} of {len(clips)} clips"
        return finding("resolution", "warn", detail, f"8-bit input or saturated scores: {hint}")
    if faint := int((moved < FAINT).sum()):
        detail = (
            f"noise of {PROBE:g} moves the scores of {faint} of {len(clips)} clips by < {FAINT:g}"
        )
        way = "attacks that follow scores need log-odds there: attack.objective = 'log-margin'"
        return finding("resolution", "warn", detail, f"saturated scores: {way}")
    return finding("resolution", "ok", detail)


def _better(
    classifier: Classifier,
    clips: Tensor,
    scores: Tensor,
    labels: Sequence[int | None],
    changes: Mapping[str, Callable[[Tensor], Tensor]],
) -> tuple[str, float] | None:
    """The change that raises the true class's mean score most, and by how much; of several that do
    about as well, the one named first.
    """
    rows = [row for row, label in enumerate(labels) if label is not None]
    if not rows:
        return None
    truth = torch.tensor([labels[row] for row in rows], device=scores.device)
    gains: dict[str, float] = {}
    for name, change in changes.items():
        try:
            after = classifier(change(clips[rows]).contiguous())
        except ModelError:  # this model takes nothing outside [0, 1], or no such shape
            continue
        if bool(torch.isfinite(after).all()):
            gains[name] = float((after - scores[rows]).gather(1, truth[:, None]).mean())
    if not gains:
        return "none of them possible", 0.0
    best = max(gains.values())
    return next((name, gain) for name, gain in gains.items() if gain > best - GAIN / 2)


def _rounding(scores: Tensor) -> str:
    """What all scores are multiples of; empty where they are not."""
    for digits in range(1, 6):
        nearest = ((scores.double() * 10**digits).round() / 10**digits).to(scores.dtype)
        if torch.equal(nearest, scores):
            return f"{digits} decimals"
    for kind in (torch.bfloat16, torch.float16):
        if torch.equal(scores.to(kind).to(scores.dtype), scores):
            return str(kind).removeprefix("torch.")
    return ""


def _viewed(clips: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The clips whose elements, read in the order `axes`, are those of `clips`."""
    swapped = clips.reshape([clips.shape[axis] for axis in axes])
    back = [axes.index(axis) for axis in range(5)]
    return swapped.permute(back)


def _distance(left: Tensor, right: Tensor) -> float:
    """The largest total variation between rows of scores."""
    return float((left - right).abs().sum(dim=1).max()) / 2


def _moved(left: Tensor, right: Tensor) -> float:
    """The largest change of a score's logarithm: seen where a softmax is saturated, too."""
    return float((_log(left) - _log(right)).abs().max())


def _log(scores: Tensor) -> Tensor:
    return scores.double().clamp(min=1e-45).log()


def _is_index(label: int | str, count: int) -> bool:
    return isinstance(label, int) and 0 <= label < count


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
