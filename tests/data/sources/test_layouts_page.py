"""docs/layouts.md: every tree on that page is built, and read as the page says.

The page is a list of layouts. Each has a tree of file names, files whose content matters, and
what is read:

    ```tree
    images/
      001.jpg ... 005.jpg        (five files, numbered as written)
    labels/                # masks
      001.png ... 005.png
    labels.csv
    ```
    ```file labels.csv
    file,label
    ```
    ```npz data.npz
    images (5, 24, 32, 3)        (arrays of an npz file; all but images hold 0, 1, 0, 1, ...)
    ```
    ```read
    path: labels.csv             (what --data names below the folder; left out: the folder)
    set: label_pattern=^(.)_     (an option of the source; left out: none)
    source: folder
    truth: masks
    prints: data: 5 images with masks in images/ and labels/ (same names)
    ```

Indentation is depth. `# masks` behind a folder or file says that these image files are masks of
0 and 1, `# masks in colours` that they are black and dark red; all other image files are noise in
colour. `prints` is the layout's line; the data lie in a folder called `data`. A file that
has no `file` block and is no image holds one letter. To add a layout, add its blocks to the page.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.data.make import image, save
from tfvision.data.files.tree import is_image
from tfvision.data.sources.recognise import open_source

COLOURS = np.array([[0, 0, 0], [128, 0, 0]], np.uint8)
PAGE = Path(__file__).resolve().parents[3] / "docs" / "layouts.md"


@dataclass
class Example:
    """One layout of the page."""

    title: str
    tree: str
    files: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, str] = field(default_factory=dict)
    read: dict[str, str] = field(default_factory=dict)


def examples(text: str) -> list[Example]:
    """The layouts of a page, in order."""
    found: list[Example] = []
    title = ""
    for heading, fence, argument, body in re.findall(
        r"^#+ ([^\n]*)$|^```(tree|file|npz|read)[ ]?([^\n]*)\n(.*?)^```$", text, flags=re.M | re.S
    ):
        title = heading or title
        if fence == "tree":
            found.append(Example(title, body))
        elif fence == "file":
            found[-1].files[argument] = body
        elif fence == "npz":
            found[-1].arrays[argument] = body
        elif fence == "read":
            pairs = (line.split(": ", 1) for line in body.splitlines())
            found[-1].read = dict(pairs)
    return found


def paths(tree: str) -> list[tuple[str, str]]:
    """Path of each file of a tree, and what it is: "masks", "masks in colours" or ""."""
    found: list[tuple[str, str]] = []
    above: list[tuple[int, str, str]] = []
    for line in tree.splitlines():
        name, _, comment = line.partition("#")
        depth, name = len(name) - len(name.lstrip()), name.strip()
        above = [step for step in above if step[0] < depth]
        of_folder = next((step[2] for step in above if step[2]), "")
        masks = comment.strip() if comment.strip().startswith("masks") else of_folder
        if name.endswith("/"):
            above.append((depth, name, masks))
            continue
        start = "".join(step[1] for step in above)
        found += [(start + one, masks) for one in numbered(name)]
    return found


def numbered(name: str) -> list[str]:
    """`a_01.png ... a_03.png` -> the three names."""
    first, _, last = name.partition(" ... ")
    if not last:
        return [first]
    same = next(i for i in range(len(first)) if first[i] != last[i])
    begin = re.search(r"\d*$", first[:same]).start()
    low, high = (re.match(r"\d+", text[begin:]).group() for text in (first, last))
    rest = first[begin + len(low) :]
    return [f"{first[:begin]}{n:0{len(low)}}{rest}" for n in range(int(low), int(high) + 1)]


def build(example: Example, root: Path) -> Path:
    for seed, (path, masks) in enumerate(paths(example.tree)):
        file = root / path
        if is_image(path):
            labels = np.zeros((24, 32), np.uint8)
            labels[4 + seed % 5 : 16, 6:20] = 1
            pixels = COLOURS[labels] if masks == "masks in colours" else labels
            save(file, pixels if masks else image(seed, 24, 32))
        elif path in example.arrays:
            file.parent.mkdir(parents=True, exist_ok=True)
            np.savez(file, **arrays(example.arrays[path]))
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(example.files.get(path, "x"))
    return root / example.read.get("path", "")


def arrays(text: str) -> dict[str, np.ndarray]:
    """`name (5, 24, 32)` a line -> the arrays: pictures of noise, or 0, 1, 0, 1, ..."""
    found = {}
    for seed, line in enumerate(text.splitlines()):
        name, _, shape = line.partition(" ")
        size = tuple(int(n) for n in re.findall(r"\d+", shape))
        noise = np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)
        pictures = len(size) == 4
        found[name] = noise if pictures else np.resize(np.arange(2, dtype=np.uint8), size)
    return found


EXAMPLES = examples(PAGE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.title)
def test_each_tree_is_read_as_the_page_says(example, tmp_path):
    assert {"source", "truth", "prints"} <= example.read.keys() <= {"path", "set", *FIELDS}
    options = [text.split("=", 1) for text in [example.read.get("set")] if text]
    source = open_source(build(example, tmp_path / "data"), truth=None, **dict(options))
    assert (source.name, source.truth) == (example.read["source"], example.read["truth"])
    assert source.layout == example.read["prints"]
    assert not [str(issue) for issue in source.problems if issue.severity == "error"]
    counts = re.findall(r"(\d+) images?|\((\d+), ", example.read["prints"])
    assert sum(int(files or rows) for files, rows in counts) == len(source)
    truths = [
        sum(truth is not None for truth in (sample.mask, sample.label, sample.boxes))
        for sample in map(source.read, range(len(source)))
    ]
    assert truths == [int(record.labelled) for record in source.records]


FIELDS = ("source", "truth", "prints")


def test_the_page_is_understood():
    assert len(EXAMPLES) > 15
    assert numbered("a_08.png ... a_11.png") == ["a_08.png", "a_09.png", "a_10.png", "a_11.png"]
    assert paths("a/  # masks\n  1.png\nb/\n  2.txt\n") == [("a/1.png", "masks"), ("b/2.txt", "")]


def test_the_page_on_data_lists_every_layout():
    table = (PAGE.parent / "data.md").read_text(encoding="utf-8")
    titles = dict.fromkeys(example.title for example in EXAMPLES)
    for title in titles.keys() - {"Images without truth"}:
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        assert f"| [{title}](layouts.md#{anchor}) | " in table
