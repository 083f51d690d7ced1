"""Files of a run folder."""

from __future__ import annotations

from vidrobust.bench.record import RunFolder


def test_no_two_keys_share_a_file(tmp_path):
    keys = ["a/b", "a_b", "a%2Fb", "\u1234", "\x124", "\u12344", "a b", "a+b"]
    folder = RunFolder(tmp_path)
    paths = {folder.journal_path(key) for key in keys}
    assert len(paths) == len(keys)
    assert {path.parent for path in paths} == {tmp_path / "journal"}
