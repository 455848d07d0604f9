"""A folder of images for each class: layouts, faults, regions."""

import numpy as np
import pytest
from PIL import Image

from tests.data.make import image, save
from tfvision.data.scan.scan import scan
from tfvision.data.sources.folders.class_folder import class_folder
from tfvision.data.sources.recognise import open_source
from tfvision.data.split.holdout import holdout
from tfvision.errors import InputError


def classes(root, names=("cat", "dog"), count=2, first=0):
    """A folder a class; no two images are alike."""
    for number, name in enumerate(names):
        for i in range(count):
            save(root / name / f"{i}.png", image(first + 10 * number + i))
    return root


def texts(issues) -> str:
    return "\n".join(map(str, issues))


def summary(source):
    return [(r.part, r.id, r.split, r.label) for r in source.records]


def test_a_folder_a_class_with_one_pixel_labels(tmp_path):
    source = class_folder(classes(tmp_path))
    assert summary(source) == [
        ("", "cat/0", None, "cat"),
        ("", "cat/1", None, "cat"),
        ("", "dog/0", None, "dog"),
        ("", "dog/1", None, "dog"),
    ]
    assert (source.truth, source.class_names) == ("label", ["cat", "dog"])
    sample = source.read(2)
    assert (sample.mask, sample.label) == (None, 1)
    np.testing.assert_array_equal(sample.image, image(10))
    assert sample.region is sample.boxes is None
    found = scan(source)
    assert not found.issues
    np.testing.assert_array_equal(found.class_pixels, [[1, 0], [1, 0], [0, 1], [0, 1]])
    np.testing.assert_array_equal(found.heights, [8] * 4)


def test_an_animation_among_images_is_read_as_it_is_declared(tmp_path):
    classes(tmp_path)
    frames = [Image.fromarray(image(50 + i)) for i in range(3)]
    frames[0].save(tmp_path / "cat" / "x.gif", save_all=True, append_images=frames[1:])
    text = texts(scan(class_folder(tmp_path)).errors)
    assert "cat/x.gif: holds 3 frames, one picture a file is expected" in text
    assert "--set data.source.pages=0 for the first frame alone" in text
    assert "mask" not in text
    assert len(class_folder(tmp_path, pages=0)) == 5
    source = class_folder(tmp_path, pages="each")
    assert [record.label for record in source.records].count("cat") == 5
    assert not scan(source).errors


def test_parts_and_a_flat_test_part_without_labels(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "valid", count=1, first=50)
    save(tmp_path / "test" / "0.png", image(90))
    source = class_folder(tmp_path)
    assert [s[:3] for s in summary(source)[3:]] == [
        ("train", "dog/1", "train"),
        ("val", "cat/0", "val"),
        ("val", "dog/0", "val"),
        ("test", "0", "test"),
    ]
    assert source.records[-1].label is None
    assert not source.records[-1].labelled
    assert source.read(6).label is None
    assert "4 images in 2 class folders in train/" in source.layout
    assert "1 image without labels in test/" in source.layout
    assert not scan(source).issues


def test_without_val_the_train_part_is_split_by_class(tmp_path):
    classes(tmp_path / "train", count=10)
    classes(tmp_path / "test", count=2, first=50)
    source = class_folder(tmp_path)
    assert {r.split for r in source.records if r.part == "train"} == {None}
    splits = holdout(scan(source), source.records, seed=0)
    val = [r.label for r, s in zip(source.records, splits, strict=True) if s == "val"]
    assert sorted(val) == ["cat", "cat", "dog", "dog"]


def test_a_test_folder_beside_class_folders_is_no_class(tmp_path):
    classes(tmp_path)
    save(tmp_path / "test" / "x.png", image(90))
    source = class_folder(tmp_path)
    assert source.class_names == ["cat", "dog"]
    assert summary(source)[-1] == ("test", "x", "test", None)


def test_nested_folders_hidden_files_and_odd_names(tmp_path):
    """D28, D29"""
    classes(tmp_path)
    save(tmp_path / "cat" / "more" / "ü €.png", image(30))
    save(tmp_path / "cat" / "0.jpg", image(31))
    save(tmp_path / "cat" / ".hidden.png", image(32))
    save(tmp_path / "__MACOSX" / "y.png", image(33))
    (tmp_path / "dog" / "Thumbs.db").write_text("")
    source = class_folder(tmp_path)
    ids = [r.id for r in source.records]
    assert ids == ["cat/0.jpg", "cat/0.png", "cat/1", "cat/more/ü €", "dog/0", "dog/1"]
    assert source.class_names == ["cat", "dog"]
    assert source.notes == ["2 hidden or system files ignored"]


def test_numbered_folders_are_sorted_as_numbers_and_named_by_classes_txt(tmp_path):
    classes(tmp_path, ["10", "9", "0"])
    assert class_folder(tmp_path).class_names == ["0", "9", "10"]
    (tmp_path / "classes.txt").write_text("\n".join(f"sign {i}" for i in range(12)))
    source = class_folder(tmp_path)
    assert source.class_names[9] == "sign 9"
    number = {r.label: source.read(i).label for i, r in enumerate(source.records)}
    assert number == {"0": 0, "9": 9, "10": 10}
    assert "the class 'sign 3' has no image" in texts(scan(source).warnings)


def test_classes_txt_gives_the_order_and_must_fit(tmp_path):
    classes(tmp_path)
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    source = class_folder(tmp_path)
    assert source.class_names == ["dog", "cat"]
    assert source.read(0).label == 1
    (tmp_path / "classes.txt").write_text("dog\nhorse\n")
    with pytest.raises(InputError, match=r"label 'cat' is no name in classes.txt.*dog, horse"):
        class_folder(tmp_path)


def test_an_empty_class_folder_is_an_error_that_names_it(tmp_path):
    """D16"""
    classes(tmp_path)
    (tmp_path / "bird").mkdir()
    with pytest.raises(InputError, match=r"bird: the class folder holds no image. Put images"):
        scan(class_folder(tmp_path)).raise_for_errors()


def test_a_class_of_one_image_is_a_warning_and_the_split_works(tmp_path):
    """D16"""
    classes(tmp_path, count=8)
    save(tmp_path / "bird" / "only.png", image(99))
    source = class_folder(tmp_path)
    found = scan(source)
    assert "the class 'bird' has one image" in texts(found.warnings)
    assert not found.errors
    splits = holdout(found, source.records, seed=0)
    assert set(splits) == {"train", "val", "test"}


def test_one_class_alone_is_nothing_to_learn(tmp_path):
    classes(tmp_path, ["cat"])
    with pytest.raises(InputError, match="every sample has the label 'cat'"):
        scan(class_folder(tmp_path)).raise_for_errors()


def test_a_class_that_training_does_not_have(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "val", ["cat", "dgo"], first=50)
    with pytest.raises(InputError, match="val/dgo: is a class that is not among"):
        scan(class_folder(tmp_path)).raise_for_errors()
    classes(tmp_path / "flat" / "train")
    save(tmp_path / "flat" / "val" / "0.png", image(80))
    with pytest.raises(InputError, match=r"val holds no class folders. Validation needs labels"):
        class_folder(tmp_path / "flat")


def test_images_beside_class_folders_are_left_out_and_said(tmp_path):
    classes(tmp_path)
    save(tmp_path / "stray.png", image(80))
    source = class_folder(tmp_path)
    assert len(source) == 4
    assert "1 image beside the class folders has no class (stray.png" in texts(source.problems)


def test_names_that_look_alike_and_links_that_leave(tmp_path):
    """D28"""
    classes(tmp_path / "data", ["cat", "Cat", "dog"])
    outside = classes(tmp_path / "out") / "cat"
    (tmp_path / "data" / "linked").symlink_to(outside)
    source = class_folder(tmp_path / "data")
    assert "'Cat' and 'cat' are two classes" in texts(source.problems)
    assert "linked: is a link that leaves the data set" in texts(source.problems)
    assert len(class_folder(tmp_path / "data", allow_outside_root=True)) == 8


def test_masks_beside_images_are_regions_not_samples(tmp_path):
    for name in ("cat", "dog"):
        for i in range(3):
            save(tmp_path / name / f"img_{i}.png", image(i + 5 * (name == "dog")))
            region = np.zeros((8, 12), np.uint8)
            region[2:5, i : i + 4] = 255
            save(tmp_path / name / f"mask_{i}.png", region)
    source = class_folder(tmp_path)
    assert [r.id for r in source.records][:3] == ["cat/img_0", "cat/img_1", "cat/img_2"]
    assert len(source) == 6
    sample = source.read(1)
    assert (sample.region.dtype, sample.region.shape) == (np.uint8, (8, 12))
    expected = np.zeros((8, 12))
    expected[2:5, 1:5] = 1
    np.testing.assert_array_equal(sample.region, expected)
    assert (sample.mask, sample.label) == (None, 0)


def test_images_alone_are_for_prediction(tmp_path):
    for i in range(2):
        save(tmp_path / "a" / "images" / f"{i}.png", image(i))
        save(tmp_path / "a" / "masks" / f"{i}.png", np.full((8, 12), 255 * i, np.uint8))
        save(tmp_path / "b" / f"{i}.png", image(i))
    source = open_source(tmp_path / "a", truth="label", truth_needed=False)
    assert summary(source) == [("images", "0", None, None), ("images", "1", None, None)]
    assert [source.read(i).region.mean() for i in (0, 1)] == [0, 1]
    assert source.truth == "label"
    assert len(open_source(tmp_path / "b", truth="label")) == 2
    single = open_source(tmp_path / "b" / "1.png", truth="label")
    assert summary(single) == [("images", "1", None, None)]
    with pytest.raises(InputError, match="no sample with a label to train on"):
        holdout(scan(source), source.records, seed=0)


def test_sizes_may_differ_and_one_pixel_images_are_read(tmp_path):
    """D30, D31: the size to train at is the run's affair, and stated there."""
    classes(tmp_path)
    save(tmp_path / "cat" / "tiny.png", image(40, 1, 1))
    save(tmp_path / "dog" / "row.png", image(41, 1, 9))
    found = scan(class_folder(tmp_path))
    assert not found.errors
    assert "images have 3 sizes, 1 x 1 to 8 x 12" in found.notes


def test_what_holds_neither_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"holds notes.txt. Expected: a folder of images for each"):
        class_folder(tmp_path)
