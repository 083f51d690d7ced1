"""RGF: random gradient-free estimates from one-sided differences (Nesterov and Spokoiny, 2017; for
decision boundaries Cheng et al., "Query-Efficient Hard-label Black-box Attack", ICLR 2019, and the
Heuristic attack, Wei et al., AAAI 2020).

Idea: step a little in a few random directions and sum these, weighted by how the value changed.
Half the probes of antithetic pairs, which matters where a value costs a search.

Implementation details:
1. Directions are drawn in the subspace's latents and scaled to unit length there.
2. `1 / q * sum_i (L(x + beta u_i) - L(x)) / beta * u_i`, without the factor `d` of an unbiased
   estimate; the step rule absorbs it (released Heuristic code has it for untargeted goals only).
3. Where points stand for rays from the clean clip, `beta` is in parts of the distance: that is `g`
   of the unit direction plus `beta u`. The value of the point is its distance, and costs nothing.
4. Elsewhere the value of the point costs a query more: `samples + 1`.
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
class RGF:
    """One-sided differences along random unit directions.

    Args:
        samples: Directions per estimate, `q`.
        beta: Length of a step: L2 norm in pixel units, or in parts of the distance to the clean
            clip for attacks that walk along the decision boundary.
    """

    samples: Annotated[int, Ge(1)] = 20
    beta: Annotated[float, Gt(0)] = 0.01

    def estimate(
        self, objective: Objective, point: Tensor, subspace: Subspace, rng: torch.Generator
    ) -> Queries[Tensor]:
        """The gradient at `point` `(t, c, h, w)` in latents; asks `samples` values, and that of the
        point where it is not known.
        """
        unit = unit_probes(objective, point, subspace, self.samples, self.beta, rng)
        values = yield from objective.values(unit.probes)
        if isinstance(objective, Radial):
            base = values.new_tensor(objective.distance(point))
        else:
            [base] = yield from objective.values(Rows(point[None]))
        slopes = (values - base) / self.beta
        return weighted_sum(unit.latents, slopes / unit.norms / self.samples)
