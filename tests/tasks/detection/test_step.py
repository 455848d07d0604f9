"""A step of a detector: the same on one device, on two and in parts; parts frozen; bfloat16."""

import functools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfvision.engine.distribute import make_strategy
from tfvision.engine.stages import Stage, leaves
from tfvision.engine.step import TrainStep
from tfvision.errors import InputError
from tfvision.losses import DETECTION_LOSSES
from tfvision.models import DETECTORS
from tfvision.registry import Spec
from tfvision.tasks.detection.losses import terms_of
from tfvision.tasks.detection.schema import DetectionLoss
from tfvision.tasks.detection.task import Detection

K, BATCH = 3, 4
SMALL = {
    "backbone": {"name": "slim_resnet", "width": 8},
    "channels": 8,
    "units": 8,
    "levels": [3],
    "sampled": 16,
    "proposals": 12,
    "test_proposals": 10,
    "proposals_before_nms": 30,
}
LOSSES = (DetectionLoss(name="cross_entropy"), DetectionLoss(name="smooth_l1"))


def batch_of(seed: int, count: int = BATCH):
    """Images with 2, 0, 3 and 1 boxes, as a batch of the pipeline."""
    rng = np.random.default_rng(seed)
    boxes, classes = np.zeros((count, 3, 4), np.float32), np.full((count, 3), -1, np.int32)
    for i in range(count):
        number = (2, 0, 3, 1)[i % 4]
        corner = rng.uniform(0, 20, (number, 2))
        boxes[i, :number] = np.concatenate([corner, corner + rng.uniform(6, 12, (number, 2))], 1)
        classes[i, :number] = rng.integers(0, K, number)
    return {
        "image": rng.random((count, 32, 48, 1), np.float32),
        "boxes": boxes,
        "classes": classes,
        "seed": rng.integers(0, 2**31, (count, 2)).astype(np.int32),
    }


BATCHES = [batch_of(0), batch_of(1)]


@functools.cache
def two_devices():
    return make_strategy("cpu:2")


def make(strategy=None, name="faster_rcnn", arguments=SMALL, **options) -> TrainStep:
    strategy = strategy or tf.distribute.get_strategy()
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = DETECTORS[name]((None, None, 1), K, **arguments)
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9, name="sgd")
    model.xla = options.get("xla", False)
    weighted = [(DETECTION_LOSSES.build(Spec(name=s.name)), s.weight) for s in LOSSES]
    return TrainStep(
        model,
        optimizer,
        functools.partial(terms_of, LOSSES, weighted),
        strategy=strategy,
        batch_size=BATCH,
        forward=Detection().forward,
        **options,
    )


def take(step: TrainStep, batches=BATCHES):
    """Losses, terms of the last, and all variables after so many steps."""
    keys = batches[0].keys()
    data = tf.data.Dataset.from_tensor_slices({k: np.stack([b[k] for b in batches]) for k in keys})
    distributed = step.strategy.experimental_distribute_dataset(data)
    losses = [float(step(batch, 0.1)) for batch in distributed]
    return losses, {k: float(v) for k, v in step.terms.items()}, values(step)


def values(step: TrainStep) -> dict[str, np.ndarray]:
    return {k: keras.ops.convert_to_numpy(v) for k, v in step.named_variables().items()}


@functools.cache
def plain():
    """Of one device and the whole batch, from which all others are the same."""
    step = make()
    before = values(step)
    return step, before, take(step)


def assert_same(one, other, atol):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], atol=atol, err_msg=name)


def check_same(found, atol=1e-5):
    losses, terms, after = plain()[2]
    np.testing.assert_allclose(found[0], losses, rtol=1e-5)
    assert found[1] == pytest.approx(terms, rel=1e-4)
    assert_same(after, found[2], atol=atol)


def test_all_variables_are_those_of_layers_that_can_be_named():
    model = plain()[0].model
    assert {id(v) for _, y in leaves(model) for v in y.variables} == {
        id(v) for v in model.variables
    }
    assert sum(plain()[2][1].values()) == pytest.approx(plain()[2][0][-1], rel=1e-5)


def test_two_devices_give_the_step_of_one():
    check_same(take(make(two_devices())))


def test_parts_give_the_step_of_the_whole():
    check_same(take(make(accumulate=2)))


def test_a_batch_cut_otherwise_gives_the_same_step():
    """Each image draws by its own seed: the order in a batch does not matter."""
    step, before, _ = plain()
    order = [2, 0, 3, 1]
    for name, variable in step.named_variables().items():
        variable.assign(before[name])
    check_same(take(step, [{k: v[order] for k, v in b.items()} for b in BATCHES]))


HEADS = ("rpn/*", "box_head/*", "features/fpn_*")  # and the last block of the backbone
LAST = "features/stage2_block2_*"


def test_heads_and_the_last_layer_learn_while_the_rest_is_frozen():
    """Then all of it learns, the backbone at a tenth of the rate; averages follow."""
    step = make(
        stages=(Stage(epochs=1, trainable=(*HEADS, LAST)), Stage(keep_slots=True)),
        rate_factors={"features/*": 0.1},
        ema=0.9,
    )
    names = [name for name, _ in leaves(step.model)]
    assert any(name.startswith(LAST[:-1]) for name in names), names
    before = [v.numpy() for v in step.model.variables]
    learning = {
        id(v)
        for name, y in leaves(step.model)
        for v in y.variables
        if name.startswith((*(p[:-1] for p in HEADS), LAST[:-1]))
    }
    line = step.begin_stage(0)[0]
    assert "stage 1 of 2" in line
    assert "rpn/*" in line
    take(step, BATCHES[:1])
    moved = [np.abs(v.numpy() - b).max() for v, b in zip(step.model.variables, before, strict=True)]
    for variable, distance in zip(step.model.variables, moved, strict=True):
        assert id(variable) in learning or distance == 0, variable.path
    still = [v.path for v, d in zip(step.model.variables, moved, strict=True) if d > 0]
    assert len(still) > len(learning) * 0.8
    step.begin_stage(1)
    losses, _, _ = take(step, BATCHES[1:])
    later = [np.abs(v.numpy() - b).max() for v, b in zip(step.model.variables, before, strict=True)]
    assert np.isfinite(losses).all()
    assert np.mean(np.array(later) > 0) > 0.9


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        (
            Stage(outputs=(0,)),
            r"train\.stages\[0\]: outputs are for models whose outputs have a loss each; this one "
            r"is made of the parts features/\*, rpn/\*, box_head/\*\. Leave outputs out",
        ),
        (
            Stage(trainable=("head_*",)),
            r"trainable `head_\*` matches no layer with weights to learn\. Layers are features/",
        ),
    ],
)
def test_what_a_stage_cannot_do_with_a_detector(stage, message):
    with pytest.raises(InputError, match=message):
        make(stages=(stage,))


@pytest.mark.slow  # a trace of its own
def test_bfloat16_learns_and_predicts_in_float32():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        step = make()
        losses, _, after = take(step)
        outputs = step.model(BATCHES[0]["image"], training=False)
        found = step.model.detections(outputs, tf.constant([32.0, 48.0]))
    finally:
        keras.config.set_dtype_policy("float32")
    np.testing.assert_allclose(losses, plain()[2][0], rtol=0.05)
    assert {str(v.dtype) for v in step.model.trainable_variables} == {"float32"}
    assert found["boxes"].dtype == found["scores"].dtype == tf.float32
    assert all(np.isfinite(v).all() for v in after.values())


XLA = """
from tests.tasks.detection.test_step import check_same, make, take
check_same(take(make(xla=True)), atol=1e-4)
"""


@pytest.mark.slow  # XLA takes a minute to compile
def test_xla_gives_the_same_step():
    """In a process of its own: XLA refuses what deterministic ops need, for good."""
    done = subprocess.run([sys.executable, "-c", XLA], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
