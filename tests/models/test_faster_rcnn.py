"""Faster R-CNN: what it gives to losses and to predictions, whatever a batch holds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.detection.references import greedy, random_boxes
from tfvision.detection.boxes import decode
from tfvision.errors import InputError
from tfvision.losses import CLASS_TERMS, DETECTION_LOSSES
from tfvision.models import DETECTORS
from tfvision.models.detector import DetectionSettings
from tfvision.models.faster_rcnn import CODER
from tfvision.registry import Spec

K = 3
SMALL = {
    "backbone": {"name": "slim_resnet", "width": 8},
    "channels": 8,
    "units": 8,
    "levels": [3, 4],
    "sampled": 16,
    "max_detections": 20,
    "proposals": 12,
    "test_proposals": 10,
    "proposals_before_nms": 30,
}


def small(shape=(48, 64, 1), **arguments):
    keras.utils.set_random_seed(0)
    return DETECTORS["faster_rcnn"](shape, K, **{**SMALL, **arguments})


@pytest.fixture(scope="module")
def model():
    return small((None, None, 1))


def batch_of(counts=(3, 1, 0, 5), size=(48, 64), seed=0):
    rng = np.random.default_rng(seed)
    boxes, classes = np.zeros((len(counts), 5, 4), "f4"), np.full((len(counts), 5), -1, "i4")
    for i, count in enumerate(counts):
        boxes[i, :count] = random_boxes(rng, (count,), size=30, least=8, most=20)
        classes[i, :count] = rng.integers(0, K, count)
    return {
        "image": tf.constant(rng.random((len(counts), *size, 1)), tf.float32),
        "boxes": tf.constant(boxes),
        "classes": tf.constant(classes),
        "seed": tf.constant(rng.integers(0, 2**31, (len(counts), 2)), tf.int32),
    }


TERMS = {name: DETECTION_LOSSES.build(Spec(name=name)) for name in DETECTION_LOSSES}


def losses(model, batch):
    heads = model.training_outputs(batch, True)
    return {
        (head, name): term(matched)
        for head, matched in heads.items()
        for name, term in TERMS.items()
    }


def gradients(model, batch, names=tuple(TERMS)):
    with tf.GradientTape() as tape:
        found = losses(model, batch)
        value = tf.add_n([tf.reduce_sum(v) for (_, name), v in found.items() if name in names])
    return value, tape.gradient(value, [v.value for v in model.trainable_variables])


def test_what_the_heads_are_given(model):
    batch = batch_of()
    heads = model.training_outputs(batch)
    rpn, head = heads["rpn"], heads["head"]
    assert list(heads) == ["rpn", "head"]
    assert (rpn.kind, rpn.background, rpn.logits.shape) == ("sigmoid", 1, (4, 256, 1))
    assert (head.kind, head.background, head.logits.shape) == ("softmax", K, (4, 16, K + 1))
    for matched, most in ((rpn, 128), (head, 4)):
        assert (matched.positive.numpy().sum(1) <= most).all()
        # Every image has 96 + 24 places of anchors, enough for its samples or all that there are.
        np.testing.assert_array_equal(matched.normaliser, matched.weights.numpy().sum(1))
        assert matched.deltas.shape == matched.boxes.shape == (*matched.labels.shape, 4)
    # Annotated boxes are proposals: an image with boxes has positives from the first step on.
    assert (head.positive.numpy().sum(1) > 0).tolist() == [True, True, False, True]
    assert (rpn.positive.numpy().sum(1) > 0).tolist() == [True, True, False, True]
    positive = head.positive.numpy() > 0
    truths = {tuple(b) for b in batch["boxes"].numpy().reshape(-1, 4)}
    assert {tuple(t) for t in head.truths.numpy()[positive]} <= truths


def test_one_pass_through_the_backbone(model, monkeypatch):
    passes, run = [], model.features.call

    def counted(images, **options):
        passes.append(images)
        return run(images, **options)

    monkeypatch.setattr(model.features, "call", counted)
    model.training_outputs(batch_of())
    assert len(passes) == 1


def test_parts_of_a_batch_have_the_losses_of_the_whole(model):
    """Trap: terms normalised over a batch differ between replicas and with accumulation."""
    batch = batch_of()
    whole = losses(model, batch)
    for part in (slice(0, 1), slice(1, 4)):
        for key, value in losses(model, {k: v[part] for k, v in batch.items()}).items():
            np.testing.assert_allclose(value, whole[key][part], rtol=1e-4, atol=1e-5, err_msg=key)


def test_a_batch_without_boxes_teaches_classes_alone(model):
    batch = batch_of((0, 0))
    found = losses(model, batch)
    for (_, name), value in found.items():
        assert (value.numpy() > 0).all() if name in CLASS_TERMS else not value.numpy().any()
    _, learnt = gradients(model, batch)
    by_name = dict(zip([v.path for v in model.trainable_variables], learnt, strict=True))
    for word in ("rpn_logits", "box_logits", "stem_1_conv"):
        one = next(g for path, g in by_name.items() if word in path and "kernel" in path)
        assert tf.reduce_sum(tf.abs(one)) > 0


def test_no_nan_whatever_proposals_become():
    model = small()
    for name in ("rpn_deltas", "rpn_logits"):
        kernel = model.rpn.get_layer(name).kernel
        kernel.assign(np.random.default_rng(0).normal(0, 1e3, kernel.shape))
    batch = batch_of()
    # Boxes that a source should not give: without area, turned over, beyond the image.
    boxes = batch["boxes"].numpy()
    boxes[0, :3] = [[5, 5, 5, 20], [30, 30, 10, 10], [60, 40, 900, 900]]
    value, found = gradients(model, {**batch, "boxes": tf.constant(boxes)})
    assert np.isfinite(value)
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in found)


def test_one_trace_whatever_batches_hold(model):
    traces = []

    @tf.function(autograph=False)
    def step(batch):
        traces.append(1)
        return tf.add_n([tf.reduce_sum(v) for v in losses(model, batch).values()])

    for counts in ((3, 1, 0, 5), (0, 0, 0, 0), (5, 5, 5, 5)):
        assert np.isfinite(step(batch_of(counts)))
    assert len(traces) == 1


@pytest.mark.parametrize("size", [(48, 64), (16, 32), (80, 48)])
def test_detections_of_any_size(model, size):
    images = tf.random.stateless_uniform((2, *size, 1), [1, 2])
    outputs = model(images)
    assert [x.shape for x in outputs] == [(2, 10, K + 1), (2, 10, K, 4), (2, 10, 4), (2, 10)]
    found = model.detections(outputs, (size[0] - 5, size[1] - 9), score_threshold=0.0)
    assert [found[k].shape for k in ("boxes", "scores", "classes")] == [
        (2, 20, 4),
        (2, 20),
        (2, 20),
    ]
    boxes, scores, classes = (found[k].numpy() for k in ("boxes", "scores", "classes"))
    assert (boxes >= 0).all()
    assert (boxes <= [size[1] - 9, size[0] - 5] * 2).all()
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_array_equal(classes == -1, scores == 0)
    assert (classes >= 0).any()


def test_detections_are_decoded_clipped_and_suppressed(model):
    rng = np.random.default_rng(3)
    proposals = random_boxes(rng, (1, 10), size=40)
    proposals[0, -1] = 0
    objectness = np.linspace(0.9, 0.0, 10, dtype="f4")[None]  # the last is padding
    logits = (3 * rng.normal(size=(1, 10, K + 1))).astype("f4")
    logits[0, -1] = [90, 0, 0, 0]
    deltas = rng.normal(size=(1, 10, K, 4)).astype("f4")
    deltas[0, 0, 0] = [-1e3, 0, 0, 0]  # ends outside, without area

    found = model.detections([logits, deltas, proposals, objectness], (40, 45), nms=0.3)
    p = np.exp(logits[0, :-1]) / np.exp(logits[0, :-1]).sum(-1, keepdims=True)
    boxes = decode(deltas, proposals[:, :, None], CODER)[0, :-1].numpy()
    boxes = np.clip(boxes, 0, [45, 40, 45, 40]).reshape(-1, 4)
    scores = np.where((boxes[:, 2:] - boxes[:, :2]).min(1) >= 0.01, p[:, :K].ravel(), 0)
    classes = np.tile(np.arange(K), 9)
    kept = greedy(boxes, scores, classes, 0.3, 0.05, 20)
    assert len(kept) > 3
    np.testing.assert_allclose(found["boxes"][0, : len(kept)], boxes[kept], atol=1e-4)
    np.testing.assert_allclose(found["scores"][0, : len(kept)], scores[kept], rtol=1e-5)
    np.testing.assert_array_equal(found["classes"][0, : len(kept)], classes[kept])
    assert (found["classes"].numpy()[0, len(kept) :] == -1).all()


def test_version_2_without_boxes_of_classes_and_with_a_level_for_the_rpn_alone():
    model = small(
        (64, 64, 1), version=2, class_agnostic=True, levels=[4, 5, 6], normalization="batch"
    )
    assert model.stride == 32
    names = {layer.name for layer in (*model.rpn.layers, *model.box_head.layers)}
    assert {"rpn_conv_2", "box_4_norm", "box_dense_1"} <= names
    assert "box_dense_2" not in names
    outputs = model(tf.zeros((1, 64, 64, 1)))
    assert outputs[1].shape == (1, 10, 1, 4)
    assert model.detections(outputs, (64, 64))["boxes"].shape == (1, 20, 4)
    head = model.training_outputs(batch_of(size=(64, 64)))["head"]
    assert head.deltas.shape == (4, 16, 4)


def test_mixed_precision_keeps_boxes_and_logits_in_float32():
    """Traps: layers after float32 logits that make them halves again; anchors off by pixels."""
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = small()
    finally:
        keras.mixed_precision.set_dtype_policy("float32")
    batch = batch_of()
    assert model.features(batch["image"])[0].dtype == tf.bfloat16
    for matched in model.training_outputs(batch).values():
        for name in ("logits", "deltas", "boxes", "truths", "weights"):
            assert getattr(matched, name).dtype == tf.float32
    outputs = model(batch["image"])
    assert {x.dtype for x in outputs} == {tf.float32}
    value, found = gradients(model, batch)
    assert np.isfinite(value)
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"version": 3}, "version must be 1 or 2. Received: 3"),
        ({"levels": [3, 5]}, "levels must follow one another"),
        ({"anchor_sizes": [[8]]}, "anchor_sizes must have one entry for each of the 2 levels"),
        ({"anchor_sizes": [[8], [8, 9]]}, "Every level must have as many anchors .* 3, 6"),
        ({"sampled": 0}, "sampled must be a whole number of at least 1"),
        ({"positive_share": 0}, "positive_share must be above 0"),
        ({"nms": 1.5}, r"nms must be in \[0, 1\]"),
        ({"max_detections": 0}, "max_detections must be a whole number"),
    ],
)
def test_impossible_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        small(**arguments)


def test_settings_may_be_replaced_at_prediction():
    settings = DetectionSettings()
    assert (settings.score_threshold, settings.nms, settings.max_detections) == (0.05, 0.5, 100)
    with pytest.raises(TypeError, match="scores"):
        small().detections([], (8, 8), scores=0.5)


@pytest.mark.slow
def test_xla_gives_the_same_losses_and_gradients():
    model, batch = small(), batch_of()
    value, found = gradients(model, batch)
    model.xla = True
    compiled = tf.function(lambda b: gradients(model, b), jit_compile=True, autograph=False)
    again, others = compiled(batch)
    np.testing.assert_allclose(again, value, rtol=1e-5)
    for one, other in zip(found, others, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-3)


def test_one_graph_serves_every_size_and_number_of_images(model):
    signature = tf.TensorSpec([None, None, None, 1], tf.float32)

    @tf.function(input_signature=[signature], autograph=False)
    def predict(images):
        return model.detections(model(images), tf.shape(images)[1:3], score_threshold=0.0)

    for count, size in ((1, (32, 48)), (3, (16, 16))):
        images = tf.random.stateless_uniform((count, *size, 1), [count, 5])
        expected = model.detections(model(images), size, score_threshold=0.0)
        for key, value in predict(images).items():
            np.testing.assert_allclose(value, expected[key], atol=1e-3, err_msg=key)
