"""What the audit says of clean data, small data, and single faults, without a model."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.audit.planted import H, W, again, crop, scenes, strangers
from tests.data.make import arrays
from tfvision.data.audit.audit import audit
from tfvision.data.audit.finding import KINDS, Finding
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.embedded_masks import embedded
from tfvision.data.sources.recognise import open_source

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"


def of_kind(found, kind):
    return [finding for finding in found.findings if finding.kind == kind]


def look(images, masks=None, splits=None, **parts):
    part = {"images": np.asarray(images)} | ({} if masks is None else {"masks": np.asarray(masks)})
    source = ArraySource({"": part, **parts})
    return audit(
        source, scan(source, cache=False, class_names=["a", "b", "c", "d", "e"]), splits=splits
    )


@pytest.fixture
def clean():
    source = embedded()
    return source, scan(source)


def test_embedded_scenes_are_clean_and_no_file_is_read_again(clean, monkeypatch):
    source, found = clean
    monkeypatch.setattr(source, "read_raw", None)
    result = audit(source, found)
    assert (result.findings, result.pairs, result.clusters, result.chains) == ([], [], [], [])


def test_facts_kept_in_the_cache_give_the_same_audit(clean):
    found = clean[1]
    again_found = scan(embedded())
    assert again_found.facts == found.facts
    assert found.facts[0].sketch.fit is not None


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_tiny_sets_work(number):
    images, masks = arrays(6, classes=3)
    assert look(images[:number], masks[:number]).findings == []


def test_a_sample_that_cannot_be_read_takes_no_part(monkeypatch):
    planted = scenes(0, 20)
    planted.add(planted.images[3], planted.masks[3])
    source = ArraySource(
        {"": {"images": np.stack(planted.images), "masks": np.stack(planted.masks)}}
    )
    reads = source.read_raw
    monkeypatch.setattr(source, "read_raw", lambda i: reads(i) if i != 7 else {}["bug"])
    found = scan(source, cache=False)
    assert found.facts[7] is None
    (double,) = audit(source, found).findings
    assert double.members == (3, 20)


def test_order_of_samples_does_not_matter():
    planted = scenes(3, 60)
    for owner, image in enumerate(strangers(planted, 4)):
        planted.add(image, planted.masks[owner])
    planted.add(again(planted.images[9], planted.rng), planted.masks[9])
    planted.add(planted.images[11], planted.masks[12])
    said = []
    for order in (np.arange(66), np.random.default_rng(5).permutation(66)):
        found = look([planted.images[i] for i in order], [planted.masks[i] for i in order])
        said.append(
            sorted(
                (f.kind, sorted(order[list(f.members)]), sorted(order[list(f.suspects)]), f.reading)
                for f in found.findings
            )
        )
    assert said[0] == said[1]
    assert {kind for kind, *_ in said[0]} == {"shared_mask", "near_duplicates", "conflicting_masks"}


def test_the_same_image_with_another_mask_and_which_is_wrong():
    planted = scenes(4, 80)
    planted.add(planted.images[5], planted.masks[6])
    (conflict,) = of_kind(found := planted.audited(), "conflicting_masks")
    assert conflict.members == (5, 80)
    assert conflict.suspects == (80,)
    assert "2 different masks" in conflict.reading
    (shared,) = of_kind(found, "shared_mask")
    assert (shared.members, shared.suspects) == ((6, 80), (80,))


def test_where_masks_tell_nothing_nobody_is_named():
    """Masks that have nothing to do with their images: an alien is as good as any."""
    rng = np.random.default_rng(0)
    images = [crop(rng) for _ in range(40)]
    masks = [np.roll(scenes(1, 60).masks[i], 20, axis=1) for i in range(40)]
    masks[31] = masks[30]
    planted = scenes(0, 1)
    planted.images, planted.masks, planted.splits = images, masks, [None] * 40
    found = planted.audited()
    (shared,) = found.findings
    assert (shared.kind, shared.members, shared.suspects) == ("shared_mask", (30, 31), ())
    assert "is undecided" in shared.reading
    assert "fit other images about as well" in shared.reading


def test_with_too_few_masks_nobody_is_named():
    planted = scenes(6, 8)
    planted.add(planted.images[1], planted.masks[2])
    found = planted.audited()
    assert {f.kind for f in found.findings} == {"conflicting_masks", "shared_mask"}
    assert all(not f.suspects and "too few masks" in f.reading for f in found.findings)


def test_leaks_by_severity():
    planted = scenes(7, 12)
    images = np.stack(planted.images)
    unlabelled = {"images": images[:2], "split": "test"}
    kept = [planted.images[i] for i in range(12)]
    found = look(kept, planted.masks, ["train"] * 12 + ["test"] * 2, test_set=unlabelled)
    assert [(f.kind, f.severity, f.members) for f in found.findings] == [
        ("leak", "warning", (0, 12)),
        ("leak", "warning", (1, 13)),
    ]
    doubled = look([*kept, kept[4]], [*planted.masks, planted.masks[4]], ["train"] * 12 + ["val"])
    assert [(f.kind, f.severity) for f in doubled.findings] == [("leak", "error")]
    assert "train and val" in doubled.findings[0].reading
    assert doubled.pairs == [(4, 12, 1.0)]
    assert doubled.clusters == [[4, 12]]
    left_out = look([*kept, kept[4]], [*planted.masks, planted.masks[4]], ["train"] * 12 + [None])
    assert [f.kind for f in left_out.findings] == ["duplicate_images"]


def test_a_run_of_frames_is_one_chain_and_not_a_heap_of_pairs():
    """A window that glides over a photograph, 3 pixels a frame, then loose crops."""
    from sklearn.datasets import load_sample_images

    photo = load_sample_images().images[0].mean(axis=2).astype(np.uint8)
    rng = np.random.default_rng(0)
    frames = [photo[100 : 100 + H, 3 * k : 3 * k + W] for k in range(40)]
    loose = scenes(8, 60).images
    found = look(frames + loose)
    assert found.chains == found.clusters == [list(range(40))]
    (chain,) = found.findings
    assert (chain.kind, chain.severity, chain.members) == ("chain", "note", tuple(range(40)))
    splits = ["train"] * 20 + ["val"] * 20 + ["train"] * 60
    assert [f.kind for f in look(frames + loose, splits=splits).findings] == ["chain"]
    mixed = [frames[i] if i < 40 else loose[i - 40] for i in rng.permutation(100)]
    assert look(mixed).chains == []


def test_findings_are_of_known_kinds():
    with pytest.raises(ValueError, match="unknown kind of finding: 'odd'"):
        Finding("odd", "note", (0,))
    assert "leak" in KINDS


@pytest.fixture
def shared():
    if not SHARED.is_dir():
        pytest.skip("needs the real data sets in ../shared/data")
    return SHARED


def _audited(path):
    source = open_source(path)
    return source, audit(source, scan(source))


def test_mars_tiles_raise_no_alarm(shared):
    _, found = _audited(shared / "mars_shaped" / "mars_tiles.npz")
    assert {f.kind for f in found.findings} == {"uniform_masks"}
    assert max(len(f.members) for f in found.findings) == 36
    assert not any(f.suspects or f.severity != "note" for f in found.findings)


@pytest.mark.parametrize(
    ("path", "chained", "longest"),
    [("mars_shaped/street_scenes.npz", 300, 100), ("brain/mni152_axial.npz", 120, 100)],
)
def test_frames_and_slices_are_found_as_chains(shared, path, chained, longest):
    _, found = _audited(shared / path)
    assert {f.kind for f in found.findings} == {"chain"}
    assert sum(map(len, found.chains)) >= chained
    assert max(map(len, found.chains)) >= longest
    assert found.clusters == found.chains


def test_masked_cells_hold_known_doubles(shared):
    """Looked at by eye: each of these pairs is one cell; the masks were drawn twice."""
    folder = shared / "masked_cells" / "train_data"
    images = sorted(folder.glob("img_*.png"))
    from PIL import Image

    groups: dict = {}
    for number, path in enumerate(images):
        image = np.array(Image.open(path).convert("RGB"))
        mask = np.array(Image.open(path.with_name(path.name.replace("img_", "mask_"))))
        groups.setdefault(image.shape, []).append((number, image, mask))
    parts = {
        f"{shape}": {
            "images": np.stack([g[1] for g in group]),
            "masks": np.stack([g[2] for g in group]),
        }
        for shape, group in groups.items()
    }
    order = [g[0] for group in groups.values() for g in group]
    source = ArraySource(parts)
    found = audit(source, scan(source, cache=False))
    pairs = {tuple(sorted(order[i] for i in f.members)) for f in found.findings}
    assert pairs == {(38, 171), (131, 209), (190, 226), (6, 283)}
    assert not any(f.suspects for f in found.findings)
