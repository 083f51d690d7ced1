"""The model `onnx`: what ONNX Runtime answers for an export is what torch answers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from vidrobust_onnx.model import onnx_model
from vidrobust_torch.classifier import TorchClassifier

from vidrobust.errors import ConfigError, ModelError
from vidrobust.types import ClipSpec

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

CAFFE = {"value_range": "0-255", "mean": [110.0, 100.0, 90.0], "std": [50.0, 60.0, 70.0]}
SPEC = ClipSpec(("a", "b", "c", "d", "e"), frames=4, height=16, width=12, resize=16)


class Small(nn.Module):
    """A 3D convolution, a pool and a linear layer on clips `(k, c, t, h, w)`."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(3, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8, 5)

    def forward(self, clips):
        return self.head(self.convolution(clips).relu().mean((2, 3, 4)))


@pytest.fixture(scope="module")
def small():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Small().eval()


@pytest.fixture(scope="module")
def clips():
    return torch.rand(5, *SPEC.shape, generator=torch.Generator().manual_seed(0))


def export(path, module, *, batch=2, **options):
    example = torch.rand(batch, 3, 4, 16, 12)
    torch.onnx.export(module, (example,), str(path), dynamo=False, **options)
    return str(path)


def any_batch(path, module):
    return export(path, module, input_names=["clips"], dynamic_axes={"clips": {0: "n"}})


@pytest.mark.parametrize("write", [any_batch, export], ids=["any batch", "batches of two"])
def test_it_answers_what_the_torch_model_it_came_from_answers(tmp_path, small, clips, write):
    path = write(tmp_path / "small.onnx", small)

    ours = onnx_model(
        path, layout="ncthw", range="0-255", mean=CAFFE["mean"], std=CAFFE["std"], resize=16
    )

    theirs = TorchClassifier(small, SPEC, layout="ncthw", **CAFFE)
    torch.testing.assert_close(ours(clips), theirs(clips), atol=1e-6, rtol=0)
    assert ours.spec.shape == SPEC.shape
    assert len(ours.spec.classes) == 5


def test_a_range_that_is_declared_wrongly_changes_the_answer(tmp_path, small, clips):
    path = any_batch(tmp_path / "small.onnx", small)

    right = onnx_model(path, layout="ncthw", range="0-255")
    wrong = onnx_model(path, layout="ncthw", range="0-1")

    assert not torch.allclose(right(clips), wrong(clips), atol=1e-2)


def test_a_size_that_the_file_does_not_take_is_refused_before_any_clip(tmp_path, small):
    path = any_batch(tmp_path / "small.onnx", small)

    with pytest.raises(ConfigError, match=r"model.frames: the file takes 4, got 16"):
        onnx_model(path, layout="ncthw", frames=16)


def test_the_wrong_layout_shows_in_the_channels(tmp_path, small):
    path = any_batch(tmp_path / "small.onnx", small)

    with pytest.raises(ModelError, match="failed on an input of shape"):
        onnx_model(path, layout="nthwc")


def test_the_wrong_number_of_classes_is_named(tmp_path, small):
    path = any_batch(tmp_path / "small.onnx", small)

    with pytest.raises(ModelError, match="answers 5 classes, but 7 are named"):
        onnx_model(path, layout="ncthw", classes=7)


def test_a_missing_file_and_a_file_of_something_else_are_told_apart(tmp_path):
    (tmp_path / "text.onnx").write_text("not a model")

    with pytest.raises(ModelError, match="there is no such file"):
        onnx_model(str(tmp_path / "none.onnx"))
    with pytest.raises(ModelError, match="no model that ONNX Runtime can run"):
        onnx_model(str(tmp_path / "text.onnx"))


def test_an_output_is_chosen_by_name(tmp_path, small, clips):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = small

        def forward(self, clips):
            scores = self.inner(clips)
            return scores.flip(1), scores

    path = export(tmp_path / "two.onnx", Two().eval(), output_names=["reversed", "scores"])

    first = onnx_model(path, layout="ncthw")
    second = onnx_model(path, layout="ncthw", answer="scores")

    torch.testing.assert_close(first(clips).flip(1), second(clips))
    with pytest.raises(ModelError, match="no output 'logits', only reversed, scores"):
        onnx_model(path, layout="ncthw", answer="logits")
