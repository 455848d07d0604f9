"""Backbones and their pyramid: strides, sizes, weights by hand, what a level sees."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.models import tiny_encoder
from tests.models.wiring import inputs_of, noise, outputs_of
from tfvision.errors import InputError
from tfvision.models import BACKBONES, RetinaNet
from tfvision.models.backbones import backbone_maps, own_backbone
from tfvision.models.encoder_weights import load_encoder
from tfvision.models.fpn import feature_pyramid

STRIDES = (4, 8, 16, 32)


def model_of(backbone, size=(64, 96), channels=3, strides=STRIDES):
    image = keras.Input((*size, channels))
    maps = backbone_maps(image, backbone, strides)
    return keras.Model(image, maps)


@pytest.mark.parametrize(
    ("backbone", "channels"),
    [
        ("slim_resnet", [32, 64, 128, 256]),
        ("slim_resnet(width=8)", [8, 16, 32, 64]),
        ("resnet(depth=18, width=8)", [8, 16, 32, 64]),
        ({"name": "resnet", "depth": 50, "width": 4}, [16, 32, 64, 128]),
    ],
)
@pytest.mark.parametrize("grey", [False, True])
def test_maps_have_their_strides(backbone, channels, grey):
    maps = model_of(backbone, channels=1 if grey else 3).output
    assert {s: tuple(x.shape) for s, x in maps.items()} == {
        s: (None, 64 // s, 96 // s, n) for s, n in zip(STRIDES, channels, strict=True)
    }


def test_grey_is_repeated_for_pixels_as_colours_want_them():
    model = model_of("resnet(depth=18, width=4, preprocessing='torch')", channels=1)
    assert model.get_layer("stem_conv").kernel.shape == (7, 7, 3, 4)
    image = noise(1, 64, 96, 1)
    (pixels,) = outputs_of(model, ["pixels_shift"], image)
    mean, deviation = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    np.testing.assert_allclose(pixels, (image - mean) / deviation, rtol=1e-5, atol=1e-5)


def test_vgg16_keeps_what_a_stride_does_not_divide():
    image = keras.Input((75, 50, 1))
    maps = backbone_maps(image, "vgg16(normalization='none')", (4, 8, 16))
    shapes = {s: tuple(x.shape[1:]) for s, x in maps.items()}
    assert shapes == {4: (19, 13, 256), 8: (10, 7, 512), 16: (5, 4, 1024)}


# torchvision counts 1,000 classes and the two weights of a normalisation in `parameters()`.
@pytest.mark.parametrize(
    ("depth", "torchvision", "features"),
    [(18, 11_689_512, 512), (34, 21_797_672, 512), (50, 25_557_032, 2048), (101, 44_549_160, 2048)],
)
def test_weights_are_as_many_as_torchvisions(depth, torchvision, features):
    model = model_of(f"resnet(depth={depth}, normalization='batch')", size=(None, None))
    learnt = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert learnt == torchvision - 1000 * (features + 1)


def test_maps_do_not_depend_on_zeros_behind_the_image():
    """The batch pads below and to the right; what stands far from there must not notice."""
    model = model_of("slim_resnet(width=4, normalization='none')", size=(None, None))
    image = noise(1, 64, 64, 3)
    large = np.pad(image, [(0, 0), (0, 64), (0, 64), (0, 0)])
    near, far = model(image), model(large)
    np.testing.assert_allclose(near[4][:, :4, :4], far[4][:, :4, :4], atol=1e-6)


def test_convolutions_of_stride_two_look_as_far_up_as_down():
    model = model_of("resnet(depth=18, width=4, normalization='none')")
    given, wanted = outputs_of(
        model, ["stage1_block2_act", "stage2_block1_1_conv"], noise(1, 64, 96, 3)
    )
    kernel, bias = model.get_layer("stage2_block1_1_conv").get_weights()
    rows = np.pad(given, [(0, 0), (1, 0), (1, 0), (0, 0)])[0, :3, :3]
    np.testing.assert_allclose(
        wanted[0, 0, 0], np.einsum("hwc,hwco->o", rows, kernel) + bias, atol=1e-5
    )


def test_open_size_has_the_weights_and_values_of_the_fixed_size():
    fixed, opened = (model_of("slim_resnet(width=4)", size=s) for s in [(64, 96), (None, None)])
    opened.set_weights(fixed.get_weights())
    graph = tf.function(opened, input_signature=[tf.TensorSpec((None, None, None, 3))])
    images = noise(2, 64, 96, 3)
    for stride, wanted in fixed(images).items():
        np.testing.assert_allclose(graph(images)[stride], wanted, atol=1e-5)


def test_frozen_normalisation_learns_nothing_and_keeps_its_statistics():
    model = model_of("slim_resnet(width=4, normalization='frozen')")
    frozen = [y for y in model.layers if isinstance(y, keras.layers.BatchNormalization)]
    assert frozen
    assert all("conv" in w.path for w in model.trainable_weights)
    before = [keras.ops.convert_to_numpy(w) for y in frozen for w in y.weights]
    model(noise(2, 64, 96, 3), training=True)
    after = [keras.ops.convert_to_numpy(w) for y in frozen for w in y.weights]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_keras_application_and_a_file_serve_as_backbones(tmp_path):
    maps = model_of({"name": "MobileNetV2", "arguments": {"alpha": 0.35}}).output
    assert [tuple(x.shape[1:3]) for x in maps.values()] == [(64 // s, 96 // s) for s in STRIDES]
    tiny_encoder.build().save(tmp_path / "tiny.keras")
    section = {"path": str(tmp_path / "tiny.keras"), "preprocessing": {}}
    assert list(model_of(section, strides=(4, 8)).output) == [4, 8]
    taps = {**section, "taps": ["gated", "deep_act"]}
    assert model_of(taps, strides=(4, 8)).output[4].shape[1:] == (16, 24, 6)


def test_the_weights_of_a_file_enter_the_backbone_of_a_detector(tmp_path):
    tiny = tiny_encoder.build()
    tiny.save(tmp_path / "tiny.keras")
    section = {"path": str(tmp_path / "tiny.keras"), "preprocessing": {}}
    model = RetinaNet((32, 32, 3), 2, backbone=section, levels=[2, 3], channels=8)
    entered = load_encoder(model, section, called="backbone")
    assert entered["num_variables"] == 13
    stem = model.net.get_layer("encoder_stem").kernel
    np.testing.assert_array_equal(stem, tiny.get_layer("stem").kernel)


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("slim_resnt", "Unknown backbone: 'slim_resnt'. Did you mean 'slim_resnet'"),
        ("MobileNetv2", "Did you mean 'MobileNetV2'"),
        ("resnet(depth=20)", r"depth must be one of 18, 34, 50, 101\. Received: 20"),
        ("resnet(widht=20)", "Unknown argument of backbone `resnet`: 'widht'"),
        ("slim_resnet(width=0)", "width must be a whole number of at least 1"),
        ("slim_resnet(normalization='batsch')", "Unknown normalization: 'batsch'"),
    ],
)
def test_refusals(backbone, message):
    with pytest.raises(InputError, match=message):
        model_of(backbone)


def test_a_stride_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no map of stride 2; it has 4, 8, 16, 32"):
        model_of("slim_resnet(width=4)", strides=(2, 4))


def test_which_sections_name_a_backbone_of_the_table():
    assert [own_backbone(name).name for name in BACKBONES] == ["slim_resnet", "resnet", "vgg16"]
    assert own_backbone({"name": "ResNet50"}) is None
    assert own_backbone({"path": "x.keras"}) is None


def pyramid_model(size=(64, 96), **arguments):
    image = keras.Input((*size, 3))
    maps = backbone_maps(image, "slim_resnet(width=4)", (8, 16, 32))
    return keras.Model(image, feature_pyramid(maps, 12, **arguments))


def test_a_level_is_the_sum_of_its_stride_and_the_doubled_level_above():
    model = pyramid_model()
    assert inputs_of(model, "fpn_add_8") == ["fpn_lateral_8", "fpn_up_8"]
    assert inputs_of(model, "fpn_up_8") == ["fpn_add_16"]
    assert inputs_of(model, "fpn_up_16") == ["fpn_lateral_32"]
    assert inputs_of(model, "fpn_16") == ["fpn_add_16"]
    assert inputs_of(model, "fpn_lateral_16") == ["stage3_block2_act"]
    up, coarse = outputs_of(model, ["fpn_up_8", "fpn_add_16"], noise(1, 64, 96, 3))
    np.testing.assert_array_equal(up[:, 1::2, ::2], coarse)


def test_extra_levels_by_pool_take_every_second_pixel():
    model = pyramid_model((96, 64), extra="pool", extra_levels=1)
    levels = model(noise(1, 96, 64, 3))
    assert [tuple(x.shape) for x in levels.values()] == [
        (1, 12, 8, 12),
        (1, 6, 4, 12),
        (1, 3, 2, 12),
        (1, 2, 1, 12),  # sizes are rounded up
    ]
    np.testing.assert_array_equal(levels[64], levels[32][:, ::2, ::2])


def test_extra_levels_by_convolution_are_counted_and_wired():
    without, model = pyramid_model(extra_levels=0), pyramid_model(extra="conv", extra_levels=2)
    assert model.count_params() - without.count_params() == 2 * (9 * 12 * 12 + 12)
    assert inputs_of(model, "fpn_pad_64") == ["fpn_32"]
    assert inputs_of(model, "fpn_act_128") == ["fpn_64"]
    assert inputs_of(model, "fpn_pad_128") == ["fpn_act_128"]


def test_a_pyramid_takes_open_sizes():
    fixed, opened = pyramid_model((64, 96)), pyramid_model((None, None))
    opened.set_weights(fixed.get_weights())
    graph = tf.function(opened, input_signature=[tf.TensorSpec((None, None, None, 3))])
    images = noise(1, 64, 96, 3)
    for stride, wanted in fixed(images).items():
        np.testing.assert_allclose(graph(images)[stride], wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("strides", "arguments", "message"),
    [
        ((8, 32), {}, "must double"),
        ((8, 16), {"extra": "pol"}, "Unknown extra: 'pol'. Did you mean 'pool'"),
        ((8, 16), {"channels": 0}, "channels must be a whole number"),
    ],
)
def test_refusals_of_a_pyramid(strides, arguments, message):
    maps = {s: keras.Input((64 // s, 64 // s, 3)) for s in strides}
    with pytest.raises(InputError, match=message):
        feature_pyramid(maps, **arguments)
