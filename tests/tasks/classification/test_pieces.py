"""Images as pieces: sizes, owners, what is put together, and regions for the ops that ask."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tfvision.data.audit.finding import Audit
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.read import native_scanned
from tfvision.recipe.sampling import TrainingSet
from tfvision.tasks.classification.pieces import (
    decode_pieces,
    image_probabilities,
    of_pieces,
    piece_counts,
    with_piece_size,
)
from tfvision.tasks.classification.schema import ClassificationConfig
from tfvision.tasks.classification.scoring import score_samples
from tfvision.tasks.task import task_of

COUNTS = [2, 1, 3]  # components of each region


@pytest.fixture(scope="module")
def source():
    """Three images 24x24; the pixels of each component tell its number, 10, 20 or 30."""
    images, regions = np.zeros((2, 3, 24, 24), np.uint8)
    for i, count in enumerate(COUNTS):
        for k in range(count):
            side = 8 - 2 * k
            place = np.s_[i, 8 * k : 8 * k + side - 1, 8 * k : 8 * k + side - 1]
            images[place], regions[place] = 10 * (k + 1), 1
    content = {"images": images, "regions": regions, "labels": np.array([0, 1, 1])}
    return ArraySource(
        {"train": content}, name="test", layout="test", class_names=["a", "b"], stamp="pieces"
    )


def prepared_of(source):
    found = scan(source, cache=False)
    return Prepared(source, found, ["train"] * 3, "", (24, 24), False, 1, Audit([], [], [], []))


def recipe_of(prepared, **data):
    raw = {"model": "small_cnn", "data": {"input": "patches", **data}}
    config = ClassificationConfig.model_validate(raw)
    prepared = with_piece_size(config, prepared, make(config, prepared).cut)
    return make(config, prepared), prepared


def make(config, prepared):
    return task_of("classification").recipe(
        config, num_classes=2, channels=1, size=prepared.size, resized=prepared.resized
    )


class Fake:
    """Says of a piece how bright its brightest pixel is: (that, 1 - that), no size needed."""

    def serve_float(self, image):
        first = tf.reduce_max(image, axis=(1, 2, 3)) * 2.55
        return {"probabilities": tf.stack([first, 1 - first], -1)[:, None, None]}


def test_every_component_is_a_piece_with_the_label_of_its_image(source):
    recipe, prepared = recipe_of(prepared_of(source), image_size=[7, 7])
    pieces = decode_pieces(recipe, prepared, [0, 1, 2])
    assert pieces.owner.tolist() == [0, 0, 1, 2, 2, 2]
    assert pieces.samples.targets["label"].tolist() == [0, 0, 1, 1, 1, 1]
    assert pieces.samples.ids == ["0", "0", "1", "2", "2", "2"]
    assert pieces.weights.tolist() == [49, 25, 49, 49, 25, 9]
    assert [int(x.max()) for x in pieces.samples.images] == [10, 20, 10, 10, 20, 30]
    assert pieces.samples.images.shape == (6, 7, 7, 1)
    assert piece_counts(recipe.config, prepared, [0, 2]) == [2, 3]


def test_pieces_of_an_image_are_never_in_two_splits(source):
    recipe, prepared = recipe_of(prepared_of(source))
    prepared = replace(prepared, splits=["train", "val", "train"])
    made = task_of("classification").examples(recipe, prepared, prepared)
    assert made.train.ids == ["0", "0", "2", "2", "2"]
    assert made.val.ids == ["1"]


def test_the_size_left_open_is_that_of_the_pieces(source):
    recipe, prepared = recipe_of(prepared_of(source))
    assert recipe.size == prepared.size == (16, 16)  # the rounded median, at least 16
    assert "pieces of 3x3 to 7x7 pixels" in prepared.notes[-1]
    whole, _ = recipe_of(prepared_of(source), input="full")
    assert whole.size == (24, 24)


@pytest.mark.parametrize(
    ("how", "want"),
    [
        ("mean", [(10 + 20) / 2, 10, (10 + 20 + 30) / 3]),
        ("area", [(490 + 500) / 74, 10, (490 + 500 + 270) / 83]),
        ("median", [15, 10, 20]),
    ],
)
def test_an_image_has_the_probabilities_of_its_pieces_together(source, how, want):
    recipe, prepared = recipe_of(prepared_of(source), aggregate=how, batch_size=2)
    samples = [native_scanned(prepared, i) for i in range(3)]
    each = []
    found = list(image_probabilities(recipe, Fake(), iter(samples), pieces=each))
    assert [len(own) for own in each] == COUNTS
    assert found[0].shape == (1, 1, 2)
    np.testing.assert_allclose([p[0, 0, 0] * 100 for p in found], want, rtol=1e-5)
    pieces = decode_pieces(recipe, prepared, [0, 1, 2])
    together = pieces.of_images(np.concatenate(each), how)
    np.testing.assert_allclose(together[:, 0] * 100, want, rtol=1e-5)


def test_scores_are_of_images_and_the_pieces_are_kept(source):
    recipe, prepared = recipe_of(prepared_of(source))
    samples = [(str(i), native_scanned(prepared, i)) for i in range(3)]
    scored = score_samples(recipe, Fake(), samples)
    assert scored.details["truth"].tolist() == [0, 1, 1]
    assert scored.plain.sum(axis=(1, 2)).tolist() == [1, 1, 1]
    assert np.trace(scored.plain.sum(axis=0)) == 2  # all are darker than one half
    assert [len(own) for own in scored.details["pieces"]] == COUNTS


def test_a_training_set_of_pieces_draws_each_as_often_as_its_image(source):
    recipe, prepared = recipe_of(prepared_of(source))
    pieces = decode_pieces(recipe, prepared, [2, 0])
    pixels = prepared.scan.class_pixels[[2, 0]]
    chosen = of_pieces(TrainingSet([2, 0], pixels, 1, np.array([1.0, 3.0]), ()), pieces)
    assert chosen.indices == [2, 2, 2, 0, 0]
    assert chosen.class_pixels.tolist() == [[0, 1]] * 3 + [[1, 0]] * 2
    assert chosen.weights.tolist() == [1, 1, 1, 3, 3]
    assert chosen.per_epoch == 5


def test_regions_ride_along_where_an_op_asks_for_them(source):
    recipe, prepared = recipe_of(prepared_of(source), input="full")
    assert decode_pieces(recipe, prepared, [0, 1]).samples.targets.get("region") is None
    recipe, prepared = recipe_of(
        prepared_of(source), input="full", augment=["random_background(p=0.5)"]
    )
    regions = decode_pieces(recipe, prepared, [0, 1]).samples.targets["region"]
    assert regions.shape == (2, 24, 24)
    assert regions.sum(axis=(1, 2)).tolist() == [49 + 25, 49]
