"""Entries of this plugin."""

from __future__ import annotations

from collections.abc import Iterable

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_estimators() -> Iterable[Entry]:
    """Offer the estimators."""
    yield Entry(
        "nes",
        "vidrobust_estimators.nes:NES",
        "antithetic Gaussian finite differences",
        paper="Ilyas, Engstrom, Athalye and Lin, ICML 2018; AstFocus Eq. 2",
    )
    yield Entry(
        "bandits",
        "vidrobust_estimators.bandits:Bandits",
        "a gradient prior kept over time, two probes a step",
        paper="Ilyas, Engstrom and Madry, ICLR 2019",
    )
    yield Entry(
        "zoo",
        "vidrobust_estimators.zoo:Zoo",
        "derivatives along single cells, with ADAM",
        paper="Chen, Zhang, Sharma, Yi and Hsieh, AISec 2017",
    )
    yield Entry(
        "rgf",
        "vidrobust_estimators.rgf:RGF",
        "one-sided differences along random unit directions",
        paper="Nesterov and Spokoiny, 2017; Cheng et al., ICLR 2019; Heuristic (Wei et al., 2020)",
    )
    yield Entry(
        "sign",
        "vidrobust_estimators.sign:Sign",
        "signs of derivatives, one query each at a decision boundary",
        paper="Sign-OPT (Cheng, Singh, Chen, Chen, Liu and Hsieh, ICLR 2020)",
    )
