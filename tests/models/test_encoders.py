"""Encoders from elsewhere: their maps are the original's, and decoders use every one."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.checks import check_segmentation_model
from tests.models import tiny_encoder
from tests.models.wiring import influence, inputs_of, noise
from tfvision.errors import EnvironmentFault, InputError
from tfvision.models import MODELS, UNet, UNetPlusPlus, encoders, prune
from tfvision.models import encoder_weights as entering
from tfvision.models.encoder_graph import strides_of
from tfvision.models.encoder_json import architecture_of, read_architecture
from tfvision.models.encoder_pixels import prepare
from tfvision.models.encoder_weights import check_weights, load_encoder
from tfvision.models.encoders import (
    applications,
    encoder_maps,
    find_taps,
    parse_encoder,
    resolve_architecture,
)

LITE0 = (
    Path(__file__).resolve().parents[2].parent
    / "shared/data/pretrained/efficientnet_lite0_imagenet.keras"
)
STYLE = {"dropout": 0.0, "normalization": "batch", "activation": "relu"}
MODELS_WITH = [
    pytest.param("unet", {"stem": True}, {}, id="unet"),
    pytest.param("unet", {}, {}, id="unet-no-stem"),
    pytest.param("unetpp", {"upsample": 2}, {}, id="unetpp-enlarged"),
    pytest.param("unetpp", {}, {}, id="unetpp"),
    pytest.param("pan", {"stem": True}, {"levels": 1, "squeeze_excitation": 2}, id="pan"),
    pytest.param("pan", {}, {"variant": "fpn", "dropout": 0.1}, id="fpn"),
    pytest.param("deeplab_v3plus", {}, {"rates": (1,), "skip": 1, "features": 8}, id="deeplab"),
]


@pytest.fixture(scope="module")
def original():
    keras.utils.clear_session()  # its layers without a name are numbered as in a fresh session
    return tiny_encoder.build()


@pytest.fixture(scope="module")
def file(original, tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "tiny.keras"
    original.save(path)
    return str(path)


def section(file, **more):
    return {"path": file, "preprocessing": {}, **more}


def model_of_maps(encoder, size, depth, channels=3):
    image = keras.Input((*size, channels))
    maps = encoder_maps(image, encoder, depth=depth, width=4, style=STYLE)
    model = keras.Model(image, [y for y in maps if y is not None])
    load_encoder(model, encoder)
    return model


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    """As ConvNeXt: models of a fixed size inside, and no map before stride 4."""
    layers = keras.layers
    image = keras.Input((32, 32, 3))
    patches = [layers.Conv2D(4, 4, strides=4, name="cut"), layers.LayerNormalization()]
    x = keras.Sequential([keras.Input((32, 32, 3)), *patches], name="patches")(image)
    x = layers.ReLU(name="first")(x)
    halving = [layers.Conv2D(6, 2, strides=2, name="cut")]
    x = keras.Sequential([keras.Input((8, 8, 4)), *halving], name="halving")(x)
    model = keras.Model(image, layers.ReLU(name="second")(x))
    path = tmp_path_factory.mktemp("coarse") / "coarse.keras"
    model.save(path)
    return model, str(path)


def test_an_encoder_that_begins_with_stride_4_leaves_finer_skips_out(coarse):
    model, path = coarse
    images = noise(2, 32, 32, 3)
    maps = model_of_maps(section(path), (32, 32), 3)(images)
    inner = keras.Model(model.input, [model.get_layer(n).output for n in ("first", "second")])
    for found, expected in zip(maps, inner(images), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    unet = UNet((32, 48, 3), 5, width=4, depth=3, encoder=section(path))
    assert inputs_of(unet, "merge_2") == ["encoder_first", "up_2"]
    assert inputs_of(unet, "decoder_1_1_conv") == ["up_1"]
    assert unet.stride == 8


def test_unetpp_needs_a_map_at_every_stride_but_the_images_own(coarse):
    with pytest.raises(InputError, match=r"UNet.. needs a map.*stride 2.*unet, pan or deeplab"):
        UNetPlusPlus((32, 32, 3), 5, width=4, depth=3, encoder=section(coarse[1]))


def test_taps_are_the_last_map_of_each_stride(file):
    architecture = read_architecture(file)
    found = find_taps(architecture, parse_encoder(section(file)), 3)
    assert {k: v for k, v in found.items() if k < 8} == {2: "stem_act", 4: "gated"}
    assert found[8] == "deep_act"
    strides = strides_of(architecture)
    assert "rescaling" not in strides  # pixels are no features
    assert not {"gate", "classes"} & set(strides)  # 1x1, and no map


@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_maps_are_the_originals(original, file, size):
    images = noise(2, *size, 3)
    wanted = tiny_encoder.maps_at(original, size)(images)
    found = model_of_maps(section(file), size, 3)(images)
    opened = model_of_maps(section(file), (None, None), 3)(images)
    for a, b, c in zip(wanted, found, opened, strict=True):
        np.testing.assert_array_equal(b, a)
        np.testing.assert_array_equal(c, a)


def test_pixels_are_scaled_shifted_and_repeated_for_grey_images(original, file):
    images = noise(1, 32, 32, 1)
    mean, deviation = np.array([10.0, 20.0, 30.0]), np.array([50.0, 60.0, 70.0])
    pixels = (np.repeat(images, 3, axis=-1) * 255 - mean) / deviation
    wanted = tiny_encoder.maps_at(original, (32, 32))(pixels.astype("float32"))
    written = {"scale": 255, "subtract": mean.tolist(), "divide": deviation.tolist()}
    found = model_of_maps(section(file, preprocessing=written), (32, 32), 3, channels=1)(images)
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_enlarging_is_that_of_the_image(original, file):
    images = noise(1, 16, 16, 3)
    large = keras.layers.UpSampling2D(2, interpolation="bilinear")(images)
    wanted = tiny_encoder.maps_at(original, (32, 32))(large)
    found = model_of_maps(section(file, upsample=2), (16, 16), 3)(images)
    assert [y.shape[1] for y in found] == [16, 8, 4]
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6)


def test_only_the_strides_in_use_are_built(file):
    model = model_of_maps(section(file), (32, 32), 1)
    assert {y.name for y in model.layers if y.weights} == {"encoder_stem", "encoder_stem_bn"}
    bn = model.get_layer("encoder_stem_bn")
    assert (bn.momentum, bn.epsilon) == (0.97, 1e-3)


@pytest.mark.skipif(not LITE0.exists(), reason="needs ../shared/data/pretrained")
def test_lite0_gives_its_own_maps():
    written = {"scale": 255, "subtract": 127, "divide": 128}
    images = noise(1, 64, 96, 3)
    found = model_of_maps(section(str(LITE0), preprocessing=written), (64, 96), 5)(images)
    assert [y.shape[-1] for y in found] == [96, 144, 240, 672, 1280]

    try:
        lite0 = keras.models.load_model(LITE0, compile=False)
    except TypeError:
        pytest.skip("this Keras itself cannot load a file of a newer one; tfvision has")
    image = keras.Input((64, 96, 3))
    other = keras.models.clone_model(lite0, input_tensors=image)
    other.set_weights(lite0.get_weights())
    names = ["re_lu_2", "re_lu_6", "re_lu_10", "re_lu_22", "re_lu_32"]
    wanted = keras.Model(other.input, [other.get_layer(n).output for n in names])(
        (images * 255 - 127) / 128
    )
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-4)


def preprocess_input(name):
    """Keras' own, of the module that has this builder."""
    if name.startswith("MobileNetV3"):
        return keras.applications.mobilenet_v3.preprocess_input
    for module in vars(keras.applications).values():
        if hasattr(module, name) and hasattr(module, "preprocess_input"):
            return module.preprocess_input
    raise AssertionError(name)


@pytest.mark.parametrize("name", applications())
def test_preprocessing_is_the_familys_own(name):
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 4, 3)).astype("float32")
    wanted = preprocess_input(name)(pixels.copy())
    if name.startswith("EfficientNetB"):  # what its own layers make of pixels with its weights
        wanted = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    found = prepare(keras.ops.convert_to_tensor(pixels / 255), name=name)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("name", "more", "arguments"), MODELS_WITH)
def test_is_a_segmentation_model_of_any_size(name, more, arguments, file, tmp_path):
    def build(shape):
        encoder = section(file, **more)
        return MODELS[name](shape, 3, width=4, depth=3, encoder=encoder, **arguments)

    model = build((16, 24, 1))
    levels = 2 if "upsample" in more else 3
    assert model.stride == 2 ** (levels + arguments.get("levels", 0))
    if name == "unet" and more:  # SavedModel and `.keras` too; the others have the same layers
        check_segmentation_model(model, tmp_path, num_classes=3, image_shape=(16, 24, 1))
    odd, opened = build((13, 30, 1)), build((None, None, 1))
    opened.set_weights(odd.get_weights())
    images = np.zeros((1, 16, 32, 1), "float32")
    images[:, :13, :30] = noise(1, 13, 30, 1)
    np.testing.assert_allclose(
        opened(images)[:, :13, :30], odd(images[:, :13, :30]), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("name", "more", "arguments"), MODELS_WITH)
def test_every_map_reaches_the_logits(name, more, arguments, file):
    encoder = section(file, **more)
    model = MODELS[name]((16, 16, 1), 3, width=4, depth=3, encoder=encoder, **arguments)
    load_encoder(model, encoder)
    names = [f"encoder_{tap}" for tap in tiny_encoder.TAPS.values()]
    names += ["stem_2_act"] if "stem" in more else []
    assert min(influence(model, names, noise(1, 16, 16, 1)).values()) > 0


def test_skips_go_to_the_decoder_of_their_stride(file):
    model = UNet((16, 16, 3), 2, width=4, depth=3, encoder=section(file, stem=True))
    assert inputs_of(model, "merge_0") == ["stem_2_act", "up_0"]
    assert inputs_of(model, "merge_1") == ["encoder_stem_act", "up_1"]
    assert inputs_of(model, "merge_2") == ["encoder_gated", "up_2"]
    assert inputs_of(model, "up_2") == ["encoder_deep_act"]


def test_a_nested_unet_is_pruned_to_a_column(file):
    model = UNetPlusPlus(
        (16, 16, 3), 2, width=4, depth=3, encoder=section(file), deep_supervision=True
    )
    images = noise(1, 16, 16, 3)
    np.testing.assert_allclose(prune(model, 2)(images), model(images)[1], atol=1e-6)


def test_mixed_precision_reaches_the_encoder_but_not_its_pixels(file):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        encoder = section(file, preprocessing="tf", upsample=2)
        model = UNet((16, 16, 3), 2, width=4, depth=2, encoder=encoder)
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("encoder_stem").compute_dtype == "bfloat16"
    assert model.get_layer("encoder_stem").kernel.dtype == "float32"
    assert model.get_layer("pixels_shift").compute_dtype == "float32"
    assert model(noise(1, 16, 16, 3)).dtype == "float32"


def test_a_frozen_encoder_keeps_weights_and_statistics(file):
    encoder = section(file, trainable=False)
    model = UNet((16, 16, 3), 2, width=4, depth=3, encoder=encoder)
    load_encoder(model, encoder)
    assert not [w for w in model.trainable_weights if "encoder_" in w.path]
    inner = keras.Model(model.input, model.get_layer("encoder_deep_act").output)
    before = [keras.ops.convert_to_numpy(w) for w in inner.weights]
    images = noise(4, 16, 16, 3)
    np.testing.assert_array_equal(inner(images, training=True), inner(images, training=False))
    for a, b in zip(before, inner.weights, strict=True):
        np.testing.assert_array_equal(b, a)


def test_frozen_batch_norms_keep_statistics_while_the_rest_learns(file):
    encoder = section(file, batch_norm="frozen")
    model = UNet((16, 16, 3), 2, width=4, depth=3, encoder=encoder)
    learning = {w.path.split("/")[0] for w in model.trainable_weights if "encoder_" in w.path}
    norms = {y.name for y in model.layers if isinstance(y, keras.layers.BatchNormalization)}
    of_encoder = {name for name in norms if name.startswith("encoder_")}
    assert of_encoder
    assert learning
    assert not learning & of_encoder
    inner = keras.Model(model.input, model.get_layer("encoder_deep_act").output)
    images = noise(4, 16, 16, 3)
    np.testing.assert_array_equal(inner(images, training=True), inner(images, training=False))


def test_batch_norms_of_models_in_an_encoder_are_frozen_too():
    image = keras.Input((16, 16, 3))
    block = keras.Sequential(
        [keras.Input((8, 8, 4)), keras.layers.BatchNormalization(), keras.layers.ReLU()],
        name="block",
    )
    x = block(keras.layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(image))
    encoder = {
        "architecture": architecture_of(keras.Model(image, x)),
        "preprocessing": {},
        "batch_norm": "frozen",
    }
    model = UNet((16, 16, 3), 2, width=4, depth=1, encoder=encoder)
    assert model.get_layer("encoder_conv").trainable_weights
    assert not model.get_layer("encoder_block").trainable_weights


def test_batch_norm_is_train_or_frozen(file):
    with pytest.raises(InputError, match=r"encoder\.batch_norm must be train or frozen"):
        UNet((16, 16, 3), 2, width=4, depth=1, encoder=section(file, batch_norm="freeze"))


def test_a_model_is_named_the_same_whatever_was_built_before():
    first = architecture_of(tiny_encoder.build())
    second = architecture_of(tiny_encoder.build())
    names = [[layer["config"]["name"] for layer in y["config"]["layers"]] for y in (first, second)]
    assert names[0] == names[1]
    assert {"rescaling", "add", "conv2d", "global_average_pooling2d_1"} <= set(names[0])
    assert strides_of(first) == strides_of(second)


def test_layers_before_the_features_can_be_left_out(original, file, monkeypatch):
    # As of EfficientNetB0 to B7, whose Normalization forgets what it knew in a rebuilt run.
    monkeypatch.setattr(encoders, "application", lambda encoder: original)
    architecture = resolve_architecture(parse_encoder("EfficientNetB0"))
    names = [layer["config"]["name"] for layer in architecture["config"]["layers"]]
    assert not any(name.startswith("rescaling") for name in names)
    ready = {"architecture": architecture, "preprocessing": {"scale": 2, "subtract": 1}}
    images = noise(1, 32, 32, 3)
    wanted = tiny_encoder.maps_at(original, (32, 32))(images)
    found = model_of_maps({**ready, "weights": file}, (32, 32), 3)(images)
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6)


def test_weights_of_an_application_by_file(tmp_path):
    arguments = {"alpha": 0.25}
    source = keras.applications.MobileNet(
        include_top=False, weights=None, input_shape=(None, None, 3), **arguments
    )
    source.set_weights([w + 0.25 for w in source.get_weights()])
    source.save_weights(tmp_path / "mobile.weights.h5")
    encoder = {
        "name": "MobileNet",
        "arguments": arguments,
        "weights": str(tmp_path / "mobile.weights.h5"),
        "taps": ["conv1_relu", "conv_pw_2_relu"],
    }
    model = UNet((32, 32, 3), 2, width=4, depth=2, encoder=encoder)
    record = load_encoder(model, encoder)
    images = noise(1, 32, 32, 3)
    wanted = keras.Model(source.input, source.get_layer("conv_pw_2_relu").output)(images * 2 - 1)
    found = keras.Model(model.input, model.get_layer("encoder_conv_pw_2_relu").output)(images)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert (record["source"], len(record["sha256"])) == (encoder["weights"], 64)


def test_weights_that_cannot_be_fetched_say_to_give_a_file(monkeypatch):
    def answers_nothing(**_):
        raise Exception("URL fetch failure on https://a.b: None -- no route\nmore")

    monkeypatch.setattr(
        entering, "application", lambda encoder, weights=None: answers_nothing(weights=weights)
    )
    section = {"name": "MobileNetV2", "weights": "imagenet"}
    for called in ("encoder", "backbone"):
        with pytest.raises(
            EnvironmentFault, match=rf"MobileNetV2 .* failure .*--set model\.{called}\.w"
        ):
            load_encoder(keras.Sequential(), section, called=called)


def test_imagenet_weights_take_the_pixels_they_were_trained_on():
    section = {"name": "MobileNetV2", "weights": "imagenet", "preprocessing": "torch"}
    message = "backbone.preprocessing 'torch' is not what the ImageNet weights of MobileNetV2 were"
    message += r" trained on\. Leave .*: --set model\.backbone\.preprocessing=null"
    with pytest.raises(InputError, match=message):
        check_weights(section, called="backbone")
    same = {"scale": 255, "subtract": 127.5, "divide": 127.5}
    for given in (None, "tf", same):
        check_weights({**section, "preprocessing": given}, called="backbone")
    check_weights({**section, "weights": None})  # these may learn from any


@pytest.mark.parametrize("ending", ["other.keras", "other.weights.h5"])
def test_a_file_that_does_not_fit_is_refused_by_its_first_layer(original, file, tmp_path, ending):
    other = keras.models.clone_model(original)
    wider = tiny_encoder.build(filters=9)
    (wider.save if ending == "other.keras" else wider.save_weights)(tmp_path / ending)
    encoder = section(file, weights=str(tmp_path / ending))
    model = UNet((16, 16, 3), 2, width=4, depth=3, encoder=encoder)
    before = [keras.ops.convert_to_numpy(w) for w in model.weights]
    with pytest.raises(InputError, match=r"layer deep .* \(1, 1, 6, 8\), \(8,\); in .*6, 9\)"):
        load_encoder(model, encoder)
    for a, b in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(b, a)
    other.save_weights(tmp_path / "same.weights.h5")
    load_encoder(model, {**encoder, "weights": str(tmp_path / "same.weights.h5")})
    np.testing.assert_array_equal(
        model.get_layer("encoder_stem").kernel, other.get_layer("stem").kernel
    )


def test_weights_without_the_classifier_fit(original, file, tmp_path):
    headless = keras.Model(original.inputs, original.get_layer("deep_act").output)
    headless.save_weights(tmp_path / "notop.weights.h5")
    encoder = section(file, weights=str(tmp_path / "notop.weights.h5"))
    model = UNet((16, 16, 3), 2, width=4, depth=3, encoder=encoder)
    load_encoder(model, encoder)
    kernel = original.get_layer("down").kernel
    np.testing.assert_array_equal(model.get_layer("encoder_down").kernel, kernel)


@pytest.mark.parametrize(
    ("more", "depth", "message"),
    [
        ({"tap": ["a"]}, 3, "Unknown key of encoder: 'tap'. Did you mean 'taps'"),
        ({"taps": ["stem_actt"]}, 1, "Unknown tap of the encoder .*Did you mean 'stem_act'"),
        ({"taps": ["stem", "stem_act"]}, 1, "stem and stem_act both have stride 2"),
        ({}, 4, "no map at stride 16, which depth 4 needs; it has 2, 4, 8"),
        ({"upsample": 3}, 3, r"upsample must be 1, 2, 4 or 8\. Received: 3"),
        ({"upsample": 8}, 3, "upsample 8 needs a depth of at least 4"),
        ({"preprocessing": None}, 3, "preprocessing is missing: say what pixels"),
        ({"preprocessing": "torhc"}, 3, "Did you mean 'torch'"),
        ({"preprocessing": {"divide": 0}}, 3, "divide must be a number.*none of them 0"),
        ({"path": None}, 3, r"path is missing: .*--set model\.encoder\.path=FILE"),
        ({"name": "VGG16"}, 3, "one of them. Received: name, path"),
        ({"path": None, "name": "MobileNetV4"}, 3, "Did you mean 'MobileNetV"),
        ({"path": "none.keras"}, 3, "there is no file none.keras"),
        ({"stem": "yes"}, 3, "stem must be true or false"),
        ({"arguments": {"alpha": 1}}, 3, "give its name"),
    ],
)
def test_bad_sections(more, depth, message, file):
    with pytest.raises(InputError, match=message):
        UNet((16, 16, 3), 2, width=4, depth=depth, encoder=section(file, **more))


def test_images_of_other_channels_are_refused(file):
    with pytest.raises(InputError, match="takes 3 channels; the images have 4"):
        UNet((16, 16, 4), 2, width=4, depth=3, encoder=section(file))


def test_a_layer_of_others_is_refused(file, tmp_path):
    text = json.dumps(read_architecture(file)).replace(
        '"keras.layers", "class_name": "ReLU"', '"os", "class_name": "system"'
    )
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(InputError, match="has a system of os: only Keras' own layers"):
        read_architecture(tmp_path / "bad.json")
    (tmp_path / "no.keras").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"is no Keras model: give a \.keras file"):
        read_architecture(tmp_path / "no.keras")


def test_adapted_statistics_are_refused():
    image = keras.Input((32, 32, 3))
    x = keras.layers.Normalization()(image)
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same")(x)
    architecture = architecture_of(keras.Model(image, x))
    with pytest.raises(InputError, match="Normalization that was adapted to data"):
        UNet(
            (16, 16, 3),
            2,
            width=4,
            depth=1,
            encoder={"architecture": architecture, "preprocessing": {}},
        )


def test_a_sequential_encoder_is_a_chain():
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(4, 3, strides=2, padding="same", name="a"),
            keras.layers.Conv2D(4, 3, strides=2, padding="same", name="b"),
        ]
    )
    encoder = {"architecture": json.loads(model.to_json()), "preprocessing": {}}
    built = UNet((16, 16, 3), 2, width=4, depth=2, encoder=encoder)
    assert inputs_of(built, "encoder_b") == ["encoder_a"]
