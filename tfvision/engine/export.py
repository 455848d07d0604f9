"""What leaves a run: SavedModel, weights and `.keras`, each loaded back and compared."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfvision.engine.ensemble import Ensemble
from tfvision.engine.inference import Inference

# The files must load where tfvision is not installed. So this runs in a process that cannot import
# it until they are loaded, and stays source: a command of tfvision would have imported it.
_CHECK = """
import json, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.modules["tfvision"] = None
folder, samples, result, package = sys.argv[1:]
import numpy as np
import tensorflow as tf
tf.config.set_visible_devices([], "GPU")
data = np.load(samples, allow_pickle=False)
def far(a, b):
    return float(np.max(np.abs(np.asarray(a, "float64") - np.asarray(b, "float64")), initial=0))
found = {}
saved = tf.saved_model.load(folder + "/saved_model")
differences, equal = [0.0], True
for i in range(int(data["count"])):
    for signature, key in (("serve_float", f"image_{i}"), ("serving_default", f"bytes_{i}")):
        if key not in data:
            continue
        out = saved.signatures[signature](image=tf.constant(data[key]))
        for name in data["outputs"].tolist():
            value, wanted = out[name].numpy(), data[f"{name}_{i}"]
            if wanted.dtype.kind in "iub":
                equal = equal and bool((value == wanted).all())
            else:
                differences.append(far(value, wanted))
found["saved_model"] = {"max_difference": max(differences), "labels_equal": equal}
found["saved_model"]["loaded_with"] = "TensorFlow " + tf.__version__ + " alone"
if os.path.exists(folder + "/model.keras"):
    import keras
    model = keras.models.load_model(folder + "/model.keras", safe_mode=True)
    logits = np.asarray(keras.tree.flatten(model(data["network_image"], training=False))[-1])
    same = np.argmax(logits, -1) == np.argmax(data["network_logits"], -1)
    found["model.keras"] = {
        "max_difference": far(logits, data["network_logits"]),
        "labels_equal": bool(same.all()),
        "loaded_with": "Keras " + keras.__version__ + " without tfvision",
    }
if "network_image" in data:
    del sys.modules["tfvision"]
    sys.path.insert(0, package)
    from tfvision.engine.export import check_weights
    found["model.weights.h5"] = check_weights(folder, data)
json.dump(found, open(result, "w"))
"""


def write_export(
    folder: Path,
    inference: Inference | Ensemble,
    fixed: keras.Model | None,
    description: dict[str, Any],
    *,
    plain: bool = True,
) -> None:
    """Writes `saved_model/`, `model.keras`, `model.weights.h5` and `export.json`.

    The folder appears only when all of it is complete; an older one is replaced.

    Args:
        folder: The run's `export/`.
        inference: Becomes the SavedModel: `serving_default` takes `image` uint8 (B, H, W,
            C) in 0..255, `serve_float` float32 in [0, 1], any batch and size; both give the
            named arrays of the task, as `labels` (B, H, W) uint8 and `probabilities`
            (B, H, W, K) float32.
        fixed: The model at the size it was trained at; becomes the other two. None: there are
            none, as of an ensemble, whose members may have different sizes.
        plain: Whether Keras alone can load it, as a `.keras` file; else there is none.
        description: For `export.json`: what rebuilds the model, class names.
    """
    temporary = folder.with_name(f".{folder.name}-{os.getpid()}.tmp")
    old = folder.with_name(f".{folder.name}-{os.getpid()}.old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        signatures = {
            "serving_default": inference.serving_default,
            "serve_float": inference.serve_float,
        }
        tf.saved_model.save(inference, str(temporary / "saved_model"), signatures=signatures)
        if fixed is not None:
            if plain:
                fixed.save(temporary / "model.keras")
            fixed.save_weights(temporary / "model.weights.h5")
        (temporary / "export.json").write_text(json.dumps(description, indent=1))
        if folder.exists():
            os.replace(folder, old)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def load_exported(folder: str | Path) -> keras.Model:
    """The model rebuilt from `export.json` and `model.weights.h5`; logits come out."""
    from tfvision.models import prune
    from tfvision.registry import Spec
    from tfvision.tasks.facts import DEFAULT_TASK, facts_of

    folder = Path(folder)
    made = json.loads((folder / "export.json").read_text())
    model = (
        facts_of(made.get("task", DEFAULT_TASK))
        .models()
        .build(
            Spec(**made["model"]),
            input_shape=tuple(made["input_shape"]),
            num_classes=len(made["class_names"]),
        )
    )
    if made["depth"] is not None:
        model = prune(model, made["depth"])
    model.load_weights(folder / "model.weights.h5")
    return model


def check_export(
    folder: Path,
    inference: Inference | Ensemble,
    fixed: keras.Model | None,
    images: Sequence[np.ndarray],
    network_images: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Loads every file in a fresh process and compares it with the live model.

    Args:
        folder: The run's `export/`.
        inference: The live one.
        fixed: The live model at its training size, or None as in `write_export`.
        images: Real images (H, W, C), uint8 or float32 in [0, 1], of any sizes.
        network_images: (B, H, W, C) float32 at the training size.

    Returns:
        {file, bytes, loaded_with, max_difference, labels_equal} for each file.
    """
    data: dict[str, np.ndarray] = {"count": np.array(len(images))}
    for i, image in enumerate(images):
        if image.dtype == np.uint8:
            data[f"bytes_{i}"] = image[None]
            image = image.astype(np.float32) * np.float32(1 / 255)
        data[f"image_{i}"] = image[None]
        outputs = inference.serve_float(tf.constant(image[None]))
        data["outputs"] = np.array(list(outputs))
        data.update({f"{name}_{i}": value.numpy() for name, value in outputs.items()})
    if fixed is not None:
        data["network_image"] = network_images
        data["network_logits"] = np.asarray(
            keras.tree.flatten(fixed(network_images, training=False))[-1]
        )
    with tempfile.TemporaryDirectory() as scratch:
        samples = Path(scratch) / "samples.npz"
        np.savez(samples, **data)
        found = _run_check(folder.resolve(), samples, Path(scratch))
    rows = []
    for name in (n for n in ("saved_model", "model.weights.h5", "model.keras") if n in found):
        path = folder / name
        files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
        rows.append({"file": name, "bytes": sum(p.stat().st_size for p in files), **found[name]})
    return rows


def check_weights(folder: str | Path, data: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Rebuilds the model from `export.json` and its weights, and compares its logits.

    Args:
        folder: The run's `export/`.
        data: Has `network_image` and the live model's `network_logits`.

    Returns:
        What `check_export` says of the file.
    """
    out = load_exported(folder)(data["network_image"], training=False)
    logits, wanted = np.asarray(keras.tree.flatten(out)[-1]), data["network_logits"]
    return {
        "max_difference": float(np.max(np.abs(logits - wanted), initial=0)),
        "labels_equal": bool((np.argmax(logits, -1) == np.argmax(wanted, -1)).all()),
        "loaded_with": "tfvision, rebuilt from export.json",
    }


def _run_check(folder: Path, samples: Path, scratch: Path) -> dict[str, dict]:
    """What a process of its own finds of each file; its start takes most of the time."""
    result = scratch / "result.json"
    paths = [folder, samples, result, Path(__file__).parents[2]]
    done = subprocess.run(
        [sys.executable, "-c", _CHECK, *map(str, paths)],
        cwd=scratch,
        env={**os.environ, "PYTHONPATH": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(
            "A file of the export cannot be loaded in a fresh process:\n" + done.stderr[-2000:]
        )
    return json.loads(result.read_text())
