"""Large images: read part by part, or decoded once, and never refused where memory suffices."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tifffile

from tests.data.files.test_bands import numbers, tif
from tests.data.files.test_images import png_header
from tests.data.make import image, mask, save
from tfvision.data.files import opening
from tfvision.data.files.images import read_image
from tfvision.data.files.issue import BadSample
from tfvision.data.files.reading import Reading
from tfvision.data.files.windows import Windows, open_windows
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.engine.tiles import Tiles
from tfvision.recipe.read import native, native_large

SIZE = (83, 101)
KINDS = {
    "as it lies": ("uint8", 3, {}),
    "strips": ("uint8", 3, {"rowsperstrip": 7, "compression": "zlib"}),
    "one strip": ("uint16", 1, {"rowsperstrip": 83, "compression": "zlib"}),
    "tiles": ("uint16", 3, {"tile": (32, 16), "compression": "zlib", "predictor": True}),
    "planes in tiles": ("uint16", 3, {"planarconfig": "separate", "tile": (16, 16)}),
    "planes in strips": (
        "uint8",
        3,
        {"planarconfig": "separate", "rowsperstrip": 5, "compression": "zlib"},
    ),
    "big end first": ("uint16", 3, {"byteorder": ">"}),
    "least is white": ("uint16", 1, {"photometric": "miniswhite", "tile": (16, 32)}),
    "floats": ("float32", 1, {"rowsperstrip": 9, "compression": "zlib"}),
}


def written(path, kind):
    dtype, channels, how = KINDS[kind]
    pixels = numbers((*SIZE, channels), dtype)
    stored = pixels[..., 0] if channels == 1 else pixels
    if "planarconfig" in how:
        stored = np.moveaxis(pixels, -1, 0)
    return tif(path, stored, **{"photometric": "rgb" if channels == 3 else "minisblack", **how})


@pytest.mark.parametrize("kind", KINDS)
def test_every_window_is_that_of_the_whole(tmp_path, kind):
    path = written(tmp_path / "a.tif", kind)
    whole = read_image(path).pixels
    windows = open_windows(path, Reading(), place="a.tif")
    assert (windows.shape, windows.dtype) == (whole.shape, whole.dtype)
    np.testing.assert_array_equal(np.asarray(windows), whole)
    rng = np.random.default_rng(5)
    for _ in range(30):
        y, x = rng.integers(0, SIZE[0] - 1), rng.integers(0, SIZE[1] - 1)
        part = slice(y, y + rng.integers(1, 60)), slice(x, x + rng.integers(1, 60))
        np.testing.assert_array_equal(windows[part], whole[part])
    first = windows.then(lambda pixels: pixels[..., :1].astype(np.float32))
    assert (first.shape, first.dtype) == ((*SIZE, 1), np.float32)
    np.testing.assert_array_equal(first[3:9, 5:50], whole[3:9, 5:50, :1])


def test_a_window_decodes_only_what_it_touches(tmp_path, monkeypatch):
    path = tif(tmp_path / "a.tif", numbers((160, 160)), tile=(16, 16), compression="zlib")
    windows = open_windows(path, Reading(), place="a.tif")
    decoded, segment = [], Windows._segment

    def counted(self, number, *, last):
        if number not in self._kept:
            decoded.append(number)
        return segment(self, number, last=last)

    monkeypatch.setattr(Windows, "_segment", counted)
    for left in range(0, 160, 16):  # a row of tiles, as tiles of a prediction follow
        windows[32:64, left : left + 16]
    assert sorted(decoded) == list(range(20, 40))
    windows[48:80, 0:160]  # what the rows share is still there
    assert sorted(decoded) == list(range(20, 50))
    assert len(windows._kept) == 20


def test_bands_of_a_large_image_are_declared_or_refused(tmp_path):
    pixels = numbers((*SIZE, 5))
    path = tif(tmp_path / "a.tif", pixels, planarconfig="contig")
    with pytest.raises(BadSample, match="has 5 bands"):
        open_windows(path, Reading(), place="a.tif")
    windows = open_windows(path, Reading(bands=[4, 0, 2]), place="a.tif")
    np.testing.assert_array_equal(windows[2:40, 9:30], pixels[2:40, 9:30, [4, 0, 2]])


def test_what_must_be_decoded_whole_is_left_to_that(tmp_path, monkeypatch):
    save(tmp_path / "a.png", image(1))
    palette = tif(
        tmp_path / "b.tif", numbers(SIZE), photometric="palette", colormap=[[0] * 256] * 3
    )
    turned = tif(tmp_path / "c.tif", numbers(SIZE), extratags=[(274, 3, 1, 6, True)])
    for path in (tmp_path / "a.png", palette, turned):
        assert open_windows(path, Reading(), place=path.name) is None
    tiled = tif(tmp_path / "d.tif", numbers(SIZE), tile=(16, 16), compression="zlib")

    def fails(*_, **__):
        raise ValueError("requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPage, "decode", property(lambda self: fails))
    assert open_windows(tiled, Reading(), place="d.tif") is None


# ---------------------------------------------------------------- without a limit


def small_limit(tmp_path, suffix):
    """A folder with one image of more pixels than its source takes."""
    pixels = image(3, *SIZE)
    path = tmp_path / f"a{suffix}"
    save(path, pixels) if suffix == ".png" else tif(path, pixels, photometric="rgb", tile=(16, 16))
    return folder(path, max_pixels=1000)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_in_tiles_have_no_limit(tmp_path, suffix, channels):
    source = small_limit(tmp_path, suffix)
    with pytest.raises(BadSample) as caught:
        native(source, 0, channels)
    assert f"a{suffix}: declares 83 x 101 pixels, the limit is 1,000 pixels" in str(caught.value)
    assert "predict RUN IMAGE --tile 512" in str(caught.value)
    assert "--set data.source.max_pixels=8383" in str(caught.value)
    large = native_large(source, 0, channels)
    assert isinstance(large.image, np.ndarray) == (suffix == ".png")
    plain = native(folder(tmp_path / f"a{suffix}"), 0, channels)
    assert large.scale == plain.scale
    np.testing.assert_array_equal(np.asarray(large.image), plain.image)


@pytest.mark.parametrize("side", [13500, 100000])
def test_only_memory_limits_what_is_decoded_whole(tmp_path, side, monkeypatch):
    """Above Pillow's own limit, too: by the header alone."""
    (tmp_path / "a.png").write_bytes(png_header(side, side, depth=8, colour=2))
    monkeypatch.setattr(opening, "memory_bytes", lambda: (2**40, 2**30))
    need = f"{side * side * 7 / 2**30:.1f} GiB to decode, 7 bytes a pixel, and 1.0 GiB are free"
    with pytest.raises(BadSample, match=need):
        read_image(tmp_path / "a.png", max_pixels=None)


def test_tiles_of_windows_are_predicted_as_those_of_an_array(tmp_path):
    path = tif(tmp_path / "a.tif", numbers((*SIZE, 3)), photometric="rgb", tile=(16, 16))
    windows = open_windows(path, Reading(), place="a.tif")

    def serve(batch):
        return {"probabilities": tf.stack([batch[..., 0], 1 - batch[..., 0]], -1)}

    tiles = Tiles(SimpleNamespace(serve_float=serve), tile=(32, 48), batch_size=2)
    expected = tiles.whole(read_image(path).pixels, 1 / 255)
    np.testing.assert_array_equal(tiles.whole(windows, 1 / 255), expected)


def test_a_large_image_comes_without_its_mask(tmp_path):
    save(tmp_path / "images" / "a.png", image(1))
    save(tmp_path / "masks" / "a.png", mask(1))
    assert folder(tmp_path).read_large(0).mask is None
