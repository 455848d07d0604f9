"""Each fault the sentinel knows is planted, and seen; a sound run raises no alarm."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.engine import toy
from tfvision.engine.sentinel import (
    Watch,
    check_gradients,
    check_images,
    check_labels,
    check_start,
    first_convolution_input,
)
from tfvision.engine.step import TrainStep, batch_loss
from tfvision.losses import CrossEntropy, Dice

NAMES = ["soil", "rock", "sand"]


def start(step, data, *, terms=None, augment=None, ignore_labels=()):
    terms = terms or [("cross_entropy", CrossEntropy()), ("dice", Dice())]
    stream = toy.training_batches(data, batch_size=4, seed=3, augment=augment)
    return check_start(
        step,
        stream,
        loss=batch_loss([(loss, 1.0) for _, loss in terms]),
        terms=terms,
        labels=data.targets["mask"],
        class_names=NAMES,
        ignore_labels=ignore_labels,
    )


def first_batch(data):
    return next(iter(toy.training_batches(data, batch_size=4, seed=3)))


def gradients(step, data, terms):
    return check_gradients(
        step,
        first_batch(data),
        loss=batch_loss([(loss, 1.0) for _, loss in terms]),
        terms=terms,
    )


def test_a_sound_start_raises_no_alarm_and_leaves_every_variable_as_it_was():
    step = toy.train_step()
    before = {k: keras.ops.convert_to_numpy(v) for k, v in step.named_variables().items()}
    assert start(step, toy.samples()) == {}
    for name, variable in step.named_variables().items():
        np.testing.assert_array_equal(before[name], keras.ops.convert_to_numpy(variable), name)


def test_two_devices_are_looked_at_as_one_is():
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    step = toy.train_step(strategy)
    assert start(step, toy.samples()) == {}


@pytest.mark.parametrize(
    ("factor", "said"), [(1 / 255, "divided by 255 twice"), (255.0, "not to be normalised")]
)
def test_images_that_are_not_normalised_once(factor, said):
    data = toy.samples()
    data = toy.Samples(data.ids, data.images, data.scale * factor, data.targets)
    assert said in start(toy.train_step(), data)["images"]


def test_preprocessing_inside_the_model_counts():
    inputs = keras.Input((8, 8, 1))
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(3, 1)(scaled))
    images = tf.random.stateless_uniform((2, 8, 8, 1), [1, 2])
    seen = first_convolution_input(model, images)
    np.testing.assert_allclose(seen, images.numpy() / 255, rtol=1e-6)
    assert "twice" in check_images(seen)["images"]
    assert check_images(images.numpy()) == {}


def test_blank_and_broken_images():
    assert "equal" in check_images(np.full((1, 2, 2, 1), 0.5))["images"]
    assert "not finite" in check_images(np.array([[0.0, np.nan]]))["images"]


def test_a_first_loss_far_from_chance():
    step = toy.train_step()
    last = [v for v in step.model.trainable_variables if "bias" in v.path][-1]
    last.assign([300.0, -300.0, 0.0])
    alarm = gradients(step, toy.samples(), [("cross_entropy", CrossEntropy())])["start"]
    assert "before any step" in alarm
    assert "equal probabilities" in alarm


def test_a_loss_that_counts_no_pixel():
    everything = CrossEntropy(ignore_labels=(0, 1, 2))
    alarms = gradients(toy.train_step(), toy.samples(), [("cross_entropy", everything)])
    assert "no pixel counts" in alarms["start"]
    assert "teaches nothing" in alarms["term cross_entropy"]


def test_the_one_term_that_teaches_nothing_is_named():
    terms = [("cross_entropy", CrossEntropy()), ("dice", Dice(ignore_labels=(0, 1, 2)))]
    alarms = gradients(toy.train_step(), toy.samples(), terms)
    assert set(alarms) == {"term dice"}


def test_a_weight_that_no_gradient_reaches_is_named():
    inputs = keras.Input((8, 8, 1))
    used = keras.layers.Conv2D(3, 1, name="used")(inputs)
    lost = keras.layers.Conv2D(3, 1, name="lost")(inputs)
    zero = keras.layers.Rescaling(0.0)(lost)
    model = keras.Model(inputs, keras.layers.Add()([used, zero]))
    step = TrainStep(
        model,
        keras.optimizers.SGD(),
        batch_loss([(CrossEntropy(), 1.0)]),
        strategy=tf.distribute.get_strategy(),
        batch_size=4,
    )
    alarm = gradients(step, toy.samples(), [("cross_entropy", CrossEntropy())])["gradients"]
    assert "2 of 4 weights" in alarm
    assert "lost" in alarm


def test_augmentation_that_loses_a_class_or_makes_labels():
    before = np.repeat([0, 1, 2], [4000, 1000, 1000])
    assert check_labels(before, before[::2], class_names=NAMES, ignore_labels=(255,)) == {}
    after = np.where(before == 2, 0, before)
    found = check_labels(before, after, class_names=NAMES, ignore_labels=(255,))
    assert set(found) == {"lost class 2"}
    assert "0% of the pixels of 'sand'" in found["lost class 2"]
    after = np.where(before == 1, 7, before)
    found = check_labels(before, after, class_names=NAMES, ignore_labels=(255,))
    assert "[7]" in found["new labels"]
    after = np.where(np.arange(len(before)) % 5 > 1, 255, before)
    found = check_labels(before, after, class_names=NAMES, ignore_labels=(255,))
    assert set(found) == {"fill"}
    assert "60% of the pixels have no label" in found["fill"]


def test_augmentation_is_looked_at_through_the_stream():
    def spoil(sample, seed):
        return {**sample, "mask": tf.where(sample["mask"] == 2, 9, sample["mask"])}

    data = toy.samples(64)
    alarms = start(toy.train_step(), data, augment=spoil)
    assert "[9]" in alarms["new labels"]
    assert "lost class 2" in alarms


def rows(predicted, score, loss):
    return [
        {
            "epoch": i + 1,
            "loss": float(value),
            "val_loss": float(value),
            "val_mean_iou": float(s),
            **{f"val_predicted_{k}": float(share) for k, share in enumerate(shares)},
        }
        for i, (shares, s, value) in enumerate(zip(predicted, score, loss, strict=True))
    ]


@pytest.fixture
def watch():
    return Watch(
        class_names=NAMES,
        present=np.array([500, 300, 200]),
        monitor="val_mean_iou",
        majority=0.17,
    )


def test_a_healthy_history_raises_no_alarm(watch):
    history = rows([[0.5, 0.3, 0.2]] * 8, np.linspace(0.2, 0.6, 8), np.linspace(2, 1, 8))
    assert all(watch(history[:n], n / 8) == {} for n in range(9))


def test_collapse_to_one_class(watch):
    history = rows([[0.5, 0.3, 0.2], *[[1, 0, 0]] * 3], [0.4] * 4, [1.0] * 4)
    assert "collapse" not in watch(history[:3], 0.1)
    found = watch(history, 0.2)
    assert "'soil'" in found["collapse"]
    assert "true is 50.0%" in found["collapse"]


def test_one_class_is_right_where_nearly_all_is_that_class(watch):
    sea = Watch(NAMES, np.array([9999, 1, 0]), "val_mean_iou", 0.5)
    assert "collapse" not in sea(rows([[1, 0, 0]] * 4, [0.6] * 4, [1.0] * 4), 0.2)


def test_a_class_that_is_never_predicted(watch):
    history = rows([[0.6, 0.4, 0.0]] * 6, [0.4] * 6, [1.0] * 6)
    assert watch(history, 0.4) == {}
    assert list(watch(history, 0.5)) == ["never predicted 2"]
    history[1]["val_predicted_2"] = 0.01
    assert watch(history, 0.5) == {}


def test_a_score_of_nothing_while_the_loss_falls(watch):
    history = rows([[0.5, 0.3, 0.2]] * 5, [0.05] * 5, np.linspace(2, 1, 5))
    assert "no better than the most frequent class" in watch(history, 0.3)["no score"]
    flat = rows([[0.5, 0.3, 0.2]] * 5, [0.05] * 5, np.linspace(2, 1.9, 5))
    assert watch(flat, 0.3) == {}


def test_a_validation_loss_that_is_not_finite(watch):
    history = rows([[0.5, 0.3, 0.2]] * 2, [0.4] * 2, [1.0, np.nan])
    assert "epoch 2 is nan" in watch(history, 0.1)["validation loss"]
