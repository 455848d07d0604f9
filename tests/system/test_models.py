"""The cost of a model against a count by hand, the list of models, what a run was made with."""

import re

import keras
import pytest
from keras import layers

from tfvision.models import MODELS
from tfvision.runs import environment
from tfvision.system.models import models, multiply_adds
from tfvision.tasks.facts import TaskFacts


def test_multiply_adds_of_a_small_net():
    image = keras.Input((8, 12, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)  # 8 x 12 places, 3 x 3 x 3 x 4 each
    x = layers.BatchNormalization()(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(6, 3, strides=2, padding="same")(x)  # 4 x 6 places, 3 x 3 x 4 x 6
    x = layers.DepthwiseConv2D(3, padding="same")(x)  # 4 x 6 places, 3 x 3 x 6
    x = layers.Conv2DTranspose(5, 2, strides=2)(x)  # 4 x 6 places of its input, 2 x 2 x 6 x 5
    x = layers.Conv2D(4, 1, padding="valid")(layers.UpSampling2D(1)(x))  # 8 x 12, 5 x 4
    x = layers.Dense(7)(layers.GlobalAveragePooling2D()(x))  # 4 x 7
    by_hand = (
        8 * 12 * 3 * 3 * 3 * 4
        + 4 * 6 * 3 * 3 * 4 * 6
        + 4 * 6 * 3 * 3 * 6
        + 4 * 6 * 2 * 2 * 6 * 5
        + 8 * 12 * 5 * 4
        + 4 * 7
    )
    assert multiply_adds(keras.Model(image, x)) == by_hand


def test_an_unpadded_and_a_grouped_convolution():
    image = keras.Input((8, 8, 4))
    x = layers.Conv2D(6, 3, padding="valid", groups=2)(image)  # 6 x 6 places, 3 x 3 x 2 x 6
    assert multiply_adds(keras.Model(image, x)) == 6 * 6 * 3 * 3 * 2 * 6


def test_attention_projects_twice_multiplies_twice_and_projects_back():
    image = keras.Input((4, 6, 8))
    asked = layers.Conv2D(5, 2, strides=2)(image)  # 2 x 3 places, 2 x 2 x 8 x 5
    x = layers.MultiHeadAttention(3, 7, value_dim=2, attention_axes=(1, 2))(image, asked)
    queries, keys, values = 24 * 8 * 3 * 7, 6 * 5 * 3 * 7, 6 * 5 * 3 * 2
    scores, means, output = 24 * 6 * 3 * 7, 24 * 6 * 3 * 2, 24 * 3 * 2 * 8
    by_hand = 6 * 2 * 2 * 8 * 5 + queries + keys + values + scores + means + output
    assert multiply_adds(keras.Model(image, x)) == by_hand


# Much of a small SegFormer's cost, depth-wise and in attention, grows with the width itself, and
# that of DeepLab's decoder not at all.
@pytest.mark.parametrize("name", [n for n in MODELS if n not in ("segformer", "deeplab_v3plus")])
def test_twice_the_width_costs_about_four_times(name):
    small, large = (
        multiply_adds(MODELS[name]((32, 32, 1), 3, width=width, depth=2)) for width in (16, 32)
    )
    assert 3.5 < large / small < 4


def test_the_list_has_a_row_a_model(capsys, monkeypatch):
    small = {name: MODELS[name]((16, 16, 1), 2, width=4, depth=3) for name in MODELS}

    class Table(dict):
        def __getitem__(self, name):
            def build(shape, num_classes):
                assert (shape, num_classes) == ((64, 128, 1), 5)
                return small[name]

            build.__doc__ = MODELS[name].__doc__
            return build

    def transfer(input_shape, num_classes, *, backbone):
        """Of another."""

    tables = {
        "segmentation": Table(small),
        "classification": {"transfer": transfer},
        "detection": {},
    }
    monkeypatch.setattr(TaskFacts, "models", lambda facts: tables[facts.name])
    *rows, last = models()
    *lines, _, backbone, _ = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("segmentation at 64x128x1, default width")
    assert (last["name"], last["task"], last["num_parameters"]) == (
        *("transfer", "classification", None),
    )
    assert re.fullmatch(r"transfer +of its backbone +Of another\.", backbone)
    assert [row["name"] for row in rows] == list(MODELS)
    for row, line in zip(rows, lines[1:], strict=True):
        assert row["num_parameters"] == small[row["name"]].count_params()
        assert line.startswith(row["name"])
        assert f"{row['num_parameters']:,}" in line
        assert row["about"]
        assert line.endswith(row["about"])


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(environment, "PACKAGES", ("numpy", "no-such-package-anywhere"))
    found = environment.versions()
    assert found["no-such-package-anywhere"] is None
    assert found["numpy"].count(".") >= 1


def test_what_a_run_was_made_with():
    import tensorflow as tf

    from tfvision import __version__

    found = environment.environment(tf.distribute.get_strategy(), "train_seg.py --arch unet")
    assert found["tfvision"] == __version__
    assert found["command"] == "train_seg.py --arch unet"
    assert found["tensorflow"] == tf.__version__
    assert found["keras"] == keras.__version__
    assert {"python", "replicas", "strategy", "gpus", "machine"} <= set(found)


def test_peak_memory_is_in_bytes_and_never_falls():
    before = environment.peak_memory()
    block = bytearray(200 * 2**20)
    block[::4096] = b"x" * len(block[::4096])
    after = environment.peak_memory()
    assert 100 * 2**20 < before <= after < 2**40
