"""Each of the nine hooks, implemented by a small plugin and used through the door it opens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import click
import pytest
import torch
from torch import Tensor

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner
from vidrobust.bench.schema import RunManifest, VideoRecord
from vidrobust.cli import main as door
from vidrobust.cli.main import cli, main
from vidrobust.metrics.outcome import Summary
from vidrobust.plugin import Entry, hookimpl, hookspecs
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Classifier, Objective, Subspace, Task
from vidrobust.subspaces import Pixels, Rows
from vidrobust.testing import LinearVictim
from vidrobust.threat import Linf, ThreatModel
from vidrobust.types import Access, ClipSpec, Features, Queries, Query, Response, Video


@dataclass
class OneCoordinate:
    """An estimator that probes along one random direction."""

    width: float = 0.05

    def estimate(
        self, objective: Objective, point: Tensor, subspace: Subspace, rng: torch.Generator
    ) -> Queries[Tensor]:
        direction = subspace.sample(1, rng)
        both = torch.cat([point + self.width * direction, point - self.width * direction])
        losses = yield from objective.values(Rows(both.clamp(0, 1)))
        return direction[0] * (losses[0] - losses[1])


class Everywhere:
    """A reducer that reduces nothing."""

    def propose(self, point: Tensor, task: Task) -> Queries[Subspace]:
        return Pixels(tuple(point.shape), "fresh")
        yield

    def refine(
        self, point: Tensor, direction: Tensor, objective: Objective, task: Task
    ) -> Queries[Tensor]:
        return direction
        yield

    def feedback(self, loss: float | None, response: Response) -> None:
        pass


@dataclass
class Brightness:
    """One channel, one cell: the mean of the frame."""

    name: ClassVar[str] = "brightness"
    channels: ClassVar[int] = 1

    def __call__(self, clip: Tensor) -> Features:
        return Features.of(clip.mean(dim=(1, 2, 3)).view(-1, 1, 1, 1))


@dataclass
class Halve:
    """A refiner that asks for half of the perturbation."""

    needs: ClassVar[Access] = Access.LABEL
    measure: ClassVar[str] = "mean-abs"
    queries: ClassVar[int] = 1

    def refine(self, clip: Tensor, response: Response, task: Task) -> Queries[None]:
        yield Query(torch.lerp(task.clean, clip, 0.5)[None], "candidate")


class Shy:
    """A classifier that answers nothing."""

    refusal = "refuse"
    remembers = False

    def __init__(self, inner: Classifier) -> None:
        self.inner, self.spec, self.device = inner, inner.spec, inner.device

    def __call__(self, clips: Tensor) -> Tensor:
        return torch.full((len(clips), len(self.spec.classes)), torch.nan)

    def forget(self) -> None:
        pass


class Silence:
    """A defence that answers nothing."""

    def wrap(self, classifier: Classifier) -> Classifier:
        return Shy(classifier)


@dataclass
class Shrug:
    """An attack that asks the clean clip again and gives up."""

    needs: ClassVar[Access] = Access.LABEL

    def run(self, task: Task) -> Queries[None]:
        yield Query(task.clean[None], "candidate")


def toy_model() -> LinearVictim:
    """The victim."""
    return LinearVictim()


class ToyClips:
    """Two clips of noise."""

    def videos(self, spec: ClipSpec) -> Iterator[Video]:
        for seed in range(2):
            yield Video(f"toy-{seed}", lambda seed=seed: LinearVictim().clip(seed))


def strict() -> ThreatModel:
    """Hardly any room."""
    return ThreatModel(constraint=Linf(0.001), queries=5)


class Everything:
    """A plugin that implements every hook."""

    def __init__(self) -> None:
        self.done: list[tuple[str, str]] = []
        self.summaries: list[tuple[bool, int]] = []

    @hookimpl
    def vidrobust_threat_models(self) -> Iterable[Entry]:
        yield Entry("strict", strict, "hardly any room")

    @hookimpl
    def vidrobust_estimators(self) -> Iterable[Entry]:
        yield Entry("one-coordinate", OneCoordinate, "one random direction")

    @hookimpl
    def vidrobust_reducers(self) -> Iterable[Entry]:
        yield Entry("everywhere", Everywhere, "reduces nothing")

    @hookimpl
    def vidrobust_features(self) -> Iterable[Entry]:
        yield Entry("brightness", Brightness, "the mean of each frame")

    @hookimpl
    def vidrobust_attacks(self) -> Iterable[Entry]:
        yield Entry("shrug", Shrug, "gives up at once")

    @hookimpl
    def vidrobust_refiners(self) -> Iterable[Entry]:
        yield Entry("halve", Halve, "half of the perturbation")

    @hookimpl
    def vidrobust_models(self) -> Iterable[Entry]:
        yield Entry("toy", toy_model, "a linear victim")

    @hookimpl
    def vidrobust_defences(self) -> Iterable[Entry]:
        yield Entry("silence", Silence, "answers nothing")

    @hookimpl
    def vidrobust_sources(self) -> Iterable[Entry]:
        yield Entry("toy-clips", ToyClips, "two clips of noise")

    @hookimpl
    def vidrobust_commands(self, cli: click.Group) -> None:
        cli.add_command(click.Command("wave", help="Wave a hand.", callback=lambda: 5))

    @hookimpl
    def vidrobust_video_done(self, record: VideoRecord, run: RunManifest) -> None:
        self.done.append((record["key"], run["components"]["model"]["name"]))

    @hookimpl
    def vidrobust_run_done(self, run: RunManifest, summary: Summary) -> None:
        self.summaries.append((run["finished"] is not None, summary.videos))


@pytest.fixture
def plugin() -> Everything:
    return Everything()


@pytest.fixture
def host(plugin: Everything) -> PluginHost:
    host = PluginHost()
    host.register(plugin, "everything", dist="acme")
    return host


BASE = {
    "run": {"max_batch": 4},
    "model": {"use": "toy"},
    "source": {"use": "toy-clips"},
    "threat": {"queries": 20, "constraint": {"use": "linf", "epsilon": 0.2}},
    "attack": {"use": "shrug"},
}


def run(host: PluginHost, out, *sets: str) -> tuple[RunManifest, list[VideoRecord]]:
    return Runner(resolve(load_config(None, sets, base=BASE), host), host, RunFolder(out)).run()


def test_this_plugin_implements_every_hook():
    specified = {name for name in vars(hookspecs) if name.startswith("vidrobust_")}

    assert {name for name in vars(Everything) if name.startswith("vidrobust_")} == specified


def test_vidrobust_models_and_sources_and_attacks_make_a_run(host, tmp_path):
    manifest, records = run(host, tmp_path / "run")

    assert {part["dist"] for part in manifest["components"].values()} == {"acme", "vidrobust"}
    assert sorted(record["key"] for record in records) == ["toy-0", "toy-1"]
    assert [(record["status"], record["queries"]) for record in records] == [("gave_up", 2)] * 2


def test_vidrobust_threat_models_set_the_rules(host, tmp_path):
    manifest, _ = run(host, tmp_path / "run", "threat.use=strict")

    assert manifest["budget"] == 5
    assert manifest["components"]["threat"]["plugin"] == "everything"


def test_vidrobust_estimators_fill_the_slot_of_an_attack(host, tmp_path):
    _, records = run(
        host, tmp_path / "run", "attack.use=pgd-nes", "attack.estimator.use=one-coordinate"
    )

    assert all(record["queries"] > 2 for record in records)
    assert all((record["queries"] - 1) % 3 in (0, 2) for record in records)  # 2 probes, 1 candidate


def test_vidrobust_reducers_fill_the_slot_of_an_attack(host, tmp_path):
    sets = ["attack.use=pgd-nes", "attack.samples=4", "attack.reducer.use=everywhere"]
    manifest, records = run(host, tmp_path / "run", *sets)

    assert manifest["components"]["attack.reducer"]["name"] == "everywhere"
    assert all(record["queries"] > 4 for record in records)


def test_vidrobust_features_are_what_the_agents_of_astfocus_see(host, tmp_path):
    small = ("patch=9", "grid=3", "hidden=8", "features.use=brightness")
    sets = [f"attack.reducer.{key}" for key in ("use=astfocus", *small)]
    manifest, _ = run(host, tmp_path / "run", "attack.use=astfocus", "attack.samples=4", *sets)

    assert manifest["components"]["attack.reducer.features"]["plugin"] == "everything"
    trace = RunFolder(tmp_path / "run").load_trace("toy-0")
    assert trace[0]["features"] == "brightness"


def test_vidrobust_refiners_follow_an_attack_that_succeeded(host, tmp_path):
    sets = ["attack.use=square", "threat.queries=200", "refine.use=halve"]
    manifest, records = run(host, tmp_path / "run", *sets)

    assert manifest["components"]["refine"]["name"] == "halve"
    assert [record["status"] for record in records] == ["success"] * 2
    assert all(r["queries"] == r["queries_to_success"] + 1 for r in records)


def test_vidrobust_defences_stand_before_the_model(host, tmp_path):
    manifest, records = run(host, tmp_path / "run", "defence.use=silence")

    assert manifest["components"]["defence"]["plugin"] == "everything"
    assert [(r["status"], r["clean_label"], r["refused"]) for r in records] == [
        ("misclassified", -1, 1)
    ] * 2


def test_vidrobust_commands_adds_a_command(host, monkeypatch, capsys):
    monkeypatch.setattr(door.App, "host", host)

    with pytest.raises(SystemExit) as stop:
        main(["wave"])
    cli.commands.pop("wave")

    assert stop.value.code == 5


def test_vidrobust_video_done_is_told_of_every_video(plugin, host, tmp_path):
    _, records = run(host, tmp_path / "run")

    assert plugin.done == [(record["key"], "toy") for record in records]


def test_vidrobust_run_done_is_told_once_of_a_finished_run(plugin, host, tmp_path):
    _, records = run(host, tmp_path / "run")

    assert plugin.summaries == [(True, len(records))]


def test_an_entry_is_found_under_its_distribution_as_well(host):
    assert host.find("estimators", "acme:one-coordinate").load() is OneCoordinate
