"""Signs before backgrounds that training lacks, composed of training images alone.

    python experiments/signs_held_backgrounds.py DATA OUT

In shifted_signs every class has a background of its own, and all test images another. What a
detector does before a new background is therefore asked of a set that this writes: 85 % of the
images of six classes, as they are, to train on (`split` train); and the signs of the other 15 %,
cut out by GrabCut and put before the backgrounds of the two other classes, from which their own
signs were removed (val). No test image is opened. With it, each stage of signs_two_stage.yaml is
trained as `--config` of train_det.py and train_cls.py with

    data: {source: {name: auto, path: OUT}, splits: OUT/splits.csv}
"""

import csv
import itertools
import sys
from pathlib import Path

import cv2
import numpy as np

from tfvision.data.crops.foreground import find_region

HELD = ("3", "5")  # a temple and a coffee cup: things with parts, as the test background has
SHARE = 0.15
CORNERS = ("xmin", "ymin", "xmax", "ymax")
LARGEST = 64  # pixels; a larger sign leaves no room for what it is covered with
MARGIN = 4


def read(data: Path) -> list[dict]:
    with (data / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        {
            "name": Path(row["filename"]).name,
            "box": [round(float(row[key])) for key in CORNERS],
            "label": row["label"],
        }
        for row in rows
    ]


def without_sign(image: np.ndarray, box: list[int], rng: np.random.Generator) -> np.ndarray | None:
    """The image with a piece of itself over its sign; None where no place is free for one."""
    height, width = image.shape[:2]
    x1, y1 = max(0, box[0] - MARGIN), max(0, box[1] - MARGIN)
    x2, y2 = min(width, box[2] + MARGIN), min(height, box[3] + MARGIN)
    for _ in range(200):
        x, y = rng.integers(0, width - (x2 - x1) + 1), rng.integers(0, height - (y2 - y1) + 1)
        if x + x2 - x1 <= x1 or x >= x2 or y + y2 - y1 <= y1 or y >= y2:
            break
    else:
        return None
    covered, weight = image.copy(), np.zeros((height, width))
    covered[y1:y2, x1:x2] = image[y : y + y2 - y1, x : x + x2 - x1]
    weight[y1 + 3 : y2 - 3, x1 + 3 : x2 - 3] = 1
    weight = cv2.GaussianBlur(weight, (0, 0), 2)[..., None]
    return image * (1 - weight) + covered * weight


def main(data: Path, out: Path) -> None:
    rng = np.random.default_rng(0)
    rows = read(data)
    rng.shuffle(rows)
    known = [row for row in rows if row["label"] not in HELD]
    count = int(SHARE * len(known))
    small = [
        row
        for row in rows
        if row["label"] in HELD
        and max(row["box"][2] - row["box"][0], row["box"][3] - row["box"][1]) <= LARGEST
    ]
    (out / "images").mkdir(parents=True, exist_ok=True)
    table = []
    for row in known[count:]:
        (out / "images" / row["name"]).write_bytes((data / "train" / row["name"]).read_bytes())
        table.append((row["name"], *row["box"], row["label"], "train"))
    composed, places = [], itertools.cycle(small)
    for row in known[:count]:
        image = cv2.imread(str(data / "train" / row["name"]))
        region, _ = find_region(image[..., ::-1], row["box"], "grabcut")
        if region is None:
            continue
        place = next(places)
        background = cv2.imread(str(data / "train" / place["name"])).astype(float)
        background = without_sign(background, place["box"], rng)
        if background is None:
            continue
        x1, y1, x2, y2 = row["box"]
        x = rng.integers(0, background.shape[1] - (x2 - x1) + 1)
        y = rng.integers(0, background.shape[0] - (y2 - y1) + 1)
        alpha = cv2.GaussianBlur(region.astype(float), (0, 0), 0.7)[y1:y2, x1:x2, None]
        here = (slice(y, y + y2 - y1), slice(x, x + x2 - x1))
        background[here] = background[here] * (1 - alpha) + image[y1:y2, x1:x2] * alpha
        name = f"v{len(composed):03d}.jpg"
        cv2.imwrite(str(out / "images" / name), background.clip(0, 255).astype(np.uint8))
        composed.append((name, x, y, x + x2 - x1, y + y2 - y1, row["label"], "val"))
    table += composed
    with (out / "boxes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("filename", *CORNERS, "label"), *(row[:6] for row in table)])
    with (out / "splits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("id", "split"), *((Path(row[0]).stem, row[6]) for row in table)])
    print(f"{len(table)} images, {len(composed)} of them composed")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
