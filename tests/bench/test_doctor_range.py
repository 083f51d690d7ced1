"""The doctor tells when a source gives clips of another value range."""

from __future__ import annotations

import pytest
import torch

from vidrobust.bench.doctor_model import check_range


@pytest.mark.parametrize(
    ("scale", "status"), [(1.0, "ok"), (255.0, "fail"), (-1.0, "fail"), (1 / 255, "warn")]
)
def test_clips_of_another_value_range_are_found(scale, status):
    clips = torch.rand(2, 3, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    assert check_range(clips * scale)["status"] == status
