"""Every way a call can fail: it is repeated, or it is an error; it is never an answer."""

from __future__ import annotations

import email.utils
import time

import pytest
import torch
from http_servers import Resets
from vidrobust_http.meter import Meter, Pace

from vidrobust.errors import ModelError

FIRST = {
    "500": "500 oops",
    "502": "502 bad gateway",
    "429": "429 0",
    "503": "503 0",
    "half an answer": "half",
    "no answer in time": "slow",
}


@pytest.fixture
def naps(monkeypatch):
    """How long every wait would have been; nothing waits."""
    taken: list[float] = []
    monkeypatch.setattr(time, "sleep", taken.append)
    return taken


@pytest.mark.parametrize("fault", FIRST)
def test_a_failed_call_is_repeated_and_counted_once(behind, ask, naps, fault):
    one = behind(lambda number: FIRST[fault] if number == 0 else None)
    model = ask(one.url, timeout=0.3 if fault == "no answer in time" else 5.0, price=2.0)

    answers = model(one.clips(1))

    assert torch.equal(answers, one.truth(1))
    assert one.faults.posts == 2
    assert one.service.answered == 1
    assert model.usage() == {"requests": 3, "retried": 1, "paid": 1, "spent": 2.0}
    assert len(set(one.faults.keys)) == 1


def test_a_connection_that_is_reset_is_opened_again(behind, ask, naps):
    one = behind()
    resets = Resets(one.server.port, 2)
    model = ask(resets.url, list(one.victim.spec.classes), frames=4, height=16, width=16, resize=16)

    answers = model(one.clips(1))
    resets.close()

    assert torch.equal(answers, one.truth(1))
    assert model.usage()["retried"] == 2


def test_an_answer_that_is_lost_on_its_way_is_not_asked_of_the_model_again(behind, ask, naps):
    one = behind(lambda number: "lost" if number == 0 else None)

    answers = ask(one.url)(one.clips(1))

    assert torch.equal(answers, one.truth(1))
    assert (one.faults.posts, one.service.answered) == (2, 1)


def test_a_clip_asked_again_on_purpose_is_asked_again(behind, ask):
    one = behind()
    model = ask(one.url)

    model(one.clips(1).expand(3, -1, -1, -1, -1))

    assert one.service.answered == 3
    assert len(set(one.faults.keys)) == 3


def test_one_in_ten_failing_changes_neither_answers_nor_count(behind, ask, naps):
    kinds = ["500 oops", "429 0", "503 0", "half", "lost"]
    one = behind(lambda number: kinds[number // 10 % 5] if number % 10 == 3 else None)
    model = ask(one.url, concurrency=4)

    answers = model(one.clips(150))

    assert torch.equal(answers, one.truth(150))
    assert one.service.answered == model.usage()["paid"] == 150
    assert one.faults.posts == 150 + model.usage()["retried"]
    assert model.usage()["retried"] >= 15


@pytest.mark.parametrize("fault", ["500 oops", "half"])
def test_a_service_that_stays_broken_ends_in_an_error_that_nobody_pays(behind, ask, naps, fault):
    one = behind(lambda number: fault)
    model = ask(one.url, retries=3, price=1.0)

    with pytest.raises(ModelError, match="no answer in 4 attempts"):
        model(one.clips(1))

    assert one.faults.posts == 4
    assert model.usage()["paid"] == 0


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("400 no such thing", "status 400: 'no such thing'"),
        ("401 who are you", "status 401"),
        ("302 elsewhere", "status 302"),
        (f"200 {'x' * 5000}", "more than 4096 bytes"),
    ],
)
def test_a_refusal_is_an_error_at_once(behind, ask, naps, fault, words):
    one = behind(lambda number: fault)
    model = ask(one.url, max_response=4096)

    with pytest.raises(ModelError, match=words):
        model(one.clips(1))

    assert (one.faults.posts, model.usage()["paid"]) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("200 <html>", "no JSON: '<html>'"),
        ('200 {"label": "somebody else"}', "answer has no 'scores'"),
        ('200 {"scores": {"a": 0.5, "b": 0.5}}', "2 classes, 5 were known"),
    ],
)
def test_an_answer_that_cannot_be_read_is_paid_and_not_asked_for_again(
    behind, ask, naps, fault, words
):
    one = behind(lambda number: fault)
    model = ask(one.url, price=1.0)

    with pytest.raises(ModelError, match=words):
        model(one.clips(1))

    assert (one.faults.posts, model.usage()["paid"]) == (1, 1)


def test_a_label_set_that_changes_in_mid_run_stops_it(behind, ask):
    one = behind()
    model = ask(one.url)
    model(one.clips(2))
    one.service.classifier.spec = type(one.victim.spec)(
        ("class-0", "class-1", "class-2", "class-3", "renamed"), 4, 16, 16, 16
    )

    with pytest.raises(ModelError, match="they differ in 'class-4', 'renamed'") as caught:
        model(one.clips(2))

    assert "label set changed" in caught.value.hint


def test_the_time_that_a_service_asks_for_is_waited(behind, ask, naps):
    one = behind(lambda number: "429 7" if number == 0 else None)

    ask(one.url, patience=60)(one.clips(1))

    assert max(naps) == pytest.approx(7, abs=0.1)


def test_a_date_to_wait_for_is_understood(behind, ask, naps):
    late = email.utils.formatdate(time.time() + 30, usegmt=True)
    one = behind(lambda number: f"503 {late}" if number == 0 else None)

    ask(one.url, patience=60)(one.clips(1))

    assert 25 < max(naps) <= 30


def test_a_wait_beyond_patience_is_not_begun(behind, ask, naps):
    one = behind(lambda number: "429 3600")

    with pytest.raises(ModelError, match="in 1 attempts"):
        ask(one.url, patience=60)(one.clips(1))

    assert max(naps, default=0) < 1


def test_a_server_that_dies_and_comes_back_is_asked_again(behind, ask, monkeypatch):
    one = behind()
    model = ask(one.url)
    model(one.clips(2))
    one.server.stop()
    naps: list[float] = []

    def revive(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            one.server.start()

    monkeypatch.setattr(time, "sleep", revive)

    assert torch.equal(model(one.clips(1)), one.truth(1))
    assert len(naps) >= 2
    assert naps[1] > naps[0] * 0.9


def test_the_money_is_never_overspent_by_requests_under_way(behind, ask):
    one = behind()
    model = ask(one.url, price=0.1, money=0.5, concurrency=4)

    with pytest.raises(ModelError, match=r"money is spent: \d answers and \d under way, at 0\.1"):
        model(one.clips(12))

    assert one.service.answered == model.usage()["paid"] <= 5
    with pytest.raises(ModelError, match="money is spent: 5 answers and 0"):
        all(len(model(clip[None])) for clip in one.clips(6))
    assert one.service.answered == 5


def test_a_query_that_fails_gives_its_money_back():
    meter = Meter(price=1.0, money=1.0)

    with pytest.raises(RuntimeError), meter.query():
        raise RuntimeError("lost")
    with meter.query():
        pass

    assert meter.paid == 1


def test_requests_are_spaced_by_the_rate(naps, monkeypatch):
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    pace = Pace(rate=4)

    for _ in range(4):
        pace.wait()

    assert naps == pytest.approx([0.25, 0.5, 0.75])
