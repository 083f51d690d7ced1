"""Is this model what it claims to be? Checks of a classifier on a few clips, a finding each.

Made for the faults that do not raise: a module left in training mode, scores that went through
softmax twice, blue taken for red.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from vidrobust.bench.calibrate import clips_per_second
from vidrobust.bench.doctor import Finding, finding
from vidrobust.bench.doctor_faults import (
    check_axes,
    check_class_order,
    check_model_range,
    check_order,
    check_resolution,
)
from vidrobust.protocols import Classifier, Guarded, Remote
from vidrobust.threat.oracle import is_out_of_memory

BATCHES = (2, 8, 16)
"""Batch sizes in which a clip's answer is compared with the one it gets alone."""
SPEED_SIZES = (1, 2, 4, 8, 16, 32)
"""Batch sizes that are timed."""
SMALL = 1e-3
"""Differences of scores up to this are rounding; larger ones are a fault."""


def examine_model(
    classifier: Classifier, clips: Tensor, labels: Sequence[int | None] = ()
) -> list[Finding]:
    """Everything that can be said of a model.

    Args:
        classifier: The model; every clip asked here is outside any budget.
        clips: A few clips `(k, t, c, h, w)` in `[0, 1]`; real ones make the findings worth more.
        labels: Their true classes, None or left out where unknown.
    """
    clips = clips.to(classifier.device)
    scores = classifier(clips)
    return [
        check_range(clips),
        check_determinism(classifier, clips, scores),
        check_batches(classifier, clips),
        check_scores(scores),
        check_double_softmax(scores),
        check_resolution(classifier, clips, scores),
        check_accuracy(scores, labels),
        check_class_order(scores, labels),
        check_colours(classifier, clips, scores, labels),
        check_model_range(classifier, clips, scores, labels),
        check_axes(classifier, clips, scores, labels),
        check_order(classifier, clips, scores),
        check_speed(classifier, clips),
    ]


def check_refusals(classifier: Classifier, clips: Tensor) -> Finding:
    """How many of these clips `(k, t, c, h, w)` a defence refuses to answer; it forgets them."""
    if not may_refuse(classifier):
        return finding("refusals", "ok", "no defence refuses clips")
    assert isinstance(classifier, Guarded)
    refused = int(classifier(clips.to(classifier.device)).isnan().all(dim=1).sum())
    classifier.forget()
    detail = f"{refused} of {len(clips)} clips refused; what follows is of the model behind that"
    if refused < len(clips):
        return finding("refusals", "info", detail)
    return finding("refusals", "fail", detail, "is the threshold one of this model?")


def may_refuse(classifier: Classifier) -> bool:
    """Whether a defence may answer with NaN."""
    return isinstance(classifier, Guarded) and classifier.refusal != "never"


def check_determinism(classifier: Classifier, clips: Tensor, scores: Tensor) -> Finding:
    """Whether the same batch gets the same `scores` `(k, n)` again, bit for bit."""
    difference = _difference(classifier(clips), scores)
    if difference == 0:
        detail = f"the same batch of {len(clips)} gets the same scores twice, bit for bit"
        return finding("determinism", "ok", detail)
    detail = f"the same batch of {len(clips)} gets other scores, by up to {difference:.2g}"
    if difference <= SMALL:
        hint = "runs cannot be repeated exactly; try torch.use_deterministic_algorithms(True)"
        return finding("determinism", "warn", detail, hint)
    return finding("determinism", "fail", detail, "is dropout still active? call .eval()")


def check_batches(classifier: Classifier, clips: Tensor) -> Finding:
    """Whether a clip's scores depend on how many others are in its batch."""
    alone = torch.cat([classifier(clip[None]) for clip in clips])
    worst, tried = 0.0, []
    for size in BATCHES:
        rows = torch.arange(size) % len(clips)
        try:
            together = classifier(clips[rows])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            break
        tried.append(size)
        worst = max(worst, _difference(together, alone[rows]))
    sizes = f"batches of {', '.join(map(str, tried))}"
    if worst == 0:
        return finding("batch invariance", "ok", f"same scores alone and in {sizes}, bit for bit")
    detail = f"scores alone and in {sizes} differ by up to {worst:.2g}"
    if worst <= SMALL:
        hint = "set run.pad = true for results that do not depend on run.window"
        return finding("batch invariance", "warn", detail, hint)
    hint = "the clips of a batch influence each other: is batch norm in training mode?"
    return finding("batch invariance", "fail", detail, hint)


def check_range(clips: Tensor) -> Finding:
    """Whether the source's clips `(k, t, c, h, w)` fill the range [0, 1] and no other."""
    low, high = float(clips.min()), float(clips.max())
    detail = f"clips from {low:.3g} to {high:.3g}"
    if low < 0 or high > 1:
        hint = "a source divides 8-bit pixels by 255; normalisation belongs to the model"
        return finding("value range", "fail", f"{detail}, expected [0, 1]", hint)
    if high < 0.05:
        return finding("value range", "warn", f"{detail}: black?", "divided by 255 twice?")
    return finding("value range", "ok", detail)


def check_scores(scores: Tensor) -> Finding:
    """What kind of numbers the scores `(k, n)` are."""
    low, high = float(scores.min()), float(scores.max())
    sums = scores.sum(dim=1)
    detail = f"from {low:.3g} to {high:.3g}, rows sum to {sums.min():.4g}..{sums.max():.4g}"
    if low < -SMALL or high > 1 + SMALL:
        return finding("scores", "fail", f"logits: {detail}", "use model.output = 'logits'")
    if float((sums - 1).abs().max()) > SMALL:
        hint = "independent scores per class are no probabilities; wrap the model with a softmax"
        return finding("scores", "fail", f"no distribution: {detail}", hint)
    if bool(((scores == 0) | (scores == 1)).all()):
        hint = "attacks see labels only: use threat.access = 'label', or check range, mean and std"
        return finding("scores", "warn", f"only 0 and 1: {detail}", hint)
    return finding("scores", "ok", f"probabilities: {detail}")


def check_double_softmax(scores: Tensor) -> Finding:
    """Whether the scores `(k, n)` look as if they went through softmax twice.

    A softmax of probabilities cannot spread further than a factor of e between two classes.
    """
    spread = float((scores.amax(dim=1) / scores.amin(dim=1).clamp(min=1e-12)).max())
    detail = f"largest over smallest score of a clip: up to {spread:.3g}"
    if len(scores) > 1 and spread <= math.e + SMALL:
        detail = f"nearly the same score for every class, on every clip; {detail}"
        hint = "does the module end in a softmax already? then use model.output = 'probabilities'"
        return finding("double softmax", "warn", detail, hint)
    return finding("double softmax", "ok", detail)


def check_accuracy(scores: Tensor, labels: Sequence[int | None]) -> Finding:
    """How many of the labelled clips the model gets right."""
    rows, truth = _labelled(labels, scores)
    if not len(rows):
        return finding("accuracy", "info", "unknown: these clips have no labels")
    right = int((scores[rows].argmax(dim=1) == truth).sum())
    detail = f"{right} of {len(rows)} clips right"
    if right * scores.shape[1] <= len(rows) and len(rows) >= 4:
        hint = "check the order of the classes, range, mean and std, layout and checkpoint"
        return finding("accuracy", "warn", f"{detail}, no better than guessing", hint)
    return finding("accuracy", "ok", detail)


def check_colours(
    classifier: Classifier, clips: Tensor, scores: Tensor, labels: Sequence[int | None]
) -> Finding:
    """Whether the model does clearly better with red and blue swapped."""
    swapped = classifier(clips.flip(2))
    rows, truth = _labelled(labels, scores)
    if len(rows):
        what, before, after = "score of the true class", scores[rows], swapped[rows]
        gain = float((after - before).gather(1, truth[:, None]).mean())
    else:
        what = "score of the answer"
        gain = float((swapped.amax(dim=1) - scores.amax(dim=1)).mean())
    detail = f"with red and blue swapped the {what} changes by {gain:+.3f} on average"
    if gain > 0.1:
        hint = "try model.bgr = true, or false if it is true"
        return finding("colour order", "warn", detail, hint)
    return finding("colour order", "ok", detail)


def check_speed(classifier: Classifier, clips: Tensor, *, seconds: float = 0.3) -> Finding:
    """Clips per second at each of `SPEED_SIZES`; stops where memory ends or it gets slower."""
    if isinstance(classifier, Remote):
        used = ", ".join(f"{name} {amount:g}" for name, amount in classifier.usage().items())
        return finding("clips per second", "info", f"not timed, a service may cost: {used}")
    rates: dict[int, float] = {}
    for size in SPEED_SIZES:
        try:
            batch = clips[torch.arange(size) % len(clips)]
            rates[size], _ = clips_per_second(classifier, batch, seconds)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            break
    best = max(rates, key=lambda size: rates[size])
    shown = ", ".join(f"{size}: {rate:.1f}" for size, rate in rates.items())
    hint = f"run.max_batch = {best} is the fastest here"
    return finding("clips per second", "info", f"by batch size: {shown}", hint)


def _labelled(labels: Sequence[int | None], scores: Tensor) -> tuple[Tensor, Tensor]:
    """Rows that have a label, and the labels; both on the device of the scores."""
    pairs = [(row, label) for row, label in enumerate(labels) if label is not None]
    rows = torch.tensor([row for row, _ in pairs], dtype=torch.int64, device=scores.device)
    truth = torch.tensor([label for _, label in pairs], dtype=torch.int64, device=scores.device)
    return rows, truth


def _difference(left: Tensor, right: Tensor) -> float:
    return float((left - right).abs().max())
