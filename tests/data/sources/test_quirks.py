"""Quirks of real data from the file to what is trained on; row ids as docs/reliability has them."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.files.test_images import STORED, exif
from tests.data.make import arrays, image, mask, pairs, save
from tests.support import runs
from tfvision.config import DataConfig
from tfvision.data.files.csv_table import read_table
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.data.sources.npz import npz
from tfvision.data.sources.recognise import open_source
from tfvision.data.sources.tables.mask_table import manifest
from tfvision.data.split.holdout import absent_classes, read_splits, write_splits
from tfvision.errors import InputError
from tfvision.recipe.dataset import prepare
from tfvision.recipe.read import decode, native, native_scanned, to_channels
from tfvision.registry import Spec


def config_of(path, **options) -> DataConfig:
    """All of a data set to train on."""
    source = Spec(name="auto", path=str(path), **options.pop("source", {}))
    return DataConfig(source=source, val_fraction=0, test_fraction=0, **options)


@contextlib.contextmanager
def nobody(folder: Path):
    """Without root's rights, in a folder that everybody may enter."""
    if os.geteuid() != 0:
        yield
        return
    try:
        os.seteuid(65534)
    except OSError:
        pytest.skip("root may read everything, and may not become somebody else here")
    try:
        if not os.access(folder, os.R_OK | os.X_OK, effective_ids=True):
            pytest.skip("the temporary folder is closed to other users")
        yield
    finally:
        os.seteuid(0)


# ---------------------------------------------------------------- pixels


@pytest.mark.parametrize("orientation", STORED)
def test_a_turned_photograph_fits_its_upright_mask(tmp_path, orientation):
    """D06: cameras turn by EXIF, annotators save what they saw."""
    pairs(tmp_path, 2)
    stored = np.ascontiguousarray(STORED[orientation](image(0)))
    save(tmp_path / "images" / "s0.png", stored, exif=exif(orientation))
    prepared = prepare(config_of(tmp_path), seed=0)
    samples = decode(prepared, [0, 1])
    np.testing.assert_array_equal(samples.images[0], image(0))
    np.testing.assert_array_equal(samples.targets["mask"][0], mask(0))
    assert "exif=apply" in prepared.record()["source_options"]


def test_a_photograph_that_does_not_fit_unturned_is_told(tmp_path):
    """D06: with `exif: ignore` the mask lies across the image, and the policy is on record."""
    pairs(tmp_path, 2)
    stored = np.ascontiguousarray(STORED[6](image(0)))
    save(tmp_path / "images" / "s0.png", stored, exif=exif(6))
    config = config_of(tmp_path, source={"exif": "ignore"})
    with pytest.raises(
        InputError, match=r"s0.png: the image has 12 x 8 pixels, its mask 8 x 12 .*"
    ):
        prepare(config, seed=0)
    for name in ("images", "masks"):
        save(tmp_path / name / "s0.png", image(0) if name == "images" else mask(0), exif=exif(3))
    prepared = prepare(config, seed=0)
    np.testing.assert_array_equal(decode(prepared, [0]).images[0], image(0))
    assert "exif=ignore" in prepared.record()["source_options"]


def test_16_bit_images_are_divided_by_their_declared_white(tmp_path):
    """D07: 65535 by default, never 257 levels lost."""
    values = (np.arange(96, dtype=np.uint16) * 40).reshape(8, 12)
    pairs(tmp_path, 1)
    save(tmp_path / "images" / "s0.png", values)
    for white, expected in ((None, 65535), (4095, 4095)):
        source = folder(tmp_path, white=white)
        found = scan(source)
        assert any("will be dark" in note for note in found.notes) == (white is None)
        sample = native(source, 0, 1)
        np.testing.assert_allclose(
            sample.image[..., 0] * sample.scale, values / expected, rtol=1e-6
        )


@pytest.mark.parametrize("kind", ["palette", "1-bit", "0/255", "coloured"])
def test_masks_of_every_kind_train_alike(tmp_path, kind):
    """D08: the labels that arrive are those that were drawn."""
    colours = np.array([[0, 0, 0], [250, 10, 10]], np.uint8)
    for seed in range(2):
        labels = mask(seed, classes=2)
        save(tmp_path / "images" / f"{seed}.png", image(seed))
        path = tmp_path / "masks" / f"{seed}.png"
        path.parent.mkdir(exist_ok=True)
        if kind == "palette":
            stored = Image.fromarray(labels, "P")
            stored.putpalette([90, 90, 90, 90, 90, 90])  # two labels of one colour
        elif kind == "1-bit":
            stored = Image.fromarray(labels * 255).convert("1")
        else:
            stored = Image.fromarray(colours[labels] if kind == "coloured" else labels * 255)
        stored.save(path)
    options = {"mask_palette": ["#000000", "#fa0a0a"]} if kind == "coloured" else {}
    prepared = prepare(config_of(tmp_path, source=options), seed=0)
    np.testing.assert_array_equal(decode(prepared, [1]).targets["mask"][0], mask(1, classes=2))
    high = 255 if kind == "0/255" else 1
    assert f"values of masks: 0 background, {high} object" in prepared.notes
    assert prepared.num_classes == 2


def test_modes_are_mixed_counted_and_brought_to_one(tmp_path):
    """D09: RGBA, LA, CMYK, palette and grey in one folder."""
    picture = Image.fromarray(image(3))
    modes = ["RGB", "RGBA", "LA", "CMYK", "L", "P"]
    for mode in modes:
        converted = picture.convert(mode)
        if mode in ("RGBA", "LA"):
            converted.putalpha(255)
        path = tmp_path / "images" / f"{mode}.{'tif' if mode == 'CMYK' else 'png'}"
        path.parent.mkdir(exist_ok=True)
        converted.save(path)
        save(tmp_path / "masks" / f"{mode}.png", mask(3))
    for channels in (1, 3):
        prepared = prepare(config_of(tmp_path, channels=channels), seed=0)
        assert prepared.scan.modes == dict.fromkeys(modes, 1)
        said = [note for note in prepared.notes if note.startswith("images are stored as")]
        assert said == ["images are stored as 1 CMYK, 1 L, 1 LA, 1 P, 1 RGB, 1 RGBA"]
        samples = decode(prepared, range(len(modes)))
        assert samples.images.shape == (6, 8, 12, channels)
        names = [record.id for record in prepared.source.records]
        np.testing.assert_array_equal(
            samples.images[names.index("RGBA")], to_channels(image(3), channels)
        )


def test_bombs_take_no_memory(tmp_path):
    """D10: image, npz and npz header, in a process of its own."""
    script = (
        "import io, resource, struct, sys, zipfile, zlib\n"
        "from pathlib import Path\n"
        "from tests.data.files.test_images import png_header\n"
        "from tfvision.data.sources.recognise import open_source\n"
        "from tfvision.data.scan.scan import scan\n"
        "from tfvision.errors import InputError\n"
        "root = Path(sys.argv[1])\n"
        "(root / 'a.png').write_bytes(png_header(15000, 15000))\n"
        "with zipfile.ZipFile(root / 'b.npz', 'w', zipfile.ZIP_DEFLATED) as archive:\n"
        "    with archive.open('images.npy', 'w') as file:\n"
        "        file.write(b'\\x93NUMPY\\x02\\x00' + struct.pack('<I', 300_000_000))\n"
        "        for _ in range(300):\n"
        "            file.write(bytes(1_000_000))\n"
        "def peak():\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "for name in ('a.png', 'b.npz'):\n"
        "    try:\n"
        "        scan(open_source(root / name)).raise_for_errors()\n"
        "    except InputError as error:\n"
        "        print(str(error).replace('\\n', ' '))\n"
        "print((peak() - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "TFVISION_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    picture, archive, growth = done.stdout.splitlines()
    assert "a.png: declares" in picture
    assert "the limit is 89,478,485 pixels" in picture
    assert "key images is not an array (its header declares 300,000,000 bytes" in archive
    assert int(growth) < 200, "MiB"


def test_values_of_no_bytes_are_refused(tmp_path):
    """D10: a million million empty strings take no room in the file, but all of it in Python."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<U0", "fortran_order": False, "shape": (10**12,)}
    )
    images, masks = arrays()
    np.savez(tmp_path / "a.npz", images=images, masks=masks)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("class_names.npy", header.getvalue())
    with pytest.raises(InputError, match=r"key class_names declares .* values of no bytes"):
        npz(tmp_path / "a.npz")


def test_infinity_is_named_with_key_and_pixel(tmp_path):
    """D17"""
    images = arrays()[0] / 255
    images[4, 2, 3] = np.inf
    found = scan(ArraySource({"": {"images": images, "masks": arrays()[1], "key": "x"}}))
    assert "row 4 of x: holds inf at pixel (y, x) = (2, 3)" in str(found.errors[0])


# ---------------------------------------------------------------- lists


@pytest.mark.parametrize(
    "cell",
    [
        *("../../etc/passwd", "/etc/passwd", "C:\\x", "C:/x", "\\\\host\\x", "http://h/x"),
        *("s3://b/x", "a\0b", "masks/../../x", "out", "masks/out/x.png"),
    ],
)
def test_masks_are_held_inside_the_root_as_images_are(tmp_path, cell):
    """D11: refused with its row, for the column mask too, and never opened."""
    root = pairs(tmp_path / "data", 1)
    (root / "masks" / "out").symlink_to(tmp_path)
    (root / "out").symlink_to("/etc/passwd")
    path = root / "data.csv"
    path.write_text(f"image,mask\nimages/s0.png,{cell}\n")
    (problem,) = (issue for issue in manifest(path).problems if issue.severity == "error")
    assert problem.place == "line 2 of data.csv"
    expected = "absolute", "leaves the data set", "is a URL", "NUL byte"
    assert any(words in problem.problem for words in expected)


def test_a_path_too_long_for_the_system_is_one_bad_row(tmp_path):
    """D11"""
    pairs(tmp_path, 1)
    path = tmp_path / "data.csv"
    path.write_text(f"image,mask\nimages/s0.png,masks/s0.png\n{'x' * 300}/a.png,masks/s0.png\n")
    (problem,) = scan(manifest(path)).errors
    assert "line 3 of data.csv" in problem.place
    assert "cannot be opened (File name too long)" in problem.problem


WORDS = ["NA", "None", "null", "01", "1.0", "true", "false", "nan", "1e5", "-", "0"]


def test_words_that_look_like_values_stay_words(tmp_path):
    """D20: as ids of a split, as groups, as cells of any table."""
    path = tmp_path / "a.csv"
    path.write_text("id,label\n" + "".join(f"{word},{word}\n" for word in WORDS))
    rows, _ = read_table(path, required=["id", "label"])
    assert [row.values["label"] for row in rows] == WORDS
    for seed, word in enumerate(WORDS):
        save(tmp_path / "images" / f"{word}.png", image(seed))
        save(tmp_path / "masks" / f"{word}.png", mask(seed))
    prepared = prepare(config_of(tmp_path), seed=0)
    write_splits(tmp_path / "s.csv", prepared.source.records, prepared.splits)
    assert read_splits(tmp_path / "s.csv", prepared.source.records) == ["train"] * len(WORDS)


def test_names_of_all_kinds_go_through_a_split_file(tmp_path):
    """D28: emoji, quotes, separators, line ends and names of 255 bytes."""
    names = ["🙂 smile", "a,b;c", 'say "hi"', "two\nlines", "x" * 251, "é" * 125, "1.0", "a.b.c"]
    for seed, name in enumerate(names):
        save(tmp_path / "images" / f"{name}.png", image(seed))
        save(tmp_path / "masks" / f"{name}.png", mask(seed))
    prepared = prepare(config_of(tmp_path), seed=0)
    assert {r.id for r in prepared.source.records} == set(names)
    assert decode(prepared, range(len(names))).targets["mask"].shape == (8, 8, 12)
    write_splits(tmp_path / "s.csv", prepared.source.records, prepared.splits)
    assert read_splits(tmp_path / "s.csv", prepared.source.records) == ["train"] * len(names)


def test_a_class_that_one_image_holds_is_split_without_a_crash_and_named(tmp_path):
    """D16"""
    images, masks = arrays(10, classes=2)
    masks[7, :2, :2] = 2
    np.savez(tmp_path / "a.npz", images=images, masks=masks)
    config = DataConfig(source=Spec(name="npz", path=str(tmp_path / "a.npz")))
    prepared = prepare(config, seed=0)
    absent = absent_classes(prepared.scan, prepared.source.records, prepared.splits)
    assert [name for names in absent.values() for name in names] == ["class 2", "class 2"]


def test_different_sizes_are_brought_to_one_and_that_is_said(tmp_path):
    """D30"""
    pairs(tmp_path, 2)
    pairs(tmp_path, 1, first=7, height=40, width=20)
    prepared = prepare(config_of(tmp_path), seed=0)
    assert prepared.size == (16, 16)
    assert any(
        "images have different sizes, 8x12 to 40x20: trained at 16x16" in n for n in prepared.notes
    )
    assert decode(prepared, [0, 1, 2]).images.shape == (3, 16, 16, 3)
    fixed = prepare(config_of(tmp_path, image_size=(24, 8)), seed=0)
    assert decode(fixed, [2]).targets["mask"].shape == (1, 24, 8)


# ---------------------------------------------------------------- tiny images


def test_images_smaller_than_the_stride_are_trained_on_and_predicted(tmp_path, monkeypatch):
    """D31: 1x7 images through a stride of 4 with augmentation; then 1x1, 9x1 and 3x5."""
    monkeypatch.setattr("tfvision.runs.finish.export_run", lambda *args, **options: [])
    content = {}
    for part, count in (("train", 6), ("val", 3)):
        rng = np.random.default_rng(count)
        content[f"x_{part}"] = rng.integers(0, 256, (count, 1, 7), np.uint8)
        content[f"y_{part}"] = content[f"x_{part}"] // 86
    np.savez(tmp_path / "tiny.npz", **content)
    run = runs.new_run(
        tmp_path / "run",
        tmp_path / "tiny.npz",
        data={"augment": ["flip_lr(p=0.5)", "rotate(max_degrees=10)"]},
        model={"depth": 2},
        train={"epochs": 1},
    )
    assert runs.data(run)["image_size"] == [1, 7]
    sizes = {"a": (1, 1), "b": (9, 1), "c": (3, 5)}
    for name, size in sizes.items():
        save(tmp_path / "new" / f"{name}.png", image(1, *size, 1))
    assert runs.use("predict", run, tmp_path / "new", "--out", tmp_path / "p") == 0
    found = runs.labels(tmp_path / "p" / "predictions")
    assert {name: labels.shape for name, labels in found.items()} == sizes


# ---------------------------------------------------------------- files that change


@pytest.mark.parametrize("change", ["rewritten", "removed", "mask"])
def test_a_file_that_changes_after_the_scan_is_named(tmp_path, change):
    """D32: when it is decoded for training, and when it is scored at the end."""
    prepared = prepare(config_of(pairs(tmp_path, 3)), seed=0)
    path = tmp_path / ("masks" if change == "mask" else "images") / "s1.png"
    if change == "removed":
        path.unlink()
    else:
        save(path, mask(9) if change == "mask" else image(9))
        os.utime(path, ns=(1, 1))
    message = r"images/s1.png was changed or removed since it was scanned"
    with pytest.raises(InputError, match=message):
        decode(prepared, [0, 1, 2])
    with pytest.raises(InputError, match=message):
        [native_scanned(prepared, i) for i in range(3)]
    assert len([native_scanned(prepared, i) for i in (0, 2)]) == 2


def test_a_file_written_while_it_is_scanned_is_an_error(tmp_path, monkeypatch):
    """D32: what was read may be half of the old file and half of the new."""
    source = folder(pairs(tmp_path, 3))
    read = source.read_raw

    def reads_and_changes(index):
        sample = read(index)
        if index == 1:
            os.utime(tmp_path / "masks" / "s1.png", ns=(1, 1))
        return sample

    monkeypatch.setattr(source, "read_raw", reads_and_changes)
    (problem,) = scan(source).errors
    assert str(problem).startswith("images/s1.png: was changed while it was scanned")


def test_a_file_removed_before_it_is_predicted_is_named(tmp_path):
    """D32: predict does not scan; the reader names the file."""
    source = open_source(pairs(tmp_path, 2) / "images")
    (tmp_path / "images" / "s1.png").unlink()
    with pytest.raises(InputError, match=r"s1.png: no such file"):
        native(source, 1, 3)


# ---------------------------------------------------------------- what is no regular file


def test_what_is_no_file_is_named_and_a_pipe_does_not_hang(tmp_path):
    """D33: broken link, folder named like an image, pipe and device, in one scan."""
    root = pairs(tmp_path / "data", 5)
    for name in ("s0", "s1", "s2"):
        (root / "images" / f"{name}.png").unlink()
    (root / "images" / "s0.png").symlink_to(root / "gone.png")
    os.mkfifo(root / "images" / "s1.png")
    (root / "images" / "s2.png").symlink_to("/dev/zero")
    (root / "images" / "x.jpg").mkdir()
    found = []

    def read():
        found.extend(scan(folder(root, allow_outside_root=True)).errors)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    text = "\n".join(map(str, found))
    assert "images/s0.png: is a broken link to" in text
    assert "images/s1.png: is a pipe or a device" in text
    assert "images/s2.png: is a pipe or a device" in text
    assert "images/x.jpg: is a folder, but named like an image file" in text
    assert "images/s2.png: is a link that leaves the data set: /dev/zero" in "\n".join(
        map(str, folder(root).problems)
    )
    os.mkfifo(tmp_path / "data.csv")
    with pytest.raises(InputError, match=r"data.csv is a pipe or a device"):
        open_source(tmp_path / "data.csv")


def test_files_and_folders_without_permission_are_named():
    """D33: chmod 000 on an image, on a folder of masks, and on the whole data set."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        root = pairs(Path(name) / "data", 3)
        (root / "images" / "s1.png").chmod(0)
        with nobody(root):
            problems = scan(folder(root), cache=False).errors
        assert [str(p) for p in problems] == [
            "images/s1.png: permission denied. Make the file readable (chmod u+r)."
        ]
        (root / "masks").chmod(0)
        with nobody(root):
            problems = folder(root).problems
        assert "masks: cannot be read (Permission denied)" in str(problems[0])
        root.chmod(0)
        try:
            with (
                nobody(root.parent),
                pytest.raises(InputError, match=r"data cannot be read \(Perm"),
            ):
                open_source(root)
        finally:
            for folder_ in (root, root / "masks"):
                folder_.chmod(0o755)
        shutil.rmtree(root)
