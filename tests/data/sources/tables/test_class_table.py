"""CSV files that label images: columns, text that looks like numbers, boxes, faults."""

import numpy as np
import pytest

from tests.data.files.test_images import STORED, exif
from tests.data.make import image, mask, save
from tfvision.data.scan.scan import scan
from tfvision.data.sources.tables.class_table import label_table
from tfvision.data.sources.tables.labels_given_later import Relabelled, read_labels_table
from tfvision.errors import InputError


def table(root, text, count=4, folder="", **size):
    """Images 0.png, 1.png, ... and labels.csv."""
    for i in range(count):
        save(root / folder / f"{i}.png", image(i, **size))
    (root / "labels.csv").write_text(text)
    return root / "labels.csv"


def rows(labels, header="file,label"):
    return "\n".join([header, *(f"{i}.png,{label}" for i, label in enumerate(labels))])


def texts(issues) -> str:
    return "\n".join(map(str, issues))


@pytest.mark.parametrize("names", [["NA", "None", "null", "true"], ["01", "1.0", "no", "1e3"]])
def test_labels_are_text_whatever_they_look_like(tmp_path, names):
    """D20"""
    source = label_table(table(tmp_path, rows(names)))
    assert [record.label for record in source.records] == names
    assert sorted(source.class_names) == sorted(names)
    assert [source.class_names[source.read(i).label] for i in range(4)] == names


def test_numbers_are_sorted_as_numbers_and_look_alikes_are_told(tmp_path):
    source = label_table(table(tmp_path, rows(["10", "9", "2", "02"])))
    assert source.class_names == ["02", "2", "9", "10"]
    assert "'02' and '2' are two classes" in texts(source.problems)


def test_positions_without_header_as_the_sign_report_reads_them(tmp_path):
    text = "0.png,1,2,5,7,3\n1.png,0,0,12,8,0\n2.png,2,2,3,3,3\n3.png,2,2,3,3,0\n"
    source = label_table(table(tmp_path, text, folder="train"))
    assert source.class_names == ["0", "3"]
    assert source.notes[0] == (
        "labels.csv has no header: read as file, xmin, ymin, xmax, ymax, label"
    )
    sample = source.read(0)
    np.testing.assert_array_equal(sample.boxes, np.float32([[1, 2, 5, 7]]))
    np.testing.assert_array_equal(sample.classes, [1])
    assert not scan(source).issues
    assert "in train/, with a box each" in source.layout


@pytest.mark.parametrize(
    "header",
    ["filename,xmin,ymin,xmax,ymax,label", "Id,X1,Y1,X2,Y2,Category", "a,b,c,d,e,f"],
)
def test_headers_by_name_and_by_place(tmp_path, header):
    lines = [f"{i}.png,1,1,4,4,c{i % 2}" for i in range(4)]
    source = label_table(table(tmp_path, "\n".join([header, *lines])))
    assert source.class_names == ["c0", "c1"]
    np.testing.assert_array_equal(source.read(1).boxes, [[1, 1, 4, 4]])


def test_columns_in_any_order_split_group_mask_and_extension_left_out(tmp_path):
    text = (
        "target;split;image_id;group;mask;note\na;train;0;g1;r.png;x\nb;val;1;;;\na;train;2;g1;;\n"
    )
    region = np.zeros((8, 12), np.uint8)
    region[1:3] = 1
    save(tmp_path / "masks" / "r.png", region)
    source = label_table(table(tmp_path, text, count=3, folder="images"))
    records = source.records
    assert [(r.id, r.split, r.group) for r in records] == [
        ("0", "train", "g1"),
        ("1", "val", None),
        ("2", "train", "g1"),
    ]
    np.testing.assert_array_equal(source.read(0).region, region)
    assert source.read(1).region is None
    assert "columns not used: note" in source.notes


def test_declared_columns(tmp_path):
    path = table(tmp_path, rows("abab", header="photo,species"))
    columns = {"file": "Photo", "label": "species"}
    assert label_table(path, columns=columns).class_names == ["a", "b"]
    for wrong, message in [
        ({"file": "foto", "label": "species"}, "no column 'foto' .file.. Did you mean 'photo'"),
        ({"file": "photo"}, "must say which column is the label"),
        ({**columns, "lable": "x"}, "columns holds 'lable'; known: file, label"),
        ({**columns, "box": "x"}, "box must list four names"),
    ]:
        with pytest.raises(InputError, match=message):
            label_table(path, columns=wrong)


def test_unknown_columns_say_what_is_known(tmp_path):
    path = table(tmp_path, "photo,kind,x\nelsewhere,a,7\n")
    with pytest.raises(InputError, match=r"no column is known for file and label; .*photo, kind"):
        label_table(path)


def test_the_image_folder_is_the_one_that_holds_the_files(tmp_path):
    path = table(tmp_path, rows("abab"), folder="train_data")
    save(tmp_path / "images" / "0.png", image(77))
    source = label_table(path)
    np.testing.assert_array_equal(source.read(0).image, image(0))
    assert "4 images of 2 classes in train_data/" in source.layout


def test_names_that_stand_again_in_each_class_folder_are_told_by_the_label(tmp_path):
    for label in ("a", "b"):
        for i in range(2):
            save(tmp_path / "train" / label / f"{i}.png", image(i + 10 * (label == "b")))
    (tmp_path / "train.csv").write_text("file,label\n0.png,b\n1.png,a\n")
    source = label_table(tmp_path / "train.csv")
    np.testing.assert_array_equal(source.read(0).image, image(10))
    np.testing.assert_array_equal(source.read(1).image, image(1))
    assert "2 images have no row" in texts(source.problems)


def test_a_test_folder_is_the_part_without_labels(tmp_path):
    path = table(tmp_path, rows("abab"), folder="train")
    save(tmp_path / "test" / "0.png", image(50))
    save(tmp_path / "test" / "zz.png", image(51))
    source = label_table(path)
    assert [(r.id, r.part, r.split, r.labelled) for r in source.records[4:]] == [
        ("0", "test", "test", False),
        ("zz", "test", "test", False),
    ]
    assert not scan(source).issues


def test_a_table_of_test_labels_means_the_test_folder(tmp_path):
    for part, seed in (("train", 0), ("test", 50)):
        for i in range(2):
            save(tmp_path / part / f"{i}.png", image(seed + i))
    (tmp_path / "dev_test_labels.csv").write_text("Id,Category\n0.png,a\n1.png,b\n")
    source = label_table(tmp_path / "dev_test_labels.csv")
    np.testing.assert_array_equal(source.read(0).image, image(50))
    assert len(source) == 2


def test_regions_beside_and_in_masks(tmp_path):
    for i in range(4):
        save(tmp_path / "train_data" / f"img_{i}.png", image(i))
        region = np.zeros((8, 12), np.uint8)
        region[: i + 1] = 255
        save(tmp_path / "train_data" / f"mask_{i}.png", region)
        save(tmp_path / "b" / "images" / f"{i}.png", image(i))
        save(tmp_path / "b" / "masks" / f"{i}.png", region // 255)
    lines = "\n".join(f"img_{i}.png,{'ab'[i % 2]}" for i in range(4))
    (tmp_path / "train_labels.csv").write_text(f"sample_index,label\n{lines}")
    (tmp_path / "b" / "y.csv").write_text(rows("abab"))
    for source in (label_table(tmp_path), label_table(tmp_path / "b")):
        assert [source.read(i).region.sum() for i in range(4)] == [12, 24, 36, 48]
        assert "with a region (a mask file) each" in source.layout
        assert not source.problems
    assert label_table(tmp_path).records[0].id == "img_0"


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("5,2,1,7", r"line 2 of labels.csv \(0.png\): the box \(5, 2, 1, 7\) has no area"),
        ("1,2,1,7", "has no area"),
        ("1,2,x,7", "is not four numbers"),
        ("1,2,nan,7", "is not four numbers"),
        ("1,2,5,", "is not four numbers"),
        ("-1,2,5,7", "leaves the image, 12 x 8 pixels"),
        ("1,2,13,7", "leaves the image, 12 x 8 pixels"),
        ("0.1,0.2,0.5,0.7", "looks like shares of the image"),
    ],
)
def test_boxes_are_checked_and_the_row_named(tmp_path, box, message):
    lines = [f"0.png,{box},a", *(f"{i}.png,,,,,b" for i in (1, 2, 3))]
    text = "\n".join(["file,xmin,ymin,xmax,ymax,label", *lines])
    source = label_table(table(tmp_path, text))
    with pytest.raises(InputError, match=message):
        scan(source).raise_for_errors()


def test_a_row_without_box_has_none(tmp_path):
    text = "file,xmin,ymin,xmax,ymax,label\n0.png,1,1,4,4,a\n1.png,,,,,b\n"
    source = label_table(table(tmp_path, text, count=2))
    assert source.read(1).boxes is None
    assert source.read(0).boxes.shape == (1, 4)


def test_rows_that_contradict_each_other(tmp_path):
    """D25"""
    path = table(tmp_path, rows("ababab"[:4]) + "\n1.png,a\n2.png,a\n")
    source = label_table(path)
    message = "line 6 of labels.csv (1.png): says 'a', line 3 says 'b' of this image."
    assert message in texts(scan(source).errors)
    assert "line 7 of labels.csv (2.png): repeats line 4" in texts(source.problems)
    found = scan(label_table(path), on_bad_sample="quarantine")
    assert not found.errors
    assert [left.issue.id for left in found.left_out] == ["1.png"]


def test_boxes_of_detection_are_no_classification(tmp_path):
    lines = [f"{i}.png,{k},1,{k + 2},4,a" for i in range(4) for k in (1, 3)]
    path = table(tmp_path, "\n".join(["file,xmin,ymin,xmax,ymax,label", *lines]))
    with pytest.raises(InputError, match=r"4 of 4 images have several boxes. This is data for det"):
        label_table(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gone.png,a", r"line 6 of labels.csv \(gone.png\): no such file in"),
        (",a", "names no file"),
        ("0.png,", "has no label"),
        ("../x.png,a", "leaves the data set"),
        ("/etc/x.png,a", "is absolute"),
    ],
)
def test_wrong_rows_are_errors_of_their_line(tmp_path, line, message):
    source = label_table(table(tmp_path, rows("abab") + f"\n{line}\n"))
    with pytest.raises(InputError, match=message):
        scan(source).raise_for_errors()
    assert sum(issue.severity == "error" for issue in source.problems) == 1


def test_rows_of_another_length_and_an_empty_table(tmp_path):
    with pytest.raises(InputError, match="line 3: 1 cells, the first line has 2"):
        label_table(table(tmp_path, "file,label\n0.png,a\n1.png\n"))
    (tmp_path / "labels.csv").write_text("")
    with pytest.raises(InputError, match=r"labels.csv: is empty"):
        label_table(tmp_path / "labels.csv")


def test_a_region_of_another_size_names_both_sizes(tmp_path):
    path = table(tmp_path, rows("abab"), folder="images")
    for i in range(4):
        save(tmp_path / "masks" / f"{i}.png", mask(i, width=11 if i == 2 else 12))
    with pytest.raises(InputError, match="the image has 8 x 12 pixels, its mask 8 x 11"):
        scan(label_table(path)).raise_for_errors()


def test_an_empty_region_is_a_warning(tmp_path):
    path = table(tmp_path, rows("abab"), folder="images")
    for i in range(4):
        save(tmp_path / "masks" / f"{i}.png", np.full((8, 12), 255 * (i > 0), np.uint8))
    found = scan(label_table(path))
    assert [(i.id, i.problem) for i in found.warnings] == [
        ("0", "its region (the mask file) is empty: the whole image is used")
    ]
    assert [fact.region_share for fact in found.facts] == [0, 1, 1, 1]


def test_the_stamp_and_the_fingerprint_follow_label_and_box(tmp_path):
    header = "file,xmin,ymin,xmax,ymax,label\n"
    prints, stamps = [], []
    for first in ("1,1,4,4,a", "1,1,4,4,b", "1,1,5,4,a"):
        text = f"{header}0.png,{first}\n1.png,,,,,a\n2.png,,,,,b\n"
        source = label_table(table(tmp_path, text, count=3))
        stamps.append(source.stamp(0))
        prints.append(scan(source).fingerprint)
    assert len(set(stamps)) == len(set(prints)) == 3


def test_a_folder_with_several_tables(tmp_path):
    table(tmp_path, rows("abab"))
    (tmp_path / "sample_submission.csv").write_text("id,label\n0,a\n")
    (tmp_path / "dev_test_labels.csv").write_bytes(b"\xff\xfe not opened")
    source = label_table(tmp_path)
    assert source.layout.startswith("labels.csv: 4 images")
    assert "dev_test_labels.csv, sample_submission.csv beside labels.csv is not read" in (
        source.notes
    )
    (tmp_path / "more.csv").write_text("file,label\n0.png,a\n")
    with pytest.raises(InputError, match=r"several tables of labels: labels.csv, more.csv"):
        label_table(tmp_path)


# ---------------------------------------------------------------- labels that come later


def test_labels_for_ids(tmp_path):
    path = tmp_path / "given.csv"
    path.write_text("Id,Category,xmin,ymin,xmax,ymax\nb.png,1,1,2,3,4\na,cat,,,,\nzz.png,0,,,,\n")
    given = read_labels_table(path, ["a", "b", "c"], ["cat", "dog"])
    np.testing.assert_array_equal(given.numbers, [0, 1, -1])
    assert given.labels == ["cat", "1", None]
    assert given.boxes == [None, (1, 2, 3, 4), None]
    assert (given.missing, given.unknown) == (["c"], 1)
    assert given.notes == [
        "given.csv: 1 row names no sample of the data: ignored",
        "given.csv: 1 of 3 samples is not listed (c)",
    ]


def test_a_number_is_a_name_before_it_is_a_place(tmp_path):
    path = tmp_path / "given.csv"
    path.write_text("id,label\na,1\nb,2\n")
    np.testing.assert_array_equal(read_labels_table(path, ["a", "b"], ["1", "2"]).numbers, [0, 1])
    names, labels = ["one", "two"], ["1", "2"]
    given = read_labels_table(path, ["a", "b"], names, class_labels=labels)
    np.testing.assert_array_equal(given.numbers, [0, 1])
    with pytest.raises(InputError, match="line 3: '2' is no class"):
        read_labels_table(path, ["a", "b"], names)
    path.write_text("id,label\na,0\n")
    with pytest.raises(InputError, match="line 2: '0' is no class"):
        read_labels_table(path, ["a"], ["1", "2"])


def test_numbers_are_category_ids_where_they_can_be_nothing_else(tmp_path):
    path, ids = tmp_path / "given.csv", ["a", "b", "c"]

    def read(*labels, names=("cat", "dog", "emu"), category_ids=(1, 2, 3)):
        path.write_text(
            "id,label\n" + "".join(f"{i},{x}\n" for i, x in zip(ids, labels, strict=False))
        )
        given = read_labels_table(path, ids[: len(labels)], names, category_ids=category_ids)
        by_id = "given.csv: labels are the category ids of the data's JSON" in given.notes
        return given.numbers.tolist(), by_id

    assert read(1, 2, 3) == ([0, 1, 2], True)
    assert read(90, 7, 7, category_ids=(7, 11, 90)) == ([2, 0, 0], True)
    assert read(0, 1, 2) == ([0, 1, 2], False)  # 0 is no id
    assert read("cat", "dog", "emu") == ([0, 1, 2], False)
    assert read(2, 0, 1, category_ids=(0, 1, 2)) == ([2, 0, 1], False)
    with pytest.raises(InputError, match=r"1, 2, \.\.\.\) can be the category ids .* names of the"):
        read(1, 2, 1)
    assert read(3, 8, names=("3", "4", "8"), category_ids=(8, 3, 4)) == ([0, 2], False)
    assert read(3, 8, names=("3", "8", "x"), category_ids=(1, 2, 3)) == ([0, 1], False)


def test_wrong_labels_files(tmp_path):
    path = tmp_path / "given.csv"
    path.write_text("id,label\na,cat\na.png,dog\n")
    with pytest.raises(InputError, match="line 3 says 'dog' of 'a', line 2 says 'cat'"):
        read_labels_table(path, ["a"], ["cat", "dog"])
    with pytest.raises(InputError, match="lists 2 ids, and none of the 1 samples"):
        read_labels_table(path, ["q"], ["cat", "dog"])


def test_relabelled_samples_have_label_and_box(tmp_path):
    path = table(tmp_path, rows("abab"), folder="train")
    for i in range(3):
        save(tmp_path / "test" / f"{i}.png", image(50 + i))
    source = label_table(path)
    scan(source)
    given_path = tmp_path / "given.csv"
    given_path.write_text("id,label,xmin,ymin,xmax,ymax\n1.png,b,1,2,3,4\n0.png,a,,,,\n")
    given = read_labels_table(given_path, ["0", "1", "2"], source.class_names)
    again = Relabelled(source, [4, 5, 6], given, class_names=source.class_names)
    assert [r.labelled for r in again.records[4:]] == [True, True, False]
    assert [again.read(i).label for i in (4, 5)] == [0, 1]
    np.testing.assert_array_equal(again.read(5).boxes, [[1, 2, 3, 4]])
    assert again.read(6).label is None
    assert again.read(0).label == source.read(0).label
    np.testing.assert_array_equal(scan(again).class_pixels[4:], [[1, 0], [0, 1], [0, 0]])


def turned_boxes(root, orientation, boxes):
    """Upright images of 8 x 12 pixels, stored turned, and a box for each."""
    lines = ["file,xmin,ymin,xmax,ymax,label"]
    for i, box in enumerate(boxes):
        options = {} if i % 2 else {"exif": exif(orientation)}
        save(root / f"{i}.png", image(i) if i % 2 else STORED[orientation](image(i)), **options)
        lines.append(f"{i}.png,{','.join(map(str, box))},c{i % 2}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return label_table(root)


def test_boxes_on_turned_images_are_told_once_with_how_they_were_read(tmp_path):
    """Of 8 x 12 pixels stored as 12 x 8: 7 fits both widths, 11 only that of the turned image."""
    source = turned_boxes(tmp_path, 6, [(1, 1, 7, 5), (1, 1, 11, 5), (1, 1, 11, 5), (0, 0, 4, 4)])
    (issue,) = (i for i in scan(source).warnings if "EXIF" in i.problem)
    assert (issue.id, issue.place) == ("0", "line 2 of labels.csv (0.png)")
    assert issue.problem == (
        "has the EXIF orientation 6, and its box (1, 1, 7, 5) was read in the turned image, "
        "12 x 8 pixels (width x height); so with 2 images of the data set. 1 of their boxes would "
        "fit the stored pixels as well"
    )
    assert "set exif: ignore" in issue.advice
    again = scan(label_table(tmp_path)).warnings  # from the kept facts
    assert [i.problem for i in again if "EXIF" in i.problem] == [issue.problem]
    assert not [i for i in scan(label_table(tmp_path, exif="ignore")).warnings if "EXIF" in str(i)]


def test_an_image_on_its_head_leaves_every_box_in_doubt(tmp_path):
    source = turned_boxes(tmp_path, 3, [(1, 1, 11, 5), (1, 1, 11, 5)])
    (issue,) = (i for i in scan(source).warnings if "EXIF" in i.problem)
    assert "so with 1 image of the data set. 1 of their boxes" in issue.problem


def test_a_box_that_leaves_a_turned_image_names_the_turn(tmp_path):
    source = turned_boxes(tmp_path, 6, [(1, 1, 5, 11), (0, 0, 4, 4)])
    (issue,) = scan(source).errors
    assert "leaves the image, 12 x 8 pixels (width x height), after its EXIF" in issue.problem
    assert "drawn on the pixels as they are stored, set exif: ignore" in issue.advice
    assert not scan(label_table(tmp_path, exif="ignore")).errors


def test_turned_images_without_boxes_are_no_warning(tmp_path):
    save(tmp_path / "0.png", STORED[6](image(0)), exif=exif(6))
    save(tmp_path / "1.png", image(1))
    (tmp_path / "labels.csv").write_text(rows("ab"))
    found = scan(label_table(tmp_path))
    assert not [issue for issue in found.warnings if "EXIF" in str(issue)]
