"""The four networks: size, shapes, and logits that do not depend on the batch."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from vidrobust_zoo.networks import DATA, NAMES, build
from vidrobust_zoo.networks.blocks import Head, fold_batch_norms
from vidrobust_zoo.networks.tsm import shift_channels

BATCHES = (1, 2, 3, 5, 8, 16, 31)  # and 64, the whole


@pytest.fixture(scope="module")
def clips() -> Tensor:
    return torch.rand(64, 16, 3, 112, 112, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def trained(name: str, data: str, clips: Tensor) -> nn.Module:
    """A network whose batch norms have seen clips, so that folding them changes something."""
    torch.manual_seed(0)
    network = build(name, classes=12, data=data).train()
    with torch.no_grad():
        network(clips[:4])
    return network.eval()


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", NAMES)
def test_a_network_has_at_most_a_million_and_a_half_parameters(name: str, data: str) -> None:
    network = build(name, classes=12, data=data)
    assert sum(weight.numel() for weight in network.parameters()) <= 1_500_000


@pytest.mark.parametrize("threads", [1, 2], indirect=True)
@pytest.mark.parametrize("name", NAMES)
def test_logits_are_bitwise_the_same_in_every_batch(
    name: str, clips: Tensor, threads: None
) -> None:
    network = fold_batch_norms(trained(name, "motions", clips))
    with torch.inference_mode():
        whole = network(clips)
        last = {size: network(clips[-size:]) for size in BATCHES}
        cut = torch.cat([network(part) for part in clips[:10].split(3)])
    assert [size for size in BATCHES if not torch.equal(last[size], whole[-size:])] == []
    assert torch.equal(cut, whole[:10])


@pytest.mark.parametrize("name", NAMES)
def test_logits_do_not_depend_on_how_the_clips_lie_in_memory(name: str, clips: Tensor) -> None:
    network = fold_batch_norms(trained(name, "ucf6", clips))
    frames_last = clips[:3].permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
    with torch.inference_mode():
        assert torch.equal(network(frames_last), network(clips[:3]))


@pytest.mark.parametrize("name", NAMES)
def test_folding_batch_norms_keeps_the_logits(name: str, clips: Tensor) -> None:
    network = trained(name, "ucf6", clips)
    with torch.inference_mode():
        before = network(clips[:3])
        after = fold_batch_norms(network)(clips[:3])
    torch.testing.assert_close(after, before, atol=1e-4, rtol=1e-4)


def test_no_batch_norm_is_left_after_folding() -> None:
    networks = [fold_batch_norms(build(name, classes=6, data="ucf6").eval()) for name in NAMES]
    kinds = {type(part) for network in networks for part in network.modules()}
    assert not kinds & {nn.BatchNorm2d, nn.BatchNorm3d}


def test_the_head_is_a_linear_layer() -> None:
    head, features = Head(5, 3), torch.rand(4, 5)
    expected = nn.functional.linear(features, head.weight, head.bias)
    torch.testing.assert_close(head(features), expected)


def test_the_shift_moves_an_eighth_of_the_channels_on_and_an_eighth_back() -> None:
    maps = torch.arange(1.0, 4.0).view(3, 1, 1, 1).expand(3, 8, 1, 1)  # one clip of three frames
    shifted = shift_channels(maps, frames=3)
    assert shifted[:, 0].flatten().tolist() == [0, 1, 2]
    assert shifted[:, 1].flatten().tolist() == [2, 3, 0]
    assert torch.equal(shifted[:, 2:], maps[:, 2:])


def test_the_shift_does_not_mix_clips() -> None:
    maps = torch.ones(4, 8, 1, 1)  # two clips of two frames
    shifted = shift_channels(maps, frames=2)
    assert shifted[:, 0].flatten().tolist() == [0, 1, 0, 1]
    assert shifted[:, 1].flatten().tolist() == [1, 0, 1, 0]
