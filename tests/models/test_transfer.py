"""Backbones from elsewhere: their features are the original's, and the right weights enter."""

import keras
import numpy as np
import pytest

from tests.models import tiny_encoder
from tests.models.wiring import noise
from tfvision.errors import InputError
from tfvision.models import Transfer
from tfvision.models.encoder_json import read_architecture
from tfvision.models.encoder_weights import load_encoder
from tfvision.models.unfreezing import blocks_of


@pytest.fixture(scope="module")
def original():
    return tiny_encoder.build()


@pytest.fixture(scope="module")
def file(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("backbone") / "tiny.keras"
    original.save(path)
    return str(path)


def section(file, **more):
    return {"path": file, "preprocessing": {}, **more}


def loaded(shape, backbone, **more):
    model = Transfer(shape, 4, backbone=backbone, **more)
    load_encoder(model, backbone)
    return model


def features_of(model):
    return keras.Model(model.input, model.get_layer("head_pool").output)


@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
def test_features_are_means_of_the_originals_last_map(original, file, size):
    model = loaded((*size, 3), section(file))
    images = noise(2, *size, 3)
    maps = tiny_encoder.maps_at(original, size)(images)
    np.testing.assert_allclose(
        features_of(model)(images), np.mean(maps[-1], axis=(1, 2)), rtol=1e-5, atol=1e-6
    )


def test_a_tap_names_another_map(original, file):
    model = loaded((32, 32, 3), section(file, taps=["gated"]))
    images = noise(2, 32, 32, 3)
    gated = keras.Model(original.input, original.get_layer("gated").output)(images)
    np.testing.assert_allclose(
        features_of(model)(images), np.mean(gated, axis=(1, 2)), rtol=1e-5, atol=1e-6
    )
    assert "encoder_deep" not in [layer.name for layer in model.layers]


def test_the_whole_of_an_application_is_keras_own(tmp_path):
    """Preprocessing, layers and weights of VGG16, on one image in 0..255."""
    own = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    path = str(tmp_path / "own.weights.h5")
    own.save_weights(path)
    model = loaded((32, 32, 3), {"name": "VGG16", "weights": path})
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype("float32")
    expected = own(keras.applications.vgg16.preprocess_input(pixels.copy()))[:, 0, 0]
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(features_of(model)(pixels / 255), expected, rtol=1e-4, atol=1e-4)
    assert [len(block) for block in blocks_of(model)] == [2, 2, 3, 3, 3]


@pytest.mark.parametrize(("colours", "upsample"), [(3, 1), (1, 2)])
def test_a_region_is_added_and_changes_nothing_at_the_start(file, colours, upsample):
    backbone = section(file, upsample=upsample)
    plain, more = loaded((33, 32, colours), backbone), loaded((33, 32, colours + 1), backbone)
    more.get_layer("logits").set_weights(plain.get_layer("logits").get_weights())
    images, region = noise(2, 33, 32, colours), (noise(2, 33, 32, 1) > 0.5).astype("float32")
    with_region = np.concatenate([images, region], axis=-1)
    np.testing.assert_allclose(more(with_region), plain(images), atol=1e-6)

    kernel = more.get_layer("region_stem").kernel
    more.compile(keras.optimizers.SGD(1e-6), "mse", run_eagerly=True)
    more.train_on_batch(with_region, np.eye(4)[:2])
    assert np.abs(kernel).max() > 0
    kernel.assign(noise(*kernel.shape) - 0.5)
    without = np.concatenate([images, 0 * region], axis=-1)
    assert np.abs(np.subtract(more(with_region), more(without))).max() > 1e-3


def test_a_frozen_backbone_keeps_weights_and_statistics(file):
    model = loaded((32, 32, 4), section(file, trainable=False))
    of_backbone = [y for y in model.layers if y.name.startswith("encoder_")]
    before = [w.numpy() for y in of_backbone for w in y.weights]
    model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=True)
    head = model.get_layer("logits").get_weights()
    model.train_on_batch(noise(4, 32, 32, 4), np.eye(4))
    after = [w.numpy() for y in of_backbone for w in y.weights]
    assert len(before) > 6
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert not np.array_equal(head[0], model.get_layer("logits").get_weights()[0])


def test_building_reads_no_weights(file):
    """A run is rebuilt from its architecture alone; its own weights come from a checkpoint."""
    model = Transfer((32, 32, 3), 4, backbone=section(file))
    assert np.array_equal(model.get_layer("encoder_stem_bn").gamma, np.ones(6))
    text = read_architecture(file)
    other = Transfer((32, 32, 3), 4, backbone={"architecture": text, "preprocessing": {}})
    assert [y.name for y in other.layers] == [y.name for y in model.layers]


@pytest.mark.parametrize(
    ("backbone", "shape", "message"),
    [
        ({"name": "MobilNet"}, (32, 32, 3), "Unknown backbone of keras.applications.*'MobileNet'"),
        ({}, (32, 32, 3), "backbone needs a name of keras.applications or the path"),
        ({"path": None}, (32, 32, 3), "backbone.path is missing.*--set model.backbone.path=FILE"),
        ({"path": "nil.keras", "preprocessing": {}}, (32, 32, 3), "there is no file nil.keras"),
        ({"path": "nil.keras"}, (32, 32, 3), "backbone.preprocessing is missing"),
        ({"name": "MobileNet", "wieghts": None}, (32, 32, 3), "Unknown key of backbone: 'wieghts'"),
        ({"name": "MobileNet", "stem": True}, (32, 32, 3), "backbone.stem is a skip"),
        ({"name": "MobileNet", "taps": ["a", "b"]}, (32, 32, 3), "must name one layer.*: a, b"),
    ],
)
def test_bad_sections(backbone, shape, message):
    with pytest.raises(InputError, match=message):
        Transfer(shape, 4, backbone=backbone)


def test_images_of_other_channels_are_refused(file):
    with pytest.raises(InputError, match="takes 3 channels; the images have 5"):
        Transfer((32, 32, 5), 4, backbone=section(file))


@pytest.mark.parametrize(
    ("name", "features", "blocks"),
    [
        ("MobileNet", 1024, 14),
        *(
            pytest.param(*row, marks=pytest.mark.slow)
            for row in (
                ("EfficientNetB0", 1280, 17),
                ("EfficientNetV2M", 1280, 58),
                ("ConvNeXtTiny", 768, 19),
                ("ConvNeXtLarge", 1536, 37),
            )
        ),
    ],
)
def test_the_backbones_of_the_tissue_report_build(name, features, blocks):
    """With random weights: shapes of the features, blocks that can be unfrozen."""
    model = Transfer((64, 96, 4), 4, backbone={"name": name})
    assert model.output_shape == (None, 4)
    assert model.get_layer("logits").kernel.shape == (features, 4)
    assert len(blocks_of(model)) == blocks
    keras.utils.clear_session()
