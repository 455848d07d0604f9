"""Pseudo-labels: images without labels that a model has labelled, as more training samples.

    id,label,probability
    photos/17,cat,0.981200

is a file of them (`data.pseudo`), with a column `part` where ids alone are not unique. They are
trained on, and take no other part: no split, no score and no count of the data has them. An
image that is, nearly is, or by its group belongs to one that the run does not train on is left
out, as its label would tell the network of an image that it is scored on. No TensorFlow here.
"""

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tfvision.config import DataConfig
from tfvision.data.files.csv_table import read_table
from tfvision.data.scan.with_pseudo_samples import join
from tfvision.engine.files import write_text
from tfvision.errors import InputError
from tfvision.recipe.dataset import Prepared
from tfvision.registry import unknown
from tfvision.tasks.classification.pseudo_images import Images, kin_of, open_images
from tfvision.tasks.classification.schema import ClassDataConfig
from tfvision.text import counted, first_lines, verb


def with_pseudo(config: DataConfig, prepared: Prepared) -> tuple[Prepared, Prepared]:
    """A run's data with the record of its pseudo-labels, and what it trains on.

    Without `data.pseudo` both are `prepared`. Else the second has the images of that file
    among its training samples; the first, from which all else is made, has not.

    Raises:
        InputError: The file does not fit the images or the classes, or leaves none to train on.
    """
    if not isinstance(config, ClassDataConfig) or config.pseudo is None:
        return prepared, prepared
    images = open_images(config, prepared, config.pseudo_images)
    names = prepared.class_names
    rows = read_pseudo(config.pseudo, images, names)
    kin = kin_of(prepared, images, [row.position for row in rows], config.groups)
    why = [one.problem(prepared.splits) for one in kin]
    used = [row for row, problem in zip(rows, why, strict=True) if not problem]
    left_out = dict(Counter(filter(None, why)))
    if not used:
        raise InputError(
            f"data.pseudo {config.pseudo}: of its {len(rows)} images none may be trained on "
            f"({listed(left_out)}). Leave data.pseudo out."
        )
    counts = np.bincount([row.number for row in used], minlength=len(names)).tolist()
    record = {
        "file": str(config.pseudo),
        "images": None if config.pseudo_images is None else str(config.pseudo_images),
        "listed": len(rows),
        "used": len(used),
        "class_counts": dict(zip(names, counts, strict=True)),
        "left_out": left_out,
        "sha256": _sha256(images, used),
    }
    prepared = replace(prepared, pseudo=record, notes=[*prepared.notes, sentence(record)])
    source, found = join(
        (prepared.source, prepared.scan),
        (images.source, images.scan),
        [images.indices[row.position] for row in used],
        [row.number for row in used],
    )
    splits = [*prepared.splits, *["train"] * len(used)]
    return prepared, replace(prepared, source=source, scan=found, splits=splits)


def sentence(record: dict[str, Any]) -> str:
    """What the record of `with_pseudo` says, in one line."""
    text = (
        f"data.pseudo {record['file']}: {counted(record['used'], 'image')} that a model labelled "
        f"{verb(record['used'], 'is', 'are')} trained on ({listed(record['class_counts'])})"
    )
    return text + (f"; left out: {listed(record['left_out'])}" if record["left_out"] else "")


@dataclass(frozen=True)
class PseudoLabel:
    """Attributes:
    position: Which of the images.
    number: Its class.
    probability: What the model gave that class.
    """

    position: int
    number: int
    probability: float


def confident(probabilities: np.ndarray, confidence: float) -> list[PseudoLabel]:
    """The images whose top probability reaches a confidence; of probabilities (N, K)."""
    top = probabilities.max(axis=1)
    return [
        PseudoLabel(int(i), int(probabilities[i].argmax()), float(top[i]))
        for i in np.flatnonzero(top >= confidence)
    ]


def write_pseudo(
    path: Path, images: Images, labels: Sequence[PseudoLabel], names: Sequence[str]
) -> None:
    """Writes a file that `read_pseudo` reads."""
    keys, text = images.keys, io.StringIO()
    parts = any(part for _, part in keys)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", "label", "probability", *(["part"] if parts else [])])
    for one in labels:
        identity, part = keys[one.position]
        row = [identity, names[one.number], f"{one.probability:.6f}"]
        writer.writerow([*row, part] if parts else row)
    write_text(path, text.getvalue())


def read_pseudo(path: Path, images: Images, names: Sequence[str]) -> list[PseudoLabel]:
    """Reads a file of pseudo-labels, `id,label,probability[,part]`.

    Args:
        path: The file.
        images: What it may speak of.
        names: The classes, which labels are.

    Raises:
        InputError: Lists the lines that name no such image or class, or an image twice.
    """
    required = ["id", "label", "probability"]
    rows, _ = read_table(path, required=required, optional=["part"])
    place_of = {key: position for position, key in enumerate(images.keys)}
    number_of = {name: k for k, name in enumerate(names)}
    found: dict[int, PseudoLabel] = {}
    problems = []
    for row in rows:
        identity, label = row.values["id"], row.values["label"]
        part = row.values["part"]
        position = place_of.get((identity, part), place_of.get((identity, "")))
        probability = _probability(row.values["probability"])
        if position is None:
            problems.append(f"  line {row.line}: no image without a label has the id {identity!r}")
        elif label not in number_of:
            problems.append(f"  line {row.line}: {unknown('class', label, names)}")
        elif probability is None:
            problems.append(
                f"  line {row.line}: the probability must lie in (0, 1]; it is "
                f"{row.values['probability']!r}"
            )
        elif position in found:
            problems.append(f"  line {row.line}: {identity!r} stands in an earlier line")
        else:
            found[position] = PseudoLabel(position, number_of[label], probability)
    if problems:
        raise InputError(
            "\n".join(
                [
                    f"data.pseudo {path}: {len(problems)} of {len(rows)} rows are wrong.",
                    *first_lines(problems),
                ]
            )
            + f"\nThe images are those of {images.source.layout}; data.pseudo_images names others."
        )
    if not found:
        raise InputError(f"data.pseudo {path} lists no image. Leave data.pseudo out.")
    return list(found.values())


def _sha256(images: Images, labels: Sequence[PseudoLabel]) -> str:
    """Of what is trained on: ids, labels and pixels."""
    keys, hashes = images.keys, images.hashes
    lines = [json.dumps([*keys[p.position], p.number, hashes[p.position]]) for p in labels]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _probability(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 < value <= 1 else None


def listed(counts: dict[str, int]) -> str:
    """`12 cat, 3 dog`."""
    return ", ".join(f"{count} {name}" for name, count in counts.items())
