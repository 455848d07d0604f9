"""Drawn numbers with the boxes of their digits: scikit-learn's 8x8 digits on 32x96 images."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

FIRST_IMAGE, FIRST_CATEGORY = 100, 1  # ids in the JSON


def draw_number(seed: int):
    """An image (32, 96) uint8, its digits, and a box `x y w h` of each, left to right."""
    rng, digits = np.random.default_rng(seed), load_digits()
    image = rng.integers(20, 50, (32, 96)).astype(np.uint8)
    found, boxes, left = [], [], int(rng.integers(2, 8))
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(0, len(digits.target)))
        digit = np.kron(digits.images[at] * 12, np.ones((2, 2))).astype(np.uint8)
        top = int(rng.integers(2, 14))
        image[top : top + 16, left : left + 16] = np.maximum(
            image[top : top + 16, left : left + 16], digit
        )
        found.append(int(digits.target[at]))
        boxes.append([left, top, 16, 16])
        left += 16 + int(rng.integers(2, 6))
    return image, found, boxes


def write_numbers(root: Path, *, train: int, test: int) -> Path:
    """`train.json` with `train/`, unlabelled `test/` named by numbers, and `numbers.csv` of it."""
    images, annotations = [], []
    for folder in ("train", "test"):
        (root / folder).mkdir(parents=True)
    for i in range(train):
        image, digits, boxes = draw_number(i)
        Image.fromarray(image).save(root / "train" / f"n{i:02d}.png")
        entry = {"id": FIRST_IMAGE + i, "file_name": f"n{i:02d}.png", "height": 32, "width": 96}
        images.append(entry)
        order = np.random.default_rng(i).permutation(len(digits))  # not from left to right
        annotations += [
            {
                "id": len(annotations) + n,
                "image_id": FIRST_IMAGE + i,
                "category_id": digits[k] + FIRST_CATEGORY,
                "bbox": boxes[k],
                "area": 256,
                "iscrowd": 0,
            }
            for n, k in enumerate(order)
        ]
    categories = [{"id": k + FIRST_CATEGORY, "name": str(k)} for k in range(10)]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    (root / "train.json").write_text(json.dumps(whole))
    with (root.parent / "numbers.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image_id", "number"])
        for i in range(test):
            image, digits, _ = draw_number(1000 + i)
            Image.fromarray(image).save(root / "test" / f"{i + 7}.png")
            rows.writerow([i + 7, "".join(map(str, digits))])
    return root
