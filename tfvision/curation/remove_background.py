"""`python -m tfvision remove-background`: a copy of a data set with its objects on one colour.

The objects are those that boxes or masks show, in data of a classification out of files:
`label_table` and `class_folder`. What is done to an image is what `data.input: removed` does
(see `data/crops/inputs.py` and `data/crops/foreground.py`), so a training on the copy and one
with `removed` on the data see the same. The copy has the layout, the names and the labels of the
data; where it is cut to the objects (`crop`) boxes and masks are cut along. `background.csv` says
of every image what became of it. Nothing here imports TensorFlow.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import ImageColor

from tfvision.config import DataConfig
from tfvision.curation.clean import check_target, write_synced
from tfvision.curation.remove_background_files import (
    DOUBTS,
    REPORT,
    Asked,
    Done,
    report_csv,
    row_of,
    write_labels,
    write_one,
)
from tfvision.data.scan.checks import settle_white
from tfvision.data.scan.measure import Facts, gather
from tfvision.data.sources.file_source import FileSource
from tfvision.data.sources.source import Source
from tfvision.engine.files import whole_folder
from tfvision.engine.progress import Progress
from tfvision.errors import InputError
from tfvision.recipe.opening import open_source
from tfvision.text import counted, verb


def parse_fill(text: str) -> tuple[float, float, float]:
    """A colour as a user writes it: 0 (black) to 1 (white), a name, `#ff8000`.

    Raises:
        InputError: It is none of these.
    """
    try:
        grey = float(text)
    except ValueError:
        grey = None
    if grey is not None and 0 <= grey <= 1:
        return (grey, grey, grey)
    try:
        colour = ImageColor.getrgb(text)
    except ValueError:
        colour = ()
    if len(colour) != 3:
        raise InputError(
            "--fill is a grey value from 0 (black) to 1 (white), a name such as white, or a colour "
            f"such as #ff8000, none of them transparent. Received: {text!r}."
        )
    return tuple(value / 255 for value in colour)


def remove_background(
    config: DataConfig, out: Path, asked: Asked, *, quiet: bool = False
) -> dict[str, Any]:
    """Writes the copy and its report, which appear together or not at all. Returns a summary.

    A removal that was judged doubtful is counted and named, and no error. A file that cannot be
    read or written is left out, and an error once the rest is there.

    Args:
        config: Names the data and how it is read.
        out: The new folder.
        asked: How backgrounds are removed.
        quiet: Print nothing but the error.

    Raises:
        InputError: The data has no boxes or masks, is no files, or the place is taken; some file
            cannot be read or written.
        EnvironmentFault: The copy cannot be written; nothing is left behind.
    """
    cuts = {channels: asked.cut(channels) for channels in (1, 3)}
    source = open_source(config, truth_needed=False)
    check_target(source, out, flag="--out")
    if not isinstance(source, FileSource):
        raise InputError(
            f"{source.path} holds arrays; backgrounds are removed from image files. Save its "
            "images as files first, with their boxes or masks."
        )
    gathered = gather(source)
    if not any(gathered.facts):
        problems = [*gathered.issues.values(), *source.problems]
        raise InputError(
            f"{source.path}: no image can be read.{''.join(f' {p}' for p in problems[:1])}"
        )
    _check_objects(source, gathered.facts, asked)
    source.white = settle_white(source, gathered.facts)[0]
    progress = Progress(quiet=quiet)
    with whole_folder(out, what="The copy", flag="--out") as folder:
        done, taken = [], {REPORT, "classes.txt"}
        for i in range(len(source)):
            done.append(
                write_one(
                    source, i, gathered.stamps[i], cuts, asked=asked, folder=folder, taken=taken
                )
            )
            progress.live(f"{i + 1}/{len(source)} images")
        if not any(one.row["written"] for one in done):
            raise InputError(
                f"{source.path}: no image is left to write. {done[0].row['file']}: "
                f"{done[0].row['reason']}."
            )
        unlisted = [
            Done(row_of(file=issue.id, result="failed", reason=f"{issue.place} {issue.problem}"))
            for issue in source.problems
            if issue.severity == "error" and issue.id
        ]
        name = write_labels(source, folder, done, config)
        write_synced(folder / REPORT, report_csv([one.row for one in [*done, *unlisted]]).encode())
    summary = _summary(source, out / name, [*done, *unlisted])
    for line in _lines(source, summary, done, asked):
        progress.line(line)
    failed = [one.row for one in [*done, *unlisted] if one.row["result"] == "failed"]
    if failed:
        shown = "; ".join(f"{row['file']}: {row['reason']}" for row in failed[:3])
        raise InputError(
            f"{len(failed)} of {counted(summary['images'], 'image')} cannot be read or written and "
            f"{verb(len(failed), 'is', 'are')} not in the copy "
            f"({shown}{'; ...' if len(failed) > 3 else ''}). The others are there: "
            f"{out}. {out / REPORT} names all."
        )
    return summary


def _check_objects(source: Source, facts: Sequence[Facts | None], asked: Asked) -> None:
    """Refuses data that shows nowhere where its objects are."""
    if asked.method == "border":
        return
    if not any(fact and (fact.boxes or fact.region_sha256) for fact in facts):
        raise InputError(
            f"{source.layout}: no image has a box or a mask, so nothing says where its object is. "
            "Give a CSV with the columns file, xmin, ymin, xmax, ymax, label, or masks; or, for "
            "images with a background of one colour, --method border."
        )


def _summary(source: Source, data: Path, done: Sequence[Done]) -> dict[str, Any]:
    results = Counter(one.row["result"] for one in done)
    doubtful = {name: results[name] for name in DOUBTS if results[name]}
    return {
        "data": str(data),
        "layout": source.layout,
        "images": len(done),
        "removed": results["ok"],
        "doubtful": doubtful,
        "failed": results["failed"],
        "written": sum(bool(one.row["written"]) for one in done),
    }


def _lines(source: Source, summary: dict, done: Sequence[Done], asked: Asked) -> list[str]:
    """The summary as lines for a terminal."""
    lines = [f"{summary['data']}: {counted(summary['written'], 'image')}, {summary['removed']} of "]
    lines[0] += "them on one colour; background.csv says what became of each"
    keep = asked.on_failure == "keep"
    for name, count in summary["doubtful"].items():
        names = [one.row["file"] for one in done if one.row["result"] == name]
        shown = ", ".join(names[:3]) + (", ..." if count > 3 else "")
        one, many = ("keeps its", "keep their") if keep else ("is left out", "are left out")
        what = verb(count, one, many) + " background" * keep
        said = f"{counted(count, 'image')} {what}, as {DOUBTS[name]} ({shown})"
        lines.append(f"doubtful, no error: {said}")
    labels = [record.label for record in source.records]
    left = {labels[i] for i, one in enumerate(done) if one.row["written"]}
    for label in sorted({label for label in labels if label is not None} - left):
        lines.append(f"warning: the class {label} has no image left")
    return lines
