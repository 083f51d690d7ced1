"""Target classes from a file: one of its own for each video, checked before anything is asked."""

from __future__ import annotations

import pytest
import torch
from whole_runs import config

from vidrobust.bench.record import RunFolder
from vidrobust.bench.resolve import resolve
from vidrobust.bench.runner import Runner
from vidrobust.errors import ConfigError, VidrobustError
from vidrobust.plugin.manager import PluginHost
from vidrobust.threat import ThreatModel
from vidrobust.types import Response, Targeted

CLASSES = ("run", "jump", "swim", "arm wrestling")


def _file(folder, text):
    path = folder / "targets.csv"
    path.write_text(text, encoding="utf-8")
    return path


def _goal(threat, key, label=0):
    clean = Response(torch.tensor([label]))
    return threat.goal_for(label, CLASSES, clean, torch.Generator(), key=key)


def test_each_video_gets_its_own_target_by_name_or_index(tmp_path):
    path = _file(tmp_path, 'key,target\n"a, b",arm wrestling\nclip/2,2\n')
    threat = ThreatModel(goal="targeted", targets=path)

    assert _goal(threat, "a, b") == Targeted(0, 3)
    assert _goal(threat, "clip/2") == Targeted(0, 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("video,class\n", "lacks the columns key and target"),
        ("key,target\na,\n", "'a' no target"),
        ("key,target\na,1\na,2\n", "'a' two targets"),
        ("", "lacks the columns"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        ThreatModel(goal="targeted", targets=_file(tmp_path, text))


def test_what_contradicts_the_file_is_refused(tmp_path):
    path = _file(tmp_path, "key,target\na,run\nb,fly\n")
    threat = ThreatModel(goal="targeted", targets=path)

    with pytest.raises(ConfigError, match="cannot be read"):
        ThreatModel(goal="targeted", targets=tmp_path / "nope.csv")
    with pytest.raises(ConfigError, match="the goal is untargeted"):
        ThreatModel(targets=path)
    with pytest.raises(ConfigError, match="the target 'third'"):
        ThreatModel(goal="targeted", target="third", targets=path)
    with pytest.raises(ConfigError, match="has no target for 'c'"):
        threat.require_targets(["a", "c"], CLASSES)
    with pytest.raises(ConfigError, match="target of 'b'"):
        threat.require_targets(["a", "b"], CLASSES)
    with pytest.raises(VidrobustError, match="'run' is the video's own"):
        _goal(threat, "a")


def test_targets_stand_in_the_records_of_a_run(videos, tmp_path):
    names = [f"noise{number}" for number in range(6)]
    path = _file(tmp_path, "key,target\n" + "".join(f"{name},4\n" for name in names))
    sets = ("threat.goal=targeted", f"threat.targets={path}", "threat.queries=3")
    host = PluginHost()

    plan = resolve(config(videos, tmp_path / "run", *sets), host)
    _, records = Runner(plan, host, RunFolder(tmp_path / "run")).run()

    attacked = [record for record in records if record["label"] != 4]
    assert {record["target"] for record in attacked} == {4}
    assert len(attacked) >= 1


def test_a_video_without_a_target_stops_the_run_before_the_model_is_asked(
    videos, tmp_path, monkeypatch
):
    monkeypatch.setenv("VICTIM_LOG", str(tmp_path / "log"))
    path = _file(tmp_path, "key,target\nnoise0,4\n")
    sets = ("threat.goal=targeted", f"threat.targets={path}")
    host = PluginHost()
    plan = resolve(config(videos, tmp_path / "run", *sets), host)

    with pytest.raises(ConfigError, match="has no target for 'noise1'"):
        Runner(plan, host, RunFolder(tmp_path / "run")).run()

    assert (tmp_path / "log").read_text() == "1\n"  # the adapter's own, when it is built
