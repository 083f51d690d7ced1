"""The model `torch`: finding the callable, loading the checkpoint, naming the classes."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from vidrobust_torch.checkpoint import load_checkpoint
from vidrobust_torch.model import build_module, read_classes, torch_model

from vidrobust.errors import ConfigError, ModelError

SIZES = {"frames": 4, "height": 8, "width": 6, "resize": 8}


@pytest.fixture
def clips():
    return torch.rand(2, 4, 3, 8, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def trained(network):
    return build_module(f"{network}:Means", {}).state_dict()


def test_a_class_in_a_file_is_built_and_finds_the_files_beside_it(network, clips):
    classifier = torch_model(f"{network}:Means", ["a", "b", "c"], **SIZES)

    assert classifier.spec.classes == ("a", "b", "c")
    assert classifier.spec.shape == (4, 3, 8, 6)
    torch.testing.assert_close(classifier(clips).sum(dim=1), torch.ones(2))


def test_a_module_in_a_package_is_built_with_its_arguments():
    linear = build_module("torch.nn:Linear", {"in_features": 2, "out_features": 5})

    assert linear.weight.shape == (5, 2)


def test_random_weights_are_the_same_every_time_and_the_global_generator_is_left_alone(network):
    torch.manual_seed(123)
    wanted = torch.rand(1)
    torch.manual_seed(123)

    first = build_module(f"{network}:Means", {})
    drawn = torch.rand(1)
    second = build_module(f"{network}:Means", {})

    assert torch.equal(first.head.weight, second.head.weight)
    assert torch.equal(drawn, wanted)


def test_a_module_that_stands_ready_is_taken_as_it_is(network, clips):
    assert torch_model(f"{network}:ready", 3, **SIZES)(clips).shape == (2, 3)


@pytest.mark.parametrize("layout", ["ntchw", "ncthw", "nthwc"])
def test_the_answer_does_not_depend_on_the_layout_the_module_wants(network, clips, trained, layout):
    torch.save(trained, f"{network}.pt")

    classifier = torch_model(
        f"{network}:Means",
        3,
        kwargs={"layout": layout},
        layout=layout,
        checkpoint=f"{network}.pt",
        **SIZES,
    )

    logits = clips.mean((1, 3, 4)) @ trained["head.weight"].T + trained["head.bias"]
    torch.testing.assert_close(classifier(clips), logits.softmax(dim=1))


def test_a_module_that_writes_into_its_input_gets_copies(network, clips):
    before = clips.clone()

    torch_model(f"{network}:Vandal", 3, **SIZES)(clips)

    assert torch.equal(clips, before)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("Means", "names no callable"),
        ("no.such.package:Net", "no.such.package cannot be imported: ModuleNotFoundError"),
        ("no/such/file.py:Net", "there is no such file"),
        ("{file}:Man", "has no 'Man'"),
        ("{file}:constant", "is a int, no callable"),
    ],
)
def test_a_reference_that_leads_nowhere_is_a_config_error(network, reference, words):
    with pytest.raises(ConfigError, match=words):
        torch_model(reference.format(file=network), 3, **SIZES)


def test_a_name_that_is_missing_is_answered_with_those_there_are(network):
    with pytest.raises(ConfigError) as caught:
        torch_model(f"{network}:Man", 3, **SIZES)

    assert "Means" in caught.value.hint


def test_a_file_that_does_not_run_is_named_with_its_error(tmp_path):
    (tmp_path / "bad.py").write_text("import no_such_thing\n")

    with pytest.raises(ConfigError, match=r"bad.py cannot be imported: .*no_such_thing"):
        torch_model(f"{tmp_path / 'bad.py'}:Net", 3, **SIZES)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("Means", {"kwargs": {"depth": 3}}, "unexpected keyword argument 'depth'"),
        ("broken", {}, "OSError: weights are on another disk"),
        ("number", {}, "returned a int"),
        ("Means", {"layout": "ncthw"}, r"failed on an input of shape \(1, 3, 4, 8, 6\) \(ncthw\)"),
        ("Means", {"classes": 4}, "answers 3 classes, but 4 are named"),
        ("Wrong", {"kwargs": {"answer": "tuple"}}, "got tuple"),
        ("Wrong", {"kwargs": {"answer": "deep"}}, r"expected scores of shape \(1, 3\)"),
        ("Wrong", {"kwargs": {"answer": "one"}}, r"got \(2, 3\)"),
        ("Wrong", {"kwargs": {"answer": "nan"}}, "NaN or infinity for 1 of 1 clips"),
        ("Means", {"checkpoint": "no.pt"}, "checkpoint no.pt: there is no such file"),
    ],
)
def test_parts_that_do_not_fit_are_a_model_error_when_built(network, name, options, words):
    with pytest.raises(ModelError, match=words):
        torch_model(f"{network}:{name}", **{"classes": 3, **SIZES, **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [({"frames": 0}, r"model\.frames"), ({"resize": 4}, r"model\.resize: .* crop 8 x 6")],
)
def test_sizes_that_make_no_sense_are_config_errors(network, options, words):
    with pytest.raises(ConfigError, match=words):
        torch_model(f"{network}:Means", 3, **{**SIZES, **options})


def _plain(path, weights):
    torch.save(weights, path)


def _wrapped(path, weights):
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in weights.items()}}, path)


def _compiled(path, weights):
    torch.save({f"_orig_mod.module.{k}": v for k, v in weights.items()}, path)


def _half(path, weights):
    torch.save({k: v.half() for k, v in weights.items()}, path)


@pytest.mark.parametrize("save", [_plain, _wrapped, _compiled, _half])
def test_weights_are_found_in_what_trainers_write(tmp_path, network, trained, save):
    save(tmp_path / "weights.pt", trained)
    module = build_module(f"{network}:Means", {})

    load_checkpoint(module, tmp_path / "weights.pt")

    torch.testing.assert_close(module.head.weight, trained["head.weight"], atol=1e-3, rtol=0)
    assert module.head.weight.dtype == torch.float32


def test_safetensors_are_read(tmp_path, network, trained):
    save_file(trained, tmp_path / "weights.safetensors")
    module = build_module(f"{network}:Means", {})

    load_checkpoint(module, tmp_path / "weights.safetensors")

    assert torch.equal(module.head.weight, trained["head.weight"])


def test_a_key_leads_to_nested_weights(tmp_path, network, trained):
    torch.save({"ema": {"net": trained}}, tmp_path / "weights.pt")
    module = build_module(f"{network}:Means", {})

    load_checkpoint(module, tmp_path / "weights.pt", state_key="ema.net")

    assert torch.equal(module.head.weight, trained["head.weight"])
    with pytest.raises(ModelError, match="no table 'model'; its keys are ema"):
        load_checkpoint(module, tmp_path / "weights.pt", state_key="model")


def test_another_architecture_lists_what_is_missing_unexpected_and_reshaped(
    tmp_path, network, trained
):
    weights = {"head.weight": torch.zeros(9, 3), "tail.bias": torch.zeros(2)}
    torch.save(weights, tmp_path / "weights.pt")
    module = build_module(f"{network}:Means", {})

    with pytest.raises(ModelError) as caught:
        load_checkpoint(module, tmp_path / "weights.pt")

    assert "1 missing: head.bias (3,)" in caught.value.message
    assert "1 unexpected: tail.bias (2,)" in caught.value.message
    assert "head.weight (9, 3) in the file, (3, 3) in the module" in caught.value.message


def test_batch_norms_of_old_checkpoints_may_lack_their_counters(tmp_path):
    module = torch.nn.BatchNorm2d(3)
    weights = {k: v for k, v in module.state_dict().items() if k != "num_batches_tracked"}
    torch.save({**weights, "bias": torch.ones(3)}, tmp_path / "weights.pt")

    load_checkpoint(module, tmp_path / "weights.pt")

    assert torch.equal(module.bias, torch.ones(3))


class Payload:
    """Would run code when unpickled without care."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (Payload(), "more than tensors"),
        ([1, 2], "holds a list, expected named tensors"),
        ({"epoch": 3}, "holds no tensors; its keys are epoch"),
    ],
)
def test_a_file_without_weights_is_refused(tmp_path, network, content, words):
    torch.save(content, tmp_path / "weights.pt")

    with pytest.raises(ModelError, match=words):
        load_checkpoint(build_module(f"{network}:Means", {}), tmp_path / "weights.pt")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04 cut off", b"text\n" * 50])
def test_a_damaged_file_is_refused(tmp_path, network, name, raw):
    (tmp_path / name).write_bytes(raw)

    with pytest.raises(ModelError, match=name) as caught:
        load_checkpoint(build_module(f"{network}:Means", {}), tmp_path / name)

    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("walk\nrun\n", ("walk", "run")),
        ("2 run\n1 walk\n", ("walk", "run")),
        ("playing guitar\n\nrun fast\n", ("playing guitar", "run fast")),
        ("\ufeffwalk\r\nrun\r\n", ("walk", "run")),
    ],
)
def test_classes_are_read_from_a_text_file(tmp_path, text, names):
    (tmp_path / "classes.txt").write_text(text, encoding="utf-8")

    assert read_classes(str(tmp_path / "classes.txt")) == names


def test_classes_can_be_a_list_or_a_number():
    assert read_classes(["b", "a"]) == ("b", "a")
    assert read_classes(3) == ("0", "1", "2")


@pytest.mark.parametrize(
    ("classes", "words"),
    [(0, "at least one"), (["a", "b", "a"], "more than once: a"), ("no.txt", "cannot be read")],
)
def test_classes_that_make_no_sense_are_config_errors(classes, words):
    with pytest.raises(ConfigError, match=words):
        read_classes(classes)
