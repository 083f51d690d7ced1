"""What this plugin offers; nothing here imports ART."""

from __future__ import annotations

from collections.abc import Iterator

from vidrobust.plugin import Entry, hookimpl

ART = "Nicolae et al., Adversarial Robustness Toolbox, 2018"


@hookimpl
def vidrobust_models() -> Iterator[Entry]:
    """Offer the model `art`."""
    yield Entry(
        "art",
        "vidrobust_art.model:art_model",
        "any ART classifier of clips: a callable that builds it",
        paper=ART,
    )


@hookimpl
def vidrobust_attacks() -> Iterator[Entry]:
    """Offer the black-box attacks of ART."""
    yield Entry(
        "art-square",
        "vidrobust_art.score:art_square",
        "ART's Square Attack on a clip folded into an image",
        paper=f"Andriushchenko, Croce, Flammarion and Hein, ECCV 2020; {ART}",
    )
    yield Entry(
        "art-simba",
        "vidrobust_art.score:art_simba",
        "ART's SimBA: one DCT or pixel coordinate at a time",
        paper=f"Guo et al., ICML 2019; {ART}",
    )
    yield Entry(
        "art-zoo",
        "vidrobust_art.score:art_zoo",
        "ART's ZOO: finite differences per coordinate, Adam steps",
        paper=f"Chen et al., AISec 2017; {ART}",
    )
    yield Entry(
        "art-hop-skip-jump",
        "vidrobust_art.label:art_hop_skip_jump",
        "ART's HopSkipJump: along the decision boundary, by labels alone",
        paper=f"Chen, Jordan and Wainwright, S&P 2020; {ART}",
    )
    yield Entry(
        "art-boundary",
        "vidrobust_art.label:art_boundary",
        "ART's Boundary Attack: a random walk along the decision boundary",
        paper=f"Brendel, Rauber and Bethge, ICLR 2018; {ART}",
    )
    yield Entry(
        "art-sign-opt",
        "vidrobust_art.label:art_sign_opt",
        "ART's Sign-OPT: the distance to the boundary along a direction",
        paper=f"Cheng et al., ICLR 2020; {ART}",
    )
