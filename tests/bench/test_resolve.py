from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from parts import BASE, Order, Parts, host_of_parts, plan_of

from vidrobust.bench.config import (
    RunOptions,
    config_digest,
    load_config,
    merge,
    resolve,
)
from vidrobust.bench.values import with_fractions
from vidrobust.errors import ConfigError, PluginError
from vidrobust.plugin.manager import PluginHost
from vidrobust.threat.constraint import All, Frames, Linf


@pytest.fixture(scope="module")
def host() -> PluginHost:
    return host_of_parts()


def test_the_smallest_config_is_filled_with_defaults(host):
    plan = resolve(BASE, host)

    assert plan.run == RunOptions()
    assert plan.config["run"] == {k: v for k, v in asdict(RunOptions()).items() if v is not None}
    assert plan.config["threat"]["constraint"] == {"use": "linf", "epsilon": 0.05}
    assert plan.config["threat"]["queries"] == 15_000
    assert plan.config["attack"]["step"] == 0.1


def test_a_resolved_config_resolves_to_itself_also_through_toml(host):
    plan = plan_of(host, "attack.estimator.use=nes", "attack.estimator.sigma=8/255", "run.limit=3")

    again = resolve(plan.config, host)
    through_toml = resolve(load_config(None, (), base=_through_toml(plan.config)), host)

    assert again.config == plan.config
    assert through_toml.config == plan.config
    assert config_digest(again) == config_digest(plan) == config_digest(through_toml)


def _through_toml(config: dict[str, Any]) -> dict[str, Any]:
    import tomllib

    return tomllib.loads(tomli_w.dumps(config))


def test_values_become_what_the_annotation_says(host):
    plan = plan_of(host, "model.order=random", "attack.weights=[1, 2.5]", "source.labels=['a']")

    assert plan.model.kwargs["checkpoint"] == Path("w.pt")
    assert plan.model.kwargs["order"] is Order.RANDOM
    assert plan.attack.kwargs["weights"] == (1.0, 2.5)
    assert plan.source.kwargs["labels"] == ["a"]


def test_fractions_stand_for_floats_in_lists_too(host):
    config = merge(BASE, {"attack": {"step": "8/255", "weights": ["1/4", 2]}})

    plan = resolve(config, host)

    assert plan.attack.build().step == 8 / 255
    assert plan.attack.build().weights == (0.25, 2.0)
    assert plan.config["attack"]["step"] == 8 / 255


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.05", 0.05), ("1e-3", 1e-3), (" 8 / 255 ", 8 / 255), ("-1/4", -0.25), ("3", 3.0)],
)
def test_text_that_is_a_number_stands_for_a_float_but_for_nothing_else(host, text, value):
    step = resolve(merge(BASE, {"attack": {"step": text}}), host).attack.kwargs["step"]

    assert step == value
    with pytest.raises(ConfigError, match="expected int"):
        resolve(merge(BASE, {"run": {"seed": text}}), host)


@given(st.fractions(min_value=-1000, max_value=1000))
def test_any_fraction_stands_for_its_float(fraction):
    assert with_fractions(str(fraction), float | None) == pytest.approx(float(fraction))
    assert with_fractions(str(fraction), float | str) == str(fraction)


def test_a_list_of_constraints_holds_together(host):
    plan = plan_of(
        host, "threat.constraint=[{use='linf', epsilon='4/255'}, {use='frames', count=3}]"
    )

    assert plan.threat.build().constraint == All((Linf(4 / 255), Frames(3)))
    assert plan.config["threat"]["constraint"][1] == {"use": "frames", "count": 3}


def test_a_key_of_the_default_constraint_can_be_set_without_naming_it(host):
    plan = plan_of(host, "threat.constraint.epsilon=0.1")

    assert plan.threat.build().constraint == Linf(0.1)


def test_the_target_of_a_threat_model_is_a_word_an_index_or_a_class(host):
    kwargs = [
        plan_of(host, f"threat.target={value}").threat.kwargs["target"]
        for value in ("least-likely", "17", "Archery")
    ]

    assert kwargs == ["least-likely", 17, "Archery"]


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        ("atack.use=loop", "atack: there is no such table", "did you mean 'attack'?"),
        ("run.sed=1", "run.sed: there is no such key", "did you mean 'seed'?"),
        (
            "run.root=1",
            "run.root: there is no such key",
            "the keys are out, seed, limit, window, max_batch, clips, journal, pad, checks",
        ),
        (
            "attack.estimator.sigm=1",
            "attack.estimator.sigm: there is no such key",
            "did you mean 'sigma'?",
        ),
        (
            "attack.qqq=1",
            "attack.qqq: there is no such key",
            "`vidrobust show attacks:loop` lists the keys",
        ),
        (
            "attack.estimator.samples='60'",
            "attack.estimator.samples: expected int >= 2, got the string '60'",
            "write it without quotes: 60",
        ),
        (
            "attack.estimator.samples=60.0",
            "attack.estimator.samples: expected int >= 2, got the float 60.0",
            "write it as 60",
        ),
        (
            "attack.estimator.samples=true",
            "attack.estimator.samples: expected int >= 2, got the boolean True",
            "",
        ),
        (
            "attack.estimator.samples=0",
            "attack.estimator.samples: expected int >= 2, got the integer 0",
            "",
        ),
        (
            "attack.estimator.weights=rnk",
            'attack.estimator.weights: expected "raw" | "rank", got the string \'rnk\'',
            "did you mean 'rank'?",
        ),
        ("attack.step=nan", "attack.step: expected float, got the float nan", ""),
        ("attack.step=8/0", "attack.step: expected float, got the string '8/0'", ""),
        ("run.limit=0", "run.limit: expected int >= 1, got the integer 0", ""),
        ("run.out=12", "run.out: expected str, got the integer 12", 'write it with quotes: "12"'),
        ("run.clips=1", "run.clips: expected bool, got the integer 1", ""),
        (
            "model.order=srted",
            'model.order: expected "sorted" | "random", got the string \'srted\'',
            "did you mean 'sorted'?",
        ),
        (
            "source.labels=[1]",
            "source.labels: expected list[str], got the array [1]",
            "",
        ),
        (
            "attack.use=lop",
            "attack.use: there is no attack 'lop'; did you mean 'loop'?",
            "vidrobust list attacks shows what there is",
        ),
        (
            "attack.estimator.use=zo",
            "attack.estimator.use: there is no estimator 'zo'; did you mean 'zoo'?",
            "vidrobust list estimators shows what there is",
        ),
        (
            "attack.estimator.use=zoo",
            "attack.estimator.batch: required, but missing (expected int)",
            "Coordinates at a time; no default.",
        ),
        (
            "attack.estimator=nes",
            "attack.estimator: expected a table with `use` (estimators), got the string 'nes'",
            'write { use = "nes" }',
        ),
        (
            "attack.reducer.x=1",
            "attack.reducer.use: required, but missing",
            "`vidrobust list reducers` shows the names",
        ),
        (
            "attack.step.use=nes",
            "attack.step: takes no component, but float",
            "give the value without `use`",
        ),
        (
            "threat.constraint.use=linff",
            "threat.constraint.use: there is no constraint 'linff'",
            "did you mean 'linf'?",
        ),
        (
            "threat.access=top",
            'threat.access: expected "label" | "top-1" | "top-k" | "scores", '
            "got the string 'top'",
            "did you mean 'top-k' or 'top-1'?",
        ),
    ],
)
def test_a_fault_is_one_error_with_its_path_and_what_to_try(host, override, message, hint):
    base = merge(BASE, {"attack": {"estimator": {"use": "nes"}}})

    with pytest.raises(ConfigError) as caught:
        resolve(load_config(None, [override], base=base), host)

    assert caught.value.message == message
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"attack": "loop"}, "attack: expected a table, got the string 'loop'"),
        ({"attack": {"use": 3}}, "attack.use: expected a name, got the integer 3"),
        ({"attack": {}}, "attack.use: required, but missing"),
        ({"model": {"use": "victim"}}, "model.checkpoint: required, but missing (expected path)"),
    ],
)
def test_a_malformed_table_is_one_error(host, config, message):
    with pytest.raises(ConfigError) as caught:
        resolve({**BASE, **config}, host)
    assert caught.value.message == message


def test_two_providers_of_a_name_are_an_error_where_the_config_uses_it(host):
    crowded = PluginHost(points=[], allowed=())
    crowded.register(Parts(), "one", dist="first")
    crowded.register(Parts(), "two", dist="second")
    config = {name: {**table, "use": f"first:{table['use']}"} for name, table in BASE.items()}
    config["threat"] = {"use": "second:standard"}

    plan = resolve(config, crowded)

    assert plan.components()["threat"]["dist"] == "second"
    with pytest.raises(PluginError, match=r"attack\.use: the attack 'loop' is offered more than"):
        resolve({**config, "attack": {"use": "loop"}}, crowded)
