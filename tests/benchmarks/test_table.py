"""The table of all attacks: which runs there are, and what is made of their records."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from vidrobust.errors import ConfigError, RecordError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import many_runs
import table
import table_summary

CLASSES = ["Archery", "BasketballDunk", "HorseRace", "PlayingPiano", "PlayingViolin", "Surfing"]


def options(tmp_path, *extra, step="summary"):
    paths = ["--out", str(tmp_path / "out"), "--results", str(tmp_path / "results")]
    return table.parse([step, *paths, "--shared", str(tmp_path / "nowhere"), *extra])


def record(key, status="success", queries=100, mean_abs=5.0, target=None):
    return {
        "key": key,
        "sha256": f"of {key}",
        "status": status,
        "queries": queries,
        "queries_to_success": queries if status == "success" else None,
        "seconds": 1.0,
        "target": target,
        "distance": {"mean_abs_255": mean_abs},
    }


def write_run(folder, records, *, goal="untargeted", model="tsm", attack="square", budget=1000):
    threat = {"goal": goal, "constraint": {"use": "linf", "epsilon": 0.05}}
    config = {
        "threat": threat,
        "model": {"use": f"zoo/{model}", "weights": "ucf6"},
        "attack": {"use": attack},
    }
    manifest = {
        "schema": "vidrobust.run/1",
        "config": config,
        "classes": CLASSES,
        "budget": budget,
        "finished": None,
    }
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(manifest))
    lines = [json.dumps({"schema": "vidrobust.video/1", **line}) for line in records]
    (folder / "videos.jsonl").write_text("\n".join(lines) + "\n")


def test_parts_share_all_runs_and_overlap_in_none(tmp_path):
    found = table.cells(options(tmp_path))
    assert len(found) == len(set(found)) == 2 * 4 * 9
    first, second = table.share(found, "0/2"), table.share(found, "1/2")
    assert sorted(map(repr, first + second)) == sorted(map(repr, found))
    assert abs(len(first) - len(second)) <= 1


@pytest.mark.parametrize("part", ["2/2", "x/2", "1", "-1/2", "0/0"])
def test_a_part_that_does_not_exist_is_refused(tmp_path, part):
    with pytest.raises(ConfigError, match="--part"):
        table.share(table.cells(options(tmp_path)), part)


def test_the_list_of_targets_has_another_class_for_every_clip():
    listed = many_runs.targets()
    assert len(listed) == 36
    for key, target in listed.items():
        assert target in CLASSES
        assert target != key.split("_")[1]
    assert len(many_runs.ucf_keys(12)) == 12
    assert many_runs.ucf_keys(12) == list(listed)[::3]
    assert many_runs.ucf_keys(None) == many_runs.ucf_keys(99) == list(listed)


def test_trained_agents_go_to_the_attack_and_victim_they_are_of(tmp_path):
    (tmp_path / "rlsb-tsm.safetensors").touch()
    given = options(tmp_path, "--agents", str(tmp_path), step="run")

    def agent(model, attack):
        return table.config(table.Cell("untargeted", model, attack), given)["attack"].get("agent")

    assert agent("tsm", "rlsb") == str(tmp_path / "rlsb-tsm.safetensors")
    assert agent("c3d", "square") is None
    with pytest.raises(ConfigError, match=r"rlsb-c3d\.safetensors is missing"):
        agent("c3d", "rlsb")


def test_an_earlier_run_stands_for_the_untargeted_cell(tmp_path):
    keys = many_runs.ucf_keys(2)
    write_run(
        tmp_path / "ucf6-tsm-square",
        [record(key, "success", 10, 5.0) for key in keys],
        budget=15_000,
    )
    cell = table.Cell("untargeted", "tsm", "square")
    assert cell.earlier(tmp_path, 2) == tmp_path / "ucf6-tsm-square"
    assert cell.earlier(tmp_path, None) is None  # it has two clips of 36
    assert cell.earlier(None, 2) is None
    assert table.Cell("targeted", "tsm", "square").earlier(tmp_path, 2) is None
    assert table.Cell("untargeted", "c3d", "square").earlier(tmp_path, 2) is None


def test_differences_are_paired_over_clips_both_attacked(tmp_path):
    first, second, third, fourth = keys = many_runs.ucf_keys(4)
    given = options(tmp_path, "--limit", "4", "--models", "tsm", "--goal", "untargeted")
    ours = [
        record(first, queries=300, mean_abs=6.0),
        record(second, "exhausted", 990, 4.0),
        record(third, "misclassified"),
    ]
    theirs = [
        record(first, queries=100, mean_abs=3.0),
        record(second, queries=200, mean_abs=3.0),
        record(fourth),
    ]
    write_run(tmp_path / "out/untargeted/tsm/square", ours)
    write_run(tmp_path / "out/untargeted/tsm/astfocus", theirs, attack="astfocus")
    found = table_summary.table("tsm", "untargeted", given)
    assert found["clips"] == keys
    assert [line["attack"] for line in found["rows"]] == ["astfocus", "square"]
    difference = found["rows"][1]["difference"]
    assert difference["clips"] == 2
    assert (difference["only_other"], difference["only_base"]) == (0, 1)
    assert difference["queries"]["mean"]["value"] == ((300 - 100) + (1000 - 200)) / 2
    assert difference["mean_abs_255"]["mean"]["value"] == 3.0
    assert found["rows"][1]["summary"]["queries_mean_spent"]["value"] == 645
    text = table_summary.markdown(found)
    assert "| `square` | 2 (1 to come) | 50 [" in text
    assert "| `square` | 2 | -50 | 1.000 | 500 [" in text


def test_the_papers_row_stands_beside_ours(tmp_path):
    theirs = {"map": 3.3, "queries": 1138.0, "fooling_rate": 96.0}
    row = {"dataset": "UCF-101", "model": "TSM", "attack": "astfocus"}
    listed = {"attacks": [{**row, "untargeted": theirs, "targeted": theirs}]}
    (tmp_path / "nowhere/reference").mkdir(parents=True)
    (tmp_path / "nowhere/reference/astfocus_tables.json").write_text(json.dumps(listed))
    write_run(tmp_path / "out/untargeted/tsm/square", [record(many_runs.ucf_keys(1)[0])])
    given = options(tmp_path, "--limit", "1", "--models", "tsm", "--goal", "untargeted")
    table_summary.write_tables(given)
    text = (tmp_path / "results/tsm-untargeted.md").read_text()
    assert "| `astfocus` | no run |" in text
    assert text.count("| 96 | 1138 | 3.3 |") == 1
    assert json.loads((tmp_path / "results/tsm-untargeted.json").read_text())["paper"]


def test_a_record_aimed_at_another_target_is_refused(tmp_path):
    key, target = next(iter(many_runs.targets().items()))
    wrong = next(i for i, name in enumerate(CLASSES) if name != target)
    write_run(tmp_path / "run", [record(key, target=wrong)], goal="targeted")
    with pytest.raises(RecordError, match="the list says"):
        table_summary.read(tmp_path / "run", table.Cell("targeted", "tsm", "square"), [key])


def test_a_run_of_another_victim_is_refused(tmp_path):
    write_run(tmp_path / "run", [], model="c3d")
    with pytest.raises(RecordError, match="no run of"):
        table_summary.read(tmp_path / "run", table.Cell("untargeted", "tsm", "square"), [])


def test_real_clips_are_attacked_resumed_and_aimed_at_the_listed_targets(shared, tmp_path, capsys):
    paths = ["--out", str(tmp_path / "out"), "--results", str(tmp_path), "--shared", str(shared)]
    few = ["--models", "tsm", "--attacks", "square", "--goal", "targeted", "--limit", "1"]
    short = [*few, "--budget", "4", *paths]
    assert table.main(["run", *short]) == 0
    assert table.main(["run", *short]) == 0
    assert table.main(["summary", *short]) == 0
    shown = capsys.readouterr().out
    assert shown.count("1 of 1 clips to attack") == 1  # the second call found it finished
    found = json.loads((tmp_path / "tsm-targeted.json").read_text())
    assert found["rows"][0]["summary"]["attacked"] == 1
    assert found["paper"]["astfocus"]["queries"] > 0
