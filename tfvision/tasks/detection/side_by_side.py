"""Truth beside what several runs found, one picture an image. No TensorFlow."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfvision.engine.run_folder import RunFolder
from tfvision.report.boxes import draw_boxes
from tfvision.report.overlay import palette

STRIP = 40  # pixels above the images for names
SMALLEST = 512  # a longer side below it is enlarged
THRESHOLD = 0.5  # of a run that has no operating point


def side_by_side(
    runs: Mapping[str, RunFolder],
    split: str,
    samples: Sequence[tuple[str, Any]],
    class_names: Sequence[str],
) -> list[np.ndarray]:
    """Pictures (H, W, 3) uint8, one a sample: its annotated boxes, then those of each run from
    its operating point on, colours as classes.

    Args:
        runs: Finished runs by what they are called.
        split: That they were scored on, with the samples in it.
        samples: Ids, and samples with `picture` and `targets`.
        class_names: K names.
    """
    found, points = {}, {}
    for name, run in runs.items():
        listed = json.loads((run.predictions / f"{split}.json").read_text("utf-8"))
        found[name] = {one["id"]: one for one in listed}
        points[name] = run.read_json("summary.json").get("operating_point", {})
    pictures = []
    for name, sample in samples:
        panels = [_panel("truth", sample, sample.targets, class_names)]
        for run, answers in found.items():
            threshold = points[run].get("threshold", THRESHOLD)
            answer = {key: np.asarray(answers[name][key]) for key in ("boxes", "classes", "scores")}
            kept = {key: rows[answer["scores"] >= threshold] for key, rows in answer.items()}
            panels.append(_panel(f"{run}, from {threshold:.2f} on", sample, kept, class_names))
        pictures.append(np.concatenate(panels, axis=1))
    return pictures


def _panel(title: str, sample: Any, shown: Mapping[str, Any], class_names) -> np.ndarray:
    """An image with boxes under a strip with its title and the names of the classes."""
    from PIL import Image, ImageDraw

    where = np.reshape(shown["boxes"], (-1, 4)), shown["classes"]
    drawn = draw_boxes(sample.picture, *where, [""] * len(class_names), smallest=SMALLEST)
    strip = Image.new("RGB", (drawn.shape[1], STRIP), "white")
    pen, across = ImageDraw.Draw(strip), 6
    pen.text((6, 4), title, (20, 20, 20))
    for name, colour in zip(class_names, palette(len(class_names) + 1)[1:], strict=True):
        pen.rectangle((across, 24, across + 10, 34), fill=tuple(int(v) for v in colour))
        pen.text((across + 14, 22), name, (20, 20, 20))
        across += 28 + round(pen.textlength(name))
    gap = np.full((STRIP + drawn.shape[0], 6, 3), 255, np.uint8)
    return np.concatenate([np.concatenate([np.asarray(strip), drawn]), gap], axis=1)
