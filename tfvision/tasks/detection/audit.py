"""What `audit` says of boxes: how the network sees them, how anchors lie on them, what to type.

Nothing here imports TensorFlow.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfvision.config import RunConfig
from tfvision.data.audit.anchors import Sizes, nearest, propose
from tfvision.data.audit.boxes import (
    CROWDED,
    BoxTable,
    collect,
    crowding,
    sizes,
    written,
)
from tfvision.data.audit.finding import Finding
from tfvision.data.scan.result import Scan
from tfvision.detection.anchors import AnchorGrid
from tfvision.detection.grids import grid_of, ratios_of
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.input_size import scale_factors
from tfvision.registry import Spec
from tfvision.report.audit_boxes import AnchorExample, BoxPicture, render_boxes
from tfvision.tasks.detection.schema import DetectionDataConfig
from tfvision.tasks.detection.sizes import input_size
from tfvision.text import counted, verb

LEVELS = (0.5, 0.7)  # IoU from which on an anchor reaches a box
LOW_RECALL = 0.9  # of a class, at the first of them: below it there is a warning
TINY, MANY = 8, 0.01  # pixels of the network's input, and the share below from which to warn
GAIN = 0.01  # of both recalls together, without which no anchors are proposed
STRIDE = 32  # where the detector is not known
MOST_CLASSES = 4  # named in a line


@dataclass(frozen=True)
class BoxAudit:
    """What the audit says of boxes beside what it says of every data set.

    Attributes:
        record: For `audit.json`.
        findings: Tiny boxes, boxes without an anchor; indices are those of the source.
        table: All boxes, in the pixels of their images.
        factors: By what height and width of each image are multiplied.
        size: (height, width) of the network's input.
        grid: The detector's anchors, or None.
    """

    record: dict[str, Any]
    findings: list[Finding]
    table: BoxTable
    factors: dict[int, tuple[float, float]]
    size: tuple[int, int]
    grid: AnchorGrid | None

    def lines(self) -> list[str]:
        """For a terminal."""
        return summary(self.record)

    def html(self, picture: Callable[[int], BoxPicture | None]) -> str:
        """The section of the page.

        Args:
            picture: Index of a sample -> it with its boxes, None where it cannot be read.
        """
        shown = None if self.grid is None else picture(self.example)
        example = None if shown is None else self._anchors_on(shown)
        return render_boxes(self.record, self.lines(), example)

    @property
    def example(self) -> int:
        """The image whose number of boxes is the median of images with any."""
        images, counts = np.unique(self.table.images, return_counts=True)
        return int(images[np.argsort(counts, kind="stable")[(len(counts) - 1) // 2]])

    def _anchors_on(self, shown: BoxPicture) -> AnchorExample:
        table = self.table.where(self.table.images == self.example)
        anchors, ious, _ = nearest(table.scaled(self.factors).boxes, self.grid, self.size)
        y, x = self.factors[self.example]
        back = np.array([x, y, x, y])
        middle = np.array(shown.image.shape[1::-1]) / 2
        shapes = [
            [*(middle - half), *(middle + half)]
            for level in self.grid.shapes
            for half in (np.array([w / x, h / y]) / 2 for h, w in level)
        ]
        levels = [i for i, level in enumerate(self.grid.shapes) for _ in level]
        return AnchorExample(
            shown, anchors / back, ious, np.array(shapes), levels, self.grid.strides
        )


def audit_boxes(
    config: DetectionDataConfig,
    model: Spec,
    scan: Scan,
    *,
    used: Sequence[int],
    labelled: Sequence[int],
    splits: Sequence[str | None],
) -> BoxAudit | None:
    """Looks at the boxes of a data set as a detector would be trained on them; None without any.

    Args:
        config, model: The sections of a config.
        scan: Of the data set.
        used: Places of the images that a training would split.
        labelled: Of those with a truth, whose boxes count.
        splits: Of every record; anchors are proposed from boxes outside "test".

    Raises:
        InputError: `data.image_size` is no multiple of the stride; arguments that make no
            anchors.
    """
    table = collect(scan.facts, labelled)
    table = table.where((table.classes >= 0) & (table.classes < scan.num_classes))
    if not len(table):
        return None
    grid, stride = grid_of(model.name, model.kwargs) or (None, STRIDE)
    own = np.stack([scan.heights, scan.widths], -1)
    read = [i for i in used if scan.image_sha256[i]]
    size = input_size(config.image_size, own[read], model.name, stride)
    scaled = scale_factors(own[read], size, fit=config.fit, enlarge=config.image_size is not None)
    factors = dict(zip(read, map(tuple, scaled.tolist()), strict=True))
    seen = table.scaled(factors)
    record = {
        "boxes": len(table),
        "images": len(table.of),
        "crowding": crowding(table),
        "input_size": list(size),
        "fit": config.fit,
        "scale": [float(f(scaled)) for f in (np.min, np.median, np.max)],
        "own": sizes(table),
        "seen": sizes(seen),
        "classes": [
            {
                "name": name,
                "boxes": int((table.classes == k).sum()),
                "images": len(np.unique(table.images[table.classes == k])),
                "seen": sizes(seen.where(table.classes == k)),
            }
            for k, name in enumerate(scan.class_names)
        ],
    }
    findings = []
    if grid is not None:
        _, ious, _ = nearest(seen.boxes, grid, size)
        record["anchors"] = {"model": model.name, **_recalls(ious, table, scan.class_names)}
        chosen = np.array([splits[i] != "test" for i in table.images.tolist()])
        chosen = seen.where(chosen if chosen.any() else ~chosen)
        if ratios := ratios_of(model.name, model.kwargs):
            made = propose(chosen.boxes, chosen.classes, grid, size, ratios_hw=ratios)
            record["proposal"] = _better(made, seen, grid, size, record, scan.class_names)
        findings += _unreached(table, ious, record, scan.class_names)
    return BoxAudit(
        record, [*findings, *_tiny(table, seen, record, scan, stride)], table, factors, size, grid
    )


def warnings_of_boxes(config: RunConfig, prepared: Prepared) -> list[str]:
    """What a training must hear of its anchors and tiny boxes, a line each."""
    used = [i for i, split in enumerate(prepared.splits) if split is not None]
    labelled = [i for i in used if prepared.source.records[i].labelled]
    found = audit_boxes(
        config.data,
        config.model,
        prepared.scan,
        used=used,
        labelled=labelled,
        splits=prepared.splits,
    )
    findings = found.findings if found else []
    return [f"warning: {f.reading}" for f in findings if f.severity == "warning"]


def summary(record: dict[str, Any]) -> list[str]:
    """What is known of the boxes, in lines."""
    crowd, seen, own = record["crowding"], record["seen"], record["own"]
    height, width = record["input_size"]
    low, middle, high = record["scale"]
    scale = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}, median {middle:.3g}"
    few, many = crowd["fewest"], crowd["most"]
    pairs = crowd["overlapping_same_class"], crowd["overlapping_other_class"]
    lines = [
        f"boxes: {record['boxes']:,} in {counted(record['images'], 'image')}, "
        f"{few if few == many else f'{few} to {many}'} an image, median {crowd['median']:g}; "
        f"{counted(crowd['images_without'], 'image')} without any",
        f"crowding: {counted(sum(pairs), 'pair')} of boxes with an IoU above {CROWDED}, "
        f"{pairs[0]:,} of one class, {pairs[1]:,} of two",
        f"network input: {height}x{width} (height x width), images scaled by {scale} "
        f"(data.fit: {record['fit']}); in its pixels:",
        f"  size, the square root of the area: {_range(seen['size'])}; height/width: "
        f"{_range(seen['ratio_hw'])}",
        f"  COCO's areas: {seen['small']:,} small (below 32x32), {seen['medium']:,} medium, "
        f"{seen['large']:,} large (from 96x96 on)",
        f"  below 8 pixels: {counted(seen['below_8'], 'box')}, below 16: {seen['below_16']:,}; "
        f"before scaling {own['below_8']:,} and {own['below_16']:,}",
    ]
    if "anchors" not in record:
        return lines
    anchors, proposal = record["anchors"], record.get("proposal")
    lines.append(
        f"anchors of {anchors['model']}: {_recall_text(anchors)}; "
        f"{counted(anchors['unreached'], 'box')} without one at {LEVELS[0]}"
    )
    if proposal is None:
        return (
            lines
            if "proposal" not in record
            else [*lines, "  k-means finds no anchors that are clearly better"]
        )
    lines.append(f"  k-means proposes others: {_recall_text(proposal)}")
    return [*lines, f"  {' '.join(proposal['set'])}"]


def _recalls(ious: np.ndarray, table: BoxTable, names: Sequence[str]) -> dict[str, Any]:
    """Share of boxes that some anchor reaches, of all and by class (None without boxes)."""
    of = [ious[table.classes == k] for k in range(len(names))]
    return {
        "recall": {str(level): float((ious >= level).mean()) for level in LEVELS},
        "by_class": {
            name: {str(x): float((own >= x).mean()) if len(own) else None for x in LEVELS}
            for name, own in zip(names, of, strict=True)
        },
        "unreached": int((ious < LEVELS[0]).sum()),
    }


def _better(made: Sizes | None, seen, grid, size, record, names) -> dict[str, Any] | None:
    """What proposed anchors reach, and how they are typed; None where that is not clearly more."""
    if made is None:
        return None
    _, ious, _ = nearest(seen.boxes, made.grid(grid), size)
    found = _recalls(ious, seen, names)
    if sum(_of_classes(found)) < sum(_of_classes(record["anchors"])) + GAIN:
        return None
    values = {"anchor_sizes": [*map(list, made.sizes)], "ratios_hw": list(made.ratios_hw)}
    commands = [f"--set 'model.{key}={json.dumps(value)}'" for key, value in values.items()]
    return {**values, **found, "set": commands}


def _of_classes(recalls: dict[str, Any]) -> list[float]:
    """The mean over classes at each of `LEVELS`."""
    known = [own for own in recalls["by_class"].values() if own[str(LEVELS[0])] is not None]
    return [float(np.mean([own[str(level)] for own in known])) for level in LEVELS]


def _unreached(table, ious, record, names) -> list[Finding]:
    """The boxes that no anchor reaches; a warning where a class has many of them."""
    missed = ious < LEVELS[0]
    if not missed.any():
        return []
    key, proposal = str(LEVELS[0]), record.get("proposal")
    of_class = record["anchors"]["by_class"]
    low = {
        name: own[key]
        for name, own in of_class.items()
        if own[key] is not None and own[key] < LOW_RECALL
    }
    reading = (
        f"of {counted(int(missed.sum()), 'box')} of {len(table):,} the nearest anchor has an IoU "
        f"below {LEVELS[0]}, and is matched as the best there is"
    )
    if low:
        worst = ", ".join(f"{n} {v:.2f}" for n, v in sorted(low.items(), key=lambda x: x[1]))
        reading += f". Recall at {LEVELS[0]} is below {LOW_RECALL} for {worst}: "
        reading += (
            f"try {' '.join(proposal['set'])}"
            if proposal
            else f"--set data.image_size={json.dumps(_twice(record))} makes objects larger, "
            "--set model.levels that begin lower makes places finer"
        )
    texts = [
        f"{written(table.boxes[k], names[table.classes[k]])}, IoU {ious[k]:.2f}"
        for k in np.flatnonzero(missed)
    ]
    severity = "warning" if low else "note"
    return [_finding("unreached_boxes", severity, table.where(missed), texts, reading)]


def _tiny(table, seen, record, scan, stride) -> list[Finding]:
    """Boxes of which the network sees little; a warning where they are many."""
    area = seen.sides.prod(axis=-1)
    tiny = area < TINY**2
    if not tiny.any():
        return []
    height, width = record["input_size"]
    texts = [
        f"{written(table.boxes[k], scan.class_names[table.classes[k]])}, seen as "
        "{0:.3g} high and {1:.3g} wide".format(*seen.sides[k])
        for k in np.flatnonzero(tiny)
    ]
    reading = (
        f"{counted(int(tiny.sum()), 'box')} of {len(table):,} {verb(int(tiny.sum()), 'is', 'are')} "
        f"below {TINY} pixels (the square root of the area) at {height}x{width}, the smallest "
        f"{np.sqrt(area.min()):.2g}. A larger input shows more of them: --set "
        f"data.image_size={json.dumps(_twice(record))}, which takes four times as long"
    )
    severity = "warning" if tiny.mean() >= MANY else "note"
    return [_finding("small_boxes", severity, table.where(tiny), texts, reading)]


def _twice(record: dict[str, Any]) -> list[int]:
    """The network's input with sides twice as long."""
    return [2 * side for side in record["input_size"]]


def _finding(kind: str, severity: str, table: BoxTable, texts, reading: str) -> Finding:
    rows: dict[int, list[int]] = {}
    said: dict[int, list[str]] = {}
    for image, row, text in zip(table.images.tolist(), table.rows.tolist(), texts, strict=True):
        rows.setdefault(image, []).append(row)
        said.setdefault(image, []).append(text)
    evidence = {"count": len(table), "rows": rows, "boxes": said}
    return Finding(kind, severity, tuple(sorted(rows)), reading=reading, evidence=evidence)


def _recall_text(found: dict[str, Any]) -> str:
    """Both recalls, and those of the classes that have the lowest."""
    keys = [str(level) for level in LEVELS]
    values = [f"{found['recall'][key]:.3f}" for key in keys]
    text = f"recall {values[0]} at IoU {keys[0]}, {values[1]} at {keys[1]}"
    known = [(own, n) for n, own in found["by_class"].items() if own[keys[0]] is not None]
    if len(known) < 2:
        return text
    known.sort(key=lambda x: [x[0][key] for key in keys])
    some = ", ".join(
        f"{name} {own[keys[0]]:.2f}, {own[keys[1]]:.2f}" for own, name in known[:MOST_CLASSES]
    )
    return f"{text} ({'lowest: ' if len(known) > MOST_CLASSES else ''}{some})"


def _range(values: Sequence[float]) -> str:
    low, middle, high = values
    return f"{low:.3g} to {high:.3g}, median {middle:.3g}"
