"""What the values of masks are taken for: the right reading, said, or what to type for each."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.data.make import image, save
from tfvision.config import DataConfig
from tfvision.data.files.reading import Reading
from tfvision.data.scan.scan import scan
from tfvision.data.sources.array_source import ArraySource
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.errors import InputError
from tfvision.recipe.dataset import prepare

SIZE = (40, 52)


def blobs(seed: int, classes: int = 2, size=SIZE, count: int = 2) -> np.ndarray:
    """(H, W) uint8: discs of classes 1, 2, ... on 0, each class at least once."""
    rng, mask = np.random.default_rng(seed), np.zeros(size, np.uint8)
    y, x = np.mgrid[: size[0], : size[1]]
    for label in range(1, classes):
        for _ in range(count):
            radius = rng.integers(4, 8)
            centre = rng.integers(radius, np.array(size) - radius)
            mask[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2] = label
    mask[:3, : 4 * classes] = np.repeat(np.arange(classes), 4)
    return mask


def found(masks, **options):
    """The scan of masks under noise."""
    images = np.stack([image(i, *np.shape(m)) for i, m in enumerate(masks)])
    given = {key: options.pop(key) for key in ("mask_values",) if key in options}
    return scan(ArraySource({"": {"images": images, "masks": np.stack(masks)}}, **given), **options)


def error(masks, **options) -> str:
    with pytest.raises(InputError) as caught:
        found(masks, **options).raise_for_errors()
    return str(caught.value)


def reading(scanned) -> str:
    assert not scanned.errors, scanned.errors
    (said,) = [note for note in scanned.notes if note.startswith("values of masks: ")]
    return said.removeprefix("values of masks: ")


def in_files(root, masks, suffix=".png", **options):
    for i, mask in enumerate(masks):
        save(root / "images" / f"s{i}.png", image(i, *np.shape(mask)[:2]))
        save(root / "masks" / f"s{i}{suffix}", mask, **options)
    return root


# ---------------------------------------------------------------- read, and said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([0, 1], "0 background, 1 object"),
        ([0, 255], "0 background, 255 object"),
        ([0, 1, 2], "0 to 2 are the classes of these numbers"),
    ],
)
def test_the_reading_is_said(values, said):
    table = np.array(values, np.uint8)
    scanned = found([table[blobs(i, len(values))] for i in range(4)])
    assert reading(scanned) == said
    assert scanned.num_classes == len(values)


def test_named_classes_are_said_with_their_values():
    masks = [np.uint8([3, 9])[blobs(i)] for i in range(3)]
    scanned = found(masks, class_names=["soil", "root"], mask_values=[3, 9])
    assert reading(scanned) == "3 soil, 9 root"


# ---------------------------------------------------------------- a handful of pixels


@pytest.mark.parametrize("stray", [1, 7, 254])
def test_a_few_pixels_beside_0_and_255_do_not_make_255_no_label(stray):
    masks = [blobs(i) * np.uint8(255) for i in range(5)]
    masks[2][20, 20:23] = masks[4][11, 30] = stray
    text = error(masks)
    assert f"the value {stray} stands on 4 pixels in all, of 2 masks" in text
    assert "(that of row 2 of images: 3, that of row 4 of images: 1)" in text
    assert "the others are [0, 255]" in text
    assert "--set data.source.threshold=128: values from there on are the object" in text
    assert f"--set data.source.mask_values=[0,{stray},255]" in text
    listed = found(masks, mask_values=[0, stray, 255])
    assert not listed.errors
    assert listed.class_pixels[2].tolist()[1] == 3


def test_masks_with_stray_values_can_be_left_out():
    masks = [blobs(i) * np.uint8(255) for i in range(5)]
    masks[2][20, 20:23] = 1
    typed = "--set data.source.mask_values=[0,255] --set data.on_bad_sample=quarantine"
    assert f"To leave these masks out: {typed}" in error(masks)
    scanned = found(masks, mask_values=[0, 255], on_bad_sample="quarantine")
    assert [left.index for left in scanned.left_out] == [2]
    assert reading(scanned) == "0 background, 255 object"


def test_a_class_of_a_handful_of_pixels_is_asked_and_accepted_when_listed_or_named():
    masks = [blobs(i, 3) for i in range(4)]
    masks[1][15, 4:9] = 3
    assert "the value 3 stands on 5 pixels in all, of 1 mask (that of row 1" in error(masks)
    assert not found(masks, mask_values=[0, 1, 2, 3]).errors
    assert not found(masks, class_names=["a", "b", "c", "d"]).errors
    masks[1][15:20, 4:9] = 3  # 25 pixels of one mask: rare, but drawn
    assert found(masks).num_classes == 4


def test_less_than_a_millionth_is_too_little_though_it_is_more_than_ten_pixels():
    masks = np.zeros((3, 2100, 2100), np.uint8)
    masks[:, :1000] = 1
    masks[1, 1500, 500:512] = 2
    images = np.zeros((3, 2100, 2100), np.uint8)
    images[:, 0, :3] = np.arange(3)[:, None]
    text = "\n".join(map(str, scan(ArraySource({"": {"images": images, "masks": masks}})).errors))
    assert "the value 2 stands on 12 pixels in all, of 1 mask" in text


def test_small_masks_may_have_small_objects():
    masks = [np.zeros((8, 12), np.uint8) for _ in range(3)]
    for mask in masks:
        mask[2:4, 3:5] = 1
    assert reading(found(masks)) == "0 background, 1 object"


# ---------------------------------------------------------------- 255


def ringed(mask: np.ndarray) -> np.ndarray:
    """255 along the borders of a mask's classes, three pixels wide."""
    out, padded = mask.copy(), np.pad(mask, 1, mode="edge")
    for dy in range(3):
        for dx in range(3):
            out[padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]] != mask] = 255
    return out


def test_a_thin_border_between_two_classes_is_no_label():
    scanned = found([ringed(blobs(i)) for i in range(4)])
    assert reading(scanned) == "0 background, 1 object; 255 no label"
    assert (scanned.num_classes, scanned.ignore_label) == (2, 255)


def test_255_beside_classes_without_a_gap_is_no_label_wherever_it_lies():
    masks = [blobs(i, 3) for i in range(4)]
    for mask in masks:
        mask[30:] = 255
    assert reading(found(masks)).endswith("255 no label")


def test_areas_of_255_beside_0_and_1_are_a_question():
    masks = [blobs(i) for i in range(4)]
    for mask in masks:
        mask[25:, 10:40] = 255
    text = error(masks)
    assert "255 fills areas of its own: it may be a class or mean no label" in text
    for typed in ("mask_values=[0,1] where", "mask_values=[0,1,255] where", "threshold=1 where"):
        assert f"--set data.source.{typed}" in text
    assert reading(found(masks, mask_values=[0, 1])) == "0 background, 1 object; 255 no label"
    assert reading(found(masks, mask_values=[0, 1, 255])).endswith("255 class 2")
    assert reading(found(masks, settled=True)).endswith("255 no label")  # as a run of before


def test_masks_written_in_two_ways_are_a_question():
    """Some of 0 and 1, some of 0 and 255: there 255 would be the only object."""
    masks = [blobs(i) * np.uint8(255 if i < 3 else 1) for i in range(6)]
    text = error(masks)
    assert "3 masks hold 255 and one other value, 3 hold no 255" in text
    assert "masks are written in two ways" in text
    assert "--set data.source.threshold=1 where every value above 0 is the object" in text


def test_255_is_not_all_that_is_left():
    masks = [blobs(i) * np.uint8(255) for i in range(4)]
    masks[0][20, 20:24] = 1
    text = error(masks, class_names=["background", "vessel"])
    assert "255 would be no label: then [0] alone is left to learn" in text
    assert "--set data.source.threshold=128 where 255 is the object" in text


def test_the_palette_of_pascal_voc_says_that_255_is_no_label(tmp_path):
    palette = [0] * 768
    palette[3:6], palette[765:] = [128, 0, 0], [224, 224, 192]
    for i in range(4):
        stored = blobs(i)
        stored[25:, 10:40] = 255
        picture = Image.fromarray(stored, "P")
        picture.putpalette(palette)
        save(tmp_path / "images" / f"s{i}.png", image(i, *SIZE))
        (tmp_path / "masks").mkdir(exist_ok=True)
        picture.save(tmp_path / "masks" / f"s{i}.png")
    for _ in range(2):  # read, and as the scan kept it
        assert reading(scan(folder(tmp_path))) == "0 background, 1 object; 255 no label"


# ---------------------------------------------------------------- seams and pictures


def smooth(mask: np.ndarray, method) -> np.ndarray:
    """A mask made smaller and larger again with interpolation."""
    small = Image.fromarray(mask).resize((mask.shape[1] // 3, mask.shape[0] // 3), method)
    return np.asarray(small.resize(mask.shape[::-1], method))


@pytest.mark.parametrize("method", [Image.BILINEAR, Image.BICUBIC, Image.LANCZOS])
@pytest.mark.parametrize("top", [255, 200])
def test_a_seam_of_interpolation_is_named_with_its_threshold(method, top):
    text = error([smooth(blobs(i) * np.uint8(top), method) for i in range(5)])
    assert "along borders: a grey seam, as from resizing with interpolation" in text
    assert "--set data.source.threshold=1" in text
    assert "nearest neighbour" in text


def test_a_seam_of_smooth_drawing():
    """Only the pixels on the rim are grey: a disc drawn large and made smaller."""
    masks = []
    for i in range(5):
        large = Image.new("L", (SIZE[1] * 8, SIZE[0] * 8))
        ImageDraw.Draw(large).ellipse([60 + 9 * i, 50, 250, 230 + 5 * i], fill=255)
        masks.append(np.asarray(large.resize(SIZE[::-1], Image.BOX)))
    assert "a grey seam" in error(masks)


@pytest.mark.parametrize("method", [Image.BILINEAR, Image.BICUBIC])
@pytest.mark.parametrize("values", [(0, 100, 200), (0, 60, 120, 255)])
def test_a_seam_between_several_classes(method, values):
    """Where there are three values or more, no threshold is advised."""
    masks = [
        np.uint8(values)[blobs(i, len(values), count=3)].repeat(6, 0).repeat(6, 1) for i in range(4)
    ]
    grown = [Image.fromarray(m).resize((500, 400), method) for m in masks]
    text = error([np.asarray(mask) for mask in grown])
    assert "stand along borders" in text
    assert "nearest neighbour" in text
    assert "--set" not in text


def test_classes_in_grey_are_no_seam():
    """Ten greys, each an area of its own."""
    masks = [np.uint8(np.arange(10) * 25)[blobs(i, 10, (90, 90), 1)] for i in range(4)]
    text = error(masks)
    assert "seam" not in text
    assert "--set data.source.mask_values=[0,25,50,75,100,125,150,175,200,225]" in text


def test_thin_lines_of_many_classes_are_no_seam():
    """No pixel of a line lies between a lower and a higher value."""
    masks = []
    for i in range(4):
        mask = np.zeros((60, 60), np.uint8)
        for label in range(1, 11):
            mask[5 * label, i : 30 + i] = label
        masks.append(mask)
    assert reading(found(masks)) == "0 to 10 are the classes of these numbers"


def test_pictures_in_place_of_masks():
    masks = [image(50 + i, *SIZE, 1) for i in range(3)]
    assert "they look like pictures, not labels" in error(masks)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_mask_that_is_its_image(tmp_path, channels):
    for i in range(3):
        pixels = image(i, *SIZE, channels)
        save(tmp_path / "images" / f"s{i}.png", pixels)
        save(tmp_path / "masks" / f"s{i}.png", pixels)
    found = "\n".join(map(str, scan(folder(tmp_path)).errors))
    said = "holds the very pixels of its image" if channels == 1 else "is the image itself, not its"
    assert found.count(said) == 3
    assert "Put the mask there in place of the copy" in found


@pytest.mark.parametrize("quality", [60, 92])
def test_jpeg_masks_are_named_and_read_by_a_threshold(tmp_path, quality):
    masks = [blobs(i) * np.uint8(255) for i in range(5)]
    root = in_files(tmp_path, masks, ".jpg", quality=quality)
    text = "\n".join(map(str, scan(folder(root)).errors))
    assert "5 of 5 masks are JPEG, which blurs labels" in text
    assert "type --set data.source.threshold=128" in text
    source = folder(root, threshold=128)
    scanned = scan(source)
    assert reading(scanned) == "0 background, 1 object"
    assert (
        "masks are read by data.source.threshold: values from 128 on are the object"
        in (scanned.notes[0])
    )
    for i, mask in enumerate(masks):
        assert np.mean(source.read(i).mask != (mask > 0)) < 0.02


def test_colour_jpeg_masks_are_read_by_a_threshold(tmp_path):
    masks = [np.repeat(blobs(i)[..., None] * np.uint8(255), 3, -1) for i in range(3)]
    root = in_files(tmp_path, masks, ".jpg", quality=70)
    source = folder(root, threshold=128)
    assert reading(scan(source)) == "0 background, 1 object"
    assert np.mean(source.read(1).mask != (masks[1][..., 0] > 0)) < 0.03


@pytest.mark.parametrize("threshold", [1, 100.5, 255])
def test_a_threshold_is_exact(tmp_path, threshold):
    grey = [image(i, *SIZE, 1) for i in range(3)]
    source = folder(in_files(tmp_path, grey), threshold=threshold)
    for i, mask in enumerate(grey):
        np.testing.assert_array_equal(source.read_raw(i).mask, (mask >= threshold).astype(np.int32))


def test_jpeg_masks_with_declared_values_are_told_to_take_a_threshold(tmp_path):
    root = in_files(tmp_path, [blobs(i) * np.uint8(255) for i in range(3)], ".jpg", quality=60)
    text = "\n".join(map(str, scan(folder(root, mask_values=[0, 255])).errors))
    assert "leave mask_values out and type --set data.source.threshold=128" in text
    with pytest.raises(InputError, match="makes the values of masks 0 and 1, and mask_values"):
        folder(root, mask_values=[0, 255], threshold=128)


def test_shares_in_percent_are_no_classes():
    """Every value 0..100, without a gap and none of them common."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    masks = [np.uint8((3 * y + 2 * x + 9 * i) % 101) for i in range(3)]
    assert "that change from pixel to pixel: they look like pictures" in error(masks)


def test_many_classes_are_classes():
    """Forty numbers without a gap, each an area of its own."""
    cells = np.arange(36, dtype=np.uint8).reshape(6, 6)
    masks = [np.kron((cells + i) % 40, np.ones((8, 8), np.uint8)) for i in range(5)]
    assert reading(found(masks)) == "0 to 39 are the classes of these numbers"


def test_a_saved_config_is_not_asked_again(tmp_path):
    """A run of before keeps the reading it had; the same data for a new one is a question."""
    masks = [blobs(i) for i in range(6)]
    for mask in masks:
        mask[25:, 10:40] = 255
    given = {"source": {"name": "folder", "path": str(in_files(tmp_path, masks))}}
    with pytest.raises(InputError, match="255 fills areas of its own"):
        prepare(DataConfig(**given), seed=0)
    saved = DataConfig(**DataConfig(**given).model_dump())
    prepared = prepare(saved, seed=0)
    assert (prepared.num_classes, prepared.scan.ignore_label) == (2, 255)


def test_a_threshold_that_is_none():
    for wrong in ("high", True):
        with pytest.raises(InputError, match=r"threshold must be a number, e\.g\. 128"):
            Reading(threshold=wrong)
    with pytest.raises(InputError, match="both say what mask values mean"):
        Reading(threshold=3, mask_palette=["#000000", "#ffffff"])


# ---------------------------------------------------------------- numbers of objects


def numbered(seed: int, count: int, first: int = 1, dtype=np.uint16) -> np.ndarray:
    """Separate squares numbered from `first` on."""
    mask = np.zeros((60, 60), dtype)
    places = np.random.default_rng(seed).permutation(36)[:count]
    for number, place in enumerate(places, first):
        y, x = divmod(int(place), 6)
        mask[10 * y + 1 : 10 * y + 8, 10 * x + 1 : 10 * x + 8] = number
    return mask


@pytest.mark.parametrize("most", [5, 30])
def test_numbers_of_objects_are_no_classes(most):
    masks = [numbered(i, count) for i, count in enumerate([2, 3, most, most - 1, 1])]
    text = error(masks)
    assert f"the masks number their objects (1 to {most})" in text
    assert f"masks hold 1 to {most} of them" in text
    assert "--set data.source.threshold=1" in text


def test_numbers_that_go_on_from_mask_to_mask_are_no_classes():
    first, masks = 1, []
    for i, count in enumerate([7, 9, 5, 11]):
        masks.append(numbered(i, count, first))
        first += count
    assert "the masks number their objects" in error(masks)
    assert found(masks, mask_values=list(range(first))).num_classes == first


def test_classes_of_which_every_mask_has_all_are_no_numbers_of_objects():
    masks = [numbered(i, 6) for i in range(4)]
    assert reading(found(masks)) == "0 to 6 are the classes of these numbers"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_numbers_of_objects_with_gaps_are_told_a_threshold(tmp_path, dtype):
    """Numbers of a tracking, say: they come again, and not in turn."""
    given = np.array(
        [0, 7, 30, 100, 200] if dtype == np.uint8 else [0, 7, 1200, 30000, 30001], dtype
    )
    masks = [given[numbered(i, 4)] for i in range(5)]
    text = "\n".join(map(str, scan(folder(in_files(tmp_path, masks))).errors))
    assert f"--set data.source.mask_values=[{','.join(map(str, given))}]" in text
    assert "or numbers of objects, --set data.source.threshold=1." in text
    assert reading(scan(folder(tmp_path, threshold=1))) == "0 background, 1 object"


def test_numbers_of_objects_that_go_on_though_they_are_few():
    first, masks = 1, []
    for i, count in enumerate([1, 2, 1, 3, 2]):
        masks.append(numbered(i, count, first))
        first += count
    assert "the masks number their objects" in error(masks)


def apart(seed: int, kinds: int, *, in_turn: bool, order=None) -> np.ndarray:
    """(64, 80) uint8: one to `kinds` discs that do not touch. In turn: numbered 1, 2, ...; else
    each class but the first is there or not."""
    rng, mask, placed = np.random.default_rng([seed, kinds]), np.zeros((64, 80), np.uint8), []
    y, x = np.mgrid[:64, :80]
    while len(placed) < kinds:
        radius = int(rng.integers(4, 9))
        row, column = rng.integers(radius, 64 - radius), rng.integers(radius, 80 - radius)
        if all((row - r) ** 2 + (column - c) ** 2 > (radius + q + 3) ** 2 for r, c, q in placed):
            placed.append((row, column, radius))
    numbers = [n for n in range(1, kinds + 1) if n == 1 or rng.random() < 0.6]
    if in_turn:
        numbers = list(range(1, int(rng.integers(1, kinds + 1)) + 1))
    chosen = sorted(placed[: len(numbers)], key=order) if order else placed
    for number, (row, column, radius) in zip(numbers, chosen, strict=False):
        mask[(y - row) ** 2 + (x - column) ** 2 <= radius**2] = number
    return mask


@pytest.mark.parametrize("kinds", [2, 3])
@pytest.mark.parametrize("order", [None, lambda disc: disc[0] - disc[2], lambda disc: -disc[2]])
def test_numbers_of_objects_up_to_two_or_three(kinds, order):
    """Numbered as they were drawn, from the top on, or from the largest on."""
    masks = [apart(i, kinds, in_turn=True, order=order) for i in range(24)]
    text = error(masks)
    assert f"the masks may number their objects (1 to {kinds})" in text
    assert "neither in size nor in place nor in colour" in text
    assert "--set data.source.threshold=1." in text
    listed = found(masks, mask_values=list(range(kinds + 1)))
    assert listed.num_classes == kinds + 1
    assert not listed.errors
    assert not found(masks, class_names=list("abcd"[: kinds + 1])).errors
    assert not found(masks, settled=True).errors


@pytest.mark.parametrize("told_by", ["colour", "size", "place", "absence", "nesting"])
def test_classes_of_which_some_are_absent_are_no_numbers_of_objects(told_by):
    masks, images = [], []
    for i in range(24):
        mask = apart(i, 2, in_turn=True)
        if told_by == "absence":
            mask = apart(i, 3, in_turn=False)
            mask[mask == 1] = 0 if i % 5 == 0 else 1
        if told_by == "size" and 2 in mask:
            y, x = np.argwhere(mask == 2).mean(axis=0).astype(int)
            mask[mask == 2] = 0
            mask[y - 2 : y + 3, x - 2 : x + 3] = 2
        if told_by == "place":
            mask = np.concatenate([np.where(mask == 1, 1, 0), np.where(mask == 2, 2, 0)], axis=1)
        if told_by == "nesting":
            y, x = np.argwhere(mask == 1).mean(axis=0).astype(int)
            mask[mask == 2] = 0
            mask[y - 2 : y + 3, x - 2 : x + 3] = 2 if i % 2 else 1
        pixels = image(i, *mask.shape)
        if told_by == "colour":
            pixels[mask == 1] = (200, 30, 30)
            pixels[mask == 2] = (30, 40, 190)
        masks.append(mask.astype(np.uint8))
        images.append(pixels)
    source = ArraySource({"": {"images": np.stack(images), "masks": np.stack(masks)}})
    assert reading(scan(source)).endswith("are the classes of these numbers")


# ---------------------------------------------------------------- seams of few values


@pytest.mark.parametrize("method", [Image.BILINEAR, Image.BICUBIC])
@pytest.mark.parametrize(("values", "factor"), [((0, 2), 0.5), ((0, 4), 1.5), ((0, 3), 0.7)])
def test_a_seam_of_few_values_is_no_class(method, values, factor):
    """0 and 2 made smaller with interpolation: 1 stands on the rim, and would be a class."""
    masks = [np.uint8(values)[blobs(i, 2, (96, 120), 3)] for i in range(6)]
    size = (round(120 * factor), round(96 * factor))
    text = error([np.asarray(Image.fromarray(mask).resize(size, method)) for mask in masks])
    assert "one pixel wide, between a lower and a higher value: a grey seam" in text
    assert f"type --set data.source.threshold={-(-sum(values) // 2)}:" in text
    assert "If all are classes, list them: --set data.source.mask_values=[0,1," in text


def test_a_seam_of_few_values_between_several_classes():
    drawn = [np.uint8([0, 1, 2])[blobs(i, 3, (96, 120), 1)] for i in range(6)]
    text = error(
        [np.asarray(Image.fromarray(mask).resize((60, 48), Image.BILINEAR)) for mask in drawn]
    )
    assert "of which [1] stands mostly along borders" in text
    assert "threshold" not in text
    assert "nearest neighbour" in text


def test_a_binary_mask_with_three_grey_levels_on_its_rim():
    masks = [blobs(i, 2, (96, 120), 3) * np.uint8(255) for i in range(6)]
    grown = [np.asarray(Image.fromarray(mask).resize((60, 48), Image.BOX)) for mask in masks]
    text = error(
        [np.uint8([0, 64, 128, 191, 255])[np.rint(mask / 63.75).astype(int)] for mask in grown]
    )
    assert "of which [64, 128, 191] stand mostly along borders" in text
    assert "threshold=128: values from there on are the object" in text


def test_classes_that_lie_around_each_other_are_no_seam():
    """Rings several pixels wide; steps of one quantity; a skin that is often one pixel thin."""
    y, x = np.mgrid[:64, :80]
    distance = [np.hypot(y - 30 - i, x - 35 - i) for i in range(5)]
    rings = [np.uint8(d < 22) + np.uint8(d < 12) for d in distance]
    steps = [np.uint8(d // 9 % 4) for d in distance]
    thick = 1 + (np.arctan2(y - 30, x - 35) > 0)
    skin = [np.uint8(d < 19 + thick) + np.uint8(d < 19) for d in distance]
    for masks in (rings, steps, skin):
        assert reading(found([mask.astype(np.uint8) for mask in masks])).endswith("these numbers")


# ---------------------------------------------------------------- palettes and sizes


def test_palettes_that_differ_from_file_to_file_count_by_colour(tmp_path):
    colours = [(0, 0, 0), (200, 30, 30), (30, 200, 30)]
    for i, order in enumerate([(0, 1, 2), (1, 0, 2), (0, 1, 2)]):
        labels = blobs(i, 3)
        picture = Image.fromarray(np.argsort(order).astype(np.uint8)[labels], "P")
        picture.putpalette([v for n in order for v in colours[n]])
        save(tmp_path / "images" / f"s{i}.png", image(i, *SIZE))
        (tmp_path / "masks").mkdir(exist_ok=True)
        picture.save(tmp_path / "masks" / f"s{i}.png")
    (issue,) = scan(folder(tmp_path)).errors
    assert "its palette gives 0 the colour #c81e1e, that of images/s0.png gives it #000000" in (
        str(issue)
    )
    assert '\'data.source.mask_palette=["#000000","#1ec81e","#c81e1e"]\'' in str(issue)
    source = folder(tmp_path, mask_palette=["#000000", "#c81e1e", "#1ec81e"])
    assert not scan(source).errors
    for i in range(3):
        np.testing.assert_array_equal(source.read(i).mask, blobs(i, 3))


def test_a_mask_of_another_size_says_how_to_resize(tmp_path):
    save(tmp_path / "images" / "a.png", image(1, 20, 30))
    save(tmp_path / "masks" / "a.png", blobs(1, 2, (40, 60)))
    (issue,) = scan(folder(tmp_path)).errors
    assert "20 x 30 pixels, its mask 40 x 60" in str(issue)
    assert "Resize the mask by nearest neighbour" in str(issue)


def test_what_to_type_stands_in_every_error_of_values():
    masks = [np.uint8([0, 85, 170, 255])[blobs(i, 4)] for i in range(3)]
    assert "--set data.source.mask_values=[0,85,170,255]." in error(masks)
    beyond = error(masks, mask_values=[0, 85, 255])
    assert "--set data.source.mask_values=[0,85,255,170]" in beyond
