"""Weights by layer: what a file holds, what of it fits a model."""

import zipfile

import h5py
import keras
import numpy as np
import pytest

from tests.models import tiny_encoder
from tfvision.errors import InputError
from tfvision.models import CLASSIFIERS, DETECTORS, MODELS
from tfvision.models.weight_files import give_weights, layers_of, read_weights

SLIM = {"backbone": "slim_resnet(width=4)"}
KINDS = {
    "unet": (MODELS, (16, 16, 1), {"width": 4, "depth": 2, "dropout": 0.1}),
    "segformer": (
        MODELS,
        (16, 16, 1),
        {"width": 4, "depth": 2, "first_stride": 2, "decoder_width": 8},
    ),
    "resnet18": (CLASSIFIERS, (32, 32, 1), {"width": 4, "normalization": "batch"}),
    "faster_rcnn": (DETECTORS, (64, 64, 1), {**SLIM, "channels": 8, "units": 8}),
    "retinanet": (DETECTORS, (64, 64, 1), {**SLIM, "channels": 8}),
    "ssd": (DETECTORS, (64, 64, 1), SLIM),
}
# What depends on the number of classes.
HEADS = {
    "unet": {"logits"},
    "segformer": {"logits"},
    "resnet18": {"logits"},
    "faster_rcnn": {"box_logits", "box_deltas"},
    "retinanet": {"class_last"},
    "ssd": {"class_head_1", "class_head_2", "class_head_3", "class_head_4"},
}


def make(name, classes=3):
    table, shape, arguments = KINDS[name]
    return table[name](shape, classes, **arguments)


def values(model):
    return {v.path: keras.ops.convert_to_numpy(v) for v in model.variables}


@pytest.mark.parametrize("name", KINDS)
def test_all_layers_come_back_and_heads_of_other_classes_are_made_anew(name, tmp_path):
    model = make(name)
    rng = np.random.default_rng(0)
    model.set_weights([rng.random(w.shape) for w in model.get_weights()])
    model.save_weights(tmp_path / "x.weights.h5")
    np.savez(tmp_path / "x.npz", **values(model))
    wanted = values(model)

    for file in ("x.weights.h5", "x.npz"):
        same = make(name)
        given = give_weights(same, read_weights(tmp_path / file))
        assert (given.anew, given.unused) == ({}, [])
        assert given.loaded == list(layers_of(model))
        for path, value in values(same).items():
            if value.dtype.kind == "f":
                np.testing.assert_array_equal(value, wanted[path])

    other = make(name, classes=5)
    before = values(other)
    given = give_weights(other, read_weights(tmp_path / "x.weights.h5"))
    assert set(given.anew) == HEADS[name]
    assert {unused.split("/")[-1] for unused in given.unused} == HEADS[name]
    assert all("there" in why and "here" in why for why in given.anew.values())
    for path, value in values(other).items():
        if path.rpartition("/")[0] in HEADS[name]:
            np.testing.assert_array_equal(value, before[path])


def test_a_keras_file_gives_the_layers_that_have_its_names(tmp_path):
    original = tiny_encoder.build()
    original.save(tmp_path / "x.keras")
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 3, use_bias=False, name="stem")(image)
    model = keras.Model(image, keras.layers.Conv2D(2, 1, name="other")(x))
    given = give_weights(model, read_weights(tmp_path / "x.keras"))
    assert given.loaded == ["stem"]
    assert given.anew == {"other": "not there"}
    assert "classes" in given.unused
    stem = original.get_layer("stem").get_weights()[0]
    np.testing.assert_array_equal(model.get_layer("stem").get_weights()[0], stem)


def dense(*sizes):
    x = image = keras.Input((3,))
    for i, size in enumerate(sizes):
        x = keras.layers.Dense(size, name=f"dense_{i}")(x)
    return keras.Model(image, x)


def test_a_layer_takes_all_of_its_weights_or_none():
    model = dense(2, 4)
    before = values(model)
    stored = {
        "dense_0": {"kernel": np.ones((3, 2)), "bias": np.ones(3)},
        "dense_1": {"kernel": np.ones((2, 4))},
    }
    given = give_weights(model, stored)
    assert given.loaded == []
    assert given.anew == {
        "dense_0": "(3, 2), (3,) there, (3, 2), (2,) here",
        "dense_1": "(2, 4) there, (2, 4), (4,) here",
    }
    for path, value in values(model).items():
        np.testing.assert_array_equal(value, before[path])


def test_a_name_that_is_there_twice_is_not_guessed():
    part = {"kernel": np.ones((3, 2)), "bias": np.ones(2)}
    model = dense(2)
    given = give_weights(model, {"a/dense_0": part, "b/dense_0": part})
    assert given.anew == {"dense_0": "there more than once"}
    assert give_weights(model, {"a/dense_0": part, "b/dense_1": part}).loaded == ["dense_0"]
    assert give_weights(model, {"a/dense_0": part, "dense_0": part}).unused == ["a/dense_0"]


def test_layers_to_be_made_anew_take_nothing():
    part = {"0": np.ones((3, 2)), "1": np.ones(2)}
    given = give_weights(dense(2), {"dense_0": part}, anew={"dense_0"})
    assert (given.loaded, given.anew) == ([], {"dense_0": "of other classes"})


def nameless(path):
    with h5py.File(path, "w") as file:
        file["layers/dense/vars/0"] = np.ones((3, 2))


def damaged(path):
    path.write_bytes(b"PK\x03\x04 and no more")


def without_weights(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", "{}")


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.weights.h5", nameless, "has no names of layers"),
        ("x.weights.h5", damaged, "holds no weights that can be read"),
        ("x.keras", damaged, "holds no weights that can be read"),
        ("x.keras", without_weights, "holds no weights that can be read"),
        ("x.npz", damaged, "holds no weights that can be read"),
        ("x.npz", lambda path: np.savez(path, np.ones(3)), "LAYER/VARIABLE.*arr_0"),
        ("x.npz", lambda path: np.savez(path, **{"a/b": np.array([{}])}), "pickle|read"),
        ("x.npz", lambda path: None, "There is no file"),
        ("x.bin", damaged, r"folder of a run or a file \.weights\.h5, \.keras, \.npz"),
    ],
)
def test_refusals(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path / name)
