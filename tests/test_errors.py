"""Errors as they are met outside the command line."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest

from vidrobust.errors import ConfigError


def test_a_traceback_says_what_to_try():
    with pytest.raises(ConfigError) as caught:
        raise ConfigError("no attack 'sqare'", hint="did you mean 'square'?")
    shown = "".join(traceback.format_exception(caught.value))
    assert shown.endswith("no attack 'sqare'\nhint: did you mean 'square'?\n")
    assert str(caught.value) == "no attack 'sqare'"


@pytest.mark.parametrize("travel", [copy.copy, lambda e: pickle.loads(pickle.dumps(e))])
def test_the_hint_survives_a_journey_between_processes(travel):
    """Ray brings an actor's error home by pickling it."""
    found = travel(ConfigError("no such model", hint="vidrobust list models"))
    assert (found.message, found.hint) == ("no such model", "vidrobust list models")
    assert found.__notes__ == ["hint: vidrobust list models"]
