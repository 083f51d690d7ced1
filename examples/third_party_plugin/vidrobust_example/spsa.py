"""SPSA: antithetic finite differences along random signs (Spall 1992)."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vidrobust.protocols import Objective, Subspace
from vidrobust.subspaces import Antithetic, weighted_sum
from vidrobust.types import Queries


@dataclass
class SPSA:
    """Finite differences along random signs.

    Args:
        pairs: Directions per estimate; each costs two queries.
        sigma: Size of the finite difference, in pixel units.
    """

    pairs: Annotated[int, Ge(1)] = 30
    sigma: Annotated[float, Gt(0)] = 1e-3

    def estimate(
        self, objective: Objective, point: Tensor, subspace: Subspace, rng: torch.Generator
    ) -> Queries[Tensor]:
        """The gradient at `point` in latents; asks `2 * pairs` probes in one query."""
        signs = subspace.sample(self.pairs, rng).sign()
        losses = yield from objective.values(Antithetic(point, subspace, signs, self.sigma))
        slopes = (losses[0::2] - losses[1::2]) / (2 * self.sigma)
        return weighted_sum(signs, slopes / self.pairs)
