"""Detections as COCO's tools and contests of its format take them: one JSON list."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tfvision.engine.files import write_text


def coco_entries(
    images: Iterable[tuple[int | str, Mapping[str, np.ndarray]]], categories: Sequence[int | str]
) -> list[dict]:
    """`image_id`, `category_id`, `bbox` (left, top, width, height in pixels) and `score` of every
    box, image after image, best first.

    Args:
        images: (id, answer) each; `boxes` (n, 4) `x1 y1 x2 y2`, `scores`, `classes` of it.
        categories: The id of each class.
    """
    return [
        {
            "image_id": name,
            "category_id": categories[int(k)],
            "bbox": [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)],
            "score": round(float(score), 6),
        }
        for name, answer in images
        for (x1, y1, x2, y2), score, k in zip(
            np.asarray(answer["boxes"], np.float64).tolist(),
            answer["scores"],
            answer["classes"],
            strict=True,
        )
    ]


def write_coco(path: Path, entries: Sequence[dict]) -> int:
    """Writes the list, an entry a line; returns the size in bytes. It appears whole or not at
    all."""
    text = "[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    return len(text.encode())
