"""The conformance class of attacks: on a victim whose smallest perturbation is known in closed
form.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vidrobust.engine import Outcome, Session, Subject, drive, solve
from vidrobust.protocols import Attack
from vidrobust.testing.toy import LinearVictim, ShyVictim
from vidrobust.threat import Linf, Oracle, ThreatModel
from vidrobust.types import Access, Goal, Response, Targeted, Untargeted


class AttackContract:
    """What every attack must do on the toy victim.

    Attributes:
        goals: Goals the attack supports.
        slack: How many times the smallest possible epsilon it is given.
        budget: Queries within which it must succeed.
        access: What the threat model shows.
        far_targets: Whether it reaches targets that are not the nearest class.
        near: How near the toy victim's clips lie to its boundary, in parts of what is usual; below
            1 for attacks that stay within a radius of their own.
    """

    goals: tuple[str, ...] = ("untargeted", "targeted")
    slack: float = 3.0
    budget: int = 6000
    access: Access = Access.SCORES
    far_targets: bool = True
    near: float = 1.0

    def make(self) -> Attack:
        """A fresh attack."""
        raise NotImplementedError("name the attack to check: def make(self): ...")

    def _victim(self, classes: int = 2) -> LinearVictim:
        return LinearVictim(classes=classes, near=self.near)

    def _subject(self, victim: LinearVictim, seed: int) -> Subject:
        clip = victim.clip(seed)
        label, spec = victim.label(clip), victim.spec
        return Subject(f"toy-{seed}", clip, label, spec.classes, seed, spec=spec)

    def _threat(
        self, victim: LinearVictim, seed: int, goal: str, *, slack: float, budget: int
    ) -> ThreatModel:
        clip = victim.clip(seed)
        label = victim.label(clip)
        target = 1 - label
        wanted: Goal = Untargeted(label) if goal == "untargeted" else Targeted(label, target)
        epsilon = min(1.0, slack * victim.smallest(clip, wanted))
        return ThreatModel(
            goal="untargeted" if goal == "untargeted" else "targeted",
            target=target,
            access=self.access,
            constraint=Linf(epsilon),
            queries=budget,
        )

    def _solve(self, seed: int, goal: str, *, slack: float, budget: int) -> Outcome:
        victim = self._victim()
        threat = self._threat(victim, seed, goal, slack=slack, budget=budget)
        oracle = Oracle(victim, access=threat.access)
        outcome = solve(self.make, self._subject(victim, seed), threat, oracle)
        assert oracle.clips_seen == outcome.queries
        assert victim.clips == outcome.queries
        return outcome

    @pytest.mark.parametrize("share", [0.5, 1.0])
    def test_it_survives_refused_queries(self, share: float) -> None:
        """A defended model answers half of the queries, or the clean clip only."""
        for goal in self.goals:
            victim = self._victim()
            subject = self._subject(victim, 0)
            threat = self._threat(victim, 0, goal, slack=self.slack, budget=200)
            oracle = Oracle(ShyVictim(victim, subject.clean, share), access=threat.access)
            [session] = drive([Session(self.make, subject, threat)], oracle)
            outcome = session.outcome
            assert outcome.status != "error", outcome.error
            assert outcome.queries == oracle.clips_seen <= threat.queries
            assert share < 1 or (outcome.status != "success" and outcome.refused > 0)

    @pytest.mark.parametrize("seed", range(2))
    def test_it_approaches_the_smallest_perturbation(self, seed: int) -> None:
        """Succeeds with `slack` times the smallest epsilon, for every goal it supports."""
        for goal in self.goals:
            outcome = self._solve(seed, goal, slack=self.slack, budget=self.budget)
            assert outcome.status == "success", goal

    def test_it_reaches_a_target_that_is_not_the_nearest_class(self) -> None:
        """Of three classes the least likely one, with twice the room and three times the budget:
        that another class falls behind the label does not do.
        """
        if "targeted" not in self.goals or not self.far_targets:
            pytest.skip("this attack has no targets, or near ones only")
        victim = self._victim(classes=3)
        clip = victim.clip(0)
        target = int(victim.logits(clip[None]).argmin())
        goal = Targeted(victim.label(clip), target)
        threat = ThreatModel(
            goal="targeted",
            target=target,
            access=self.access,
            constraint=Linf(min(1.0, 2 * self.slack * victim.smallest(clip, goal))),
            queries=3 * self.budget,
        )
        oracle = Oracle(victim, access=threat.access)
        outcome = solve(self.make, self._subject(victim, 0), threat, oracle)
        assert (outcome.status, outcome.adversarial_label) == ("success", target)

    def test_it_never_succeeds_where_nothing_can(self) -> None:
        """With 0.95 times the smallest epsilon no adversarial clip exists."""
        outcome = self._solve(0, "untargeted", slack=0.95, budget=400)
        assert outcome.status in ("exhausted", "gave_up")

    @pytest.mark.parametrize("budget", [1, 2, 59, 60, 61, 62, 150])
    def test_the_budget_is_never_exceeded(self, budget: int) -> None:
        """Whatever the size of its queries."""
        outcome = self._solve(0, "untargeted", slack=0.9, budget=budget)
        assert outcome.queries <= budget

    def test_success_lies_inside_the_constraint(self) -> None:
        """And is measured on the clip that is handed back."""
        victim = self._victim()
        threat = self._threat(victim, 1, "untargeted", slack=self.slack, budget=self.budget)
        subject = self._subject(victim, 1)
        outcome = solve(self.make, subject, threat, Oracle(victim, access=threat.access))
        assert outcome.clip is not None
        assert threat.constraint.contains(outcome.clip, subject.clean)
        assert victim.label(outcome.clip) == outcome.adversarial_label != outcome.label

    def test_alone_and_in_company_it_does_the_same(self) -> None:
        """Eight videos in flight change nothing, bit for bit."""
        alone, together = self._in_flight(1), self._in_flight(8)
        for first, second in zip(alone, together, strict=True):
            assert (first.status, first.queries) == (second.status, second.queries)
            assert first.clip is not None
            assert second.clip is not None
            assert torch.equal(first.clip, second.clip)

    def _in_flight(self, window: int) -> list[Outcome]:
        victim = self._victim()
        threat = self._threat(victim, 0, "untargeted", slack=self.slack, budget=300)
        subjects = [self._subject(victim, seed) for seed in range(8)]
        sessions = [Session(self.make, subject, threat) for subject in subjects]
        oracle = Oracle(victim, access=threat.access)
        assert len(list(drive(iter(sessions), oracle, window=window))) == 8
        return [session.outcome for session in sessions]

    def test_queries_handed_over_are_not_written_to(self) -> None:
        """Neither the clean clip nor a candidate changes after it was asked."""
        victim = self._victim()
        task = victim.task(budget=400)
        clean = task.clean.clone()
        computation = self.make().run(task)
        query = next(computation)
        kept: list[tuple[Tensor, Tensor]] = []
        for _ in range(30):
            if isinstance(query.clips, Tensor):
                kept.append((query.clips, query.clips.clone()))
            clips = torch.stack([query.row(i, task.clean) for i in range(len(query))])
            scores = victim(clips)
            try:
                query = computation.send(Response(scores.argmax(dim=1), scores))
            except StopIteration:
                break
        assert torch.equal(task.clean, clean)
        assert all(torch.equal(now, then) for now, then in kept)
