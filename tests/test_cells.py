"""The lattice of cells that Bandits and ZOO share."""

from __future__ import annotations

import pytest
import torch

from vidrobust.cells import Cells
from vidrobust.subspaces import Masked, Patch, Patches, Pixels

SHAPE = (5, 3, 8, 7)
LIKE = torch.zeros(SHAPE)


def test_the_lattice_has_a_cell_for_what_is_cut_by_the_border():
    assert Cells(SHAPE, tile=3, tile_frames=2).shape == (3, 3, 3, 3)
    assert Cells(SHAPE, tile=50, tile_frames=9).shape == (1, 3, 1, 1)
    assert Cells(SHAPE, tile=1).shape == SHAPE


@pytest.mark.parametrize(("tile", "frames"), [(3, 2), (50, 9), (1, 1), (8, 5)])
def test_all_values_of_a_cell_get_its_value(tile, frames):
    cells = Cells(SHAPE, tile, frames)
    values = torch.randn(cells.shape)
    spread = cells.spread(values)
    assert tuple(spread.shape) == SHAPE
    for t, y, x in ((0, 0, 0), (4, 7, 6), (3, 2, 5)):
        assert torch.equal(spread[t, :, y, x], values[t // frames, :, y // tile, x // tile])


@pytest.mark.parametrize(("tile", "frames"), [(3, 2), (50, 9), (1, 1), (8, 5)])
def test_the_largest_of_spread_values_is_the_value(tile, frames):
    cells = Cells(SHAPE, tile, frames)
    values = torch.randn(cells.shape)
    assert torch.equal(cells.largest(cells.spread(values)), values)


def test_the_indicators_of_all_cells_cover_the_clip_once():
    cells = Cells(SHAPE, tile=3, tile_frames=2)
    ones = [cells.indicator(place, LIKE) for place in range(3 * 3 * 3 * 3)]
    assert torch.equal(torch.stack(ones).sum(0), torch.ones(SHAPE))


def test_an_indicator_is_a_spread_unit():
    cells = Cells(SHAPE, tile=3, tile_frames=2)
    for place in (0, 13, 44, 80):
        unit = torch.zeros(cells.shape)
        unit.view(-1)[place] = 1
        assert torch.equal(cells.indicator(place, LIKE), cells.spread(unit))


def test_a_cell_is_inside_when_the_subspace_touches_any_of_it():
    cells = Cells((4, 3, 8, 8), tile=4)
    like = torch.zeros(4, 3, 8, 8)
    assert bool(cells.inside(Pixels((4, 3, 8, 8)), like).all())
    patch = Patches((4, 3, 8, 8), (Patch(1, 3, 0),), 3, 4)
    wanted = torch.zeros(4, 3, 2, 2, dtype=torch.bool)
    wanted[1, :, :, 0] = True
    assert torch.equal(cells.inside(patch, like), wanted)
    mask = torch.zeros(4, 8, 8, dtype=torch.bool)
    mask[2, 7, 7] = True
    assert cells.inside(Masked(mask), like).nonzero()[:, [0, 2, 3]].unique(dim=0).tolist() == [
        [2, 1, 1]
    ]
