"""Every loss of the table: NumPy references, ranges, ignored pixels, gradients, float16."""

import inspect

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.losses.cases import NAMES, K, build, gradient, perfect_logits, random_case
from tests.losses.distances import boundary_reference
from tfvision import losses


def reference(name, labels, logits, weights, ignore):
    """One image in float64, pixel by pixel where the loss is of pixels."""
    counted = ~np.isin(labels, ignore)
    truth, z = labels[counted], logits[counted].astype(np.float64)
    if not truth.size:
        return 0.0
    if name == "boundary":
        return boundary_reference(labels, logits, weights, ignore)
    if name.startswith("binary"):
        return one_vs_rest_reference(name, truth, 1 / (1 + np.exp(-z)), weights[truth])
    z = z - z.max(axis=1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    if name == "lovasz_softmax":
        return lovasz_reference(truth, p, weights)
    if name in ("cross_entropy", "focal", "hard_pixels"):
        right = p[np.arange(len(truth)), truth]
        values = -np.log(right) * ((1 - right) ** 2 if name == "focal" else 1)
        w = weights[truth]
        if name == "hard_pixels":
            values, w = values[w > 0], w[w > 0]
            hardest = np.argsort(-values)[: int(np.ceil(len(values) / 4))]
            values, w = values[hardest], w[hardest]
        return (w * values).sum() / w.sum() if w.sum() else 0.0
    of_regions = {"dice": (0.5, 0.5), "tversky": (0.3, 0.7)}
    assert name in of_regions, f"give the function `reference` the formula of {name}"
    alpha, beta = of_regions[name]
    above = below = 0.0
    for c in np.unique(truth):
        t = truth == c
        tp, fp, fn = p[t, c].sum(), p[~t, c].sum(), (1 - p[t, c]).sum()
        above += weights[c] * (1 - tp / (tp + alpha * fp + beta * fn))
        below += weights[c]
    return above / below if below else 0.0


def one_vs_rest_reference(name, truth, p, w):
    """Channel by channel: each a problem of two classes, a pixel weighed by its true class."""
    if not w.sum():
        return 0.0
    values = []
    for c in range(p.shape[1]):
        t, q = truth == c, p[:, c]
        if name == "binary_cross_entropy":
            values.append((w * -np.log(np.where(t, q, 1 - q))).sum() / w.sum())
            continue
        sides = [(t, q), (~t, 1 - q)]
        dice = [1 - 2 * (w * s * r).sum() / (w * (s + r)).sum() for s, r in sides if (w * s).sum()]
        values.append(np.mean(dice))
    return np.mean(values)


def lovasz_reference(truth, p, weights):
    """Equation 9 as written: error times the difference of Jaccard losses, in sorted order."""
    above = below = 0.0
    for c in np.unique(truth):
        order = np.argsort(-np.abs((truth == c) - p[:, c]))
        t, errors = (truth == c)[order], np.abs((truth == c) - p[:, c])[order]
        wrong = np.arange(1, len(t) + 1)
        jaccard = wrong / (t.sum() + np.cumsum(~t))
        above += weights[c] * (errors * np.diff(jaccard, prepend=0)).sum()
        below += weights[c]
    return above / below if below else 0.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(6))
def test_equals_numpy_reference_with_weights_and_ignored_labels(name, seed):
    labels, logits = random_case(seed)
    rng = np.random.default_rng(100 + seed)
    weights = rng.uniform(0, 3, K) * (rng.random(K) > 0.25)
    weights[rng.integers(K)] = 1.0
    ignore = [(), (255,), (0, 255), (2,)][seed % 4]
    labels[rng.random(labels.shape) < 0.2] = 255 if 255 in ignore else labels.flat[0]
    loss = build(name, class_weights=weights.tolist(), ignore_labels=ignore)
    value = loss.call(labels, logits)
    assert value.dtype == tf.float32
    expected = [reference(name, a, b, weights, ignore) for a, b in zip(labels, logits, strict=True)]
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_plain_loss_equals_reference_and_reduces_to_the_mean_of_images(name):
    labels, logits = random_case(7)
    expected = [reference(name, a, b, np.ones(K), ()) for a, b in zip(labels, logits, strict=True)]
    np.testing.assert_allclose(build(name)(labels, logits), np.mean(expected), rtol=1e-5)
    per_image = build(name, reduction=None)(labels, logits)
    np.testing.assert_allclose(per_image, expected, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_perfect_prediction_is_zero_also_with_absent_classes(name):
    labels = np.zeros((3, 4, 4), np.int32)
    labels[1, :2] = 3
    labels[2] = np.arange(16).reshape(4, 4) % K
    np.testing.assert_allclose(build(name).call(labels, perfect_logits(labels)), 0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_wrong_pixels_of_an_absent_class_cost(name):
    labels = np.zeros((1, 4, 4), np.int32)
    labels[0, 0] = 1
    losses_by_strays = []
    for strays in range(4):
        predicted = labels.copy()
        predicted[0, 3, :strays] = 3  # class 3 is not in the truth
        # Finite certainty, so that cross-entropy is not astronomically large.
        losses_by_strays.append(float(build(name).call(labels, perfect_logits(predicted) / 20)[0]))
    assert np.all(np.diff(losses_by_strays) > 0.02)


@pytest.mark.parametrize("name", NAMES)
def test_image_without_counted_pixel_has_exactly_no_loss_and_no_gradient(name):
    labels, logits = random_case(1)
    labels[1] = 255
    logits[1, 0, 0] = np.inf  # an overflow where nothing counts
    loss = build(name, class_weights=[1, 2, 0.5, 1])
    value, grad = gradient(loss, labels, logits)
    assert np.isfinite(value)
    assert loss.call(labels, logits)[1] == 0.0
    assert np.all(grad[1] == 0.0)
    assert np.all(np.isfinite(grad[[0, 2]]))
    assert np.abs(grad[0]).max() > 1e-4
    assert np.abs(grad[2]).max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_ignored_pixels_have_no_influence(name):
    labels, logits = random_case(2)
    labels[:, 2:4, 1:5] = 255
    changed = logits.copy()
    changed[:, 2:4, 1:5] = 50.0 * np.random.default_rng(0).standard_normal((3, 2, 4, K))
    loss = build(name)
    np.testing.assert_array_equal(loss.call(labels, logits), loss.call(labels, changed))
    _, grad = gradient(loss, labels, logits)
    assert np.all(grad[labels == 255] == 0.0)
    assert np.abs(grad[labels != 255]).max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_an_image_depends_on_itself_alone(name):
    labels, logits = random_case(3, batch=4)
    labels[2, :3] = 255
    loss = build(name, class_weights=[0.2, 1, 3, 1])
    together = loss.call(labels, logits)
    alone = [loss.call(labels[i : i + 1], logits[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(4))
def test_range_and_scale_of_weights(name, seed):
    labels, logits = random_case(20 + seed, scale=[0.1, 3, 30, 200][seed])
    weights = np.random.default_rng(seed).uniform(0, 5, K)
    value = build(name, class_weights=weights.tolist()).call(labels, logits).numpy()
    assert np.all(value >= 0)
    if name in ("dice", "lovasz_softmax", "tversky"):
        assert np.all(value <= 1 + 1e-6)
    for scale in (1e-60, 1e60):  # outside float32
        scaled = build(name, class_weights=(weights * scale).tolist()).call(labels, logits)
        np.testing.assert_allclose(scaled, value, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_of_one_class_has_the_same_loss_whatever_its_weight(name):
    labels, logits = random_case(30)
    labels[:] = 1
    expected = build(name).call(labels, logits)
    for weight in (1e-9, 1e9):
        value = build(name, class_weights=[1, weight, 1, 1]).call(labels, logits)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_array_equal(build(name, class_weights=[1, 0, 1, 1]).call(labels, logits), 0)


@pytest.mark.parametrize("name", NAMES)
def test_float16_at_512_is_finite_and_equals_float64(name):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, K, (1, 512, 512)).astype(np.uint8)
    logits = (4 * rng.standard_normal((1, 512, 512, K))).astype(np.float16)
    value, grad = gradient(build(name), labels, logits)
    expected = reference(name, labels[0].astype(int), logits[0], np.ones(K), ())
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    assert np.isfinite(grad).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("label", [K, -1, 254, 1.5])
def test_label_that_is_neither_class_nor_ignored_is_nan_without_gradient(name, label):
    labels, logits = random_case(4)
    labels = labels.astype(np.float32)
    labels[1, 2, 3] = label
    loss = build(name)
    value = loss.call(labels, logits).numpy()
    assert np.isnan(value[1])
    assert np.isfinite(value[[0, 2]]).all()
    _, grad = gradient(loss, labels, logits)
    assert np.isfinite(grad).all()
    assert np.all(grad[1] == 0)
    assert np.abs(grad[0]).max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "channel"])
def test_label_dtypes_and_channel_axis(name, dtype):
    labels, logits = random_case(5)
    labels[0, 0, 0] = 255
    expected = build(name).call(labels, logits)
    given = labels[..., None] if dtype == "channel" else labels.astype(dtype)
    np.testing.assert_array_equal(build(name).call(given, logits), expected)


@pytest.mark.parametrize("name", NAMES)
def test_graph_with_unknown_sizes_equals_eager(name):
    labels, logits = random_case(6)
    loss = build(name, class_weights=[1, 2, 3, 4])
    step = tf.function(
        loss.call,
        input_signature=[
            tf.TensorSpec([None, None, None], tf.int64),
            tf.TensorSpec([None, None, None, K], tf.float32),
        ],
    )
    np.testing.assert_allclose(step(labels, logits), loss.call(labels, logits), rtol=1e-6)


@pytest.mark.parametrize("name", ["hard_pixels", "lovasz_softmax"])
def test_xla_gives_value_and_gradient_where_pixels_are_sorted(name):
    labels, logits = random_case(6)
    labels[0, 2:4] = 255
    loss = build(name, class_weights=[1, 2, 3, 4])

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


@pytest.mark.parametrize("name", NAMES)
def test_gradient_descent_from_an_undecided_start_reaches_zero(name):
    labels, logits = random_case(8, batch=1, scale=0.1)
    loss = build(name, class_weights=[1, 1, 2, 1])
    first, _ = gradient(loss, labels, logits)
    rate = 30.0 * (K if name.startswith("binary") else 1)  # a mean over channels, too

    @tf.function
    def descend(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            value = tf.reduce_sum(loss.call(labels, logits))
        return value, logits - rate * tape.gradient(value, logits)

    logits = tf.constant(logits)
    for _ in range(60):
        value, logits = descend(logits)
    assert value < 0.1 * first


OWN = {  # values of the arguments that one loss alone has, other than their defaults
    "boundary": {"unit": "diagonal"},
    "binary_cross_entropy": {"positive_weight": [1.0, 2.0, 0.5, 3.0]},
    "cross_entropy": {"label_smoothing": 0.1},
    "focal": {"gamma": 1.5},
    "hard_pixels": {"keep": 0.5, "minimum": 3, "threshold": 0.7},
    "lovasz_softmax": {"classes": "all"},
    "tversky": {"alpha": 0.2, "beta": 0.9},
}


@pytest.mark.parametrize("name", NAMES)
def test_config_round_trip(name):
    kwargs = OWN.get(name, {})
    common = {"class_weights": [1.0, 0.0, 2.0, 3.0], "ignore_labels": [0, 255], "name": "mine"}
    own = inspect.signature(losses.LOSSES[name]).parameters.keys() - common.keys()
    assert own - {"reduction", "dtype"} == kwargs.keys(), f"give the arguments of {name} to OWN"
    loss = losses.LOSSES[name](**common, **kwargs, reduction="sum", dtype="float32")
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(copy) is type(loss)
    assert copy.get_config() == loss.get_config()
    assert loss.get_config().items() >= {**common, **kwargs, "reduction": "sum"}.items()
    labels, logits = random_case(9)
    np.testing.assert_array_equal(copy(labels, logits), loss(labels, logits))


def test_cross_entropy_equals_keras():
    labels, logits = random_case(10)
    expected = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    np.testing.assert_allclose(build("cross_entropy")(labels, logits), expected, rtol=1e-6)


def test_label_smoothing_equals_keras():
    labels, logits = random_case(11)
    keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    ours = build("cross_entropy", label_smoothing=0.2)(labels, logits)
    np.testing.assert_allclose(ours, keras_loss(np.eye(K)[labels], logits), rtol=1e-5)


@pytest.mark.parametrize("ignore", [(255,), (0, 255)])
def test_smoothed_pixels_weigh_as_their_class_and_share_with_all_classes(ignore):
    """Keras gives each pixel's loss; ignored labels and weights act as without smoothing."""
    labels, logits = random_case(14)
    labels[:, 1] = 255
    weights = np.array([3.0, 0.5, 0.0, 1.0])
    of_pixels = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.3, reduction=None
    )(np.eye(K)[np.minimum(labels, K - 1)], logits).numpy()
    w = np.append(weights, 0)[np.minimum(labels, K)] * ~np.isin(labels, ignore)
    total = w.sum((1, 2))
    expected = (w * of_pixels).sum((1, 2)) / np.where(total, total, 1)
    assert (expected > 0.1).any()
    loss = build(
        "cross_entropy", label_smoothing=0.3, class_weights=weights.tolist(), ignore_labels=ignore
    )
    np.testing.assert_allclose(loss.call(labels, logits), expected, rtol=1e-5)
    _, grad = gradient(loss, labels, logits)
    assert np.all(grad[w == 0] == 0)
    assert np.all(np.abs(grad[w > 0]).max(-1) > 0)


def test_smoothing_has_its_minimum_at_the_smoothed_target():
    target = np.full(K, 0.2 / K) + 0.8 * np.eye(K)[1]
    logits = np.log(target).astype(np.float32)[None, None, None]
    loss = build("cross_entropy", label_smoothing=0.2)
    value, grad = gradient(loss, np.ones((1, 1, 1), np.int32), logits)
    np.testing.assert_allclose(grad, 0, atol=1e-6)
    np.testing.assert_allclose(value, -(target * np.log(target)).sum(), rtol=1e-5)


def test_focal_at_gamma_zero_is_cross_entropy_and_small_gamma_has_finite_gradient():
    labels, logits = random_case(12)
    expected = build("cross_entropy").call(labels, logits)
    np.testing.assert_allclose(build("focal", gamma=0).call(labels, logits), expected, rtol=1e-6)
    for gamma in (0, 0.5, 1, 2):
        _, grad = gradient(build("focal", gamma=gamma), labels, perfect_logits(labels))
        assert np.isfinite(grad).all()


def test_tversky_at_one_half_is_dice_and_beta_prices_misses():
    labels, logits = random_case(13)
    half = build("tversky", alpha=0.5, beta=0.5).call(labels, logits)
    np.testing.assert_array_equal(half, build("dice").call(labels, logits))
    labels = np.zeros((1, 4, 4), np.int32)
    labels[0, :2] = 1
    missed = labels.copy()
    missed[0, 1] = 0
    only_foreground = {"class_weights": [0, 1]}
    for beta in (0.1, 0.5, 0.9):
        loss = build("tversky", alpha=1 - beta, beta=beta, **only_foreground)
        cost = loss.call(labels, perfect_logits(missed, 2))[0]
        np.testing.assert_allclose(cost, beta * 4 / (4 + beta * 4), rtol=1e-5)
