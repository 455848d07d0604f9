"""Progressive unfreezing through the training step: what a stage promises moves, nothing else."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from tfvision.engine.stages import Stage, StagedModel
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.errors import InputError
from tfvision.losses import CrossEntropy
from tfvision.models import Transfer
from tfvision.models.encoder_json import architecture_of
from tfvision.models.unfreezing import blocks_of, progressive_stages


@pytest.fixture(autouse=True)
def _eager():
    """Steps run as written: tracing them takes most of these tests' time."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def _backbone():
    """A stem and two blocks, with batch normalisation and dropout in each block."""
    x = image = keras.Input((8, 8, 1))
    x = layers.Conv2D(3, 3, padding="same", name="stem_conv")(x)
    for i in (1, 2):
        x = layers.Conv2D(3, 3, strides=2, padding="same", name=f"block{i}_conv")(x)
        x = layers.BatchNormalization(momentum=0.5, name=f"block{i}_bn")(x)
        x = layers.Dropout(0.2, name=f"block{i}_drop")(x)
    return {"architecture": architecture_of(keras.Model(image, x)), "preprocessing": {}}


def _classifier():
    keras.utils.set_random_seed(0)
    return Transfer((8, 8, 1), 3, backbone=_backbone(), dropout=0.1)


def _stages(model, **options):
    found = progressive_stages(model, **options)
    return [Stage(**{**stage, "trainable": tuple(stage["trainable"])}) for stage in found]


def _step(optimizer, **options):
    model = _classifier()
    strategy = tf.distribute.get_strategy()
    loss = batch_loss([(CrossEntropy(), 1.0)])
    stages = _stages(model, blocks=1, every=1)
    return TrainStep(
        model, optimizer, loss, strategy=strategy, batch_size=6, stages=stages, **options
    )


BATCH = {
    "image": tf.constant(np.random.default_rng(0).random((6, 8, 8, 1), "float32")),
    "mask": tf.constant(np.arange(6).reshape(6, 1, 1) % 3),
}


def _values(step):
    return {k: v.numpy().copy() for k, v in step.named_variables().items()}


def _moved(step, count=2):
    """Which variables change in some steps, by the layer they belong to."""
    owners = {id(v): layer.name for layer in step.model.layers for v in layer.variables}
    weights = {id(w) for w in step.model.weights}
    before = {id(v): v.numpy().copy() for v in step.model.variables}
    for _ in range(count):
        step(BATCH, 1e-2)
    moved = {}
    for v in step.model.variables:
        if not np.array_equal(v.numpy(), before[id(v)]):
            part = moved.setdefault(owners[id(v)], set())
            part.add(v.name if id(v) in weights else "seed")
    return moved


def test_exactly_the_promised_blocks_move_in_each_stage():
    step = _step(keras.optimizers.Lion(1e-2))
    assert len(step.stages) == 4
    opened = {"logits": {"kernel", "bias"}, "head_drop": {"seed"}}
    batch_norm = {"gamma", "beta", "moving_mean", "moving_variance"}
    released = [
        {},
        {
            "encoder_block2_conv": {"kernel", "bias"},
            "encoder_block2_bn": batch_norm,
            "encoder_block2_drop": {"seed"},
        },
        {
            "encoder_block1_conv": {"kernel", "bias"},
            "encoder_block1_bn": batch_norm,
            "encoder_block1_drop": {"seed"},
        },
        {"encoder_stem_conv": {"kernel", "bias"}},
    ]
    for number, more in enumerate(released):
        step.begin_stage(number)
        opened |= more
        found = _moved(step)
        # A bias before batch normalisation has a gradient of rounding errors, if any.
        for name in found.keys() & {"encoder_block1_conv", "encoder_block2_conv"}:
            found[name] |= {"bias"}
        assert found == opened
    step.leave_stages()


@pytest.mark.parametrize("ema", [None, 0.5])
def test_a_stage_that_keeps_slots_goes_on_where_the_last_one_was(ema):
    """Slots, weights, averages and the count of steps stay; what is new has new slots."""
    step = _step(keras.optimizers.Adam(1e-2), ema=ema)
    step.begin_stage(0)
    _moved(step, 3)
    before = _values(step)
    step.begin_stage(1)
    after = _values(step)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert step.optimizer.iterations.numpy() == 3
    slots = {n: v for n, v in after.items() if n.startswith("optimizer/") and "logits" in n}
    assert len(slots) == 4
    assert all(np.any(v != 0) for v in slots.values())
    new = [v for n, v in after.items() if n.startswith("optimizer/") and "block2_conv" in n]
    assert len(new) == 4
    assert not any(np.any(v) for v in new)
    moved = _moved(step, 1)
    assert "encoder_block2_conv" in moved
    assert "encoder_block1_conv" not in moved
    assert step.optimizer.iterations.numpy() == 4
    step.leave_stages()


def test_a_training_cut_in_two_equal_stages_that_keep_slots_is_the_whole_one():
    """Where nothing is released the border is no border: bit for bit the same weights."""

    def trained(stages):
        model = _classifier()
        step = TrainStep(
            model,
            keras.optimizers.Adam(1e-2),
            batch_loss([(CrossEntropy(), 1.0)]),
            strategy=tf.distribute.get_strategy(),
            batch_size=6,
            ema=0.9,
            stages=stages,
        )
        for number in range(2):
            if number < len(stages):
                step.begin_stage(number)
            for _ in range(2):
                step(BATCH, 1e-2)
        step.leave_stages()
        return [*model.get_weights(), *(v.numpy() for v in step.averages)]

    everything = Stage()
    whole = trained([everything])
    kept = trained([everything, Stage(keep_slots=True)])
    reset = trained([everything, Stage()])
    assert all(np.array_equal(a, b) for a, b in zip(whole, kept, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(whole, reset, strict=True))


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([Stage(keep_slots=True)], r"train.stages\[0\]: keep_slots goes on.*there is none"),
        (
            [Stage(), Stage(keep_slots=True, transfer={"encoder_block1_c": "encoder_block2_c"})],
            r"train.stages\[1\]: keep_slots goes on.*but transfer",
        ),
        ([Stage(trainable=("*_drop",))], r"`?\*_drop`? names dropout alone; nothing learns"),
    ],
)
def test_stages_that_cannot_be(stages, message):
    model = Transfer((8, 8, 3), 3, backbone=_three_channels())
    with pytest.raises(InputError, match=message):
        StagedModel(model, stages)


def _three_channels():
    """Two blocks of equal shapes."""
    x = image = keras.Input((8, 8, 3))
    for i in (1, 2):
        x = layers.Conv2D(3, 1, name=f"block{i}_conv")(x)
    return {"architecture": architecture_of(keras.Model(image, x)), "preprocessing": {}}


def test_blocks_are_those_of_the_stages():
    assert [names[0] for names in blocks_of(_classifier())] == [
        "encoder_stem_conv",
        "encoder_block1_conv",
        "encoder_block2_conv",
    ]
