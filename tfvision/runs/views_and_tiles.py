"""From a loaded run and a source to labels and probabilities, in whatever way was asked for."""

import hashlib
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tfvision.data.sources.source import Source
from tfvision.engine.evaluate import as_float, batches_of_one_size, predict_probabilities
from tfvision.engine.shards import Shards
from tfvision.engine.tiles import Tiles
from tfvision.engine.tta import Resized, TestTimeAugmentation, View, make_views
from tfvision.errors import InputError
from tfvision.postprocess.components import decode_images
from tfvision.postprocess.pixelwise import decode
from tfvision.recipe.read import native, read_native
from tfvision.recipe.recipe import with_rules
from tfvision.runs.fitted import with_fitted
from tfvision.runs.fitted_files import as_text, read_aggregate, read_rules, read_temperature
from tfvision.runs.request import UseRequest, parse_views
from tfvision.studies.ensemble.members import weights_sha256
from tfvision.tasks.classification.inference import Views
from tfvision.tasks.classification.pieces import image_probabilities

if TYPE_CHECKING:  # use.py imports this module
    from tfvision.runs.use import LoadedRun


def as_asked(loaded: "LoadedRun", request: UseRequest) -> "LoadedRun":
    """A run, or an ensemble, that predicts with the views and tiles of a request.

    Tiles are outermost, so that the memory of the views is that of a tile.

    Raises:
        InputError: A view's argument is wrong, a tile does not fit the model, a file that was
            fitted does not fit the run, or the run brings images to one size, where tiles mean
            nothing.
    """
    if request.postprocess is not None:
        recipe = with_rules(loaded.recipe, read_rules(request.postprocess))
        loaded = replace(loaded, recipe=recipe, config=recipe.config)
    if request.aggregate is not None or request.calibrated is not None:
        recipe = with_fitted(
            loaded.recipe,
            loaded.data["class_names"],
            aggregate=request.aggregate,
            calibrated=request.calibrated,
        )
        loaded = replace(loaded, recipe=recipe, config=recipe.config)
    if loaded.recipe.is_classification:
        return _as_asked_of_classes(loaded, request)
    chains = parse_views(request.tta)
    views = make_views(chains)
    inference = loaded.inference
    if views:
        scaled = any(spec.name == "scale" for chain in chains for spec in chain)
        inference = _with_views(loaded, views, scaled)
    if request.tile is not None:
        members = _members(loaded)
        sizes = [member.size for member in members if member.size is not None]
        if sizes:
            raise InputError(
                f"--tile means nothing here: this run brings every image to {sizes[0][0]}x"
                f"{sizes[0][1]}, the size it was trained at, so the model never sees a large one. "
                "Leave --tile out; to predict large images piece by piece, train at their own "
                "scale, on crops."
            )
        inference = Tiles(
            inference,
            tile=request.tile,
            overlap=request.overlap,
            stride=int(np.lcm.reduce([member.model.stride for member in members])),
            batch_size=_tiles_at_a_time(loaded, request.tile),
        )
    return replace(loaded, inference=inference)


def _as_asked_of_classes(loaded: "LoadedRun", request: UseRequest) -> "LoadedRun":
    if request.tile is not None:
        raise InputError(
            "--tile cuts large images for a segmentation; a classification has one answer an "
            "image. Leave --tile out; data.input says what the network sees of an image."
        )
    chains = parse_views(request.tta)
    views = make_views(chains)
    if not views:
        return loaded
    scaled = any(spec.name == "scale" for chain in chains for spec in chain)
    if scaled and not hasattr(loaded.inference, "fitted"):
        raise InputError(
            "--tta scale(...) means nothing to an ensemble of classifiers, which bring every image "
            "to the size they were trained at. Leave the scale out."
        )
    return replace(loaded, inference=Views(loaded.inference, views))


def how(request: UseRequest) -> dict[str, Any]:
    """What a request asks besides the plain prediction, for records: only what is set."""
    asked = {
        "tta": request.tta,
        "tile": None if request.tile is None else f"{request.tile[0]}x{request.tile[1]}",
        "overlap": request.overlap,
        "postprocess": request.postprocess and as_text(read_rules(request.postprocess)),
        "aggregate": request.aggregate and read_aggregate(request.aggregate).aggregate.name,
        "calibrated": request.calibrated and read_temperature(request.calibrated).text,
    }
    return {key: value for key, value in asked.items() if value is not None}


def batch_size_of(loaded: "LoadedRun") -> int:
    """Images at a time: one where there are tiles, as they are there for large images."""
    return 1 if isinstance(loaded.inference, Tiles) else loaded.config.data.batch_size


def labels_of(
    loaded: "LoadedRun", source: Source, indices: list[int], *, counter: Counter | None = None
) -> Iterator[np.ndarray]:
    """The labels (H, W) uint8 of records, in order, after all rules.

    An image that is cut into tiles is decoded band by band: of its probabilities never more
    than a row of tiles is held. For `counter` see `probabilities_of`.
    """
    rules, component_rules = loaded.recipe.rules, loaded.recipe.component_rules
    if loaded.recipe.is_classification:
        of_image = decode(rules)
        for found in probabilities_of(loaded, source, indices, counter=counter):
            yield np.asarray(of_image(found))
        return
    final, of_pixels = decode_images(rules, component_rules), decode(rules)
    for pictures, scales in _groups(loaded, source, indices):
        if not _cut(loaded, pictures[0]):
            yield from final(predict_probabilities(loaded.inference, as_float(pictures, scales)))
            continue
        for image, scale in zip(pictures, scales, strict=True):
            bands = loaded.inference.bands(image, scale)
            labels = np.concatenate([np.asarray(of_pixels(band)) for _, band in bands])
            for rule in component_rules:
                labels = rule(labels)
            yield labels


def probabilities_of(
    loaded: "LoadedRun", source: Source, indices: list[int], *, counter: Counter | None = None
) -> Iterator[np.ndarray]:
    """The probabilities (H, W, K) float32 of records, in order, before any rule.

    Of a classification (1, 1, K), those of all pieces of an image together; `counter` is then
    added how the images were cut, for `Cut.notes`.
    """
    if loaded.recipe.is_classification:
        images = (native(source, i, loaded.recipe.channels) for i in indices)
        yield from image_probabilities(loaded.recipe, loaded.inference, images, counter=counter)
        return
    for pictures, scales in _groups(loaded, source, indices):
        if _cut(loaded, pictures[0]):
            yield loaded.inference.whole(pictures[0], scales[0])
        else:
            yield from predict_probabilities(loaded.inference, as_float(pictures, scales))


def into_shards(
    loaded: "LoadedRun",
    source: Source,
    indices: list[int],
    ids: list[str],
    *,
    request: UseRequest,
    weights: list[str],
    counter: Counter | None = None,
) -> Iterator[np.ndarray]:
    """Writes `<out>/probabilities/`, or what is missing of it; yields labels from what is there.

    Labels come from the probabilities as they are stored, so it makes no difference where a
    call was interrupted.

    Args:
        loaded: What predicts, as asked.
        source, indices, ids: What is predicted.
        request: Its `out`, `shards`, and what `how` records.
        weights: Of `weights_of`, to tell runs apart.
        counter: As `probabilities_of` has it; of the images that were missing.

    Raises:
        InputError: The folder holds the probabilities of another run or input, or of other
            views or tiles.
    """
    store = Shards.create(
        request.out / "probabilities",
        ids=ids,
        class_names=loaded.data["class_names"],
        origin={
            "tta": None,
            "tile": None,
            "overlap": None,
            **{key: value for key, value in how(request).items() if key != "postprocess"},
            "weights_sha256": weights,
            "images_sha256": _images_sha256(loaded, source, indices),
        },
        per_shard=request.shards,
    )
    missing = store.missing()
    for done, positions in enumerate(missing, 1):
        found = probabilities_of(loaded, source, [indices[p] for p in positions], counter=counter)
        store.write(positions, [half(one) for one in found])
        if not request.quiet:
            print(f"shard {done} of {len(missing)} written", file=sys.stderr)
    final = decode_images(loaded.recipe.rules, loaded.recipe.component_rules)
    for _, probabilities in Shards.open(store.folder):
        yield final(probabilities[None])[0]


def half(probabilities: np.ndarray) -> np.ndarray:
    """(H, W, K) float32 -> float16, with the same most probable class at every pixel.

    Rounding keeps the order but can make two classes equal, and the argmax of equals is the
    first; there the true one gets the next larger number. Rules can still see such equals
    between lower classes.
    """
    rounded = probabilities.astype(np.float16)
    best = probabilities.argmax(-1)
    lost = rounded.argmax(-1) != best
    rounded[lost, best[lost]] = np.nextafter(rounded[lost, best[lost]], np.float16(1))
    return rounded


def weights_of(loaded: "LoadedRun") -> list[str]:
    """The SHA-256 of the weights in use, for an ensemble one a member and its share."""
    shares = getattr(loaded.inference, "weights", [1.0])
    return [
        weights_sha256(member.model) + ("" if share == 1 else f" {share:.9g}")
        for member, share in zip(_members(loaded), shares, strict=True)
    ]


def _with_views(loaded: "LoadedRun", views: list[View], scaled: bool):
    """The views at the size the model sees; of an ensemble, at the images' own."""
    size = getattr(loaded.inference, "size", None)
    if size is not None:
        inside = replace(loaded.recipe, resized=False).inference(loaded.inference.model)
        return Resized(TestTimeAugmentation(inside, views), size)
    if scaled and any(member.size is not None for member in _members(loaded)):
        raise InputError(
            "--tta scale(...) means nothing to this ensemble: it has members that bring every "
            "image to the size they were trained at. Leave the scale out."
        )
    return TestTimeAugmentation(loaded.inference, views)


def _members(loaded: "LoadedRun") -> list:
    """The `Inference` objects a run or an ensemble predicts with."""
    return getattr(loaded.inference, "members", [loaded.inference])


def _tiles_at_a_time(loaded: "LoadedRun", tile: tuple[int, int]) -> int:
    """As many pixels at a time as a batch of the training had: so much fits."""
    height, width = loaded.recipe.size
    pixels = loaded.config.data.batch_size * height * width
    return max(1, pixels // (tile[0] * tile[1]))


def _cut(loaded: "LoadedRun", image: np.ndarray) -> bool:
    return isinstance(loaded.inference, Tiles) and not loaded.inference.fits(image.shape[:2])


def _groups(loaded: "LoadedRun", source: Source, indices: list[int]):
    """(images, scales) of neighbours of one size, at most a batch."""
    images = ((i, *_image(loaded, source, i)) for i in indices)
    for group in batches_of_one_size(images, batch_size_of(loaded)):
        _, pictures, scales = zip(*group, strict=True)
        yield list(pictures), list(scales)


def _image(loaded: "LoadedRun", source: Source, index: int) -> tuple[np.ndarray, float]:
    image, _, scale = read_native(source, index, loaded.recipe.channels)
    return image, scale


def _images_sha256(loaded: "LoadedRun", source: Source, indices: list[int]) -> str:
    """Of the pixels in order, so that no store is filled up from other images."""
    digest = hashlib.sha256()
    for i in indices:
        sample = native(source, i, loaded.recipe.channels)
        image, scale = sample.image, sample.scale
        digest.update(f"{image.shape} {image.dtype} {scale}\n".encode())
        digest.update(np.ascontiguousarray(image).data)
        if sample.region is not None:  # it may decide what is seen of the image
            digest.update(np.ascontiguousarray(sample.region).data)
    return digest.hexdigest()
