"""Frame features: the contract, the choice, and MobileNetV2 against torchvision's own."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from vidrobust_astfocus.features import choose_features, mobilenet_v2
from vidrobust_astfocus.grid_features import GridFeatures
from vidrobust_astfocus.mobilenet_features import MobileNetFeatures, load_mobilenet
from vidrobust_zoo.networks.mobilenet import MobileNet, convolution

from vidrobust.errors import ConfigError
from vidrobust.protocols import FrameFeatures
from vidrobust.types import ClipSpec
from vidrobust.video.io import read_clip

CPU = torch.device("cpu")
GRAND_PIANO = 579
PIANO = "data/ucf101_6class/test_320x240/PlayingPiano/v_PlayingPiano_g01_c03.avi"
IMAGENET = "models/mobilenet_v2_imagenet.safetensors"


def random_state() -> dict[str, Tensor]:
    """A state dict in torchvision's layout, batch norms not folded."""
    network = MobileNet(blocks=17)
    network.features.append(convolution(320, 1280))
    rng = torch.Generator().manual_seed(0)
    for key, value in network.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.1, generator=rng)
        elif value.ndim == 4:
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=rng)
    return {**network.state_dict(), "classifier.1.weight": torch.zeros(10, 1280)}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "random.safetensors"
    save_file(random_state(), path)
    return path


@pytest.fixture(params=["grid", "mobilenet_v2"])
def features(request: pytest.FixtureRequest, weights: Path) -> FrameFeatures:
    return GridFeatures() if request.param == "grid" else MobileNetFeatures(weights)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Torch's cache of checkpoints, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def moving(frames: int = 4, height: int = 64, width: int = 64) -> Tensor:
    """A square that walks to the right over noise."""
    rng = torch.Generator().manual_seed(1)
    clip = torch.rand(1, 3, height, width, generator=rng).repeat(frames, 1, 1, 1) / 2
    for frame in range(frames):
        clip[frame, :, 10:26, 4 + 8 * frame : 20 + 8 * frame] = 1
    return clip


def test_maps_and_their_mean_have_the_shape_the_contract_says(features: FrameFeatures) -> None:
    assert isinstance(features, FrameFeatures)
    seen = features(moving(4, 112, 112))
    assert seen.maps.shape == (4, features.channels, 4, 4)
    assert seen.pooled.shape == (4, features.channels)
    assert seen.maps.dtype == seen.pooled.dtype == torch.float32
    torch.testing.assert_close(seen.pooled, seen.maps.mean(dim=(2, 3)))


def test_frames_of_any_size_have_cells_of_thirty_two_pixels(features: FrameFeatures) -> None:
    assert features(moving(2, 72, 100)).maps.shape[2:] == (3, 4)


def test_the_same_clip_gives_the_same_features_without_gradients(features: FrameFeatures) -> None:
    clip = moving().requires_grad_()
    first, second = features(clip), features(clip)
    assert torch.equal(first.maps, second.maps)
    assert not first.maps.requires_grad
    assert not first.maps.is_inference()  # agents learn from them


def test_the_clip_is_not_written_to(features: FrameFeatures) -> None:
    clip = moving()
    before = clip.clone()
    features(clip)
    assert torch.equal(clip, before)


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_a_constant_clip_has_finite_features(features: FrameFeatures, level: float) -> None:
    seen = features(torch.full((3, 3, 64, 64), level))
    assert seen.maps.isfinite().all()
    assert torch.equal(seen.pooled[0], seen.pooled[2])


def test_different_frames_look_different(features: FrameFeatures) -> None:
    pooled = features(moving()).pooled
    assert (pooled[0] - pooled[2]).norm() > 0.1


def test_grid_features_are_standardised_over_the_clip() -> None:
    maps = GridFeatures()(moving(8)).maps
    varied = maps.std(dim=(0, 2, 3)) > 0
    torch.testing.assert_close(
        maps.mean(dim=(0, 2, 3)), torch.zeros(maps.shape[1]), atol=1e-4, rtol=0
    )
    deviation = maps[:, varied].std(dim=(0, 2, 3), correction=0)
    torch.testing.assert_close(deviation, torch.ones_like(deviation), atol=1e-3, rtol=0)


def test_grid_features_see_where_something_moves() -> None:
    clip = torch.full((3, 3, 64, 64), 0.2)
    clip[1, :, 5:20, 40:60] = 0.9  # upper right cell of the middle frame
    change = GridFeatures()(clip).maps[1, 29]  # mean change since the previous frame
    assert change.argmax() == 1


def test_normalisation_can_be_left_out(weights: Path) -> None:
    clip = moving()
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    raw = MobileNetFeatures(weights, normalise=False)
    inside = MobileNetFeatures(weights)(clip).maps
    torch.testing.assert_close(raw((clip - mean) / deviation).maps, inside, rtol=1e-3, atol=1e-4)
    assert not torch.allclose(raw(clip).maps, inside, atol=0.01)


def test_many_videos_share_one_network(weights: Path) -> None:
    assert load_mobilenet(weights, CPU) is load_mobilenet(weights, CPU)


def test_a_checkpoint_of_torch_gives_what_the_safetensors_file_gives(
    weights: Path, tmp_path: Path
) -> None:
    path = tmp_path / "mobilenet_v2.pth"
    torch.save(random_state(), path)
    clip = moving()
    assert torch.equal(MobileNetFeatures(path)(clip).maps, MobileNetFeatures(weights)(clip).maps)


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"conv1.weight": torch.zeros(3)}, path)
    with pytest.raises(ConfigError, match="does not hold MobileNetV2: 260 tensors missing"):
        load_mobilenet(path, CPU)


@pytest.mark.parametrize("name", ["broken.safetensors", "broken.pth"])
def test_a_broken_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(ConfigError, match="does not hold MobileNetV2"):
        load_mobilenet(tmp_path / name, CPU)


def test_what_is_asked_for_is_taken(weights: Path) -> None:
    asked = mobilenet_v2(weights)
    choice = choose_features(asked)
    assert choice.features is asked
    assert not choice.automatic


def test_auto_takes_a_checkpoint_that_was_downloaded_before(cache: Path) -> None:
    cache.mkdir(parents=True)
    torch.save(random_state(), cache / "mobilenet_v2-b0353104.pth")
    choice = choose_features(None)
    assert choice.features.name == "mobilenet-v2"
    assert choice.automatic
    assert choice.features(moving()).maps.shape == (4, 1280, 2, 2)


def test_auto_takes_the_grid_where_no_weights_are_and_says_so(cache: Path) -> None:
    choice = choose_features(None)
    assert choice.features.name == "grid"
    assert choice.automatic
    assert choice.reason.startswith("no MobileNetV2 weights at hand")


def test_mobilenet_without_a_file_downloads_the_checkpoint(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(url: str, path: str, checksum: str, *, progress: bool) -> None:
        assert url == "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth"
        assert checksum == "b0353104"
        torch.save(random_state(), path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    assert mobilenet_v2().name == "mobilenet-v2"
    assert (cache / "mobilenet_v2-b0353104.pth").is_file()


def test_a_failed_download_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, progress: bool) -> None:
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    with pytest.raises(ConfigError, match="could not be fetched") as caught:
        mobilenet_v2()
    assert "'grid'" in caught.value.hint


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="weights: there is no file"):
        mobilenet_v2(tmp_path / "none.safetensors")


def piano(shared: Path, size: int = 224) -> Tensor:
    """Real frames that ImageNet has a class for."""
    spec = ClipSpec(classes=(), frames=2, height=size, width=size, resize=size)
    return read_clip(shared / PIANO, spec)


def test_a_piano_is_recognised(shared: Path) -> None:
    seen = MobileNetFeatures(shared / IMAGENET)(piano(shared))
    state = {key: value.float() for key, value in load_file(shared / IMAGENET).items()}
    logits = seen.pooled @ state["classifier.1.weight"].T + state["classifier.1.bias"]
    assert logits.argmax(dim=1).tolist() == [GRAND_PIANO] * 2


def test_features_equal_those_of_torchvision(shared: Path, torchvision: ModuleType) -> None:
    theirs = torchvision.models.mobilenet_v2().eval()
    state = load_file(shared / IMAGENET)
    theirs.load_state_dict({key: value.float() for key, value in state.items()})
    clip = piano(shared)
    with torch.no_grad():
        expected = theirs.features(clip)
    found = MobileNetFeatures(shared / IMAGENET, normalise=False)(clip).maps
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
