"""The model `mmaction2`: finding config and weights, deciding what scores are, running."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from vidrobust_mmaction2 import install
from vidrobust_mmaction2.configs import Known, find_checkpoint, find_config, read_config
from vidrobust_mmaction2.install import import_mmaction
from vidrobust_mmaction2.model import build, mmaction2
from vidrobust_mmaction2.recogniser import settle_average

from vidrobust.cli.main import main
from vidrobust.errors import ConfigError, ModelError

C3D = "c3d_sports1m-pretrained_8xb30-16x1x1-45e_ucf101-rgb"
# torch.hub, which MMEngine downloads with, leaves its connections to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TSM = "tsm_imagenet-pretrained-mobilenetv2_8xb16-1x1x8-100e_kinetics400-rgb"


def seeded(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0))


def test_a_name_from_the_installed_index_leads_to_its_config_and_its_weights():
    known = find_config(C3D, import_mmaction())

    assert known.path.name == f"{C3D}.py"
    assert known.weights is not None
    assert known.weights.startswith(
        f"https://download.openmmlab.com/mmaction/v1.0/recognition/c3d/{C3D}"
    )


def test_a_name_that_is_nearly_right_gets_a_suggestion():
    with pytest.raises(ConfigError, match="neither a file nor one of") as refused:
        find_config(TSM.replace("mobilenetv2", "mobilenet"), import_mmaction())

    assert refused.value.hint is not None
    assert TSM in refused.value.hint


def test_a_config_that_does_not_run_is_an_error_about_the_config(tmp_path):
    (tmp_path / "broken.py").write_text("model = dict(\n")

    with pytest.raises(ConfigError, match=r"broken.py cannot be read: SyntaxError"):
        read_config(tmp_path / "broken.py")


def test_a_config_of_ones_own_needs_a_checkpoint(images):
    with pytest.raises(ConfigError, match=r"no weights for images.py"):
        mmaction2(images())


@pytest.fixture
def served(tmp_path):
    """Serves a folder on loopback; gives the folder and the address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_checkpoint_is_downloaded_once_and_its_checksum_compared(served, monkeypatch, images):
    folder, address = served
    monkeypatch.setenv("TORCH_HOME", str(folder / "home"))
    buffer = io.BytesIO()
    torch.save({"state_dict": build(read_config(Path(images()))).state_dict()}, buffer)
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()[:8]
    remote = folder / f"tsn_20220831-{digest}.pth"
    remote.write_bytes(buffer.getvalue())
    (folder / "tsn_20220831-00000000.pth").write_bytes(buffer.getvalue())
    known = Known(Path(images()), f"{address}/{remote.name}")

    first = find_checkpoint("", known)
    remote.unlink()

    assert first is not None
    assert Path(first).read_bytes() == buffer.getvalue()
    assert find_checkpoint("", known) == first
    with pytest.raises(ModelError, match="its name says 00000000"):
        find_checkpoint(f"{address}/tsn_20220831-00000000.pth", known)


def test_a_checkpoint_that_cannot_be_downloaded_says_what_to_do(served, monkeypatch, images):
    folder, address = served
    monkeypatch.setenv("TORCH_HOME", str(folder / "home"))

    with pytest.raises(ModelError, match="cannot be downloaded") as refused:
        mmaction2(images(), f"{address}/none.pth")

    assert "give its path" in (refused.value.hint or "")


class Mine:
    """Opens a file when it is unpickled, as a malicious checkpoint would."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_what_a_training_stores_beside_the_weights_is_neither_a_hindrance_nor_run(tmp_path, images):
    state = build(read_config(Path(images()))).state_dict()
    curve = HistoryBuffer(np.array([0.5]), np.array([1]))
    training = {"message_hub": {"log_scalars": {"train/loss": curve}}, "meta": {"epoch": 1}}
    training["mine"] = Mine(tmp_path / "opened")
    wanted = {name: value + 1 for name, value in state.items()}
    extra = {"neck.aux.weight": torch.zeros(2)}
    torch.save({**training, "state_dict": wanted | extra}, tmp_path / "epoch_1.pth")

    classifier = mmaction2(images(), str(tmp_path / "epoch_1.pth"))

    loaded = classifier.module.recogniser.state_dict()
    assert all(torch.equal(value, wanted[name]) for name, value in loaded.items())
    assert not (tmp_path / "opened").exists()


def test_a_checkpoint_in_the_format_of_old_is_read(tmp_path, images):
    state = build(read_config(Path(images()))).state_dict()
    path = tmp_path / "old.pth"
    torch.save({"state_dict": state}, path, _use_new_zipfile_serialization=False)

    loaded = mmaction2(images(), str(path)).module.recogniser.state_dict()

    assert all(torch.equal(value, state[name]) for name, value in loaded.items())


def test_a_file_that_is_no_checkpoint_is_named(tmp_path, images):
    (tmp_path / "text.pth").write_text("no weights")

    with pytest.raises(ModelError, match=r"text.pth cannot be read"):
        mmaction2(images(), str(tmp_path / "text.pth"))


def test_a_checkpoint_that_lacks_a_weight_is_refused(tmp_path, images):
    recogniser = build(read_config(Path(images())))
    state = recogniser.state_dict()
    del state["cls_head.fc_cls.weight"]
    torch.save({"state_dict": state}, tmp_path / "headless.pth")

    with pytest.raises(ModelError, match=r"1 missing: cls_head.fc_cls.weight \(6, 1280\)"):
        mmaction2(images(), str(tmp_path / "headless.pth"))


@pytest.mark.parametrize("average", ["prob", "score", None])
def test_probabilities_are_decided_by_the_head_and_not_by_the_answer(volumes, average):
    path = volumes(average=average)
    recogniser = build(read_config(Path(path))).eval()
    clips = seeded(3, 8, 3, 32, 40)

    classifier = mmaction2(path, "random", width=40)
    answers = classifier(clips)

    views = classifier.module.views(clips) * 255
    mean = torch.tensor([110.0, 100, 90]).view(3, 1, 1, 1)
    std = torch.tensor([50.0, 60, 70]).view(3, 1, 1, 1)
    with torch.inference_mode():
        inputs = (views - mean) / std
        scores = recogniser.cls_head(recogniser.backbone(inputs.flatten(0, 1)))
    scores = scores.unflatten(0, (3, 6))
    wanted = scores.mean(1).softmax(-1) if average == "score" else scores.softmax(-1).mean(1)
    torch.testing.assert_close(answers, wanted, atol=1e-6, rtol=1e-4)
    assert classifier.spec.forwards == 6


def test_a_model_that_cuts_the_views_of_one_clip_only_still_takes_batches(volumes):
    clips = seeded(2, 8, 3, 32, 40)
    whole = mmaction2(volumes(), "random", width=40)(clips)

    cut = mmaction2(volumes(test_cfg={"max_testing_views": 4}), "random", width=40)(clips)

    torch.testing.assert_close(cut, whole, atol=1e-6, rtol=1e-4)


def test_a_head_that_names_several_classes_is_refused(volumes):
    recogniser = build(read_config(Path(volumes())))
    recogniser.cls_head.multi_class = True

    with pytest.raises(ModelError, match="names several classes at once"):
        settle_average(recogniser)


def test_random_weights_are_the_same_every_time(images):
    clips = seeded(2, 3, 3, 32, 32)

    first, second = (mmaction2(images(), "random") for _ in range(2))

    assert torch.equal(first(clips), second(clips))


@pytest.mark.parametrize("complete", [False, True])
def test_a_stand_in_takes_the_place_of_drn_only_where_it_is_missing(
    tmp_path, monkeypatch, complete
):
    monkeypatch.delitem(sys.modules, install.MISSING, raising=False)
    monkeypatch.delitem(sys.modules, f"{install.MISSING}.drn", raising=False)
    (tmp_path / "models" / "localizers").mkdir(parents=True)
    if complete:
        (tmp_path / "models" / "localizers" / "drn").mkdir()

    install._stand_in_for_drn(tmp_path)

    assert (install.MISSING in sys.modules) is not complete


def test_without_mmaction2_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setitem(sys.modules, "mmaction", None)

    with pytest.raises(ConfigError, match="not installed") as refused:
        import_mmaction()

    assert refused.value.hint == "pip install 'vidrobust[mmaction2]'"


def test_a_run_counts_queries_and_reports_what_a_query_costs(volumes, videos, tmp_path, capsys):
    out = tmp_path / "run"
    words = f"run --model mmaction2 --set model.config={volumes()} --set model.checkpoint=random "
    words += f"--set model.width=32 --source folder --set source.path={videos} --attack square "
    words += f"--budget 3 --limit 1 --out {out}"

    with pytest.raises(SystemExit) as stop:
        main(words.split())

    assert stop.value.code == 0, capsys.readouterr().err
    assert json.loads((out / "run.json").read_text())["environment"]["forwards_per_query"] == 6
    assert json.loads((out / "videos.jsonl").read_text())["queries"] <= 3
    assert "6 forward passes a query" in capsys.readouterr().out
