"""Sets of boxes drawn at random are read as they were made, or refused with the fault they have."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.support.random_boxes import TWO_WAYS, BoxSet, box_sets
from tfvision.data.audit.boxes_table import boxes_csv
from tfvision.data.scan.scan import scan
from tfvision.data.sources.recognise import open_source
from tfvision.data.sources.tables.unlabelled import check_has_truth
from tfvision.errors import InputError

OPTIONS = {
    "deadline": None,
    "derandomize": True,  # the same sets each time; the slow test draws others, and more
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


def check(made: BoxSet) -> None:
    """The right boxes, or an error that names the fault; never other boxes."""
    root = Path(tempfile.mkdtemp(prefix="boxes_"))
    try:
        made.write(root)
        said, source = [], None
        try:
            source = open_source(root, truth="boxes")
            found = scan(source, cache=False)
            said += [source.layout, *map(str, found.issues), *found.notes]
            check_has_truth(source)
        except InputError as error:
            source = None
            said.append(str(error))
        text = "\n".join(said)
        if made.fault:
            assert source is None or not made.refused, f"read in spite of its fault:\n{text}"
            pattern = f"{made.fault}|{TWO_WAYS}" if made.may_ask else made.fault
            assert re.search(pattern, text), f"the fault is not named:\n{text}"
        elif source is None:
            assert made.may_ask, f"refused, nothing is wrong: {text}"
            assert TWO_WAYS in text
        if source is not None:
            check_reading(made, root, source, found)
            if not made.fault:
                assert not found.errors, text
    finally:
        shutil.rmtree(root)


def check_reading(made: BoxSet, root: Path, source, found) -> None:
    """Every image has the boxes that were made for it, and the split of its folder."""
    read = {}
    for index, record in enumerate(source.records):
        sample = source.read(index)
        labels = [source.class_names[number] for number in sample.classes]
        rows = zip(sample.boxes.tolist(), labels, strict=True)
        name = source.files(index)[0].relative_to(root / "images").as_posix()
        read[name] = sorted((*sides, label) for sides, label in rows)
        part = name.split("/")[0] if made.parts else None
        assert record.split == part, f"{record}"
    assert read == made.expected(), source.layout
    listed = boxes_csv(source, found).splitlines()[1:]
    assert sum("left out" not in line for line in listed) == sum(map(len, read.values()))
    written = (made.written.get(name, boxes) for name, boxes in made.boxes.items()
               if name not in made.absent)  # fmt: skip
    assert len(listed) == sum(map(len, written))


@settings(max_examples=60, **OPTIONS)
@given(made=box_sets())
def test_sixty_sets(made):
    check(made)


@pytest.mark.slow
@settings(max_examples=1000, **{**OPTIONS, "derandomize": False, "print_blob": True})
@given(made=box_sets())
def test_a_thousand_sets(made):
    check(made)
