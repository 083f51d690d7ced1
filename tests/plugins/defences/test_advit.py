"""The detector of inconsistent frames: what it flags, what it costs, how its threshold is set."""

from __future__ import annotations

import json

import pytest
import torch
from vidrobust_defences.advit import AdvIt, divergence, pseudo_frame
from vidrobust_defences.roc import roc, share_above, threshold_at
from vidrobust_defences.similar_queries import SimilarQueries

from vidrobust.cli.main import main
from vidrobust.engine import Subject, solve
from vidrobust.errors import ConfigError
from vidrobust.plugin.manager import PluginHost
from vidrobust.testing import LinearVictim
from vidrobust.testing.toy import ShyVictim
from vidrobust.threat import Linf, Oracle, ThreatModel


def moving(victim, seed=0):
    """A smooth picture that moves one pixel to the right per frame."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand((1, 3, 6, 8), generator=rng)
    wide = torch.nn.functional.interpolate(coarse, (16, 24), mode="bicubic")[0].clamp(0, 1)
    return torch.stack([wide[..., 4 - i : 20 - i] for i in range(victim.spec.frames)])


def planted(clip, frame=2):
    """The clip with one frame of black and white squares."""
    changed = clip.clone()
    rng = torch.Generator().manual_seed(9)
    cells = torch.rand((1, 3, 4, 4), generator=rng).round()
    changed[frame] = torch.nn.functional.interpolate(cells, clip.shape[2:])[0]
    return changed


def test_a_pseudo_frame_is_the_earlier_one_moved_along():
    clip = moving(LinearVictim())

    made = pseudo_frame(clip, 3, 1)

    inner = (..., slice(4, 12), slice(4, 12))
    still = float((clip[1] - clip[3])[inner].abs().mean())
    assert float((made - clip[3])[inner].abs().mean()) < 0.3 * still


def test_a_planted_inconsistent_frame_is_flagged_and_clean_clips_are_not():
    victim = LinearVictim()
    clean = torch.stack([moving(victim, seed) for seed in range(6)])
    detector = AdvIt(previous=2, noise=0.0)
    threshold = 1.5 * float(detector.scores(victim, clean).max())
    defended = AdvIt(previous=2, noise=0.0, threshold=threshold).wrap(victim)

    answers = defended(torch.stack([*clean, *(planted(clip) for clip in clean)]))

    refused = torch.isnan(answers).all(dim=1).tolist()
    assert refused == [False] * 6 + [True] * 6
    assert torch.equal(answers[:6], victim(clean))


def test_a_real_network_is_inconsistent_about_a_planted_frame():
    from vidrobust_zoo.models import c3d
    from vidrobust_zoo.motions import clip

    network, clean = c3d(), torch.stack([clip("val", label, 0) for label in (0, 3, 9)])
    detector = AdvIt(previous=1, frames=[4, 9])

    scores = detector.scores(network, torch.stack([*clean, *(planted(c, 9) for c in clean)]))

    assert float(scores[3:].min()) > float(scores[:3].max())


def test_its_own_questions_are_not_charged_but_said():
    victim = LinearVictim()
    defended = AdvIt(previous=1, frames=[1, 3], threshold=1e6).wrap(victim)
    clip = victim.clip()
    oracle = Oracle(defended)
    factory = PluginHost().find("attacks", "square").load()
    subject = Subject("toy", clip, victim.label(clip), victim.spec.classes, 0)

    outcome = solve(factory, subject, ThreatModel(constraint=Linf(1e-4), queries=9), oracle)

    assert outcome.queries == oracle.clips_seen == 9
    assert defended.spec.forwards == 3
    assert victim.clips == 3 * 9


@pytest.mark.parametrize(("policy", "status"), [("abort", "detected"), ("refuse", "exhausted")])
def test_both_policies(policy, status):
    victim = LinearVictim()
    clip = moving(victim)
    own = AdvIt(previous=1, noise=0.0)
    threshold = 1.001 * float(own.scores(victim, clip[None])[0])
    defended = AdvIt(previous=1, noise=0.0, threshold=threshold, policy=policy).wrap(victim)
    factory = PluginHost().find("attacks", "square").load()
    subject = Subject("toy", clip, victim.label(clip), victim.spec.classes, 0)
    rules = ThreatModel(constraint=Linf(0.01), queries=40)

    outcome = solve(factory, subject, rules, Oracle(defended))

    assert outcome.status == status
    assert outcome.refused > 0
    assert (outcome.queries == outcome.queries_to_refusal) is (policy == "abort")


def test_divergence_is_symmetric_and_zero_for_the_same():
    one, other = torch.tensor([[0.7, 0.3], [1.0, 0.0]]), torch.tensor([[0.4, 0.6], [1.0, 0.0]])

    both = divergence(one, other)

    assert torch.allclose(both, divergence(other, one))
    expected = 0.5 * ((0.3) * torch.log(torch.tensor(7 / 4)) + 0.3 * torch.log(torch.tensor(2.0)))
    assert float(both[0]) == pytest.approx(float(expected), abs=1e-6)
    assert float(both[1]) == 0


def test_scores_do_not_depend_on_the_batch():
    victim = LinearVictim()
    clips = torch.stack([victim.clip(seed) for seed in range(3)])
    detector = AdvIt(previous=2, score="top-3")

    together = detector.scores(victim, clips)

    assert torch.equal(together, torch.cat([detector.scores(victim, c[None]) for c in clips]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "expected threshold or calibration, got neither"),
        ({"threshold": 1.0, "calibration": "x.json"}, "got both"),
        ({"threshold": 1.0, "frames": []}, "frames: none can be tested"),
        ({"threshold": 1.0, "frames": [4]}, "frames: 4 cannot be tested, expected frames from 1"),
        ({"calibration": "x.json"}, r"x\.json cannot be read"),
    ],
)
def test_what_is_missing_or_wrong_is_said(settings, message, tmp_path):
    if "calibration" in settings:
        settings = settings | {"calibration": tmp_path / settings["calibration"]}
    with pytest.raises(ConfigError, match=message):
        AdvIt(**settings).wrap(LinearVictim())


def test_a_defence_that_remembers_cannot_stand_behind_it():
    alarm = SimilarQueries().wrap(LinearVictim())

    with pytest.raises(ConfigError, match="would remember these"):
        AdvIt(threshold=1.0).wrap(alarm)
    SimilarQueries().wrap(AdvIt(threshold=1.0).wrap(LinearVictim()))


def test_a_clip_whose_predicted_frames_are_refused_is_flagged():
    victim = LinearVictim()
    shy = ShyVictim(victim, victim.clip(), 1.0)  # refuses every other clip

    assert torch.isnan(AdvIt(threshold=1e9).wrap(shy)(victim.clip()[None])).all()


def test_a_threshold_lies_between_scores_so_that_last_bits_do_not_matter():
    clean = [0.1 * step for step in range(20)]

    for rate in (0.0, 0.05, 0.1, 0.5):
        assert min(abs(threshold_at(clean, rate) - score) for score in clean) > 0.01


def test_a_threshold_lets_a_share_of_clean_clips_lie_above():
    clean = [0.1 * step for step in range(20)]

    for rate, flagged in ((0.0, 0), (0.05, 1), (0.1, 2), (0.5, 10)):
        assert share_above(clean, threshold_at(clean, rate)) == pytest.approx(flagged / 20)


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order():
    curve = roc([0.1, 0.2, 0.3], [0.25, 0.3, 0.9])

    assert curve.auc == pytest.approx((2 + 2.5 + 3) / 9)
    assert curve.false_positives[-1] == curve.true_positives[-1] == 1
    assert list(curve.thresholds) == sorted(curve.thresholds, reverse=True)


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_calibrate_on_clean_clips_then_run_behind_the_detector(tmp_path, capsys):
    small = ["--set", "defence.previous=1", "--set", "defence.frames=[4, 9]"]
    file, out, plain = tmp_path / "advit.json", tmp_path / "run", tmp_path / "plain"
    cheap = ["--limit", "2", "--budget", "60", "--set", "run.max_batch=4", "-q"]
    assert call("run", *cheap, "--epsilon", "0.2", "--out", str(plain)) == 0

    adversarial = ["--adversarial", str(plain), "--limit", "4", "--fpr", "0.25"]
    assert call("calibrate-defence", *small, *adversarial, "--out", str(file), "-q") == 0
    behind = ["--defence", "advit", *small, "--set", f"defence.calibration={file}"]
    assert call("run", *cheap, *behind, "--out", str(out)) == 0

    kept = json.loads(file.read_text())
    assert (kept["clean"]["clips"], kept["clean"]["flagged"]) == (4, 1)
    assert kept["adversarial"]["clips"] > 0
    assert 0 <= kept["adversarial"]["auc"] <= 1
    manifest = json.loads((out / "run.json").read_text())
    assert manifest["environment"]["forwards_per_query"] == 3
    assert "zoo/c3d + advit" in capsys.readouterr().out

    other = [*behind, "--model", "zoo/tsm"]
    assert call("run", *cheap, *other, "--out", str(tmp_path / "other")) == 2
    assert "is for another model: its network: C3D, here TSM" in capsys.readouterr().err

    assert call("calibrate-defence", "--out", str(file)) == 2
    wrong = ["--defence", "advit", "--set", f"defence.calibration={file}"]
    assert call("run", *cheap, *wrong, "--out", str(tmp_path / "wrong")) == 2
    assert "is for previous = 1, not 3" in capsys.readouterr().err
