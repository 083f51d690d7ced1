"""Which batch size gives the most clips per second. On a CPU it is rarely the largest."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch

from vidrobust.protocols import Classifier
from vidrobust.threat.oracle import is_out_of_memory

CPU_SIZES = (4, 8, 16, 32)
GPU_SIZES = (8, 16, 32, 64, 128)


def calibrate(
    classifier: Classifier, sizes: Sequence[int] | None = None, *, seconds: float = 0.3
) -> tuple[int, int]:
    """Time a few forward passes of noise clips at each batch size.

    Args:
        classifier: The victim; it sees noise, which is no query of any attack.
        sizes: Batch sizes to try, rising; a set per kind of device by default.
        seconds: Time to spend on each size at least.

    Returns:
        The fastest size (the smallest within 5 percent of the best), and how many clips were spent.
    """
    device = classifier.device
    sizes = sizes or (CPU_SIZES if device.type == "cpu" else GPU_SIZES)
    rates: dict[int, float] = {}
    spent = 0
    for size in sizes:
        try:
            clips = torch.rand((size, *classifier.spec.shape), device=device)
            rate, count = clips_per_second(classifier, clips, seconds)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            break
        rates[size] = rate
        spent += count
        if rate < 0.7 * max(rates.values()):
            break
    best = max(rates.values(), default=0.0)
    fit = [size for size, rate in rates.items() if rate >= 0.95 * best]
    return (min(fit) if fit else 1), spent


def clips_per_second(
    classifier: Classifier, clips: torch.Tensor, seconds: float
) -> tuple[float, int]:
    """Clips per second of one batch size, the best of a few passes, and the clips spent.

    Args:
        classifier: The victim.
        clips: One batch `(k, t, c, h, w)`.
        seconds: Time to spend at least.
    """
    classifier(clips)
    best, spent, begin = float("inf"), len(clips), time.perf_counter()
    while spent == len(clips) or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        classifier(clips)[:, 0].sum().item()
        best = min(best, time.perf_counter() - start)
        spent += len(clips)
    return len(clips) / best, spent
