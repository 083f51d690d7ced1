"""The benchmark of defences: which runs there are, and what is made of their records."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import defences
import defences_summary
import many_runs

from vidrobust.bench.config import resolve
from vidrobust.plugin.manager import PluginHost


def options(tmp_path, step, *extra):
    paths = ["--out", str(tmp_path / "out"), "--results", str(tmp_path / "defences.json")]
    return defences.parse([step, *paths, "--shared", str(tmp_path / "nowhere"), *extra])


def test_parts_share_all_runs_and_overlap_in_none(tmp_path):
    found = defences.cells(options(tmp_path, "run", "--models", "c3d,tsn"))
    parts = [defences.share(found, f"{k}/2") for k in range(2)]

    assert sorted(map(str, parts[0] + parts[1])) == sorted(map(str, found))
    assert len(found) == 2 * len(defences.ATTACKS) * len(defences.USUAL)


@pytest.mark.parametrize("name", defences.DEFENCES)
def test_every_defence_of_the_benchmark_is_a_config(tmp_path, name):
    cell = defences.Cell("c3d", name, "square")

    plan = resolve(defences.cell_config(cell, options(tmp_path, "run")), PluginHost())

    assert [built.name for built in plan.defences] == (
        [] if name == "none" else [name.removesuffix("-abort").removesuffix("-refuse")]
    )


def record(key, status, queries, size, **more):
    return {
        "key": key,
        "status": status,
        "queries": queries,
        "queries_to_success": queries if status == "success" else None,
        "seconds": 1.0,
        "labelled": True,
        "distance": {"mean_abs_255": size},
        **more,
    }


def write_run(folder, records):
    manifest = {
        "schema": "vidrobust.run/1",
        "config": {"model": {"use": "zoo/c3d"}, "attack": {"use": "astfocus"}},
        "classes": [],
        "budget": 1000,
        "finished": "now",
    }
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(manifest))
    (folder / "videos.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n")


def test_the_summary_counts_the_selection_and_compares_directions(tmp_path):
    given = options(tmp_path, "summary", "--attacks", "astfocus")
    root = given.out / "c3d"
    plain = [record("a", "success", 300, 4.0), record("b", "success", 100, 3.0)]
    guarded = [
        record("a", "detected", 20, 1.0, refused=1, queries_to_refusal=20),
        record("b", "misclassified", 1, 0.0, refused=1, queries_to_refusal=1),
    ]
    write_run(root / "none" / "astfocus", plain)
    write_run(root / "advit-abort" / "astfocus", guarded)

    defences_summary.write(given, defences.cells(given))

    found = json.loads((tmp_path / "defences.json").read_text())
    undefended, defended = found["runs"]
    assert (undefended["attacked"], defended["attacked"], defended["clips"]) == (2, 1, 2)
    assert defended["clean_accuracy"]["value"] == 0.5
    assert defended["success_rate"]["value"] == 0
    assert defended["queries_to_refusal"] == 20  # the refused clean clip was not attacked
    assert defended["clean_clips_refused"] == 1
    assert found["directions"] == [
        {
            "model": "c3d",
            "defence": "advit-abort",
            "as_in_the_paper": {
                "success_rate": True,
                "queries_mean_spent": True,
                "mean_abs_255_all": True,
            },
        }
    ]
    text = (tmp_path / "defences.md").read_text()
    assert "| pgd-at | 60 % | 7005 | 4.81 |" in text
    assert "c3d behind advit-abort: yes, yes, yes" in text


def test_an_earlier_run_stands_for_the_undefended_victim_on_the_same_clips(tmp_path):
    more = ["--limit", "2", "--budget", "1000", "--reuse", str(tmp_path / "runs")]
    given = options(tmp_path, "summary", *more)
    first, second = many_runs.ucf_keys(2)
    other = next(key for key in many_runs.ucf_keys(None) if key not in (first, second))
    earlier = tmp_path / "runs" / "ablations" / "b1000" / "c3d" / "both-s0"
    write_run(earlier, [record(key, "success", 10, 1.0) for key in (first, other, second)])
    plain, defended = (defences.Cell("c3d", name, "astfocus") for name in ("none", "pgd-at"))

    assert defences_summary.line(plain, given)["attacked"] == 2
    assert defences_summary.line(defended, given) is None

    for other_run in (["--limit", "3"], ["--limit", "2", "--budget", "2000"]):
        unlike = options(tmp_path, "summary", "--reuse", str(tmp_path / "runs"), *other_run)
        assert defences_summary.line(plain, unlike) is None

    write_run(plain.folder(given.out), [record(first, "success", 10, 1.0)])
    assert defences_summary.line(plain, given)["attacked"] == 1  # its own records come first


def test_a_number_that_does_not_move_agrees_with_nothing():
    names = ("success_rate", "queries_mean_spent", "mean_abs_255_all")
    same = {"model": "c3d", "attack": "astfocus", **{name: {"value": 1.0} for name in names}}

    [found] = defences_summary.directions([{**same, "defence": d} for d in ("none", "oud")])

    assert set(found["as_in_the_paper"].values()) == {"same"}
