"""How well the audit finds faults planted among real masked cells.

    python experiments/audit_planted_cells.py DATA

DATA is masked_cells: train_labels.csv and train_data/ with img_0000.png, mask_0000.png, ...
It is copied, and to the copy are added, each under a number of its own:

    copies           of 15 images, with mask and label: the very file
    encoded anew     of 15: through JPEG at quality 50, or darker and with noise
    stained          of 15: an ellipse over a part
    other label      of 5, the very image and mask under the label of another class
    mask of another  of 10: a new image, a cell that is another's turned half round and mirrored,
                     with the mask file of a third image

Found means: a group of the right kind with both members (of `mask of another`: the image named as
the one to which the mask does not belong). Groups of members that nobody planted are listed:
the data has (near-)duplicates of its own.
"""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests.data.audit.planted import again, stain

PLANTED = {
    "copies": (15, {"duplicate_images"}),
    "encoded anew": (15, {"near_duplicates"}),
    "stained": (15, {"near_duplicates"}),
    "other label": (5, {"conflicting_labels"}),
    "mask of another": (10, {"shared_mask"}),
}


def plant(data: Path, rng: np.random.Generator) -> dict[str, list[tuple[str, str]]]:
    """Adds the faults to `data`; for each kind the pairs (original, planted)."""
    images = data / "train_data"
    with open(data / "train_labels.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    labels = dict(rows)
    classes = sorted(set(labels.values()))
    originals = iter(rng.permutation(sorted(labels)).tolist())
    number = len(labels)
    pairs: dict[str, list[tuple[str, str]]] = {}
    for kind, (count, _) in PLANTED.items():
        pairs[kind] = []
        for _ in range(count):
            original = next(originals)
            name = f"img_{number:04d}.png"
            number += 1
            label = labels[original]
            mask = cv2.imread(str(images / original.replace("img", "mask")), cv2.IMREAD_UNCHANGED)
            image = cv2.imread(str(images / original))
            if kind == "encoded anew":
                image = again(image, rng)
            elif kind == "stained":
                image = stain(image, rng)
            elif kind == "other label":
                label = str(rng.choice([c for c in classes if c != label]))
            elif kind == "mask of another":
                stranger = next(originals)
                label = labels[stranger]
                image = cv2.imread(str(images / stranger))[::-1]
                image = cv2.resize(image, mask.shape[1::-1], interpolation=cv2.INTER_AREA)
            if kind in ("copies", "other label"):
                shutil.copyfile(images / original, images / name)
            else:
                cv2.imwrite(str(images / name), image)
            cv2.imwrite(str(images / name.replace("img", "mask")), mask)
            rows.append([name, label])
            pairs[kind].append((Path(original).stem, Path(name).stem))
    with open(data / "train_labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([["sample_index", "label"], *rows])
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        shutil.copytree(arguments.data, data)
        pairs = plant(data, np.random.default_rng(arguments.seed))
        command = [sys.executable, "-m", "tfvision", "audit", str(data), "--quiet"]
        subprocess.run([*command, "--out", f"{folder}/audit"], cwd=ROOT, check=False)
        record = json.loads(Path(folder, "audit", "audit.json").read_text())
    groups = [
        (found["kind"], {m["id"] for m in found["members"]}, {m["id"] for m in found["suspects"]})
        for found in record["findings"]
    ]
    planted = {name for found in pairs.values() for _, name in found}
    print(f"{'planted':<18}{'number':>7}{'found':>7}{'named':>7}")
    for kind, (count, kinds) in PLANTED.items():
        own = [[g for g in groups if g[0] in kinds and set(p) <= g[1]] for p in pairs[kind]]
        named = sum(
            any(name in g[2] for g in found)
            for (_, name), found in zip(pairs[kind], own, strict=True)
        )
        print(f"{kind:<18}{count:>7}{sum(map(bool, own)):>7}{named:>7}")
    suspects = {i for _, _, named in groups for i in named}
    print("named, but not planted:", ", ".join(sorted(suspects - planted)) or "none")
    for kind, members, _ in groups:
        if not members & planted and members:
            print(f"not planted: {kind}: {', '.join(sorted(members))}")


if __name__ == "__main__":
    main()
