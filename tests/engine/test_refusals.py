"""Queries that a defended model refuses: charged, without scores, no success."""

from __future__ import annotations

import math

import pytest
import torch
from vidrobust_estimators.nes import NES

from vidrobust.engine import Journal, Session, Subject, drive
from vidrobust.engine.refusals import with_refusals_filled
from vidrobust.errors import ConfigError, ModelError
from vidrobust.objectives import ScoreObjective
from vidrobust.subspaces import Pixels
from vidrobust.testing import LinearVictim
from vidrobust.testing.toy import ShyVictim
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import BARRED, REFUSED, Access, Query, Response, Targeted, Untargeted


class Watcher:
    """Asks two probes, then a candidate of another class; keeps what it is told."""

    needs = Access.LABEL

    def __init__(self, roles=("probe", "probe", "candidate")) -> None:
        self.roles, self.seen = roles, []

    def run(self, task):
        for step, role in enumerate(self.roles):
            brighter = (task.clean + 0.01 * (step + 1)).clamp(0, 1)
            self.seen.append((yield Query(brighter[None], role)))


def attacked(attack, *, share=1.0, refusal="refuse", access="scores", journal=None, seed=0):
    victim = LinearVictim()
    clean = victim.clip(seed)
    shy = ShyVictim(victim, clean, share, refusal=refusal)
    threat = ThreatModel(constraint=Linf(0.2), queries=50, access=access)
    subject = Subject("toy", clean, victim.label(clean), victim.spec.classes, seed)
    oracle = Oracle(shy, access=threat.access)
    [session] = drive([Session(lambda: attack, subject, threat, journal=journal)], oracle)
    return session.outcome, victim(clean[None]), oracle


def test_the_oracle_gives_no_scores_of_a_refused_clip():
    victim = LinearVictim()
    clean = victim.clip()
    oracle = Oracle(ShyVictim(victim, clean, 1.0))

    response = oracle.ask(torch.stack([clean, clean * 0.5]))

    assert response.labels.tolist() == [victim.label(clean), REFUSED]
    assert response.refused.tolist() == [False, True]
    assert torch.isnan(response.scores[1]).all()
    assert not torch.isnan(response.scores[0]).any()


@pytest.mark.parametrize("access", list(Access))
def test_refused_queries_are_charged_and_told_the_scores_of_the_clean_clip(access):
    attack = Watcher()

    outcome, clean, oracle = attacked(attack, access=access)

    assert outcome.status == "gave_up"
    assert outcome.queries == oracle.clips_seen == 4
    assert (outcome.refused, outcome.queries_to_refusal) == (3, 2)
    assert [int(told.labels[0]) for told in attack.seen] == [REFUSED] * 3
    if access is Access.SCORES:
        assert all(torch.equal(told.scores, clean) for told in attack.seen)
    if access is Access.LABEL:
        assert all(told.scores is None for told in attack.seen)


def test_a_refusal_is_no_success_for_any_goal():
    labels = torch.tensor([REFUSED, BARRED, 0, 1])

    assert Untargeted(0).met(labels).tolist() == [False, False, False, True]
    assert Targeted(0, 1).met(labels).tolist() == [False, False, False, True]


def test_an_attack_is_over_at_the_first_refused_candidate_where_the_model_closes_the_door():
    attack = Watcher(("probe", "candidate", "candidate"))

    outcome, _, _ = attacked(attack, refusal="abort")

    assert outcome.status == "detected"
    assert outcome.queries == 3  # the clean clip, a refused probe, a refused candidate
    assert len(attack.seen) == 1
    assert outcome.clip is not None


def test_refusals_are_replayed_from_a_journal(tmp_path):
    first, second = Watcher(), Watcher()
    straight, _, _ = attacked(first, share=0.5, journal=Journal(tmp_path / "toy.jsonl"), seed=3)

    again, _, oracle = attacked(second, share=0.5, journal=Journal(tmp_path / "toy.jsonl"), seed=3)

    assert oracle.clips_seen == 0
    assert (again.refused, again.queries) == (straight.refused, straight.queries)
    assert again.refused > 0
    for one, other in zip(first.seen, second.seen, strict=True):
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.scores, other.scores)


def test_nan_is_a_fault_of_a_model_that_refuses_nothing():
    class Broken(LinearVictim):
        def __call__(self, clips):
            return super().__call__(clips) * math.nan

    with pytest.raises(ModelError, match="NaN"):
        Oracle(Broken()).ask(LinearVictim().clip()[None])


def test_a_defence_with_a_memory_is_not_padded():
    victim = LinearVictim()
    shy = ShyVictim(victim, victim.clip(), 1.0)
    shy.remembers = True

    with pytest.raises(ConfigError, match="memory"):
        Oracle(shy, pad=True)


def test_a_clean_clip_that_is_refused_is_not_attacked():
    victim = LinearVictim()
    shy = ShyVictim(victim, torch.zeros(victim.spec.shape), 1.0)
    subject = Subject("toy", victim.clip(), None, victim.spec.classes, 0)

    [session] = drive([Session(Watcher, subject, ThreatModel())], Oracle(shy))

    assert session.outcome.status == "misclassified"
    assert session.outcome.clean_label == REFUSED


def test_an_answer_without_scores_stays_without():
    answer = Response(torch.tensor([REFUSED]))

    assert with_refusals_filled(answer, Response(torch.tensor([0])), "probe") is answer


def cosine(share, seed):
    """Of an estimate by NES to the true gradient, away from the clean clip, with probes refused."""
    victim = LinearVictim()
    clean, rng = victim.clip(seed), torch.Generator().manual_seed(seed)
    label = victim.label(clean)
    point = (clean + 0.5 * (victim.clip(seed + 100) - clean)).requires_grad_()
    margin = ScoreObjective(Untargeted(label), "log-margin")
    truth = torch.autograd.grad(
        margin.loss(Response(torch.zeros(1), victim(point[None])))[0], point
    )
    estimate = NES().estimate(margin, point.detach(), Pixels(tuple(point.shape)), rng)
    query = next(estimate)
    probes = torch.empty(len(query), *point.shape)
    query.render(0, probes)
    answer = Response(torch.full((len(query),), label), victim(probes))
    refused = torch.rand(len(query), generator=rng) < share
    answer.labels[refused], answer.scores[refused] = REFUSED, math.nan
    reference = Response(torch.tensor([label]), victim(clean[None]))
    with pytest.raises(StopIteration) as done:
        estimate.send(with_refusals_filled(answer, reference, query.role))
    return float(torch.cosine_similarity(done.value.value.flatten(), truth[0].flatten(), dim=0))


@pytest.mark.parametrize(("share", "left"), [(0.05, 0.85), (0.2, 0.6)])
def test_a_few_refused_probes_leave_an_estimate_most_of_its_worth(share, left):
    whole = sum(cosine(0.0, seed) for seed in range(20))

    assert sum(cosine(share, seed) for seed in range(20)) > left * whole > 0
