from __future__ import annotations

import pytest
from parts import Nes, host_of_parts, plan_of

from vidrobust.bench.config import (
    config_digest,
    require_access,
)
from vidrobust.errors import ConfigError, ContractError, ModelError, PluginError
from vidrobust.plugin.manager import PluginHost
from vidrobust.types import Access


@pytest.fixture(scope="module")
def host() -> PluginHost:
    return host_of_parts()


def test_nested_components_are_built_afresh_each_time(host):
    plan = plan_of(host, "attack.estimator.use=nes", "attack.estimator.samples=10")

    first, second = plan.attack.build(), plan.attack.build()

    assert first.estimator == second.estimator == Nes(samples=10)
    assert first.estimator is not second.estimator
    assert first.estimator.memory is not second.estimator.memory


def test_components_are_named_by_path_plugin_and_version(host):
    plan = plan_of(host, "attack.estimator.use=nes")

    assert plan.components()["attack.estimator"] == {
        "name": "nes",
        "plugin": "parts",
        "dist": "in-process",
        "version": "0",
    }
    assert set(plan.components()) == {"model", "source", "threat", "attack", "attack.estimator"}


@pytest.mark.parametrize(
    ("overrides", "kind", "message"),
    [
        (
            ["attack.estimator.use=nes", "attack.estimator.samples=61"],
            ConfigError,
            "attack.estimator: expected an even number of samples, got 61",
        ),
        (
            ["attack.use=recipe", "attack.samples=61"],
            ConfigError,
            "attack: expected an even number of samples, got 61",
        ),
        (
            ["attack.use=recipe", "attack.samples=1002"],
            ConfigError,
            "attack.samples: too many",
        ),
        (
            ["threat.constraint.epsilon=0"],
            ConfigError,
            "threat.constraint.epsilon: expected a number in (0, 1], got 0",
        ),
        (["model.crash=own"], ModelError, "the checkpoint is of another network"),
        (
            ["model.crash=bug"],
            PluginError,
            "model: 'victim' of plugin 'parts' (in-process 0) could not be built: "
            "KeyError: 'layer1'",
        ),
        (["model.crash=deep"], PluginError, "JSONDecodeError"),
        (
            ["model.use=imposter"],
            ContractError,
            "which is no Classifier: it lacks __call__, device, spec",
        ),
    ],
)
def test_a_component_that_cannot_be_built_says_where_and_whose(host, overrides, kind, message):
    plan = plan_of(host, *overrides)

    with pytest.raises(kind) as caught:
        [plan.threat.build(), plan.attack.build(), plan.model.build()]
    assert type(caught.value) is kind
    assert message in caught.value.message


def test_an_attack_that_needs_more_than_is_shown_is_refused(host):
    plan = plan_of(host, "threat.access=label")

    require_access(plan, Access.SCORES)
    with pytest.raises(ConfigError, match="'loop' needs 'scores' access, the threat model shows"):
        require_access(plan, plan.threat.build().access)


def test_the_digest_ignores_what_cannot_change_a_record(host):
    plain = config_digest(plan_of(host))
    same = [
        "run.out=x",
        "run.limit=3",
        "run.window=1",
        "run.max_batch=4",
        "run.clips=false",
        "run.journal=false",
    ]
    other = ["run.seed=1", "run.pad=true", "attack.step=0.2", "threat.queries=9"]

    assert {config_digest(plan_of(host, override)) for override in same} == {plain}
    assert len({plain, *(config_digest(plan_of(host, override)) for override in other)}) == 5
