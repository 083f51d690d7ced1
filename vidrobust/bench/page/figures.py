"""The plots of the page, as Plotly figures in JSON; the page colours them light or dark."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vidrobust.bench.schema import VideoRecord
from vidrobust.metrics.curves import fooling_curve
from vidrobust.metrics.outcome import ATTACKED, rate

COLOURS = ("#3b7dd8", "#e07b39", "#2f9e77", "#c0448f", "#8f6bd6", "#b59a1c", "#4aa8b8", "#d1495b")
"""One per run, in order; readable on white and on near-black."""


@dataclass(frozen=True, slots=True)
class RunData:
    """A run as the page sees it.

    Args:
        name: What the tables call it.
        records: Its lines.
        budget: Queries per video.
        classes: Class names.
    """

    name: str
    records: Sequence[VideoRecord]
    budget: int
    classes: Sequence[str]


def fooling_curves(runs: Sequence[RunData]) -> str:
    """Fooling rate against queries with 95 % bands, a step function per run."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for colour, run in _coloured(runs):
        curve = fooling_curve(run.records)
        if curve is None:
            continue
        edge = {"shape": "hv", "width": 0, "color": colour}
        for bound, fill in ((curve.low, None), (curve.high, "tonexty")):
            figure.add_scatter(
                x=curve.queries,
                y=100 * np.where(np.isnan(bound), curve.share, bound),
                mode="lines",
                line=edge,
                fill=fill,
                fillcolor=_faint(colour),
                hoverinfo="skip",
                showlegend=False,
                legendgroup=run.name,
            )
        figure.add_scatter(
            x=curve.queries,
            y=100 * curve.share,
            line={"shape": "hv", "color": colour, "width": 2.5},
            mode="lines",
            name=run.name,
            legendgroup=run.name,
            hovertemplate="%{y:.0f} % within %{x:,} queries",
        )
    figure.update_xaxes(title="queries", rangemode="tozero")
    figure.update_yaxes(title="fooling rate (%)", range=[0, 102])
    return _json(figure)


def distributions(runs: Sequence[RunData], field: str) -> str:
    """A point per fooled clip: `queries` to success, or `mean_abs_255`."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for colour, run in _coloured(runs):
        hits = [r for r in run.records if r["status"] == "success"]
        figure.add_box(
            x=[_value(r, field) for r in hits],
            name=run.name,
            text=[r["key"] for r in hits],
            hovertemplate="%{text}: %{x:.4g}",
            boxpoints="all",
            jitter=0.5,
            pointpos=0,
            marker={"color": colour, "size": 5},
            line={"width": 1},
            showlegend=False,
        )
    figure.update_xaxes(
        title="queries to success" if field == "queries" else "mean absolute change (of 255)",
        rangemode="tozero",
    )
    figure.update_yaxes(autorange="reversed")
    return _json(figure)


def per_class(runs: Sequence[RunData]) -> str:
    """Fooling rate of each class with Wilson intervals."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for colour, run in _coloured(runs):
        attacked = Counter(r["label"] for r in run.records if r["status"] in ATTACKED)
        fooled = Counter(r["label"] for r in run.records if r["status"] == "success")
        labels = sorted(attacked)
        rates = [rate(fooled[label], attacked[label]) for label in labels]
        values = np.array([100 * (r.value or 0.0) for r in rates])
        figure.add_bar(
            x=[class_name(run.classes, label) for label in labels],
            y=values,
            error_y={
                "type": "data",
                "array": [100 * (r.high or 0.0) - v for r, v in zip(rates, values, strict=True)],
                "arrayminus": [
                    v - 100 * (r.low or 0.0) for r, v in zip(rates, values, strict=True)
                ],
                "thickness": 1,
            },
            name=run.name,
            marker={"color": colour},
            customdata=[attacked[label] for label in labels],
            hovertemplate="%{y:.0f} % of %{customdata} clips",
        )
    figure.update_yaxes(title="fooling rate (%)", range=[0, 102])
    figure.update_layout(barmode="group")
    return _json(figure)


def class_name(classes: Sequence[str], label: int | None) -> str:
    """The name of a class, or its number where there is none."""
    if label is None or label < 0:
        return "unknown"
    return classes[label] if label < len(classes) else f"class {label}"


def _coloured(runs: Sequence[RunData]) -> list[tuple[str, RunData]]:
    return [(COLOURS[i % len(COLOURS)], run) for i, run in enumerate(runs)]


def _faint(colour: str) -> str:
    """`#rrggbb` as a colour that lets 85 % of what is behind it through."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"


def _value(record: Mapping[str, Any], field: str) -> float:
    if field == "queries":
        return float(record["queries_to_success"])
    return float(record["distance"]["mean_abs_255"])


def _json(figure: Any) -> str:
    """Data and layout; `</` cannot end the script element it is put into."""
    figure.update_layout(
        template="none",
        margin={"l": 60, "r": 16, "t": 8, "b": 48},
        legend={"orientation": "h", "yanchor": "bottom", "y": 1.02},
        hoverlabel={"namelength": -1},
    )
    plain = json.loads(figure.to_json())
    return json.dumps(plain).replace("</", "<\\/")
