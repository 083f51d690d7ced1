from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from vidrobust.bench.report import render
from vidrobust.bench.rows import read_row, read_rows
from vidrobust.cli.compare import compare
from vidrobust.cli.output import App
from vidrobust.cli.report import report
from vidrobust.errors import ConfigError, RecordError
from vidrobust.metrics.outcome import METRICS

MakeRun = Callable[..., Path]


def line(index: int, status: str, queries: int, change: float) -> dict[str, Any]:
    return {
        "key": f"v{index}",
        "status": status,
        "queries": queries,
        "queries_to_success": queries if status == "success" else None,
        "seconds": queries / 50,
        "distance": {"mean_abs_255": change} if status in ("success", "exhausted") else None,
    }


SEVEN = [
    line(0, "success", 62, 2.0),
    line(1, "success", 245, 3.0),
    line(2, "success", 123, 2.5),
    line(3, "success", 611, 4.25),
    line(4, "exhausted", 1000, 5.0),
    line(5, "misclassified", 1, 0.0),
    line(6, "error", 62, 0.0),
]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    def make(
        name: str,
        records: list[dict[str, Any]],
        *,
        attack: Any = None,
        defence: Any = (),
        refine: Any = None,
        finished: bool = True,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        manifest = {
            "schema": "vidrobust.run/1",
            "budget": 1000,
            "finished": "2026-11-22T16:00:00Z" if finished else None,
            "config": {
                "model": {"use": "zoo/c3d"},
                "source": {"use": "motions"},
                "threat": {"use": "standard", "goal": "untargeted"},
                "attack": attack or {"use": "pgd-nes"},
                "defence": list(defence),
            }
            | ({"refine": refine} if refine else {}),
        }
        (folder / "run.json").write_text(json.dumps(manifest), encoding="utf-8")
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (folder / "videos.jsonl").write_text(lines, encoding="utf-8")
        return folder

    return make


@pytest.fixture
def two_runs(make_run: MakeRun) -> list[Path]:
    reduced = {"use": "pgd-nes", "samples": 60, "reducer": {"use": "random", "frames": 8}}
    return [
        make_run("pgd_random", SEVEN, attack=reduced),
        make_run("square", SEVEN[2:5], attack={"use": "square"}, finished=False),
    ]


def test_a_row_names_the_run_and_the_parts_that_were_replaced(two_runs):
    first, second = read_rows(two_runs)

    assert (first.run, first.model, first.source) == ("pgd_random", "zoo/c3d", "motions")
    assert (first.attack, second.attack) == ("pgd-nes + random", "square")
    assert (first.finished, second.finished) == (True, False)
    assert first.summary.success_rate.value == 4 / 5


def test_a_table_says_what_was_refined_and_what_had_no_labels(make_run):
    some = [{**record, "labelled": number > 1} for number, record in enumerate(SEVEN)]
    none = [{**record, "labelled": False} for record in SEVEN]
    refined = make_run("refined", some, refine={"use": "prune"})

    [first, second] = read_rows([refined, make_run("unlabelled", none)])

    one, both = render([first], "table"), render([first, second], "table")
    assert "MAP is after refinement; what that cost is in QN spent\n" in one
    assert "2 without a label: the model's own answers are attacked\n" in one
    assert render([second], "table").endswith(
        "seconds per attacked clip\nno labels: the model's own answers are attacked\n"
    )
    assert "MAP is after" in both
    assert "no labels:" in both


def test_runs_of_one_name_are_told_apart_by_their_paths(make_run):
    folders = [make_run("a/run", SEVEN), make_run("b/run", SEVEN)]

    assert [row.run for row in read_rows(folders)] == [str(folder) for folder in folders]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(RecordError, match=r"it has no run\.json"):
        read_row(tmp_path)


def test_csv_holds_every_number_at_full_precision(two_runs):
    rows = read_rows(two_runs)

    first, second = csv.DictReader(io.StringIO(render(rows, "csv")))

    estimate = rows[0].summary.queries_mean_capped
    assert float(first["queries_mean_capped"]) == estimate.value
    assert float(first["queries_mean_capped_low"]) == estimate.low
    assert (first["attacked"], second["attacked"]) == ("5", "3")
    assert {metric.name for metric in METRICS} < set(first)


def test_json_is_the_rows_as_data(two_runs):
    rows = read_rows(two_runs)

    assert json.loads(render(rows, "json")) == json.loads(
        json.dumps([row.as_dict() for row in rows])
    )


def test_markdown_escapes_what_would_end_a_cell(make_run):
    text = render([read_row(make_run("run", SEVEN), name="a|b")], "md")

    heading, rule, body = text.splitlines()
    assert heading.count("|") == rule.count("|") == body.replace("\\|", "").count("|")
    assert "a\\|b" in body


def test_latex_escapes_underscores_and_percent_signs(two_runs):
    text = render(read_rows(two_runs), "latex")

    assert r"pgd\_random" in text
    assert r"FR (\%)" in text
    assert text.count(r"\\") == 3


@pytest.mark.parametrize("form", ["table", "md", "latex"])
def test_the_report_of_two_runs_reads_as_before(two_runs, golden, form):
    golden(f"report_two_{form}.txt", render(read_rows(two_runs), form))


def test_the_report_of_one_run_reads_as_before(two_runs, golden):
    golden("report_one.txt", render(read_rows(two_runs[:1]), "table"))


def test_a_narrow_terminal_gets_a_table_per_run(two_runs):
    text = render(read_rows(two_runs), "table", width=80)

    assert text.count("fooling rate") == 2
    assert max(map(len, text.splitlines())) <= 80


def test_an_empty_run_has_a_report(make_run):
    rows = [read_row(make_run("empty", []))]

    assert "0 videos" in render(rows, "table")
    assert json.loads(render(rows, "json"))[0]["summary"]["success_rate"]["value"] is None


def test_the_command_writes_results_to_stdout_and_notes_to_stderr(two_runs):
    result = CliRunner().invoke(report, [str(run) for run in two_runs], obj=App(width=100))

    assert result.exit_code == 0
    assert "pgd-nes + random" in " ".join(result.stdout.split())
    assert result.stderr == "note: square has not finished; the table holds what there is\n"


def test_the_command_writes_to_a_file(two_runs, tmp_path):
    out = tmp_path / "table.md"

    result = CliRunner().invoke(
        report, [str(two_runs[0]), "--format", "md", "--out", str(out)], obj=App(width=400)
    )

    assert result.stdout == ""
    assert out.read_text(encoding="utf-8").startswith("| run")


def test_json_and_format_json_are_the_same(two_runs):
    runs = [str(run) for run in two_runs]

    short = CliRunner().invoke(report, [*runs, "--json"], obj=App())
    long = CliRunner().invoke(report, [*runs, "--format", "json"], obj=App())

    assert json.loads(short.stdout) == json.loads(long.stdout)


def test_a_file_that_cannot_be_written_is_one_error(two_runs, tmp_path):
    result = CliRunner().invoke(
        report, [str(two_runs[0]), "--out", str(tmp_path / "no" / "table.txt")], obj=App()
    )

    assert isinstance(result.exception, RecordError)
    assert "cannot be written" in result.exception.message


def test_a_run_below_a_threshold_ends_the_command_with_8(make_run):
    folder = str(make_run("a", SEVEN))

    def code(*options: str) -> int:
        arguments = [folder, "--json", *options]
        return CliRunner().invoke(report, arguments, obj=App(), standalone_mode=False).return_value

    # of the six videos with an answer, only the exhausted one holds out to the end
    assert code("--fail-under", "robust_accuracy=0.16") == 0
    assert code("--fail-under", "robust_accuracy=0.17") == 8
    assert code("--fail-under", "robust_accuracy=0.5", "--at-queries", "200") == 0
    assert code("--fail-under", "clean_accuracy=0.8", "--fail-under", "success_rate=0.9") == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fail-under", "robust_acuracy=0.6"], "no metric 'robust_acuracy'"),
        (["--fail-under", "robust_accuracy=much"], "expected a number"),
        (["--fail-under", "robust_accuracy=0.6", "--at-queries", "1001"], "with 1000 queries only"),
    ],
)
def test_wrong_thresholds_are_config_errors(make_run, options, message):
    result = CliRunner().invoke(report, [str(make_run("a", SEVEN)), *options], obj=App())
    assert isinstance(result.exception, ConfigError)
    assert message in result.exception.message
    assert result.exception.hint


def test_compare_prints_a_table_and_json(make_run):
    def numbered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [record | {"sha256": record["key"]} for record in records]

    slower = [r | {"queries_to_success": 900} for r in SEVEN[:4]] + SEVEN[4:]
    runs = [str(make_run("a", numbered(SEVEN))), str(make_run("b", numbered(slower)))]
    [found] = json.loads(CliRunner().invoke(compare, [*runs, "--json"], obj=App()).stdout)
    assert (found["base"], found["other"], found["clips"], found["both"]) == ("a", "b", 5, 4)
    assert found["queries"]["mean"]["value"] == pytest.approx((4 * 900 - 62 - 245 - 123 - 611) / 5)
    printed = CliRunner().invoke(compare, runs, obj=App(width=120)).stdout
    assert "against a" in printed
    assert "+511.8" not in printed  # queries are whole numbers in the table
    assert "+512" in printed


def test_a_defended_model_has_its_clean_accuracy_beside_its_fooling_rate(make_run: MakeRun) -> None:
    plain = make_run("plain", SEVEN)
    defended = make_run("defended", SEVEN, defence=[{"use": "bit-depth"}])
    both, alone = read_rows([plain, defended]), read_rows([plain, plain])
    wide = render(both, "table", width=140)
    assert "acc" in wide.split("FR")[0]
    assert render(both, "table", width=105).count("clean clips classified correctly") == 2
    for form in ("md", "latex"):
        assert "acc (" in render(both, form)
        assert "acc (" not in render(alone, form)


def test_a_run_with_trained_agents_and_one_with_refusals_say_so(make_run: MakeRun) -> None:
    trained = [{**line(0, "success", 62, 2.0), "training_queries": 27_000}]
    refused = [
        {**line(0, "detected", 30, 2.0), "refused": 1, "queries_to_refusal": 30},
        {**line(1, "success", 62, 2.0), "refused": 2, "queries_to_refusal": 50},
        {**line(2, "misclassified", 1, 0.0), "refused": 1, "queries_to_refusal": 1},
    ]
    rows = read_rows([make_run("trained", trained), make_run("refused", refused)])

    assert "27,000 queries of training before" in rows[0].rules
    text = render(rows[1:], "table")
    assert "1 detected" in text
    said = "refusals in 2 videos, first at query 40 in the mean"
    assert said in " ".join(text.split())
    assert "2 attacked, of them 1 detected" in text
    for form, width in (("table", 140), ("md", 100), ("latex", 100)):
        assert said in " ".join(render(rows, form, width=width).split())
    first, second = csv.DictReader(io.StringIO(render(rows, "csv")))
    assert (first["training_queries"], first["videos_with_refusals"]) == ("27000", "0")
    assert (second["videos_with_refusals"], second["queries_to_refusal"]) == ("2", "40.0")
    assert json.loads(render(rows[1:], "json"))[0]["queries_to_refusal"]["value"] == 40
