"""Tables of labels as public data sets bring them: what can be told is read, the rest refused."""

import pytest

from tests.data.make import image, mask, save
from tfvision.data.scan.scan import scan
from tfvision.data.sources.recognise import OtherTruth, open_source, truth_in
from tfvision.data.sources.tables.class_table import label_table
from tfvision.data.sources.tables.class_table_parts import label_tables
from tfvision.data.sources.tables.mask_table import manifest
from tfvision.data.sources.tables.unlabelled import check_has_truth
from tfvision.errors import InputError


def folder(root, table, names, *, name="table.csv", encoding="utf-8"):
    """Images of some names, and a table beside them."""
    for i, file in enumerate(names):
        save(root / file, image(i))
    (root / name).write_text(table, encoding=encoding)
    return root


def lines(header, rows) -> str:
    return "\n".join([header, *rows]) + "\n\n"


def labels(source) -> dict[str, str | None]:
    return {record.id: record.label for record in source.records}


def one_hot(kinds, order, *, one="1", none="0") -> list[str]:
    return [",".join(one if kind == k else none for k in kinds) for kind in order]


@pytest.mark.parametrize(
    ("kinds", "one", "none", "extension"),
    [("abc", "1.0", "0.0", ""), ("xy", "1", "0", ".png"), ("pqrs", "True", "False", "")],
)
def test_a_column_of_0_and_1_for_each_class(tmp_path, kinds, one, none, extension):
    order = [kinds[i % len(kinds)] for i in range(12)]
    cells = one_hot(kinds, order, one=one, none=none)
    rows = [f"p{i}{extension},{cells[i]}" for i in range(12)]
    table = lines("image," + ",".join(kinds), rows)
    root = folder(tmp_path, table, [f"photos/set 1/p{i}.png" for i in range(12)])
    source = open_source(root, truth="label")
    assert source.name == "label_table"
    assert list(labels(source).values()) == order
    assert source.class_names == sorted(kinds)
    assert source.notes == [f"table.csv: a column of 0 and 1 for each class: {', '.join(kinds)}"]
    with pytest.raises(OtherTruth, match="a column of 0 and 1 for each class"):
        open_source(root, truth="masks")


def test_rows_with_several_ones_or_none_are_refused_by_line(tmp_path):
    cells = one_hot("abc", "abcabcabcabc")
    cells[4] = "1,1,0"
    rows = [f"p{i},{c}" for i, c in enumerate(cells)]
    root = folder(tmp_path, lines("image,a,b,c", rows), [f"p{i}.png" for i in range(12)])
    with pytest.raises(InputError, match=r"1 of 12 rows .* line 6 is the first \(a and b\)\. One"):
        open_source(root, truth="label")
    rows[4] = "p4,0,0,0"
    (root / "table.csv").write_text(lines("image,a,b,c", rows))
    source = open_source(root, truth="label")
    assert len(source) == 11
    assert "line 6 of table.csv (p4): has no label" in str(source.problems[0])


def test_columns_that_are_no_classes_and_classes_that_are_declared(tmp_path):
    rows = [f"p{i},{'kl'[i % 2]},{i % 2},{1 - i % 2},{i % 3 % 2}" for i in range(12)]
    root = folder(tmp_path, lines("image,kind,wet,dry,old", rows), [f"p{i}.png" for i in range(12)])
    source = open_source(root, truth="label")
    with pytest.raises(
        InputError, match=r"which column is the label\? It has kind \(2 values\), we"
    ):
        check_has_truth(source)
    columns = {"file": "image", "label": ["wet", "dry"]}
    source = open_source(root, truth="label", columns=columns)
    assert [r.label for r in source.records[:2]] == ["dry", "wet"]


def test_metadata_beside_images_in_two_folders(tmp_path):
    rows = [
        f"L{i // 2},IMG_{i},{['nv', 'mel', 'bkl'][i % 3]},{40 + i}.0,{['m', 'f'][i % 2]}"
        for i in range(12)
    ]
    table = lines("lesion_id,image_id,dx,age,sex", rows)
    root = folder(tmp_path, table, [f"part_{1 + i // 7}/IMG_{i}.jpg" for i in range(12)])
    source = open_source(root, truth="label")
    assert source.layout == "table.csv: 12 images of 3 classes in part_1/, part_2/"
    assert [r.label for r in source.records[:3]] == ["nv", "mel", "bkl"]
    assert source.notes[0] == "columns not used: lesion_id, age, sex"
    assert "group: lesion_id" in source.notes[1]
    columns = {"file": "image_id", "label": "dx", "group": "lesion_id"}
    grouped = open_source(root, truth="label", columns=columns)
    assert [r.group for r in grouped.records[:3]] == ["L0", "L0", "L1"]


@pytest.mark.parametrize(
    ("header", "cell", "expected"),
    [
        ("code,verdict", "p{i},{kind}", ["x", "y"]),  # the only other column
        (",photo,kind,Unnamed: 3", "{i},p{i}.png,{kind},{i}", ["x", "y"]),  # pandas'
        ("kind,where", "{kind},deep/p{i}", ["x", "y"]),
    ],
)
def test_the_column_that_names_the_images_is_used_whatever_its_name(
    tmp_path, header, cell, expected
):
    rows = [cell.format(i=i, kind="xy"[i % 2]) for i in range(12)]
    root = folder(tmp_path, lines(header, rows), [f"deep/p{i}.png" for i in range(12)])
    source = open_source(root, truth="label")
    assert source.name == "label_table"
    assert source.class_names == expected
    assert len(source) == 12
    assert not [note for note in source.notes if note.startswith("columns not used")]


def test_a_table_whose_label_is_not_clear_is_named_with_what_to_type(tmp_path):
    rows = [f"p{i};{'ab'[i % 2]};{'mf'[i // 2 % 2]}" for i in range(12)]
    root = folder(tmp_path, lines("no.;kind;place", rows), [f"p{i}.png" for i in range(12)])
    text = (
        r"names 12 of 12 images \(column no\.\); which column is the label\? It has kind \(2 values"
        r"\), place \(2 values\)\. Say it: --set 'data.source.columns=\{file: \"no\.\", label: kind"
    )
    source = open_source(root, truth="label")  # images alone, for prediction
    assert not any(record.labelled for record in source.records)
    with pytest.raises(InputError, match=text):
        check_has_truth(source)
    with pytest.raises(InputError, match=text):
        open_source(root / "table.csv", truth="label")
    source = open_source(root, truth="label", columns={"file": "no.", "label": "kind"})
    assert source.class_names == ["a", "b"]


def test_such_a_table_beside_class_folders_is_a_note(tmp_path):
    rows = [f"p{i},{'ab'[i % 2]},{'mf'[i // 2 % 2]}" for i in range(12)]
    names = [f"{'cd'[i % 2]}/p{i}.png" for i in range(12)]
    root = folder(tmp_path, lines("no,kind,place", rows), names)
    source = open_source(root, truth="label")
    assert source.class_names == ["c", "d"]
    assert "names 12 of 12 images (column no); which column is the label?" in source.notes[-1]


@pytest.mark.parametrize("values", [range(100, 112), [f"{i}.5" for i in range(12)]])
def test_a_last_column_that_cannot_be_labels_is_not_taken(tmp_path, values):
    rows = [f"p{i},{value}" for i, value in enumerate(values)]
    root = folder(tmp_path, lines("photo,measured", rows), [f"p{i}.png" for i in range(12)])
    with pytest.raises(InputError, match="which column is the label"):
        label_table(root / "table.csv")


def test_two_tables_that_fit_are_both_named(tmp_path):
    rows = [f"p{i},{'ab'[i % 2]}" for i in range(12)]
    root = folder(tmp_path, lines("photo,kind", rows), [f"p{i}.png" for i in range(12)])
    (root / "other.csv").write_text(lines("photo,place", rows))
    with pytest.raises(InputError, match=r"several tables of labels: other\.csv, table\.csv"):
        open_source(root, truth="label")


@pytest.mark.parametrize(
    ("cells", "separator"),
    [
        (["MEL|NV", "NV", "MEL", "BCC|NV", "BCC", "MEL|BCC"], r"'\|'"),
        (["16 0", "7 1 2 0", "1 2", "16 7", "2", "7"], "' '"),
        (["['a', 'b']", "['b', 'c']", "['c']", "['a']", "['b']", "['c', 'a']"], "','"),
        (["haze primary", "clear primary water", "primary", "water haze", "clear", "haze"], "' '"),
    ],
)
def test_several_labels_a_cell_are_refused_in_plain_words(tmp_path, cells, separator):
    rows = [f'p{i},"{cells[i % 6]}"' for i in range(12)]
    root = folder(tmp_path, lines("file,label", rows), [f"p{i}.png" for i in range(12)])
    with pytest.raises(InputError, match=rf"several labels, line 2 .*separated by {separator}"):
        open_source(root, truth="label")


@pytest.mark.parametrize(
    "cells",
    [
        ["Maine coon", "Persian cat", "Siamese cat", "cat", "Maine", "dog"],
        ["red car", "blue car", "red truck", "blue truck", "car", "truck"],
        [
            "Pepper,_bell___healthy",
            "Pepper,_bell___spot",
            "Corn_(maize)___rust",
            "Potato",
            "b",
            "c",
        ],
        ["0,5", "1,5", "1,0", "2,5", "2,0", "0"],
        ["1/2", "1/4", "3/4", "2/4", "a/b testing", "c"],
        ["leaf rust", "leaf spot", "leaf", "rust", "spot", "stem rust"],
    ],
)
def test_names_of_several_words_stay_one_label(tmp_path, cells):
    rows = [f'p{i},"{cells[i % 6]}"' for i in range(12)]
    root = folder(tmp_path, lines("file,label", rows), [f"p{i}.png" for i in range(12)])
    assert set(open_source(root, truth="label").class_names) == set(cells)


def test_a_spreadsheet_with_decimal_commas_in_boxes(tmp_path):
    rows = [f"p{i}.png;{'ab'[i % 2]};1,5;2,0;7,25;6" for i in range(6)]
    table = lines("Filename;Label;xmin;ymin;xmax;ymax", rows).replace("\n", "\r\n")
    root = folder(tmp_path, table, [f"p{i}.png" for i in range(6)], encoding="utf-16")
    source = open_source(root, truth="label")
    assert source.read(0).boxes.tolist() == [[1.5, 2.0, 7.25, 6.0]]
    assert not source.problems


def test_a_list_of_images_and_masks_under_other_names(tmp_path):
    for i in range(6):
        save(tmp_path / "a" / f"{i}.png", image(i))
        save(tmp_path / "b" / f"{i}.png", image(i, channels=1) % 3)
    rows = [f"a/{i}.png,b/{i}.png,{'xy'[i % 2]}" for i in range(6)]
    (tmp_path / "list.csv").write_text(lines("image,mask,remark", rows))
    assert truth_in(tmp_path / "list.csv") == "masks"
    rows = [f"{i},a/{i}.png,b/{i}.png" for i in range(6)]
    (tmp_path / "list.csv").write_text(lines(",image_path,mask_path", rows))
    source = manifest(tmp_path / "list.csv")
    assert [r.labelled for r in source.records] == [True] * 6
    assert source.notes == []
    (tmp_path / "list.csv").write_text(lines(",scan,truth", rows))
    with pytest.raises(InputError, match="the header must name image; found , scan, truth"):
        manifest(tmp_path / "list.csv")
    columns = {"file": "scan", "mask": "truth"}
    assert manifest(tmp_path / "list.csv", columns=columns).layout == source.layout
    with pytest.raises(InputError, match=r"columns holds 'label'; known: file, mask, split, group"):
        manifest(tmp_path / "list.csv", columns={"label": "truth"})


# ---------------------------------------------------------------- zeros before numbers


@pytest.mark.parametrize(
    ("cell", "file", "separator"), [("7", "007.png", ","), ("7.jpg", "0007.jpg", ";")]
)
def test_zeros_that_a_spreadsheet_dropped_are_named_with_a_command(
    tmp_path, monkeypatch, cell, file, separator
):
    names = [file.replace("7", str(i)) for i in range(5, 9)]
    cells = [cell.replace("7", str(i)) for i in range(5, 9)]
    rows = [separator.join((f"kind {i % 2}", cells[i], "3")) for i in range(4)]
    folder(tmp_path, lines(separator.join(("label", "id", "age")), rows), names, name="t.csv")
    problems = label_table(tmp_path / "t.csv").problems
    missing = [issue for issue in problems if "no such file" in issue.problem]
    assert len(missing) == 4
    assert f"The file is {names[0]}: zeros before numbers differ" in missing[0].advice
    monkeypatch.chdir(tmp_path)
    exec(missing[0].advice.split('python -c "')[1].split('"')[0], {})
    source = label_table(tmp_path / "new_t.csv")
    assert not source.problems
    assert sorted(record.label for record in source.records) == ["kind 0"] * 2 + ["kind 1"] * 2


def test_zeros_of_names_in_other_tables(tmp_path):
    """Within a name, beyond the files' own, and in a table of masks."""
    folder(
        tmp_path / "a", lines("file,label", ["img_7,x", "img_8,y"]), ["img_07.png", "img_08.png"]
    )
    issue = next(i for i in label_table(tmp_path / "a" / "table.csv").problems if "7" in i.place)
    assert "The file is img_07.png" in issue.advice
    assert "Write the names as the files have them" in issue.advice
    folder(tmp_path / "b", lines("file,label", ["007,x", "008,y"]), ["7.png", "8.png"])
    issue = label_table(tmp_path / "b" / "table.csv").problems[0]
    assert "lstrip('0')" in issue.advice
    folder(tmp_path / "c", lines("image,mask", ["i/7.png,m/7.png"]), ["i/007.png", "m/007.png"])
    (error,) = scan(manifest(tmp_path / "c" / "table.csv")).errors[:1]
    assert "007.png lies there: write the name as the file has it" in error.advice


# ---------------------------------------------------------------- a table in each part


def parts(root, header, rows, *, folders=("train", "valid"), name="_classes.csv", images=""):
    """A table of `rows` in each part, and the images it names."""
    for first, part in enumerate(folders):
        for i, row in enumerate(rows):
            save(root / part / images / row.split(",")[0], image(100 * first + i))
        (root / part / name).write_text(lines(header, rows))
    return root


def test_one_hot_tables_in_the_folders_of_parts(tmp_path):
    root = parts(tmp_path, "filename, cat, dog", ["a.jpg, 1, 0", "b.jpg, 0, 1", "c.jpg, 1, 0"])
    save(root / "test" / "z.jpg", image(7))
    for truth in ("label", None):
        source = open_source(root, truth=truth)
        found = [(r.part, r.split, r.label) for r in source.records]
        assert found[:3] == [("train", "train", label) for label in ("cat", "dog", "cat")]
        assert found[3:6] == [("val", "val", label) for label in ("cat", "dog", "cat")]
        assert found[6:] == [("test", "test", None)]
    assert source.class_names == ["cat", "dog"]
    assert source.records[0].place == "line 2 of train/_classes.csv (a.jpg)"
    assert source.files(4)[0] == root / "valid" / "b.jpg"
    assert "valid/_classes.csv: 3 images of 2 classes" in source.layout
    with pytest.raises(OtherTruth, match=r"train/_classes.csv and valid/_classes.csv with a col"):
        open_source(root, truth="masks")


@pytest.mark.parametrize("images", ["", "images"])
def test_tables_of_labels_in_the_folders_of_parts(tmp_path, images):
    """With boxes, other names, and images in a folder of the part; no validation part."""
    rows = ["p1.png,1,1,7,5,ripe", "p2.png,2,1,8,6,unripe"]
    root = parts(tmp_path, "file,xmin,ymin,xmax,ymax,label", rows, folders=("training", "testing"),
                 name="labels.csv", images=images)  # fmt: skip
    source = open_source(root, truth="label")
    assert [(r.split, r.label) for r in source.records] == [
        *((None, "ripe"), (None, "unripe"), ("test", "ripe"), ("test", "unripe"))
    ]
    sample = source.read(1)
    assert sample.boxes.tolist() == [[2, 1, 8, 6]]
    assert not scan(source).errors


def test_faults_of_tables_in_parts_are_named_with_their_part(tmp_path):
    root = parts(tmp_path / "a", "filename,cat,dog", ["a.jpg,1,0", "b.jpg,0,1"])
    (root / "valid" / "b.jpg").unlink()
    text = "\n".join(map(str, open_source(root, truth="label").problems))
    assert "line 3 of valid/_classes.csv (b.jpg): no such file" in text
    (root / "valid" / "_classes.csv").unlink()
    with pytest.raises(InputError, match="valid holds no table of labels"):
        open_source(root, truth="label")
    with pytest.raises(InputError, match="valid holds no table of labels"):
        label_tables(root)
    several = parts(tmp_path / "b", "filename,cat,dog,cow", ["a.jpg,1,1,0", "b.jpg,0,1,0"])
    with pytest.raises(InputError, match=r"train/_classes.csv: 1 of 2 rows give an image several"):
        open_source(several, truth="label")


def test_tables_beside_masks_in_parts_are_no_labels(tmp_path):
    for first, part in enumerate(("train", "val")):
        for i in range(3):
            save(tmp_path / part / "images" / f"{i}.png", image(i + 10 * first))
            save(tmp_path / part / "masks" / f"{i}.png", mask(i + 10 * first))
        rows = [f"{i}.png,site {i % 2}" for i in range(3)]
        (tmp_path / part / "meta.csv").write_text(lines("image,label", rows))
    assert open_source(tmp_path, truth=None).name == "folder"
