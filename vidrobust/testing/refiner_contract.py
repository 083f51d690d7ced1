"""The conformance class of refiners, driven by the engine after an attack whose answer is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from vidrobust.engine import Journal, Outcome, Session, Subject, drive
from vidrobust.protocols import Classifier, Refiner, Task
from vidrobust.testing.toy import LinearVictim, ShyVictim
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Access, Queries, Query, Response, Targeted, Untargeted


@dataclass
class _Found:
    """An attack that knows an adversarial clip.

    Args:
        clip: What it asks.
    """

    clip: Tensor
    needs: ClassVar[Access] = Access.LABEL

    def run(self, task: Task) -> Queries[None]:
        """Ask it."""
        yield Query(self.clip[None], "candidate")


class _ShyBut(ShyVictim):
    """A shy victim that answers one clip.

    Args:
        answered: `(t, c, h, w)`.
    """

    def __init__(self, inner: Classifier, clean: Tensor, share: float, answered: Tensor) -> None:
        super().__init__(inner, clean, share)
        self.answered = answered

    def __call__(self, clips: Tensor) -> Tensor:
        """Probabilities `(k, n)`, or a row of NaN."""
        scores = super().__call__(clips)
        for row, clip in enumerate(clips):
            if torch.equal(clip, self.answered):
                scores[row] = self.inner(clip[None])[0]
        return scores


class RefinerContract:
    """What every refiner must do.

    Attributes:
        slack: How many times the smallest possible perturbation it is given.
        budget: Queries of the video, the attack's included.
        shrinks: It must bring the mean absolute change below this share.
    """

    slack: float = 3.0
    budget: int = 400
    shrinks: float = 0.9

    def make(self) -> Refiner:
        """A fresh refiner."""
        raise NotImplementedError("name the refiner to check: def make(self): ...")

    def _given(self, seed: int) -> tuple[LinearVictim, Subject, Tensor, float]:
        """A victim, a clip of whole 8-bit levels, and an adversarial clip `slack` times too far."""
        victim = LinearVictim(classes=2)
        clean = (victim.clip(seed) * 255).round() / 255
        label = victim.label(clean)
        direction = (victim.weight[1 - label] - victim.weight[label]).sign().reshape(clean.shape)
        epsilon = self.slack * victim.smallest(clean, Untargeted(label))
        subject = Subject(f"toy-{seed}", clean, label, victim.spec.classes, seed)
        return victim, subject, (clean + epsilon * direction).clamp(0, 1), epsilon

    def _session(
        self,
        seed: int = 0,
        *,
        budget: int | None = None,
        access: Access = Access.SCORES,
        journal: Journal | None = None,
    ) -> tuple[Session, Oracle, Tensor]:
        victim, subject, found, epsilon = self._given(seed)
        threat = ThreatModel(constraint=Linf(epsilon), queries=budget or self.budget, access=access)
        session = Session(
            lambda: _Found(found), subject, threat, journal=journal, refiner=self.make
        )
        return session, Oracle(victim, access=access), found

    def _outcome(self, seed: int = 0, *, access: Access = Access.SCORES) -> Outcome:
        session, oracle, _ = self._session(seed, access=access)
        [done] = drive([session], oracle)
        assert done.outcome.exception is None
        assert oracle.clips_seen == done.outcome.queries
        return done.outcome

    @pytest.mark.parametrize("seed", range(2))
    def test_it_gives_a_smaller_clip_that_fools(self, seed: int) -> None:
        """And the engine's outcome is about that clip."""
        victim, subject, found, epsilon = self._given(seed)
        outcome = self._outcome(seed)
        assert outcome.status == "success"
        assert outcome.clip is not None
        assert victim.label(outcome.clip) == outcome.adversarial_label != subject.label
        assert Linf(epsilon).contains(outcome.clip, subject.clean)
        before = float((found - subject.clean).abs().mean())
        assert float((outcome.clip - subject.clean).abs().mean()) < self.shrinks * before

    def test_queries_to_success_are_those_of_the_attack(self) -> None:
        """The clean clip and the one candidate; refinement is counted on top."""
        outcome = self._outcome()
        assert outcome.queries_to_success == 2
        assert outcome.queries > 2

    @pytest.mark.parametrize("budget", [2, 3, 4, 17, 90])
    def test_the_budget_is_never_exceeded_and_nothing_gets_larger(self, budget: int) -> None:
        """However little is left."""
        session, oracle, found = self._session(budget=budget)
        [done] = drive([session], oracle)
        assert done.outcome.status == "success"
        assert oracle.clips_seen == done.outcome.queries <= budget
        assert done.outcome.clip is not None
        clean = done.subject.clean
        assert (done.outcome.clip - clean).abs().mean() <= (found - clean).abs().mean()

    def test_it_asks_no_more_than_it_announces(self) -> None:
        """`queries` is what an attack under `stop = "budget"` leaves it; below 1, a share: of what
        it is given it may ask everything. The engine ends it there, so it is driven without one.
        """
        announced = self.make().queries
        budget = int(announced) + 50 if announced >= 1 else 60
        most = announced if announced >= 1 else budget
        assert len(self._asked(budget)) <= most

    def test_the_same_seed_gives_the_same_clip(self) -> None:
        """All randomness comes from the task."""
        first, second = self._outcome(), self._outcome()
        assert first.queries == second.queries
        assert first.clip is not None
        assert second.clip is not None
        assert torch.equal(first.clip, second.clip)

    def test_an_interrupted_refinement_goes_on_from_its_journal(self, tmp_path: Path) -> None:
        """Nothing is asked twice, and the result is the same as without the interruption."""
        whole = self._outcome()
        session, oracle, _ = self._session(journal=Journal(tmp_path / "toy.jsonl"))
        buffer = torch.empty_like(session.subject.clean)[None]
        for _ in range(whole.queries // 2):
            assert session.query is not None
            session.render(0, buffer)
            session.answer(oracle.ask(buffer))
        session.close()
        resumed, again, _ = self._session(journal=Journal(tmp_path / "toy.jsonl"))
        [done] = drive([resumed], again)
        assert resumed.replayed == oracle.clips_seen
        assert oracle.clips_seen + again.clips_seen == whole.queries == done.outcome.queries
        assert done.outcome.clip is not None
        assert whole.clip is not None
        assert torch.equal(done.outcome.clip, whole.clip)

    def test_it_works_under_the_least_access_it_asks_for(self) -> None:
        """With fewer scores, or none, it makes the perturbation smaller too."""
        _, subject, found, _ = self._given(0)
        outcome = self._outcome(access=self.make().needs)
        assert outcome.status == "success"
        assert outcome.clip is not None
        before = (found - subject.clean).abs().mean()
        assert (outcome.clip - subject.clean).abs().mean() < before

    def test_a_target_stays_reached(self) -> None:
        """With a target, of three classes, what it keeps is that class."""
        victim = LinearVictim(classes=3)
        clean = (victim.clip(0) * 255).round() / 255
        label = victim.label(clean)
        target = int(victim.logits(clean[None])[0].argsort(descending=True)[1])
        direction = (victim.weight[target] - victim.weight[label]).sign().reshape(clean.shape)
        epsilon = self.slack * victim.smallest(clean, Targeted(label, target))
        found = (clean + epsilon * direction).clamp(0, 1)
        assert victim.label(found) == target, "the toy victim's target is in reach"
        threat = ThreatModel(
            goal="targeted", target=target, constraint=Linf(epsilon), queries=self.budget
        )
        subject = Subject("toy", clean, label, victim.spec.classes, 0)
        session = Session(lambda: _Found(found), subject, threat, refiner=self.make)
        [done] = drive([session], Oracle(victim))
        assert done.outcome.exception is None
        assert done.outcome.clip is not None
        assert victim.label(done.outcome.clip) == done.outcome.adversarial_label == target
        assert (done.outcome.clip - clean).abs().mean() < (found - clean).abs().mean()

    @pytest.mark.parametrize("share", [0.3, 1.0])
    def test_refused_questions_are_paid_and_keep_nothing(self, share: float) -> None:
        """A victim may refuse what looks odd: some questions, or every one after the attack's."""
        victim, subject, found, epsilon = self._given(0)
        shy = _ShyBut(victim, subject.clean, share, found)
        threat = ThreatModel(constraint=Linf(epsilon), queries=self.budget)
        oracle = Oracle(shy)
        session = Session(lambda: _Found(found), subject, threat, refiner=self.make)
        [done] = drive([session], oracle)
        outcome = done.outcome
        assert outcome.exception is None
        assert outcome.status == "success"
        assert outcome.refused > 0
        assert oracle.clips_seen == outcome.queries
        assert outcome.clip is not None
        assert not bool(shy(outcome.clip[None]).isnan().any())
        assert victim.label(outcome.clip) != subject.label
        assert share < 1 or torch.equal(outcome.clip, found)

    def test_what_it_is_given_is_not_written_to(self) -> None:
        """Neither the clean clip nor the adversarial one, nor what it asked before."""
        _, subject, found, _ = self._given(0)
        copies = subject.clean.clone(), found.clone()
        asked = self._asked(50, clean=subject.clean, found=found)
        assert torch.equal(subject.clean, copies[0])
        assert torch.equal(found, copies[1])
        assert all(torch.equal(now, then) for now, then in asked)

    def _asked(
        self, budget: int, *, clean: Tensor | None = None, found: Tensor | None = None
    ) -> list[tuple[Tensor, Tensor]]:
        """Every clip it asks within a budget, without an engine: the tensor, and a copy of it as it
        was then.
        """
        victim, subject, given, epsilon = self._given(0)
        clean, found = subject.clean if clean is None else clean, given if found is None else found
        scores = victim(torch.stack([clean, found]))
        labels = scores.argmax(dim=1)
        task = Task(
            key="toy",
            clean=clean,
            goal=Untargeted(int(labels[0])),
            constraint=Linf(epsilon),
            access=Access.SCORES,
            rng=torch.Generator().manual_seed(0),
            reference=Response(labels[:1], scores[:1]),
            budget=budget,
        )
        computation = self.make().refine(found, Response(labels[1:], scores[1:]), task)
        asked: list[tuple[Tensor, Tensor]] = []
        response: Response | None = None
        while len(asked) <= budget:
            try:
                query = next(computation) if response is None else computation.send(response)
            except StopIteration:
                break
            assert isinstance(query.clips, Tensor)
            asked.append((query.clips, query.clips.clone()))
            scores = victim(query.clips)
            response = Response(scores.argmax(dim=1), scores)
        return asked
