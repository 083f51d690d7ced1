"""The alarm for near-identical queries."""

from __future__ import annotations

import torch
from toy_training import config, host
from vidrobust_defences.similar_queries import Memory, SimilarQueries

from vidrobust.bench.config import load_config, resolve
from vidrobust.bench.record import RunFolder
from vidrobust.bench.runner import Runner
from vidrobust.testing import LinearVictim
from vidrobust.threat import Oracle


def refused(defended, clips):
    return torch.isnan(defended(clips)).all(dim=1).tolist()


def test_the_fifth_of_five_near_identical_clips_is_refused_and_others_are_not():
    victim = LinearVictim()
    defended = SimilarQueries(count=4).wrap(victim)
    noise = 0.02 * torch.randn((6, *victim.spec.shape), generator=torch.Generator().manual_seed(0))
    near = (victim.clip() + noise).clamp(0, 1)
    others = torch.rand((3, 1, 3, 4, 4), generator=torch.Generator().manual_seed(1))
    others = others.repeat_interleave(4, -1).repeat_interleave(4, -2).expand(-1, 4, -1, -1, -1)

    assert refused(defended, near[:4]) == [False] * 4
    assert refused(defended, others.contiguous()) == [False] * 3
    assert refused(defended, near[4:]) == [True] * 2
    assert defended.remembers
    defended.forget()
    assert refused(defended, near[:2]) == [False] * 2


def test_batches_do_not_matter():
    victim = LinearVictim()
    clips = victim.clip().repeat(7, 1, 1, 1, 1)
    one, many = (SimilarQueries(count=3).wrap(victim) for _ in range(2))

    assert refused(one, clips) == [row for clip in clips for row in refused(many, clip[None])]


def test_a_batch_that_the_model_has_no_memory_for_is_remembered_once():
    class Small(LinearVictim):
        def __call__(self, clips):
            if len(clips) > 2:
                raise torch.OutOfMemoryError
            return super().__call__(clips)

    victim = Small()
    clips = victim.clip().repeat(4, 1, 1, 1, 1)

    answer = Oracle(SimilarQueries(count=4).wrap(victim), max_batch=4).ask(clips)

    assert not answer.refused.any()


def test_a_full_memory_forgets_the_oldest():
    memory = Memory(3)
    for value in (0.0, 0.0, 1.0, 1.0):
        memory.near(torch.full((4,), value), 0.1)

    assert len(memory) == 3
    assert memory.near(torch.zeros(4), 0.1) == 1


def run(out, *sets, resume=False):
    sets = ("defence.use=similar-queries", "defence.count=5", "defence.radius=0.001", *sets)
    base = config(count=4) | {"run": {"max_batch": 4, "limit": 3}}  # one is misclassified
    base["threat"] = {"queries": 12, "constraint": {"use": "linf", "epsilon": 0.001}}
    plan = resolve(load_config(None, sets, base=base), host())
    manifest, records = Runner(plan, host(), RunFolder(out), resume=resume).run()
    return manifest, [record for record in records if record["status"] != "misclassified"]


def test_records_say_after_how_many_queries_the_alarm_rang(tmp_path):
    manifest, records = run(tmp_path / "run")

    assert [record["queries_to_refusal"] for record in records] == [6, 6]
    assert [record["refused"] for record in records] == [12 - 5] * 2
    assert all(check["ok"] for check in manifest["checks"])


def test_the_attack_is_over_where_the_account_is_closed(tmp_path):
    _, records = run(tmp_path / "run", "defence.policy=abort")

    assert [(r["status"], r["queries"]) for r in records] == [("detected", 6)] * 2


def test_there_are_no_journals_of_a_model_that_remembers(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "vidrobust.engine.journal.Journal.append", lambda *_: seen.append("written")
    )

    run(tmp_path / "run")

    assert seen == []
