"""The plan of a suite with a service in it: what it would cost, without asking it anything."""

from __future__ import annotations

import tomli_w

from vidrobust.bench.forecast import forecast
from vidrobust.bench.suite import load_suite
from vidrobust.plugin.manager import PluginHost
from vidrobust.video.encode import write_video


def test_a_plan_states_the_price_and_asks_a_service_no_clip(behind, tmp_path):
    service = behind()
    (tmp_path / "videos").mkdir()
    for number in range(3):
        write_video(
            tmp_path / "videos" / f"{number}.avi", service.victim.clip(number), codec="ffv1"
        )
    file = tmp_path / "suite.toml"
    model = {"use": "http", "url": service.url, "price": 0.25}
    tables = {
        "models": {"paid": model, "free": {"use": "http", "url": service.url}},
        "sources": {"three": {"use": "folder", "path": str(tmp_path / "videos")}},
        "attacks": {"square": {"use": "square"}},
        "threat": {"queries": 40},
    }
    file.write_text(tomli_w.dumps(tables))
    suite = load_suite(file, out=tmp_path / "out")
    paid, free = forecast(suite, PluginHost())
    assert service.victim.clips == 0
    assert (paid.problem, free.problem) == ("", "")
    assert (paid.queries, paid.price, paid.seconds) == (120, 30.0, None)
    assert (free.queries, free.price, free.seconds) == (120, None, None)
