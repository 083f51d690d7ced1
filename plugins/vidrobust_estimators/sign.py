"""Sign-OPT: only the sign of each directional derivative, at one query each (Cheng, Singh, Chen,
Chen, Liu and Hsieh, "Sign-OPT: A Query-Efficient Hard-label Adversarial Attack", ICLR 2020).

Idea: how far the decision boundary is along a ray costs a search; whether it is nearer than on
another ray costs one query. The signs of many derivatives tell more than the values of a few.

Implementation details:
1. Directions are drawn in the subspace's latents and scaled to unit length there.
2. `1 / q * sum_i sign(L(x + beta u_i) - L(x)) u_i` (Eq. 6 of the paper).
3. Where points stand for rays from the clean clip, the sign is +1 unless the ray of the probe is
   adversarial at the distance of the point: one query per direction, and `beta` is in parts of that
   distance.
4. Elsewhere the values are compared: `samples + 1` values. Equal values have sign 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vidrobust.objectives import Radial
from vidrobust.protocols import Objective, Subspace
from vidrobust.subspaces import Rows, weighted_sum
from vidrobust.types import Queries
from vidrobust_estimators.unit import unit_probes


@dataclass
class Sign:
    """Signs of directional derivatives along random unit directions.

    Args:
        samples: Directions per estimate, `Q`.
        beta: Length of a step: L2 norm in pixel units, or in parts of the distance to the clean
            clip for attacks that walk along the decision boundary.
    """

    samples: Annotated[int, Ge(1)] = 60
    beta: Annotated[float, Gt(0)] = 0.01

    def estimate(
        self, objective: Objective, point: Tensor, subspace: Subspace, rng: torch.Generator
    ) -> Queries[Tensor]:
        """A direction of ascent at `point` `(t, c, h, w)` in latents, of length at most one."""
        unit = unit_probes(objective, point, subspace, self.samples, self.beta, rng)
        if isinstance(objective, Radial):
            nearer = yield from objective.nearer(unit.probes, objective.distance(point))
            signs = 1 - 2 * nearer.to(unit.norms)
        else:
            values = yield from objective.values(unit.probes)
            [base] = yield from objective.values(Rows(point[None]))
            signs = (values - base).sign()
        return weighted_sum(unit.latents, signs / unit.norms / self.samples)
