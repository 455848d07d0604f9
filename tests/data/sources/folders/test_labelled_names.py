"""`labelled_names`: labels within file names, read when declared, proposed when they show."""

import pytest

from tests.data.make import image, save
from tfvision.data.sources.folders.labelled_names import labelled_names, propose_pattern
from tfvision.data.sources.recognise import open_source
from tfvision.data.sources.tables.unlabelled import check_has_truth
from tfvision.errors import InputError


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("{kind}.{i}.jpg", ["cat", "dog"]),
        ("{kind}_{i}.jpg", ["Abyssinian", "great_pyrenees", "pug"]),
        ("{kind}-{i:03d}.png", ["dog", "cat"]),
        ("{kind} ({i}).png".replace("(", "").replace(")", ""), ["leaf", "stem"]),
        ("{i:04d}_{kind}.png", ["ripe", "raw"]),
    ],
)
def test_a_pattern_is_proposed_and_what_is_typed_is_read(tmp_path, name, kinds):
    expected = {}
    for i in range(12):
        kind = kinds[i % len(kinds)]
        path = save(tmp_path / name.format(kind=kind, i=i), image(i))
        expected[path.stem] = kind
    source = open_source(tmp_path, truth="label")
    with pytest.raises(InputError, match=r"The names look like labels: .*label_pattern='") as error:
        check_has_truth(source)
    pattern = str(error.value).split("label_pattern='")[1].split("'")[0]
    read = open_source(tmp_path, truth="label", label_pattern=pattern)
    assert read.name == "labelled_names"
    assert {r.id: r.label for r in read.records} == expected
    assert read.class_names == sorted(kinds)
    assert f"{sorted(kinds)[0]} ({12 // len(kinds)})" in read.layout


@pytest.mark.parametrize(
    "names",
    [
        [f"IMG_{i:04d}" for i in range(30)],
        [f"{i:05d}" for i in range(30)],
        [f"photo of {'abcdefghij'[i % 10]}x{i}" for i in range(30)],  # ten words, three each
        [f"cat_{i}" for i in range(20)] + ["readme"],
        [f"p{i % 9}_slice{i}" for i in range(27)],
        [],
    ],
)
def test_nothing_is_proposed_where_names_may_be_no_labels(names):
    assert propose_pattern(names) is None


def test_parts_and_names_without_label(tmp_path):
    for i in range(8):
        save(tmp_path / "train" / f"{'ab'[i % 2]}.{i}.png", image(i))
    save(tmp_path / "train" / "x.png", image(20))
    save(tmp_path / "test" / "1.png", image(21))
    source = labelled_names(tmp_path, label_pattern=r"^([a-z])\.\d")
    assert [(r.split, r.labelled) for r in source.records if r.split] == [("test", False)]
    assert "train/x.png: label_pattern" in str(source.problems[0])


@pytest.mark.parametrize(
    ("pattern", "message"),
    [("(", "no regular expression"), ("a.*", "one pair of brackets"), ("^(z)", "in none of 1 nam")],
)
def test_patterns_that_do_not_serve(tmp_path, pattern, message):
    save(tmp_path / "a.1.png", image(1))
    with pytest.raises(InputError, match=message):
        labelled_names(tmp_path, label_pattern=pattern)
