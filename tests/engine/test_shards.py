"""Probabilities in shards: what is written comes back, and nothing else is taken for it."""

import json

import numpy as np
import pytest

from tfvision.engine.files import sha256_of
from tfvision.engine.shards import Shards
from tfvision.errors import InputError

IDS = [f"im/{i}" for i in range(7)]
CLASSES = ["soil", "rock", "sky"]
ORIGIN = {"run": "runs/a", "folds": 2}


def images(seed=0):
    """Seven (H, W, 3) float32 of sizes of their own, each pixel's sum 1."""
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.ones(3), (4 + i, 9 - i)).astype(np.float32) for i in range(7)]


def begin(folder, **other):
    given = {"ids": IDS, "class_names": CLASSES, "origin": ORIGIN, "per_shard": 3, **other}
    return Shards.create(folder, **given)


def fill(store, arrays):
    for positions in store.missing():
        store.write(positions, [arrays[p] for p in positions])


@pytest.fixture
def whole(tmp_path):
    """A complete store of three shards, and its folder."""
    folder = tmp_path / "store"
    fill(begin(folder), images())
    return folder


def test_what_is_written_comes_back_in_order_rounded_to_float16(whole):
    store = Shards.open(whole)
    assert (store.ids, store.class_names, store.origin) == (IDS, CLASSES, ORIGIN)
    assert len(store) == 7
    found = list(store)
    assert [name for name, _ in found] == IDS
    for (_, there), given in zip(found, images(), strict=True):
        assert there.dtype == np.float32
        assert there.shape == given.shape
        np.testing.assert_array_equal(there, given.astype(np.float16))  # not normalised anew
        assert np.abs(there - given).max() <= 2**-12
    for i in (6, 0, 5, 1):
        np.testing.assert_array_equal(store[IDS[i]], found[i][1])


def test_the_files_are_as_documented(whole):
    assert sorted(p.name for p in whole.iterdir()) == [
        *(f"shard-0000{i}.{kind}" for i in range(3) for kind in ("json", "npz")),
        "shards.json",
    ]
    with np.load(whole / "shard-00001.npz", allow_pickle=False) as file:
        assert file["ids"].tolist() == IDS[3:6]
        assert file["heights"].tolist() == [7, 8, 9]
        assert file["widths"].tolist() == [6, 5, 4]
        pixels = file["probabilities"]
    assert pixels.dtype == np.float16
    assert pixels.shape == (42 + 40 + 36, 3)
    np.testing.assert_array_equal(pixels[42 + 5 + 2], images()[4][1, 2].astype(np.float16))


def test_it_goes_on_where_it_was_stopped(tmp_path):
    folder, arrays = tmp_path / "store", images()
    store = begin(folder)
    assert store.missing() == [[0, 1, 2], [3, 4, 5], [6]]
    store.write([3, 4, 5], arrays[3:6])
    (folder / ".shard-00000.npz.99.tmp").write_bytes(b"half of it")  # of a kill in a write
    (folder / "shard-00002.npz").write_bytes(b"whole, but its seal was not written yet")
    again = begin(folder, per_shard=50)  # that of the store counts
    assert again.missing() == [[0, 1, 2], [6]]
    with pytest.raises(InputError, match=r"shard-00000\.npz: not written yet\n.*shard-00002"):
        Shards.open(folder)
    fill(again, arrays)
    assert [a.shape for _, a in Shards.open(folder)] == [a.shape for a in arrays]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"ids": [*IDS[:-1], "else"]}, "probabilities of other ids: 7 "),
        ({"class_names": ["soil", "sky", "rock"]}, "of other classes: 3 .'soil', 'rock', 'sky'."),
        ({"origin": {**ORIGIN, "folds": 3}}, r'of other origin: .*"folds": 2.*"folds": 3'),
        ({"ids": [*IDS[:-1], "im/0"]}, "1 come several times: 'im/0'"),
    ],
)
def test_another_store_is_not_written_into(whole, other, message):
    with pytest.raises(InputError, match=message):
        begin(whole, **other)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else than probabilities"):
        begin(tmp_path)
    with pytest.raises(InputError, match=r"it has no shards\.json"):
        Shards.open(tmp_path)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def swap(path):
    """Another shard under this name, with a seal that fits it."""
    for kind in (".npz", ".json"):
        other = path.with_name("shard-00000.npz").with_suffix(kind)
        path.with_suffix(kind).write_bytes(other.read_bytes())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (flip, r"shard-00001\.npz: its content is not what was written"),
        (cut, r"shard-00001\.npz: \d+ bytes, \d+ were written"),
        (swap, r"shard-00001\.npz: its ids are not those"),
        (lambda path: path.with_suffix(".json").write_text("{"), r"shard-00001\.json: cannot be"),
        (lambda path: path.unlink(), r"shard-00001\.npz: not written yet"),
        (
            lambda path: path.with_name("shard-00007.npz").write_bytes(path.read_bytes()),
            r"shard-00007\.npz: shards\.json knows no such shard",
        ),
    ],
)
def test_a_damaged_store_is_not_opened_and_names_the_file(whole, fault, message):
    fault(whole / "shard-00001.npz")
    with pytest.raises(InputError, match=message):
        Shards.open(whole)


@pytest.mark.parametrize("fault", [flip, cut, swap])
def test_a_damaged_shard_is_written_again(whole, fault):
    fault(whole / "shard-00001.npz")
    store = begin(whole)
    assert store.missing() == [[3, 4, 5]]
    fill(store, images())
    np.testing.assert_array_equal(Shards.open(whole)["im/4"], images()[4].astype(np.float16))


def change_rows(whole):
    """A shard whose rows do not add up, sealed as if they did."""
    path = whole / "shard-00001.npz"
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "heights": arrays["heights"] + 1})
    seal = {"bytes": path.stat().st_size, "sha256": sha256_of(path)}
    path.with_suffix(".json").write_text(json.dumps(seal))


def test_rows_that_do_not_add_up_are_an_error_that_names_the_file(whole):
    change_rows(whole)
    with pytest.raises(InputError, match=r"shard-00001\.npz cannot be read"):
        list(Shards.open(whole))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 3}, "has version 3; this program reads 1 and 2"),
        ({"ids": [*IDS[:-1], IDS[0]]}, "an id comes twice"),
        ({"origin": []}, r"is damaged \(origin"),
    ],
)
def test_a_wrong_header_is_refused(whole, change, message):
    path = whole / "shards.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=message):
        Shards.open(whole)


@pytest.mark.parametrize(
    ("positions", "change", "message"),
    [
        ([0, 1], lambda a: a, "a shard has the positions"),
        ([6, 7], lambda a: a, "a shard has the positions"),
        ([], lambda a: a, "a shard has the positions"),
        ([0, 1, 2], lambda a: a[..., :2], r"must be \(H, W, 3\); those of 'im/0' are \(4, 9, 2\)"),
        ([0, 1, 2], lambda a: a * np.nan, "of 'im/0' are not all finite and in"),
        ([0, 1, 2], lambda a: a - 0.5, "of 'im/0' are not all finite and in"),
    ],
)
def test_what_is_no_shard_is_not_written(tmp_path, positions, change, message):
    store = begin(tmp_path / "store")
    with pytest.raises(InputError, match=message):
        store.write(positions, [change(a) for a in images()[: len(positions)]])
    assert store.missing() == [[0, 1, 2], [3, 4, 5], [6]]
    with pytest.raises(InputError, match=r"3 ids came with 1 arrays"):
        store.write([0, 1, 2], images()[:1])


def test_an_unknown_id_is_an_error(whole):
    with pytest.raises(InputError, match="has no probabilities of 'im/9'"):
        Shards.open(whole)["im/9"]


def test_a_store_of_no_image(tmp_path):
    store = begin(tmp_path / "store", ids=[])
    assert store.missing() == []
    assert list(Shards.open(tmp_path / "store")) == []


def test_weights_come_back_exactly_and_are_checked(tmp_path, whole):
    store = begin(tmp_path / "weighed")
    sizes = [a.shape[0] * a.shape[1] for a in images()]
    given = [np.random.default_rng(n).uniform(1, 1e6, n) for n in sizes]
    first, *rest = store.missing()
    own = [images()[p] for p in first]
    with pytest.raises(InputError, match=r"a weight a pixel, \(H \* W,\); got shapes"):
        store.write(first, own, [given[0][:-1], *given[1:3]])
    with pytest.raises(InputError, match="weights must be numbers above 0"):
        store.write(first, own, [given[0] * 0, *given[1:3]])
    for positions in (first, *rest):
        store.write(positions, [images()[p] for p in positions], [given[p] for p in positions])
    again = Shards.open(tmp_path / "weighed")
    for name, weights, array in zip(IDS, given, images(), strict=True):
        np.testing.assert_array_equal(again.weights(name), weights)
        np.testing.assert_array_equal(again[name], array.astype(np.float16))
    with pytest.raises(InputError, match="was written without weights"):
        Shards.open(whole).weights(IDS[0])
