"""Warped noise frames: the subspaces, and the reducers `geometric` and `motion` that make them."""

from __future__ import annotations

import pytest
import torch
from linear import Linear, estimate, weight
from vidrobust_estimators.bandits import Bandits
from vidrobust_estimators.nes import NES
from vidrobust_estimators.zoo import Zoo
from vidrobust_reducers.geometric import FAMILIES, Geometric
from vidrobust_reducers.motion import Motion, _as_places
from vidrobust_reducers.warps import Shaped, Warped

from vidrobust.subspaces import Antithetic
from vidrobust.testing import LinearVictim, ReducerContract, answer
from vidrobust.types import Targeted, Untargeted
from vidrobust.video.motion import identity_grid, normalised


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def shifted(shifts, size=8):
    """A warp that moves the noise frame by whole pixels (right, down), one pair per frame."""
    here = identity_grid(size, size, torch.device("cpu"))
    return Warped(torch.stack([normalised(here - torch.tensor(s).float()) for s in shifts]))


def propose(reducer, victim, task=None):
    task = task or victim.task()
    return answer(reducer.propose(task.clean, task), victim).result


def test_the_identity_repeats_the_noise_frame_in_every_frame():
    warped = shifted([(0, 0), (0, 0)])
    z = warped.sample(1, generator())
    torch.testing.assert_close(warped.lift(z)[0], z.expand(2, -1, -1, -1), rtol=0, atol=1e-5)


def test_a_shift_moves_it_and_leaves_zeros_or_the_border_behind():
    warped = shifted([(2, 1)])
    z = warped.sample(1, generator())
    moved = warped.lift(z)[0, 0]
    torch.testing.assert_close(moved[:, 1:, 2:], z[0, :, :-1, :-2], rtol=0, atol=1e-4)
    assert float(moved[:, :, :2].abs().max()) < 1e-4
    border = Warped(warped.grid, padding="border").lift(z)[0, 0]
    torch.testing.assert_close(border[:, 1:, 0], z[0, :, :-1, 0], rtol=0, atol=1e-4)


def test_a_latent_is_one_frame_and_probes_are_written_when_they_are_asked():
    warped = shifted([(0, 0), (1, 0), (2, 0), (3, 0)])
    latents = warped.sample(5, generator())
    assert tuple(latents.shape) == (5, 3, 8, 8)
    point = torch.full((4, 3, 8, 8), 0.5)
    out = torch.empty(2, 4, 3, 8, 8)
    Antithetic(point, warped, latents, 0.1).render(4, out)
    lifted = warped.lift(latents[2:3])[0]
    wanted = torch.stack([point + 0.1 * lifted, point - 0.1 * lifted])
    torch.testing.assert_close(out, wanted.clamp(0, 1))


def test_shaped_noise_is_the_inner_subspaces_and_steps_are_free():
    warped = shifted([(0, 0), (1, 0), (0, 1), (1, 1)])
    shaped = Shaped(warped, (4, 3, 8, 8))
    noise = shaped.sample(2, generator(3))
    assert torch.equal(noise, warped.lift(warped.sample(2, generator(3))))
    free = torch.randn(1, 4, 3, 8, 8)
    assert shaped.lift(free) is free
    assert shaped.restrict(free[0]).shape == shaped.shape
    out = torch.empty(4, 3, 8, 8)
    shaped.perturb(torch.full_like(out, 0.5), free[0], 0.2, out)
    torch.testing.assert_close(out, (0.5 + 0.2 * free[0]).clamp(0, 1))


# --- geometric


def test_every_frame_has_its_own_warp_and_every_iteration_new_ones():
    victim = LinearVictim()
    task, reducer = victim.task(), Geometric()
    first, second = (propose(reducer, victim, task).grid for _ in range(2))
    assert len({tuple(grid.flatten().tolist()) for grid in [*first, *second]}) == 8


@pytest.mark.parametrize(
    ("family", "count", "matrix"),
    [
        ("none", 0, [[1, 0, 0], [0, 1, 0]]),
        ("translation", 2, [[1, 0, 0.5], [0, 1, -2]]),
        ("dilation", 1, [[0.5, 0, 0], [0, 0.5, 0]]),
        ("rigid", 3, [[0.8776, -0.4794, -2], [0.4794, 0.8776, 3]]),
        ("translation-dilation", 3, [[0.5, 0, -2], [0, 0.5, 3]]),
        ("similarity", 4, [[-1.7552, 0.9589, 3], [-0.9589, -1.7552, 0.25]]),
        ("affine", 6, [[0.5, -2, 3], [0.25, 7, 8]]),
    ],
)
def test_parameters_make_the_matrix_of_their_family(family, count, matrix):
    number, build = FAMILIES[family]
    drawn = torch.tensor([[0.5, -2.0, 3.0, 0.25, 7.0, 8.0][:number]])
    assert number == count
    torch.testing.assert_close(build(drawn)[0], torch.tensor(matrix).float(), rtol=0, atol=1e-3)


def test_parameters_are_standard_normal():
    victim = LinearVictim(frames=2000, size=2, smooth=1)
    grid = propose(Geometric("translation"), victim).grid
    shifts = grid[:, 0, 0] + 1  # where the corner at (-1, -1) goes
    assert abs(float(shifts.mean())) < 0.05
    assert abs(float(shifts.std()) - 1) < 0.05


def test_the_family_follows_the_goal_unless_it_is_given():
    victim = LinearVictim()
    untargeted = propose(Geometric(), victim, victim.task(goal=Untargeted(0))).grid
    targeted = propose(Geometric(), victim, victim.task(goal=Targeted(0, 1))).grid
    assert _slants(untargeted) == 0
    assert _slants(targeted) > 0.1
    given = propose(Geometric("translation"), victim, victim.task(goal=Targeted(0, 1)))
    assert _slants(given.grid) == 0


def _slants(grid):
    """How much a row of pixels goes up or down."""
    return float((grid[:, 0, -1, 1] - grid[:, 0, 0, 1]).abs().max())


# --- motion


def moving_task(victim, step=2):
    """A task whose clip moves right by `step` pixels a frame."""
    large = torch.nn.functional.interpolate(
        torch.rand(1, 3, 16, 16, generator=generator()), scale_factor=4, mode="bilinear"
    )[0]
    t, _, h, w = victim.spec.shape
    frames = [large[:, 8 : 8 + h, 12 - i * step : 12 - i * step + w] for i in range(t)]
    task = victim.task()
    object.__setattr__(task, "clean", torch.stack(frames))
    return task


def test_noise_is_carried_along_with_the_picture():
    victim = LinearVictim(size=32)
    task = moving_task(victim)
    warped = propose(Motion(), victim, task)
    ramp = torch.arange(32.0).expand(1, 3, 32, 32)
    seen = warped.lift(ramp)[0, :, 0, 8:24, 12:24].mean(dim=(1, 2))
    torch.testing.assert_close(seen - seen[0], torch.tensor([0.0, -2, -4, -6]), rtol=0, atol=0.5)


def test_the_reference_frame_changes_after_interval_iterations_and_comes_back():
    victim = LinearVictim(size=32)
    task, reducer = moving_task(victim), Motion(gop=2, interval=3)
    grids = [propose(reducer, victim, task).grid for _ in range(12)]
    here = normalised(identity_grid(32, 32, torch.device("cpu")))
    resting = [int((grid - here).abs().amax(dim=(1, 2, 3)).argmin()) for grid in grids]
    assert resting == [0, 0, 0, 2, 2, 2] * 2
    assert grids[0] is grids[6]


def test_a_last_short_group_takes_part():
    victim = LinearVictim(size=32)
    task, reducer = moving_task(victim), Motion(gop=3, interval=1)
    assert not torch.equal(*(propose(reducer, victim, task).grid for _ in range(2)))


def test_as_coordinates_equal_motion_gets_equal_noise_in_every_frame():
    victim = LinearVictim(size=32)
    task = moving_task(victim)
    still = torch.rand(3, 32, 16, generator=generator(1))
    task.clean[..., :16] = still
    warped = propose(Motion("blocks", "coordinates"), victim, task)
    places = (warped.grid + 1) / 2 * 31
    assert torch.equal(warped.grid[0], warped.grid[-1])
    torch.testing.assert_close(places, places.round(), rtol=0, atol=1e-4)
    assert float(places.min()) == pytest.approx(0, abs=1e-4)
    direction = warped.lift(warped.sample(1, generator()))[0]
    values = direction[:, 0, :16, :16].unique()
    assert float(values.max() - values.min()) < 1e-4


def test_as_coordinates_places_are_whole_numbers_from_the_smallest_that_wrap_at_256():
    vectors = torch.tensor([[[-3.5, 252.4], [252.5, 260.2]], [[-2.6, -2.4], [508.5, 0.0]]])
    wanted = [[[0, 255], [0, 7]], [[0, 1], [0, 3]]]
    assert _as_places(vectors).tolist() == wanted


@pytest.mark.parametrize("placement", ["carried", "coordinates"])
def test_beyond_the_frame_noise_has_the_value_at_its_border(placement):
    victim = LinearVictim(size=8, smooth=2)
    warped = propose(Motion("blocks", placement), victim, moving_task(victim, step=4))
    places = (warped.grid + 1) / 2 * 7
    row, column = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    inside = places.clamp(0, 7)
    assert float((places - inside).abs().max()) > 1
    lifted = warped.lift((1 + row + 10 * column).expand(1, 3, 8, 8))[0, :, 0]
    torch.testing.assert_close(lifted, 1 + inside[..., 1] + 10 * inside[..., 0])


# --- both, with every estimator


REDUCERS = {
    "geometric": Geometric,
    "motion": Motion,
    "geometric-clip": lambda: Geometric(steps="clip"),
    "motion-clip": lambda: Motion(steps="clip"),
    "motion-released": lambda: Motion("blocks", "coordinates"),
}
ESTIMATORS = {
    "nes": lambda: NES(samples=20),
    "zoo": lambda: Zoo(samples=20, cell=4),
    "bandits": lambda: Bandits(samples=20, tile=4),
    "bandits-inside": lambda: Bandits(samples=20, explore="subspace", norm="frame"),
}


@pytest.mark.parametrize("kind", list(REDUCERS))
@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_every_estimator_points_uphill_in_every_warp(kind, name):
    victim = LinearVictim(size=8, smooth=2)
    task = victim.task()
    slopes = []
    for seed in range(6):
        task.rng.manual_seed(seed)
        subspace = propose(REDUCERS[kind](), victim, task)
        gradient = estimate(ESTIMATORS[name](), Linear(weight()), subspace, seed)
        assert tuple(gradient.shape) == tuple(subspace.shape)
        slopes.append(float((subspace.lift(gradient[None])[0] * weight()).sum()))
    assert sum(slopes) > 0


@pytest.mark.parametrize("kind", [k for k in REDUCERS if "clip" not in k])
class TestEveryWarp(ReducerContract):
    @pytest.fixture(autouse=True)
    def _kind(self, kind):
        self.kind = kind

    def make(self):
        return REDUCERS[self.kind]()
