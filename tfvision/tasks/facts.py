"""What is known of every task without TensorFlow: its names, its schema, its tables, its scores.

`--help`, configs, `compare` and all that waits for other processes ask here. The rest of a task
is a `Task` (see `task.py`), which is imported when it is needed.

A task that the toolkit does not have is made known, in this process and in those it starts, by
the environment variable `TFVISION_TASKS`: `module:NAME`, several between commas, each a
`TaskFacts` in a module that can be imported.
"""

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tfvision.errors import InputError

if TYPE_CHECKING:  # the doctor runs where pydantic, which a registry needs, is missing
    from tfvision.registry import Registry

TASKS = {
    "segmentation": "tfvision.tasks.segmentation.facts:FACTS",
    "classification": "tfvision.tasks.classification.facts:FACTS",
    "detection": "tfvision.tasks.detection.facts:FACTS",
}
DEFAULT_TASK = "segmentation"  # of a config that names none, as of old
VARIABLE = "TFVISION_TASKS"
SHARED_TABLES = {
    "loss": "tfvision.losses:LOSSES",
    "metrics": "tfvision.metrics:METRICS",
    "postprocess": "tfvision.postprocess:POSTPROCESS",
    "data.source": "tfvision.data:SOURCES",
    "data.augment": "tfvision.augment:OPS",
    "data.mix": "tfvision.augment:MIXERS",
    "train.optimizer": "tfvision.engine:OPTIMIZERS",
    "train.schedule": "tfvision.engine:SCHEDULES",
}


@dataclass(frozen=True)
class Score:
    """A number that a task is scored by.

    Attributes:
        title: What people call it: "mean IoU".
        low, high: The range it lies in.
        larger_is_better: Its direction.
        short: What it is called where there is little room; "": `title`.
        of_class: What one class is worth beside it: "IoU"; "" without classes.
    """

    title: str
    low: float = 0.0
    high: float = 1.0
    larger_is_better: bool = True
    short: str = ""
    of_class: str = ""


@dataclass(frozen=True)
class TaskFacts:
    """What is known of a task without TensorFlow.

    Attributes:
        name: "segmentation".
        script: The training script: "train_seg.py".
        folder: Of its configs and runs: "seg".
        arch: The config it trains without being given another.
        truth: The kind of truth its data has, a name of `tfvision.data.truth.TRUTHS`.
        truth_word: What the truth of several images is called: "masks".
        unit: What is counted where it is scored: "pixels".
        config: Its schema, `module:Class`.
        task: The rest of it, `module:Class` of a `Task`.
        example: Input shape and number of classes that `models` counts costs at.
        formats: Layouts of submission files that it has; the first is its own.
        classes_by_name: Whether a submission writes classes by name where nothing is chosen.
        evidence: What its scores are computed from, `module:Class` of an `Evidence`.
        tables: Key path of its config to a table, `module:TABLE`, where `SHARED_TABLES` has
            another or none.
        scores: What it can be scored by.
        columns: Scores that the table of folds shows beside the one that a run declares.
        arrays: Names of the arrays of a prediction, as they are stored; (): `probabilities`
            (H, W, K) alone.
        audit: What the audit of a data set says besides, `module:function`, without TensorFlow;
            see `tfvision.tasks.detection.audit:audit_boxes`. "": nothing.
        side_by_side: What draws the truth beside the predictions of several runs,
            `module:function`; see `tfvision.tasks.detection.side_by_side`. "": nothing.
        least_steps: Steps below which a training from new weights has hardly begun; 0: not known.
        reasons: Option -> the reason why it means nothing to this task.
    """

    name: str
    script: str
    folder: str
    arch: str
    truth: str
    truth_word: str
    unit: str
    config: str
    task: str
    evidence: str
    formats: tuple[str, ...]
    example: tuple[tuple[int, int, int], int]
    tables: Mapping[str, str]
    scores: Mapping[str, Score]
    columns: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    classes_by_name: bool = False
    arrays: tuple[str, ...] = ()
    audit: str = ""
    side_by_side: str = ""
    least_steps: int = 0

    def supports(self, option: str) -> str | None:
        """None, or why `option` (`tile`, `scaled views`, `calibrate`, ...) means nothing here."""
        return self.reasons.get(option)

    def schema(self) -> type:
        """The class of its configs."""
        return load(self.config)

    def all_tables(self) -> "dict[str, Registry]":
        """Key path of a config to the table that its names are looked up in."""
        return {key: load(path) for key, path in {**SHARED_TABLES, **self.tables}.items()}

    def models(self) -> "Registry":
        """The table that `model` is looked up in."""
        return load(self.tables["model"])

    def evidence_class(self) -> type:
        """The class of what its scores are computed from."""
        return load(self.evidence)

    def score(self, name: str) -> Score:
        """What is known of a score that its evidence can be measured by, other tasks' too."""
        others = (facts_of(task).scores for task in task_names())
        return next((s[name] for s in (self.scores, *others) if name in s), Score(name))


def task_names() -> list[str]:
    """All tasks there are, those of `TFVISION_TASKS` last."""
    return list(_known())


def facts_of(task: str) -> TaskFacts:
    """What is known of a task.

    Raises:
        InputError: There is no such task, or `TFVISION_TASKS` names something else.
    """
    known = _known()
    if task not in known:
        from tfvision.registry import unknown

        raise InputError(unknown("task", task, list(known)))
    facts = known[task]
    return load(facts) if isinstance(facts, str) else facts


def task_entry(task: str) -> dict[str, str]:
    """`{"task": name}` for a file that names its task; {} of the default one, as of old."""
    return {} if task == DEFAULT_TASK else {"task": task}


def task_with(truth: str) -> str:
    """The first task whose data have a kind of truth, else the default one."""
    return next((t for t in task_names() if facts_of(t).truth == truth), DEFAULT_TASK)


def load(path: str) -> Any:
    """What `module:name` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def _known() -> dict[str, str | TaskFacts]:
    known: dict[str, str | TaskFacts] = dict(TASKS)
    for path in filter(None, os.environ.get(VARIABLE, "").split(",")):
        try:
            facts = load(path.strip())
        except (ImportError, AttributeError) as error:
            raise InputError(
                f"{VARIABLE} names {path.strip()!r}, which cannot be imported ({error}). Write "
                "module:NAME, NAME being a TaskFacts."
            ) from error
        known[facts.name] = facts
    return known
