"""Backgrounds of images with boxes are replaced around the objects, which boxes still surround."""

import numpy as np

from tests.data.make import save
from tests.data.sources.boxes.made import write
from tfvision.recipe.dataset import prepare
from tfvision.tasks.detection.regions import augmented_training, decode_training
from tfvision.tasks.facts import facts_of


def drawn(root, count=6):
    """`images/` of a red disc each on grey, with their boxes; the last box holds no object."""
    rows, y, x = ["filename,xmin,ymin,xmax,ymax,label"], *np.mgrid[:40, :60]
    for i in range(count):
        pixels = np.random.default_rng(i).integers(90, 110, (40, 60, 3)).astype(np.uint8)
        left, top = 5 + 5 * i, 4 + 2 * i
        if i < count - 1:
            pixels[np.hypot(x - left - 9.5, y - top - 9.5) < 10] = (220, 40, 40)
        save(root / "images" / f"{i}.png", pixels)
        rows.append(f"{i}.png,{left},{top},{left + 20},{top + 20},disc")
    write(root / "boxes.csv", rows)
    return root


def config_of(root, **data):
    source = {"name": "auto", "path": str(root)}
    return facts_of("detection").schema()(
        data={"source": source, "val_fraction": 0, "test_fraction": 0, **data},
        model={"name": "ssd"},
    )


def test_the_region_is_the_object_or_nothing_where_none_is_found(tmp_path):
    drawn(tmp_path)
    config = config_of(tmp_path, mix=["paste_on_background(p=1.0)"])
    prepared = prepare(config.data, seed=0)
    found = decode_training(config, prepared, range(6))
    discs = (found.images[..., 0] > 200).astype(np.uint8)
    for region, disc in zip(found.targets["region"][:5], discs[:5], strict=True):
        assert (region != disc).mean() < 0.01
    assert not found.targets["region"][5].any()
    cut = config_of(tmp_path, mix=["copy_paste(classes='all', cut='object')"])
    assert decode_training(cut, prepared, [0]).targets["region"].any()
    boxed = config_of(tmp_path, mix=["copy_paste(classes='all')"])
    assert "region" not in decode_training(boxed, prepared, [0]).targets


def test_backgrounds_change_and_objects_and_boxes_stay(tmp_path):
    drawn(tmp_path)
    config = config_of(tmp_path, augment=["random_background(p=1.0, kinds=['colour'])"])
    prepared = prepare(config.data, seed=0)

    shown = augmented_training(config, prepared, ())
    for (image, truth), draws in zip(shown.originals, shown.draws, strict=True):
        pixels = image if image.max() > 1 else image * 255
        disc = pixels[..., 0] > 200
        if not disc.any():  # the image without an object keeps its background
            assert all(np.array_equal(other, image) for other, _ in draws)
            continue
        for other, boxes in draws:
            np.testing.assert_array_equal(boxes, truth)
            other = other if other.max() > 1 else other * 255
            inner = disc & (np.abs(other - pixels).max(-1) < 1)
            assert inner.sum() > 0.9 * disc.sum()
            assert np.ptp(other[:3, :3], axis=(0, 1)).max() < 1
