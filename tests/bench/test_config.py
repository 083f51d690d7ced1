from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
import tomli_w
from annotated_types import Ge, Gt, Interval, Len
from hypothesis import given
from hypothesis import strategies as st

from vidrobust.bench.config import (
    RunOptions,
    config_digest,
    load_config,
    merge,
    require_access,
    resolve,
)
from vidrobust.bench.params import parameters, type_text
from vidrobust.bench.values import with_fractions
from vidrobust.errors import ConfigError, ContractError, ModelError, PluginError
from vidrobust.plugin import Entry, hookimpl
from vidrobust.plugin.manager import PluginHost
from vidrobust.threat.constraint import All, Frames, Linf
from vidrobust.threat.model import ThreatModel
from vidrobust.types import Access

if TYPE_CHECKING:
    from vidrobust.protocols import DimensionReducer, GradientEstimator


class Order(StrEnum):
    SORTED = "sorted"
    RANDOM = "random"


@dataclass
class Nes:
    """Finite differences.

    Args:
        samples: Probes
            per estimate.
        sigma: Radius of the probes.
        weights: How losses weigh the directions.
    """

    samples: Annotated[int, Ge(2)] = 60
    sigma: Annotated[float, Gt(0)] = 1e-3
    weights: Literal["raw", "rank"] = "raw"
    memory: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.samples % 2:
            raise ValueError(f"expected an even number of samples, got {self.samples}")

    def estimate(self, objective, point, subspace, rng):
        yield


@dataclass
class Zoo:
    """Coordinates.

    Args:
        batch: Coordinates at a time; no default.
    """

    batch: int

    def estimate(self, objective, point, subspace, rng):
        yield


@dataclass
class Loop:
    """An attack with two slots."""

    step: float = 0.1
    estimator: GradientEstimator | None = None
    reducer: DimensionReducer | None = None
    weights: tuple[float, ...] = (1.0,)
    needs: Access = Access.SCORES

    def run(self, task):
        yield


def recipe(samples: int = 60) -> Loop:
    """A recipe whose parts check themselves."""
    if samples > 1000:
        raise ConfigError("samples: too many", hint="take fewer")
    return Loop(estimator=Nes(samples=samples))


class Victim:
    spec = None
    device = None

    def __call__(self, clips):
        return clips


def model(checkpoint: Path, *, order: Order = Order.SORTED, crash: str = "") -> Victim:
    if crash == "own":
        raise ModelError("the checkpoint is of another network")
    if crash == "bug":
        raise KeyError("layer1")
    if crash == "deep":
        json.loads("{")
    return Victim()


def not_a_model() -> object:
    return object()


class Clips:
    def __init__(self, root: str, labels: list[str] | None = None) -> None:
        self.root, self.labels = root, labels

    def videos(self, spec):
        return []


class Parts:
    @hookimpl
    def vidrobust_estimators(self) -> Iterable[Entry]:
        yield Entry("nes", Nes, "finite differences")
        yield Entry("zoo", Zoo, "coordinates")

    @hookimpl
    def vidrobust_attacks(self) -> Iterable[Entry]:
        yield Entry("loop", Loop, "a loop")
        yield Entry("recipe", recipe, "a recipe")

    @hookimpl
    def vidrobust_models(self) -> Iterable[Entry]:
        yield Entry("victim", model, "a model")
        yield Entry("imposter", not_a_model, "no model")

    @hookimpl
    def vidrobust_sources(self) -> Iterable[Entry]:
        yield Entry("clips", Clips, "clips")

    @hookimpl
    def vidrobust_threat_models(self) -> Iterable[Entry]:
        yield Entry("standard", ThreatModel, "the standard one")


BASE: dict[str, Any] = {
    "model": {"use": "victim", "checkpoint": "w.pt"},
    "source": {"use": "clips", "root": "videos"},
    "attack": {"use": "loop"},
}


@pytest.fixture(scope="module")
def host() -> PluginHost:
    host = PluginHost(points=[], allowed=())
    host.register(Parts(), "parts")
    return host


def plan_of(host: PluginHost, *overrides: str):
    return resolve(load_config(None, overrides, base=BASE), host)


# What a config comes to


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


# What is wrong with a config: one error each, with path and suggestion


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        ("atack.use=loop", "atack: there is no such table", "did you mean 'attack'?"),
        ("run.sed=1", "run.sed: there is no such key", "did you mean 'seed'?"),
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


# What goes wrong when a component is built


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


# Files and overrides


def test_a_file_is_laid_over_the_base(host, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[run]\nseed = 3\n[attack.estimator]\nuse = "nes"\n', encoding="utf-8")

    plan = resolve(load_config(file, ["run.window=1"], base=BASE), host)

    assert (plan.run.seed, plan.run.window) == (3, 1)
    assert plan.attack.build().estimator == Nes()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[run]\nseed = \n", "line 2"),
        (b"[run]\nseed = 1\nseed = 2\n", "line 3"),
        (b"\xff\xfe", "is not UTF-8"),
        (None, "does not exist"),
    ],
)
def test_a_file_that_cannot_be_read_names_itself_and_the_line(tmp_path, content, message):
    file = tmp_path / "broken.toml"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ConfigError, match=message) as caught:
        load_config(file)
    assert "broken.toml" in caught.value.message


def test_a_folder_is_no_config_file(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_a_new_use_resets_its_table_so_that_old_keys_do_not_linger():
    base = {"attack": {"use": "loop", "step": 0.5, "estimator": {"use": "nes", "sigma": 1.0}}}

    replaced = load_config(None, ["attack.use=square"], base=base)
    nested = load_config(None, ["attack.estimator.use=zoo"], base=base)
    same = load_config(None, ["attack.use=loop"], base=base)

    assert replaced == {"attack": {"use": "square"}}
    assert nested["attack"]["estimator"] == {"use": "zoo"}
    assert same == base


def test_naming_the_implied_threat_model_resets_nothing():
    base = {"threat": {"queries": 100}}

    assert load_config(None, ["threat.use=standard"], base=base)["threat"]["queries"] == 100
    assert load_config(None, ["threat.use=other"], base=base)["threat"] == {"use": "other"}


def test_the_base_is_not_changed():
    base = {"attack": {"use": "loop", "estimator": {"use": "nes"}}}

    load_config(None, ["attack.estimator.sigma=1", "run.seed=1"], base=base)

    assert base == {"attack": {"use": "loop", "estimator": {"use": "nes"}}}


@given(
    st.permutations(
        ["attack.use=square", "attack.samples=30", "attack.estimator.use=zoo", "attack.p=0.1"]
    )
)
def test_the_order_of_overrides_does_not_matter(overrides):
    base = {"attack": {"use": "loop", "step": 0.5}}

    config = load_config(None, overrides, base=base)

    assert config == {
        "attack": {"use": "square", "samples": 30, "p": 0.1, "estimator": {"use": "zoo"}}
    }


def test_the_last_override_of_a_key_wins():
    assert load_config(None, ["run.seed=1", "run.seed=2"]) == {"run": {"seed": 2}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30", 30),
        ("1e-3", 1e-3),
        ("10_000", 10_000),
        ("true", True),
        ('"true"', "true"),
        ("nes", "nes"),
        ("zoo/c3d", "zoo/c3d"),
        ("8/255", "8/255"),
        ("a = 1", "a = 1"),
        ("1\nb = 2", "1\nb = 2"),
        ("", ""),
        ("[1, 2]", [1, 2]),
        ("{ use = 'l2' }", {"use": "l2"}),
    ],
)
def test_the_value_of_an_override_is_toml_or_else_text(text, value):
    assert load_config(None, [f"attack.key={text}"]) == {"attack": {"key": value}}


def test_the_value_of_a_pair_is_taken_as_it_stands():
    pairs = [("run.out", "123"), ("run.limit", 5), ("threat.constraint", {"epsilon": "8/255"})]

    config = load_config(None, pairs)

    assert config == {
        "run": {"out": "123", "limit": 5},
        "threat": {"constraint": {"epsilon": "8/255"}},
    }


def test_a_use_is_taken_as_it_stands():
    assert load_config(None, ["attack.use=17"]) == {"attack": {"use": "17"}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("attack.samples", "has no value"),
        ("samples=3", "is not the dotted path of a key"),
        ("attack..samples=3", "is not the dotted path of a key"),
        ("attack.step.x=1", "attack.step.x: cannot be set, since attack.step is the float 0.5"),
        ("threat.constraint.epsilon=1", "threat.constraint is the array []"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(override, message):
    base = {"attack": {"step": 0.5}, "threat": {"constraint": []}}

    with pytest.raises(ConfigError) as caught:
        load_config(None, [override], base=base)
    assert message in caught.value.message


keys = st.from_regex(r"[a-z]{1,3}", fullmatch=True).filter(lambda key: key != "use")
leaves = (
    st.integers(-(10**6), 10**6)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=8)
)
tables = st.dictionaries(keys, leaves, min_size=1, max_size=2)
configs = st.dictionaries(
    keys, st.dictionaries(keys, leaves | tables, min_size=1, max_size=3), max_size=3
)


def _paths(table: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, object]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _paths(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@given(configs)
def test_a_config_given_as_overrides_is_the_config_given_as_a_file(config):
    overrides = [f"{path}={tomli_w.dumps({'v': v})[4:-1]}" for path, v in _paths(config)]

    loaded = load_config(None, overrides)

    assert list(_paths(loaded)) == list(_paths(config))


@given(configs, configs)
def test_merging_is_laying_over(old, new):
    merged = merge(old, new)

    assert merge(merged, new) == merged
    assert merge({}, new) == new
    assert merge(old, {}) == old


# The digest


def test_the_digest_ignores_what_cannot_change_a_record(host):
    plain = config_digest(plan_of(host))
    same = ["run.out=x", "run.window=1", "run.max_batch=4", "run.clips=false", "run.journal=false"]
    other = ["run.seed=1", "run.limit=3", "run.pad=true", "attack.step=0.2", "threat.queries=9"]

    assert {config_digest(plan_of(host, override)) for override in same} == {plain}
    assert len({plain, *(config_digest(plan_of(host, override)) for override in other)}) == 6


# Parameters


def test_parameters_are_read_from_signature_annotations_and_docstring():
    samples, sigma, weights, memory = parameters(Nes)

    assert (samples.name, samples.type_text, samples.default) == ("samples", "int >= 2", 60)
    assert samples.doc == "Probes per estimate."
    assert (sigma.type_text, weights.type_text) == ("float > 0", '"raw" | "rank"')
    assert (memory.default, memory.doc) == ([], "")


def test_slots_are_found_though_their_protocols_are_imported_for_typing_only():
    slots = {p.name: (p.slot, p.type_text) for p in parameters(Loop) if p.slot}

    assert slots == {
        "estimator": ("estimators", "estimator | None"),
        "reducer": ("reducers", "reducer | None"),
    }


def test_parameters_of_a_plain_class_and_of_a_function():
    assert [(p.name, p.required) for p in parameters(Clips)] == [("root", True), ("labels", False)]
    assert [p.type_text for p in parameters(model)] == ["path", '"sorted" | "random"', "str"]


def starred(a: int, *rest: int, b: float = 1, **others: str) -> None:
    pass


def test_stars_cannot_be_given_by_a_config():
    assert [p.name for p in parameters(starred)] == ["a", "b"]


def unreadable(a: NoSuchType) -> None:  # noqa: F821  the point of the test
    pass


def test_an_annotation_that_cannot_be_read_is_the_plugins_fault():
    with pytest.raises(
        PluginError, match=r"annotations of .*unreadable cannot be read.*NoSuchType"
    ):
        parameters(unreadable)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int | None, "int | None"),
        (Annotated[float, Interval(ge=0, lt=1)], "float >= 0, < 1"),
        (Annotated[list[int], Len(1, 3)], "list[int] at least 1 items, at most 3 items"),
        (tuple[float, ...], "tuple[float, ...]"),
        (dict[str, Path], "dict[str, path]"),
        (Order, '"sorted" | "random"'),
        (Any, "any"),
    ],
)
def test_types_are_written_for_people(annotation, text):
    assert type_text(annotation) == text
