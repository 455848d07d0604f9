"""The image and mask reader: what becomes of each kind of file, and of each kind of damage."""

import io
import json
import os
import re
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.data.make import image, mask, save
from tfvision.data.files.images import read_image, read_mask
from tfvision.data.files.issue import BadSample
from tfvision.data.files.pixels import parse_palette
from tfvision.errors import InputError

# What EXIF 2.3 says of each orientation: the stored array's row 0 is displayed as ..., its
# column 0 as .... Written here as "how to store an upright picture so that it shows upright".
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a.swapaxes(0, 1)[::-1, ::-1],
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


def jpeg(array, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def smooth(height=64, width=96) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([y * 3, x * 2, (y + x)], -1).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_exif_turns_image_and_mask_together(tmp_path, orientation, suffix):
    """D06: all eight orientations."""
    picture, labels = image(1), mask(1)
    options = {"exif": exif(orientation), **({"lossless": True} if suffix == ".webp" else {})}
    path = save(
        tmp_path / f"a{suffix}", np.ascontiguousarray(STORED[orientation](picture)), **options
    )
    stored = np.ascontiguousarray(STORED[orientation](labels))
    mask_path = save(tmp_path / "mask.png", stored, exif=exif(orientation))
    np.testing.assert_array_equal(read_image(path).pixels, picture)
    np.testing.assert_array_equal(read_mask(mask_path).pixels, labels)
    if suffix == ".png":
        np.testing.assert_array_equal(
            read_image(path, exif="ignore").pixels, STORED[orientation](picture)
        )


def test_exif_of_a_jpeg_and_the_policy_fail(tmp_path):
    """D06"""
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(smooth(), exif=exif(6)))
    read = read_image(path)
    assert read.pixels.shape == (96, 64, 3)
    assert read.warnings == ("EXIF orientation 6 applied",)
    with pytest.raises(BadSample, match=r"a.jpg: has the EXIF orientation 6"):
        read_image(path, exif="fail")
    turned = save(tmp_path / "a.tif", image(1), exif=exif(6))
    assert read_image(turned).warnings == ("EXIF orientation 6 applied",)
    with pytest.raises(BadSample, match=r"a.tif: has the EXIF orientation 6"):
        read_image(turned, exif="fail")
    np.testing.assert_array_equal(read_image(turned, exif="ignore").pixels, image(1))
    with pytest.raises(InputError, match="exif must be one of"):
        read_image(path, exif="maybe")


def test_exif_turns_a_palette_mask_without_touching_indices(tmp_path):
    """D06, D08"""
    labels = mask(2)
    stored = Image.fromarray(np.ascontiguousarray(STORED[6](labels)), "P")
    stored.putpalette([0, 0, 0, 200, 10, 10, 200, 10, 10])  # two labels of one colour
    stored.save(tmp_path / "m.png", exif=exif(6))
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png").pixels, labels)


def test_16_bit_grey_stays_16_bit(tmp_path):
    """D07"""
    values = (np.arange(96, dtype=np.uint16) * 624).reshape(8, 12)
    for name in ("a.png", "a.tif"):
        read = read_image(save(tmp_path / name, values)).pixels
        assert read.dtype == np.uint16
        np.testing.assert_array_equal(read[..., 0], values)
        np.testing.assert_array_equal(read_mask(tmp_path / name).pixels, values)


def test_float_tiff_is_read_and_nan_is_named(tmp_path):
    """D17"""
    values = np.linspace(0, 1, 96, dtype=np.float32).reshape(8, 12)
    read = read_image(save(tmp_path / "a.tif", values)).pixels
    np.testing.assert_array_equal(read, values[..., None])
    values[3, 5] = np.nan
    with pytest.raises(BadSample, match=r"a.tif: holds nan at pixel \(y, x\) = \(3, 5\)"):
        read_image(save(tmp_path / "a.tif", values))
    with pytest.raises(BadSample, match="whole numbers"):
        read_mask(save(tmp_path / "b.tif", np.full((4, 4), 0.5, np.float32)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_one_or_three_channels(tmp_path, mode):
    """D09"""
    picture = Image.fromarray(image(3)).convert(mode)
    if mode in ("RGBA", "LA"):
        picture.putalpha(255)
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.save(path)
    read = read_image(path)
    expected = np.asarray(picture.convert("L" if mode in ("1", "L", "LA") else "RGB"))
    assert read.mode == mode
    assert not read.warnings
    np.testing.assert_array_equal(read.pixels, expected.reshape(8, 12, -1))


def test_partial_transparency_is_laid_on_black_and_said(tmp_path):
    """D09"""
    pixels = np.full((2, 2, 4), 200, np.uint8)
    pixels[..., 3] = [[255, 0], [128, 51]]
    read = read_image(save(tmp_path / "a.png", pixels))
    np.testing.assert_array_equal(read.pixels[..., 0], [[200, 0], [100, 40]])
    assert read.warnings == ("is partly transparent: laid on black",)


def test_transparent_palette_colour_is_laid_on_black(tmp_path):
    stored = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    stored.putpalette([90, 90, 90, 255, 0, 0])
    stored.save(tmp_path / "a.png", transparency=0)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png").pixels, [[[0, 0, 0], [255, 0, 0]]])


def test_masks_keep_their_numbers(tmp_path):
    """D08"""
    labels = mask(4)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "l.png", labels)).pixels, labels)
    grey = np.repeat(labels[..., None], 3, -1)
    np.testing.assert_array_equal(read_mask(save(tmp_path / "rgb.png", grey)).pixels, labels)
    binary = Image.fromarray(np.uint8(labels > 0) * 255).convert("1")
    binary.save(tmp_path / "one.png")
    read = read_mask(tmp_path / "one.png").pixels
    assert read.dtype == np.int32
    np.testing.assert_array_equal(read, labels > 0)


def test_coloured_mask_needs_a_palette(tmp_path):
    """D08"""
    colours = np.array([[0, 0, 0], [255, 0, 0], [0, 0, 255]], np.uint8)
    labels = mask(5)
    path = save(tmp_path / "m.png", colours[labels])
    first = tuple(int(i) for i in np.argwhere(labels > 0)[0])
    with pytest.raises(BadSample, match=r"m.png: is a coloured mask: pixel .* \(0, 1\).*mask_pal"):
        read_mask(path)
    assert first == (0, 1)
    with pytest.raises(BadSample) as error:
        read_mask(path)
    typed = re.search(r"--set 'data.source.mask_palette=(.*?)'", str(error.value))[1]
    assert sorted(json.loads(typed)) == ["#000000", "#0000ff", "#ff0000"]
    assert json.loads(typed)[0] == "#" + bytes(colours[np.bincount(labels.ravel()).argmax()]).hex()
    palette = {"#0000ff": 2, "#000000": 0, "#ff0000": 1}
    np.testing.assert_array_equal(read_mask(path, mask_palette=palette).pixels, labels)
    in_order = [[0, 0, 0], [255, 0, 0], "#0000FF"]
    np.testing.assert_array_equal(read_mask(path, mask_palette=in_order).pixels, labels)
    with pytest.raises(BadSample, match=r"colour #0000ff at pixel .* mask_palette does not list"):
        read_mask(path, mask_palette=["#000000", "#ff0000"])


@pytest.mark.parametrize(
    ("palette", "message"),
    [
        (["#000000", "#000000"], "twice"),
        (["red"], "Write .#rrggbb"),
        ({"#000000": -1}, "label -1"),
        ({}, "empty"),
    ],
)
def test_wrong_palettes(palette, message):
    with pytest.raises(InputError, match=message):
        parse_palette(palette)


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png"])
def test_an_animation_says_how_a_frame_is_read(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    frames = [Image.fromarray(image(i, 16, 24)) for i in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    with pytest.raises(BadSample) as caught:
        read_image(path)
    assert str(caught.value).endswith(
        f"a{suffix}: holds 3 frames, one picture a file is expected. Say what is read: --set "
        "data.source.pages=0 for the first frame alone, --set data.source.pages=each for a sample "
        "a frame."
    )
    for number in (0, 2):
        assert read_image(path, pages=number).pixels.shape == (16, 24, 3)
    if suffix != ".webp":
        with pytest.raises(BadSample, match=r"holds 3 frames, one mask .* its image has as"):
            read_mask(path)


def test_pages_of_a_mask_are_no_bands(tmp_path):
    pages = [Image.fromarray(mask(i)) for i in range(4)]
    pages[0].save(tmp_path / "m.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(BadSample, match="holds 4 pages, one mask a file is expected") as caught:
        read_mask(tmp_path / "m.tif")
    assert "pages=bands" not in str(caught.value)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.tif", pages=1).pixels, mask(1))


def test_the_commands_for_transparent_masks(tmp_path, monkeypatch):
    """The object is what is opaque; or colours are classes, on a transparent background."""
    pixels = np.zeros((6, 9, 4), np.uint8)
    pixels[1:4, 2:7] = (255, 0, 0, 255)
    with pytest.raises(BadSample, match="partly transparent mask") as caught:
        read_mask(save(tmp_path / "m.png", pixels))
    commands = [text.split('"')[0] for text in str(caught.value).split('python -c "')[1:]]
    monkeypatch.chdir(tmp_path)
    for number, command in enumerate(commands):
        save(tmp_path / str(number) / "m.png", pixels)
        exec(command.replace("FOLDER OF THE MASKS", str(number)), {})
    expected = (pixels[..., 3] > 0).astype(int)
    read = read_mask(tmp_path / "0" / "m.png").pixels
    np.testing.assert_array_equal(read, 255 * expected)
    palette = {"mask_palette": ["#000000", "#ff0000"]}
    read = read_mask(tmp_path / "1" / "m.png", **palette).pixels
    np.testing.assert_array_equal(read, expected)


def test_transparent_and_jpeg_masks(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    with pytest.raises(BadSample, match="partly transparent mask"):
        read_mask(save(tmp_path / "m.png", pixels))
    read = read_mask(save(tmp_path / "m.jpg", np.zeros((8, 8), np.uint8)))
    assert "JPEG mask" in read.warnings[0]


def test_jpeg_without_end_marker_is_whole_and_the_file_stays(tmp_path):
    """D02"""
    for progressive in (False, True):
        data = jpeg(smooth(), progressive=progressive)
        path = tmp_path / "a.jpg"
        for cut in (2, 1):
            path.write_bytes(data[:-cut])
            read = read_image(path)
            assert "end marker" in read.warnings[0]
            np.testing.assert_array_equal(
                read.pixels, np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
            )
            assert path.read_bytes() == data[:-cut]


@pytest.mark.parametrize("progressive", [False, True])
def test_truncated_jpeg_is_refused_wherever_it_is_cut(tmp_path, progressive):
    """D01"""
    data = jpeg(smooth(), progressive=progressive)
    path = tmp_path / "a.jpg"
    for keep in (len(data) // 2, len(data) * 9 // 10, *range(len(data) - 12, len(data) - 3)):
        path.write_bytes(data[:keep])
        with pytest.raises(BadSample, match=r"a.jpg: is damaged or cut off"):
            read_image(path)


def test_damaged_png_is_refused(tmp_path):
    """D03"""
    path = save(tmp_path / "a.png", image(6, 64, 96))
    data = path.read_bytes()
    flipped = bytearray(data)
    flipped[data.index(b"IDAT") + 500] ^= 4
    path.write_bytes(bytes(flipped))
    with pytest.raises(BadSample, match=r"a.png: is a damaged PNG: .* IDAT chunk is wrong"):
        read_image(path)
    for keep in (len(data) // 2, len(data) - 5, len(data) - 12):
        path.write_bytes(data[:keep])
        with pytest.raises(BadSample, match="cut off"):
            read_image(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a.jpg: is empty \(0 bytes\)"),
        (b"<html><body>404", "not an image that can be read: it starts with '<html><body>404'"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "it starts with '%!PS"),
        (b"\xff\xd8\xff\xe0", "a.jpg: is not an image"),
        (np.random.default_rng(0).bytes(64), "it starts with"),
    ],
)
def test_not_an_image(tmp_path, content, message):
    """D04"""
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(BadSample, match=message):
        read_image(tmp_path / "a.jpg")


def test_content_decides_and_the_extension_is_noted(tmp_path):
    """D05"""
    path = tmp_path / "a.jpg"
    Image.fromarray(image(7)).save(path, "PNG")
    read = read_image(path)
    np.testing.assert_array_equal(read.pixels, image(7))
    assert read.warnings == ("the extension .jpg does not fit: the file holds PNG data",)


def test_an_animation_needs_pages(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), v, np.uint8)) for v in (10, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(BadSample, match=r"a.gif: holds 2 frames.*data.source.pages=0.*pages=each"):
        read_image(tmp_path / "a.gif")
    for number, value in enumerate((10, 200)):
        assert (read_image(tmp_path / "a.gif", pages=number).pixels == value).all()


def png_header(width: int, height: int, depth: int = 1, colour: int = 0) -> bytes:
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    rows = zlib.compress(bytes(((width * depth + 7) // 8 + 1) * min(height, 100)))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [9500, 15000, 100000])
def test_size_bomb_is_refused_before_decoding(tmp_path, side, monkeypatch):
    """D10"""

    def load(self):
        raise AssertionError("the image was decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    (tmp_path / "a.png").write_bytes(png_header(side, side))
    with pytest.raises(BadSample, match=r"a.png: declares .* the limit is 89,478,485 pixels"):
        read_image(tmp_path / "a.png")


def test_the_pixel_limit_can_be_set(tmp_path):
    path = save(tmp_path / "a.png", image(8, 10, 10))
    with pytest.raises(BadSample, match="declares 10 x 10 pixels, the limit is 99 pixels"):
        read_image(path, max_pixels=99)
    assert read_image(path, max_pixels=100).pixels.shape == (10, 10, 3)


def png_of_16_bits(pixels: np.ndarray) -> bytes:
    """A PNG of (H, W, 3 or 4) uint16, rows without a filter, written by hand."""
    height, width, channels = pixels.shape
    data = png_header(width, height, depth=16, colour={2: 4, 3: 2, 4: 6}[channels])
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    body = b"IDAT" + zlib.compress(rows)
    start = data.index(b"IDAT") - 4
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    return data[:start] + chunk + data[-12:]


@pytest.mark.parametrize("channels", [3, 4])
def test_16_bit_colour_keeps_its_lower_byte(tmp_path, channels):
    """D07"""
    pixels = np.random.default_rng(3).integers(0, 65536, (5, 7, channels)).astype(np.uint16)
    pixels[..., 3:] = 65535
    (tmp_path / "a.png").write_bytes(png_of_16_bits(pixels))
    read = read_image(tmp_path / "a.png")
    assert read.pixels.dtype == np.uint16
    assert not read.warnings
    np.testing.assert_array_equal(read.pixels, pixels[..., :3])


def test_what_is_no_regular_file(tmp_path):
    """D33"""
    with pytest.raises(BadSample, match=r"none.png: no such file"):
        read_image(tmp_path / "none.png")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(BadSample, match=r"folder.jpg: is a folder"):
        read_image(tmp_path / "folder.jpg")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(BadSample, match=r"link.png: is a broken link to .*gone.png"):
        read_image(tmp_path / "link.png")


def test_a_pipe_does_not_hang(tmp_path):
    """D33"""
    os.mkfifo(tmp_path / "pipe.png")
    caught = []

    def read():
        try:
            read_image(tmp_path / "pipe.png")
        except BadSample as error:
            caught.append(str(error))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert "pipe.png: is a pipe or a device" in caught[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(tmp_path):
    """D33"""
    path = save(tmp_path / "a.png", image(9))
    path.chmod(0)
    with pytest.raises(BadSample, match=r"a.png: permission denied"):
        read_image(path)


def test_denied_file(tmp_path, monkeypatch):
    """D33"""

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    path = save(tmp_path / "a.png", image(9))
    monkeypatch.setattr("tfvision.data.files.paths.os.open", denied)
    with pytest.raises(BadSample, match=r"a.png: permission denied. Make the file readable"):
        read_image(path)


def test_tiny_images(tmp_path):
    """D31"""
    for height, width in [(1, 1), (1, 9), (9, 1)]:
        path = save(tmp_path / "a.png", image(1, height, width))
        assert read_image(path).pixels.shape == (height, width, 3)
