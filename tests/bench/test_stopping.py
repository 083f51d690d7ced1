"""What stops a run, what it leaves behind, and what it keeps."""

from __future__ import annotations

import pytest
import torch
from whole_runs import config, run, stable

from vidrobust.bench.config import resolve
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner, Silent
from vidrobust.errors import ConfigError, ContractError, ModelError
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.types import Video


def test_an_attack_that_does_not_repeat_itself_stops_the_run_and_keeps_its_journals(
    videos, tmp_path
):
    class Interrupts(Silent):
        def working(self, sessions):
            if all(session.outcome.queries > 20 for session in sessions):
                raise KeyboardInterrupt

    sets = ("threat.constraint.epsilon=0.001", "run.limit=2")
    with pytest.raises(KeyboardInterrupt):
        run(videos, tmp_path / "run", *sets, observer=Interrupts())
    journals = {path: path.read_text() for path in (tmp_path / "run/journal").iterdir()}
    for path, text in journals.items():
        lines = text.splitlines()
        path.write_text("\n".join([*lines[:5], lines[5].replace('"ask": "', '"ask": "0')]) + "\n")
    damaged = {path: path.read_text() for path in journals}
    with pytest.raises(ContractError, match="another query than its journal holds"):
        run(videos, tmp_path / "run", *sets, resume=True)
    assert {path: path.read_text() for path in journals} == damaged
    assert RunFolder(tmp_path / "run").records() == []
    for path, text in journals.items():
        path.write_text(text)
    _, resumed = run(videos, tmp_path / "run", *sets, resume=True)
    _, whole = run(videos, tmp_path / "whole", *sets)
    assert stable(resumed) == stable(whole)


def test_a_constraint_the_attack_cannot_work_with_ends_the_run_and_frees_its_name(videos, tmp_path):
    with pytest.raises(ConfigError, match="square needs an L-infinity constraint"):
        run(videos, tmp_path / "run", "threat.constraint={use='l2', epsilon=1.0}")
    _, records = run(videos, tmp_path / "run", "run.limit=1", "threat.queries=5")
    assert len(records) == 1


def test_a_source_with_another_range_is_blamed_and_not_the_attack(videos, tmp_path):
    class Bytes:
        def videos(self, spec):
            yield Video("x", lambda: torch.full(spec.shape, 200.0))

    class OfferingBytes:
        @hookimpl
        def vidrobust_sources(self):
            yield Entry("bytes", Bytes, "values in 0..255")

    host = PluginHost()
    host.register(OfferingBytes(), "bytes")
    plan = resolve(config(videos, tmp_path / "run", "source.use=bytes"), host)
    with pytest.raises(ModelError, match=r"source gave values in \[200, 200\]"):
        Runner(plan, host, RunFolder(tmp_path / "run")).run()


def test_samples_of_the_default_estimator_are_refused_where_another_is_given(videos, tmp_path):
    sets = ("attack.estimator.use=nes", "attack.samples=30")
    with pytest.raises(ConfigError, match="belong to the default estimator") as caught:
        run(videos, tmp_path / "run", *sets, attack="pgd-nes")
    assert "attack.estimator.samples" in caught.value.hint
