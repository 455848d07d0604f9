"""Which files of a folder are images and which masks; folders that are no classes; what is left."""

import sys
import types
import zipfile

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.data.make import image, save
from tfvision.data.files.tree import list_tree
from tfvision.data.scan.scan import scan
from tfvision.data.sources.folders.class_folder import class_folder
from tfvision.data.sources.folders.folder_names import read_folder_name
from tfvision.data.sources.folders.mask_folder import folder
from tfvision.data.sources.folders.mask_look import mask_look
from tfvision.data.sources.folders.name_pairs import match_names
from tfvision.data.sources.recognise import OtherTruth, open_source, truth_in
from tfvision.data.sources.unread import (
    ARCHIVES,
    COMMANDS,
    extension,
    how_to_convert,
    unread_issues,
    unread_notes,
)
from tfvision.errors import InputError
from tfvision.recipe.opening import names_of_tasks


def photo(seed: int) -> np.ndarray:
    return image(seed, 24, 32)


def labels(seed: int, value: int = 1) -> np.ndarray:
    """(H, W) uint8: one rectangle, another for each seed."""
    drawn = np.zeros((24, 32), np.uint8)
    drawn[2 + seed % 7 : 15, 3 : 12 + seed % 11] = value
    return drawn


def lay(root, images: str, masks: str = "", *, names=range(5), mask=labels):
    """Files by pattern: `lay(root, "img/{}.jpg", "gt/{}.png")`."""
    for seed, name in enumerate(names):
        save(root / images.format(name), photo(seed))
        if masks:
            save(root / masks.format(name), mask(seed))
    return root


def masks_of(source) -> dict[str, str]:
    """Path of each image -> path of its mask."""
    root = source.path
    files = [source.files(i) for i in range(len(source))]
    return {
        str(i.relative_to(root)): "" if m is None else str(m.relative_to(root)) for i, m in files
    }


# ---------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "part", "role", "kind"),
    [
        ("masks", "", "mask", "masks"),
        ("Ground_Truth", "", "mask", "ground_truth"),
        ("SegmentationClassAug", "", "mask", "segmentationclassaug"),
        ("binary_masks_png", "", "mask", "binary_masks_png"),
        ("JPEGImages", "", "image", "jpegimages"),
        ("imagesTr", "train", "image", "images"),
        ("labelsTs", "test", "mask", "labels"),
        ("trainannot", "train", "mask", "annot"),
        ("Val_Images", "val", "image", "images"),
        ("1st_manual", "", "mask", "1st_manual"),
        ("Validation", "val", "", ""),
        ("no mask", "", "", "no mask"),
        ("tr", "", "", "tr"),
        ("targets", "", "mask", "targets"),
        ("SegmentationObject", "", "", "segmentationobject"),
    ],
)
def test_what_the_name_of_a_folder_says(name, part, role, kind):
    found = read_folder_name(name)
    assert (found.part, found.role, found.kind) == (part, role, kind)


@pytest.mark.parametrize(
    ("images", "masks", "shown"),
    [
        (["a", "b", "c"], ["a", "b", "c"], "* *"),
        (["a", "b", "c"], ["a_seg", "b_seg", "c_seg"], "* *_seg"),
        (["21_training", "22_training"], ["21_manual1", "22_manual1"], "*_training *_manual1"),
        (["img_07", "img_08", "img_10"], ["mask_07", "mask_08", "mask_10"], "img_* mask_*"),
        (["x1_0000", "x2_0000"], ["x1", "x2"], "*_0000 *"),
        (["kit", "cat", "catfish"], ["kitX", "catX", "catfishX"], "* *X"),
        (
            ["a_1", "b_1", "b_2", "b_3"],
            ["a_1", "a_2", "a_3"],
            "* *",
        ),  # one of equal names: no other
    ],
)
def test_names_pair_by_what_all_share(images, masks, shown):
    found = match_names([("", name) for name in images], [("", name) for name in masks])
    assert f"{found.image} {found.mask}" == shown
    for i, j in found.pairs.items():
        assert found.image.core(images[i]) == found.mask.core(masks[j])
    assert found.rival is None


def test_a_missing_name_does_not_change_how_the_others_pair():
    images = [("", f"img_{i}") for i in range(12)]
    masks = [("", f"{i}.lab") for i in range(12) if i not in (0, 10)]
    found = match_names(images, masks)
    assert {images[i][1][4:]: masks[j][1][:-4] for i, j in found.pairs.items()} == {
        str(i): str(i) for i in range(12) if i not in (0, 10)
    }


def test_what_looks_like_masks(tmp_path):
    kinds = {
        "labels.png": labels(0),
        "photo.png": photo(0),
        "jpeg.jpg": labels(0, 255),
        "colours.png": np.stack([labels(0, 200), labels(1, 90), labels(2, 3)], axis=-1),
        "tiny.png": image(1, 2, 2, 1),
    }
    found = {name: mask_look([save(tmp_path / name, pixels)]) for name, pixels in kinds.items()}
    assert found == {
        "labels.png": "grey",
        "photo.png": "",
        "jpeg.jpg": "",
        "colours.png": "colour",
        "tiny.png": "",
    }
    assert mask_look([]) == ""
    (tmp_path / "broken.png").write_bytes(b"x")
    assert mask_look([tmp_path / "broken.png"]) == ""


# ---------------------------------------------------------------- pairs


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("Photos/{}.jpg", "TARGETS/{}.tif"),
        ("pictures/{}_rgb.png", "segmentation/{}_lab.png"),
        ("train/frames/{}.jpg", "train/anns/{}.png"),
        ("frames/train/{}.jpg", "anns/train/{}.png"),
        ("images/a/{}.jpg", "annotations/trimaps/a/{}.png"),
        ("images/site/{}.jpg", "masks/{}.png"),
        ("{}.jpg", "GroundTruth/gt_{}.png"),
        ("X/{}.jpg", "Y/{}.png"),
        ("day/in/{}.png", "day/out/{}-m.png"),
        ("photo 1/{}.jpg", "seg/{}.png"),
        ("{}.jpg", "{}.label.png"),
        ("{}_photo.png", "{}_truth.png"),
        ("images/{}.jpg", "images/{}_segmentation.png"),
    ],
)
def test_each_image_has_its_own_mask(tmp_path, images, masks):
    names = ["ax", "b7", "b71", "c", "d_2"]
    source = open_source(lay(tmp_path, images, masks, names=names), truth=None)
    assert masks_of(source) == {images.format(name): masks.format(name) for name in names}
    found = scan(source, cache=False)
    assert not found.issues
    for index, record in enumerate(source.records):
        seed = next(i for i, name in enumerate(names) if record.place == images.format(name))
        np.testing.assert_array_equal(source.read(index).mask, labels(seed))
    with pytest.raises(InputError, match=r"masks .*train_seg.py trains on that"), names_of_tasks():
        open_source(tmp_path, truth="label")


def test_parts_named_in_their_own_way(tmp_path):
    lay(
        tmp_path,
        "training/images/{}_training.tif",
        "training/manual/{}_manual1.gif",
        names=[21, 22],
    )
    lay(tmp_path, "test/images/{}_test.tif", "test/manual/{}_manual1.gif", names=["01", "02"])
    source = folder(tmp_path)
    assert masks_of(source)["test/images/01_test.tif"] == "test/manual/01_manual1.gif"
    assert [record.split for record in source.records] == [None, None, "test", "test"]
    assert "*_training.tif with *_manual1.gif" in source.layout
    assert "*_test.tif with *_manual1.gif" in source.layout


def test_masks_of_another_folder_are_named_as_missing(tmp_path):
    lay(tmp_path, "img/{}.jpg", "gt/{}_gt.png", names=["a", "b", "c", "d"])
    (tmp_path / "gt" / "b_gt.png").rename(tmp_path / "gt" / "zz_gt.png")
    source = open_source(tmp_path)
    text = "\n".join(map(str, source.problems))
    assert "img/b.jpg: has no mask: no file b_gt.* in gt/. Add the mask" in text
    assert "gt/zz_gt.png: a mask without an image of its name" in text
    assert len(source) == 3


# ---------------------------------------------------------------- two readings


def test_two_folders_of_masks_are_told_by_what_is_typed(tmp_path):
    lay(tmp_path, "images/{}.jpg", "masks/{}.png")
    lay(tmp_path, "images/{}.jpg", "labels/{}.png", mask=lambda seed: labels(seed + 3, 2))
    message = r"labels/ and masks/: which one .* 'data.source.masks=labels/' or .*masks=masks/'"
    for truth in ("masks", "label", None):
        with pytest.raises(InputError, match=message):
            open_source(tmp_path, truth=truth)
    source = open_source(tmp_path, masks="labels/")
    assert masks_of(source)["images/0.jpg"] == "labels/0.png"
    assert source.notes == ["5 .png files in masks/ are not read"]
    assert truth_in(tmp_path, given={"masks": "labels/"}) == "masks"
    assert truth_in(tmp_path, source="class_folder") == "label"


def test_two_kinds_of_mask_file(tmp_path):
    lay(tmp_path, "images/{}.jpg", "masks/{}_inner.png")
    lay(tmp_path, "images/{}.jpg", "masks/{}_outer.png", mask=lambda seed: labels(seed + 3))
    with pytest.raises(InputError, match=r"data.source.masks=\*_inner.png'.*=\*_outer.png'"):
        open_source(tmp_path)
    source = open_source(tmp_path, masks="*_outer.png")
    assert masks_of(source)["images/2.jpg"] == "masks/2_outer.png"
    lay(tmp_path, "images/{}.jpg", "masks/{}_outer.png", mask=photo)  # these are no masks
    assert masks_of(open_source(tmp_path))["images/2.jpg"] == "masks/2_inner.png"


def test_several_images_a_mask_are_channels(tmp_path):
    for channel in ("red", "nir"):
        lay(tmp_path, f"images/{{}}_{channel}.png", "labels/{}.png")
    with pytest.raises(InputError, match=r"several images for each mask .*channels\? A sample"):
        open_source(tmp_path)
    assert len(open_source(tmp_path, images="*_nir.png")) == 5


def test_folders_of_the_same_names_that_nothing_tells_apart(tmp_path):
    lay(tmp_path, "one/{}.png", "two/{}.png", names=["oak", "elm", "fir", "yew"], mask=photo)
    for truth in ("masks", "label", None):
        with pytest.raises(InputError, match=r"read in two ways: .*name=class_folder.*images=one/"):
            open_source(tmp_path, truth=truth)
    assert len(class_folder(tmp_path)) == 8
    source = folder(tmp_path, images="one/", masks="two/")
    assert masks_of(source)["one/elm.png"] == "two/elm.png"


def drawing(seed: int) -> np.ndarray:
    """Black lines on white paper."""
    paper = np.full((24, 32), 255, np.uint8)
    paper[3 + seed, 4:28] = paper[3:20, 5 + seed] = 0
    return paper


@pytest.mark.parametrize(
    ("one", "other", "drawn"),
    [
        ("photo/{}.jpg", "sketch/{}.png", drawing),
        ("raw/{}.jpg", "ink/{}.png", drawing),
        ("train/photos/{}.jpg", "train/scribble/{}.gif", lambda seed: 255 - drawing(seed)),
        ("real/{}.jpg", "Line Drawings/{}.png", lambda seed: labels(seed, 200)),
    ],
)
def test_drawings_of_photographs_may_be_a_class(tmp_path, one, other, drawn):
    lay(tmp_path, one, other, mask=drawn)
    names = [path.split("/")[-2] for path in (one, other)]
    message = rf"two ways: {names[0]}/ and {names[1]}/ hold 5 files .*name=class_folder.* --set "
    message += (
        f"data.source.name=folder --set data.source.images={names[0]}/ --set data.source.masks"
    )
    for truth in ("masks", "label", None):
        with pytest.raises(InputError, match=message):
            open_source(tmp_path, truth=truth)
    assert len(class_folder(tmp_path)) == 10
    source = folder(tmp_path, images=f"{names[0]}/", masks=f"{names[1]}/")
    assert masks_of(source)[one.format(2)] == other.format(2)


def test_class_numbers_prove_masks_whatever_the_folder_is_called(tmp_path):
    lay(tmp_path / "a", "photo/{}.jpg", "sketch/{}.png")
    lay(tmp_path / "b", "photo/{}.jpg", "wounds/{}.png", mask=lambda seed: labels(seed, 255))
    for root in (tmp_path / "a", tmp_path / "b"):
        assert open_source(root, truth=None).name == "folder"


def test_what_is_declared_and_not_there_is_said(tmp_path):
    lay(tmp_path, "a.jpg", names=[0])
    assert "read as images alone" in folder(tmp_path, masks="gt/").notes[0]


def test_regions_in_class_folders_may_be_masks(tmp_path):
    for label in ("cell", "other"):
        lay(tmp_path, f"{label}/img_{{}}.png", f"{label}/mask_{{}}.png")
    with pytest.raises(InputError, match=r"masks .* or a label .*name=folder or .*class_folder"):
        truth_in(tmp_path)
    assert len(open_source(tmp_path, truth="label")) == 10
    assert masks_of(open_source(tmp_path))["cell/img_1.png"] == "cell/mask_1.png"


# ---------------------------------------------------------------- classes


def test_class_folders_with_numbered_files_stay_classes(tmp_path):
    """Equal numbers pair up by chance; `mask` and `no mask` are classes of faces."""
    lay(tmp_path / "a", "mask/{}.jpg", "no mask/{}.jpg", mask=photo)
    lay(tmp_path / "b", "p/leaf_{}.jpg", "q/leaf_{}.jpg", mask=photo)
    for name in "ab":
        assert open_source(tmp_path / name, truth=None).name == "class_folder"


@pytest.mark.parametrize("names", [("ship", "plane"), ("0", "1", "2")])
def test_masks_alone_are_no_classes(tmp_path, names):
    for number, name in enumerate(names):
        for seed in range(3):
            save(tmp_path / name / f"{seed}.png", labels(seed + 4 * number, 255))
    for truth in ("masks", "label", None):
        with pytest.raises(
            InputError, match=r"one channel and few values, as masks .*class_folder"
        ):
            open_source(tmp_path, truth=truth)
    assert class_folder(tmp_path).class_names == sorted(names)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "set/{}/1.jpg",
            r"the class folders cat/, dog/ lie in set/. Give that folder: --data .*set",
        ),
        ("a/b/c/{}/1.jpg", "--data .*a/b/c"),
        ("birds/train/{}/1.jpg", "the class folders .* lie in birds/train/"),
        ("x/{}/cat/1.jpg", "lie in x/"),
    ],
)
def test_class_folders_that_lie_deeper_are_named(tmp_path, path, message):
    lay(tmp_path, path, names=["cat", "dog"])
    for truth in ("masks", "label", None):
        with pytest.raises(InputError, match=message):
            open_source(tmp_path, truth=truth)
    assert len(open_source(tmp_path, truth="label", truth_needed=False)) == 2  # to predict


def test_classes_in_each_of_several_folders(tmp_path):
    for place in ("north", "south"):
        lay(tmp_path, place + "/{}/1.jpg", names=["oak", "elm"])
    with pytest.raises(InputError, match=r"north/, south/ each hold elm/, oak/.*--data .*north"):
        open_source(tmp_path, truth="label")


def test_to_predict_the_images_of_any_folder_are_read(tmp_path):
    lay(tmp_path, "{}/a.jpg", names=["cat", "dog"])
    with pytest.raises(OtherTruth, match="class folders: cat/, dog/"):
        open_source(tmp_path)
    source = open_source(tmp_path, truth_needed=False)
    assert [record.id for record in source.records] == ["cat/a", "dog/a"]
    assert not any(record.labelled for record in source.records)


# ---------------------------------------------------------------- what is not read


def test_what_nothing_reads_is_counted_by_extension_and_place(tmp_path):
    lay(tmp_path, "images/{}.jpg", "masks/{}.png")
    for i in range(12):
        (tmp_path / "notes").mkdir(exist_ok=True)
        (tmp_path / "notes" / f"{i}.txt").write_text("x")
    (tmp_path / "README").write_text("x")
    lay(tmp_path, "previews/{}.jpg", names=range(3))
    assert open_source(tmp_path).notes == [
        "1 file without extension in the folder itself is not read",
        "12 .txt files in notes/ are not read",
        "3 .jpg files in previews/ are not read",
    ]
    lay(tmp_path / "classes", "{}/a.jpg", names=["cat", "dog"])
    (tmp_path / "classes" / "cat" / "a.xmp").write_text("x")
    assert open_source(tmp_path / "classes", truth="label").notes == [
        "1 .xmp file in cat/ is not read"
    ]


def files(root, *paths: str):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"content")
    return root


@pytest.mark.parametrize(
    ("ending", "command"),
    [(".nii.gz", "nibabel"), (".dcm", "pydicom"), (".npy", "np.load"), (".HEIC", "pillow_heif")],
)
def test_files_of_other_formats_are_named_with_a_command(tmp_path, ending, command):
    names = [f"images/{i}{ending}" for i in range(3)] + [f"masks/{i}{ending}" for i in range(2)]
    source = open_source(files(tmp_path / "pairs", *names))
    (issue,) = source.problems
    assert issue.severity == "error"
    shown = ending.lower()
    assert f"3 {shown} files in images/, 2 {shown} files in masks/ are not read" in str(issue)
    assert command in issue.advice
    with pytest.raises(InputError, match=r"1 problem in the data.\n.* are not read. Convert them"):
        scan(source, cache=False).raise_for_errors()
    lay(tmp_path / "classes", "{}/1.jpg", names=["ripe", "raw"])
    files(tmp_path / "classes", f"raw/2{ending}", f"rotten/1{ending}", f"rotten/2{ending}")
    (issue,) = open_source(tmp_path / "classes", truth="label").problems
    assert f"1 {shown} file in raw/, 2 {shown} files in rotten/ are not read" in issue.problem
    assert issue.severity == "error"
    for path in (tmp_path / "classes" / "rotten").iterdir():
        path.unlink()
    (tmp_path / "classes" / "rotten").rmdir()
    (issue,) = open_source(tmp_path / "classes", truth="label").problems
    assert issue.severity == "warning"


def test_a_folder_of_nothing_else_says_how_to_convert(tmp_path):
    for truth in ("masks", "label"):
        with pytest.raises(InputError, match=r"2 .mp4 files, which are not read. Convert .*ffmpeg"):
            open_source(files(tmp_path / "a", "one.mp4", "two.mp4"), truth=truth)
    with pytest.raises(InputError, match=r"one.svs is not read as it is. Convert them: vips"):
        open_source(files(tmp_path, "one.svs") / "one.svs")


def test_archives_are_to_be_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a.txt", "x")
    for path in (tmp_path, tmp_path / "set.zip"):
        with pytest.raises(InputError, match=r"Unpack it \(python -m zipfile -e set.zip FOLDER\)"):
            open_source(path)
    with pytest.raises(InputError, match=r"Unpack it \(tar xf x.tar.gz\) and give the folder"):
        open_source(files(tmp_path, "x.tar.gz") / "x.tar.gz")


@pytest.mark.parametrize("ending", [*COMMANDS, *ARCHIVES])
def test_every_command_names_the_ending_and_is_python_where_it_says_so(ending):
    text = how_to_convert([f"x{ending}"])
    assert ending in text
    assert extension(f"a.b{ending.upper()}") == ending
    if 'python -c "' in text:
        compile(text.split('python -c "')[1].split('"')[0], "command", "exec")


def test_the_command_for_npy_does_what_it_says(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", labels(3))
    command = how_to_convert(["x.npy"]).split('python -c "')[1].split('"')[0]
    monkeypatch.chdir(tmp_path)
    exec(command, {})
    np.testing.assert_array_equal(folder(tmp_path / "a.npy.png").read(0).image[..., 0], labels(3))


class FakeDicom(dict):
    """What the command for DICOM asks of a file: elements by name, and pixels."""

    def __init__(self, pixels, signed=0, **elements):
        super().__init__(elements)
        self.pixel_array, self.PixelRepresentation = np.asarray(pixels), signed


def test_the_command_for_dicom_keeps_values_below_0(tmp_path, monkeypatch):
    """Signed, and unsigned with an intercept, are shifted; slices are counted; colour stays."""
    given = {
        "signed": FakeDicom(np.int16([[-2000, -10], [5, 900]]), 1),
        "scaled": FakeDicom(np.uint16([[0, 1000], [2000, 4]]), RescaleSlope=2, RescaleIntercept=-9),
        "plain": FakeDicom(np.uint16([[0, 10], [5, 900]])),
        "frames": FakeDicom(np.uint16([[[1, 2]], [[3, 4]]]), NumberOfFrames=2),
        "colour": FakeDicom(np.arange(12, dtype=np.uint8).reshape(2, 2, 3)),
    }
    for name in given:
        (tmp_path / f"{name}.DCM").write_bytes(b"")
    fake = types.SimpleNamespace(dcmread=lambda path: given[path.stem])
    monkeypatch.setitem(sys.modules, "pydicom", fake)
    monkeypatch.chdir(tmp_path)
    exec(how_to_convert(["x.dcm"]).split('python -c "')[1].split('"')[0], {})
    read = {path.stem: np.asarray(Image.open(path)) for path in tmp_path.glob("*.png")}
    assert read["signed.DCM_000"].tolist() == [[0, 1014], [1029, 1924]]
    assert read["scaled.DCM_000"].tolist() == [[1015, 3015], [5015, 1023]]
    assert read["plain.DCM_000"].tolist() == [[0, 10], [5, 900]]
    assert read["frames.DCM_001"].tolist() == [[3, 4]]
    np.testing.assert_array_equal(read["colour.DCM_000"], given["colour"].pixel_array)


def test_the_command_for_volumes_keeps_labels_and_values_below_0(tmp_path, monkeypatch):
    given = {"ct": np.array([[[-2000.0, -10], [5, 900]]]), "labels": np.array([[[0, 1.0], [2, 3]]])}
    for name in given:
        (tmp_path / f"{name}.nii").write_bytes(b"")
    volume = lambda path: types.SimpleNamespace(get_fdata=lambda: given[path.stem])  # noqa: E731
    monkeypatch.setitem(sys.modules, "nibabel", types.SimpleNamespace(load=volume))
    monkeypatch.chdir(tmp_path)
    exec(how_to_convert(["x.nii"]).split('python -c "')[1].split('"')[0], {})
    read = {path.stem: np.asarray(Image.open(path)).tolist() for path in tmp_path.glob("*.png")}
    assert read == {
        "ct.nii_000": [[0, 1029]],
        "ct.nii_001": [[1014, 1924]],
        "labels.nii_000": [[0, 2]],
        "labels.nii_001": [[1, 3]],
    }


def test_all_of_a_folder_may_be_read_or_not(tmp_path):
    tree = list_tree(files(tmp_path, "a/1.dcm", "a/2.png", "b/1.dcm", "c.txt"))
    assert unread_notes(tree, ["a/2.png"]) == ["1 .txt file in the folder itself is not read"]
    (issue,) = unread_issues(tree, ["a/2.png"])
    assert (issue.severity, issue.problem) == (
        "error",
        "1 .dcm file in a/, 1 .dcm file in b/ are not read",
    )
    assert not unread_issues(tree, ["a/1.dcm", "b/1.dcm"])


def test_class_folders_in_a_folder_of_images_are_named(tmp_path):
    lay(tmp_path / "a", "images/{}/1.jpg", names=["cat", "dog"])
    lay(tmp_path / "b", "images/{}/1.jpg", names=["train", "test"])
    for truth in ("label", None):
        with pytest.raises(InputError, match=r"class folders cat/, dog/ lie in images/. Give"):
            open_source(tmp_path / "a", truth=truth)
    assert len(open_source(tmp_path / "a", truth_needed=False)) == 2  # to predict
    assert len(open_source(tmp_path / "b", truth=None)) == 2


def test_classes_named_like_images_and_masks_can_be_said(tmp_path):
    """Pairs by names alone send to the other task, and say what to type for classes."""
    lay(tmp_path, "original/{}.jpg", "annotated/{}.jpg", mask=photo)
    said = r"train_seg.*If these are classes, .*name=class_folder"
    with pytest.raises(InputError, match=said), names_of_tasks():
        open_source(tmp_path, truth="label")
    assert class_folder(tmp_path).class_names == ["annotated", "original"]


def drawn(seed: int, thick: int) -> np.ndarray:
    """(28, 28) uint8: a smooth stroke in grey, as of handwriting; thin ones have few values."""
    canvas = np.zeros((112, 112), np.uint8)
    canvas[10 + seed : 90, 40 : 40 + 4 * thick] = 255
    canvas[10 + seed : 22 + seed, 30 : 30 + 13 * thick] = 255
    canvas = np.roll(canvas, seed, axis=1)
    if thick > 1:
        canvas = cv2.GaussianBlur(canvas, (0, 0), 6)
    return cv2.resize(canvas, (28, 28), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("names", [("0", "1"), [*map(str, range(10))], ("a", "b", "c", "d")])
@pytest.mark.parametrize("part", ["", "train/"])
def test_drawn_characters_are_classes(tmp_path, names, part):
    """Of some characters the pictures hold few values, of others many; files have equal names."""
    for number, name in enumerate(names):
        for seed in range(6):
            save(tmp_path / part / name / f"{seed}.png", drawn(seed, 1 + number % 3))
    for truth in ("label", None):
        source = open_source(tmp_path, truth=truth)
        assert (source.name, source.class_names) == ("class_folder", sorted(names))


@pytest.mark.parametrize("above", ["later", "old/2020"])
def test_a_set_inside_a_set_is_not_joined_to_it(tmp_path, above):
    """`images/` and `masks/` are the set; those of another folder beside them are counted."""
    lay(tmp_path, "images/x{}.png", "masks/x{}.png")
    lay(tmp_path, above + "/images/y{}.png", above + "/masks/y{}.png", names=range(5, 8))
    lay(tmp_path, "test/images/z{}.png", names=range(2))
    source = open_source(tmp_path)
    assert sum(record.labelled for record in source.records) == 5
    assert len(source) == 7
    assert f"3 .png files in {above}/images/" in "\n".join(source.notes)
    assert len(open_source(tmp_path / above)) == 3


def test_sets_of_several_places_are_one(tmp_path):
    for number, place in enumerate(("north", "south")):
        lay(tmp_path, place + "/images/x{}.png", place + "/masks/x{}.png", names=range(number, 4))
    assert len(open_source(tmp_path)) == 7
