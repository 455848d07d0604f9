"""Speed of augmentation: native ops against albumentations, both through tf.data.

    PYTHONPATH=. python benchmarks/augmentation.py [--samples 4096] [--rounds 5] [--json]

One task for both, a 64x128 grey image with its mask: flip, translation, rotation and zoom
as one warp (image bilinear, mask nearest), brightness, contrast, cutout; two map workers,
tf.data's autotuner off. Rounds alternate, and the median counts. Aim: native at least 4
times as many samples a second.

albumentations runs twice: in `tf.numpy_function` as people write it, which draws from one
random state, so that no sample can be drawn again; and as the op `albumentations` of
tfvision, which seeds every sample. The ratio is against the faster of the two.

The ratio in samples a second has two parts, printed apart. Native ops cost less processor
time; and they use both workers, where Python's lock leaves albumentations about one core.
So where other work takes a core, the ratio falls to that of the processor times: look at
the cores that each contender had before quoting it. Measured on a machine of two cores,
shared: ratios of 4.3, 3.3 and 3.4 where native had both, 1.7 to 1.9 where it had one.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import numpy as np
import tensorflow as tf

from tfvision import augment

HEIGHT, WIDTH, WORKERS, AIM = 64, 128, 2, 4.0

TRANSFORMS = [
    {"name": "HorizontalFlip", "p": 0.5},
    {
        "name": "Affine",
        "translate_percent": {"x": (-0.1, 0.1), "y": (-0.1, 0.1)},
        "rotate": (-10, 10),
        "scale": (0.8, 1.25),
        "fill_mask": 255,
        "p": 1.0,
    },
    {
        "name": "RandomBrightnessContrast",
        "brightness_limit": 0.2,
        "contrast_limit": 0.2,
        "p": 1.0,
    },
    {
        "name": "CoarseDropout",
        "num_holes_range": (1, 1),
        "hole_height_range": (16, 16),
        "hole_width_range": (16, 16),
        "p": 1.0,
    },
]


def native():
    """The task in native ops."""
    return augment.compose(
        [
            augment.flip_lr(p=0.5),
            augment.translate(max_shift=0.1),
            augment.rotate(max_degrees=10),
            augment.scale(minimum=0.8, maximum=1.25),
            augment.brightness(max_delta=0.2),
            augment.contrast(minimum=0.8, maximum=1.25),
            augment.cutout(size=16, p=1.0),
        ]
    )


def plain_albumentations():
    """The task in albumentations, without seeds."""
    pipeline = A.Compose(
        [
            getattr(A, spec["name"])(**{key: spec[key] for key in spec if key != "name"})
            for spec in TRANSFORMS
        ]
    )

    def transform(image, mask):
        out = pipeline(image=image, mask=mask)
        return out["image"], out["mask"]

    def op(sample, seed):
        del seed
        mask = tf.cast(sample["mask"], tf.uint8)
        image, mask = tf.numpy_function(transform, [sample["image"], mask], [tf.float32, tf.uint8])
        image.set_shape(sample["image"].shape)
        mask.set_shape(sample["mask"].shape)
        return {**sample, "image": image, "mask": tf.cast(mask, tf.int32)}

    return op


def measure(op, image, mask, samples):
    """One pass, after two batches that build the graph and the threads.

    Returns:
        Samples a second, processor microseconds a sample, and cores in use.
    """

    def load(index):
        return op({"image": image, "mask": mask}, tf.stack([index, tf.constant(7, tf.int64)]))

    options = tf.data.Options()
    options.autotune.enabled = False
    dataset = tf.data.Dataset.range(samples + 64).map(load, num_parallel_calls=WORKERS)
    iterator = iter(dataset.batch(32).with_options(options))
    next(iterator)
    next(iterator)
    wall, processor = time.perf_counter(), time.process_time()
    count = sum(len(batch["mask"]) for batch in iterator)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return count / wall, 1e6 * processor / count, processor / wall


def run(samples, rounds):
    """Medians over alternating rounds, for each contender and as ratios."""
    rng = np.random.default_rng(0)
    image = tf.constant(rng.random((HEIGHT, WIDTH, 1), dtype=np.float32))
    mask = tf.constant(rng.integers(0, 5, (HEIGHT, WIDTH)), tf.int32)
    contenders = {
        "native": native(),
        "albumentations": plain_albumentations(),
        "albumentations_seeded": augment.albumentations(transforms=TRANSFORMS),
    }
    passes = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, op in contenders.items():
            passes[name].append(measure(op, image, mask, samples))
    results = {}
    for name, measured in passes.items():
        speeds, processor, cores = zip(*measured, strict=True)
        results[name] = {
            "samples_per_second": round(statistics.median(speeds)),
            "cpu_us_per_sample": round(statistics.median(processor)),
            "cores_used": round(statistics.median(cores), 2),
            "rounds": [round(speed) for speed in speeds],
        }
    own, *others = results.values()
    return {
        "results": results,
        "ratio": round(
            own["samples_per_second"] / max(other["samples_per_second"] for other in others), 2
        ),
        "cpu_ratio": round(
            min(other["cpu_us_per_sample"] for other in others) / own["cpu_us_per_sample"], 2
        ),
        "aim": AIM,
        "workers": WORKERS,
        "versions": {"tensorflow": tf.__version__, "albumentations": A.__version__},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=4096, help="samples a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each contender")
    parser.add_argument("--json", action="store_true", help="one line of JSON on stdout")
    arguments = parser.parse_args()
    result = run(arguments.samples, arguments.rounds)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, one in result["results"].items():
        print(
            f"{name:22}{one['samples_per_second']:7,d} samples/s, {one['cpu_us_per_sample']:4d} us "
            f"of processor a sample, {one['cores_used']:.2f} cores; rounds {one['rounds']}"
        )
    print(
        f"native / faster albumentations: {result['ratio']:.2f} in samples/s (aim {AIM:g}), ",
        end="",
    )
    print(f"{result['cpu_ratio']:.2f} in processor time")


if __name__ == "__main__":
    main()
