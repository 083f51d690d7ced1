from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from plotly.offline import get_plotlyjs

from vidrobust.bench.page import write_page
from vidrobust.bench.page.build import context
from vidrobust.bench.page.clips import Box, chosen_regions
from vidrobust.bench.record import RunFolder
from vidrobust.cli.output import App
from vidrobust.cli.report import report
from vidrobust.errors import RecordError


def test_the_page_asks_for_nothing_from_elsewhere(page):
    text = page.read_text().replace(get_plotlyjs(), "")
    assert len(text) < page.stat().st_size - 1e6  # the library is inside
    assert re.findall(r"(?:src|href)=['\"](?!#|data:)[^'\"]*", text) == []


def test_numbers_on_the_page_are_those_of_the_report(runs):
    found = context(runs, clips=0, progress=lambda text: None)
    printed = CliRunner().invoke(report, [*map(str, runs), "--json"], obj=App()).stdout
    for row, line in zip(json.loads(printed), found["table"]["lines"], strict=True):
        metrics = [metric.name for metric in found["table"]["metrics"]]
        share = row["summary"]["success_rate"]["value"]
        cell = line["cells"][metrics.index("success_rate")]
        assert cell["value"] == f"{100 * share:.1f}"


def test_every_stored_clip_gets_a_card_and_fewer_on_request(runs):
    stored = [r for r in RunFolder(runs[0]).records() if r["clip"]]
    assert stored
    for clips, expected in ((36, len(stored)), (1, 1), (0, 0)):
        found = context(runs[:1], clips=clips, progress=lambda text: None)
        assert len(found["runs"][0]["cards"]) == expected


def test_the_last_chosen_regions_are_shown():
    trace = [
        {"key_frames": [1], "boxes": [[1, 0, 0, 5, 5]]},
        {"key_frames": [2, 3], "boxes": [[2, 1, 2, 3, 4]]},
        {"iteration": 9},
    ]
    assert chosen_regions(trace) == ([2, 3], [Box(2, 1, 2, 3, 4)])
    assert chosen_regions([]) == ([], [])


def test_what_verify_found_is_on_the_page(runs, tmp_path):
    from vidrobust.bench.verify import FORMS

    folder = tmp_path / "copy"
    folder.mkdir()
    for name in ("run.json", "videos.jsonl"):
        (folder / name).write_bytes((runs[0] / name).read_bytes())
    before = context([folder], clips=0, progress=lambda text: None)
    assert before["delivered"] is None
    fooling = {form: 0 for form in FORMS} | {"float": 1}
    keys = [r["key"] for r in RunFolder(folder).records() if r["status"] == "success"]
    verified = {"summary": {"fooling": fooling}, "videos": [{"key": key} for key in keys]}
    (folder / "verify.json").write_text(json.dumps(verified))
    found = context([folder], clips=0, progress=lambda text: None)
    attacked = found["rows"][0].summary.attacked
    [line] = found["delivered"]["lines"]
    assert line["shares"][0] == f"{100 / attacked:.0f}"
    assert set(line["shares"][1:]) == {"0"}
    verified["videos"].pop()  # the run fooled the model on one more video since
    (folder / "verify.json").write_text(json.dumps(verified))
    assert context([folder], clips=0, progress=lambda text: None)["delivered"] is None


def test_the_paper_is_beside_a_run_it_has_a_row_for(runs, tmp_path):
    manifest = json.loads((runs[0] / "run.json").read_text())
    manifest["config"]["model"]["use"] = "zoo/tsm"
    manifest["config"]["source"]["use"] = "ucf101"
    manifest["config"]["attack"] = {"use": "vbad"}
    (tmp_path / "run.json").write_text(json.dumps(manifest))
    (tmp_path / "videos.jsonl").write_bytes((runs[0] / "videos.jsonl").read_bytes())
    found = context([tmp_path], clips=0, progress=lambda text: None)
    [line] = found["paper"]["lines"]
    assert (line["paper"]["fr"], line["paper"]["qn"]) == (84.0, 2803.0)
    assert context(runs, clips=0, progress=lambda text: None)["paper"] is None


def test_a_page_that_cannot_be_written_is_one_error(runs, tmp_path):
    with pytest.raises(RecordError, match="cannot be written"):
        write_page(runs[:1], tmp_path / "no" / "folder" / "page.html", clips=0)


def test_the_command_writes_it(runs, tmp_path):
    out = tmp_path / "page.html"
    result = CliRunner().invoke(
        report, [str(runs[0]), "--html", str(out), "--clips", "1"], obj=App()
    )
    assert result.exit_code == 0, result.output
    assert Path(out).read_text().count('<article class="clip"') == 1
