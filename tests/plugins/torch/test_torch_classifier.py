"""What the module sees, and what comes back."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from vidrobust_torch.classifier import TorchClassifier, find_device

from vidrobust.errors import ConfigError, ModelError
from vidrobust.protocols import Classifier
from vidrobust.types import ClipSpec

SPEC = ClipSpec(("a", "b", "c"), frames=4, height=8, width=6, resize=8)


@pytest.fixture
def clips():
    return torch.rand(2, *SPEC.shape, generator=torch.Generator().manual_seed(0))


class Spy(nn.Module):
    """Remembers its input and answers fixed scores."""

    def __init__(self, row=(1.0, 2.0, 3.0)):
        super().__init__()
        self.row = torch.tensor(row)

    def forward(self, x):
        self.seen = x
        return self.row.repeat(len(x), 1)


def _seen(clips, **options):
    spy = Spy()
    TorchClassifier(spy, SPEC, **options)(clips)
    return spy.seen


def test_a_torch_classifier_is_a_classifier():
    assert isinstance(TorchClassifier(Spy(), SPEC), Classifier)


def test_with_defaults_the_module_sees_the_very_clips(clips):
    assert _seen(clips).data_ptr() == clips.data_ptr()


@pytest.mark.parametrize(
    ("layout", "axes"), [("ncthw", (0, 2, 1, 3, 4)), ("nthwc", (0, 1, 3, 4, 2))]
)
@pytest.mark.parametrize("mean", [(), (0.5, 0.25, 0.125)])
def test_the_layout_is_permuted_and_contiguous(clips, layout, axes, mean):
    seen = _seen(clips, layout=layout, mean=mean)
    shift = torch.tensor(mean or (0.0, 0.0, 0.0)).view(3, 1, 1)

    assert seen.is_contiguous()
    torch.testing.assert_close(seen, (clips - shift).permute(axes))


@pytest.mark.parametrize(
    ("value_range", "low", "high"), [("0-1", 0.0, 1.0), ("0-255", 0.0, 255.0), ("-1-1", -1.0, 1.0)]
)
def test_the_range_is_the_one_asked_for(value_range, low, high):
    ends = torch.stack([torch.zeros(SPEC.shape), torch.ones(SPEC.shape)])

    seen = _seen(ends, value_range=value_range)

    assert (seen[0] == low).all()
    assert (seen[1] == high).all()


def test_mean_and_std_are_in_units_of_the_range(clips):
    mean, std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)

    seen = _seen(clips, value_range="0-255", mean=mean, std=std)

    wanted = (clips * 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    torch.testing.assert_close(seen, wanted)


def test_blue_comes_first_with_its_own_mean(clips):
    seen = _seen(clips, bgr=True, mean=(0.1, 0.2, 0.3))

    torch.testing.assert_close(seen[:, :, 0], clips[:, :, 2] - 0.1)
    torch.testing.assert_close(seen[:, :, 2], clips[:, :, 0] - 0.3)


@pytest.mark.parametrize(
    "options",
    [{}, {"bgr": True}, {"layout": "ncthw"}, {"mean": [0.5]}, {"value_range": "0-255"}],
)
def test_the_clips_are_never_written_to(clips, options):
    class Vandal(Spy):
        def forward(self, x):
            x.zero_()
            return super().forward(x)

    before = clips.clone()
    classifier = TorchClassifier(Vandal(), SPEC, **options)
    classifier.self_check()
    classifier(clips)

    assert torch.equal(clips, before)


def test_logits_become_probabilities_and_probabilities_pass(clips):
    row = (0.2, 0.3, 0.5)

    as_logits = TorchClassifier(Spy(row), SPEC)(clips)
    as_is = TorchClassifier(Spy(row), SPEC, output="probabilities")(clips)

    assert torch.equal(as_logits, torch.tensor([row, row]).softmax(dim=1))
    assert torch.equal(as_is, torch.tensor([row, row]))


def test_logits_given_for_probabilities_are_found_by_the_self_check():
    classifier = TorchClassifier(Spy(), SPEC, output="probabilities")

    with pytest.raises(ModelError, match="values from 1 to 3") as caught:
        classifier.self_check()

    assert caught.value.hint == "use output = 'logits'"


def test_scores_can_take_part_in_autograd(clips):
    weight = torch.ones(3, requires_grad=True)

    (TorchClassifier(Spy(), SPEC)(clips) * weight).sum().backward()

    assert weight.grad is not None


def test_the_module_is_put_into_evaluation_mode_without_gradients():
    module = nn.Sequential(nn.Linear(1, 1), nn.Dropout())

    TorchClassifier(module, SPEC)

    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())


def test_clips_of_another_shape_name_both_shapes():
    with pytest.raises(ModelError, match=r"shape \(4, 3, 8, 6\).*got \(5, 3, 8, 6\)"):
        TorchClassifier(Spy(), SPEC)(torch.zeros(1, 5, 3, 8, 6))


def test_another_number_of_classes_names_both():
    with pytest.raises(ModelError, match="answers 2 classes, but 3 are named"):
        TorchClassifier(Spy((0.0, 1.0)), SPEC).self_check()


def test_running_out_of_memory_is_left_to_the_scheduler(clips):
    class Hungry(nn.Module):
        def forward(self, x):
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="can't allocate memory"):
        TorchClassifier(Hungry(), SPEC)(clips)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mean": (1, 2)}, "mean: expected three numbers"),
        ({"std": (1, 0, 1)}, "std: expected positive numbers"),
        ({"device": "toaster"}, "device: 'toaster' is none"),
    ],
)
def test_numbers_that_make_no_sense_are_config_errors(options, words):
    with pytest.raises(ConfigError, match=words):
        TorchClassifier(Spy(), SPEC, **options)


def test_a_device_that_is_not_there_is_a_model_error():
    with pytest.raises(ModelError, match="is not available"):
        find_device("cuda:99")
