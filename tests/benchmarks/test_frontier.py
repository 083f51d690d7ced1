"""The benchmark of refinement: names that are configs, and what is made of the run folders."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest
from whole_runs import run

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import frontier
import frontier_summary
import many_runs

from vidrobust.bench.config import resolve
from vidrobust.bench.record import RunFolder
from vidrobust.errors import ConfigError
from vidrobust.plugin.manager import PluginHost

HOST = PluginHost()


def resolved(attack, refine):
    return resolve(
        {
            "model": {"use": "zoo/c3d"},
            "source": {"use": "folder", "path": "."},
            "attack": dict(attack),
            "refine": dict(refine),
        },
        HOST,
    )


@pytest.mark.parametrize("name", frontier.ATTACKS)
def test_every_named_attack_is_a_registered_one_with_other_settings(name):
    table = frontier.ATTACKS[name]

    plan = resolved(table, {"use": "prune"})

    usual = resolved({"use": table["use"]}, {"use": "prune"})
    assert plan.attack.name == table["use"]
    assert plan.config["attack"] != usual.config["attack"]


@pytest.mark.parametrize("name", frontier.REFINERS)
def test_every_named_refiner_is_prune_with_one_other_setting(name):
    plan = resolved({"use": "square"}, frontier.REFINERS[name])

    usual = resolved({"use": "square"}, {"use": "prune"}).config["refine"]
    found = plan.config["refine"]
    assert plan.refine.name == "prune"
    assert found.keys() == usual.keys()
    assert sum(found[key] != usual[key] for key in usual) == 1


def record(key, first, queries, size, status=None):
    return {
        "key": key,
        "status": status or ("exhausted" if first is None else "success"),
        "queries": queries,
        "queries_to_success": first,
        "distance": None if size is None else {"mean_abs_255": size},
    }


def write_run(path, records, *, budget=1000, finished="now", before=None):
    """A run folder; `before` has the sizes before refinement by key."""
    folder = RunFolder(path)
    folder.write_manifest(
        {"schema": "vidrobust.run/1", "config": {}, "budget": budget, "finished": finished}
    )
    for line in records:
        folder.append(line)
    for key, size in (before or {}).items():
        notes = [{"queries": 1, "stage": "search"}, {"queries": 9, "stage": "refine", "size": size}]
        folder.save_trace(key, notes)


def collected(root, goal="untargeted"):
    rows, budget = frontier_summary.collect(sorted(root.iterdir()), goal)
    return {(row["attack"], row["refiner"], row["model"]): row for row in rows}, budget


def test_a_video_counts_before_its_refinement_and_after_it(tmp_path):
    refined = [record("a", 40, 140, 2.0), record("b", 60, 360, 4.0)]
    failed, wrong = record("c", None, 700, 9.0), record("d", None, 1, None, "misclassified")
    name = "tsm-square-prune-untargeted-s0"
    write_run(tmp_path / name, [*refined, failed, wrong], before={"a": 6.0, "b": 7.0})

    rows, budget = collected(tmp_path)

    plain, after = rows["square", "none", "tsm"], rows["square", "prune", "tsm"]
    assert budget == 1000
    assert plain["clips"] == after["clips"] == 3
    assert plain["fooling_rate"][0] == after["fooling_rate"][0] == 66.67
    assert plain["queries_to_success"][0] == after["queries_to_success"][0] == 50
    assert plain["queries_all"][0] == round((40 + 60 + 700) / 3, 2)
    assert after["queries_all"][0] == round((140 + 360 + 700) / 3, 2)
    assert plain["map"][0] == 6.5
    assert after["map"][0] == 3.0


def test_a_success_without_refinement_has_one_size(tmp_path):
    write_run(tmp_path / "tsm-square-prune-untargeted-s0", [record("a", 1000, 1000, 5.0)])

    rows, _ = collected(tmp_path)

    assert rows["square", "none", "tsm"]["map"] == [5.0, None, None]
    assert rows["square", "prune", "tsm"]["map"] == [5.0, None, None]


def test_only_finished_runs_of_the_goal_count(tmp_path):
    write_run(tmp_path / "tsm-square-prune-untargeted-s0", [record("a", 10, 20, 1.0)])
    write_run(
        tmp_path / "tsm-square-prune-untargeted-s1",
        [record("a", 10, 20, 1.0)],
        budget=3000,
        finished=None,
    )
    write_run(
        tmp_path / "tsm-square-prune-targeted-s0", [record("a", 10, 20, 1.0)] * 2, budget=2000
    )
    (tmp_path / "tsm-square-prune-untargeted-s2").mkdir()
    write_run(tmp_path / "notes", [record("a", 10, 20, 1.0)])

    rows, budget = collected(tmp_path)

    assert {row["clips"] for row in rows.values()} == {1}
    assert {attack for attack, _, _ in rows} == {"square"}
    assert budget == 1000
    assert collected(tmp_path, "targeted")[1] == 2000


def test_runs_of_several_budgets_are_not_pooled(tmp_path):
    for seed, budget in enumerate((1000, 2000)):
        name = f"tsm-square-prune-untargeted-s{seed}"
        write_run(tmp_path / name, [record("a", 10, 20, 1.0)], budget=budget)

    with pytest.raises(ConfigError, match=r"several budgets lie together: \[1000, 2000\]"):
        collected(tmp_path)


@pytest.mark.parametrize("refine", ["prune", "prune-no-repair"])
@pytest.mark.parametrize("queries", [None, 200])
@pytest.mark.parametrize("attack", ["square", "focus-no-memory"])
def test_the_name_of_a_folder_can_be_taken_apart(attack, refine, queries):
    options = argparse.Namespace(refine=refine, refine_queries=queries, goal="targeted")
    match = frontier_summary._name().fullmatch(frontier.name(options, "c3d", attack, 2))
    refiner = refine if queries is None else f"{refine}@200"
    assert match.groups() == ("c3d", attack, refiner, "targeted", "s2")


def test_runs_of_other_benchmarks_have_rows_of_their_own(tmp_path):
    """They may look through other features, and have other clips."""
    write_run(tmp_path / "a" / "tsm-pgd-nes-prune-untargeted-s0", [record("a", 10, 20, 1.0)])
    clips = [record(key, None, 15_000, 5.0) for key in many_runs.ucf_keys(6)]
    write_run(tmp_path / "ucf6-tsm-pgd-nes", clips, budget=15_000)

    rows, _ = frontier_summary.collect(sorted((tmp_path / "a").iterdir()), "untargeted", tmp_path)

    found = {(row["attack"], row["refiner"]): row["clips"] for row in rows}
    assert found == {
        ("pgd-nes", "none"): 1,
        ("pgd-nes", "prune"): 1,
        ("pgd-nes", "none (reused)"): 6,
    }


def test_seeds_are_pooled_and_names_with_dashes_understood(tmp_path):
    for seed in range(2):
        name = f"tsm-focus-no-memory-prune-no-repair-untargeted-s{seed}"
        write_run(tmp_path / name, [record("a", 10 + seed, 20, 1.0)])

    rows, _ = collected(tmp_path)

    assert rows["focus-no-memory", "prune-no-repair", "tsm"]["clips"] == 2
    assert rows["focus-no-memory", "none", "tsm"]["queries_to_success"][0] == 10.5


def test_common_has_the_clips_of_all_whole_attacks_and_every_all_of_one(tmp_path):
    """The attack of one model neither is in `common` nor takes clips from it."""
    square = {"c3d": ["a", "b"], "tsm": ["a", "c"]}
    focus = {"c3d": ["b", "c"], "tsm": ["a", "b", "c"]}
    for attack, clips in {"square": square, "texture-focus": focus, "vbad": {"c3d": ["d"]}}.items():
        for model, keys in clips.items():
            found = [record(key, ord(key), 200, 1.0) for key in keys]
            write_run(tmp_path / f"{model}-{attack}-prune-untargeted-s0", found)

    rows, _ = collected(tmp_path)

    both = [ord("b"), ord("a"), ord("c")]  # b of c3d, a and c of tsm
    for attack, clips in (("square", 4), ("texture-focus", 5)):
        assert rows[attack, "prune", "common"]["clips"] == 3
        assert rows[attack, "prune", "common"]["queries_to_success"][0] == sum(both) / 3
        assert rows[attack, "prune", "every"]["clips"] == clips
    assert {model for attack, _, model in rows if attack == "vbad"} == {"c3d"}


def test_another_seed_of_a_clip_is_not_the_same_clip(tmp_path):
    write_run(tmp_path / "tsm-square-prune-untargeted-s0", [record("a", 10, 20, 1.0)])
    write_run(tmp_path / "tsm-square-prune-untargeted-s1", [record("a", 10, 20, 1.0)])
    write_run(tmp_path / "tsm-vbad-prune-untargeted-s1", [record("a", 10, 20, 1.0)])

    rows, _ = collected(tmp_path)

    assert rows["square", "prune", "common"]["clips"] == 1
    assert rows["square", "prune", "every"]["clips"] == 2


def test_pools_of_an_attack_that_misses_a_model_are_its_models_alone():
    points = {"c3d/s0/a": {"first": 1}, "c3d/s1/a": {"first": 2}, "tsm/s0/a": {"first": 3}}

    whole = frontier_summary._pools(points, {"c3d", "tsm"}, {"c3d/s1/a"})
    partial = frontier_summary._pools(points, {"c3d", "tsm", "tsn"}, {"c3d/s1/a"})

    models = {"c3d": [{"first": 1}, {"first": 2}], "tsm": [{"first": 3}]}
    assert partial == models
    everything = [{"first": 1}, {"first": 2}, {"first": 3}]
    assert whole == {**models, "common": [{"first": 2}], "every": everything}


def test_a_real_run_without_its_refiner_is_what_plain_says(videos, tmp_path):
    """The refiner asks after the attack, so that the same run without it ends where it began."""
    name = "pooled-square-prune-untargeted-s0"
    few = ["run.limit=2", "threat.constraint.epsilon=0.2"]
    run(videos, tmp_path / "runs" / name, *few, "refine.use=prune", "refine.queries=30")
    run(videos, tmp_path / "alone", *few)

    rows, budget = collected(tmp_path / "runs")

    alone = RunFolder(tmp_path / "alone").records()
    after = RunFolder(tmp_path / "runs" / name).records()
    assert budget == 200
    assert [line["status"] for line in alone] == ["success"] * 2
    for refiner, records in (("none", alone), ("prune", after)):
        row = rows["square", refiner, "pooled"]
        assert row["queries_all"][0] == sum(line["queries"] for line in records) / 2
        sizes = [line["distance"]["mean_abs_255"] for line in records]
        assert row["map"][0] == pytest.approx(sum(sizes) / 2, abs=0.006)
    plain, pruned = rows["square", "none", "pooled"], rows["square", "prune", "pooled"]
    assert plain["queries_all"][0] < pruned["queries_all"][0]
    assert plain["map"][0] > pruned["map"][0]


def row(attack, rate, queries, size):
    """A row as `collect` gives it; the ends of intervals do not matter."""
    ends = (0.0, 99.0)
    return {
        "attack": attack,
        "fooling_rate": [rate, *ends],
        "queries_all": [queries, *ends],
        "map": [size, *ends],
    }


def front(*rows):
    return [found["attack"] for found in frontier_summary.pareto(rows)]


def test_the_front_leaves_out_rows_that_another_beats_in_both():
    rows = [
        row("large", 100.0, 100, 9.0),
        row("small", 100.0, 800, 1.0),
        row("between", 100.0, 300, 4.0),
        row("slower", 100.0, 400, 4.5),
        row("as small, slower", 100.0, 900, 1.0),
        row("as fast, larger", 100.0, 100, 9.5),
    ]
    assert front(*rows) == front(*rows[::-1]) == ["large", "between", "small"]


def test_the_front_has_the_best_fooling_rate_only():
    fast = row("fast", 97.2, 10, 0.5)
    assert front(fast, row("sure", 100.0, 500, 3.0)) == ["sure"]
    assert front(fast, row("never", 0.0, 500, None)) == ["fast"]
    assert front(row("never", 0.0, 500, None)) == []


def test_the_area_is_that_of_the_steps_below_the_front():
    """Of 4 decades x 12.75: the third one 6.375 high, the fourth 10.2."""
    steps = [row("a", 100.0, 100, 6.375), row("b", 100.0, 1000, 2.55)]

    assert frontier_summary.area(steps, 10_000) == pytest.approx(32.5)  # 16.575 / 51
    assert frontier_summary.area(steps[1:], 10_000) == pytest.approx(20.0)  # 10.2 / 51


@pytest.mark.parametrize(
    ("queries", "size", "share"), [(1, 0.0, 100), (1, 12.75, 0), (1, 13.0, 0), (2000, 0.0, 0)]
)
def test_one_query_and_no_perturbation_dominate_everything(queries, size, share):
    found = frontier_summary.area([row("a", 100.0, queries, size)], 1000)
    assert found == pytest.approx(share)
    assert frontier_summary.area([], 1000) == 0


def test_a_table_has_a_line_per_row_and_a_dash_for_what_is_unknown():
    known = {
        "attack": "square",
        "refiner": "prune",
        "model": "common",
        "clips": 36,
        "fooling_rate": [97.22, 85.8, 99.51],
        "queries_to_success": [123.4, 100.6, 150.2],
        "queries_all": [600.0, None, None],
        "map": [2.346, 1.9, 2.8],
    }
    nothing = [None, None, None]
    unknown = {**known, "refiner": "none", "queries_to_success": nothing, "map": nothing}

    lines = frontier_summary.table([known, unknown]).splitlines()

    assert len(lines) == 4
    numbers = "| 36 | 97 [86, 100] | 123 [101, 150] | 600 | 2.35 [1.90, 2.80] |"
    assert lines[2] == f"| square | prune | common {numbers}"
    assert lines[3] == "| square | none | common | 36 | 97 [86, 100] | - | 600 | - |"
