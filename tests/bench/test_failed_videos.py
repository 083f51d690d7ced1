"""Videos that end in an error: they alone are lost, and `--resume` attacks them again."""

from __future__ import annotations

from vidrobust_datasets.files import Reading
from whole_runs import run, stable

from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.types import Access, Query


class Fragile:
    """A third party's attack that asks the clean clip, and fails on one video after five queries
    until it is mended.
    """

    needs = Access.LABEL
    broken = True

    def run(self, task):
        for asked in range(8):
            if self.broken and asked == 5 and task.key == "noise0":
                raise ZeroDivisionError("a fault of the attack")
            yield Query(task.clean[None], "candidate")


class OfferingFragile:
    @hookimpl
    def vidrobust_attacks(self):
        yield Entry("fragile", Fragile, "fails in the middle")


def break_one_video(monkeypatch):
    """The source raises on `noise2`."""
    load = Reading._load

    def fails_once(self, path, key, spec):
        if key == "noise2":
            raise ValueError("a fault of the source")
        return load(self, path, key, spec)

    monkeypatch.setattr(Reading, "_load", fails_once)


def test_a_source_that_raises_on_one_video_loses_that_video_only(videos, tmp_path, monkeypatch):
    break_one_video(monkeypatch)
    _, records = run(videos, tmp_path / "run", "threat.queries=5")
    [failed] = [record for record in records if record["status"] == "error"]
    assert len(records) == 6
    assert (failed["key"], failed["error"]) == ("noise2", "ValueError: a fault of the source")


def test_a_video_that_failed_is_attacked_again_on_resume(videos, tmp_path, monkeypatch):
    with monkeypatch.context() as broken:
        break_one_video(broken)
        run(videos, tmp_path / "run", "threat.queries=5")
    _, mended = run(videos, tmp_path / "run", "threat.queries=5", resume=True)
    _, whole = run(videos, tmp_path / "whole", "threat.queries=5")
    assert stable(mended) == stable(whole)


def test_an_attack_that_failed_in_the_middle_begins_again_on_resume(videos, tmp_path):
    host = PluginHost()
    host.register(OfferingFragile(), "offering")
    Fragile.broken = True
    _, failed = run(videos, tmp_path / "run", "run.limit=2", attack="fragile", host=host)
    assert [(r["status"], r["queries"]) for r in failed] == [("error", 6), ("gave_up", 9)]
    Fragile.broken = False
    manifest, mended = run(
        videos, tmp_path / "run", "run.limit=2", attack="fragile", host=host, resume=True
    )
    assert [(r["status"], r["queries"]) for r in mended] == [("gave_up", 9)] * 2
    assert manifest["sessions"][1]["clips_replayed"] == 0
    assert manifest["sessions"][1]["clips_seen"] == 9
    assert [check["name"] for check in manifest["checks"] if not check["ok"]] == ["attacks-move"]
    assert not (tmp_path / "run" / "journal").exists()
