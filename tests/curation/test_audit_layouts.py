"""An audit says and shows how the data are read, and takes another reading that is declared."""

import json

import pytest

from tests.data.make import image, mask, save
from tests.data.sources.boxes.made import coco, scenes
from tfvision.cli import commands


@pytest.fixture
def doubtful(tmp_path):
    """Images with two folders of masks."""
    for seed in range(9):
        save(tmp_path / "set" / "images" / f"{seed}.png", image(seed, 16, 20))
        save(tmp_path / "set" / "masks" / f"{seed}.png", mask(seed, 16, 20))
        save(tmp_path / "set" / "labels" / f"{seed}.png", mask(seed + 50, 16, 20))
    return tmp_path / "set"


def test_two_readings_end_with_what_to_type(doubtful, tmp_path, capsys):
    assert commands.main(["audit", str(doubtful), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "--set 'data.source.masks=labels/' or --set 'data.source.masks=masks/'" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("typed", "layout"),
    [
        ("data.source.masks=labels/", "9 images with masks in images/ and labels/ (same names)"),
        ("data.source.name=class_folder", "27 images in 3 class folders"),
    ],
)
def test_what_is_typed_is_read_and_six_samples_are_shown(doubtful, tmp_path, typed, layout):
    out = tmp_path / "out"
    assert commands.main(["audit", str(doubtful), "--out", str(out), "--set", typed]) == 0
    page = (out / "audit.html").read_text()
    assert f"set: {layout}" in page
    shown = page.split("6 samples as they are read")[1].split("</section>")[0]
    assert shown.count("<img") == 6


def test_boxes_beside_outlines_are_named_and_read_where_they_are_asked_for(tmp_path, capsys):
    made = scenes(8)
    coco(tmp_path / "set", made)
    path = tmp_path / "set" / "annotations.json"
    content = json.loads(path.read_text())
    for entry in content["annotations"]:
        x, y, w, h = entry["bbox"]
        entry["segmentation"] = [[x, y, x + w, y, x + w / 2, y + h]]
    path.write_text(json.dumps(content))
    assert commands.main(["audit", str(tmp_path / "set"), "--out", str(tmp_path / "a")]) == 0
    said = capsys.readouterr().out
    assert "COCO boxes in annotations.json, too: --task detection reads these" in said
    assert "set: COCO annotations.json: 8 images" in said
    assert not (tmp_path / "a" / "boxes.csv").exists()
    typed = ["audit", str(tmp_path / "set"), "--task", "detection", "--out", str(tmp_path / "b")]
    assert commands.main(typed) == 0
    said = capsys.readouterr().out
    assert "set: COCO annotations.json, sizes in pixels: 8 images" in said
    assert f"every box as it was read, and what was done to it: {tmp_path / 'b'}" in said
    lines = (tmp_path / "b" / "boxes.csv").read_text().splitlines()
    assert lines[0] == "image,x1,y1,x2,y2,label,done"
    assert len(lines) == 1 + sum(map(len, made.values()))
    first = made["s00.png"][0]
    sides = ",".join(f"{side:.1f}" for side in first[:4])
    assert f"images/s00.png,{sides},{first[4]}," in lines
