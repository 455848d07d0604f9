"""Two stages as one predictor: what is kept, cut out and classified, in Python and in the graph."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfvision.data.crops.pieces import AGGREGATES, aggregate
from tfvision.data.crops.windows import window_of
from tfvision.engine.inference import Predictor
from tfvision.engine.tta import make_views
from tfvision.errors import InputError
from tfvision.recipe.read import Native
from tfvision.registry import Spec
from tfvision.tasks.classification.inference import ClassInference, Served
from tfvision.tasks.classification.two_stage import TwoStage, aggregated, choose, windows_of
from tfvision.tasks.facts import facts_of
from tfvision.tasks.task import task_of

SIZE = (6, 8)
MARKS = 4  # detections that an image can ask for


class Marked(tf.Module, Predictor):
    """A detector whose boxes stand in the image's first rows: x1 y1 x2 y2 score, in 1/256 each."""

    def __init__(self):
        super().__init__(name="marked")
        self.calls = 0

    @tf.function(autograph=False)
    def serve_float(self, image):
        rows = tf.reshape(image[:, :MARKS, :5, 0], (-1, MARKS, 5)) * 256
        scores = rows[..., 4] / 100
        order = tf.argsort(scores, direction="DESCENDING", stable=True)
        boxes = tf.gather(rows[..., :4], order, batch_dims=1)
        scores = tf.gather(scores, order, batch_dims=1)
        return {
            "boxes": boxes,
            "scores": scores,
            "classes": tf.where(scores > 0, 0, -1),
        }


def image(*boxes, size=(24, 32), seed=0):
    """A sample (H, W, 1) float32 that asks for these detections, x1 y1 x2 y2 score."""
    pixels = np.random.default_rng(seed).uniform(size=(*size, 1)).astype(np.float32)
    pixels[:MARKS, :5] = 0
    for row, box in enumerate(boxes):
        pixels[row, :5, 0] = np.array(box, np.float32) / 256
    return Native(pixels, 1.0, {"label": np.int32(0)})


def recipe_of(how="mean", **arguments):
    config = facts_of("classification").schema()(
        data={
            "input": {"name": "crop", **arguments},
            "aggregate": how,
            "image_size": SIZE,
            "batch_size": 3,
        },
        model={"name": "small_cnn"},
    )
    facts = {"num_classes": 3, "channels": 1, "size": SIZE, "resized": True}
    return task_of("classification").recipe(config, **facts)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    pixels = keras.Input((*SIZE, 1))
    return keras.Model(pixels, keras.layers.Dense(3, "tanh")(keras.layers.Flatten()(pixels)) * 3.0)


def two(model, recipe=None, **how):
    recipe = recipe or recipe_of(margin=0.1)
    classifier = ClassInference(model, channels=1, size=SIZE)
    return TwoStage(Marked(), classifier, recipe=recipe, channels=1, **how)


SAMPLES = [
    image((4, 5, 20, 22, 40), (1, 5, 9, 12, 90), seed=1),
    image(seed=2),  # nothing
    image((9, 9, 9, 20, 95), (40, 2, 50, 9, 90), (3, 6, 30, 23, 60), seed=3),  # two that are none
    image((3, 5, 10, 23, 30), (6, 6, 30, 20, 35), (2, 8, 12, 18, 20), seed=4),
]


def test_the_best_sound_box_is_kept_or_what_stands_for_it(model):
    found = [one for _, _, one in two(model).found(enumerate(SAMPLES), at_once=3)]
    kept = [one["kept"].round(3).tolist() for one in found]
    assert kept == [[[1, 5, 9, 12]], [[0, 0, 32, 24]], [[3, 6, 30, 23]], [[6, 6, 30, 20]]]
    assert [bool(one["fell"]) for one in found] == [False, True, False, False]
    middle = two(model, fallback="centre").found([(0, SAMPLES[1])], at_once=1)
    assert next(middle)[2]["kept"].tolist() == [[8, 6, 24, 18]]


def test_all_boxes_from_a_score_on_are_kept(model):
    found = [one for _, _, one in two(model, keep=0.28).found(enumerate(SAMPLES), at_once=2)]
    assert [len(one["kept"]) for one in found] == [2, 1, 1, 2]
    assert [bool(one["fell"]) for one in found] == [False, True, False, False]


@pytest.mark.parametrize(("keep", "how"), [("best", "mean"), (0.25, "area")])
def test_the_graph_gives_what_python_gives(model, keep, how):
    recipe = recipe_of(how, margin=0.15)
    stages = two(model, recipe, keep=keep)
    task = task_of("classification")
    wanted = [p["probabilities"][0, 0] for p in task.predictions(recipe, stages, SAMPLES)]
    served = Served(stages, channels=1).serve_float(np.stack([s.image for s in SAMPLES]))
    np.testing.assert_allclose(served["probabilities"], wanted, atol=1e-6)
    np.testing.assert_array_equal(served["labels"], np.argmax(wanted, -1))
    if keep == "best":  # by hand
        piece = ClassInference(model, channels=1, size=SIZE).serve_float(
            SAMPLES[0].image[None, 3:14, 0:11]  # 1 5 9 12, a margin of 1.2 and 1.05
        )
        np.testing.assert_allclose(wanted[0], piece["probabilities"][0, 0, 0], atol=1e-6)


def test_boxes_that_come_with_an_image_are_not_looked_at(model):
    task, recipe, stages = task_of("classification"), recipe_of(), two(model, recipe_of())
    boxed = [replace(s, box=np.array([0, 0, 5, 5], np.float32)) for s in SAMPLES]
    for one, other in zip(
        task.predictions(recipe, stages, SAMPLES),
        task.predictions(recipe, stages, boxed),
        strict=True,
    ):
        np.testing.assert_array_equal(one["probabilities"], other["probabilities"])


def test_fallbacks_are_counted_and_said(model):
    task, recipe, counter = task_of("classification"), recipe_of(), Counter()
    list(task.predictions(recipe, two(model), SAMPLES, counter=counter))
    (note,) = task.notes(recipe, counter)
    assert note == (
        "data.input `crop`: 1 of 4 images have no detection; the whole image, or its middle, "
        "stands for one (fallback)."
    )


def test_views_are_of_what_was_cut_out(model):
    task, recipe, stages = task_of("classification"), recipe_of(), two(model, recipe_of())
    views = task.with_views(recipe, stages, make_views([[Spec(name="flip_lr")]]), scaled=False)
    seen = next(iter(task.predictions(recipe, views, SAMPLES)))["probabilities"][0, 0]
    piece = stages.classifier.fitted(SAMPLES[0].image[None, 4:13, 0:10])
    both = [stages.classifier.serve_float(x)["probabilities"] for x in (piece, piece[:, :, ::-1])]
    np.testing.assert_allclose(seen, np.mean(both, axis=0)[0, 0, 0], atol=1e-6)


def test_what_each_stage_loses_is_told_apart(model):
    task, recipe = task_of("classification"), recipe_of(margin=0)
    samples = [(str(i), s) for i, s in enumerate(SAMPLES)]
    truth = [(1, 5, 9, 12), (0, 0, 31, 24), (20, 0, 30, 10), None]
    samples = [
        (name, replace(s, box=None if box is None else np.array(box, np.float32)))
        for (name, s), box in zip(samples, truth, strict=True)
    ]
    scored = task.score(recipe, two(model, recipe), samples)
    stages = scored.details["stages"]
    assert scored.ids == ["0", "1", "2", "3"]
    assert stages["both"]["images"] == 4
    assert stages["undetected"] == 1
    assert stages["annotated_boxes"]["images"] == stages["perfect_classifier"]["images"] == 3
    assert stages["perfect_classifier"]["share"] == pytest.approx(2 / 3)
    assert 0 < stages["detector_ap50"] < 0.5  # one of three boxes is found
    labels = np.array(scored.answers).reshape(-1)
    assert stages["both"]["share"] == np.mean(labels == 0)
    metrics = task.metrics(recipe, scored, ["a", "b", "c"])
    said = "\n".join(task.score_lines(metrics, ["a", "b", "c"]))
    assert "a perfect classifier on what was cut out (IoU 0.5 with an annotated box): 0.667" in said
    assert "1 image without a detection" in said
    without = [(name, replace(s, box=None)) for name, s in samples]
    again = task.score(recipe, two(model, recipe), without)
    assert again.details["stages"]["annotated_boxes"] is None
    assert again.details["stages"]["both"] == stages["both"]


def test_windows_and_answers_in_the_graph_are_those_in_python():
    rng = np.random.default_rng(0)
    for margin in (0.0, 0.1, 0.33, 2.0):
        first = rng.uniform(-3, 20, (50, 2))
        boxes = np.concatenate([first, first + rng.uniform(0.2, 15, (50, 2))], 1).astype("f4")
        boxes = boxes[(boxes[:, 2:] > 0).all(1) & (boxes[:, 0] < 30) & (boxes[:, 1] < 20)]
        wanted = [window_of(box, (20, 30), margin) for box in boxes]
        assert windows_of(boxes, tf.constant([20, 30]), margin).numpy().tolist() == [
            list(window) for window in wanted
        ]
    for how in AGGREGATES:
        for number in (1, 2, 3, 4):
            values = rng.dirichlet(np.ones(3), number).astype("f4")
            weights = rng.integers(1, 50, number)
            found = aggregated(tf.constant(values), tf.constant(weights), how)
            np.testing.assert_allclose(found, aggregate(values, weights, how), atol=1e-6)
    sure = np.eye(3, dtype="f4")
    np.testing.assert_allclose(aggregated(sure, np.ones(3), "median"), np.full(3, 1 / 3), atol=1e-6)


def test_a_classifier_that_sees_no_box_is_refused(model):
    recipe = SimpleNamespace(cut=recipe_of().cut.__class__("full", lambda whole: []))
    with pytest.raises(InputError, match=r"data.input must be crop.*has `full`"):
        TwoStage(Marked(), ClassInference(model, channels=1, size=SIZE), recipe=recipe, channels=1)
    with pytest.raises(InputError, match="classifies what a detector found; a segmentation cannot"):
        task_of("segmentation").two_stage(None, None, None, keep="best", fallback="whole")


def test_choose_takes_no_box_of_no_class():
    rows = {"boxes": np.array([[[1.0, 1, 5, 5]]], "f4"), "scores": np.array([[0.9]], "f4")}
    chosen = choose(
        {**rows, "classes": np.array([[-1]])}, tf.constant([8, 8]), keep="best", fallback="whole"
    )
    assert chosen["fell"].numpy().tolist() == [True]
