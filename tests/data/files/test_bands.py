"""Bands, depths, pages and turns of files: read by a declared key, or refused; none is dropped."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from tests.data.files.test_images import STORED, png_of_16_bits
from tests.data.make import image, mask, save
from tfvision.data.files import tiff
from tfvision.data.files.encode import encoded
from tfvision.data.files.images import pages_in, read_image, read_mask
from tfvision.data.files.issue import BadSample
from tfvision.data.files.pixels import white_of
from tfvision.data.files.reading import Reading
from tfvision.data.scan.scan import scan
from tfvision.data.sources.folders.class_folder import class_folder
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError

SIZE = (9, 14)


def numbers(shape, dtype="uint8", seed=0) -> np.ndarray:
    """Numbers over the whole range of an integer dtype, in [0, 1) for floats."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def tif(path, pixels, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **how})
    return path


# ---------------------------------------------------------------- bands


@pytest.mark.parametrize("count", [2, 4, 5, 8])
@pytest.mark.parametrize("layout", ["contig", "separate"])
def test_bands_are_declared_or_refused(tmp_path, count, layout):
    pixels = numbers((*SIZE, count), "uint16")
    stored = np.moveaxis(pixels, -1, 0) if layout == "separate" else pixels
    path = tif(tmp_path / "a.tif", stored, planarconfig=layout)
    first = "[0]" if count == 2 else "[0,1,2]"
    with pytest.raises(BadSample) as caught:
        read_image(path)
    assert f"a.tif: has {count} bands, and a model sees one or three" in str(caught.value)
    assert f"--set data.source.bands={first}, or --set data.source.bands=[{count - 1}]" in (
        str(caught.value)
    )
    last = count - 1
    for bands in ([last], [last, 0, 1]):
        np.testing.assert_array_equal(read_image(path, bands=bands).pixels, pixels[..., bands])
    with pytest.raises(BadSample, match=rf"has {count} bands, numbered 0 to {last}, and bands \["):
        read_image(path, bands=[count])


def test_near_infrared_beside_colour_is_not_transparency(tmp_path):
    """RGB and an extra sample of unspecified meaning, which Pillow takes for RGB."""
    pixels = numbers((*SIZE, 4))
    path = tif(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unspecified"])
    with pytest.raises(BadSample, match="has 4 bands"):
        read_image(path)
    read = read_image(path, bands=[3, 0, 1])
    np.testing.assert_array_equal(read.pixels, pixels[..., [3, 0, 1]])


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_alpha_that_is_data_is_no_transparency(tmp_path, suffix):
    pixels = numbers((*SIZE, 4))
    pixels[..., 3] = numbers(SIZE, seed=1) // 2 + 20
    lossless = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    path = save(tmp_path / f"a{suffix}", pixels, **lossless)
    with pytest.raises(BadSample) as caught:
        read_image(path)
    assert "alpha channel that looks like data: 100% of its values" in str(caught.value)
    for typed in ("[0,1,2] for all but alpha", "[3] for alpha alone"):
        assert f"--set data.source.bands={typed}" in str(caught.value)
    np.testing.assert_array_equal(read_image(path, bands=[3]).pixels, pixels[..., 3:])
    np.testing.assert_array_equal(read_image(path, bands=[0, 1, 2]).pixels, pixels[..., :3])


def test_grey_with_alpha_that_is_data(tmp_path):
    pixels = np.stack([numbers(SIZE), np.full(SIZE, 90, np.uint8)], -1)
    path = save(tmp_path / "a.png", pixels)
    with pytest.raises(BadSample, match=r"bands=\[0\], or --set data.source.bands=\[1\] for alpha"):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, bands=[1]).pixels[..., 0], pixels[..., 1])


def test_a_cut_out_object_is_still_laid_on_black(tmp_path):
    """Mostly opaque or transparent, soft at its rim: transparency, as pictures have it."""
    pixels = np.full((20, 20, 4), 200, np.uint8)
    pixels[..., 3] = 0
    pixels[4:16, 4:16, 3], pixels[5:15, 5:15, 3] = 120, 255
    read = read_image(save(tmp_path / "a.png", pixels))
    assert read.warnings == ("is partly transparent: laid on black",)
    assert (read.pixels[..., 0] == np.rint(200 * (pixels[..., 3] / 255))).all()


def test_every_source_of_files_takes_bands(tmp_path):
    four = [numbers((*SIZE, 4), seed=i) for i in range(4)]
    for i, pixels in enumerate(four):
        tif(tmp_path / "seg" / "images" / f"s{i}.tif", pixels, photometric="rgb")
        save(tmp_path / "seg" / "masks" / f"s{i}.png", mask(i, *SIZE))
        tif(tmp_path / "cls" / "ab"[i % 2] / f"s{i}.tif", pixels, photometric="rgb")
    rows = [f"images/s{i}.tif,masks/s{i}.png" for i in range(4)]
    (tmp_path / "seg" / "rows.csv").write_text("\n".join(["image,mask", *rows]))
    (tmp_path / "cls" / "table.csv").write_text(
        "\n".join(["file,label", *(f"{'ab'[i % 2]}/s{i}.tif,{'ab'[i % 2]}" for i in range(4))])
    )
    for path, truth in [("seg", "masks"), ("seg/rows.csv", "masks"), ("cls", "label")]:
        source = open_source(tmp_path / path, truth=truth, bands=[3, 2, 0])
        order = [int(record.id[-1]) for record in source.records]
        assert sorted(order) == [0, 1, 2, 3]
        for place, i in enumerate(order):
            np.testing.assert_array_equal(source.read(place).image, four[i][..., [3, 2, 0]])
    with pytest.raises(InputError, match="Unknown argument of source `class_folder`: 'threshold'"):
        open_source(tmp_path / "cls" / "a", truth="label", threshold=3)
    assert class_folder(tmp_path / "cls" / "a", bands=2).reading.bands == (2,)


@pytest.mark.parametrize("bands", [[], [0, 1], [0, 1, 2, 3], [-1], ["r"], "012", [True]])
def test_bands_that_no_model_sees(bands):
    with pytest.raises(InputError, match="bands must list one band, or three"):
        Reading(bands=bands)


# ---------------------------------------------------------------- number types


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("how", [{}, {"compression": "zlib"}, {"tile": (16, 16)}])
def test_16_bit_colour_tiff(tmp_path, order, how):
    pixels = numbers((*SIZE, 3), "uint16")
    path = tif(tmp_path / "a.tif", pixels, photometric="rgb", byteorder=order, **how)
    read = read_image(path)
    assert (read.pixels.dtype, read.mode, read.warnings) == (np.uint16, "3 x uint16", ())
    np.testing.assert_array_equal(read.pixels, pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_minimum_is_white_is_inverted(tmp_path, dtype):
    pixels = numbers(SIZE, dtype)
    path = tif(tmp_path / "a.tif", pixels, photometric="miniswhite")
    np.testing.assert_array_equal(read_image(path).pixels[..., 0], np.iinfo(dtype).max - pixels)


@pytest.mark.parametrize(
    ("stored", "as_read"),
    [("float16", "float32"), ("float64", "float32"), ("float32", "float32")],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_floating_point_tiff(tmp_path, stored, as_read, channels):
    pixels = numbers((*SIZE, channels), stored)
    photometric = "rgb" if channels == 3 else "minisblack"
    data = pixels if channels == 3 else pixels[..., 0]
    read = read_image(tif(tmp_path / "a.tif", data, photometric=photometric)).pixels
    assert read.dtype == as_read
    np.testing.assert_array_equal(read, pixels.astype(as_read))


@pytest.mark.parametrize(
    ("dtype", "low", "high", "as_read"),
    [("int8", 0, 127, "uint8"), ("int16", 0, 4095, "uint16"), ("uint32", 7, 65535, "uint16")],
)
def test_other_integers_keep_their_values_where_they_fit(tmp_path, dtype, low, high, as_read):
    pixels = np.random.default_rng(1).integers(low, high, SIZE, endpoint=True).astype(dtype)
    pixels[0, :2] = low, high
    read = read_image(tif(tmp_path / "a.tif", pixels)).pixels
    assert read.dtype == as_read
    np.testing.assert_array_equal(read[..., 0], pixels)


@pytest.mark.parametrize(
    ("dtype", "odd"), [("int8", -33), ("int16", -1000), ("int32", -1), ("uint32", 70000)]
)
def test_integers_that_do_not_fit_are_refused(tmp_path, dtype, odd):
    pixels = np.full(SIZE, 5, dtype)
    pixels[3, 4] = odd
    with pytest.raises(BadSample, match=rf"holds {dtype} values .*{abs(odd)}.* 0\.\.65535 are"):
        read_image(tif(tmp_path / "a.tif", pixels))


def test_16_bit_colour_ppm(tmp_path):
    pixels = numbers((*SIZE, 3), "uint16")
    head = f"P6\n# a scanner's note\n{SIZE[1]} {SIZE[0]}\n65535\n".encode()
    (tmp_path / "a.ppm").write_bytes(head + pixels.astype(">u2").tobytes())
    np.testing.assert_array_equal(read_image(tmp_path / "a.ppm").pixels, pixels)
    text = " ".join(map(str, pixels.ravel()))
    (tmp_path / "b.ppm").write_text(f"P3 {SIZE[1]} {SIZE[0]} 65535\n{text}\n")
    np.testing.assert_array_equal(read_image(tmp_path / "b.ppm").pixels, pixels)
    twelve = pixels // 16  # a header that says 4095 says what white is
    head = f"P6 {SIZE[1]} {SIZE[0]} 4095\n".encode()
    (tmp_path / "c.ppm").write_bytes(head + twelve.astype(">u2").tobytes())
    expected = np.rint(twelve * (65535 / 4095))
    np.testing.assert_array_equal(read_image(tmp_path / "c.ppm").pixels, expected)
    (tmp_path / "d.ppm").write_bytes(head + twelve.astype(">u2").tobytes()[:-9])
    with pytest.raises(BadSample, match=r"d.ppm: is damaged or cut off"):
        read_image(tmp_path / "d.ppm")


def test_16_bit_colour_masks_are_numbers_where_their_channels_agree(tmp_path):
    labels = mask(3, *SIZE).astype(np.uint16) * 300
    grey = np.repeat(labels[..., None], 3, -1)
    (tmp_path / "a.png").write_bytes(png_of_16_bits(grey))
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png").pixels, labels)
    grey[2, 3, 1] += 1
    (tmp_path / "a.png").write_bytes(png_of_16_bits(grey))
    with pytest.raises(BadSample, match=r"a coloured mask: pixel \(y, x\) = \(2, 3\)"):
        read_mask(tmp_path / "a.png")
    with pytest.raises(BadSample, match="mask_palette lists colours of 8 bits"):
        read_mask(tmp_path / "a.png", mask_palette=["#000000", "#ffffff"])


def test_white_beyond_8_bits_is_for_deeper_images():
    assert white_of("uint16", 4095) == white_of("float32", 4095) == 4095
    assert white_of("uint8", 4095) == white_of("uint8") == 255
    assert (white_of("uint8", 200), white_of("uint16"), white_of("float32")) == (200, 65535, 1)


def test_mixed_depths_are_said_and_scaled_each(tmp_path):
    from tfvision.recipe.read import native

    for i in range(4):
        grey = image(i, *SIZE, 1)
        deep = grey.astype(np.uint16) * 16 if i % 2 else grey
        save(tmp_path / "images" / f"s{i}.png", deep)
        save(tmp_path / "masks" / f"s{i}.png", mask(i, *SIZE))
    plain = scan(folder(tmp_path))
    (said,) = [note for note in plain.notes if "16-bit" in note]
    assert said.endswith("type --set data.source.white=4095 (it is for them alone, not for those "
                         "of 8 bits)")  # fmt: skip
    source = folder(tmp_path, white=4095)
    assert "white 4095 is beyond 8 bits: 8-bit images are divided by 255" in scan(source).notes
    for i in range(4):
        one = native(source, i, 1)
        expected = image(i, *SIZE, 1) * (16 / 4095 if i % 2 else 1 / 255)
        np.testing.assert_allclose(one.image[..., 0] * one.scale, expected, rtol=1e-6)


# ---------------------------------------------------------------- pages


def stack(path, count: int, seed: int = 0, **how):
    pages = numbers((count, *SIZE), seed=seed)
    tif(path, pages, **how)
    return pages


@pytest.mark.parametrize("how", [{}, {"imagej": True, "photometric": None}, {"metadata": None}])
def test_pages_are_declared_or_refused(tmp_path, how):
    pages = stack(tmp_path / "a.tif", 5, **how)
    with pytest.raises(BadSample) as caught:
        read_image(tmp_path / "a.tif")
    assert "a.tif: holds 5 pages, one picture a file is expected" in str(caught.value)
    for typed in ("pages=each", "pages=0", "pages=bands"):
        assert f"--set data.source.{typed}" in str(caught.value)
    for number in (0, 3):
        read = read_image(tmp_path / "a.tif", pages=number).pixels
        np.testing.assert_array_equal(read[..., 0], pages[number])
    with pytest.raises(BadSample, match="holds 5 pages, and page 5 is declared, counted from 0"):
        read_image(tmp_path / "a.tif", pages=5)
    read = read_image(tmp_path / "a.tif", pages="bands", bands=[4, 0, 2]).pixels
    np.testing.assert_array_equal(read, np.moveaxis(pages[[4, 0, 2]], 0, -1))
    with pytest.raises(BadSample, match="has 5 bands"):
        read_image(tmp_path / "a.tif", pages="bands")
    assert pages_in(tmp_path / "a.tif", place="a.tif") == 5


def test_reduced_copies_are_no_pages(tmp_path):
    pixels = numbers((64, 64, 3))
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(pixels, photometric="rgb")
        file.write(pixels[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif").pixels, pixels)


def test_a_volume_in_one_page_is_refused(tmp_path):
    path = tif(tmp_path / "a.tif", numbers((4, 32, 32)), volumetric=True, tile=(4, 16, 16))
    with pytest.raises(BadSample, match="with the axes ZYX in one page"):
        read_image(path)


def test_each_page_is_a_sample(tmp_path):
    images = [stack(tmp_path / "images" / f"s{i}.tif", 3 + i, i) for i in range(3)]
    masks = [np.stack([mask(10 * i + n, *SIZE) for n in range(3 + i)]) for i in range(3)]
    for i, pages in enumerate(masks):
        tif(tmp_path / "masks" / f"s{i}.tif", pages)
    save(tmp_path / "images" / "single.png", image(7, *SIZE, 1))
    save(tmp_path / "masks" / "single.png", mask(7, *SIZE))
    source = folder(tmp_path, pages="each")
    found = scan(source)
    assert not found.errors
    assert found.notes[0].startswith("pages: each: 13 samples, 3 of 4 files are stacks")
    names = [record.id for record in source.records]
    assert names == [*(f"s{i}_page{n}" for i in range(3) for n in range(3 + i)), "single"]
    groups = [record.group for record in source.records]
    assert groups == ["s0"] * 3 + ["s1"] * 4 + ["s2"] * 5 + [None]
    place = 0
    for pages, labels in zip(images, masks, strict=True):
        for page, label in zip(pages, labels, strict=True):
            sample = source.read(place)
            np.testing.assert_array_equal(sample.image[..., 0], page)
            np.testing.assert_array_equal(sample.mask, label)
            place += 1
    assert source.records[1].place == "images/s0.tif, page 1"


def test_stacks_of_different_length_are_an_error(tmp_path):
    stack(tmp_path / "images" / "a.tif", 4)
    tif(tmp_path / "masks" / "a.tif", np.stack([mask(n, *SIZE) for n in range(3)]))
    (issue,) = [x for x in scan(folder(tmp_path, pages="each")).errors if x.id]
    assert "masks/a.tif: holds 3 pages, and its image 4: each page needs a mask" in str(issue)


def test_pages_of_labelled_files_keep_their_label(tmp_path):
    pages = {name: stack(tmp_path / name / "x.tif", 2, seed) for seed, name in enumerate("ab")}
    source = class_folder(tmp_path, pages="each")
    assert [record.label for record in source.records] == ["a", "a", "b", "b"]
    assert [source.read(i).label for i in range(4)] == [0, 0, 1, 1]
    np.testing.assert_array_equal(source.read(3).image[..., 0], pages["b"][1])


@pytest.mark.parametrize("pages", [-1, "all", 1.5, True])
def test_pages_that_are_none(pages):
    with pytest.raises(InputError, match="pages must be the number of a page"):
        Reading(pages=pages)


# ---------------------------------------------------------------- turns, compression, damage


@pytest.mark.parametrize("orientation", STORED)
def test_a_turned_file_that_pillow_does_not_read(tmp_path, orientation):
    upright = numbers((*SIZE, 3), "uint16")
    stored = np.ascontiguousarray(STORED[orientation](upright))
    turned = [(274, 3, 1, orientation, True)]
    path = tif(tmp_path / "a.tif", stored, photometric="rgb", extratags=turned)
    np.testing.assert_array_equal(read_image(path).pixels, upright)
    np.testing.assert_array_equal(read_image(path, exif="ignore").pixels, stored)
    if orientation > 1:
        assert read_image(path).warnings == (f"EXIF orientation {orientation} applied",)
        with pytest.raises(BadSample, match=f"has the EXIF orientation {orientation}"):
            read_image(path, exif="fail")


def test_a_compression_without_its_package_says_what_to_install(tmp_path, monkeypatch):
    path = tif(tmp_path / "a.tif", numbers((*SIZE, 5)), planarconfig="contig")

    def fails(self, *_, **__):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tiff.tifffile.TiffPage, "asarray", fails)
    with pytest.raises(BadSample, match=r"imagecodecs alone\. Install it: pip install"):
        read_image(path, bands=[0])


def test_compressions_that_pillow_knows_need_no_package(tmp_path):
    pixels = image(4, *SIZE)
    for kind in ("tiff_lzw", "packbits", "tiff_adobe_deflate"):
        Image.fromarray(pixels).save(tmp_path / f"{kind}.tif", compression=kind)
        np.testing.assert_array_equal(read_image(tmp_path / f"{kind}.tif").pixels, pixels)
    bilevel = Image.fromarray((pixels[..., 0] > 127).astype(np.uint8) * 255).convert("1")
    bilevel.save(tmp_path / "fax.tif", compression="group4")
    np.testing.assert_array_equal(read_mask(tmp_path / "fax.tif").pixels, pixels[..., 0] > 127)


@pytest.mark.parametrize("keep", [4, 9, 60, 300])
def test_a_tiff_cut_off_is_refused(tmp_path, keep):
    whole = io.BytesIO()
    tifffile.imwrite(whole, numbers((*SIZE, 3), "uint16"), photometric="rgb")
    (tmp_path / "a.tif").write_bytes(whole.getvalue()[:keep])
    with pytest.raises(BadSample, match=r"a.tif: is (a damaged TIFF|damaged or cut off)"):
        read_image(tmp_path / "a.tif")


def test_options_of_reading_stand_in_signatures_and_in_what_a_scan_is_kept_under(tmp_path):
    save(tmp_path / "images" / "a.png", image(1))
    save(tmp_path / "masks" / "a.png", mask(1))
    assert folder(tmp_path).options.startswith("exif=apply max_pixels=89478485 mask_palette=None")
    assert "bands" not in folder(tmp_path).options
    assert folder(tmp_path, bands=[2]).options.endswith("bands=(2,)")
    with pytest.raises(InputError, match="Did you mean 'bands'"):
        open_source(tmp_path, band=[2])


@pytest.mark.parametrize(
    ("dtype", "name", "written"),
    [
        ("uint16", "a.png", "a.png"),
        ("uint16", "a.tif", "a.tif"),
        ("uint16", "a.jpg", "a.png"),
        ("float32", "a.png", "a.tif"),
    ],
)
def test_deep_colour_is_written_as_it_is(tmp_path, dtype, name, written):
    pixels = numbers((*SIZE, 3), dtype)
    found, data = encoded(pixels, name)
    assert found == written
    (tmp_path / found).write_bytes(data)
    np.testing.assert_array_equal(read_image(tmp_path / found).pixels, pixels)


@pytest.mark.parametrize("bits", [1, 8, 16])
def test_a_mask_whose_least_value_is_white_is_read_as_seen_and_that_is_said(tmp_path, bits):
    labels = mask(3, *SIZE, 2) * (1 if bits == 1 else 255)
    dtype = {1: bool, 8: np.uint8, 16: np.uint16}[bits]
    path = tif(tmp_path / "a.tif", labels.astype(dtype), photometric="miniswhite")
    read = read_mask(path)
    assert read.warnings == ("is stored with white as its least value: read as it is seen, black "
                             "as 0",)  # fmt: skip
    np.testing.assert_array_equal(read.pixels, 2**bits - 1 - labels.astype(np.int32))


def test_masks_of_an_npz_are_read_by_a_threshold_too(tmp_path):
    grey = np.stack([numbers(SIZE, seed=i) for i in range(3)])
    shares = grey / 255
    np.savez(tmp_path / "a.npz", images=grey, masks=grey)
    np.savez(tmp_path / "b.npz", images=grey, masks=shares)
    for name, stored, threshold in [("a", grey, 128), ("b", shares, 0.5)]:
        source = open_source(tmp_path / f"{name}.npz", threshold=threshold)
        found = scan(source)
        assert not found.errors
        assert "masks are read by data.source.threshold" in found.notes[0]
        np.testing.assert_array_equal(source.read(1).mask, stored[1] >= threshold)
    (issue, *_) = scan(open_source(tmp_path / "b.npz")).errors
    assert "--set data.source.threshold=0.5" in str(issue)
