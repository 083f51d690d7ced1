from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from parts import BASE, Nes, host_of_parts

from vidrobust.bench.config import (
    load_config,
    merge,
    resolve,
)
from vidrobust.errors import ConfigError
from vidrobust.plugin.manager import PluginHost


@pytest.fixture(scope="module")
def host() -> PluginHost:
    return host_of_parts()


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


def test_a_number_says_which_table_of_an_array():
    base = {"defence": [{"use": "a", "x": 1}, {"use": "b", "y": 2}]}

    assert load_config(None, ["defence.1.z=3"], base=base)["defence"] == [
        {"use": "a", "x": 1},
        {"use": "b", "y": 2, "z": 3},
    ]
    assert load_config(None, ["defence.0.use=c"], base=base)["defence"] == [
        {"use": "c"},
        {"use": "b", "y": 2},
    ]
    assert base["defence"][1] == {"use": "b", "y": 2}


def test_a_table_can_be_set_as_a_whole():
    base = {"defence": [{"use": "a"}, {"use": "b"}]}

    overrides = ["defence.0.x=1", "defence=[{use = 'c'}]"]
    assert load_config(None, overrides, base=base)["defence"] == [{"use": "c", "x": 1}]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("attack.samples", "has no value"),
        ("samples=3", "is not the dotted path of a key"),
        ("attack..samples=3", "is not the dotted path of a key"),
        ("attack.step.x=1", "attack.step.x: cannot be set, since attack.step is the float 0.5"),
        ("threat.constraint.epsilon=1", "threat.constraint is an array of 0"),
        ("defence.window=3", "defence is an array of 2"),
        ("defence.2.window=3", "defence is an array of 2"),
    ],
)
def test_an_override_that_makes_no_sense_is_refused(override, message):
    base = {"attack": {"step": 0.5}, "threat": {"constraint": []}}
    base["defence"] = [{"use": "a"}, {"use": "b"}]

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
