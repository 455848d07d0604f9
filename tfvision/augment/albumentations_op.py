"""Transforms of albumentations (2.0.8, MIT) as an op: the only module that imports it.

Slower than the native ops, two to four times (benchmarks/augmentation.py): each sample
goes through Python. Use it for what they lack, such as fog or median filters.
"""

import inspect
import os
import random
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfvision.augment.sample import Op, Sample, check_number, check_probability, pixel_maps
from tfvision.errors import InputError
from tfvision.registry import unknown

# These leave the contract of a sample: float32 in [0, 1].
_OTHER_RANGE = ("Normalize", "ToFloat", "FromFloat", "ToTensorV2", "ToTensor3D")


def albumentations(
    transforms: Sequence[Mapping[str, Any]], p: float = 1.0, *, min_visibility: float = 0.25
) -> Op:
    """Applies `albumentations.Compose` to image, mask, region and boxes.

    The transforms see the image as float32 in [0, 1]: none of them needs uint8, which would
    round. What a geometric one brings into the mask is its own `fill_mask`, 0 unless it is
    written: `{"name": "Affine", "rotate": 10, "fill_mask": 255}`.

    Args:
        transforms: Each a dict with the `name` of a class and its arguments:
            `[{"name": "RandomBrightnessContrast", "p": 0.5}]`. Those that choose among others
            take them as `transforms`: `{"name": "OneOf", "transforms": [...]}`.
        p: Probability that any of it happens.
        min_visibility: A box, also of a crowd, stays where at least this share of its area is
            in view.

    Raises:
        InputError: Where albumentations is missing, or does not know a name or argument.
            When called, where a transform changes the size of the image, which `crop` does;
            inside tf.data this is an InvalidArgumentError with the same message.
    """
    p = check_probability("albumentations", p)
    min_visibility = check_number("albumentations", "min_visibility", min_visibility, 0.0, high=1.0)
    library = _import()
    if not transforms or not isinstance(transforms, list | tuple):
        raise InputError(
            "albumentations: transforms must be a list with at least one transform, such as "
            f'[{{"name": "HorizontalFlip", "p": 0.5}}], got {transforms!r}.'
        )
    pipelines = {
        with_boxes: library.Compose(
            [_build(library, spec) for spec in transforms],
            p=p,
            bbox_params=_box_rules(library, min_visibility) if with_boxes else None,
            additional_targets={"region": "mask"},
        )
        for with_boxes in (False, True)
    }
    lock = threading.Lock()  # a Compose holds the random state of the sample it works on

    def transform(number: np.ndarray, *arrays: np.ndarray, keys: Sequence[str]):
        pipeline = pipelines["boxes" in keys]
        with lock:
            # One stream for all transforms: `set_random_seed` would give each the same
            # numbers, and two transforms of probability 0.5 would always happen together.
            state = int(number)
            pipeline.set_random_state(np.random.default_rng(state), random.Random(state))
            return _call(pipeline, dict(zip(keys, arrays, strict=True)))

    def op(sample: Sample, seed: tf.Tensor) -> Sample:
        keys = ["image", *pixel_maps(sample, 0), *(k for k in ("boxes", "classes") if k in sample)]
        if ("boxes" in keys) != ("classes" in keys):
            raise InputError(
                "albumentations: a sample must have both boxes and classes or neither, got "
                f"{', '.join(keys)}."
            )
        number = tf.random.stateless_uniform([], seed, maxval=2**62, dtype=tf.int64)
        values = tf.numpy_function(
            lambda number, *arrays: transform(number, *arrays, keys=keys),
            [number, *(sample[key] for key in keys)],
            [sample[key].dtype for key in keys],
            stateful=False,
        )
        out = dict(zip(keys, tf.nest.flatten(values), strict=True))
        for key, value in out.items():
            shape = sample[key].shape
            value.set_shape([None, *shape[1:]] if key in ("boxes", "classes") else shape)
        return {**sample, **out}

    return op


def _import() -> Any:
    # Its import otherwise asks the network for a newer version.
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    try:
        import albumentations as library
    except ImportError as error:
        raise InputError(
            "The op albumentations needs the package of that name, which is not installed. "
            "Run `pip install albumentations==2.0.8`, or use the native ops."
        ) from error
    return library


def _box_rules(library: Any, min_visibility: float) -> Any:
    return library.BboxParams(
        "pascal_voc",
        label_fields=["classes"],
        min_visibility=min_visibility,
        clip=True,
        filter_invalid_bboxes=True,
    )


def _build(library: Any, spec: Mapping[str, Any]) -> Any:
    """The transform that `spec` names, and those within it."""
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise InputError(
            "albumentations: each transform must be a dict with a name, such as "
            f'{{"name": "HorizontalFlip", "p": 0.5}}, got {spec!r}.'
        )
    arguments = dict(spec)
    name = arguments.pop("name")
    available = _available(library)
    if name in _OTHER_RANGE:
        raise InputError(
            f"albumentations: {name} changes the range or type of the image, which must stay "
            "float32 in [0, 1]. Leave it out: the model normalises its input."
        )
    if name not in available:
        raise InputError(unknown("albumentations transform", name, available))
    options = [key for key in inspect.signature(available[name]).parameters if key != "self"]
    for key in arguments:
        if key not in options:
            raise InputError(unknown(f"argument of albumentations {name}", key, options))
    if "rotate_method" in options:  # a turned box, as `affine` has it
        arguments.setdefault("rotate_method", "ellipse")
    if "transforms" in arguments:
        arguments["transforms"] = [_build(library, inner) for inner in arguments["transforms"]]
    try:
        return available[name](**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"albumentations {name}: {error}") from error


def _available(library: Any) -> dict[str, Any]:
    kinds = (library.BasicTransform, library.BaseCompose)
    return {
        name: value
        for name, value in sorted(vars(library).items())
        if inspect.isclass(value)
        and issubclass(value, kinds)
        and not inspect.isabstract(value)
        and name not in _OTHER_RANGE
    }


def _call(pipeline: Any, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Runs `pipeline` on copies, as a transform may write into what it is given."""
    given = {key: np.array(value) for key, value in arrays.items()}
    if "mask" in given:
        # OpenCV cannot move int32. uint8 where it holds the labels, else float32, exact to 2^24.
        mask = given["mask"]
        small = mask.size == 0 or (mask.min() >= 0 and mask.max() <= 255)
        given["mask"] = mask.astype(np.uint8 if small else np.float32)
    if "boxes" in given:
        given["bboxes"] = given.pop("boxes")
    done = pipeline(**given)
    if "boxes" in arrays:
        done["boxes"] = np.reshape(done["bboxes"], [-1, 4])
    for key in ("image", *pixel_maps(arrays, 0)):
        if done[key].shape != arrays[key].shape:
            raise InputError(
                f"albumentations: the {key} must keep its size, got {done[key].shape} from "
                f"{arrays[key].shape}. Use the op `crop` for another size."
            )
    done["image"] = np.clip(done["image"], 0.0, 1.0)
    if "region" in arrays:
        # What came in from outside is the `fill_mask` that a transform has for masks: no object.
        done["region"] = done["region"] == 1
    return [np.asarray(done[key]).astype(value.dtype) for key, value in arrays.items()]
