"""What a service answers is what the model behind it answers, as far as the service shows it."""

from __future__ import annotations

import pytest
import torch
from vidrobust_http.schema import Schema

from vidrobust.bench.doctor_model import examine_model
from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError, ModelError
from vidrobust.plugin.manager import PluginHost
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Access
from vidrobust.video.io import encode_decode, quantise

CLASSES = ("run", "jump", "swim")


def test_lossless_clips_get_the_models_own_scores_bit_for_bit(behind, ask):
    one = behind()
    model = ask(one.url)

    assert model.spec == one.victim.spec
    assert torch.equal(model(one.clips(20)), one.truth(20))
    assert one.service.answered == one.faults.posts == 20
    assert model.usage() == {"requests": 21, "retried": 0, "paid": 20, "spent": 0.0}  # 1 GET


@pytest.mark.parametrize(
    ("send", "seen"), [("png", quantise), ("h264", lambda clip: encode_decode(clip, quality=10))]
)
def test_other_forms_get_the_scores_of_what_they_carry(behind, ask, send, seen):
    one = behind()
    clips = one.clips(3)

    answers = ask(one.url, send=send, quality=10)(clips)

    expected = torch.softmax(one.victim.logits(torch.stack([seen(clip) for clip in clips])), dim=1)
    assert torch.equal(answers, expected)
    assert not torch.equal(answers, one.truth(3))


@pytest.mark.parametrize("access", list(Access))
def test_a_service_that_shows_little_is_as_a_model_that_is_made_to(behind, ask, access):
    one = behind(shows=access, top_k=3)
    model = ask(one.url)

    remote = Oracle(model, access=access, top_k=3).ask(one.clips(6))
    local = Oracle(one.victim, access=access, top_k=3).ask(one.clips(6))

    assert (model.shows, model.top_k) == (access, 3)
    assert torch.equal(remote.labels, local.labels)
    if access is Access.LABEL:
        assert remote.scores is None
    else:
        assert torch.allclose(remote.scores, local.scores, atol=1e-6)


@pytest.mark.parametrize("attack", ["square", "pgd-nes"])
def test_an_attack_goes_the_same_way_as_against_the_model_itself(behind, ask, attack):
    one = behind()
    factory = PluginHost().find("attacks", attack).load()
    threat = ThreatModel(constraint=Linf(0.02), queries=150)
    subject = Subject("toy", one.victim.clip(3), None, one.victim.spec.classes, seed=0)

    remote = solve(factory, subject, threat, Oracle(ask(one.url)))
    local = solve(factory, subject, threat, Oracle(one.victim))

    assert (remote.status, remote.queries) == (local.status, local.queries)
    assert torch.equal(remote.clip, local.clip)


@pytest.mark.parametrize(
    ("shows", "wanted", "hint"),
    [
        ("label", {"access": Access.SCORES}, "threat.access = 'label'"),
        ("top-1", {"access": Access.TOP_K}, "threat.access = 'top-1'"),
        ("top-k", {"access": Access.TOP_K, "top_k": 6}, "threat.top_k = 5"),
        ("scores", {"pad": True}, "leave run.pad out"),
    ],
)
def test_what_a_service_does_not_show_is_not_made_up(behind, ask, shows, wanted, hint):
    one = behind(shows=Access(shows))

    with pytest.raises(ConfigError) as caught:
        Oracle(ask(one.url), **wanted)

    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("schema", "answer", "scores"),
    [
        ({"shows": "label", "label": "class"}, {"class": "jump"}, [0, 1, 0]),
        ({"shows": "label", "label": "out.0"}, {"out": [2]}, [0, 0, 1]),
        ({"shows": "top-1"}, {"label": "swim", "score": 0.8}, [0.1, 0.1, 0.8]),
        ({"shows": "top-1"}, {"label": 0, "score": 1}, [1, 0, 0]),
        (
            {"shows": "top-k", "top": ".", "top_label": "name", "top_score": "p"},
            [{"name": "run", "p": 0.6}, {"name": "jump", "p": 0.3}],
            [0.6, 0.3, 0.1],
        ),
        ({"shows": "scores"}, {"scores": [0.2, 0.5, 0.3]}, [0.2, 0.5, 0.3]),
        ({"shows": "scores"}, {"scores": {"swim": 0, "run": 1, "jump": 0}}, [1, 0, 0]),
    ],
)
def test_answers_are_read_by_the_declared_schema(schema, answer, scores):
    schema = {**schema, "shows": Access(schema["shows"])}

    assert Schema(CLASSES, **schema).read(answer).tolist() == pytest.approx(scores)


def test_the_label_stays_the_label_when_its_score_is_small():
    scores = Schema(CLASSES, Access.TOP_1).read({"label": "swim", "score": 0.334})

    assert int(scores.argmax()) == 2


@pytest.mark.parametrize(
    ("shows", "answer", "words"),
    [
        ("label", {"label": "dive"}, "'dive', which is none of the 3"),
        ("label", {"label": 3}, "3, which is none of the 3"),
        ("label", {"label": True}, "True, which is none"),
        ("label", {"class": "run"}, "no 'label'"),
        ("label", [], "no 'label'"),
        ("top-1", {"label": "run", "score": "high"}, "a probability at 'score'"),
        ("top-1", {"label": "run", "score": 93.0}, "a probability at 'score'"),
        ("top-1", {"label": "run", "score": float("nan")}, "a probability at 'score'"),
        ("top-k", {"top": []}, "a list of classes at 'top'"),
        ("top-k", {"top": [{"label": "run", "score": 0.5}] * 2}, "'run' twice"),
        ("scores", {"scores": [0.5, 0.5]}, "expected 3 scores at 'scores', got 2"),
        ("scores", {"scores": {"run": 1, "jump": 0, "dive": 0}}, "differ in 'dive', 'swim'"),
        ("scores", {"scores": [0.9, 0.1, 0], "label": "jump"}, "'run' has the best score"),
        ("scores", {"scores": None}, "got None"),
    ],
)
def test_an_answer_that_does_not_fit_is_an_error_and_never_a_guess(shows, answer, words):
    with pytest.raises(ModelError, match=words):
        Schema(CLASSES, Access(shows)).read(answer)


def test_the_doctor_examines_a_service_and_does_not_time_what_may_cost(behind, ask):
    one = behind(digits=3, scale=3.0)
    model = ask(one.url, price=0.5)
    labels = [one.victim.label(clip) for clip in one.clips(6)]

    found = {f["name"]: f for f in examine_model(model, one.clips(6), labels)}

    assert found["clips per second"]["detail"].startswith("not timed, a service may cost: requests")
    assert found["model range"]["status"] == "ok"  # what lies outside [0, 1] it refuses
    assert found["resolution"]["detail"] == "scores are rounded to 3 decimals"
    assert one.service.answered == model.usage()["paid"] < 250
