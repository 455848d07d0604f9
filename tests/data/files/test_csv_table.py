"""CSV files as spreadsheets, pandas and people save them are read as what they say."""

import csv
import io

import numpy as np
import pytest

from tfvision.data.files.csv_table import read_cells, read_table, to_number
from tfvision.errors import InputError

WORDS = ["a", "NA", "01", "Größe", "a b", "12,5", "3.5", "", "x;y", "it's", 'say "no"', "ü|v", "-1"]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16"]


def written(table, *, delimiter, end, encoding, quote_all, trailing, spaces, sep_line) -> bytes:
    """A table in the dialect of a spreadsheet."""
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end, quoting=quoting)
    pad = " " if spaces and not quote_all else ""
    writer.writerows([[pad + cell + pad for cell in row] for row in table])
    head = f"sep={delimiter}{end}" if sep_line else ""
    return (head + text.getvalue() + end * trailing).encode(encoding)


@pytest.mark.parametrize("seed", range(100))
def test_a_table_in_any_dialect_is_read_back(tmp_path, seed):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(2, 6))
    table = [[f"column {i}" for i in range(width)]]
    for _ in range(int(rng.integers(3, 12))):
        row = [str(rng.choice(WORDS)) for _ in range(width)]
        table.append(row if any(row) else ["x", *row[1:]])
    dialect = {
        "delimiter": str(rng.choice(list(",;\t|"))),
        "end": str(rng.choice(["\n", "\r\n", "\r"])),
        "encoding": str(rng.choice(ENCODINGS)),
        "quote_all": bool(rng.random() < 0.3),
        "trailing": int(rng.integers(0, 3)),
        "spaces": bool(rng.random() < 0.3),
        "sep_line": bool(rng.random() < 0.2),
    }
    path = tmp_path / "table.csv"
    path.write_bytes(written(table, **dialect))
    assert [cells for _, cells in read_cells(path)] == table, dialect


def test_utf_16_without_its_mark_and_the_head_of_a_long_file(tmp_path):
    path = tmp_path / "t.csv"
    for encoding in ("utf-16-le", "utf-16-be"):
        path.write_bytes("file;label\na;ä\n".encode(encoding))
        assert [cells for _, cells in read_cells(path)] == [["file", "label"], ["a", "ä"]]
    path.write_text("file,runs\n" + "".join(f"{i}.png,{'1 2 ' * 500}\n" for i in range(400)))
    head, whole = read_cells(path, head=True), read_cells(path)
    assert head == whole[: len(head)]
    assert 1 < len(head) < len(whole)
    path.write_text("file,runs\na.png," + "1 2 " * 100_000 + "\n")  # above csv's own limit
    assert len(read_cells(path)[1][1][1]) == 399_999


def test_lines_keep_their_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('sep=;\nfile;label\n\n"a\nb";x\n;;\nc;y\n')
    assert [line for line, _ in read_cells(path)] == [2, 4, 7]


@pytest.mark.parametrize(
    ("text", "extra"),
    [
        (",image,mask\n0,a,b\n1,c,d\n", []),  # pandas' index
        ("Unnamed: 0,image,mask\n5,a,b\n3,c,d\n", []),
        ("image,mask,\na,b,\nc,d,\n", []),  # a separator at the end of each line
        ("image,mask,note\na,b,x\nc,d,y\n", ["note"]),
        ("image,mask,\na,b,x\nc,d,x\n", ["column 3"]),
    ],
)
def test_columns_that_are_not_used_have_a_name(tmp_path, text, extra):
    path = tmp_path / "t.csv"
    path.write_text(text)
    rows, names = read_table(path, required=["image"], optional=["mask"])
    assert names == extra
    assert [row.values["image"] for row in rows] == ["a", "c"]
    assert all(name in rows[0].values for name in names)


def test_a_ragged_row_is_named_whatever_the_separator(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("image;mask\na;b\nc;d;e\n")
    with pytest.raises(InputError, match="line 3: 3 cells, the header has 2"):
        read_table(path, required=["image"], optional=["mask"])


def test_decimal_commas():
    numbers = ["12,5", "12.5", "-0,25", ",5", "7", "1e3", "1,5e2"]
    assert [to_number(n) for n in numbers] == [12.5, 12.5, -0.25, 0.5, 7, 1000, 150]
    for no in ("", "a", "1,2,3", "1.234,5", "nan", "inf", "1 2"):
        assert to_number(no) is None
