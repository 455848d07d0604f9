"""Terms of a detector's loss against their formulas, one anchor at a time."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.detection.references import ciou, overlap, random_boxes
from tfvision.detection.boxes import decode, encode
from tfvision.detection.matched import Matched
from tfvision.errors import InputError
from tfvision.losses import CLASS_TERMS, DETECTION_LOSSES
from tfvision.registry import Spec

K = 3
BOX_TERMS = sorted(set(DETECTION_LOSSES) - CLASS_TERMS)


def term(name, **arguments):
    return DETECTION_LOSSES.build(Spec(name=name, **arguments))


def matched(kind="softmax", seed=0, batch=3, count=12, positives=True) -> Matched:
    """Random outputs; a few are ignored, more than half are background."""
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 1, 2, K, K, K, -1] if positives else [K, -1], (batch, count))
    found = (labels >= 0) & (labels < K)
    truths = np.where(found[..., None], random_boxes(rng, (batch, count)), [0, 0, 1, 1])
    references = truths + np.where(found[..., None], rng.normal(0, 2, truths.shape), 0)
    deltas = tf.constant(rng.normal(0, 0.2, truths.shape), tf.float32)
    positive = found.astype("f4")
    references = references.astype("f4")
    return Matched(
        logits=tf.constant(
            2 * rng.normal(size=(batch, count, K + (kind == "softmax"))), tf.float32
        ),
        labels=tf.constant(labels, tf.int32),
        weights=tf.constant(labels >= 0, tf.float32),
        deltas=deltas,
        target_deltas=encode(tf.constant(truths, tf.float32), references) * positive[..., None],
        boxes=decode(deltas, references),
        truths=tf.constant(truths, tf.float32),
        positive=tf.constant(positive),
        normaliser=tf.constant(np.maximum(positive.sum(1), 1)),
        background=K,
        kind=kind,
    )


def entropies(m: Matched, row, column, gamma=0.0, alpha=None) -> float:
    """Cross-entropy of one anchor, or its focal form."""
    z, label = m.logits[row, column].numpy().astype("f8"), int(m.labels[row, column])
    if m.kind == "softmax":
        p = np.exp(z[label]) / np.exp(z).sum()
        weight = 1 if alpha is None else (alpha if label < K else 1 - alpha)
        return weight * (1 - p) ** gamma * -math.log(p)
    total = 0.0
    for k in range(K):
        p = 1 / (1 + np.exp(-z[k])) if k == label else 1 / (1 + np.exp(z[k]))
        weight = 1 if alpha is None else (alpha if k == label else 1 - alpha)
        total += weight * (1 - p) ** gamma * -math.log(p)
    return total


def by_image(m: Matched, value) -> list[float]:
    """Sum of `value(row, column)` over what counts, divided by the normaliser."""
    batch, count = m.labels.shape
    return [
        sum(value(i, j) for j in range(count) if m.labels[i, j] >= 0) / float(m.normaliser[i])
        for i in range(batch)
    ]


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_class_terms_are_their_formulas(kind):
    m = matched(kind)
    np.testing.assert_allclose(
        term("cross_entropy")(m), by_image(m, lambda i, j: entropies(m, i, j)), rtol=1e-5
    )
    np.testing.assert_allclose(
        term("focal", alpha=0.3, gamma=1.5)(m),
        by_image(m, lambda i, j: entropies(m, i, j, 1.5, 0.3)),
        rtol=1e-5,
    )


def smooth(x, beta):
    return np.where(np.abs(x) < beta, x**2 / (2 * beta), np.abs(x) - beta / 2)


def giou(a, b):
    area = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    iou = overlap(a, b)
    union = sum(area) / (1 + iou)  # iou = common / union and common + union = both areas
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return 1 - iou + (hull - union) / hull


def diou(a, b):
    hull = np.array([max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])])
    apart = (a[:2] + a[2:] - b[:2] - b[2:]) / 2
    return 1 - overlap(a, b) + (apart**2).sum() / (hull**2).sum()


@pytest.mark.parametrize("name", BOX_TERMS)
def test_box_terms_are_their_formulas(name):
    m = matched()

    def value(i, j):
        if not m.positive[i, j]:
            return 0.0
        if name == "smooth_l1":
            away = (m.deltas - m.target_deltas)[i, j].numpy().astype("f8")
            return smooth(away, 0.2).sum()
        pair = m.boxes[i, j].numpy().astype("f8"), m.truths[i, j].numpy().astype("f8")
        return {"giou": giou, "diou": diou, "ciou": ciou}[name](*pair)

    found = term(name, **({"beta": 0.2} if name == "smooth_l1" else {}))(m)
    np.testing.assert_allclose(found, by_image(m, value), rtol=1e-4)


def test_smooth_l1_without_a_quadratic_part_is_l1():
    m = matched()
    away = tf.reduce_sum(tf.abs(m.deltas - m.target_deltas), -1) * m.positive
    np.testing.assert_allclose(
        term("smooth_l1", beta=0)(m), tf.reduce_sum(away, 1) / m.normaliser, rtol=1e-6
    )


def test_giou_diou_ciou_at_known_places():
    from tfvision.detection.box_losses import ciou_loss, diou_loss, giou_loss

    truth = np.float32([0, 0, 2, 2])
    apart, tall = np.float32([4, 0, 6, 2]), np.float32([0, -1, 2, 3])
    for loss in (giou_loss, diou_loss, ciou_loss):
        np.testing.assert_allclose(loss(truth, truth), 0, atol=1e-6)
    np.testing.assert_allclose(giou_loss(apart, truth), 1 + 4 / 12, rtol=1e-6)
    np.testing.assert_allclose(diou_loss(apart, truth), 1 + 16 / 40, rtol=1e-6)
    # The same centre and half of the area: what CIoU adds to 1 - IoU is the aspect alone, which
    # keras-cv divides by pi^2 / 4 twice.
    aspect = 4 / math.pi**2 * (math.atan(1) - math.atan(0.5)) ** 2
    np.testing.assert_allclose(diou_loss(tall, truth), 0.5, rtol=1e-6)
    np.testing.assert_allclose(ciou_loss(tall, truth), 0.5 + aspect**2 / (0.5 + aspect), rtol=1e-5)


@pytest.mark.parametrize("name", ["giou", "diou", "ciou"])
def test_gradients_are_those_of_finite_differences(name):
    from tfvision.detection import box_losses

    loss = getattr(box_losses, f"{name}_loss")
    truth = tf.constant([[10.0, 10, 30, 50]] * 3)
    start = np.float32([[12, 13, 29, 40], [60, 60, 70, 90], [5, 20, 45, 36]])  # one is apart
    box = tf.Variable(start)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loss(box, truth))
    found = tape.gradient(value, box).numpy()
    reference = {"giou": giou, "diou": diou, "ciou": ciou}[name]
    for i in range(3):
        share = None
        if name == "ciou":  # the trade-off is held still
            aspect = reference(start[i], truth[i].numpy()) - diou(start[i], truth[i].numpy())
            angle = [math.atan((b[2] - b[0]) / (b[3] - b[1])) for b in (start[i], truth[i].numpy())]
            square = 4 / math.pi**2 * (angle[0] - angle[1]) ** 2
            share = aspect / square

        def held(b, i=i, share=share):
            if share is None:
                return reference(b, truth[i].numpy())
            angle = [math.atan((c[2] - c[0]) / (c[3] - c[1])) for c in (b, truth[i].numpy())]
            square = 4 / math.pi**2 * (angle[0] - angle[1]) ** 2
            return diou(b, truth[i].numpy()) + share * square

        for k in range(4):
            step = np.zeros(4)
            step[k] = 1e-4
            numeric = (held(start[i] + step) - held(start[i] - step)) / 2e-4
            np.testing.assert_allclose(found[i, k], numeric, rtol=2e-3, atol=2e-5)
    assert np.abs(found).sum(1).min() > 1e-3  # boxes that do not overlap are taught, too


def test_ciou_s_aspect_moves_a_box_that_diou_leaves_alone():
    from tfvision.detection.box_losses import ciou_loss, diou_loss

    truth = tf.constant([[0.0, 0, 40, 40]])
    gradients = []
    for loss in (diou_loss, ciou_loss):
        box = tf.Variable([[10.0, 15, 30, 25]])  # inside, the same centre, twice as wide as high
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(loss(box, truth))
        gradients.append(tape.gradient(value, box).numpy())
    assert np.abs(gradients[0] - gradients[1]).max() > 1e-4


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_hard_negatives_are_those_of_the_highest_loss(kind):
    m = matched(kind)
    expected = []
    for i in range(3):
        losses = [entropies(m, i, j) for j in range(12)]
        labels = m.labels[i].numpy()
        positives = [x for x, label in zip(losses, labels, strict=True) if 0 <= label < K]
        free = sorted((x for x, y in zip(losses, labels, strict=True) if y == K), reverse=True)
        most = 2 * max(len(positives), 1)
        expected.append((sum(positives) + sum(free[:most])) / max(len(positives), 1))
    found = term("cross_entropy", hard_negatives=2)(m)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
@pytest.mark.parametrize("name", sorted(DETECTION_LOSSES))
def test_images_without_boxes_teach_classes_alone(name, kind):
    m = matched(kind, positives=False)
    options = [{}, {"hard_negatives": 3}] if name == "cross_entropy" else [{}]
    for arguments in options:
        with tf.GradientTape() as tape:
            tape.watch([m.logits, m.deltas])
            value = tf.reduce_sum(term(name, **arguments)(m))
        learns = tape.gradient(value, m.logits)
        if name in CLASS_TERMS:
            assert value > 0
            assert tf.reduce_sum(tf.abs(learns)) > 0
        else:
            assert value == 0
            assert learns is None


@pytest.mark.parametrize("name", sorted(DETECTION_LOSSES))
def test_an_image_s_value_depends_on_that_image_alone(name):
    m = matched("sigmoid")
    whole = term(name)(m)
    assert whole.shape == (3,)
    assert whole.dtype == tf.float32
    fields = {key: value for key, value in vars(m).items() if isinstance(value, tf.Tensor)}
    for part in (slice(0, 1), slice(1, 3)):
        cut = Matched(**{k: v[part] for k, v in fields.items()}, background=K, kind="sigmoid")
        np.testing.assert_allclose(term(name)(cut), whole[part], rtol=1e-6)


@pytest.mark.parametrize("name", sorted(CLASS_TERMS))
def test_certain_logits_have_finite_gradients(name):
    logits = tf.constant([[[60.0, -60, 0], [-60, -60, -60], [-60, 60, 60]]])
    labels = tf.constant([[0, 0, K]])
    ones, boxes = tf.ones((1, 3)), tf.zeros((1, 3, 4))
    m = Matched(logits, labels, ones, boxes, boxes, boxes, boxes, ones, tf.ones(1), K, "sigmoid")
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = tf.reduce_sum(term(name, **({"gamma": 0.5} if name == "focal" else {}))(m))
    assert np.isfinite(tape.gradient(value, logits)).all()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("cross_entropy", {"hard_negatives": -1}, "hard_negatives must be at least 0"),
        ("focal", {"alpha": 2}, r"alpha in \[0, 1\]"),
        ("focal", {"gamma": -1}, "gamma of at least 0"),
        ("smooth_l1", {"beta": -0.1}, "beta of smooth_l1 must be at least 0"),
        ("giou", {"beta": 1}, "Unknown argument of loss `giou`"),
    ],
)
def test_impossible_arguments(name, arguments, message):
    with pytest.raises(InputError, match=message):
        term(name, **arguments)
