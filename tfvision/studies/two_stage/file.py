"""The file of a run of two stages, and what it asks for once it is worked out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from tfvision.config import RunConfig, check_names, load_any, load_config, validate
from tfvision.config.section import Section
from tfvision.engine.run_folder import RunFolder
from tfvision.errors import InputError
from tfvision.registry import Spec, parse_call
from tfvision.studies.study.configs import laid_over
from tfvision.tasks.facts import facts_of, task_names

TRUTHS = {"detector": "boxes", "classifier": "label"}  # what each stage learns
OF_BOXES = "labels_of_boxes"


class TwoStageFile(Section):
    """What the file may hold."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    data: dict[str, Any] = Field(
        default={}, description="What both stages share of their data: source, val_fraction, ..."
    )
    detector: dict[str, Any] = Field(description="A config of a detection, or run: PATH.")
    classifier: dict[str, Any] = Field(description="A config of a classification, or run: PATH.")
    keep: Literal["best"] | float = Field(
        default="best", description="The best box of an image, or all from this score on."
    )
    boxes: Literal[True] | Literal["detected"] = Field(
        default=True,
        description="What the classifier trains on: true, the annotated boxes, or detected, those "
        "that detectors find which did not train on the image.",
    )
    folds: int = Field(default=5, ge=2, description="Detectors that find them.")
    fallback: Literal["whole", "centre"] = Field(
        default="whole", description="What is cut out of an image without a detection."
    )
    export: bool = Field(default=True, description="Whether a SavedModel of both is written.")

    @field_validator("keep")
    @classmethod
    def _is_a_score(cls, value: str | float) -> str | float:
        if not isinstance(value, str) and not 0 < value <= 1:
            raise ValueError(f"keep is best, or a score above 0 and up to 1; got {value}")
        return value


@dataclass(frozen=True)
class Stage:
    """One of the two stages.

    Attributes:
        name: "detector" or "classifier".
        config: Of its training, or of the run that is there.
        run: The run that is there; None: it is trained.
    """

    name: str
    config: RunConfig
    run: Path | None = None


@dataclass(frozen=True)
class TwoStagePlan:
    """What a file asks for: its values, both stages, and how each reads the data of both."""

    file: TwoStageFile
    detector: Stage
    classifier: Stage
    sources: dict[str, Spec]

    @property
    def stages(self) -> tuple[Stage, Stage]:
        return self.detector, self.classifier


def read_file(
    path: Path, *, data: Path | None = None, overrides: Sequence[str] = ()
) -> TwoStagePlan:
    """Reads the file of a run of two stages. Imports nothing heavy.

    Args:
        path: The file.
        data: Where both stages read, or None for what the file says.
        overrides: `key.path=value` each, as `detector.train.epochs=5`.

    Raises:
        InputError: A key, name or value is wrong.
    """
    file = load_config(TwoStageFile, path, overrides)
    sources = _sources(path, file, data)
    stages = {name: _stage(path, file, name, sources[name]) for name in TRUTHS}
    others = [key for key in file.data if key != "source"]
    if others and all(stage.run is not None for stage in stages.values()):
        raise InputError(
            f"{path}, data.{others[0]}: both stages are runs, and have their splits. Leave it out."
        )
    if file.boxes == "detected" and stages["classifier"].run is not None:
        raise InputError(
            f"{path}, boxes: detected says what the classifier trains on, and it is a run already. "
            "Leave it out."
        )
    return TwoStagePlan(file, **stages, sources=sources)


def _sources(path: Path, file: TwoStageFile, data: Path | None) -> dict[str, Spec]:
    """How each stage reads the data of both."""
    given = file.data.get("source", {})
    given = parse_call(given) if isinstance(given, str) else dict(given)
    place = data or given.get("path")
    if place is None:
        raise InputError(
            f"{path}: say which images to read, with their boxes: --data PATH, or data.source.path."
        )
    if not Path(place).exists():
        raise InputError(f"--data {place}: there is no such file or folder.")
    if "one_class" in given:
        raise InputError(
            f"{path}, data.source.one_class: the detector reads all classes as one, and the "
            "classifier needs them. Leave it out."
        )
    given["path"] = str(Path(place).resolve())
    reader = given.pop("name", "auto")
    told = {} if reader == "auto" else {"reader": reader}
    return {
        "detector": Spec(name=reader, **given, one_class=True),
        "classifier": Spec(name=OF_BOXES, **told, **given),
    }


def _stage(path: Path, file: TwoStageFile, name: str, source: Spec) -> Stage:
    """A stage with the data of both.

    Raises:
        InputError: Its config is wrong, or says itself what both share.
    """
    where, raw = f"{path}, {name}", dict(getattr(file, name))
    if "run" in raw:
        if len(raw) > 1:
            others = ", ".join(key for key in raw if key != "run")
            raise InputError(f"{where}: a run is used as it is, so leave out {others}, or run.")
        return Stage(name, _config_of_run(where, raw["run"], name), Path(raw["run"]))
    own = raw.get("data") or {}
    for key in ("source", "splits", "folds", "fold", "exclude"):
        if key in own:
            raise InputError(
                f"{where}, data.{key}: both stages read the same images, in the same splits. Write "
                f"it under data of the file{'' if key in file.data else ', or leave it out'}."
            )
    data = laid_over({k: v for k, v in file.data.items() if k != "source"}, own)
    data["source"] = {"name": source.name, **source.kwargs}
    task = _task_of(name)
    raw = {"seed": file.seed, "task": task, **raw, "data": data}
    config = validate(facts_of(task).schema(), raw, where=where)
    try:
        check_names(config, facts_of(config.task).all_tables())
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    if config.data.folds is not None:
        raise InputError(f"{where}, data.folds: leave it out; `folds` of the file is enough.")
    _check(where, name, config)
    return Stage(name, config)


def _task_of(name: str) -> str:
    """The task of a stage."""
    return next(task for task in task_names() if facts_of(task).truth == TRUTHS[name])


def _config_of_run(where: str, run: Any, name: str) -> RunConfig:
    """The config of a finished run that can be a stage.

    Raises:
        InputError: It is none.
    """
    folder = RunFolder.existing(Path(str(run)))
    if folder.is_ensemble or folder.is_two_stage:
        raise InputError(f"{where}: {run} is made of several runs. Give one run.")
    config = load_any(folder.config)
    if config.task != _task_of(name):
        raise InputError(f"{where}: {run} is a {config.task}; a {_task_of(name)} is needed.")
    if not (folder.path / "summary.json").is_file():
        raise InputError(f"{where}: {run} is not finished. Go on with --resume {run}.")
    _check(where, name, config)
    return config


def _check(where: str, name: str, config: RunConfig) -> None:
    if name == "detector" and config.postprocess:
        raise InputError(
            f"{where}, postprocess: which boxes are used says `keep` of the file. Leave it out."
        )
    if name == "classifier" and config.data.input.name != "crop":
        raise InputError(
            f"{where}, data.input: a classifier behind a detector sees what lies in a box; write "
            f"crop(margin=0.1). It says {config.data.input.name}."
        )


def cut_alone(config: RunConfig) -> RunConfig:
    """The config of a classifier without what only its training needs: `find` of `data.input`."""
    kwargs = {k: v for k, v in config.data.input.kwargs.items() if k != "find"}
    spec = Spec(name=config.data.input.name, **kwargs)
    return config.model_copy(update={"data": config.data.model_copy(update={"input": spec})})
