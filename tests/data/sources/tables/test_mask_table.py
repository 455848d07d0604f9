"""The source `manifest`: CSV dialects, paths that leave the root, planted faults."""

import numpy as np
import pytest

from tests.data.make import image, mask, pairs, save
from tfvision.data.scan.scan import scan
from tfvision.data.sources.recognise import open_source
from tfvision.data.sources.tables.mask_table import manifest
from tfvision.errors import InputError


def write(root, text, name="data.csv", encoding="utf-8"):
    path = root / name
    path.write_bytes(text.encode(encoding))
    return path


def test_manifest(tmp_path):
    """D19, D20"""
    pairs(tmp_path, 4)
    path = write(
        tmp_path,
        "image,mask,split,group\n"
        "images/s0.png,masks/s0.png,train,NA\n"
        "images/s1.png,masks/s1.png,valid,01\n"
        "\n"
        '"images/s2.png",,test,\n'
        "images/s3.png , masks/s3.png,,None\n",
    )
    source = open_source(path)
    assert source.name == "manifest"
    assert [r.id for r in source.records] == [f"images/s{i}" for i in range(4)]
    assert [r.split for r in source.records] == ["train", "val", "test", None]
    assert [r.labelled for r in source.records] == [True, True, False, True]
    assert [r.group for r in source.records] == ["NA", "01", None, "None"]
    assert source.records[2].place == "line 5 of data.csv (images/s2.png)"
    np.testing.assert_array_equal(source.read(3).mask, mask(3))
    assert source.layout == "data.csv: 4 images, 3 of them with masks"


def test_manifest_dialects(tmp_path):
    """D19"""
    pairs(tmp_path, 2)
    rows = [
        ["Image", "mask"],
        ["images\\s0.png", "masks\\s0.png"],
        ["images/s1.png", "masks/s1.png"],
    ]
    for separator in ",;\t|":
        text = "\ufeff" + "\r\n".join(separator.join(row) for row in rows) + "\r\n"
        source = manifest(write(tmp_path, text))
        assert [r.id for r in source.records] == ["images/s0", "images/s1"]
        assert not scan(source).errors


def test_manifest_train_without_val(tmp_path):
    pairs(tmp_path, 2)
    source = manifest(
        write(tmp_path, "image,mask,split,note\n" + "images/s0.png,masks/s0.png,train,x\n")
    )
    assert source.records[0].split is None
    assert source.notes == [
        "no row says val: the rows that say train are split into train and val",
        "columns not used: note",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("images,mask\na,b\n", "unknown column 'images'. Did you mean 'image'"),
        ("photo,mask\na,b\n", "the header must name image; found photo, mask"),
        ("image,image\na,b\n", "the header names image twice"),
        ("image,mask\na.png,b.png\na.png,b.png,c\n", "line 3: 3 cells, the header has 2"),
        ('image,mask\n"a\nb.png",c\nd\n', "line 4: 1 cells"),
        ('image,mask\na.png,b\n"c.png,d\n', "line 3: .*quote"),
    ],
)
def test_manifest_tables_that_cannot_be_read(tmp_path, text, message):
    """D19"""
    with pytest.raises(InputError, match=message):
        manifest(write(tmp_path, text))


def test_manifest_encoding(tmp_path):
    """D21"""
    pairs(tmp_path, 1)
    text = "image,mask,group\nimages/s0.png,masks/s0.png,käse\n"
    path = write(tmp_path, text, encoding="cp1252")
    with pytest.raises(InputError, match=r"line 2 is not utf-8 text \(byte 0xe4\).*encoding"):
        manifest(path)
    assert manifest(path, encoding="cp1252").records[0].group == "käse"
    with pytest.raises(InputError, match="Unknown encoding: 'utf8000'"):
        manifest(path, encoding="utf8000")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (
            "../secret.png",
            r"line 2 of data.csv: the path '../secret.png' leaves the data set: .*/sec",
        ),
        ("images/../../secret.png", "leaves the data set"),
        ("..\\secret.png", "leaves the data set"),
        ("/etc/passwd", "'/etc/passwd' is absolute"),
        ("C:\\x.png", "is absolute"),
        ("https://x.org/a.png", "is a URL"),
        ("file:///etc/passwd", "is a URL"),
        ("images/a\0.png", "holds a NUL byte"),
        ("images/out.png", "leaves the data set"),
        ("", "the column image is empty"),
    ],
)
def test_manifest_paths_that_leave_the_root(tmp_path, cell, message):
    """D11"""
    root = pairs(tmp_path / "data", 1)
    save(tmp_path / "secret.png", image(1))
    (root / "images" / "out.png").symlink_to(tmp_path / "secret.png")
    text = f"image,mask\n{cell},masks/s0.png\nimages/s0.png,masks/s0.png\n"
    source = manifest(write(root, text))
    assert [r.id for r in source.records] == ["images/s0"]
    with pytest.raises(InputError, match=message):
        scan(source).raise_for_errors()
    if cell.startswith("../"):
        allowed = manifest(root / "data.csv", allow_outside_root=True)
        np.testing.assert_array_equal(allowed.read(0).image, image(1))


def test_manifest_rows_are_reported_together(tmp_path):
    """D12, D19: all rows at once, each by its physical line."""
    pairs(tmp_path, 3)
    path = write(
        tmp_path,
        "image,mask,split\n"
        "images/s0.png,masks/s0.png,trian\n"
        "images/s1.png,masks/s1.png,\n"
        "images/s1.png,masks/s1.png,\n"
        "images/none.png,masks/s1.png,\n",
    )
    found = scan(manifest(path))
    with pytest.raises(InputError) as caught:
        found.raise_for_errors()
    message = str(caught.value)
    assert "line 2 of data.csv: unknown split 'trian'" in message
    assert "line 4 of data.csv: lists 'images/s1.png' again, it stands on line 3" in message
    assert "line 5 of data.csv (images/none.png): no such file" in message
    assert "3 problems" in message
    assert any("2 images beside the listed ones are not listed" in str(i) for i in found.warnings)
