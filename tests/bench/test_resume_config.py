"""A run made before a component grew a key is gone on with, unless the key is now set otherwise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, ClassVar

import pytest
from vidrobust_datasets.folder import FolderSource
from whole_runs import TESTS, run

from vidrobust.bench.record import RunFolder
from vidrobust.errors import ConfigError
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.plugin.marks import OPERATIONAL
from vidrobust.types import Access, Query


@dataclass
class Before:
    """An attack of last year."""

    needs: ClassVar[Access] = Access.LABEL

    def run(self, task):
        yield Query(task.clean[None], "candidate")


@dataclass
class Since:
    """The same attack, which has learned to ask more than once."""

    asks: int = 1
    needs: ClassVar[Access] = Access.LABEL

    def run(self, task):
        for _ in range(self.asks):
            yield Query(task.clean[None], "candidate")


class Offers:
    def __init__(self, attack: type) -> None:
        self.attack = attack

    @hookimpl
    def vidrobust_attacks(self) -> Iterable[Entry]:
        yield Entry("asks", self.attack, "an attack")


def host_with(attack: type) -> PluginHost:
    host = PluginHost()
    host.register(Offers(attack), "mine")
    return host


@pytest.fixture
def earlier(videos, tmp_path):
    """A run of three of the six videos by the attack as it was."""
    run(videos, tmp_path / "run", "run.limit=3", attack="asks", host=host_with(Before))
    assert "asks" not in RunFolder(tmp_path / "run").manifest()["config"]["attack"]
    return tmp_path / "run"


def test_a_key_that_is_new_since_the_run_counts_as_its_default(videos, earlier):
    manifest, records = run(videos, earlier, attack="asks", host=host_with(Since), resume=True)

    assert [record["queries"] for record in records] == [2] * 6
    assert manifest["config"]["attack"] == {"use": "asks", "asks": 1}
    assert len(manifest["sessions"]) == 2


def test_once_gone_on_with_the_run_belongs_to_the_new_config(videos, earlier):
    host = host_with(Since)
    run(videos, earlier, attack="asks", host=host, resume=True)

    manifest, _ = run(videos, earlier, "attack.asks=1", attack="asks", host=host, resume=True)

    assert len(manifest["sessions"]) == 3


def test_a_new_key_that_is_set_to_another_value_is_another_config(videos, earlier):
    with pytest.raises(ConfigError, match="another config") as caught:
        run(videos, earlier, "attack.asks=2", attack="asks", host=host_with(Since), resume=True)

    assert "attack.asks was None and is now 2" in caught.value.hint


def test_a_run_whose_attack_is_gone_is_another_config(videos, earlier):
    with pytest.raises(ConfigError, match="another config"):
        run(videos, earlier, attack="square", resume=True)


def paced(path: str, pace: Annotated[float, OPERATIONAL] = 1.0) -> FolderSource:
    """A folder with a key that changes no record."""
    return FolderSource(path)


class OffersPaced:
    @hookimpl
    def vidrobust_sources(self) -> Iterable[Entry]:
        yield Entry("paced", paced, "a folder")


def test_the_hint_blames_no_key_that_may_change(videos, tmp_path):
    host = PluginHost()
    host.register(OffersPaced(), "mine")
    sets = ("source.use=paced", f"source.path={videos}", "threat.queries=2", "run.limit=1")
    run(videos, tmp_path / "run", *sets, host=host)

    more = (*sets, "source.pace=2.0", "run.window=3", "threat.queries=3")
    with pytest.raises(ConfigError, match="another config") as caught:
        run(videos, tmp_path / "run", *more, host=host, resume=True)

    assert caught.value.hint.startswith("threat.queries was 2 and is now 3")


def test_a_run_is_not_gone_on_with_after_its_model_file_has_changed(videos, tmp_path):
    file = tmp_path / "victims.py"
    file.write_bytes((TESTS / "victims.py").read_bytes())
    sets = (f"model.module={file}:pooled", "threat.queries=2")
    manifest, _ = run(videos, tmp_path / "run", *sets, "run.limit=2")
    assert list(manifest["files"]) == ["model.module"]

    file.write_text(file.read_text().replace("seed: int = 0", "seed: int = 1"))
    with pytest.raises(ConfigError, match=r"that of model\.module has changed"):
        run(videos, tmp_path / "run", *sets, resume=True)
    assert len(RunFolder(tmp_path / "run").records()) == 2
