"""Fixtures every plugin author gets by installing vidrobust; pytest finds them by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vidrobust.plugin.manager import PluginHost
    from vidrobust.testing.toy import LinearVictim


@pytest.fixture
def bare_host() -> PluginHost:
    """A plugin host that discovers nothing: register your plugin by hand."""
    from vidrobust.plugin.manager import PluginHost

    return PluginHost(points=[])


@pytest.fixture
def toy_victim() -> LinearVictim:
    """A linear victim whose smallest adversarial perturbation is known."""
    from vidrobust.testing.toy import LinearVictim

    return LinearVictim()
