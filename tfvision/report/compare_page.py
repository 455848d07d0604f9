"""The comparison of runs: as text for the terminal, as JSON, and as one HTML file.

The page is of the kind of `report.html`: no script, nothing loaded from elsewhere, every
name escaped by the template, readable on a phone and in dark mode.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.engine.files import write_bytes
from tfvision.report import overlay, tables
from tfvision.report.plots import Line, column, line_chart, number, tick_texts, ticks
from tfvision.stats.bootstrap import Difference

BARS = 48  # of a histogram
MEANINGS = {
    "better": "better than the baseline",
    "worse": "worse than the baseline",
    "cannot tell": "these images cannot tell the two apart",
}


@dataclass
class Pair:
    """One run against the baseline.

    Attributes:
        baseline, run: Their names.
        total: Difference of the score, run minus baseline.
        classes: Differences of each class, of what each is worth beside the score.
        p_adjusted: Holm's p-value over all pairs.
        verdict: `better`, `worse` or `cannot tell`.
        images: Those that differ most: {id, baseline, run, difference}.
        pictures: PNG data URIs by id under `image`, `truth`, `baseline`, `run`.
        no_pictures: Why there are none.
    """

    baseline: str
    run: str
    total: Difference
    classes: list[Difference]
    p_adjusted: float = math.nan
    verdict: str = "cannot tell"
    images: list[dict[str, Any]] = field(default_factory=list)
    pictures: dict[str, dict[str, str]] = field(default_factory=dict)
    no_pictures: str = ""


@dataclass
class Comparison:
    """Everything the page shows.

    Attributes:
        split: Compared on.
        score: Its name.
        score_title: What it is called.
        class_score: What one class is worth beside it: "IoU"; "" without classes.
        kept: What each run keeps of each image: "confusion matrices".
        convention: "contract", or the name of a convention.
        contract: The metric contract.
        class_names: K names.
        num_images, num_units: Images, and what was resampled.
        resampled: "images" or "groups".
        resamples: How many.
        level: Of false verdicts, 0.05.
        runs: {name, path, arch, seed, num_parameters, epochs, best_epoch, score} each, the
            baseline first.
        histories: Rows of metrics.csv by run.
        pairs: One a run but the first.
        cautions: Sentences that a reader must see.
    """

    split: str
    score: str
    score_title: str
    class_score: str
    kept: str
    convention: str
    contract: dict[str, Any]
    class_names: list[str]
    num_images: int
    num_units: int
    resampled: str
    resamples: int
    level: float
    runs: list[dict[str, Any]]
    histories: dict[str, list[dict[str, Any]]]
    pairs: list[Pair]
    cautions: list[str]

    @property
    def title(self) -> str:
        return self.score_title + ("" if self.convention == "contract" else f" ({self.convention})")

    @property
    def basis(self) -> str:
        """What was scored, one line."""
        units = "" if self.resampled == "images" else f" in {self.num_units} groups"
        return f"{self.title} on {self.split}: {self.num_images} images{units}"

    def to_json(self) -> dict[str, Any]:
        """What `compare.json` holds; None stands for what is undefined."""
        same = ("split", "score", "convention", "contract", "num_images", "num_units")
        return {
            **{key: getattr(self, key) for key in same},
            "resampled": self.resampled,
            "resamples": self.resamples,
            "confidence": 1 - self.level,
            "runs": self.runs,
            "pairs": [_pair_json(pair, self.class_names) for pair in self.pairs],
            "cautions": self.cautions,
        }

    def text(self) -> str:
        """The tables for the terminal."""
        blocks = [[self.basis], _run_rows(self)]
        for pair in self.pairs if self.class_names else []:
            blocks.append(_class_rows(pair, self.class_names, self.class_score))
        notes = [
            f"{pair.run}: would find a true difference of {_plain(pair.total.detectable)} in 8 of "
            "10 samples like this"
            for pair in self.pairs
            if math.isfinite(pair.total.detectable)
        ]
        return "\n\n".join(
            "\n".join(block) for block in [*blocks, notes, [f"! {c}" for c in self.cautions]]
        )


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Writes the page to `path`, whole or not at all.

    Raises:
        EnvironmentFault: The file can't be written.
    """
    text = render(comparison)
    write_bytes(Path(path), text.encode("utf-8", errors="backslashreplace"))


def render(comparison: Comparison) -> str:
    """The page as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name, formatter in (
        ("score", tables.score),
        ("count", tables.count),
        ("signed", _signed),
        ("plain", _plain),
        ("p", _p_text),
    ):
        environment.filters[name] = formatter
    return environment.get_template("compare.html").render(
        comparison=comparison,
        meanings=MEANINGS,
        charts=_charts(comparison),
        reach=_reach(comparison),
        histograms=[histogram(pair.total) for pair in comparison.pairs],
        contract=tables.flatten(comparison.contract),
        colours=overlay.hex_colours(len(comparison.class_names)),
    )


def _reach(comparison: Comparison) -> float:
    """Half the scale of the classes' intervals: the farthest end that is drawn."""
    found = [one for pair in comparison.pairs for one in pair.classes]
    ends = [abs(end) for one in found for end in (one.low, one.high) if abs(end) < one.span]
    return max([0.01, *ends])


def histogram(found: Difference) -> dict[str, Any] | None:
    """Bars of the resampled differences, in per cent of the plot; None without a spread."""
    values = found.resampled[np.isfinite(found.resampled)]
    if not values.size or values.min() == values.max():
        return None
    # Beyond these a few resamples would squeeze all others into the middle.
    low, high = np.quantile(values, [0.0005, 0.9995])
    shown = [v for v in (found.low, found.high) if abs(v) < found.span]
    low, high = min(low, 0, *shown), max(high, 0, *shown)
    pad = 0.04 * (high - low)
    low, high = float(low - pad), float(high + pad)
    counts, edges = np.histogram(values, bins=BARS, range=(low, high))

    def across(value: float) -> float:
        return round(100 * min(max((value - low) / (high - low), 0), 1), 2)

    at = ticks(low, high, 5)
    return {
        "bars": [
            {"left": across(edge), "height": round(100 * count / counts.max(), 1)}
            for edge, count in zip(edges, counts, strict=False)
            if count
        ],
        "width": round(100 / BARS, 3),
        "ticks": [{"at": across(v), "text": t} for v, t in zip(at, tick_texts(at), strict=True)],
        "zero": across(0.0),
        "estimate": across(found.difference),
        "low": across(found.low),
        "high": across(found.high),
    }


def _charts(comparison: Comparison) -> list[dict[str, Any]]:
    """Curves of all runs in one chart each; a run whose history lacks a column is left out."""
    names = [run["name"] for run in comparison.runs]
    colours = ["var(--blue)", "var(--orange)", *overlay.hex_colours(len(names) + 8)[3:]]
    rows = {
        name: {number(row.get("epoch")): row for row in comparison.histories[name]}
        for name in names
    }
    epochs = sorted({e for table in rows.values() for e in table if math.isfinite(e)})
    if not epochs:
        return []
    charts = []
    for key, title, note in (
        (
            f"val_{comparison.score}",
            f"Validation {comparison.score_title}",
            "Curves that cross again and again are equal: read the verdict, not the last epoch.",
        ),
        ("val_loss", "Validation loss", "Comparable only where both runs have the same loss."),
        ("loss", "Training loss", "Lower with a worse validation: that run learns by heart."),
    ):
        lines = [
            Line(name, column([rows[name].get(e, {}) for e in epochs], key), colour)
            for name, colour in zip(names, colours, strict=False)
        ]
        charts.append(line_chart(epochs, lines, title=title, note=note))
    return [chart for chart in charts if chart]


def _pair_json(pair: Pair, class_names: Sequence[str]) -> dict[str, Any]:
    total = pair.total
    return {
        "baseline": pair.baseline,
        "run": pair.run,
        "verdict": pair.verdict,
        **_difference_json(total),
        "p_adjusted": _or_none(pair.p_adjusted),
        "detectable": _or_none(total.detectable),
        "num_differing": total.num_differing,
        "classes": [
            {"name": name, **_difference_json(found)}
            for name, found in zip(class_names, pair.classes, strict=True)
        ],
        "images": pair.images,
    }


def _difference_json(found: Difference) -> dict[str, Any]:
    names = {"first": "baseline_score", "second": "run_score"}
    keys = ("first", "second", "difference", "low", "high", "standard_error", "p_value")
    return {names.get(key, key): _or_none(getattr(found, key)) for key in keys}


def _run_rows(comparison: Comparison) -> list[str]:
    family = len(comparison.pairs) > 1
    head = ["run", "score", "difference", "95 % interval", "p", *(["p, Holm"] if family else [])]
    rows = [[*head, "verdict"]]
    first = comparison.runs[0]
    rows.append(
        [first["name"], _plain(number(first["score"])), *[""] * (len(head) - 2), "baseline"]
    )
    for pair in comparison.pairs:
        total = pair.total
        cells = [pair.run, _plain(total.second), _signed(total.difference), _interval(total)]
        cells += [_p_text(total.p_value), *([_p_text(pair.p_adjusted)] if family else [])]
        rows.append([*cells, pair.verdict])
    lines = _aligned(rows)
    if family:
        lines.append(
            f"{len(comparison.pairs)} differences: a verdict needs Holm's adjusted p <= "
            f"{comparison.level:g}; each interval is for its own difference alone."
        )
    return lines


def _class_rows(pair: Pair, class_names: Sequence[str], class_score: str) -> list[str]:
    rows = [["class", pair.baseline, pair.run, "difference", "95 % interval"]]
    for name, found in zip(class_names, pair.classes, strict=True):
        cells = [_plain(found.first), _plain(found.second)]
        rows.append([name, *cells, _signed(found.difference), _interval(found)])
    return [f"{class_score} of each class, {pair.run} minus {pair.baseline}", *_aligned(rows)]


def _aligned(rows: list[list[str]]) -> list[str]:
    """Rows of text with the first column to the left, the others to the right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _interval(found: Difference) -> str:
    if not math.isfinite(found.low):
        return "-"
    return f"{_signed(found.low)} .. {_signed(found.high)}"


def _signed(value: Any) -> str:
    value = number(value)
    return f"{value:+.4f}" if math.isfinite(value) else "-"


def _plain(value: Any) -> str:
    value = number(value)
    return f"{value:.4f}" if math.isfinite(value) else "-"


def _p_text(value: Any) -> str:
    value = number(value)
    if not math.isfinite(value):
        return "-"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
