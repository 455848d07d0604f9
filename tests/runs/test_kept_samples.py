"""Samples of its own data that a run keeps."""

import numpy as np
import pytest

from tfvision.runs import kept_samples as kept
from tfvision.runs.kept_samples import Kept, chosen, counts, read_kept, write_kept


def sample(name, seed, size=(8, 12), dtype=np.uint8):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 200, (*size, 3)).astype(dtype)
    mask = rng.integers(0, 3, size).astype(np.int32)
    region = (mask > 0).astype(np.uint8)
    return Kept(name, image, 1 / 255, {"mask": mask}, region, np.array([1, 2, 5, 6], np.float32))


def test_what_is_kept_comes_back_to_the_bit(tmp_path):
    given = [
        sample("a/b", 0),
        sample("ä", 1, (5, 7), np.uint16),
        Kept("plain", np.zeros((3, 4, 1), np.float32), 1.0, {"label": np.int32(2)}),
        Kept("boxes", np.zeros((3, 4, 1), np.uint8), 1.0, {"boxes": np.zeros((0, 4), np.float32)}),
    ]
    assert write_kept(tmp_path, "train", given) == 4
    found = read_kept(tmp_path, "train")
    assert [one.id for one in found] == [one.id for one in given]
    for one, want in zip(found, given, strict=True):
        np.testing.assert_array_equal(one.image, want.image)
        assert (one.image.dtype, one.scale) == (want.image.dtype, want.scale)
        assert one.targets.keys() == want.targets.keys()
        for key, value in want.targets.items():
            np.testing.assert_array_equal(one.targets[key], value)
        assert (one.box is None) == (want.box is None)
        assert one.region is None or (one.region == want.region).all()


def test_the_bytes_are_bounded_and_reading_stops_there(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MAX_BYTES", 60_000)
    read = []

    def samples():
        for i in range(200):
            read.append(i)
            yield sample(str(i), i, (32, 32))

    written = {split: write_kept(tmp_path, split, samples()) for split in ("train", "val")}
    assert 0 < written["val"] < written["train"] < 20
    assert sum(path.stat().st_size for path in (tmp_path / "samples").iterdir()) <= 60_000
    assert len(read) == sum(written.values()) + 2


@pytest.mark.parametrize("spoil", ["gone", "empty", "cut", "bits", "object"])
def test_a_file_that_is_gone_or_damaged_is_no_sample_and_no_error(tmp_path, spoil):
    write_kept(tmp_path, "val", [sample("a", 0), sample("b", 1)])
    path = tmp_path / "samples" / "val.npz"
    content = path.read_bytes()
    if spoil == "gone":
        path.unlink()
    elif spoil == "object":
        np.savez(path, ids=np.array([{"a": 1}], object))
    else:
        half = len(content) // 2
        flipped = content[:half] + bytes(255 - b for b in content[half : half + 40])
        path.write_bytes(
            {"empty": b"", "cut": content[:half], "bits": flipped + content[half + 40 :]}[spoil]
        )
    assert read_kept(tmp_path, "val") == []


@pytest.mark.parametrize(
    ("train", "val", "want"),
    [(900, 300, (200, 100)), (900, 20, (280, 20)), (50, 300, (50, 250)), (9, 4, (9, 4))],
)
def test_what_one_split_lacks_the_other_has(train, val, want):
    assert tuple(counts(300, {"train": train, "val": val}).values()) == want


def test_every_class_is_among_the_samples_the_rare_ones_first():
    present = np.zeros((100, 3), bool)
    present[:, 0], present[90:, 1], present[99, 2] = True, True, True
    order = list(np.random.default_rng(0).permutation(100))
    found = chosen(present, order, 6)
    assert len(set(found)) == 6
    assert present[found].any(axis=0).all()
    assert found == chosen(present, order, 6)
    assert sorted(chosen(present, order, 500)) == list(range(100))
    assert chosen(np.zeros((2, 3), bool), [1, 0], 5) == [1, 0]  # no class at all
