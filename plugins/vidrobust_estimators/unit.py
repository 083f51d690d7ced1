"""Probes a fixed length away from a point, in random directions: what `rgf` and `sign` share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vidrobust.objectives import Radial
from vidrobust.protocols import Objective, Subspace
from vidrobust.subspaces import Steps


@dataclass(frozen=True)
class UnitProbes:
    """Random directions of unit length and the probes along them.

    Args:
        latents: `(k, *subspace.shape)`; may overlap, never written to.
        norms: Their L2 norms `(k,)`.
        probes: The point plus a step of each.
    """

    latents: Tensor
    norms: Tensor
    probes: Steps


def unit_probes(
    objective: Objective,
    point: Tensor,
    subspace: Subspace,
    count: int,
    beta: float,
    rng: torch.Generator,
) -> UnitProbes:
    """`count` probes of length `beta`, which is in parts of the distance where points stand for
    rays (`vidrobust.objectives.Radial`). Lengths are those of latents.
    """
    latents = subspace.sample(count, rng)
    norms = torch.stack([torch.linalg.vector_norm(latent) for latent in latents]).clamp_min(1e-12)
    reach = objective.distance(point) if isinstance(objective, Radial) else 1.0
    sizes = (beta * reach / norms).tolist()
    return UnitProbes(latents, norms, Steps(point, subspace, latents, sizes))
