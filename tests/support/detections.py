"""Random detections and annotated boxes, and what pycocotools says of them."""

import contextlib
import io

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def boxes_of(*rows) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def answer(*rows) -> dict[str, np.ndarray]:
    """Detections (class, score, (x1, y1, x2, y2)) of one image."""
    return {
        "boxes": boxes_of(*(box for _, _, box in rows)),
        "scores": np.array([score for _, score, _ in rows], np.float32),
        "classes": np.array([label for label, _, _ in rows], np.int32),
    }


def truth(*rows, **more) -> dict[str, np.ndarray]:
    """Annotated boxes (class, (x1, y1, x2, y2)) of one image; `crowd=`, `area=`."""
    return {
        "boxes": boxes_of(*(box for _, box in rows)),
        "classes": np.array([label for label, _ in rows], np.int32),
        **{key: np.array(value) for key, value in more.items()},
    }


def random_case(seed: int, *, images: int = 5, classes: int = 3, ties: bool | None = None):
    """Answers and truths with crowds, areas of their own, bounds of ranges, ties and no boxes.

    Args:
        seed: Of all chance.
        images, classes: How many.
        ties: Whether scores may be equal; None: by chance.
    """
    rng = np.random.default_rng(seed)
    whole, coarse, ranged = rng.random(3) < 0.5
    answers, truths = [], []
    for _ in range(images):
        number, found = rng.integers(0, 6), rng.integers(0, 12)
        side = rng.choice([8, 32, 60, 96, 110], (number, 1)) * rng.uniform(0.6, 1.2, (number, 2))
        if whole:
            side = np.rint(side)
        start = rng.uniform(0, 120, (number, 2))
        real = np.concatenate([start, start + side], axis=1)
        labels = rng.integers(0, classes, number)
        own = rng.integers(0, max(number, 1), found)
        start = rng.uniform(0, 120, (found, 2))
        box = np.concatenate([start, start + rng.uniform(5, 60, (found, 2))], axis=1)
        label = rng.integers(0, classes, found)
        if number:
            near = rng.random(found) < 0.8
            moved = real[own] + rng.normal(0, 3, (found, 4)) * (rng.random((found, 1)) < 0.7)
            box = np.where(near[:, None], moved, box)
            label = np.where(near, labels[own], label)
        if whole:
            real, box = np.rint(real), np.rint(box)
        box[:, 2:] = np.maximum(box[:, 2:], box[:, :2])
        score = np.round(rng.random(found), 1 if (coarse if ties is None else ties) else 9)
        rows = {"boxes": box.astype(np.float32), "scores": score.astype(np.float32)}
        answers.append({**rows, "classes": label.astype(np.int32)})
        rows = {"boxes": real.astype(np.float32), "classes": labels.astype(np.int32)}
        rows["crowd"] = rng.random(number) < 0.15
        if ranged:
            rows["area"] = rng.choice([32.0**2, 96.0**2, 500.0, 2000.5], number)
        truths.append(rows)
    return answers, truths


def pycoco(answers, truths, num_classes: int) -> COCOeval:
    """pycocotools' evaluation, accumulated and summarised."""
    return evaluated(*coco_rows(answers, truths), len(truths), num_classes)


def coco_rows(answers, truths) -> tuple[list[dict], list[dict]]:
    """Annotations, numbered from 1, and results as COCO's files have them."""
    annotations, results = [], []
    for i, one in enumerate(truths):
        for j, (box, label) in enumerate(zip(xywh(one["boxes"]), one["classes"], strict=True)):
            area = float(one["area"][j]) if "area" in one else box[2] * box[3]
            crowd = int(one["crowd"][j]) if "crowd" in one else 0
            row = {"id": len(annotations) + 1, "image_id": i, "category_id": int(label)}
            annotations.append({**row, "bbox": box, "area": area, "iscrowd": crowd})
    for i, one in enumerate(answers):
        columns = (xywh(one["boxes"]), one["classes"], one["scores"])
        for box, label, score in zip(*columns, strict=True):
            row = {"image_id": i, "category_id": int(label), "bbox": box, "score": float(score)}
            results.append(row)
    return annotations, results


def evaluated(annotations, results, num_images: int, num_classes: int) -> COCOeval:
    """pycocotools' evaluation of rows, accumulated and summarised, without its prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        real, found = COCO(), COCO()
        shared = {"images": [{"id": i} for i in range(num_images)]}
        shared["categories"] = [{"id": k, "name": str(k)} for k in range(num_classes)]
        real.dataset = {**shared, "annotations": annotations}
        real.createIndex()
        if results:
            found = real.loadRes(results)
        else:
            found.dataset = {**shared, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(real, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def xywh(boxes: np.ndarray) -> list[list[float]]:
    corners = np.asarray(boxes, np.float64)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
