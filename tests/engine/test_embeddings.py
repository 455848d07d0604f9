"""A loss on embeddings in a step: which output it is on, several devices, stages, resume."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.engine import toy
from tests.engine.test_loop import Stop, _Count, without_times
from tests.engine.test_step import assert_same
from tfvision.augment import compose, noise
from tfvision.data.pipeline import Samples, training_batches
from tfvision.engine.distribute import make_strategy
from tfvision.engine.sentinel import check_start
from tfvision.engine.signals import Interrupted
from tfvision.engine.stages import Stage
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.errors import InputError
from tfvision.losses import CrossEntropy, SupervisedContrastive
from tfvision.models import SmallCNN
from tfvision.models.heads import with_embedding

TERMS = [(CrossEntropy(), 1.0), (SupervisedContrastive(), 0.5)]
PRETRAINING = (Stage(epochs=2, outputs=("embedding",)), Stage(outputs=("logits",)))
LINEAR = (PRETRAINING[0], Stage(outputs=("logits",), trainable=("logits",)))


def samples(count=12):
    rng = np.random.default_rng(0)
    labels = np.arange(count, dtype=np.int32) % 3
    images = rng.integers(0, 90, (count, 8, 8, 1)) + 70 * labels[:, None, None, None]
    ids, targets = [str(i) for i in range(count)], {"label": labels}
    return Samples(ids, images.astype(np.uint8), 1 / 255, targets)


def stream(first_step=0):
    return training_batches(
        samples(),
        batch_size=6,
        seed=1,
        first_step=first_step,
        augment=compose([noise(p=1.0)]),
        views=2,
    )


def train_step(strategy=None, *, sgd=False, dropout=0.0, terms=TERMS, **options):
    strategy = strategy or tf.distribute.get_strategy()

    def make():
        with strategy.scope():
            model = SmallCNN(
                (8, 8, 1), 3, filters=(4,), units=6, dropout=dropout, normalization="group"
            )
            model = with_embedding(model)
            optimizer = (
                keras.optimizers.SGD(0.1, momentum=0.9, name="sgd")
                if sgd
                else keras.optimizers.Adam(1e-2, name="adam")
            )
        return TrainStep(
            model, optimizer, batch_loss(terms), strategy=strategy, batch_size=6, **options
        )

    weights = [weight for _, weight in terms]
    key = ("embeddings", id(strategy), sgd, dropout, *weights, repr(sorted(options.items())))
    return toy.shared(key, make)


def take_steps(step, count, rate=0.1):
    batches = iter(step.strategy.experimental_distribute_dataset(stream()))
    return [float(step(next(batches), rate)) for _ in range(count)], toy.values(step)


def test_each_term_is_on_its_output():
    batch = next(iter(stream()))
    model = train_step().model
    embedding, logits = outputs = model(batch["image"])
    loss = batch_loss(TERMS)
    of_logits = CrossEntropy().call(batch["label"][:, None, None], logits[:, None, None])
    of_embedding = SupervisedContrastive().call(batch["label"], embedding)
    assert np.ptp(of_embedding) > 0
    both = loss(batch, outputs, model.output_names)
    np.testing.assert_allclose(both, of_logits + 0.5 * of_embedding, rtol=1e-6)
    np.testing.assert_allclose(loss(batch, [logits]), of_logits, rtol=1e-6)
    np.testing.assert_allclose(
        loss(batch, [embedding], ["embedding"]), 0.5 * of_embedding, rtol=1e-6
    )
    with pytest.raises(InputError, match="No term of the loss is on the outputs embedding"):
        batch_loss(TERMS[:1])(batch, [embedding], ["embedding"])


def test_two_devices_give_the_result_of_one():
    """Of its two positives an image may have both on the other device."""
    terms = [(CrossEntropy(), 0.1), (SupervisedContrastive(), 1.0)]
    losses, values = take_steps(train_step(sgd=True, terms=terms), 4, rate=0.02)
    two = train_step(make_strategy("cpu:2"), sgd=True, terms=terms)
    losses_2, values_2 = take_steps(two, 4, rate=0.02)
    np.testing.assert_allclose(losses, losses_2, rtol=1e-5)
    assert_same(values, values_2, atol=2e-6)


def test_float16_learns_with_a_scaled_loss():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = with_embedding(SmallCNN((8, 8, 1), 3, filters=(4,), units=6))
    finally:
        keras.config.set_dtype_policy("float32")
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-2), name="scale")
    strategy = tf.distribute.get_strategy()
    step = TrainStep(
        model, optimizer, batch_loss(TERMS[1:]), strategy=strategy, batch_size=6, stages=LINEAR[:1]
    )
    step.begin_stage(0)
    losses, _ = take_steps(step, 12, rate=1e-2)
    assert np.isfinite(losses).all()
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    step.leave_stages()


def test_pretraining_teaches_encoder_and_projection_then_the_head_alone():
    step = train_step(stages=LINEAR)
    of_layer = {id(v): y.name for y in step.model.layers for v in y.variables}
    for number, expected in (
        (0, {"block1_conv", "block1_norm", "head_dense", "project_dense", "project_out"}),
        (1, {"logits"}),
    ):
        step.begin_stage(number)
        before = [v.numpy() for v in step.model.variables]
        losses, _ = take_steps(step, 2, rate=1e-2)
        assert np.isfinite(losses).all()
        pairs = zip(step.model.variables, before, strict=True)
        assert {of_layer[id(v)] for v, old in pairs if (v.numpy() != old).any()} == expected
        assert step.outputs_in(number) == [("embedding", "logits")[number]]
    step.leave_stages()


def staged(folder, **options):
    step = train_step(dropout=0.3, ema=0.9, stages=PRETRAINING)
    plan = toy.plan(epochs=3)

    def validate():
        return {"val_score": -float(step.optimizer.iterations.numpy())}

    return toy.loop(folder, step=step, the_plan=plan, validate=validate, batches=stream, **options)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    loop = staged(tmp_path_factory.mktemp("whole"))
    state = loop.run()
    return loop.variables_sha256, without_times(state.history)


@pytest.mark.parametrize("at", [6, 8])
def test_stopped_in_or_between_stages_and_resumed_is_the_same_run(uninterrupted, tmp_path, at):
    stop = Stop(at)
    with pytest.raises(Interrupted):
        staged(tmp_path, callbacks=[_Count(stop)]).run(stop)
    second = staged(tmp_path)
    assert f"goes on after step {at}" in second.restore()[-1]
    state = second.run()
    assert (second.variables_sha256, without_times(state.history)) == uninterrupted


@pytest.mark.parametrize("devices", [1, 2])
def test_the_sentinel_finds_nothing_wrong_and_says_where_there_is_no_positive(devices):
    step = train_step(make_strategy(f"cpu:{devices}") if devices > 1 else None)
    options = {"loss": batch_loss(TERMS), "class_names": ["a", "b", "c"], "ignore_labels": (255,)}
    terms = [("cross_entropy", TERMS[0][0]), ("supervised_contrastive", TERMS[1][0])]
    masks = samples().targets["label"][:, None, None]
    assert check_start(step, stream().take(1), terms=terms, labels=masks, **options) == {}
    if devices == 1:
        alone = [(name, SupervisedContrastive(ignore_labels=(0, 1, 2))) for name, _ in terms[1:]]
        options |= {"terms": [*terms[:1], *alone], "labels": masks}
        found = check_start(step, stream().take(1), **options)
        assert set(found) == {"term supervised_contrastive"}
