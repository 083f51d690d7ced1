"""Runs as rows of a table, still data: what was attacked, by what, under which rules, and what came
of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vidrobust.bench.record import RunFolder
from vidrobust.metrics.outcome import ATTACKED, Estimate, Summary, mean, summarise


@dataclass(frozen=True, slots=True)
class Row:
    """One run.

    Args:
        run: What tells it apart: the folder's name, or its path where two have one name.
        model: Name of the victim.
        network: Which network that is, where the name leaves it open, as for `torch`.
        defence: Names of its defences, the innermost first; empty where it has none.
        source: Name of the source.
        attack: Name of the attack, and of the parts the config replaced.
        goal: `untargeted` or `targeted`, where the threat model says.
        budget: Query budget per video.
        constraint: How far a clip may be from the clean one, as `linf 8/255`.
        training_queries: What the attack's agents were trained with, on other videos.
        queries_to_refusal: Queries of an attacked video until a defence refused one, where it did.
        forwards_per_query: Forward passes of the victim that one query costs.
        finished: Whether the run came to its end.
        refined: Whether a refiner followed the attack.
        unlabelled: Attacked videos without a label.
        summary: Its metrics.
    """

    run: str
    model: str
    source: str
    attack: str
    goal: str
    budget: int
    forwards_per_query: int
    finished: bool
    summary: Summary
    network: str = ""
    defence: str = ""
    constraint: str = ""
    training_queries: int = 0
    refined: bool = False
    unlabelled: int = 0
    queries_to_refusal: Estimate = field(default_factory=lambda: mean([]))

    @property
    def rules(self) -> str:
        """`untargeted, 15,000 queries, linf 8/255`: a rate means nothing without them."""
        trained = self.training_queries
        before = f"{trained:,} queries of training before" if trained else ""
        parts = (self.goal, f"{self.budget:,} queries", self.constraint, before)
        return ", ".join(part for part in parts if part)

    @property
    def refusals(self) -> str:
        """`refusals in 3 videos, first at query 41 in the mean`; empty where there were none."""
        first = self.queries_to_refusal
        if first.value is None:
            return ""
        videos = "1 video" if first.count == 1 else f"{first.count} videos"
        return f"refusals in {videos}, first at query {first.value:.0f} in the mean"

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know besides."""
        notes = []
        if self.refined:
            notes.append("MAP is after refinement; what that cost is in QN spent")
        if self.unlabelled:
            whole = self.unlabelled == self.summary.attacked
            which = "no labels" if whole else f"{self.unlabelled} without a label"
            notes.append(f"{which}: the model's own answers are attacked")
        return notes

    @property
    def victim(self) -> str:
        """`zoo/c3d`, `torch (net.py:build)`, or `zoo/c3d + pgd-at, advit`."""
        model = f"{self.model} ({self.network})" if self.network else self.model
        return f"{model} + {self.defence}" if self.defence else model

    def as_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        kept = [name for name in self.__slots__ if name not in ("summary", "queries_to_refusal")]
        return {
            **{name: getattr(self, name) for name in kept},
            "queries_to_refusal": asdict(self.queries_to_refusal),
            "summary": self.summary.as_dict(),
        }


def read_rows(folders: Sequence[Path]) -> list[Row]:
    """The runs in some folders.

    Raises:
        RecordError: If one is no run folder or is damaged.
    """
    names = [folder.resolve().name for folder in folders]
    return [
        read_row(folder, name=name if names.count(name) == 1 else str(folder))
        for folder, name in zip(folders, names, strict=True)
    ]


def read_row(folder: Path, *, name: str = "") -> Row:
    """The run in a folder.

    Args:
        folder: What `vidrobust run` wrote.
        name: How the table calls it; the folder's name by default.

    Raises:
        RecordError: If it is no run folder or is damaged.
    """
    run = RunFolder(folder)
    manifest = run.manifest()
    config, records = manifest["config"], run.records()
    attacked = [r for r in records if r["status"] in ATTACKED]
    refusals = [r["queries_to_refusal"] for r in attacked if "queries_to_refusal" in r]
    return Row(
        run=name or folder.resolve().name,
        model=_used(config, "model"),
        source=_used(config, "source"),
        attack=_attack(config),
        goal=str(config.get("threat", {}).get("goal", "")),
        budget=manifest["budget"],
        forwards_per_query=manifest.get("environment", {}).get("forwards_per_query", 1),
        finished=manifest["finished"] is not None,
        summary=summarise(records, manifest["budget"]),
        network=network_of(config),
        defence=", ".join(str(table.get("use", "?")) for table in defence_tables(config)),
        constraint=_constraint(config.get("threat", {}).get("constraint")),
        training_queries=max((r.get("training_queries", 0) for r in records), default=0),
        refined="refine" in config,
        unlabelled=sum(not r.get("labelled", True) for r in attacked),
        queries_to_refusal=mean(refusals),
    )


def network_of(config: Mapping[str, Any]) -> str:
    """`net.py:build`: the module of the model `torch`, without its folder; empty for others."""
    return str(config.get("model", {}).get("module", "")).rpartition("/")[2]


def defence_tables(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The defences of a resolved config, the innermost first."""
    value = config.get("defence", [])
    return [value] if isinstance(value, Mapping) else list(value)


def _constraint(value: object) -> str:
    """`linf 8/255`, or `linf 8/255 & frames 4` where several hold together."""
    if isinstance(value, list):
        return " & ".join(map(_constraint, value))
    if not isinstance(value, Mapping):
        return ""
    settings = [str(setting) for key, setting in value.items() if key != "use"]
    return " ".join([str(value.get("use", "?")), *settings])


def _used(config: Mapping[str, Any], table: str) -> str:
    return str(config.get(table, {}).get("use", "?"))


def _attack(config: Mapping[str, Any]) -> str:
    """`pgd-nes`, or `pgd-nes + random, prune` where the config names a part and a refiner."""
    table = config.get("attack", {})
    parts = [v["use"] for v in table.values() if isinstance(v, Mapping) and "use" in v]
    name = " + ".join([str(table.get("use", "?")), *map(str, parts)])
    refiner = config.get("refine", {}).get("use")
    return f"{name}, {refiner}" if refiner else name
