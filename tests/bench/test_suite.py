from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import tomli_w
from click.testing import CliRunner
from whole_runs import SHAPE, stable, write_videos

from vidrobust.bench.forecast import forecast
from vidrobust.bench.matrix import is_finished, run_suite
from vidrobust.bench.record import RunFolder
from vidrobust.bench.suite import load_suite, packaged
from vidrobust.cli.bench import bench
from vidrobust.cli.output import App
from vidrobust.errors import ConfigError, VideoError
from vidrobust.plugin.manager import PluginHost

VICTIMS = Path(__file__).resolve().parent.parent / "victims.py"


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_videos(folder, count=2)
    return folder


def tables(videos: Path) -> dict:
    return {
        "suite": {"name": "small", "seeds": [0, 1]},
        "run": {"max_batch": 8},
        "threat": {"queries": 30, "constraint": {"use": "linf", "epsilon": 0.01}},
        "models": {
            "pooled": {"use": "torch", "module": f"{VICTIMS}:pooled", "classes": 5} | SHAPE,
        },
        "sources": {"noise": {"use": "folder", "path": str(videos)}},
        "attacks": {"square": {"use": "square"}, "pgd": {"use": "pgd-nes"}},
        "goals": {
            "untargeted": {"goal": "untargeted"},
            "targeted": {"goal": "targeted", "queries": 40, "run": {"limit": 1}},
        },
    }


@pytest.fixture
def file(tmp_path, videos) -> Path:
    path = tmp_path / "suite.toml"
    path.write_text(tomli_w.dumps(tables(videos)))
    return path


def write(path: Path, content: dict) -> Path:
    path.write_text(tomli_w.dumps(content))
    return path


def test_the_matrix_is_the_product_of_its_axes(file):
    suite = load_suite(file)
    names = [cell.name for cell in suite.cells]
    assert len(names) == len(set(names)) == 8
    assert names[:2] == ["noise-pooled-square-untargeted-s0", "noise-pooled-pgd-untargeted-s0"]
    assert suite.out == Path("runs/small")


def test_a_goal_is_laid_over_threat_and_run(file):
    cells = {cell.name: cell.config for cell in load_suite(file).cells}
    targeted = cells["noise-pooled-pgd-targeted-s1"]
    assert targeted["threat"] == {
        "queries": 40,
        "constraint": {"use": "linf", "epsilon": 0.01},
        "goal": "targeted",
    }
    assert targeted["run"] == {"max_batch": 8, "limit": 1, "seed": 1}
    assert "limit" not in cells["noise-pooled-pgd-untargeted-s1"]["run"]


def test_skipped_cells_and_overrides(tmp_path, videos):
    content = tables(videos)
    content["suite"]["skip"] = [{"attack": "pgd", "goal": "targeted"}]
    suite = load_suite(write(tmp_path / "s.toml", content), ["suite.seeds=[7]"])
    assert [cell.name for cell in suite.cells] == [
        "noise-pooled-square-untargeted-s7",
        "noise-pooled-pgd-untargeted-s7",
        "noise-pooled-square-targeted-s7",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modles": {}}, "modles: there is no such table"),
        ({"models": {}}, "models: a suite needs at least one"),
        ({"attacks": {"square": {"size": 3}}}, "attacks.square: expected what"),
        ({"suite": {"seed": 3}}, "suite.seed: there is no such key"),
        ({"suite": {"seeds": 3}}, "suite.seeds: expected a list"),
        ({"suite": {"skip": [{"model": "c3d"}]}}, "suite.skip: model = 'c3d' names nothing"),
    ],
)
def test_what_is_wrong_with_a_suite_is_said(tmp_path, videos, change, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_suite(write(tmp_path / "s.toml", tables(videos) | change))
    assert caught.value.hint


def test_a_wrong_key_of_a_component_names_the_cell(tmp_path, videos):
    content = tables(videos)
    content["attacks"]["pgd"]["sampels"] = 3
    suite = load_suite(write(tmp_path / "s.toml", content))
    with pytest.raises(ConfigError, match=r"noise-pooled-pgd-untargeted-s0: attack.sampels"):
        list(run_suite(suite, PluginHost()))


@pytest.mark.parametrize("name", sorted(packaged()))
def test_every_packaged_suite_resolves(name):
    suite = load_suite(name)
    assert suite.summary
    assert len(list(suite.plans(PluginHost()))) == len(suite.cells) > 0


def test_an_unknown_suite_gets_a_suggestion():
    with pytest.raises(ConfigError, match="no suite 'quikc'") as caught:
        load_suite("quikc")
    assert "quick" in caught.value.hint


def test_the_paper_has_every_cell_of_its_tables_and_no_other():
    suite = load_suite("astfocus-paper")
    assert len(suite.cells) == 3 * 4 * 7 * 2
    assert all(cell.model.endswith(cell.source) for cell in suite.cells)
    limits = {cell.source: cell.config["run"]["limit"] for cell in suite.cells}
    assert limits == {"ucf101": 100, "hmdb51": 50, "kinetics400": 400}


def test_the_paper_runs_on_substituted_victims(videos, tmp_path):
    """Every attack and goal of the paper's suite, on a victim that is there."""
    sets = [f"models.c3d-ucf101.module={VICTIMS}:pooled", "models.c3d-ucf101.use=torch"]
    sets += [f"models.c3d-ucf101.{key}={value}" for key, value in SHAPE.items()]
    sets += ["models.c3d-ucf101.classes=5", "sources.ucf101.use=folder"]
    sets += [f"sources.ucf101.path={videos}", "run.max_batch=8", "run.window=2"]
    sets += [f"goals.{goal}.queries=130" for goal in ("untargeted", "targeted")]
    whole = load_suite("astfocus-paper", sets, out=tmp_path / "out")
    cells = tuple(cell for cell in whole.cells if cell.model == "c3d-ucf101")
    results = list(run_suite(dataclasses.replace(whole, cells=cells), PluginHost()))
    assert len(results) == 7 * 2
    assert {r.cell.name: r.error for r in results if r.error} == {}
    for result in results:
        for record in RunFolder(result.folder).records():
            assert record["status"] in ("success", "exhausted", "gave_up", "misclassified")
            assert record["queries"] <= 130


def test_the_forecast_counts_what_is_left(file, tmp_path):
    suite = load_suite(file, out=tmp_path / "out")
    host = PluginHost()
    before = {row.cell: row for row in forecast(suite, host)}
    untargeted = before["noise-pooled-square-untargeted-s0"]
    assert (untargeted.videos, untargeted.queries, untargeted.problem) == (2, 60, "")
    assert untargeted.seconds is not None
    assert untargeted.seconds > 0
    assert before["noise-pooled-pgd-targeted-s0"].queries == 40
    next(iter(run_suite(suite, host)))
    after = {row.cell: row for row in forecast(suite, host)}
    assert after[untargeted.cell].done == 2
    assert after[untargeted.cell].queries == 0


def test_the_forecast_says_what_is_not_there(file, tmp_path):
    suite = load_suite(file, [f"sources.noise.path={tmp_path / 'nothing'}"])
    assert all(row.problem.startswith("source: ") for row in forecast(suite, PluginHost()))


def test_a_suite_goes_on_where_it_stopped(file, tmp_path):
    suite = load_suite(file, out=tmp_path / "out")
    host = PluginHost()
    part = run_suite(suite, host)
    first = [next(part), next(part)]
    part.close()
    plans = [plan for _, plan in suite.plans(host)]
    ended = [
        is_finished(cell.folder(suite.out), plan, host)
        for cell, plan in zip(suite.cells, plans, strict=True)
    ]
    assert ended == [True, True] + [False] * 6
    before = (first[0].folder / "run.json").read_bytes()
    results = list(run_suite(suite, host))
    assert [r.error for r in results] == [None] * 8
    assert (first[0].folder / "run.json").read_bytes() == before


def test_a_suite_that_was_changed_is_refused_and_one_of_more_videos_is_extended(file, tmp_path):
    few = load_suite(file, ["suite.seeds=[0]", "run.limit=1"], out=tmp_path / "out")
    host = PluginHost()
    list(run_suite(few, host))
    folder = few.cells[0].folder(few.out)
    assert len(RunFolder(folder).records()) == 1

    other = load_suite(file, ["suite.seeds=[0]", "threat.queries=7"], out=tmp_path / "out")
    with pytest.raises(ConfigError, match="another config") as error:
        list(run_suite(other, host))
    assert "threat.queries" in error.value.hint

    more = load_suite(file, ["suite.seeds=[0]", "run.limit=2"], out=tmp_path / "out")
    assert all(result.error is None for result in run_suite(more, host))
    assert len(RunFolder(folder).records()) == 2


def test_a_run_that_fails_does_not_stop_the_others(tmp_path, videos):
    content = tables(videos)
    content["sources"] = {"gone": {"use": "folder", "path": str(tmp_path / "gone")}} | content[
        "sources"
    ]
    suite = load_suite(write(tmp_path / "s.toml", content), ["suite.seeds=[0]"], out=tmp_path / "o")
    results = {r.cell.name: r for r in run_suite(suite, PluginHost())}
    assert isinstance(results["gone-pooled-square-untargeted-s0"].error, VideoError)
    assert results["noise-pooled-square-untargeted-s0"].error is None


def test_runs_in_processes_of_their_own_give_the_same_records(file, tmp_path):
    sets = ["suite.seeds=[0]"]
    alone = load_suite(file, sets, out=tmp_path / "alone")
    shared = load_suite(file, sets, out=tmp_path / "shared")
    list(run_suite(alone, PluginHost()))
    assert all(r.error is None for r in run_suite(shared, PluginHost(), workers=2))
    for cell in alone.cells:
        one, two = (RunFolder(cell.folder(s.out)).records() for s in (alone, shared))
        assert stable(one) == stable(two)


def test_the_command_plans_runs_and_reports(file, tmp_path):
    out, call = str(tmp_path / "out"), CliRunner().invoke
    planned = call(bench, [str(file), "--plan", "--json", "--out", out, "-q"], obj=App())
    assert sum(row["queries"] for row in json.loads(planned.stdout)) == 2 * 2 * (2 * 30 + 40)
    assert not Path(out).exists()
    done = call(
        bench, [str(file), "--out", out, "--json", "-q", "--set", "suite.seeds=[0]"], obj=App()
    )
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["run"] for row in rows] == [
        c.name for c in load_suite(file, ["suite.seeds=[0]"]).cells
    ]
