"""`run_length_table`: masks that a table holds as run lengths, whatever its columns are called."""

import numpy as np
import pytest

from tests.data.files.test_run_length import ellipses, encoded
from tests.data.make import image, save
from tfvision.data.scan.scan import scan
from tfvision.data.sources.recognise import OtherTruth, open_source
from tfvision.data.sources.tables.run_length_table import run_length_table
from tfvision.errors import InputError

SHAPES = [(30, 52), (41, 34), (52, 40), (33, 47), (40, 64)]


def planted(root, *, order, base, classes=(), joined=False, shapes=SHAPES, touching=True):
    """Five images and a table of their masks; returns the masks (H, W) of class numbers."""
    rng = np.random.default_rng(7)
    masks, rows = {}, []
    for i, shape in enumerate(shapes):
        save(root / "train_images" / f"im{i}.png", image(i, *shape))
        truth = np.zeros(shape, np.int32)
        for number, name in enumerate(classes or ("",), 1):
            part = ellipses(rng, shape, touching=touching) & (truth == 0)
            part &= i != 3  # one image without objects
            truth[part] = number
            text = encoded(part, order=order, base=base)
            file = f"im{i}.png_{name}" if joined else f"im{i}.png,{name}" if name else f"im{i}.png"
            half = len(text.split()) // 4 * 2
            cut = [" ".join(text.split()[:half]), " ".join(text.split()[half:])]
            rows += [f"{file},{runs}" for runs in (cut if half else [text])]
        masks[f"im{i}"] = truth
    header = "ImageId_ClassId" if joined else "id,class" if classes else "ImageId"
    (root / "train.csv").write_text("\n".join([f"{header},EncodedPixels", *rows]) + "\n")
    return masks


@pytest.mark.parametrize(("order", "base"), [("columns", 1), ("rows", 0), ("rows", 1)])
@pytest.mark.parametrize(
    ("classes", "joined"), [((), False), (("3", "10"), True), (("bowel", "stomach"), False)]
)
def test_what_was_planted_is_read(tmp_path, order, base, classes, joined):
    masks = planted(tmp_path, order=order, base=base, classes=classes, joined=joined)
    source = open_source(tmp_path, truth="masks")
    assert source.name == "run_length_table"
    assert source.class_names == ["background", *(classes or ["object"])]
    for index, record in enumerate(source.records):
        np.testing.assert_array_equal(source.read(index).mask, masks[record.id])
    way = {"columns": "down the columns", "rows": "along the rows"}[order]
    assert f"counted {way} (found from the masks), the first pixel is {base}" in source.layout
    assert "; 1 of them without an object" in source.layout
    assert not scan(source).errors
    with pytest.raises(OtherTruth, match="masks as run lengths"):
        open_source(tmp_path / "train.csv", truth="label")


def test_square_images_do_not_show_the_order_and_both_are_named(tmp_path):
    masks = planted(tmp_path, order="rows", base=1, shapes=[(40, 40)] * 5)
    with pytest.raises(
        InputError, match=r"order=columns .*or --set data.source.order=rows"
    ) as error:
        open_source(tmp_path, truth="masks")
    assert "the images are square" in str(error.value)
    source = open_source(tmp_path, truth="masks", order="rows", base=1)
    np.testing.assert_array_equal(source.read(0).mask, masks["im0"])
    assert "along the rows (declared), the first pixel is 1 (declared)" in source.layout


def test_objects_inside_do_not_show_the_base_and_both_are_named(tmp_path):
    planted(tmp_path, order="columns", base=0, touching=False)
    with pytest.raises(InputError, match=r"base=1 .*or --set data.source.base=0") as error:
        run_length_table(tmp_path)
    assert "data.source.order" not in str(error.value)
    for wrong, message in [({"order": "c"}, "columns or rows"), ({"base": 2}, "must be 0 or 1")]:
        with pytest.raises(InputError, match=message):
            run_length_table(tmp_path, **wrong)


def test_wrong_rows_are_errors_of_their_line(tmp_path):
    planted(tmp_path, order="columns", base=1)
    with (tmp_path / "train.csv").open("a") as file:
        file.write("absent.png,1 2\nim1.png,1 x\nim2.png,2079 40\n")
    save(tmp_path / "train_images" / "new.png", image(9))
    save(tmp_path / "test_images" / "t.png", image(10))
    source = run_length_table(tmp_path, order="columns", base=1)
    text = "\n".join(map(str, scan(source).issues))
    assert "(absent.png): no such file" in text
    assert "(im1.png): '1 x' is no run lengths" in text
    assert "the run 2079 40 lies outside the image of 52 x 40 = 2080 pixels" in text
    assert "1 image has no row (train_images/new.png, ...): left out" in text
    assert [(r.id, r.labelled) for r in source.records if r.split == "test"] == [
        ("test_images/t", False)
    ]


def test_overlaps_sizes_and_other_columns_are_said(tmp_path):
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", image(1, 8, 10))
    (tmp_path / "t.csv").write_text(
        "id,cell_type,annotation,height,width,score\n"
        "a,x,1 20 30 4 50 3,8,10,0.5\na,y,11 4 21 4 41 2,8,10,0.5\nb,x,-1,9,10,1\n"
    )
    source = run_length_table(tmp_path / "t.csv", order="columns", base=1)
    assert source.notes == [
        "columns not used: score",
        "classes overlap in 1 image: the later row is drawn over the earlier one",
    ]
    mask = source.read(0).mask
    assert mask[:, 0].tolist() == [1] * 8
    assert mask.T.reshape(-1)[10:14].tolist() == [2] * 4
    assert "the mask is of an image of 9 x 10 (height x width), this one has 8 x 10" in "".join(
        map(str, scan(source).errors)
    )


def test_the_stamp_follows_runs_order_and_base(tmp_path):
    planted(tmp_path, order="columns", base=1)
    stamps = {
        run_length_table(tmp_path, order=order, base=base).stamp(0)
        for order in ("columns", "rows")
        for base in (1,)
    }
    table = tmp_path / "train.csv"
    table.write_text(table.read_text() + "im0.png,1 2\n")
    stamps.add(run_length_table(tmp_path, order="columns", base=1).stamp(0))
    assert len(stamps) == 3
