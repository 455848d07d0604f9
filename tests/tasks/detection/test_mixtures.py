"""Mixtures of DIoU or CIoU with another loss: which of their readings teaches what."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.detection.test_step import BATCHES, make
from tfvision.config import LossTerm
from tfvision.engine.sentinel import check_gradients
from tfvision.losses import DETECTION_LOSSES
from tfvision.recipe.loss_terms import with_moving_weights
from tfvision.registry import Spec
from tfvision.tasks.detection.losses import terms_of
from tfvision.tasks.detection.schema import DetectionLoss

AT = {"weight_from": 0.4}
FALLING = {**AT, "weight": 0.9, "weight_end": 0.5, "weight_before": 1.0, "heads": ["head"]}
RISING = {**AT, "weight": 0.1, "weight_end": 0.5, "weight_before": 0.0, "heads": ["head"]}


def mixture(target: str, name: str = "diou", rpn: bool = False) -> list[DetectionLoss]:
    """(1 - l) of one loss of the box head, and l of DIoU or CIoU."""
    own, other = (
        ("cross_entropy", "smooth_l1") if target == "cls" else ("smooth_l1", "cross_entropy")
    )
    pairs = {"pairs": "index"} if target == "box" else {}
    raw = [
        *([{"name": own, "heads": ["rpn"]}] if rpn else []),
        {"name": other, **({} if rpn else {"heads": ["head"]})},
        {"name": own, **FALLING},
        {"name": name, **RISING, **pairs},
    ]
    return [DetectionLoss.model_validate(one) for one in raw]


@pytest.fixture(scope="module")
def passed():
    """A Faster R-CNN, a tape of its pass through a batch, and what its heads say of it."""
    step = make()
    with tf.GradientTape(persistent=True) as tape:
        heads = step.forward(step.model, BATCHES[0], True)
    return step, tape, heads


def gradients(passed, specs, share: float):
    """Values and gradients, by term, in the last weights of the box head."""
    step, tape, heads = passed
    terms = weighted(specs, step.strategy, share)
    with tape:
        values = terms_of(specs, terms, BATCHES[0], {"head": heads["head"]})
    weights = [v.value for v in step.model.box_head.trainable_variables[-4:]]
    flat = {}
    for name, value in values.items():
        found = tape.gradient(value, weights)
        there = [np.zeros(w.shape) if g is None else g for g, w in zip(found, weights, strict=True)]
        flat[name] = np.concatenate([np.ravel(one) for one in there])
    return {name: float(tf.reduce_sum(v)) for name, v in values.items()}, flat


def weighted(specs, strategy, share: float):
    """Terms with their weights at a share of the training."""
    plain = [(DETECTION_LOSSES.build(Spec(name=s.name, **s.kwargs)), s.weight) for s in specs]
    terms, follow = with_moving_weights(specs, plain, strategy)
    if follow is not None:
        follow(share)
    return terms


def test_a_weight_waits_for_its_share_of_the_training():
    rising = DetectionLoss(name="diou", **RISING)
    falling = DetectionLoss(name="smooth_l1", **FALLING)
    assert [rising.weight_at(s) for s in (0, 0.39, 0.4, 0.7, 1)] == pytest.approx(
        [0, 0, 0.1, 0.3, 0.5]
    )
    assert falling.weight_at(0.2) == 1
    assert falling.weight_at(0.7) + rising.weight_at(0.7) == pytest.approx(1)
    # Through the middle of the report's staircase: 15 epochs, 0.1 + 0.05 (epoch - 6).
    for epoch in range(6, 15):
        stair = min(0.1 + 0.05 * (epoch - 6), 0.5)
        assert rising.weight_at((epoch + 0.5) / 15) == pytest.approx(stair, abs=0.023)
    assert LossTerm(name="dice", weight=0.7, weight_from=0.5, weight_end=1.0).weight_at(0.4) == 0.7


def test_it_is_saved_as_it_was_written():
    for one in mixture("box"):
        assert DetectionLoss.model_validate(one.model_dump()) == one
    plain = DetectionLoss(name="diou", weight_end=2.0).model_dump()
    assert not {"weight_from", "weight_before"} & set(plain)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"name": "diou", "weight_before": 0}, "weight_before=0, weight_from=0.4"),
        ({"name": "ciou", "weight_from": 0.3}, "weight_end or weight_before"),
    ],
)
def test_a_share_and_what_it_parts_go_together(raw, message):
    with pytest.raises(ValueError, match=message):
        LossTerm.model_validate(raw)


@pytest.mark.parametrize("name", ["diou", "ciou"])
@pytest.mark.parametrize("target", ["cls", "matched"])
def test_matched_pairs_teach(passed, target, name):
    values, found = gradients(passed, mixture(target, name), 0.7)
    assert values[f"head_{name}"] > 0
    assert np.abs(found[f"head_{name}"]).max() > 1e-6


@pytest.mark.parametrize("name", ["diou", "ciou"])
def test_pairs_by_index_only_rescale_the_other_loss(passed, name):
    values, found = gradients(passed, mixture("box", name), 0.7)
    assert values[f"head_{name}"] > 0
    assert not found[f"head_{name}"].any()
    _, alone = gradients(passed, [DetectionLoss(name="smooth_l1", heads=["head"])], 0.7)
    np.testing.assert_allclose(
        found["head_smooth_l1"], 0.7 * alone["head_smooth_l1"], rtol=1e-4, atol=1e-7
    )


def test_before_its_share_a_mixture_is_the_plain_loss(passed):
    values, found = gradients(passed, mixture("matched"), 0.2)
    names = ("cross_entropy", "smooth_l1")
    other, without = gradients(passed, [DetectionLoss(name=n, heads=["head"]) for n in names], 0.2)
    assert values["head_diou"] == 0
    for name in without:
        assert values[name] == pytest.approx(other[name], rel=1e-5)
        np.testing.assert_allclose(found[name], without[name], rtol=1e-4, atol=1e-7)


def test_the_sentinel_names_the_term_that_teaches_nothing(passed):
    """Of both readings in one loss, at a share where all terms count."""
    specs = [*mixture("box", "diou", rpn=True), *mixture("matched", "ciou")]
    step = passed[0]
    terms = weighted(specs, step.strategy, 0.5)

    def loss(batch, heads, names=None):
        return terms_of(specs, terms, batch, heads)

    alarms = check_gradients(step, BATCHES[0], loss=loss, terms=[], judged=False)
    assert {key for key in alarms if key.startswith("term ")} == {"term head_diou"}
    assert "gives no gradient: it teaches nothing" in alarms["term head_diou"]


def test_pairs_that_there_are_not():
    with pytest.raises(Exception, match="pairs must be matched or index"):
        DETECTION_LOSSES.build(Spec(name="diou", pairs="nearest"))
