"""What the losses refuse, and the messages."""

import numpy as np
import pytest

from tests.losses.cases import NAMES, K, build, random_case
from tfvision.errors import InputError


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"class_weights": [1, -1]}, "not negative; received"),
        ({"class_weights": [1, float("nan")]}, "must be finite"),
        ({"class_weights": [0, 0]}, "At least one class weight must be above 0"),
        ({"class_weights": "inverse"}, "Compute them from the data"),
        ({"class_weights": 3}, "must be a list of numbers"),
        ({"ignore_labels": 2.5}, "ignore_labels must be a whole number"),
        ({"ignore_labels": [True]}, "ignore_labels must be a whole number"),
    ],
)
def test_bad_common_arguments(name, kwargs, message):
    with pytest.raises(InputError, match=message):
        build(name, **kwargs)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("boundary", {"unit": "metre"}, "'pixel' or 'diagonal'; received 'metre'"),
        ("focal", {"gamma": -1}, "gamma of the focal loss must be at least 0; received -1"),
        ("focal", {"gamma": float("inf")}, "gamma"),
        ("tversky", {"alpha": -0.1}, "alpha >= 0"),
        ("tversky", {"beta": 0}, "beta > 0"),
        ("cross_entropy", {"label_smoothing": 1}, r"label_smoothing must lie in \[0, 1\)"),
        ("cross_entropy", {"label_smoothing": -0.1}, "received -0.1"),
        ("cross_entropy", {"label_smoothing": float("nan")}, "received nan"),
        ("hard_pixels", {"keep": 1.5}, "is a share, 0 to 1; received 1.5"),
        ("hard_pixels", {"keep": float("nan")}, "is a share, 0 to 1; received nan"),
        ("hard_pixels", {"minimum": 0}, "whole number of at least 1; received 0"),
        ("hard_pixels", {"minimum": 0.5}, "received 0.5. A share is `keep`"),
        ("hard_pixels", {"threshold": 1}, r"a probability in \[0, 1\); received 1"),
        ("lovasz_softmax", {"classes": "some"}, "'present' or 'all'; received 'some'"),
        ("lovasz_softmax", {"classes": [0, 1]}, "give it weight 0 in class_weights"),
    ],
)
def test_bad_own_arguments(name, kwargs, message):
    with pytest.raises(InputError, match=message):
        build(name, **kwargs)


@pytest.mark.parametrize("name", NAMES)
def test_bad_shapes(name):
    labels, logits = random_case(14)
    with pytest.raises(InputError, match="3 weights came for 4 classes"):
        build(name, class_weights=[1, 1, 1])(labels, logits)
    with pytest.raises(InputError, match="of the same size; received"):
        build(name)(labels[:, :4], logits)
    with pytest.raises(InputError, match="of the same size; received"):
        build(name)(np.eye(K)[labels], logits)
    with pytest.raises(InputError, match="at least 2"):
        build(name)(labels, logits[..., :1])


@pytest.mark.parametrize("name", NAMES)
def test_sample_weight_is_one_number_an_image(name):
    labels, logits = random_case(15)
    values = build(name).call(labels, logits).numpy()
    weighted = build(name)(labels, logits, sample_weight=np.array([1.0, 0.0, 2.0]))
    np.testing.assert_allclose(weighted, (values[0] + 2 * values[2]) / 3, rtol=1e-6)
    with pytest.raises(InputError, match="one number an image"):
        build(name)(labels, logits, sample_weight=np.ones(labels.shape))
