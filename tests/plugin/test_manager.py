from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path

import pytest

from vidrobust.errors import ConfigError, PluginError
from vidrobust.plugin import API, Entry, hookimpl
from vidrobust.plugin.manager import PluginHost


class Nes:
    pass


class Healthy:
    @hookimpl
    def vidrobust_estimators(self) -> Iterable[Entry]:
        yield Entry("nes", Nes, "an estimator")


class Broken:
    @hookimpl
    def vidrobust_estimators(self) -> Iterable[Entry]:
        raise RuntimeError("no licence")


class BrokenHalfway:
    @hookimpl
    def vidrobust_estimators(self) -> Iterable[Entry]:
        yield Entry("half", Nes, "offered before the fall")
        raise RuntimeError("too late")


class Misspelt:
    @hookimpl
    def vidrobust_estimator(self) -> Iterable[Entry]:
        yield Entry("lost", Nes, "an estimator")


class Unmarked:
    def vidrobust_estimators(self) -> Iterable[Entry]:
        yield Entry("lost", Nes, "an estimator")


class WrongType:
    @hookimpl
    def vidrobust_estimators(self) -> Iterable[str]:
        yield "nes"


class WrongArgument:
    @hookimpl
    def vidrobust_video_done(self, film: object) -> None:
        pass


class Future:
    @hookimpl
    def vidrobust_attacks(self) -> Iterable[Entry]:
        yield Entry("later", Nes, "an attack", api=API + 1)


class Twice:
    @hookimpl
    def vidrobust_attacks(self) -> Iterable[Entry]:
        yield Entry("same", Nes, "an attack")
        yield Entry("same", Nes, "another attack")


class Observer:
    def __init__(self) -> None:
        self.seen: list[object] = []

    @hookimpl
    def vidrobust_video_done(self, record: object, run: object) -> str:
        self.seen.append(record)
        return "a result nobody asked for"


class FragileObserver:
    @hookimpl
    def vidrobust_attacks(self) -> Iterable[Entry]:
        yield Entry("kept", Nes, "an attack")

    @hookimpl
    def vidrobust_video_done(self, record: object) -> None:
        raise ZeroDivisionError("oh")


def host_of(**plugins: object) -> PluginHost:
    host = PluginHost(points=[], allowed=())
    for name, plugin in plugins.items():
        host.register(plugin, name)
    return host


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Puts a module and its distribution's metadata where Python finds them."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(dist: str, module: str, source: str, *, name: str | None = None) -> EntryPoint:
        (tmp_path / f"{module}.py").write_text(
            "from vidrobust.plugin import Entry, hookimpl\n" + source, encoding="utf-8"
        )
        folder = tmp_path / f"{dist}-1.2.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {dist}\nVersion: 1.2\n", encoding="utf-8")
        (folder / "entry_points.txt").write_text(
            f"[vidrobust]\n{name or dist} = {module}\n", encoding="utf-8"
        )
        return next(iter(Distribution.at(folder).entry_points))

    yield install
    for module in [m for m in sys.modules if m.startswith("installed_")]:
        del sys.modules[module]


NES_PLUGIN = """
class Nes:
    pass

@hookimpl
def vidrobust_estimators():
    yield Entry("nes", __name__ + ":Nes", "an estimator")
"""


def test_a_healthy_plugin_offers_its_entries():
    host = host_of(healthy=Healthy())

    assert [p.entry.name for p in host.entries("estimators")] == ["nes"]
    assert host.plugins[0].status == "ok"
    assert host.plugins[0].entries == ["estimators:nes"]


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Broken(), "RuntimeError: no licence"),
        (BrokenHalfway(), "RuntimeError: too late"),
        (Misspelt(), "unknown hook vidrobust_estimator; did you mean 'vidrobust_estimators'"),
        (Unmarked(), "hook vidrobust_estimators lacks @hookimpl"),
        (WrongType(), "expected Entry values, got str"),
        (WrongArgument(), "film"),
        (Future(), "wants plugin API 2, this vidrobust has 1"),
        (Twice(), "'same' is offered twice"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_faulty_plugin_is_named_and_harms_no_other(plugin: object, message: str):
    host = host_of(first=Healthy())

    with pytest.raises(PluginError, match="plugin 'faulty'"):
        host.register(plugin, "faulty")

    status = {info.name: info.status for info in host.plugins}
    assert status == {"first": "ok", "faulty": "broken"}
    assert message in host.plugins[1].error
    assert [p.entry.name for kind in ("estimators", "attacks") for p in host.entries(kind)] == [
        "nes"
    ]
    assert host.call("vidrobust_video_done", record={}, run={}) == []


def test_a_plugin_that_fails_does_not_unregister_another_of_the_same_name():
    host = PluginHost(points=[], allowed=())
    observer = Observer()
    host.register(observer, "same", dist="one")

    with pytest.raises(PluginError):
        host.register(Broken(), "same", dist="two")
    host.call("vidrobust_video_done", record={"key": "v"}, run={})

    assert observer.seen == [{"key": "v"}]


def test_entry_points_are_loaded_one_by_one_under_guard(installed):
    points = [
        installed("good", "installed_good", NES_PLUGIN),
        installed("bad", "installed_bad", "raise ImportError('libfoo is missing')"),
        installed("odd", "installed_odd", "@hookimpl\ndef vidrobust_sauces():\n    yield\n"),
        installed("numb", "installed_numb", "@hookimpl\ndef vidrobust_models():\n    yield 3\n"),
    ]

    host = PluginHost(points=points)

    status = {info.name: (info.status, info.error) for info in host.plugins}
    assert status["good"] == ("ok", "")
    assert status["bad"] == ("broken", "ImportError: libfoo is missing")
    assert status["odd"][0] == "broken"
    assert "did you mean 'vidrobust_sources'" in status["odd"][1]
    assert "got int" in status["numb"][1]
    assert host.find("estimators", "nes").load().__name__ == "Nes"
    assert {info.version for info in host.plugins} == {"1.2"}


def test_two_distributions_offering_one_name_fail_only_when_it_is_used(installed):
    host = PluginHost(
        points=[
            installed("one", "installed_one", NES_PLUGIN, name="nes-pack"),
            installed("two", "installed_two", NES_PLUGIN, name="nes-pack"),
        ]
    )

    assert [info.status for info in host.plugins] == ["ok", "ok"]
    assert len(host.entries("estimators")) == 2
    with pytest.raises(PluginError, match="offered more than once: one:nes, two:nes"):
        host.find("estimators", "nes")
    assert host.find("estimators", "two:nes").load().__module__ == "installed_two"


def test_two_plugins_of_one_distribution_are_told_apart_by_their_names():
    host = host_of(first=Healthy(), second=Healthy())

    with pytest.raises(PluginError, match="first:nes, second:nes"):
        host.find("estimators", "nes")
    assert host.find("estimators", "second:nes").plugin.name == "second"


def test_an_unknown_name_is_answered_with_a_suggestion():
    host = host_of(healthy=Healthy())

    with pytest.raises(ConfigError, match="there is no estimator 'nas'; did you mean 'nes'") as it:
        host.find("estimators", "nas")
    assert it.value.hint == "vidrobust list estimators shows what there is"


def test_the_error_of_an_unknown_name_mentions_broken_plugins(installed):
    host = PluginHost(points=[installed("bad", "installed_bad", "1 / 0")])

    with pytest.raises(ConfigError) as caught:
        host.find("estimators", "nes")
    assert "broken plugins: bad" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {"one": "disabled", "two": "disabled"}),
        ("two", {"one": "disabled", "two": "ok"}),
        (" one , two ", {"one": "ok", "two": "ok"}),
        ("two:two", {"one": "disabled", "two": "ok"}),
    ],
)
def test_the_environment_chooses_plugins(installed, monkeypatch, value, expected):
    monkeypatch.setenv("VIDROBUST_PLUGINS", value)
    points = [
        installed("one", "installed_one", NES_PLUGIN),
        installed("two", "installed_two", NES_PLUGIN),
    ]

    host = PluginHost(points=points)

    assert {info.name: info.status for info in host.plugins} == expected


def test_a_disabled_plugin_is_not_imported(installed):
    PluginHost(points=[installed("one", "installed_one", NES_PLUGIN)], allowed=[])

    assert "installed_one" not in sys.modules


def test_a_chosen_plugin_that_is_not_installed_gets_a_row(installed):
    host = PluginHost(points=[installed("motion", "installed_m", NES_PLUGIN)], allowed=["motoin"])

    row = host.plugins[-1]
    assert (row.name, row.status) == ("motoin", "broken")
    assert "did you mean 'motion'" in row.error


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("no_such_module_at_all:Nes", "ModuleNotFoundError"),
        ("json:no_such_attribute", "AttributeError"),
        ("json:__name__", "TypeError"),
    ],
)
def test_a_target_that_cannot_be_loaded_names_plugin_distribution_and_cause(target, cause):
    class Dangling:
        @hookimpl
        def vidrobust_estimators(self):
            yield Entry("dangling", target, "an estimator")

    host = host_of(pack=Dangling())

    with pytest.raises(PluginError, match=cause) as caught:
        host.find("estimators", "dangling").load()
    assert "plugin 'pack' (in-process 0)" in caught.value.message


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (Entry("Not_Kebab", Nes, "x"), "not kebab case"),
        (Entry("a", "module.attribute", "x"), "is not 'package.module:attr'"),
        (Entry("a", 3, "x"), "neither a string nor callable"),
        (Entry("a", Nes, "two\nlines"), "not one line"),
        (Entry("a", Nes, ""), "not one line"),
    ],
)
def test_a_malformed_entry_breaks_its_plugin(entry: Entry, problem: str):
    class Careless:
        @hookimpl
        def vidrobust_models(self):
            return [entry]

    with pytest.raises(PluginError, match=problem):
        host_of(careless=Careless())


def test_observers_are_called_and_a_failing_one_is_dropped_but_what_it_offers_stays():
    observer = Observer()
    host = host_of(fragile=FragileObserver(), steady=observer)

    first = host.call("vidrobust_video_done", record={"key": "a"}, run={})
    second = host.call("vidrobust_video_done", record={"key": "b"}, run={})

    assert [info.name for info in first] == ["fragile"]
    assert first[0].error == "ZeroDivisionError: oh"
    assert second == []
    assert observer.seen == [{"key": "a"}, {"key": "b"}]
    assert host.find("attacks", "kept").load() is Nes


def test_tracing_writes_each_hook_call_with_its_plugin_and_result(monkeypatch, capsys):
    monkeypatch.setenv("VIDROBUST_TRACE", "1")
    host = host_of(fragile=FragileObserver())

    host.call("vidrobust_video_done", record={"key": "a"}, run={})

    trace = capsys.readouterr().err
    assert "in-process:fragile: vidrobust_attacks({})" in trace
    assert "in-process:fragile: vidrobust_video_done -> ZeroDivisionError('oh')" in trace
