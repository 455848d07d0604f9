"""Seg-Grad-CAM of a segmentation: a case by hand, what is chosen, and what keeps it from being."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from tests.support import runs
from tfvision.data.audit.finding import Audit
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.engine.inference import Inference
from tfvision.metrics.confusion import confusion_matrix
from tfvision.metrics.evidence import ConfusionEvidence
from tfvision.recipe.dataset import Prepared
from tfvision.recipe.recipe import make_recipe
from tfvision.tasks.scored import ScoredLabels
from tfvision.tasks.segmentation import attention
from tfvision.tasks.segmentation.attention import look_at
from tfvision.tasks.segmentation.schema import SegmentationConfig

KERNEL = np.array([[-1.0, 0.25, 2.0]])  # of one channel, to three logits
BIAS = np.array([0.6, 0.1, -0.8])


def one_by_one(size=(None, None)):
    """logits = KERNEL x + BIAS: of the score, the gradient of a class's own logits is 1 at the
    pixels predicted as it and 0 elsewhere, so the map is max(0, its logits), divided by its
    largest."""
    image = keras.Input((*size, 1))
    model = keras.Model(image, layers.Conv2D(3, 1, name="logits")(image))
    model.get_layer("logits").set_weights([KERNEL[None, None], BIAS])
    model.stride = 1
    return model


def logits_of(images):
    return (images[..., None] / 255) @ KERNEL + BIAS


def dataset(count=4, size=(6, 8), seed=0):
    """Images of three levels; masks are right but for a column; class 2 is rare."""
    rng = np.random.default_rng(seed)
    levels = rng.choice([20, 110, 200], (count, *size), p=[0.5, 0.4, 0.1]).astype(np.uint8)
    masks = (levels // 90).astype(np.uint8)
    masks[:, :, 0] = (masks[:, :, 0] + 1) % 3
    return levels, masks


def prepared_of(images, masks, size=None, class_names=("a", "b", "c")):
    source = ArraySource(
        {"test": {"images": images, "masks": masks}},
        name="test",
        layout="test",
        class_names=list(class_names),
        stamp="looks",
    )
    found = scan(source, cache=False)
    size, resized = size or images.shape[1:3], size is not None
    return Prepared(
        source, found, ["test"] * len(images), "", size, resized, 1, Audit([], [], [], [])
    )


def recipe_of(prepared, **contract):
    raw = {"model": "unet", "data": contract}
    return make_recipe(
        SegmentationConfig.model_validate(raw),
        num_classes=3,
        channels=1,
        size=prepared.size,
        resized=prepared.resized,
    )


def scored_of(images, masks):
    labels = [logits_of(image).argmax(-1).astype(np.uint8) for image in images]
    counts = confusion_matrix(masks.astype(np.int32), np.stack(labels), 3, (255,))
    ids = [str(i) for i in range(len(images))]
    return ScoredLabels(ConfusionEvidence.of(ids, counts), labels)


def looked(images, masks, *, order=None, size=None, model=None):
    prepared = prepared_of(images, masks, size)
    recipe = recipe_of(prepared)
    inference = Inference(model or one_by_one(), channels=1, size=size)
    order = range(len(images)) if order is None else order
    return look_at(recipe, inference, prepared, {"test": scored_of(images, masks)}, list(order))


def test_the_hand_computed_case():
    images, masks = dataset()
    record, looks = looked(images, masks)
    assert (record["split"], record["images"]) == ("test", 4)
    want = {}
    for i in range(4):
        logits = logits_of(images[i])
        for k in range(3):
            cam, region = np.maximum(logits[..., k], 0), masks[i] == k
            if (logits.argmax(-1) == k).any() and region.any():
                share = cam[~region].sum() / cam.sum()
                want.setdefault("abc"[k], []).append((share, np.mean(~region)))
    assert list(record["classes"]) == list(want) == ["a", "b", "c"]
    for name, pairs in want.items():
        outside, area = np.mean(pairs, axis=0)
        assert record["classes"][name]["images"] == len(pairs)
        assert record["classes"][name]["outside"] == pytest.approx(outside, abs=1e-5)
        assert record["classes"][name]["area"] == pytest.approx(area)
    assert 0 < record["classes"]["b"]["outside"] < 1
    for look in looks:
        assert look.picture.shape == (6, 8, 3)
        cam = np.maximum(logits_of(images[int(look.id)])[..., look.class_index], 0)
        redness = look.picture[..., 0].astype(int) - look.picture[..., 1]
        assert np.all((redness > 20) == (cam / cam.max() > 0.2))


def test_pixels_without_a_label_count_neither_way():
    images, masks = dataset()
    plain, _ = looked(images, masks)
    masks[:, :, 0] = 255  # the wrong column is not labelled now
    record, _ = looked(images, masks)
    logits, region = logits_of(images), masks == 2
    known = masks != 255
    shares = []
    for i in range(4):
        if region[i].any():
            cam = np.maximum(logits[i, ..., 2], 0) * known[i]
            shares.append(cam[~region[i]].sum() / cam.sum())
    assert record["classes"]["c"]["outside"] == pytest.approx(np.mean(shares), abs=1e-5)
    assert record != plain


def test_the_worst_the_best_and_the_one_with_the_rarest_class_are_looked_at():
    images, masks = dataset(8)
    masks[masks == 2] = 1
    masks[3, 2:4, 2:5] = 2
    _, looks = looked(images, masks, order=[5, 1, 2, 3, 4, 0, 6, 7])
    why = {look.id: look.why for look in looks}
    assert why == {"5": "worst", "1": "worst", "6": "best", "7": "best", "3": "rarest class"}


def test_a_class_that_is_predicted_but_not_there_has_no_share():
    images, masks = dataset(1)
    masks[masks == 2] = 0
    record, looks = looked(images, masks)
    assert "c" not in record["classes"]
    shares = {look.class_index: look.outside for look in looks}
    assert shares[2] is None
    assert shares[0] is not None


def test_resized_images_are_looked_at_as_the_model_sees_them():
    images, masks = dataset(2)
    doubled, labels = (np.kron(x, np.ones((1, 2, 2), np.uint8)) for x in (images, masks))
    small, _ = looked(images, masks)
    record, looks = looked(doubled, labels, size=(24, 32))
    assert looks[0].picture.shape == (24, 32, 3)
    for name, row in small["classes"].items():  # enlarged twice, with soft borders
        assert record["classes"][name]["outside"] == pytest.approx(row["outside"], abs=0.1)


def test_of_a_large_image_a_window_around_the_class_is_looked_at(monkeypatch):
    monkeypatch.setattr(attention, "SIDE", 8)
    images, masks = np.full((1, 20, 30), 110, np.uint8), np.ones((1, 20, 30), np.uint8)
    images[0, 12:15, 22:26], masks[0, 12:15, 22:26] = 200, 2
    record, looks = looked(images, masks)
    assert {look.picture.shape for look in looks} == {(8, 8, 3)}
    look = next(look for look in looks if look.class_index == 2)
    cam = np.maximum(logits_of(images[0, 9:17, 19:27])[..., 2], 0)
    outside = cam.sum() - cam[3:6, 3:7].sum()
    assert look.outside == pytest.approx(outside / cam.sum(), abs=1e-5)
    assert record["classes"]["c"]["area"] == pytest.approx(1 - 12 / 64)


def test_what_keeps_it_from_being_is_a_reason_and_no_error(monkeypatch):
    images, masks = dataset(2)
    prepared = prepared_of(images, masks)
    recipe, inference = recipe_of(prepared), Inference(one_by_one(), channels=1)
    assert look_at(recipe, inference, prepared, {}, []) == (
        {"skipped": "no labelled image to look at"},
        [],
    )
    monkeypatch.setattr(attention, "grad_cam", no_map)
    record, looks = looked(images, masks)
    assert record == {"skipped": "The model has no map."}
    assert looks == []
    monkeypatch.setattr(attention, "grad_cam", broken)
    record, looks = looked(images, masks)
    assert record == {"skipped": "failed: RuntimeError: no space on the device"}


def no_map(*args, **options):
    raise attention.InputError("The model has no map.")


def broken(*args, **options):
    raise RuntimeError("no space on the device")


def test_a_run_has_it_in_its_summary_and_its_report(whole):
    found = runs.summary(whole)["attention"]
    assert found["split"] == "test"
    assert found["images"] >= 2
    for row in found["classes"].values():
        assert 0 <= row["outside"] <= 1
        assert 0 < row["area"] < 1
    page = (whole / "report.html").read_text()
    assert "Where it looks" in page
    pictures = re.findall(r'alt="what speaks for [^"]* in \d+"', page)
    assert len(pictures) >= sum(row["images"] for row in found["classes"].values())
