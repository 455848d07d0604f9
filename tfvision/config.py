"""Reading a run's configuration: YAML file, then `--set` overrides, then validation."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from tfvision.errors import InputError
from tfvision.registry import Registry, Spec, parse_call, unknown

C = TypeVar("C", bound=BaseModel)

MAX_BYTES = 1_000_000  # of a config file; a real one has a few thousand
MAX_DEPTH = 20


def _seconds(value: Any) -> Any:
    """`90`, `"10m"`, `"8h30m"`, `"45s"` -> seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m?)?(?:(\d+)s)?", value.strip())
    if not match or not any(match.groups()) or re.fullmatch(r"\d+", value.strip()):
        raise ValueError(f"write seconds, or a duration such as 10m or 8h30m, not {value!r}")
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(3600 * hours + 60 * minutes + seconds)


Duration = Annotated[float, BeforeValidator(_seconds)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Which images to read, how to split and how to vary them."""

    source: Spec = Spec(name="embedded")
    image_size: tuple[int, int] | None = Field(
        None, description="(height, width) in pixels; null: the size of the images."
    )
    channels: Literal[1, 3] | None = Field(None, description="null: as in the images.")
    class_names: tuple[str, ...] | None = Field(None, description="null: from the data.")
    ignore_label: int | None = Field(255, description="Pixels of this label do not count.")
    splits: Path | None = Field(None, description="CSV of id,split: a split of your own.")
    exclude: Path | None = Field(None, description="CSV of id,reason,evidence: left out.")
    val_fraction: float = Field(0.2, ge=0, lt=1)
    test_fraction: float | None = Field(
        None, ge=0, lt=1, description="null: 0.2, and 0 where the data has a test set."
    )
    batch_size: int = Field(32, gt=0, description="Images a step, over all devices.")
    augment: tuple[Spec, ...] = Field((), description="Ops on one sample, top to bottom.")
    mix: tuple[Spec, ...] = Field((), description="Ops on a batch: mixup, cutmix.")
    workers: int = Field(2, gt=0, description="Threads that prepare samples.")


class TrainConfig(_Section):
    """How long and how fast to learn."""

    epochs: int = Field(40, gt=0, description="Without effect under a time_budget.")
    time_budget: Duration | None = Field(
        None, gt=0, description="Wall time of the whole run: seconds, 10m, 8h30m."
    )
    optimizer: Spec = Spec(name="adamw", learning_rate=1e-3)
    schedule: Spec = Spec(name="cosine")
    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = "auto"
    xla: bool = False
    deterministic: Literal["auto"] | bool = Field(
        "auto", description="Bitwise repeatable; auto: on the CPU, not on GPUs."
    )
    clip_norm: float | None = Field(None, gt=0, description="Bound of the gradient's norm.")
    accumulate: int = Field(1, gt=0, description="Parts a batch is worked through in.")
    ema: float | None = Field(
        None, gt=0, lt=1, description="Decay of the averaged weights that are scored."
    )
    early_stopping: int = Field(0, ge=0, description="Epochs without gain; 0 is never.")
    checkpoint_every: Duration = Field(
        300.0, gt=0, description="Longest time between two checkpoints."
    )


class LossTerm(Spec):
    """One summand of the loss: `focal(gamma=2.0, weight=0.5)`."""

    weight: float = Field(1.0, gt=0)


class SegmentationConfig(_Section):
    """Everything `train_seg.py` needs to know. A run saves it as `config.yaml`."""

    seed: int = Field(0, ge=0, lt=2**31)
    data: DataConfig = DataConfig()
    model: Spec
    loss: tuple[LossTerm, ...] = Field((LossTerm(name="cross_entropy"),), min_length=1)
    metrics: tuple[Spec, ...] = Field(
        (Spec(name="mean_iou"),), min_length=1, description="The first is the contract."
    )
    postprocess: tuple[Spec, ...] = ()
    train: TrainConfig = TrainConfig()


SCHEMAS: dict[str, type[BaseModel]] = {"segmentation": SegmentationConfig}


def load_config(schema: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Reads `path`, applies `key.path=value` overrides, and validates the result once.

    Raises:
        InputError: The file cannot be read, an override cannot be applied, a key is
            unknown (with the nearest that is), a value has the wrong type.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"Cannot read the config {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise InputError(f"The config {path} is not UTF-8 text: {error}.") from error
    if len(text) > MAX_BYTES:
        raise InputError(f"The config {path} has {len(text)} bytes; at most {MAX_BYTES} are read.")
    raw = _parse(text, str(path))
    if not isinstance(raw, dict):
        raise InputError(f"The config {path} must hold keys and values. Received: {raw!r}.")
    for override in overrides:
        apply_override(raw, override)
    return validate(schema, raw, where=str(path), lines=_key_lines(text))


def validate(
    schema: type[C], raw: dict[str, Any], *, where: str, lines: dict[str, int] | None = None
) -> C:
    """`raw` as an instance of `schema`, or one `InputError` that lists every problem."""
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        problems = [
            _explain(schema, problem, lines or {})
            for problem in error.errors(include_url=False, include_context=False)
        ]
        raise InputError(f"{where}: " + "\n  ".join(dict.fromkeys(problems))) from None


def check_names(config: BaseModel, tables: dict[str, Registry]) -> None:
    """Looks every name of the config up in its table, without importing a builder.

    Args:
        config: A task's config.
        tables: Key path of the config, such as `data.augment`, to its table.
    """
    for path, table in tables.items():
        value: Any = config
        for key in path.split("."):
            value = getattr(value, key)
        for spec in value if isinstance(value, tuple) else (value,):
            try:
                table.check_name(spec.name)
            except InputError as error:
                raise InputError(f"{path}: {error}") from None


def dump_config(config: BaseModel) -> str:
    """The YAML text of a config; `load_config` of it gives the config back."""
    raw = config.model_dump(mode="json")
    return yaml.safe_dump(raw, sort_keys=False, allow_unicode=True, default_flow_style=None)


def differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Key paths at which two dumped configs differ, as `train.epochs: 40 -> 60`."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [
            line
            for key in keys
            for line in differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        ]
    return [] if old == new else [f"{path}: {old!r} -> {new!r}"]


def apply_override(raw: dict[str, Any], override: str) -> None:
    """Sets one `key.path=value` in the raw mapping; the value is YAML."""
    path, equals, value = override.partition("=")
    if not equals or not path.strip():
        raise InputError(f"Overrides are written key.path=value. Received: {override!r}.")
    *parents, leaf = path.strip().split(".")
    node: Any = raw
    for key in parents:
        if isinstance(node.get(key), str):  # `loss: dice` -> `{name: dice}`
            node[key] = parse_call(node[key])
        if node.get(key) is None:
            node[key] = {}
        node = node[key]
        if not isinstance(node, dict):
            raise InputError(f"`{key}` in {override!r} has no named parts. Set it whole: {key}=...")
    node[leaf] = _parse(value, f"--set {override}")


def _parse(text: str, where: str) -> Any:
    try:
        tree = yaml.compose(text, Loader=_Loader)
        _check_tree(tree, where)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not valid YAML: {error}") from error


def _check_tree(node: Any, where: str, depth: int = 0) -> None:
    """Refuses what a config never needs: deep nesting, and aliases, which can explode."""
    if depth > MAX_DEPTH:
        raise InputError(f"{where} is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                raise InputError(
                    f"{where}, line {line}: `{key.value}` is written twice (first in line "
                    f"{seen[key.value]}). Remove one."
                )
            seen[key.value] = line
            _check_tree(value, where, depth + 1)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check_tree(value, where, depth + 1)


def _key_lines(text: str) -> dict[str, int]:
    """Line of every key path of a YAML text."""
    lines: dict[str, int] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                name = f"{path}.{key.value}" if path else str(key.value)
                lines[name] = key.start_mark.line + 1
                walk(value, name)

    walk(yaml.compose(text, Loader=_Loader), "")
    return lines


def _explain(schema: type[BaseModel], problem: Any, lines: dict[str, int]) -> str:
    location = [str(part) for part in problem["loc"]]
    path = ".".join(location)
    line = f" (line {lines[path]})" if path in lines else ""
    if problem["type"] == "extra_forbidden":
        options = _fields_at(schema, location[:-1])
        return unknown(f"key{line}", path, [".".join([*location[:-1], key]) for key in options])
    if problem["type"] == "missing":
        return f"{path} is missing{line}."
    message = problem["msg"].removeprefix("Value error, ")
    return f"{path}{line}: {message}. Received: {problem['input']!r}."


def _fields_at(schema: type[BaseModel], location: Iterable[str]) -> list[str]:
    for key in location:
        if key not in schema.model_fields:
            return []
        kind: Any = schema.model_fields[key].annotation
        kinds = [k for k in (kind, *get_args(kind)) if isinstance(k, type)]
        schema = next((k for k in kinds if issubclass(k, BaseModel)), BaseModel)
    return list(schema.model_fields)


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads numbers and truth values as YAML 1.2 does.

    PyYAML alone reads `1e-3` as text, `no` as False and `12:30` as 750.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.constructor.ConstructorError(
                None, None, "aliases (*name) are not read; write the value out", mark
            )
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag.rpartition(":")[2] in ("null", "merge")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern, _first in [
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+|[-+]?\.inf|\.nan",
        "-+.0123456789",
    ),
]:
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
    )
