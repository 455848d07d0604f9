"""The embedded scenes: repeatable, disjoint splits, masks and boxes of one truth."""

import itertools

import numpy as np
import pytest
from sklearn.datasets import load_digits, load_sample_images

from tfvision.data.files import cache
from tfvision.data.sources import embedded_masks


@pytest.fixture(scope="module")
def scenes():
    return embedded_masks.build_scenes()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A cache of its own, and few scenes to fill it with."""
    monkeypatch.setenv("TFVISION_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded_masks, "SPLITS", {"train": 4, "val": 2, "test": 2})
    return tmp_path / "cache" / f"embedded-{embedded_masks.VERSION}.npz"


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for key in one:
        assert one[key].dtype == other[key].dtype
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_two_builds_are_equal_whatever_the_global_random_state(scenes):
    np.random.seed(99)
    before = np.random.get_state()[1].copy()
    assert_equal(embedded_masks.build_scenes(), scenes)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_shapes_types_and_classes(scenes):
    for split, count in {"train": 400, "val": 100, "test": 100}.items():
        images, masks = scenes[f"{split}_images"], scenes[f"{split}_masks"]
        assert images.shape == masks.shape == (count, 64, 128)
        assert images.dtype == masks.dtype == np.uint8
        assert set(np.unique(masks)) == set(range(len(embedded_masks.CLASS_NAMES)))
        assert set(np.unique(scenes[f"{split}_classes"])) == set(embedded_masks.DIGITS.values())
        assert len({image.tobytes() for image in images}) == count


def test_the_source_holds_these_scenes(scenes, small, monkeypatch):
    monkeypatch.setattr(embedded_masks, "build_scenes", lambda: scenes)
    monkeypatch.setattr(embedded_masks, "SPLITS", {"train": 400, "val": 100, "test": 100})
    source = embedded_masks.embedded()
    assert source.class_names == ["background", "zero", "one", "three", "four"]
    splits = [record.split for record in source.records]
    assert splits == ["train"] * 400 + ["val"] * 100 + ["test"] * 100
    assert all(record.labelled for record in source.records)
    sample = source.read(407)
    assert source.records[407].id == "7"
    np.testing.assert_array_equal(sample.image[..., 0], scenes["val_images"][7])
    np.testing.assert_array_equal(sample.mask, scenes["val_masks"][7])
    start = scenes["val_counts"][:7].sum()
    stop = start + scenes["val_counts"][7]
    np.testing.assert_array_equal(sample.boxes, scenes["val_boxes"][start:stop])
    np.testing.assert_array_equal(sample.classes, scenes["val_classes"][start:stop])


def test_one_class_is_rare(scenes):
    drawn = np.bincount(scenes["train_classes"])[1:]
    assert np.argmin(drawn) == embedded_masks.DIGITS[embedded_masks.RARE] - 1
    assert drawn.min() < 0.6 * np.sort(drawn)[1]
    assert drawn.min() >= 50  # and yet it can be learnt


def test_boxes_are_the_tight_hulls_of_their_pixels_and_hold_all_labelled_ones(scenes):
    checked = 0
    for split in ("train", "val", "test"):
        ends = np.cumsum(scenes[f"{split}_counts"])
        assert ends[-1] == len(scenes[f"{split}_boxes"])
        for i, mask in enumerate(scenes[f"{split}_masks"]):
            rows = slice(ends[i] - scenes[f"{split}_counts"][i], ends[i])
            explained = np.zeros(mask.shape, bool)
            for box, label in zip(
                scenes[f"{split}_boxes"][rows], scenes[f"{split}_classes"][rows], strict=True
            ):
                left, top, right, bottom = (int(v) for v in box)
                assert 0 <= left < right <= 128
                assert 0 <= top < bottom <= 64
                own = mask[top:bottom, left:right] == label
                assert own[0].any()
                assert own[-1].any()
                assert own[:, 0].any()
                assert own[:, -1].any()
                explained[top:bottom, left:right] |= own
                checked += 1
            assert not (mask[~explained] > 0).any()
    assert checked > 1000


def test_digits_of_two_splits_are_other_handwritings(monkeypatch):
    monkeypatch.setattr(embedded_masks, "SPLITS", {"train": 1, "val": 1, "test": 1})
    used = []

    def scene(rng, regions, strokes):
        used.append({digit: [s.tobytes() for s in images] for digit, images in strokes.items()})
        return np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((0, 4)), np.zeros(0)

    monkeypatch.setattr(embedded_masks, "_scene", scene)
    embedded_masks.build_scenes()
    digits = load_digits()
    for digit in [*embedded_masks.DIGITS, *embedded_masks.DECOYS]:
        parts = [set(split[digit]) for split in used]
        assert all(parts)
        for one, other in itertools.combinations(parts, 2):
            assert not one & other
        every = {image.tobytes() for image in digits.images[digits.target == digit]}
        assert set.union(*parts) == every


def test_photo_regions_of_two_splits_do_not_overlap(monkeypatch):
    monkeypatch.setattr(embedded_masks, "SPLITS", {"train": 1, "val": 1, "test": 1})
    # Instead of grey levels, the photographs hold the number of their column.
    monkeypatch.setattr(
        embedded_masks,
        "gray",
        lambda photo: np.tile(np.arange(photo.shape[1]), (photo.shape[0], 1)),
    )
    used = []

    def scene(rng, regions, strokes):
        used.append([set(np.unique(region)) for region in regions])
        assert all(region.shape[1] >= 128 for region in regions)
        return np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((0, 4)), np.zeros(0)

    monkeypatch.setattr(embedded_masks, "_scene", scene)
    embedded_masks.build_scenes()
    photos = load_sample_images().images
    assert [len(regions) for regions in used] == [len(photos)] * 3
    for one, other in itertools.combinations(used, 2):
        assert not any(a & b for a, b in zip(one, other, strict=True))


def test_the_second_time_the_cache_is_read_and_holds_the_same(small, monkeypatch):
    built = embedded_masks._cached()
    assert small.is_file()
    monkeypatch.setattr(embedded_masks, "build_scenes", lambda: pytest.fail("built again"))
    assert_equal(embedded_masks._cached(), built)


def _flip(content):
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage", [lambda c: b"", lambda c: c[: len(c) // 2], _flip, lambda c: b"PK\x03\x04junk"]
)
def test_a_damaged_cache_file_is_built_again(small, damage):
    built = embedded_masks._cached()
    whole = small.read_bytes()
    small.write_bytes(damage(whole))
    assert_equal(embedded_masks._cached(), built)
    assert_equal(embedded_masks._read(small), built)


def test_a_cache_file_with_other_numbers_than_its_checksum_says_is_built_again(small):
    built = embedded_masks._cached()
    changed = {**built, "train_masks": built["train_masks"] ^ 1}
    np.savez(small, **changed, checksum=np.array(embedded_masks._checksum(built)))
    assert_equal(embedded_masks._cached(), built)
    np.savez(small, **changed)  # no checksum at all
    assert_equal(embedded_masks._cached(), built)


def test_a_write_that_breaks_off_leaves_no_cache_file(small, monkeypatch):
    class Died(BaseException):
        pass

    def die(handle):
        raise Died

    with monkeypatch.context() as patch:
        patch.setattr(cache.os, "fsync", die)
        with pytest.raises(Died):
            embedded_masks._cached()
    assert not small.exists()
    assert not list(small.parent.iterdir())


def test_a_cache_that_cannot_be_written_is_done_without(small, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TFVISION_CACHE", str(tmp_path / "file" / "cache"))
    assert_equal(embedded_masks._cached(), embedded_masks.build_scenes())
