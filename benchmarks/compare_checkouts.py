"""Do two checkouts do the same, as far as a user sees? For refactorings. Exit code 1 where not.

    python benchmarks/compare_checkouts.py OLD NEW [--work FOLDER] [--only NAME ...] [--keep]

OLD and NEW are checkouts of this repository. Both are run by this very interpreter and by their
command lines alone, OLD first, on tiny data (checkout_data.py, checkout_scenarios.py). Then all
files are compared (checkout_differences.py): what was printed, exit codes, run folders, tables,
predictions, exports, submissions. NEW's commands on finished runs read the folders that OLD wrote.

--only takes names or patterns ('seg_*'); what these stand on is run as well. --keep leaves FOLDER;
with it as --work the next time, scenarios of an unchanged OLD are not run again. --jobs 2 runs two
scenarios at once: the results are the same, for training on the CPU is repeatable to the bit.

First run against commit 3d4d928, equal to itself in all 45 scenarios. A pass of one checkout takes
600 to 800 s of one core: about 6 minutes on two idle ones with --jobs 2 (reckoned; with other work
on the machine it took 20), about twice that without.
"""

import argparse
import fnmatch
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from benchmarks.checkout_data import write_data
from benchmarks.checkout_differences import Found, Rules, compare_folders
from benchmarks.checkout_scenarios import SCENARIOS, Scenario

# What is not compared: keys of JSON and columns of CSV, by their whole name.
EXCLUDED_KEYS = {
    r"(\w+_)?seconds|elapsed|seconds_per_step": "times",
    r"\w+_per_second": "speeds",
    "peak_memory_bytes": "memory",
    "tfvision|machine|system|date": "versions, host, dates",
    "bytes|sha256": "sizes and sums of files that hold a time; their contents are compared",
    "max_difference": "of exports: noise",
    "shared_object_id": "an address in memory, in model.keras",
}
# What is replaced in texts before they are compared: files, pattern, by what. Of HTML the texts
# between the tags stand on lines of their own.
EXCLUDED_TEXTS = [
    ("*", r"\b(Dealt|dealt)\b", "assigned"),  # words that were replaced
    ("*", r"\bdeals\b", "assigns"),
    ("*", r"There is one deal of folds for all rungs and seeds: the luck of dealing", "LUCK"),
    ("*", r"All rungs and seeds share one assignment of folds: the luck of it", "LUCK"),
    ("*", r"\b(tells the class|gives the class away)\b", "predicts the class"),
    ("*", r"found nothing to complain about", "found no problem"),
    ("said/*", r", attention nested over \d+ folds", ""),
    ("*", r"large differences can be told", "large differences can be detected"),
    ("*", r"are held for the faulty ones; where none has it, the audit cannot tell", "SUSPECTED"),
    (
        "*",
        r"are suspected: probably faulty. Where none has one, the audit is undecided",
        "SUSPECTED",
    ),
    ("*", r"nor do colours and texture tell", "colours and texture do not decide either"),
    ("*", r"wants to be looked at, a note is in order", "needs a look, a note is for information"),
    (
        "*",
        r"which of them it belongs to cannot be told",
        "which of them it belongs to is undecided",
    ),
    ("*", r"\d[\d,.]* images/s", "N images/s"),
    ("*", r"\b(\d+ min )?\d+(\.\d+)? s\b|\b(\d+ h )?\d+ min\b", "N s"),
    ("*", r"\b\d[\d,]*(\.\d+)? ([kKMG]i?B|bytes)\b", "N bytes"),
    ("*", r"largest difference [\d.e+-]+", "largest difference N"),
    ("*", r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?", "DATE"),
    ("*/report.html", r"(images a second\n+)\d+", r"\1N"),
    ("*/report.html", r"(\n[\d\u202f]+\n+0\.\d{3}\n+)[\d\u202f]+(?=\n)", r"\1N"),  # of each depth
    ("*/ladder.html", r"(\n[\d,]+\n+)\d+\.\d(?=\n)", r"\1N"),  # minutes behind parameters
    ("*/ladder.md", r"(\| [\d,]+ \| )\d+\.\d \|", r"\1N |"),
]
# Files that need only be there.
EXCLUDED_FILES = {
    "*.lock": "empty",
    "*/saved_model.pb": "a graph in no fixed order; its labels are in export.json",
    "*/fingerprint.pb": "a sum of it",
    "*/variables.data-*": "it holds that graph; the weights are compared in model.weights.h5",
    "*/variables.index": "sums of it",
}
# Files of statistics, whose numbers may differ in the last digits.
STATISTICS = (
    *("*compare.json", "*ladder.*", "*folds.json", "*search.*"),
    *("*temperature.json", "*summary.json", "said/*.out"),  # a temperature is a root that is found
)
# What this refactoring drops by name: scenario, file, pattern of `path: value` or of a line: why.
ALLOWED = {
    ("*", "*/state.json", r"^loop\.epoch_terms: "): "the terms of the loss are logged by name",
    ("cls_*", "*/export.json", r"^: the order"): "the task stands first",
    (
        "help",
        "said/*",
        r"^(?!(\[\d+\]: ')?(usage:| +\[)).",
    ): "descriptions are reworded; usage lines are compared",
    ("seg_search", "said/*", r"^(rising|dice) +\d"): "the columns of the table are aligned",
    ("errors_of_task", "said/13.err", r"calibrate (is for|means)"): "one message for every option",
    (
        "cls_aggregate",
        "*",
        r"apparent_score|The rule is chosen|What is fitted",
    ): "no rule is fitted any more",
    ("cls_aggregate", "folds/aggregate.yaml", r"^# How pieces"): "no rule is fitted any more",
    ("cls_aggregate", "said/*", r"\battention\b"): "the learnt rule `attention` is dropped",
    ("cls_aggregate", "folds/aggregate.*", r"\battention\b"): "the same",
    ("cls_aggregate", "*", r"\.p_adjusted: |p times \d"): "corrected for one rule less",
    ("cls_aggregate", "said/*.err", r"^\w+ +\d\.\d{4} +[+-]"): "a row of the table with such a p",
}

MARK = ".compare_checkouts"  # in a folder of results


@dataclass(frozen=True)
class Side:
    """One checkout in its pass.

    Attributes:
        checkout: Its folder.
        out: For the folders of the scenarios.
        work: The folder of both passes and their data.
    """

    checkout: Path
    out: Path
    work: Path

    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("TFVISION", "TF_"))}
        return {
            **kept,
            "PYTHONPATH": str(self.checkout),
            "TFVISION_CACHE": str(self.out / "cache"),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "TF_ENABLE_ONEDNN_OPTS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "COLUMNS": "100",
        }


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old", metavar="OLD", type=Path, nargs="?")
    parser.add_argument("new", metavar="NEW", type=Path, nargs="?")
    parser.add_argument("--work", metavar="FOLDER", type=Path, help="default: a temporary one")
    parser.add_argument("--only", metavar="NAME", nargs="+", default=["*"])
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="scenarios at once (1)")
    parser.add_argument("--keep", action="store_true", help="leave the results in FOLDER")
    parser.add_argument("--list", action="store_true", help="the scenarios and their commands")
    asked = parser.parse_args(argv)
    for pattern in asked.only:
        if not fnmatch.filter([scenario.name for scenario in SCENARIOS], pattern):
            parser.error(f"--only {pattern}: no such scenario; --list shows them.")
    scenarios = _chosen(asked.only)
    if asked.list:
        for scenario in scenarios:
            print("\n    ".join([scenario.name, *scenario.commands]))
        return 0
    if asked.old is None or asked.new is None:
        parser.error("OLD and NEW are needed: two checkouts.")
    for checkout in (asked.old, asked.new):
        if not (checkout / "train_seg.py").is_file():
            parser.error(f"{checkout} is no checkout: it has no train_seg.py.")
    work = _work_folder(parser, asked.work)
    sides = [
        Side(checkout.resolve(), work / name, work)
        for name, checkout in (("old", asked.old), ("new", asked.new))
    ]
    try:
        shutil.rmtree(work / "new", ignore_errors=True)
        write_data(work / "data")
        run_all(sides[0], scenarios, asked.jobs)
        scenarios = _chosen(asked.only, of_old=False)
        run_all(sides[1], scenarios, asked.jobs)
        return report(scenarios, sides)
    finally:
        if asked.keep:
            print(f"results: {work}; all differences: differences.txt", file=sys.stderr)
        else:
            shutil.rmtree(work)


def _work_folder(parser: argparse.ArgumentParser, asked: Path | None) -> Path:
    """The folder of results: a new one, or one of this script, which alone may remove it."""
    work = (asked or Path(tempfile.mkdtemp(prefix="checkouts-"))).resolve()
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()) and not (work / MARK).is_file():
        parser.error(f"--work {work} holds something else. Choose another folder.")
    (work / MARK).touch()
    return work


def _chosen(patterns: Sequence[str], of_old: bool = True) -> list[Scenario]:
    """Those whose names fit, and what they stand on, in the order of the list.

    NEW needs no scenario whose folders are read as OLD wrote them.
    """
    by_name = {scenario.name: scenario for scenario in SCENARIOS}
    waiting = [name for pattern in patterns for name in fnmatch.filter(by_name, pattern)]
    names = set(waiting)
    while waiting:
        scenario = by_name[waiting.pop()]
        text = " ".join(scenario.commands)
        needs = {name for name in scenario.needs if of_old or f"$out/{name}/" in text} - names
        names |= needs
        waiting += needs
    return [scenario for scenario in SCENARIOS if scenario.name in names]


# ------------------------------------------------------------------------------ running


def run_all(side: Side, scenarios: Sequence[Scenario], jobs: int) -> None:
    """Runs the scenarios in order; one waits for what it needs."""
    began, used = time.perf_counter(), os.times()
    with ThreadPoolExecutor(jobs) as pool:
        waiting = {}
        for scenario in scenarios:
            before = [waiting[name] for name in scenario.needs if name in waiting]
            waiting[scenario.name] = pool.submit(_after, before, side, scenario)
        for future in waiting.values():
            future.result()
    taken, now = time.perf_counter() - began, os.times()
    cpu = now.children_user + now.children_system - used.children_user - used.children_system
    said = f"{len(scenarios)} scenarios in {taken:.0f} s, {cpu:.0f} s of one core"
    print(f"{side.out.name}: {said}", file=sys.stderr)


def _after(before, side: Side, scenario: Scenario) -> None:
    for future in before:
        future.result()
    mark, what = side.out / f"{scenario.name}.json", _identity(side, scenario)
    if side.out.name == "old" and mark.is_file() and json.loads(mark.read_text()) == what:
        return
    mark.unlink(missing_ok=True)
    here = side.out / scenario.name
    shutil.rmtree(here, ignore_errors=True)
    (here / "said").mkdir(parents=True)
    began = time.perf_counter()
    for number, command in enumerate(scenario.commands):
        _run(side, here, number, command)
    mark.write_text(json.dumps(what))
    taken = time.perf_counter() - began
    print(f"  {side.out.name} {scenario.name} {taken:.1f} s", file=sys.stderr, flush=True)


def _identity(side: Side, scenario: Scenario) -> dict[str, object]:
    """What a kept result is of: it is taken again only for the very same."""
    said = [
        subprocess.run(
            ["git", "-C", str(side.checkout), *words], capture_output=True, text=True
        ).stdout
        for words in (["rev-parse", "HEAD"], ["diff", "HEAD"])
    ]
    own = Path(__file__).with_name("checkout_data.py").read_bytes()
    return {
        "checkout": str(side.checkout),
        "commit": said[0].strip(),
        "changes": hashlib.sha256(said[1].encode()).hexdigest(),
        "data": hashlib.sha256(own).hexdigest(),
        "commands": list(scenario.commands),
        "python": sys.executable,
    }


def _run(side: Side, here: Path, number: int, command: str) -> None:
    """Runs one command; what it said and how it ended go into `said/`."""
    places = {"data": side.work / "data", "here": here, "out": side.out}
    places["old"] = side.work / "old"
    words = [string.Template(word).substitute(places) for word in shlex.split(command)]
    if words[0] == "copy":
        shutil.copytree(words[1], words[2])
        return
    killed = words[0] == "killed"
    program = words[1:] if killed else words
    program = ["-m", *program] if program[0] == "tfvision" else program
    said = here / "said" / f"{number:02d}"
    with open(said.with_suffix(".out"), "wb") as out, open(said.with_suffix(".err"), "wb") as err:
        process = subprocess.Popen(
            [sys.executable, *program],
            cwd=side.checkout,
            env=side.environment(),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
        try:
            if killed:
                _kill(process, Path(words[words.index("--out") + 1]))
            code = process.wait(timeout=900)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    said.with_suffix(".code").write_text(f"{code}\n")


def _kill(process: subprocess.Popen, run: Path) -> None:
    """SIGKILL to its process group as soon as there is a checkpoint behind step 0."""
    while process.poll() is None:
        names = [path.name for path in run.glob("checkpoints/ckpt-*")]
        if any(re.fullmatch(r"ckpt-0*[1-9]\d*", name) for name in names):
            os.killpg(process.pid, signal.SIGKILL)
        time.sleep(0.005)


# ------------------------------------------------------------------------------ comparing


def report(scenarios: Sequence[Scenario], sides: Sequence[Side]) -> int:
    """Prints the table. Returns the exit code."""
    old, new = sides
    places = "|".join(re.escape(str(side.out)) for side in sides)
    codes = "|".join(re.escape(str(side.checkout)) for side in sides)
    texts = [("*", places, "<OUT>"), ("*", codes, "<CODE>"), *EXCLUDED_TEXTS]
    print(f"{'scenario':20}{'files':>7}{'values':>10}{'allowed':>9}  result")
    lines = []
    for scenario in scenarios:
        rules = Rules(
            keys=re.compile("|".join(EXCLUDED_KEYS)),
            texts=tuple((file, re.compile(pattern), by) for file, pattern, by in texts),
            files=tuple(EXCLUDED_FILES),
            statistics=STATISTICS,
            allowed=tuple((s, f, re.compile(p)) for s, f, p in ALLOWED),
            loose=scenario.loose,
        )
        found = compare_folders(old.out / scenario.name, new.out / scenario.name, rules)
        found.differences[:0] = _badly_ended(old.out / scenario.name, scenario)
        print(_row(scenario, found), flush=True)
        lines += [f"{scenario.name} {line}\n" for line in found.differences]
    (old.work / "differences.txt").write_text("".join(lines))
    return int(bool(lines))


def _row(scenario: Scenario, found: Found) -> str:
    number = len(found.differences)
    result = f"{number} DIFFERENCES" if number else "equal"
    if found.last_digits:
        result += f", {len(found.last_digits)} in the last digits"
    head = f"{scenario.name:20}{found.files:7}{found.values:10}{found.allowed:9}  {result}"
    shown = [f"    {line}" for line in (found.differences[:8] + found.last_digits[:2])]
    return "\n".join([head, *shown])


def _badly_ended(here: Path, scenario: Scenario) -> list[str]:
    """Commands of OLD that failed where they must not, or the other way round."""
    lines = []
    for path in sorted(here.glob("said/*.code")):
        code, command = int(path.read_text()), scenario.commands[int(path.stem)]
        if command.startswith("killed"):
            good = code == -signal.SIGKILL
        else:
            good = (code != 0) == scenario.fails
        if not good:
            said = path.with_suffix(".err").read_text(errors="replace").strip().split("\n")[-1]
            lines.append(f"the scenario itself: exit code {code} of OLD's {command}: {said}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
