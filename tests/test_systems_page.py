"""docs/systems.md: its rows are whole, and every name on it exists."""

import csv
import re

import pytest

from tests.support.named_tests import ROOT, is_there, named_tests
from tfvision.config import check_names, load_config
from tfvision.errors import InputError
from tfvision.runs.set_up import check_arguments
from tfvision.studies.study.ladder_file import read_ladder
from tfvision.tasks.facts import facts_of, task_names

PAGE = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| [0-4C]\.\d\d \|", line)
]
NUMBER = {"0": 29, "1": 28, "2": 24, "3": 20, "4": 24, "C": 13}  # of each system's rows
CODE = re.findall(r"`([^`\n]+)`", PAGE)
PATH = r"(?:tfvision|configs|docs|experiments|tests|benchmarks)/[\w/.]*|\w+\.txt|\w+\.py|Dockerfile"


def test_rows_of_a_system_are_all_there_or_none():
    ids = [row[0] for row in ROWS]
    systems = dict.fromkeys(row[0] for row in ids)
    assert ids == [f"{s}.{i:02}" for s in systems for i in range(1, NUMBER[s] + 1)]
    assert {"2", "4", "C"} <= set(systems)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_row_says_what_is_asked_what_to_type_and_what_shows_it(row):
    _, asked, answer, shown = row  # a `|` too many or too few ends here
    assert 0 < len(asked.split()) <= 12
    assert answer
    assert named_tests(shown) or "experiments/" in shown or answer.startswith("**Not done:**")


def test_files_and_tests_exist():
    assert [test for test in named_tests(PAGE) if not is_there(*test)] == []
    paths = {name for name in CODE if re.fullmatch(PATH, name)}
    links = {name for name in re.findall(r"\]\(([^)#]+)", PAGE) if "://" not in name}
    assert {name for name in paths if not (ROOT / name).exists()} == set()
    assert {name for name in links if not (ROOT / "docs" / name).exists()} == set()


def fits(setting: str) -> bool:
    """Whether a config of the repository takes the setting."""
    for task in map(facts_of, task_names()):
        for path in sorted((ROOT / "configs" / task.folder).glob("*.yaml")):
            try:
                config = load_config(task.schema(), path, [setting])
                check_names(config, task.all_tables())
                check_arguments(config)
            except InputError:
                continue
            return True
    return False


def test_settings_are_taken_and_architectures_have_a_config():
    parts = [part.strip(" '") for code in CODE for part in code.split("--set ")]
    keys = r"(data|model|train)\.\w[\w.]*=.+|(loss|metrics|postprocess)=.+"
    settings = {part for part in parts if re.fullmatch(keys, part)}
    assert len(settings) > 30
    assert {setting for setting in settings if not fits(setting)} == set()
    named = set(re.findall(r"--arch ([a-z]\w*)", PAGE))
    assert named <= {path.stem for path in (ROOT / "configs").rglob("*.yaml")}


@pytest.mark.parametrize(
    ("name", "tables", "reported"),
    [
        (
            "cells",
            ["cells", "cells_longer"],
            {
                "baseline": 0.25,
                "cleaning": 0.29,
                "patches": 0.32,
                "transfer": 0.39,
                "unfreezing": 0.4231,
                "patch_filter": 0.4284,
                "longer": None,
            },
        ),
        (
            "mars",
            ["mars_street"],
            {
                "unet": 0.4098,
                "unetpp": 0.4779,
                "unetpp_flips": 0.4955,
                "unetpp_weighted": 0.50,
                "unetpp_dice": 0.49,
                "unetpp_mixture": 0.50,
                "pan": 0.51,
                "pan_plus": 0.53,
                "double_unet": 0.52,
                "gated_unet": 0.54,
                "specialists": 0.48,
                "unet_replaced": 0.61,
                "unet_replaced_longer": 0.70,
            },
        ),
        ("mars", ["mars_tiles"], None),
        (
            "blood_cells",
            ["blood_cells"],
            {"faster_rcnn": 0.7415, "retinanet": 0.016, "ssd": 0.3981},
        ),
    ],
)
def test_ladders_have_the_scores_of_the_reports(name, tables, reported):
    rungs = read_ladder(ROOT / "experiments" / f"{name}.yaml").rungs
    found = {rung.name: rung.reported for rung in rungs}
    assert found == (reported or found)
    scored = {}
    for table in tables:
        with open(ROOT / "experiments" / f"{table}.csv", newline="") as file:
            scored |= {row["name"]: row["reported"] for row in csv.DictReader(file)}
    assert {k: float(v) if v else None for k, v in scored.items()} == found
