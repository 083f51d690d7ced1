"""NES: antithetic Gaussian finite differences (Ilyas et al., ICML 2018, section 2.1; AstFocus, Eq.
2).

Idea: probe the clip in both directions of a few random vectors and sum the vectors, weighted by how
the loss changed. In `d` dimensions with `n` probes the cosine to the true gradient is about `sqrt(n
/ (2 d))`, which is why reducing the dimension pays.

Implementation details:
1. `samples` probes are `samples / 2` directions and their negatives; each probe is one query.
2. Directions are drawn in the subspace's latents, never in the clip.
3. Probes are clamped to [0, 1]; the released video attacks leave them outside.
4. `weights = "raw"` gives `1 / (n sigma) * sum_i L(x + sigma u_i) u_i`, an unbiased estimate.
5. `weights = "standardised"` subtracts the mean loss and divides by the standard deviation first.
6. `weights = "rank"` replaces losses by `rank / (n - 1)` (VBAD, SVA, AstFocus): blind to their
   scale. The sum is not divided by `n sigma`.
7. `weights = "shared-rank"` does the same, but equal losses share the mean of their ranks (VBAD).

Deviations: sigma is 1e-3 for targeted attacks too, where the AstFocus paper has 1e-6: a change of
1e-6 is lost in float32 rounding (see docs/attacks/pgd-nes.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from vidrobust.errors import ConfigError
from vidrobust.protocols import GradientEstimator, Objective, Subspace
from vidrobust.subspaces import Antithetic, weighted_sum
from vidrobust.types import Queries
from vidrobust_estimators.ranks import rank_weights


@dataclass
class NES:
    """Natural evolution strategies with antithetic pairs.

    Args:
        samples: Probes per estimate, `n` in the papers; even.
        sigma: Size of the finite difference in pixel units, `Delta` in AstFocus.
        weights: How losses weigh the directions: `raw`, `standardised`, `rank` or `shared-rank`.
    """

    samples: Annotated[int, Ge(2)] = 60
    sigma: Annotated[float, Gt(0)] = 1e-3
    weights: Literal["raw", "standardised", "rank", "shared-rank"] = "raw"

    def __post_init__(self) -> None:
        if self.samples < 2 or self.samples % 2:
            raise ConfigError(
                f"samples: expected an even number of at least 2, got {self.samples}",
                hint=f"NES pairs its probes; use {max(2, self.samples + self.samples % 2)}",
            )

    def estimate(
        self, objective: Objective, point: Tensor, subspace: Subspace, rng: torch.Generator
    ) -> Queries[Tensor]:
        """The gradient at `point` `(t, c, h, w)` in latents; asks `samples` probes in one query."""
        latents = subspace.sample(self.samples // 2, rng)
        losses = yield from objective.values(Antithetic(point, subspace, latents, self.sigma))
        weights = self._weigh(losses)
        return weighted_sum(latents, weights[0::2] - weights[1::2])

    def _weigh(self, losses: Tensor) -> Tensor:
        """`(n,)` weights of `(n,)` losses."""
        if self.weights == "rank":
            return rank_weights(losses)
        if self.weights == "shared-rank":
            return rank_weights(losses, "mean")
        if self.weights == "standardised":
            losses = (losses - losses.mean()) / losses.std().clamp_min(1e-12)
        return losses / (len(losses) * self.sigma)


def check_replaced(
    estimator: GradientEstimator | None, given: tuple[int, float], usual: tuple[int, float]
) -> None:
    """Refuse a recipe's `samples` and `sigma` where another estimator than its NES is given.

    Args:
        estimator: What replaces NES; None is NES.
        given: The recipe's `samples` and `sigma`.
        usual: Their defaults.

    Raises:
        ConfigError: If they were set in vain.
    """
    if estimator is not None and given != usual:
        raise ConfigError(
            "samples and sigma belong to the default estimator, and another one is given",
            hint="set attack.estimator.samples and attack.estimator.sigma instead",
        )
