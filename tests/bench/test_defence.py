"""The table `defence` of a config, and what it does to a run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

import pytest
import torch
from annotated_types import Ge
from torch import Tensor
from whole_runs import config, run, stable, write_videos

from vidrobust.bench.config import config_digest, resolve
from vidrobust.bench.page import write_page
from vidrobust.bench.record import RunFolder
from vidrobust.bench.report import render
from vidrobust.bench.rows import read_row
from vidrobust.bench.runner import Runner
from vidrobust.bench.suite import load_suite
from vidrobust.bench.verify import verify_run
from vidrobust.capabilities import Refusal
from vidrobust.errors import ConfigError, ContractError
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.protocols import Classifier


class Front:
    """Sees clips before the model does."""

    remembers = False

    def __init__(self, inner: Classifier, change, refusal: Refusal = "never") -> None:
        self.inner, self.spec, self.device = inner, inner.spec, inner.device
        self.change, self.refusal = change, refusal

    def __call__(self, clips: Tensor) -> Tensor:
        return self.inner(self.change(clips))

    def forget(self) -> None:
        pass


class Nothing:
    """Does nothing."""

    def wrap(self, classifier: Classifier) -> Classifier:
        return Front(classifier, lambda clips: clips)


@dataclass(frozen=True)
class Shift:
    """Adds, then halves.

    Args:
        add: What.
        halve: Whether.
    """

    add: Annotated[float, Ge(0)] = 0.0
    halve: bool = False

    def wrap(self, classifier: Classifier) -> Classifier:
        factor = 0.5 if self.halve else 1.0
        return Front(classifier, lambda clips: (clips + self.add) * factor)


class Strange:
    def wrap(self, classifier: Classifier) -> Classifier:
        return torch.nn.Identity()


class Plugin:
    @hookimpl
    def vidrobust_defences(self) -> Iterable[Entry]:
        yield Entry("nothing", Nothing, "does nothing")
        yield Entry("shift", Shift, "adds, then halves")
        yield Entry("strange", Strange, "gives no classifier")


@pytest.fixture(scope="module")
def host() -> PluginHost:
    host = PluginHost()
    host.register(Plugin(), "defence-tests")
    return host


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    write_videos(folder, 3)
    return folder


def test_a_defence_that_does_nothing_changes_no_record(videos, tmp_path, host):
    _, plain = run(videos, tmp_path / "plain", host=host)
    manifest, defended = run(videos, tmp_path / "defended", "defence.use=nothing", host=host)

    assert stable(defended) == stable(plain)
    assert manifest["components"]["defence"]["name"] == "nothing"
    assert manifest["config"]["defence"] == {"use": "nothing"}


def test_a_run_without_a_defence_has_the_digest_that_it_always_had(videos, host):
    plain = resolve(config(videos, None), host)
    none = resolve(config(videos, None, "defence.use=none"), host)
    defended = resolve(config(videos, None, "defence.use=nothing"), host)

    assert "defence" not in plain.config
    assert config_digest(plain) == config_digest(none) != config_digest(defended)


def test_several_defences_compose_the_last_one_sees_the_clip_first(videos, host):
    table = [{"use": "shift", "add": 0.25}, {"use": "shift", "halve": True}]
    plan = resolve(config(videos, None) | {"defence": table}, host)
    victim, bare = plan.victim(), plan.model.build()
    clips = torch.rand((2, *bare.spec.shape), generator=torch.Generator().manual_seed(0))

    assert torch.equal(victim(clips), bare(clips * 0.5 + 0.25))
    assert [built.path for built in plan.defences] == ["defence[0]", "defence[1]"]
    assert resolve(plan.config, host).config == plan.config


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"use": "noting"}, r"^defence\.use: .*'nothing'"),
        ([{"use": "nothing"}, {"use": "shift", "ad": 1}], r"^defence\[1\]\.ad: there is no"),
        ({"use": "shift", "add": -1}, r"^defence\.add: expected float >= 0"),
        ("nothing", r"^defence: expected a table"),
        ([["nothing"]], r"^defence\[0\]: expected a table"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(videos, host, table, message):
    with pytest.raises(ConfigError, match=message):
        resolve(config(videos, None) | {"defence": table}, host)


def test_what_a_defence_gives_has_to_be_a_classifier(videos, host):
    plan = resolve(config(videos, None, "defence.use=strange"), host)

    with pytest.raises(ContractError, match="'strange' gave no classifier"):
        plan.victim()


def test_resuming_with_another_defence_is_refused(videos, tmp_path, host):
    run(videos, tmp_path / "run", "defence.use=nothing", host=host)

    with pytest.raises(ConfigError) as error:
        run(videos, tmp_path / "run", "defence.use=shift", host=host, resume=True)
    assert "defence" in error.value.hint

    both = config(videos, tmp_path / "run") | {"defence": [{"use": "nothing"}] * 2}
    runner = Runner(resolve(both, host), host, RunFolder(tmp_path / "run"), resume=True)
    with pytest.raises(ConfigError) as error:
        runner.run()
    assert error.value.hint.startswith("defence was")


def test_a_report_names_model_and_defence(videos, tmp_path, host):
    run(videos, tmp_path / "run", "defence.use=nothing", host=host)

    row = read_row(tmp_path / "run")

    assert (row.defence, row.victim) == ("nothing", "torch (victims.py:pooled) + nothing")
    for form in ("table", "md", "latex"):
        assert "torch (victims.py:pooled) + nothing" in render([row], form)
    assert "\nrun,torch,nothing," in render([row], "csv")
    write_page([tmp_path / "run"], tmp_path / "page.html")
    assert "square on torch (victims.py:pooled) + nothing" in (tmp_path / "page.html").read_text()


def test_verify_asks_the_defended_model(videos, tmp_path, host):
    sets = ("defence.use=shift", "defence.add=0.001", "threat.constraint.epsilon=0.05")
    _, records = run(videos, tmp_path / "run", *sets, host=host)
    plan = resolve(config(videos, None, *sets), host)

    rows = verify_run(RunFolder(tmp_path / "run"), plan.victim())

    assert [row["same_answer"] for row in rows] == [True] * len(rows)
    assert len(rows) == sum(record["status"] == "success" for record in records) > 0


def test_a_suite_has_models_with_and_without_defences(tmp_path, host):
    file = tmp_path / "suite.toml"
    file.write_text(
        '[models.plain]\nuse = "zoo/c3d"\n'
        '[models.guarded]\nuse = "zoo/c3d"\ndefence = { use = "shift", add = 0.5 }\n'
        '[sources.motions]\nuse = "motions"\n[attacks.square]\nuse = "square"\n'
    )

    plans = [plan for _, plan in load_suite(file, out=tmp_path / "out").plans(host)]

    assert [len(plan.defences) for plan in plans] == [0, 1]
    assert plans[1].config["defence"]["add"] == 0.5
    assert "defence" not in plans[1].config["model"]
