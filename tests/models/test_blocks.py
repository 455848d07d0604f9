"""Blocks that models share, against a definition of their own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfvision.models import blocks


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("size", [(1, 1), (2, 5), (7, 3)])
def test_enlarging_an_open_size_is_bilinear(factor, size):
    image = keras.Input((None, None, 3))
    model = keras.Model(image, blocks.enlarge(image, factor, name="up"))
    open_size = [tf.TensorSpec((None, None, None, 3))]
    pixels = np.random.default_rng(0).random((2, *size, 3), dtype="float32")
    bilinear = keras.layers.UpSampling2D(factor, interpolation="bilinear")(pixels)
    found = tf.function(model, input_signature=open_size)(pixels)
    np.testing.assert_allclose(found, bilinear, atol=1e-5)
