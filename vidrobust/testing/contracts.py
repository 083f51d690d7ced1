"""The conformance kit: inherit a class, name your component, and get its checks.

    from vidrobust.testing import EstimatorContract

    class TestMyEstimator(EstimatorContract):
        def make(self):
            return MyEstimator(samples=20)

The core runs the same classes on every registered entry. Everything is asked of `LinearVictim`,
whose gradient and smallest perturbation are known in closed form.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidrobust.objectives import ScoreObjective
from vidrobust.protocols import (
    Constraint,
    DimensionReducer,
    GradientEstimator,
    Subspace,
    Task,
)
from vidrobust.subspaces import Masked, Patch, Patches, Pixels
from vidrobust.testing.driving import Transcript, answer
from vidrobust.testing.toy import LinearVictim
from vidrobust.types import Response


def _subspaces(victim: LinearVictim) -> dict[str, Subspace]:
    t, c, h, w = victim.spec.shape
    patches = tuple(Patch(frame, frame, 2) for frame in range(0, t, 2))
    return {
        "pixels": Pixels(victim.spec.shape, noise="fresh"),
        "pixels-table": Pixels(victim.spec.shape, noise="table"),
        "patches": Patches((t, c, h, w), patches, h // 2, w // 2),
        "masked": Masked(victim.clip(7).mean(dim=1) > 0.5),
    }


class EstimatorContract:
    """What every gradient estimator must do."""

    def make(self) -> GradientEstimator:
        """A fresh estimator with small settings."""
        raise NotImplementedError("name the estimator to check: def make(self): ...")

    def _estimate(
        self, victim: LinearVictim, subspace: Subspace, seed: int = 0
    ) -> Transcript[Tensor]:
        task = victim.task()
        objective = ScoreObjective(task.goal, "log-margin")
        rng = torch.Generator().manual_seed(seed)
        return answer(self.make().estimate(objective, task.clean, subspace, rng), victim)

    @pytest.mark.parametrize("kind", ["pixels", "pixels-table", "patches", "masked"])
    def test_gradient_has_the_shape_of_a_latent(self, kind: str) -> None:
        """In every built-in subspace."""
        victim = LinearVictim()
        subspace = _subspaces(victim)[kind]
        gradient = self._estimate(victim, subspace).result
        assert gradient is not None
        assert tuple(gradient.shape) == tuple(subspace.shape)
        assert bool(torch.isfinite(gradient).all())

    @pytest.mark.parametrize("kind", ["pixels", "pixels-table", "patches", "masked"])
    def test_gradient_points_uphill(self, kind: str) -> None:
        """The mean cosine to the true gradient over ten seeds is positive."""
        victim = LinearVictim()
        subspace = _subspaces(victim)[kind]
        truth = self._true_gradient(victim)
        cosines = []
        for seed in range(10):
            gradient = self._estimate(victim, subspace, seed).result
            assert gradient is not None
            lifted = subspace.lift(gradient[None]).reshape(1, -1)
            cosines.append(torch.cosine_similarity(lifted, truth.reshape(1, -1)))
        assert float(torch.cat(cosines).mean()) > 0

    def _true_gradient(self, victim: LinearVictim) -> Tensor:
        """Of the log-margin: label's weights minus the runner-up's."""
        task = victim.task()
        assert task.reference.scores is not None
        order = task.reference.scores[0].argsort(descending=True)
        gradient: Tensor = victim.weight[order[0]] - victim.weight[order[1]]
        return gradient

    def test_it_asks_probes_inside_the_pixel_range(self) -> None:
        """Candidates are for the loop; clips stay in [0, 1]."""
        victim = LinearVictim()
        transcript = self._estimate(victim, _subspaces(victim)["pixels"])
        assert transcript.asked
        assert set(transcript.roles) == {"probe"}
        for clips in transcript.asked:
            assert float(clips.min()) >= 0
            assert float(clips.max()) <= 1

    def test_same_seed_same_questions_and_gradient(self) -> None:
        """All randomness comes from the generator it is given."""
        victim = LinearVictim()
        torch.manual_seed(1)
        first = self._estimate(victim, _subspaces(victim)["patches"])
        torch.manual_seed(2)
        second = self._estimate(victim, _subspaces(victim)["patches"])
        assert all(torch.equal(a, b) for a, b in zip(first.asked, second.asked, strict=True))
        assert first.result is not None
        assert second.result is not None
        assert torch.equal(first.result, second.result)

    def test_other_seed_other_questions(self) -> None:
        """It does draw something."""
        victim = LinearVictim()
        first = self._estimate(victim, _subspaces(victim)["pixels"], 0)
        second = self._estimate(victim, _subspaces(victim)["pixels"], 1)
        assert not torch.equal(first.asked[0], second.asked[0])

    def test_instances_share_nothing(self) -> None:
        """An instance used before does not change what a fresh one answers."""
        victim = LinearVictim()
        first = self._estimate(victim, _subspaces(victim)["pixels"], 3)
        self._estimate(victim, _subspaces(victim)["pixels"], 4)
        again = self._estimate(victim, _subspaces(victim)["pixels"], 3)
        assert first.result is not None
        assert again.result is not None
        assert torch.equal(first.result, again.result)

    def test_the_point_is_not_written_to(self) -> None:
        """Points are shared."""
        victim = LinearVictim()
        task = victim.task()
        before = task.clean.clone()
        objective = ScoreObjective(task.goal)
        subspace = _subspaces(victim)["patches"]
        answer(self.make().estimate(objective, task.clean, subspace, task.rng), victim)
        assert torch.equal(task.clean, before)


class ReducerContract:
    """What every dimension reducer must do."""

    def make(self) -> DimensionReducer:
        """A fresh reducer for the toy victim's 4 x 3 x 16 x 16 clips."""
        raise NotImplementedError("name the reducer to check: def make(self): ...")

    def _propose(self, victim: LinearVictim, task: Task, rounds: int = 3) -> list[Subspace]:
        reducer = self.make()
        subspaces = []
        for index in range(rounds):
            transcript = answer(reducer.propose(task.clean, task), victim)
            assert transcript.result is not None
            subspaces.append(transcript.result)
            reducer.feedback(1.0 - 0.1 * index, task.reference)
        return subspaces

    def test_lift_is_linear_and_clip_shaped(self) -> None:
        """`lift(a z1 + b z2) = a lift(z1) + b lift(z2)`."""
        victim = LinearVictim()
        task = victim.task()
        for subspace in self._propose(victim, task):
            z = subspace.sample(2, task.rng)
            assert tuple(z.shape) == (2, *subspace.shape)
            both = subspace.lift((0.5 * z[0] - 2 * z[1])[None])[0]
            apart = 0.5 * subspace.lift(z[:1])[0] - 2 * subspace.lift(z[1:])[0]
            assert tuple(both.shape) == victim.spec.shape
            torch.testing.assert_close(both, apart)

    def test_restrict_is_the_adjoint_of_lift(self) -> None:
        """`<lift(z), x> = <z, restrict(x)>` for any latent `z` and direction `x`."""
        victim = LinearVictim()
        task = victim.task()
        for subspace in self._propose(victim, task):
            z = subspace.sample(1, task.rng)
            x = torch.randn(victim.spec.shape, generator=task.rng)
            restricted = subspace.restrict(x)
            assert tuple(restricted.shape) == tuple(subspace.shape)
            lifted = subspace.lift(z)[0].double()
            gap = (lifted * x.double()).sum() - (z[0].double() * restricted.double()).sum()
            assert abs(float(gap)) <= 1e-5 * float(lifted.norm() * x.norm())

    def test_perturb_is_add_lift_and_clamp(self) -> None:
        """The shortcut writes what the definition says, everywhere."""
        victim = LinearVictim()
        task = victim.task()
        for subspace in self._propose(victim, task):
            z = subspace.sample(1, task.rng)
            out = torch.full(victim.spec.shape, float("nan"))
            subspace.perturb(task.clean, z[0], 0.3, out)
            wanted = (task.clean + 0.3 * subspace.lift(z)[0]).clamp(0, 1)
            torch.testing.assert_close(out, wanted)

    def test_latents_have_zero_mean_and_unit_variance(self) -> None:
        """Over 400 latents of the first subspace."""
        victim = LinearVictim()
        task = victim.task()
        subspace = self._propose(victim, task, 1)[0]
        z = subspace.sample(400, task.rng).to(torch.float64)
        assert abs(float(z.mean())) < 0.05
        assert abs(float(z.std()) - 1) < 0.05

    def test_same_seed_same_choices(self) -> None:
        """All randomness comes from the task."""
        victim = LinearVictim()
        firsts = self._propose(victim, victim.task(seed=5))
        seconds = self._propose(victim, victim.task(seed=5))
        for first, second in zip(firsts, seconds, strict=True):
            ones = torch.ones((1, *first.shape))
            assert torch.equal(first.lift(ones), second.lift(ones))

    def test_refine_keeps_the_shape_and_adds_nothing_new(self) -> None:
        """A refined direction is zero wherever the direction was."""
        victim = LinearVictim()
        task = victim.task()
        direction = torch.zeros(victim.spec.shape)
        direction[0, :, :4] = 1.0
        reducer = self.make()
        answer(reducer.propose(task.clean, task), victim)
        objective = ScoreObjective(task.goal)
        transcript = answer(reducer.refine(task.clean, direction, objective, task), victim)
        assert transcript.result is not None
        assert tuple(transcript.result.shape) == victim.spec.shape
        assert bool((transcript.result[direction == 0] == 0).all())

    def test_feedback_without_a_loss_is_accepted(self) -> None:
        """Label access carries none."""
        victim = LinearVictim()
        task = victim.task()
        reducer = self.make()
        answer(reducer.propose(task.clean, task), victim)
        reducer.feedback(None, Response(task.reference.labels))


class ConstraintContract:
    """What every constraint must do."""

    def make(self) -> Constraint:
        """A constraint that a perturbation of 0.3 everywhere violates."""
        raise NotImplementedError("name the constraint to check: def make(self): ...")

    def _pair(self, seed: int = 0) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(seed)
        clean = torch.rand((4, 3, 16, 16), generator=rng)
        change = 0.6 * torch.rand(clean.shape, generator=rng) - 0.3
        return clean + change, clean

    @pytest.mark.parametrize("seed", range(3))
    def test_a_projected_clip_is_contained_and_in_range(self, seed: int) -> None:
        """Projection lands inside."""
        clip, clean = self._pair(seed)
        projected = self.make().project(clip, clean)
        assert self.make().contains(projected, clean)
        assert float(projected.min()) >= 0
        assert float(projected.max()) <= 1

    def test_projection_only_shrinks(self) -> None:
        """No coordinate of the perturbation grows or changes sign."""
        clip, clean = self._pair()
        change = self.make().project(clip, clean) - clean
        asked = clip - clean
        assert bool((change.abs() <= asked.abs() + 1e-6).all())
        assert bool((change * asked >= -1e-12).all())

    def test_projecting_twice_changes_nothing(self) -> None:
        """Up to rounding."""
        clip, clean = self._pair()
        once = self.make().project(clip, clean)
        torch.testing.assert_close(self.make().project(once, clean), once)

    def test_the_clean_clip_is_at_distance_zero(self) -> None:
        """And contained."""
        _, clean = self._pair()
        assert self.make().distance(clean, clean) == 0
        assert self.make().contains(clean, clean)

    def test_a_large_change_is_not_contained(self) -> None:
        """Otherwise it constrains nothing."""
        clip, clean = self._pair()
        assert not self.make().contains(clip.clamp(0, 1), clean)

    def test_inputs_are_not_written_to(self) -> None:
        """Projection gives a new tensor."""
        clip, clean = self._pair()
        copies = clip.clone(), clean.clone()
        self.make().project(clip, clean)
        assert torch.equal(clip, copies[0])
        assert torch.equal(clean, copies[1])
