"""An audit says and shows how the data are read, and takes another reading that is declared."""

import pytest

from tests.data.make import image, mask, save
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
