"""Data sets drawn at random are read as they were made, or refused with the fault they have."""

import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.random_sets import RandomSet, random_sets
from tfvision.data.scan.scan import scan
from tfvision.data.sources.recognise import open_source
from tfvision.errors import InputError

OPTIONS = {
    "deadline": None,
    "derandomize": True,  # the same sets each time; the slow test draws others, and more
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


def check(made: RandomSet, truth: str | None) -> None:
    """The right reading, or an error that names the fault; never another reading."""
    root = Path(tempfile.mkdtemp(prefix="set_"))
    try:
        made.write(root)
        said, source = [], None
        try:
            source = open_source(root, truth=truth)
            found = scan(source, cache=False)
            said += [str(issue) for issue in found.issues] + found.notes
        except InputError as error:
            said.append(str(error))
            source = None
        assert made.fault or source is not None, f"refused, nothing is wrong: {said}"
        if made.fault:
            text = "\n".join(said)
            assert re.search(made.fault, text), f"the fault is not named:\n{text}"
        if source is not None:
            check_reading(made, root, source, stopped=bool(found.errors))
    finally:
        shutil.rmtree(root)


def check_reading(made: RandomSet, root: Path, source, *, stopped: bool) -> None:
    """Every image has the mask or label that was made for it."""
    assert source.truth == made.truth, source.layout
    read = {}
    for index in range(len(source)):
        image, mask = source.files(index)
        read[image.relative_to(root).as_posix()] = index, mask
    assert read.keys() <= made.images.keys()
    for path, (index, mask) in read.items():
        record = source.records[index]
        if made.truth == "label":
            assert record.label == made.labels[path]
        else:
            assert record.labelled
            assert mask.relative_to(root).as_posix() == made.masks[path][0], source.layout
            if not stopped:
                np.testing.assert_array_equal(source.read(index).mask, made.masks[path][1])
        parts = [part for part in ("train", "val") if f"{part}/" in path.lower()]
        assert record.split == (parts[0] if parts else None)
    if not made.fault:
        assert read.keys() == made.images.keys()
        assert not stopped


@settings(max_examples=100, **OPTIONS)
@given(made=random_sets(), asked=st.booleans())
def test_a_hundred_sets(made, asked):
    check(made, made.truth if asked else None)


@pytest.mark.slow
@settings(max_examples=1000, **{**OPTIONS, "derandomize": False, "print_blob": True})
@given(made=random_sets(), asked=st.booleans())
def test_a_thousand_sets(made, asked):
    check(made, made.truth if asked else None)
