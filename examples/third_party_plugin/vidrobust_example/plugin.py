"""What this package offers to vidrobust. The targets are strings: listing plugins imports none."""

from collections.abc import Iterable

from vidrobust.plugin import Entry, hookimpl


@hookimpl
def vidrobust_estimators() -> Iterable[Entry]:
    """Offer SPSA."""
    yield Entry(
        "spsa",
        "vidrobust_example.spsa:SPSA",
        "finite differences along random signs",
        paper="Spall 1992",
    )


@hookimpl
def vidrobust_attacks() -> Iterable[Entry]:
    """Offer the attack."""
    yield Entry(
        "half-flip",
        "vidrobust_example.half_flip:HalfFlip",
        "flips the sign of ever smaller blocks of the clip",
        paper="after Al-Dujaili and O'Reilly, ICLR 2020",
    )


@hookimpl
def vidrobust_threat_models() -> Iterable[Entry]:
    """Offer the threat model."""
    yield Entry(
        "impatient",
        "vidrobust_example.impatient:impatient",
        "few queries, and only the top class with its score",
    )
