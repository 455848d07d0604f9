"""How long two checkouts take to open and scan one data set, side by side.

    python benchmarks/scan.py OLD NEW [--images 10000] [--rounds 3]

The data set is images of 64x64 pixels with masks, in images/ and masks/, drawn at random. Each
round runs both checkouts one after the other, each in a fresh process without the scan's cache,
and prints processor seconds (user and system) and wall seconds of opening and of scanning; the
last line is the ratio of the medians of the processor seconds, NEW to OLD.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

MEASURE = """
import json, resource, sys, time
from tfvision.data.sources.recognise import open_source
from tfvision.data.scan.scan import scan

def now():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime, time.perf_counter()

start = now()
source = open_source(sys.argv[1])
opened = now()
found = scan(source, cache=False)
end = now()
print(json.dumps({
    "images": len(source), "errors": len(found.errors),
    "open": [b - a for a, b in zip(start, opened)],
    "scan": [b - a for a, b in zip(opened, end)],
}))
"""
OF_OLD = MEASURE.replace("data.sources.recognise", "data.recognise").replace(
    "data.scan.scan", "data.scan"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkouts", metavar="CHECKOUT", type=Path, nargs=2, help="OLD and NEW")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder), arguments.images)
        seconds: dict[Path, list[float]] = {path: [] for path in arguments.checkouts}
        for _ in range(arguments.rounds):
            for checkout in arguments.checkouts:
                found = measure(checkout, folder)
                seconds[checkout].append(found["open"][0] + found["scan"][0])
                shown = {key: [round(s, 2) for s in found[key]] for key in ("open", "scan")}
                print(f"{checkout}: {found['images']} images, [cpu, wall] seconds {shown}")
    old, new = (statistics.median(seconds[path]) for path in arguments.checkouts)
    print(f"processor seconds, medians: {old:.2f} and {new:.2f}, ratio {new / old:.3f}")
    return 0


def draw(folder: Path, images: int) -> None:
    """Images of noise under soft light, and masks of one rectangle."""
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for i in range(images):
        light = rng.integers(60, 160, (4, 4, 3), dtype=np.uint8)
        image = np.asarray(Image.fromarray(light).resize((64, 64), Image.Resampling.BICUBIC))
        noise = rng.integers(0, 20, image.shape, dtype=np.uint8)
        mask = np.zeros((64, 64), np.uint8)
        top, left = rng.integers(0, 40, 2)
        mask[top : top + 20, left : left + 20] = 1
        Image.fromarray(image + noise + 60 * mask[..., None]).save(folder / f"images/{i:05d}.jpg")
        Image.fromarray(mask).save(folder / f"masks/{i:05d}.png")


def measure(checkout: Path, folder: str) -> dict:
    """What one process of a checkout takes."""
    old = (checkout / "tfvision/data/recognise.py").exists()
    command = [sys.executable, "-c", OF_OLD if old else MEASURE, folder]
    run = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    return json.loads(run.stdout)


if __name__ == "__main__":
    sys.exit(main())
