"""The scores of folds: the table for the terminal, and a page of one HTML file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfvision.engine.files import write_bytes
from tfvision.report import overlay, tables
from tfvision.report.shared import SCORE_NAMES


@dataclass
class FoldsPage:
    """Everything the page shows, as plain Python.

    Attributes:
        name: Of the folds folder.
        how: How the folds were dealt, one sentence.
        score: The metric that the contract declares.
        class_names: K.
        dealt: {fold, train, val, test, units, class_images} of each fold.
        metrics: As `fold_metrics` gives them, of a segmentation or, with `per_class_f1`, of a
            classification.
        summaries: `summary.json` of each fold's run.
        warnings: What some folds lack.
        cautions: What the numbers do not say.
        contract: The metric contract.
        command: The command that trains these folds again.
    """

    name: str
    how: str
    score: str
    class_names: list[str]
    dealt: list[dict[str, Any]]
    metrics: dict[str, Any]
    summaries: list[dict[str, Any]]
    warnings: list[str]
    cautions: list[str]
    contract: dict[str, Any]
    command: str

    @property
    def is_classification(self) -> bool:
        """Whether the scores are those of `metrics.classification`."""
        return "per_class_f1" in self.metrics["pooled"]

    @property
    def columns(self) -> list[str]:
        """The scores that are shown, the main one first."""
        if not self.is_classification:
            return ["mean_iou", "pixel_accuracy"]
        main = self.score if self.score in self.metrics["pooled"] else "accuracy"
        return list(dict.fromkeys([main, "accuracy", "macro_f1"]))

    @property
    def titles(self) -> list[str]:
        """What `columns` are called."""
        return [SCORE_NAMES[key] for key in self.columns]

    def rows(self) -> list[dict[str, Any]]:
        """Name, images, scores, and IoU or F1 of each class: folds, mean, deviation, pooled."""
        metrics = self.metrics
        named = [(row["run"], row) for row in metrics["folds"]]
        named += [(key, metrics[key]) for key in ("mean", "deviation", "pooled")]
        if metrics["test"] is not None:
            named += [(f"{row['run']}, test", row) for row in metrics["test"]["folds"]]
            named += [(f"{key}, test", metrics["test"][key]) for key in ("mean", "deviation")]
        return [
            {
                "name": name,
                "images": row.get("num_images"),
                "scores": [row[key] for key in self.columns],
                "classes": row["per_class_f1" if self.is_classification else "per_class_iou"],
                "strong": name in ("pooled", "mean, test"),
            }
            for name, row in named
        ]

    def interval(self) -> str:
        """The sentence on the interval of the pooled score."""
        found = self.metrics["pooled"]["interval"]
        if found is None:
            return "no interval: the samples are one unit"
        return (
            f"pooled {found['score']}: 95 % interval {found['low']:.4f} to {found['high']:.4f} "
            f"over {found['units']} units"
        )

    def text(self) -> str:
        """The table for the terminal."""
        titles = self.titles if self.is_classification else ["mean IoU", "pixels"]
        rows = [["", "images", *titles, *self.class_names]]
        for row in self.rows():
            images = "" if row["images"] is None else str(row["images"])
            values = [*row["scores"], *row["classes"]]
            rows.append([row["name"], images, *("-" if v is None else f"{v:.4f}" for v in values)])
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = [
            "  ".join(c.rjust(w) if k else c.ljust(w) for k, (c, w) in enumerate(cells)).rstrip()
            for cells in (list(zip(row, widths, strict=True)) for row in rows)
        ]
        return "\n".join([*lines, self.interval(), *(f"! {line}" for line in self.cautions)])


def write_folds_page(path: Path, page: FoldsPage) -> None:
    """Writes the page, whole or not at all.

    Raises:
        EnvironmentFault: The file can't be written.
    """
    write_bytes(Path(path), render(page).encode("utf-8", errors="backslashreplace"))


def render(page: FoldsPage) -> str:
    """The page as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for formatter in (tables.score, tables.count, tables.duration):
        environment.filters[formatter.__name__] = formatter
    return environment.get_template("folds.html").render(
        page=page,
        pooled=page.metrics["pooled"],
        colours=overlay.hex_colours(len(page.class_names)),
        contract=tables.flatten(page.contract),
    )
