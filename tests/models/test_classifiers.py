"""Every classifier of the table; what the reports say of theirs."""

import keras
import numpy as np
import pytest

from tests.checks import check_classifier
from tests.models import tiny_encoder
from tests.models.wiring import noise
from tfvision.errors import InputError
from tfvision.models import CLASSIFIERS, BaselineCNN, DualStream, ResNet18, ResNet50, SmallCNN
from tfvision.models.encoder_json import architecture_of
from tfvision.models.heads import with_embedding

SHAPE = (32, 40, 2)  # grey and region, or two grey pieces
BACKBONE = {"architecture": architecture_of(tiny_encoder.build()), "preprocessing": {}}
SMALL = {
    "small_cnn": {"filters": (4, 6), "units": 8},
    "baseline_cnn": {"filters": (4, 4, 6)},
    "resnet18": {"width": 4, "stem": "small"},
    "resnet50": {"width": 2, "stem": "small"},
    "transfer": {"backbone": BACKBONE, "units": 8},
    "dual_stream": {"width": 4, "depth": 2},
}


# The one of 50 layers is built by the code of that of 18, and is tested where it differs.
QUICK = [name for name in CLASSIFIERS if name != "resnet50"]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        *((name, {}) for name in QUICK),
        ("dual_stream", {"backbone": BACKBONE, "units": 4}),
        ("dual_stream", {"shared": False}),
    ],
)
def test_is_a_classifier(name, more, tmp_path):
    model = CLASSIFIERS[name](SHAPE, 5, **{**SMALL[name], **more})
    assert model.stride == 1
    # A SavedModel takes long; what only these two have are operations that are no layers.
    saved_model = name == "transfer" or "backbone" in more
    options = {"image_shape": SHAPE, "saved_model": saved_model}
    check_classifier(model, tmp_path, num_classes=5, **options)


@pytest.mark.parametrize("name", QUICK)
def test_logits_are_float32_under_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = CLASSIFIERS[name](SHAPE, 5, **SMALL[name])
    finally:
        keras.config.set_dtype_policy("float32")
    assert model(noise(1, *SHAPE)).dtype == "float32"
    convolutions = [y for y in model.layers if isinstance(y, keras.layers.Conv2D)]
    assert {y.compute_dtype for y in convolutions} == {"bfloat16"}


@pytest.mark.parametrize("name", QUICK)
def test_trains_in_plain_keras(name):
    keras.utils.set_random_seed(0)
    model = CLASSIFIERS[name]((8, 8, 2), 3, **{**SMALL[name], "dropout": 0.0})
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    # Not as a graph: tracing takes most of this test's time.
    model.compile(keras.optimizers.SGD(0.02, momentum=0.9), loss=loss, run_eagerly=True)
    images, labels = noise(8, 8, 8, 2), np.arange(8) % 3
    losses = [model.train_on_batch(images, labels) for _ in range(2)]
    assert losses[1] < losses[0]


@pytest.mark.parametrize("name", QUICK)
def test_an_embedding_stands_beside_the_logits_and_leaves_the_model_as_it_is(name):
    model = CLASSIFIERS[name](SHAPE, 5, **SMALL[name], dropout=0.5)
    before = [layer.name for layer in model.layers], model.count_params()
    both = with_embedding(model)
    assert ([layer.name for layer in model.layers], model.count_params()) == before
    assert both.output_names == ["embedding", "logits"]
    embedding, logits = both(noise(3, *SHAPE))
    assert (embedding.shape, logits.shape) == ((3, 128), (3, 5))
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(logits, model(noise(3, *SHAPE)))
    width = model.get_layer("logits").kernel.shape[0]
    assert both.count_params() - before[1] == width * (width + 1) + 128 * (width + 1)
    # It sees the features before dropout, and never the logits.
    path = {layer.name for layer in keras.Model(both.input, both.outputs[0]).layers}
    assert not path & {"head_drop", "logits"}


def test_embeddings_are_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        both = with_embedding(SmallCNN(SHAPE, 5, **SMALL["small_cnn"]))
    finally:
        keras.config.set_dtype_policy("float32")
    embedding, _ = both(noise(2, *SHAPE))
    assert embedding.dtype == "float32"
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, rtol=1e-5)


def test_small_cnn_has_the_weights_of_the_sign_report():
    model = SmallCNN((224, 224, 3), 8)
    assert sum(w.value.shape.num_elements() for w in model.trainable_weights) == 6_447_496
    assert sum(w.value.shape.num_elements() for w in model.non_trainable_weights) == 224
    assert model.get_layer("head_dense").kernel.shape == (28 * 28 * 64, 128)


@pytest.mark.parametrize(("build", "count"), [(ResNet18, 11_689_512), (ResNet50, 25_557_032)])
def test_resnets_have_the_weights_of_the_papers(build, count):
    model = build((32, 32, 3), 1000, normalization="batch")
    assert sum(w.value.shape.num_elements() for w in model.trainable_weights) == count
    assert model.output_shape == (None, 1000)


def test_baseline_halves_after_all_blocks_but_the_last():
    model = BaselineCNN((24, 16, 3), 4, filters=(4, 5, 6, 7))
    kinds = [type(layer).__name__ for layer in model.layers[1:]]
    block = ["Conv2D", "Activation", "MaxPooling2D"]
    assert kinds == [*block * 3, *block[:2], "Flatten", "Dropout", "Dense"]
    assert model.get_layer("head_flatten").output.shape == (None, 3 * 2 * 7)
    assert [model.get_layer(f"block{i}_conv").filters for i in (1, 2, 3, 4)] == [4, 5, 6, 7]


def test_a_stem_says_how_far_a_resnet_halves():
    for stem, size in (("imagenet", (2, 3)), ("small", (8, 12))):
        model = ResNet18((64, 96, 1), 3, width=2, stem=stem)
        assert model.get_layer("stage4_block2_act").output.shape[1:3] == size


def test_a_resnet_on_group_normalisation_does_not_see_the_batch():
    images = noise(3, 16, 16, 1)
    model = ResNet18((16, 16, 1), 3, width=4, stem="small")
    alone, among = model(images[:1], training=True), model(images, training=True)
    np.testing.assert_allclose(alone[0], among[0], atol=1e-4)


@pytest.mark.parametrize("backbone", [None, BACKBONE])
def test_shared_streams_give_each_piece_its_own_features(backbone):
    """Exchanged pieces exchange their halves of the features; images do not mix."""
    model = DualStream((16, 24, 2), 3, width=4, depth=2, backbone=backbone, dropout=0.0)
    features = keras.Model(model.input, model.get_layer("logits").input)
    images = noise(3, 16, 24, 2)
    found = np.asarray(features(images))
    first, second = np.split(found, 2, axis=-1)
    assert np.abs(first - second).max() > 1e-3
    exchanged = features(images[..., ::-1])
    np.testing.assert_allclose(exchanged, np.concatenate([second, first], -1), atol=1e-6)
    np.testing.assert_allclose(features(images[1:2]), found[1:2], atol=1e-6)


def test_streams_of_their_own_have_weights_of_their_own():
    """The first half of the features does not change with the second piece, and each learns."""
    model = DualStream((16, 24, 2), 3, width=4, depth=2, shared=False, dropout=0.0)
    shared = DualStream((16, 24, 2), 3, width=4, depth=2, dropout=0.0)
    head = model.get_layer("logits").count_params()
    assert model.count_params() - head == 2 * (shared.count_params() - head)
    features = keras.Model(model.input, model.get_layer("logits").input)
    images = noise(2, 16, 24, 2)
    other = images.copy()
    other[..., 1] = 0
    one, two = np.asarray(features(images)), np.asarray(features(other))
    np.testing.assert_allclose(one[:, :16], two[:, :16], atol=1e-6)
    assert np.abs(one[:, 16:] - two[:, 16:]).max() > 1e-3


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize(
    ("shape", "arguments", "message"),
    [
        (SHAPE, {"dropout": 1.0}, "dropout must be at least 0 and below 1. Received: 1.0"),
        ((None, 40, 2), {}, "is built for one size: give data.image_size. Received: Nonex40"),
    ],
)
def test_bad_arguments(name, shape, arguments, message):
    with pytest.raises(InputError, match=message):
        CLASSIFIERS[name](shape, 5, **{**SMALL[name], **arguments})


@pytest.mark.parametrize(
    ("name", "shape", "arguments", "message"),
    [
        ("small_cnn", (4, 7, 1), {"filters": (2, 2, 2)}, "at least 8x8 pixels. Received: 4x7"),
        ("small_cnn", SHAPE, {"filters": (2, 0)}, r"filters\[1\] must be a whole number"),
        ("small_cnn", SHAPE, {"filters": 3}, "filters must be a list"),
        ("small_cnn", SHAPE, {"normalization": "bach"}, "Did you mean 'batch'"),
        ("baseline_cnn", (7, 7, 1), {"filters": (2, 2, 2, 2)}, "at least 8x8 pixels"),
        ("resnet18", SHAPE, {"stem": "smal"}, "Unknown stem: 'smal'. Did you mean 'small'"),
        ("resnet50", (31, 40, 3), {"stem": "imagenet"}, "at least 32x32 pixels"),
        ("dual_stream", (32, 40, 3), {}, "an even number of channels. Received: 3"),
        ("dual_stream", SHAPE, {"backbone": BACKBONE, "shared": False}, "one backbone for both"),
    ],
)
def test_bad_arguments_of_its_own(name, shape, arguments, message):
    with pytest.raises(InputError, match=message):
        CLASSIFIERS[name](shape, 5, **{**SMALL[name], **arguments})
