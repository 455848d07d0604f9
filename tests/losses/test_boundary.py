"""Boundary loss and its maps of distances, against SciPy and against equation 4."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.losses.cases import K, gradient, perfect_logits, random_case
from tests.losses.distances import scipy_maps
from tfvision.augment import mixup
from tfvision.data.pipeline import Samples, scoring_batches, training_batches
from tfvision.engine.step import batch_loss
from tfvision.errors import InputError
from tfvision.losses import Boundary, CrossEntropy
from tfvision.losses.distances import distance_maps
from tfvision.recipe.loss_terms import enricher


def blobs(seed, *, size=(40, 56), num_classes=K, batch=2):
    """Labels with long distances, unlike random ones, and a void patch."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: size[0], : size[1]]
    centres = rng.uniform(0, 1, (batch, 6, 2)) * size
    squares = [
        (rows - c[:, 0, None, None]) ** 2 + (columns - c[:, 1, None, None]) ** 2 for c in centres
    ]
    labels = np.stack([np.argmin(s, axis=0) for s in squares]) % num_classes
    labels[:, 5:9, 10:30] = 255
    return labels


@pytest.mark.parametrize("size", [(40, 56), (1, 9), (7, 1)])
@pytest.mark.parametrize("ignore", [(255,), (1, 255)])
def test_maps_are_those_of_scipy(size, ignore):
    labels = blobs(0, size=size)
    labels[1] = 2  # one class alone has no border
    maps = distance_maps(labels, num_classes=K, ignore_labels=ignore)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps, scipy_maps(labels, K, ignore), atol=1e-5)
    assert np.all(maps[1] == 0)
    assert np.all(maps[np.isin(labels, ignore)] == 0)


def test_maps_of_a_half_plane():
    """Two pixels on either side of the border are half a pixel from it."""
    labels = np.zeros((1, 3, 6), np.int32)
    labels[:, :, 2:] = 1
    maps = distance_maps(labels, num_classes=3)
    np.testing.assert_array_equal(maps[0, 1, :, 1], [1.5, 0.5, -0.5, -1.5, -2.5, -3.5])
    np.testing.assert_array_equal(maps[..., 0], -maps[..., 1])
    np.testing.assert_array_equal(maps[..., 2], 0)
    labels[:, :, 1:3] = 255  # the border may run anywhere in what is not known
    maps = distance_maps(labels, num_classes=3)
    np.testing.assert_array_equal(maps[0, 1, :, 1], [2.5, 0, 0, -2.5, -3.5, -4.5])


@pytest.mark.parametrize("case", ["blobs", "random"])
def test_without_prepared_maps_the_loss_computes_the_same(case):
    labels = blobs(1) if case == "blobs" else random_case(1, size=(9, 6))[0]
    logits = random_case(2, batch=len(labels), size=labels.shape[1:])[1]
    for unit in ("pixel", "diagonal"):
        loss = Boundary(unit=unit, class_weights=[1, 2, 3, 4])
        maps = distance_maps(labels, num_classes=K)
        given = loss.call(labels, logits, distances=maps)
        np.testing.assert_allclose(loss.call(labels, logits), given, rtol=1e-5)


def test_its_gradient_is_that_of_equation_5():
    """The mean over the pixels of distance times probability, one class after the other."""
    labels = blobs(2)
    labels[labels == 3] = 0
    logits = random_case(3, batch=len(labels), size=labels.shape[1:])[1]
    maps = scipy_maps(labels, K, (255,))
    pixels = (labels != 255).sum((1, 2))

    def equation_5(z):
        p = tf.nn.softmax(z)
        by_class = tf.reduce_sum(p * maps.astype(np.float32), (1, 2)) / pixels[:, None]
        return tf.reduce_sum(tf.reduce_sum(by_class, 1) / 3)  # three classes have a border

    z = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(z)
        value = equation_5(z)
    expected = tape.gradient(value, z).numpy()
    _, found = gradient(Boundary(), labels, logits)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-8)


def test_an_error_costs_as_much_as_it_is_far():
    labels = np.zeros((1, 8, 20), np.int32)
    labels[:, :, :3] = 1
    costs = []
    for column in (3, 8, 19):
        predicted = labels.copy()
        predicted[0, 4, column] = 1
        costs.append(float(Boundary().call(labels, perfect_logits(predicted))[0]))
    # The stray pixel is as far outside class 1 as it is inside class 0.
    np.testing.assert_allclose(np.array(costs) * 160, [0.5, 5.5, 16.5], rtol=1e-4)
    diagonal = Boundary(unit="diagonal").call(labels, perfect_logits(predicted))
    np.testing.assert_allclose(diagonal * np.hypot(8, 20), costs[-1], rtol=1e-5)


def test_xla_gives_value_and_gradient_without_prepared_maps():
    labels, logits = random_case(6)
    labels[0, 2:4] = 255
    loss = Boundary()

    @tf.function(jit_compile=True)
    def step(labels, logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = tf.reduce_sum(loss.call(labels, logits))
        return value, tape.gradient(value, logits)

    for found, expected in zip(
        step(tf.constant(labels), tf.constant(logits)), gradient(loss, labels, logits), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def samples(count=6):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 40, 56, 1)).astype(np.uint8)
    masks = blobs(4, batch=count).astype(np.uint8)
    return Samples([str(i) for i in range(count)], images, 1 / 255, {"mask": masks})


def test_the_stream_adds_maps_of_the_masks_as_they_come_out_and_resumes():
    """After augmentation and mixing; a stream with maps is the stream without, and more."""
    terms = [(CrossEntropy(), 1.0), (Boundary(), 0.5)]
    enrich = enricher(terms, K)
    options = {
        "batch_size": 4,
        "seed": 3,
        "augment": lambda s, seed: {**s, "mask": tf.reverse(s["mask"], [1])},
        "mix": mixup(),
    }
    bare = list(training_batches(samples(), **options).take(3).as_numpy_iterator())
    stream = training_batches(samples(), enrich=enrich, **options)
    full = list(stream.take(3).as_numpy_iterator())
    later = training_batches(samples(), enrich=enrich, first_step=2, **options)
    again = next(later.as_numpy_iterator())
    assert stream.element_spec["distances"].shape == (4, 40, 56, K)
    for plain, batch in zip(bare, full, strict=True):
        for key in plain:
            np.testing.assert_array_equal(plain[key], batch[key])
        for key in ("", "_other"):
            np.testing.assert_allclose(
                batch["distances" + key], scipy_maps(batch["mask" + key], K, (255,)), atol=1e-5
            )
    assert full[2].keys() == again.keys()
    for key in again:
        np.testing.assert_array_equal(again[key], full[2][key])


def test_the_step_takes_the_maps_of_the_batch_and_both_masks_of_a_mixed_one():
    terms = [(Boundary(), 2.0)]
    stream = training_batches(
        samples(), batch_size=4, seed=3, mix=mixup(), enrich=enricher(terms, K)
    )
    batch = next(iter(stream))
    logits = tf.constant(random_case(5, batch=4, size=(40, 56))[1])
    found = batch_loss(terms)(batch, [logits])
    own, other = (Boundary().call(batch[key], logits) for key in ("mask", "mask_other"))
    np.testing.assert_allclose(
        found, 2 * (batch["mix"] * own + (1 - batch["mix"]) * other), rtol=1e-5
    )
    doubled = {**batch, "distances": 2 * batch["distances"], "mix": tf.ones(4)}
    np.testing.assert_allclose(batch_loss(terms)(doubled, [logits]), 4 * own, rtol=1e-5)


def test_scoring_batches_have_the_maps_as_well():
    terms = [(Boundary(), 1.0)]
    for batch in scoring_batches(samples(5), batch_size=2, enrich=enricher(terms, K)):
        expected = scipy_maps(batch["mask"].numpy(), K, (255,))
        np.testing.assert_allclose(batch["distances"], expected, atol=1e-5)


def test_nothing_is_computed_where_no_term_asks():
    assert enricher([(CrossEntropy(), 1.0), (keras.losses.Huber(), 1.0)], K) is None


def test_two_boundary_terms_must_ignore_the_same():
    terms = [(Boundary(), 1.0), (Boundary(ignore_labels=[0, 255]), 1.0)]
    with pytest.raises(InputError, match=r"ignore the same labels; received \[0, 255\] and \[255"):
        enricher(terms, K)


def test_two_replicas_give_the_loss_of_one():
    terms = [(Boundary(), 1.0)]
    logits = tf.constant(random_case(5, batch=4, size=(40, 56))[1])
    stream = training_batches(samples(), batch_size=4, seed=3, enrich=enricher(terms, K))
    stream = tf.data.Dataset.zip(stream, tf.data.Dataset.from_tensors(logits).repeat()).map(
        lambda batch, z: {**batch, "logits": z}
    )
    loss = batch_loss(terms)
    expected = loss(batch := next(iter(stream)), [batch["logits"]])
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    shared = next(iter(strategy.experimental_distribute_dataset(stream)))
    found = strategy.run(tf.function(lambda b: loss(b, [b["logits"]])), args=(shared,))
    parts = strategy.experimental_local_results(found)
    assert [len(p) for p in parts] == [2, 2]
    np.testing.assert_allclose(np.concatenate(parts), expected, rtol=1e-6)
