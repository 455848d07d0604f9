"""Several models as one: the mean is the mean, and they run one after the other."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfvision.engine.ensemble import Ensemble
from tfvision.engine.ensemble_weights import normalise
from tfvision.engine.inference import Inference
from tfvision.errors import InputError
from tfvision.models import MODELS
from tfvision.postprocess.pixelwise import drop_class


class Constant(tf.Module):
    """Predicts the same probabilities at every pixel, by an op of a name."""

    def __init__(self, probabilities, name="constant"):
        super().__init__(name=name)
        self._values = np.asarray(probabilities, np.float32)

    def serve_float(self, image):
        ones = tf.ones_like(image[..., :1], name=self.name)
        return {"probabilities": ones * self._values}


def image(height=5, width=7, channels=1, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (2, height, width, channels), np.uint8)
    return pixels, pixels.astype(np.float32) * np.float32(1 / 255)


def test_it_predicts_the_weighted_mean_and_its_labels():
    members = [Constant([0.8, 0.2, 0.0]), Constant([0.0, 0.4, 0.6]), Constant([0.1, 0.8, 0.1])]
    ensemble = Ensemble(members, [3, 1, 4], channels=1)
    found = ensemble.serve_float(tf.constant(image()[1]))
    want = (3 * 0.8 + 4 * 0.1) / 8, (3 * 0.2 + 0.4 + 4 * 0.8) / 8, (0.6 + 4 * 0.1) / 8
    assert found["probabilities"].shape == (2, 5, 7, 3)
    np.testing.assert_allclose(found["probabilities"], np.broadcast_to(want, (2, 5, 7, 3)), 1e-6)
    assert found["labels"].dtype == tf.uint8
    assert (found["labels"].numpy() == 1).all()


def test_without_weights_all_count_alike():
    ensemble = Ensemble([Constant([1, 0]), Constant([0.5, 0.5])], channels=1)
    found = ensemble.serve_float(tf.constant(image()[1]))["probabilities"].numpy()
    np.testing.assert_allclose(found[0, 0, 0], [0.75, 0.25], atol=1e-7)


def test_rules_act_on_the_mean():
    # Each member alone would say 0, then 2; of the mean without 0 it is 1.
    members = [Constant([0.6, 0.35, 0.05]), Constant([0.1, 0.4, 0.5])]
    rules = [drop_class(num_classes=3, index=0)]
    found = Ensemble(members, channels=1, rules=rules).serve_float(tf.constant(image()[1]))
    assert (found["labels"].numpy() == 1).all()
    np.testing.assert_allclose(found["probabilities"][0, 0, 0], [0.35, 0.375, 0.275], atol=1e-6)


def test_members_of_other_architectures_and_sizes_go_together():
    keras.utils.set_random_seed(0)
    style = {"width": 4, "normalization": "group"}
    members = [
        Inference(MODELS["unet"]((None, None, 1), 3, depth=1, **style), channels=1, size=(8, 8)),
        Inference(MODELS["unetpp"]((None, None, 1), 3, depth=1, **style), channels=1),
    ]
    pixels, floats = image(13, 10)
    ensemble = Ensemble(members, [0.25, 0.75], channels=1)
    alone = [m.serve_float(tf.constant(floats))["probabilities"].numpy() for m in members]
    assert np.abs(alone[0] - alone[1]).max() > 1e-3  # so a wrong weight shows
    found = ensemble.serve_float(tf.constant(floats))
    want = 0.25 * alone[0] + 0.75 * alone[1]
    np.testing.assert_allclose(found["probabilities"], want, atol=1e-6)
    np.testing.assert_array_equal(found["labels"], want.argmax(-1))
    of_bytes = ensemble.serving_default(tf.constant(pixels))
    np.testing.assert_allclose(of_bytes["probabilities"], want, atol=1e-6)


def test_members_run_one_after_the_other():
    members = [Constant([1, 0], name=f"member_{i}") for i in range(3)]
    graph = Ensemble(members, channels=1).serve_float.get_concrete_function().graph
    for before, after in (("member_0", "member_1"), ("member_1", "member_2")):
        waiting, seen = [graph.get_operation_by_name(after)], set()
        while waiting:
            op = waiting.pop()
            if op.name not in seen:
                seen.add(op.name)
                waiting += [t.op for t in op.inputs] + list(op.control_inputs)
        assert before in seen


@pytest.mark.parametrize("weights", [[1, 0], [2, -1], [1, float("nan")], [1, float("inf")]])
def test_a_weight_that_is_not_positive_is_refused(weights):
    with pytest.raises(
        InputError, match=r"must be positive numbers; received (0|-1|nan|inf) among"
    ):
        normalise(weights)


@pytest.mark.parametrize(("count", "weights"), [(1, None), (2, [1.0]), (2, [1.0, 1, 1])])
def test_an_ensemble_of_one_or_with_other_weights_is_refused(count, weights):
    members = [Constant([1, 0])] * count
    with pytest.raises(InputError, match="at least two members and a weight for each"):
        Ensemble(members, weights, channels=1)
