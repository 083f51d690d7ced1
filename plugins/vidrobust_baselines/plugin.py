"""Entries of this plugin."""

from __future__ import annotations

from collections.abc import Iterable

import click

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_commands(cli: click.Group) -> None:
    """Add `train-agent`."""
    from vidrobust_baselines.commands.train_agent import train_agent

    cli.add_command(train_agent)


@hookimpl
def vidrobust_attacks() -> Iterable[Entry]:
    """Offer the attacks."""
    yield Entry(
        "pgd-nes",
        "vidrobust_baselines.pgd_nes:pgd_nes",
        "projected signed steps along NES gradients: the paper's baseline",
        paper="AstFocus (Wei, Wang, Yan, TPAMI 2023), Eq. 1-3; Ilyas et al., ICML 2018",
    )
    yield Entry(
        "square",
        "vidrobust_baselines.square:Square",
        "random search with squares that last several frames",
        paper="Andriushchenko, Croce, Flammarion and Hein, ECCV 2020",
    )
    yield Entry(
        "motion-sampler",
        "vidrobust_baselines.motion_sampler:motion_sampler",
        "noise that moves as the clip does, under a bandit's memory",
        paper="ME-Sampler (Zhang, Zhu, Zhu and Yang, ECCV 2020)",
    )
    yield Entry(
        "geo-trap",
        "vidrobust_baselines.geo_trap:geo_trap",
        "one noise frame under random geometric warps, under a bandit's memory",
        paper="Geo-TRAP (Li et al., NeurIPS 2021)",
    )
    yield Entry(
        "vbad",
        "vidrobust_baselines.vbad:Vbad",
        "an image network's direction, rectified patch by patch",
        paper="VBAD (Jiang, Ma, Chen, Bailey and Jiang, ACM MM 2019)",
    )
    yield Entry(
        "sparse",
        "vidrobust_baselines.sparse:Sparse",
        "VBAD on the few frames an agent chooses",
        paper="SVA (Wei, Yan and Li, IJCV 2022)",
    )
    yield Entry(
        "heuristic",
        "vidrobust_baselines.heuristic:Heuristic",
        "another clip's salient pixels on few frames, pulled in along the decision boundary",
        paper="Heuristic (Wei, Chen, Wei, Jiang, Chua, Zhou and Jiang, AAAI 2020)",
    )
    yield Entry(
        "rlsb",
        "vidrobust_baselines.rlsb:Rlsb",
        "another clip's salient pixels on an agent's frames, pulled in by signs of derivatives",
        paper="RLSB (Wang, Sha and Yang, 2021, arXiv 2108.13872)",
    )
