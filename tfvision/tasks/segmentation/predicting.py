"""Label maps and probabilities of images of any size, with views, in tiles, by several runs."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from tfvision.engine.inference import Inference
from tfvision.engine.predict import as_float, batches_of_one_size, predict_probabilities
from tfvision.engine.tiles import Tiles
from tfvision.engine.tta import Resized, TestTimeAugmentation, View
from tfvision.errors import InputError
from tfvision.postprocess.components import decode_images
from tfvision.postprocess.pixelwise import decode
from tfvision.recipe.read import Native
from tfvision.recipe.recipe import Recipe


def predictions(
    recipe: Recipe, predictor: Any, samples: Iterable[Native]
) -> Iterator[dict[str, np.ndarray]]:
    """The `probabilities` (H, W, K) float32 of samples, in order, before any rule."""
    for images, scales in _groups(recipe, predictor, samples):
        if is_cut(predictor, images[0]):
            yield {"probabilities": predictor.whole(images[0], scales[0])}
        else:
            for one in predict_probabilities(predictor, as_float(images, scales)):
                yield {"probabilities": one}


def label_maps(recipe: Recipe, predictor: Any, samples: Iterable[Native]) -> Iterator[np.ndarray]:
    """The labels (H, W) uint8 of samples, in order, after all rules.

    An image that is cut into tiles is decoded band by band: of its probabilities never more
    than a row of tiles is held.
    """
    final = decode_images(recipe.rules, recipe.component_rules)
    of_pixels = decode(recipe.rules)
    for images, scales in _groups(recipe, predictor, samples):
        if not is_cut(predictor, images[0]):
            yield from final(predict_probabilities(predictor, as_float(images, scales)))
            continue
        for image, scale in zip(images, scales, strict=True):
            bands = predictor.bands(image, scale)
            labels = np.concatenate([np.asarray(of_pixels(band)) for _, band in bands])
            for rule in recipe.component_rules:
                labels = rule(labels)
            yield labels


def label_map(recipe: Recipe, prediction: dict[str, np.ndarray]) -> np.ndarray:
    """The labels (H, W) uint8 of one prediction, after all rules."""
    final = decode_images(recipe.rules, recipe.component_rules)
    return final(prediction["probabilities"][None])[0]


def with_views(recipe: Recipe, predictor: Any, views: list[View], scaled: bool) -> Any:
    """The views at the size the model sees; of an ensemble, at the images' own.

    Raises:
        InputError: A scale before a member of an ensemble brings the image to its own size.
    """
    if predictor.members == [predictor] and predictor.size is not None:
        inside = Inference(predictor.model, channels=recipe.channels, rules=recipe.rules)
        return Resized(TestTimeAugmentation(inside, views), predictor.size)
    if scaled and any(member.size is not None for member in predictor.members):
        raise InputError(
            "--tta scale(...) means nothing to this ensemble: it has members that bring every "
            "image to the size they were trained at. Leave the scale out."
        )
    return TestTimeAugmentation(predictor, views)


def with_tiles(recipe: Recipe, predictor: Any, tile: tuple[int, int], overlap: int | None) -> Tiles:
    """Large images tile by tile; as many pixels at a time as a batch of the training had.

    Raises:
        InputError: The run brings images to one size, or the tile does not fit the model.
    """
    members = predictor.members
    sizes = [member.size for member in members if member.size is not None]
    if sizes:
        raise InputError(
            f"--tile means nothing here: this run brings every image to {sizes[0][0]}x"
            f"{sizes[0][1]}, the size it was trained at, so the model never sees a large one. "
            "Leave --tile out; to predict large images piece by piece, train at their own "
            "scale, on crops."
        )
    pixels = recipe.config.data.batch_size * recipe.size[0] * recipe.size[1]
    return Tiles(
        predictor,
        tile=tile,
        overlap=overlap,
        stride=int(np.lcm.reduce([member.model.stride for member in members])),
        batch_size=max(1, pixels // (tile[0] * tile[1])),
    )


def is_cut(predictor: Any, image: np.ndarray) -> bool:
    """Whether an image is predicted in tiles."""
    return isinstance(predictor, Tiles) and not predictor.fits(image.shape[:2])


def _groups(recipe: Recipe, predictor: Any, samples: Iterable[Native]):
    """(images, scales) of neighbours of one size, at most a batch; in tiles one at a time."""
    at_once = 1 if isinstance(predictor, Tiles) else recipe.config.data.batch_size
    numbered = ((i, one.image, one.scale) for i, one in enumerate(samples))
    for group in batches_of_one_size(numbered, at_once):
        _, images, scales = zip(*group, strict=True)
        yield list(images), list(scales)
