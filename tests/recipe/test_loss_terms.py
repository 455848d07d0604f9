"""Weights of loss terms that move while training, and what is added to a batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.engine import toy
from tfvision.config import LossTerm
from tfvision.data.pipeline import scoring_batches, training_batches
from tfvision.engine.signals import Interrupted
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.losses import Boundary, CrossEntropy
from tfvision.recipe.loss_terms import enricher, with_moving_weights
from tfvision.tasks.segmentation.scoring import Validation

SPECS = (
    LossTerm(name="cross_entropy", weight=1.0, weight_end=0.01),
    LossTerm(name="boundary", weight=0.01, weight_end=1.0),
)
PLAIN = [(CrossEntropy(), 1.0), (Boundary(), 0.01)]


def make(strategy=None, **options):
    """A step of both terms whose weights move, the hook of the loop, and its stream."""
    strategy = strategy or tf.distribute.get_strategy()
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = keras.Sequential([keras.Input(toy.SHAPE), keras.layers.Conv2D(toy.CLASSES, 1)])
        optimizer = keras.optimizers.SGD(1e-2, momentum=0.9)
    terms, follow = with_moving_weights(SPECS, PLAIN, strategy)
    step = TrainStep(
        model, optimizer, batch_loss(terms), strategy=strategy, batch_size=4, **options
    )
    enrich = enricher(terms, toy.CLASSES)

    def stream(first_step=0):
        return training_batches(
            toy.samples(), batch_size=4, seed=3, first_step=first_step, enrich=enrich
        )

    return step, terms, follow, stream


class Stop:
    """A request that comes before a step."""

    def __init__(self, at, step):
        self._at, self._step = at, step

    @property
    def number(self):
        return 15 if int(self._step.optimizer.iterations.numpy()) >= self._at else None

    def check(self):
        raise Interrupted(15)


def test_a_weight_goes_in_a_straight_line_from_one_value_to_the_other():
    first, second = SPECS
    assert first.weight_at(0) == 1.0
    assert second.weight_at(0.5) == pytest.approx(0.505)
    assert second.weight_at(1) == 1.0
    assert LossTerm(name="dice", weight=0.7).weight_at(0.5) == 0.7


def test_terms_without_an_end_are_left_as_they_are():
    specs = (LossTerm(name="cross_entropy"), LossTerm(name="boundary", weight=0.01))
    terms, follow = with_moving_weights(specs, PLAIN, tf.distribute.get_strategy())
    assert terms == PLAIN
    assert follow is None


def test_the_loss_of_training_and_of_validation_follow_the_weights_in_one_graph():
    step, terms, follow, stream = make()
    batch = next(iter(stream()))
    traced = []
    loss = batch_loss(terms)

    def counted(batch, outputs):
        traced.append(1)
        return loss(batch, outputs)

    validation = Validation(
        step.model,
        scoring_batches(toy.samples(), batch_size=5, enrich=enricher(terms, toy.CLASSES)),
        num_classes=toy.CLASSES,
        loss=counted,
        rules=(),
        ignore_labels=(255,),
        strategy=step.strategy,
    )
    outputs = [step.model(batch["image"], training=False)]
    parts = [term.call(batch["mask"], outputs[0]).numpy() for term, _ in PLAIN]
    found = []
    for share in (0.0, 0.25, 1.0):
        follow(share)
        weights = [spec.weight_at(share) for spec in SPECS]
        expected = weights[0] * parts[0] + weights[1] * parts[1]
        np.testing.assert_allclose(loss(batch, outputs), expected, rtol=1e-5)
        found.append(validation()[2])
    assert len(traced) == 1
    # The loss of validation is linear in the share as well.
    np.testing.assert_allclose(found[1], 0.75 * found[0] + 0.25 * found[2], rtol=1e-5)
    assert abs(found[2] - found[0]) > 0.01


def test_stopped_and_resumed_it_is_the_uninterrupted_run(tmp_path):
    """Inside an epoch; the weights of the terms are in no checkpoint."""
    at = 2
    plan = toy.plan(steps_per_epoch=3, epochs=2)

    def loop(folder):
        step, _, follow, stream = make()
        seen = []

        def following(share):
            seen.append(share)
            follow(share)

        made = toy.loop(
            folder,
            step=step,
            the_plan=plan,
            batches=stream,
            follow=following,
            validate=lambda: {"val_score": 0.0},
        )
        return made, seen

    whole, shares = loop(tmp_path / "whole")
    whole.run()
    np.testing.assert_allclose(shares, np.arange(6) / 6)
    first, _ = loop(tmp_path / "cut")
    with pytest.raises(Interrupted):
        first.run(Stop(at, first.train_step))
    second, rest = loop(tmp_path / "cut")
    second.restore()
    second.run()
    assert second.variables_sha256 == whole.variables_sha256
    np.testing.assert_allclose(rest, np.arange(at, 6) / 6)
    rows = [[r["loss"] for r in made.state.history] for made in (whole, second)]
    assert rows[0] == rows[1]


def test_two_replicas_and_xla_see_the_weights():
    batch = next(iter(make()[3]()))
    logits = tf.random.stateless_normal((4, 8, 8, toy.CLASSES), [1, 2])
    parts = [term.call(batch["mask"], logits).numpy() for term, _ in PLAIN]
    data = tf.data.Dataset.from_tensors({**batch, "logits": logits}).unbatch().batch(4)
    for strategy, xla in (
        (tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), False),
        (tf.distribute.get_strategy(), True),
    ):
        terms, follow = with_moving_weights(SPECS, PLAIN, strategy)
        loss = batch_loss(terms)
        run = tf.function(lambda b, loss=loss: loss(b, [b["logits"]]), jit_compile=xla)
        shared = next(iter(strategy.experimental_distribute_dataset(data)))
        for share in (0.0, 1.0):
            follow(share)
            found = strategy.experimental_local_results(strategy.run(run, args=(shared,)))
            weights = [spec.weight_at(share) for spec in SPECS]
            np.testing.assert_allclose(
                np.concatenate(found), weights[0] * parts[0] + weights[1] * parts[1], rtol=1e-5
            )
