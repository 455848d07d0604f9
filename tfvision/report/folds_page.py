"""The scores of folds: the table for the terminal, and a page of one HTML file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfvision.engine.files import write_bytes
from tfvision.report import overlay, tables
from tfvision.tasks.facts import Score, TaskFacts


@dataclass
class FoldsPage:
    """Everything the page shows, as plain Python.

    Attributes:
        name: Of the folds folder.
        facts: Of the task.
        how: How samples were assigned to folds, one sentence.
        score: The metric that the contract declares.
        class_names: K.
        assigned: {fold, train, val, test, units, class_images} of each fold.
        metrics: As `fold_metrics` gives them.
        summaries: `summary.json` of each fold's run.
        warnings: What some folds lack.
        cautions: What the numbers do not say.
        contract: The metric contract.
        command: The command that trains these folds again.
    """

    name: str
    facts: TaskFacts
    how: str
    score: str
    class_names: list[str]
    assigned: list[dict[str, Any]]
    metrics: dict[str, Any]
    summaries: list[dict[str, Any]]
    warnings: list[str]
    cautions: list[str]
    contract: dict[str, Any]
    command: str

    @property
    def columns(self) -> dict[str, Score]:
        """The scores that are shown, by name, the declared one first."""
        pooled = self.metrics["pooled"]
        others = [n for n in self.facts.columns if pooled.get(n) is not None]
        names = [n for n in (self.score, *others) if n in pooled]
        return {name: self.facts.score(name) for name in names}

    @property
    def shown_classes(self) -> list[str]:
        """The names of the classes that have a column."""
        return self.class_names if self.facts.evidence_class().per_class else []

    def rows(self) -> list[dict[str, Any]]:
        """Name, images, scores, and one of each class: folds, mean, deviation, pooled."""
        metrics, per_class = self.metrics, self.facts.evidence_class().per_class
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
                "classes": row[per_class] if per_class else [],
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
        titles = [known.short or known.title for known in self.columns.values()]
        rows = [["", "images", *titles, *self.shown_classes]]
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
        main=next(iter(page.columns)),
        colours=overlay.hex_colours(len(page.class_names)),
        contract=tables.flatten(page.contract),
    )
