"""RetinaNet and SSD: what their nets give, what it is matched with, what is detected."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models.wiring import inputs_of, noise
from tfvision.detection.boxes import decode
from tfvision.errors import InputError
from tfvision.losses.detection import cross_entropy, focal, smooth_l1
from tfvision.models import DETECTORS, RetinaNet
from tfvision.models.ssd import CODER, SSD, match_default_boxes

SMALL = {
    "retinanet": {"backbone": "slim_resnet(width=4)", "channels": 8, "head_depth": 1},
    "ssd": {"backbone": "slim_resnet(width=4)", "pyramid": 8, "extras": [[8, 2]]},
}
NAMES = list(SMALL)
SIZE, CLASSES = (64, 96), 3
SSD300 = {
    "backbone": "vgg16(normalization='none')",
    "levels": [3, 4],
    "pyramid": None,
    "l2_scale": 20,
    "extras": [[512, 2], [256, 2], [256, 1], [256, 1]],
    "normalization": "none",
    "anchor_sizes": [21, 45, 99, 153, 207, 261, 315],
    "anchor_steps": [8, 16, 32, 64, 100, 300],
    "ratios": [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
    "longest": 300,
}


def make(name, size=SIZE, channels=1, **arguments):
    return DETECTORS[name]((*size, channels), CLASSES, **{**SMALL[name], **arguments})


def batch_of(boxes, classes, size=SIZE):
    """One image a row of `boxes`, padded to the longest."""
    most = max(map(len, boxes), default=0)
    padded = np.zeros((len(boxes), most, 4), np.float32)
    labels = np.full((len(boxes), most), -1, np.int32)
    for i, (rows, names) in enumerate(zip(boxes, classes, strict=True)):
        padded[i, : len(rows)] = np.reshape(rows, (-1, 4))
        labels[i, : len(rows)] = names
    return {
        "image": tf.constant(noise(len(boxes), *size, 1)),
        "boxes": tf.constant(padded),
        "classes": tf.constant(labels),
        "seed": tf.zeros((len(boxes), 2), tf.int32),
    }


BATCH = [[10, 8, 40, 36], [50, 20, 66, 52]], []


def batch_of_two():
    """One image with two boxes, one with none."""
    return batch_of(BATCH, [[2, 0], []])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_outputs_are_float32_under_any_policy(name, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = make(name)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.stride == 32
    outputs = model(noise(2, *SIZE, 1))
    assert {x.dtype for x in outputs} == {tf.float32}
    found = model.detections(outputs, [60, 90])
    most = model.settings.max_detections
    assert found["boxes"].shape == (2, most, 4)
    assert (found["boxes"].dtype, found["scores"].dtype) == (tf.float32, tf.float32)
    assert found["classes"].dtype == tf.int32
    head = model.training_outputs(batch_of_two())["head"]
    assert {head.logits.dtype, head.deltas.dtype, head.boxes.dtype} == {tf.float32}


@pytest.mark.parametrize("name", NAMES)
def test_open_size_detects_what_the_fixed_size_does(name):
    fixed, opened = make(name), make(name, size=(None, None))
    opened.set_weights(fixed.get_weights())
    for x in fixed.variables:  # away from the even scores of the start
        if x.path.endswith("_last/bias"):
            x.assign(np.random.default_rng(0).normal(-2, 2, x.shape))
    opened.set_weights(fixed.get_weights())
    images = noise(2, *SIZE, 1)
    graph = tf.function(
        lambda x, size: opened.detections(opened(x), size),
        input_signature=[tf.TensorSpec((None, None, None, 1)), tf.TensorSpec((2,), tf.int32)],
        autograph=False,
    )
    found, wanted = graph(images, [60, 90]), fixed.detections(fixed(images), [60, 90])
    for key in found:
        np.testing.assert_allclose(found[key], wanted[key], rtol=1e-4, atol=1e-4)
    assert np.all(found["boxes"][..., 2:] <= [90, 60])


@pytest.mark.parametrize("name", NAMES)
def test_all_weights_are_variables_and_come_back(name, tmp_path):
    model, other = make(name), make(name)
    model.save_weights(tmp_path / "x.weights.h5")
    other.load_weights(tmp_path / "x.weights.h5")
    images = noise(1, *SIZE, 1)
    for found, wanted in zip(other(images), model(images), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert len(model.variables) == len(model.net.variables)
    paths = [x.path for x in model.variables]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(("name", "term"), [("retinanet", focal()), ("ssd", cross_entropy())])
@pytest.mark.parametrize("boxes", [BATCH, ([], [])])
def test_gradients_are_finite_also_without_boxes(name, term, boxes):
    model = make(name)
    batch = batch_of(boxes, [[2, 0][: len(rows)] for rows in boxes])
    with tf.GradientTape() as tape:
        head = model.training_outputs(batch)["head"]
        classes, moves = term(head), smooth_l1()(head)
        loss = tf.reduce_sum(classes + moves)
    gradients = tape.gradient(loss, model.trainable_variables)
    assert all(np.isfinite(g).all() for g in gradients if g is not None)
    assert np.all(classes > 0)  # background teaches
    assert np.array_equal(moves > 0, [len(rows) > 0 for rows in boxes])


@pytest.mark.parametrize("name", NAMES)
def test_logits_and_deltas_stand_at_the_anchor_of_their_place(name):
    """One anchor speaks: level 1, row 2, column 3, the second box of its place, class 1."""
    model = make(name)
    outputs = [np.full(x.shape, -20, np.float32) for x in model(noise(1, *SIZE, 1))]
    levels = len(outputs) // 2
    columns = outputs[0].shape[-1] // len(model.anchors.shapes[0])
    for i in range(levels):
        if columns > CLASSES:
            outputs[i][..., CLASSES::columns] = 20  # background
        outputs[levels + i][:] = 0
    outputs[1][0, 2, 3, columns : 2 * columns] = [-20, 20, -20, -20][:columns]
    outputs[levels + 1][0, 2, 3, 4:8] = np.multiply([0.5, 0, 0, 0], model._coder)
    found = model.detections([tf.constant(x) for x in outputs], [1000, 1000])
    height, width = model.anchors.shapes[1][1]
    x, y = 3.5 * 16 + width / 2, 2.5 * 16
    box = np.maximum([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 0)
    np.testing.assert_allclose(found["boxes"][0, 0], box, rtol=1e-5)
    assert found["classes"].numpy()[0, :2].tolist() == [1, -1]
    assert float(found["scores"][0, 0]) == pytest.approx(1)


@pytest.mark.parametrize("name", NAMES)
def test_an_anchor_that_is_a_box_is_matched_with_it_and_needs_no_move(name):
    model = make(name)
    sizes = [(8 // 2**i, 12 // 2**i) for i in range(len(model.anchors.strides))]
    anchors = np.concatenate(model.anchors.of(sizes))
    row = len(anchors) // 3
    head = model.training_outputs(batch_of([[anchors[row]]], [[1]]))["head"]
    assert head.labels[0, row] == 1
    assert head.positive[0, row] == 1
    np.testing.assert_allclose(head.target_deltas[0, row], np.zeros(4), atol=1e-5)
    np.testing.assert_allclose(head.truths[0, row], anchors[row], rtol=1e-6)
    assert head.background == CLASSES
    assert float(head.normaliser[0]) == float(tf.reduce_sum(head.positive[0]))


def test_every_class_begins_with_the_prior_and_no_box_with_a_bias():
    model = make("retinanet", prior=0.02)
    outputs = model(noise(2, *SIZE, 1))
    for logits in outputs[:3]:
        np.testing.assert_allclose(tf.sigmoid(logits), 0.02, rtol=0.5)
    biases = {x.path: x for x in model.variables if x.path.endswith("_last/bias")}
    logit = np.log(0.02 / 0.98)
    np.testing.assert_allclose(biases["class_last/bias"], logit, rtol=1e-6)
    assert not np.any(biases["box_last/bias"])


def test_layers_of_a_head_begin_with_different_weights():
    model = RetinaNet((32, 32, 1), 2, backbone="slim_resnet(width=4)", channels=8)
    towers = [np.asarray(x) for x in model.variables if "tower" in x.path and "kernel" in x.path]
    assert len(towers) == 4
    assert len({x.tobytes() for x in towers}) == 4


def test_a_level_gives_its_best_pairs_of_box_and_class():
    model = make("retinanet", candidates=7)
    outputs = random_outputs(model)
    boxes, scores = model.scored_boxes(outputs)
    assert boxes.shape == (1, 21, 1, 4)
    anchors = model.anchors.of([x.shape[1:3] for x in outputs[:3]])
    for level in range(3):
        logits = np.reshape(outputs[level], (-1, CLASSES))
        row, label = np.unravel_index(np.argsort(logits, axis=None)[-7:], logits.shape)
        own = slice(7 * level, 7 * level + 7)
        place, column = np.nonzero(scores.numpy()[0, own])
        by_score = np.argsort(scores.numpy()[0, own][place, column])
        np.testing.assert_array_equal(column[by_score], label)
        deltas = np.reshape(outputs[3 + level], (-1, 4))[row]
        found = boxes.numpy()[0, own, 0][place[by_score]]
        np.testing.assert_allclose(found, decode(deltas, anchors[level][row]), rtol=1e-4)


def random_outputs(model):
    rng = np.random.default_rng(0)
    outputs = model(noise(1, *SIZE, 1))
    return [tf.constant(rng.normal(0, 1, x.shape), tf.float32) for x in outputs]


def test_ssd_gives_the_best_boxes_of_each_class():
    model = make("ssd", candidates=4, score_threshold=0.0, nms=1.0)
    outputs = random_outputs(model)
    boxes, scores = model.scored_boxes(outputs)
    rows = np.concatenate([np.reshape(x, (-1, CLASSES + 1)) for x in outputs[:4]])
    chances = np.exp(rows) / np.exp(rows).sum(-1, keepdims=True)
    for k in range(CLASSES):
        best = np.sort(np.argsort(chances[:, k])[-4:])
        np.testing.assert_array_equal(np.flatnonzero(scores[0, :, k]), best)
        np.testing.assert_allclose(scores.numpy()[0, best, k], chances[best, k], rtol=1e-5)
    anchors = np.concatenate(model.anchors.of([x.shape[1:3] for x in outputs[:4]]))
    deltas = np.concatenate([np.reshape(x, (-1, 4)) for x in outputs[4:]])
    np.testing.assert_allclose(boxes[0, :, 0], decode(deltas, anchors, CODER), rtol=1e-5)


def test_ssd300_has_the_weights_and_default_boxes_of_the_paper():
    model = SSD((300, 300, 3), 20, **SSD300)
    assert model.count_params() == 26_285_486  # of ssd.pytorch, 21 classes with background
    sizes = [tuple(x.shape[1:3]) for x in model.net.outputs[:6]]
    assert sizes == [(n, n) for n in (38, 19, 10, 5, 3, 1)]
    boxes = np.concatenate(model.anchors.of(sizes))
    assert boxes.shape == (8732, 4)
    np.testing.assert_allclose(boxes, _default_boxes(), rtol=1e-5, atol=1e-4)
    assert model.net.get_layer("fc6_conv").dilation_rate == (6, 6)
    scale = model.net.get_layer("l2_scale")
    y = scale(model.net.get_layer("l2_norm")(tf.constant(noise(1, 2, 2, 512))))
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 20, rtol=1e-5)


def test_the_heads_of_a_small_ssd_see_the_pyramid_and_the_extra_level():
    net = make("ssd").net
    seen = [inputs_of(net, f"class_head_{i}")[0] for i in (1, 2, 3, 4)]
    assert seen == ["fpn_8_norm", "fpn_16_norm", "fpn_32_norm", "extra_1_2_act"]
    assert seen == [inputs_of(net, f"box_head_{i}")[0] for i in (1, 2, 3, 4)]
    assert inputs_of(net, "extra_1_1_conv") == ["fpn_32_norm"]
    net = make("ssd", pyramid=None).net
    assert inputs_of(net, "class_head_1") == ["stage2_block2_act"]


def _default_boxes():
    """torchvision's `DefaultBoxGenerator` of SSD300, in shares of the image and with its clip."""
    scales = [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05]
    ratios = [[2], [2, 3], [2, 3], [2, 3], [2], [2]]
    found = []
    for k, (n, step) in enumerate(
        zip((38, 19, 10, 5, 3, 1), (8, 16, 32, 64, 100, 300), strict=True)
    ):
        between = np.sqrt(scales[k] * scales[k + 1])
        sides = [(scales[k], scales[k]), (between, between)]
        for ratio in ratios[k]:
            w, h = scales[k] * np.sqrt(ratio), scales[k] / np.sqrt(ratio)
            sides += [(w, h), (h, w)]
        for y in range(n):
            for x in range(n):
                for w, h in np.minimum(sides, 1):
                    cx, cy = (x + 0.5) * step / 300, (y + 0.5) * step / 300
                    found.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
    return np.array(found) * 300


def _reference_match(anchors, boxes, classes, threshold):
    found = np.full(len(anchors), -1)
    overlap = np.zeros((len(boxes), len(anchors)))
    for i, box in enumerate(boxes):
        for j, anchor in enumerate(anchors):
            w = min(box[2], anchor[2]) - max(box[0], anchor[0])
            h = min(box[3], anchor[3]) - max(box[1], anchor[1])
            common = max(w, 0) * max(h, 0)
            both = (box[2] - box[0]) * (box[3] - box[1])
            both += (anchor[2] - anchor[0]) * (anchor[3] - anchor[1])
            overlap[i, j] = common / (both - common) if common else 0
    overlap[np.asarray(classes) < 0] = -1
    for j in range(len(anchors)):
        if overlap[:, j].max(initial=-1) >= threshold:
            found[j] = overlap[:, j].argmax()
    for i in range(len(boxes)):
        if overlap[i].max() > 0:
            found[overlap[i].argmax()] = i
    return found


@pytest.mark.parametrize("rows", [3, 70])  # beyond 64 images are taken one after another
def test_ssd_gives_every_box_the_anchor_that_overlaps_it_most(rows):
    rng = np.random.default_rng(rows)
    corners = rng.uniform(0, 60, (2, rows, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(4, 40, (2, rows, 2))], -1)
    classes = rng.integers(-1, 2, (2, rows))
    boxes[classes < 0] = 0
    starts = rng.uniform(0, 60, (50, 2))
    anchors = np.concatenate([starts, starts + rng.uniform(4, 40, (50, 2))], -1)
    found = match_default_boxes(
        tf.constant(anchors, tf.float32),
        tf.constant(boxes, tf.float32),
        tf.constant(classes, tf.int32),
        threshold=0.5,
    )
    for i in range(2):
        wanted = _reference_match(anchors, boxes[i], classes[i], 0.5)
        np.testing.assert_array_equal(found[i], wanted)
        assert set(wanted) - {-1}


def test_a_box_beside_all_anchors_takes_none_and_padding_neither():
    anchors = tf.constant([[0, 0, 8, 8], [8, 0, 16, 8]], tf.float32)
    boxes = tf.constant([[[40, 40, 50, 50], [0, 0, 0, 0]]], tf.float32)
    found = match_default_boxes(anchors, boxes, tf.constant([[1, -1]]), threshold=0.5)
    assert found.numpy().tolist() == [[-1, -1]]
    none = match_default_boxes(
        anchors, tf.zeros((1, 0, 4)), tf.zeros((1, 0), tf.int32), threshold=0.5
    )
    assert none.numpy().tolist() == [[-1, -1]]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("retinanet", {"prior": 0}, "prior must be between 0 and 1"),
        ("retinanet", {"low": 0.6}, "0 <= low <= high <= 1 must hold"),
        ("retinanet", {"levels": [3, 5]}, r"levels must follow one another.*\[3, 5\]"),
        ("retinanet", {"anchor_sizes": [[8], [16]]}, "one entry for each of the 3 levels"),
        ("retinanet", {"anchor_sizes": [[8], [16, 20], [32]]}, "as many anchors at a place"),
        ("retinanet", {"candidates": 0}, "candidates must be a whole number"),
        ("retinanet", {"nms": 1.5}, r"nms must be in \[0, 1\]"),
        ("ssd", {"extras": [[8, 3]]}, "stride of an extra level must be 1 or 2. Received: 3"),
        ("ssd", {"extras": [[8, 2], [8, 1]]}, "extra_2 needs a map of at least 3x3.*1x2"),
        ("ssd", {"ratios": [[2]]}, "ratios must have one entry for each of the 4 levels"),
        ("ssd", {"anchor_sizes": [8, 16]}, "anchor_sizes, but for the last"),
        ("ssd", {"ratios": [[2], [2], [2], [0]]}, "must be above 0. Received: 0"),
    ],
)
def test_refusals(name, arguments, message):
    with pytest.raises(InputError, match=message):
        make(name, **arguments)
