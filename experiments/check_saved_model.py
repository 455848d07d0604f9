"""Does a run's SavedModel give `predict`'s labels where only TensorFlow is installed?

    python3 -m venv other && other/bin/pip install tensorflow==2.20.0
    python experiments/check_saved_model.py RUN --python other/bin/python

Predicts the run's val and test images with `python -m tfvision predict` here, and with the
SavedModel alone under the other interpreter, and compares every label. Exits 1 on a
difference.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tfvision.config import load_config
from tfvision.recipe.dataset import prepare
from tfvision.recipe.read import native
from tfvision.tasks.segmentation.schema import SegmentationConfig

ELSEWHERE = """
import sys
import numpy as np
import tensorflow as tf
assert "tfvision" not in sys.modules
data = np.load(sys.argv[2], allow_pickle=False)
saved = tf.saved_model.load(sys.argv[1])
serve = saved.signatures["serving_default"]
labels = [serve(image=tf.constant(data[k][None]))["labels"][0].numpy() for k in data.files]
np.savez(sys.argv[3], **dict(zip(data.files, labels)))
print(tf.__version__)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--python", required=True, help="interpreter with TensorFlow alone")
    arguments = parser.parse_args()
    config = load_config(SegmentationConfig, arguments.run / "config.yaml")
    prepared = prepare(config.data, seed=config.seed)
    images = {}
    for split in ("val", "test"):
        for i in prepared.indices(split):
            sample = native(prepared.source, i, prepared.channels)
            if sample.image.dtype != np.uint8 or sample.scale != 1 / 255:
                parser.error("this check is for runs on 8-bit images")
            images[f"{split}/{prepared.source.records[i].id}"] = sample.image
    expected = {}
    for split in ("val", "test"):
        file = arguments.run / "predictions" / f"{split}.npz"
        with np.load(file, allow_pickle=False) as found:
            for name, labels in zip(found["ids"], found["labels"], strict=True):
                expected[f"{split}/{name}"] = labels
    with tempfile.TemporaryDirectory() as scratch:
        samples, result = Path(scratch) / "images.npz", Path(scratch) / "labels.npz"
        np.savez(samples, **{str(i): image for i, image in enumerate(images.values())})
        done = subprocess.run(
            [
                arguments.python,
                "-c",
                ELSEWHERE,
                str((arguments.run / "export/saved_model").resolve()),
                str(samples),
                str(result),
            ],
            cwd=scratch,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return 1
        with np.load(result, allow_pickle=False) as labels:
            pairs = [(expected[name], labels[str(i)]) for i, name in enumerate(images)]
    different = sum(int((a != b).sum()) for a, b in pairs)
    total = sum(a.size for a, _ in pairs)
    print(
        f"TensorFlow {done.stdout.strip()}: {len(pairs)} images, {different} of {total:,} labels "
        "differ"
    )
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
