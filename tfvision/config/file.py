"""Reading and writing configs: YAML, then `--set` overrides, then validation; what is wrong is
said with its place."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tfvision.config.schema import RunConfig
from tfvision.errors import InputError
from tfvision.registry import Registry, Spec, brief, parse_call, plain, unknown
from tfvision.tasks.facts import DEFAULT_TASK, facts_of, task_names

C = TypeVar("C", bound=BaseModel)

MAX_BYTES = 1_000_000  # of a config file; a real one has a few thousand
MAX_DEPTH = 20


def load_config(schema: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Reads `path`, applies `key.path=value` overrides, and validates the result once.

    Raises:
        InputError: The file cannot be read, an override cannot be applied, a key is
            unknown (with the nearest that is), a value has the wrong type.
    """
    return _load(schema, Path(path), *_parse_tree(_read(Path(path)), str(path)), overrides)


def _load(
    schema: type[C], path: Path, raw: Any, tree: yaml.Node | None, overrides: Sequence[str]
) -> C:
    if not isinstance(raw, dict):
        raise InputError(f"The config {path} must hold keys and values. Received: {brief(raw)}.")
    places = _key_places(tree)
    if overrides:
        _fill_specs(schema, raw)
    for override in overrides:
        apply_override(raw, override)
        key = override.partition("=")[0].strip()
        places = {k: v for k, v in places.items() if not f"{k}.".startswith(f"{key}.")}
        places[key] = "--set"
    return validate(schema, raw, where=str(path), places=places)


def load_any(path: Path, overrides: Sequence[str] = ()) -> RunConfig:
    """Reads a config of whatever task it names; one that names none is of `DEFAULT_TASK`.

    Raises:
        InputError: As `load_config`; or there is no such task.
    """
    path = Path(path)
    raw, tree = _parse_tree(_read(path), str(path))
    return _load(schema_of(raw, str(path)), path, raw, tree, overrides)


def schema_of(raw: Any, where: str) -> type[RunConfig]:
    """The schema of the task that keys and values of a config name."""
    task = raw.get("task", DEFAULT_TASK) if isinstance(raw, dict) else DEFAULT_TASK
    if task not in task_names():
        raise InputError(f"{where}: {unknown('task', task, task_names())}")
    return facts_of(task).schema()


def _fill_specs(schema: type[BaseModel], raw: dict[str, Any]) -> None:
    """Writes the defaults that have named parts into `raw`, for overrides of single parts."""
    for key, field in schema.model_fields.items():
        if isinstance(field.default, Spec):
            raw.setdefault(key, {"name": field.default.name, **field.default.kwargs})
        elif isinstance(field.default, BaseModel):
            section = raw.setdefault(key, {})
            if isinstance(section, dict):
                _fill_specs(type(field.default), section)


def _read(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"Cannot read the config {path}: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"The config {path} has more than {MAX_BYTES:,} bytes; a config has few.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"The config {path} is not UTF-8 text (line {line}): {error}. Save it as UTF-8."
        ) from error


def validate(
    schema: type[C], raw: dict[str, Any], *, where: str, places: dict[str, str] | None = None
) -> C:
    """`raw` as an instance of `schema`, or one `InputError` that lists every problem.

    Args:
        schema: The config's class.
        raw: Keys and values as YAML gives them.
        where: What to call the config in a message.
        places: Key path to where its value was written, such as `line 3, column 5`.
    """
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        listed = error.errors(include_url=False)
        # A list of which an entry is wrong counts as too short, too: the entry says it.
        inside = {problem["loc"][:n] for problem in listed for n in range(len(problem["loc"]))}
        problems = [
            _explain(schema, problem, places or {})
            for problem in listed
            if problem["type"] != "too_short" or problem["loc"] not in inside
        ]
        raise InputError(f"{where}: " + "\n  ".join(dict.fromkeys(problems))) from None


def check_names(config: BaseModel, tables: dict[str, Registry]) -> None:
    """Looks every name of the config up in its table, without importing a builder.

    Args:
        config: A task's config.
        tables: Key path of the config, such as `data.augment`, to its table.

    Raises:
        InputError: Some are in no table; every one of them is listed.
    """
    problems = []
    for path, table in tables.items():
        value: Any = config
        for key in path.split("."):
            value = getattr(value, key)
        for spec in value if isinstance(value, tuple) else (value,):
            try:
                table.check_name(spec.name)
            except InputError as error:
                problems.append(f"{path}: {error}")
    if problems:
        raise InputError("\n  ".join(problems))


def dump_config(config: BaseModel) -> str:
    """The YAML text of a config; `load_config` of it gives the config back."""
    raw = plain(config.model_dump())  # not mode="json", which makes text of numbers as keys
    return yaml.dump(
        raw, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None
    )


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
    """Sets one `key.path=value` in the raw mapping; the value is YAML, or a pattern `*.jpg`."""
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
    pattern = value.lstrip().startswith("*")  # in YAML an alias, which one value cannot have
    node[leaf] = value.strip() if pattern else _parse(value, f"--set {override}")


def _parse(text: str, where: str) -> Any:
    return _parse_tree(text, where)[0]


def _parse_tree(text: str, where: str) -> tuple[Any, yaml.Node | None]:
    """What a YAML text says, and its tree, which knows the lines; None of an empty text.

    The text is scanned once, which is most of the time that a config takes.
    """
    try:
        loader = _Loader(text)
        try:
            tree = loader.get_single_node()
            _check_tree(tree, where)
            return None if tree is None else loader.construct_document(tree), tree
        finally:
            loader.dispose()
    except RecursionError as error:
        raise InputError(f"{where} is nested deeper than {MAX_DEPTH} levels.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{where} is not valid YAML: {error}") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where} holds a number that cannot be read: {error}") from error


def _check_tree(node: Any, where: str, depth: int = 0) -> None:
    """Refuses what a config never needs: deep nesting, keys that are no text or come twice."""
    if depth > MAX_DEPTH:
        raise InputError(f"{where} is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise InputError(f"{where}, line {line}: a key must be text, not a collection.")
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


def _key_places(tree: yaml.Node | None) -> dict[str, str]:
    """Line and column of every key path of a YAML tree; items of a list are numbered from 0."""
    places: dict[str, str] = {}

    def walk(node: Any, path: str) -> None:
        if isinstance(node, yaml.MappingNode):
            items = [(key.value, key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            items = [(number, value, value) for number, value in enumerate(node.value)]
        else:
            return
        for name, start, value in items:
            name = f"{path}.{name}" if path else str(name)
            mark = start.start_mark
            places[name] = f"line {mark.line + 1}, column {mark.column + 1}"
            walk(value, name)

    walk(tree, "")
    return places


def _explain(schema: type[BaseModel], problem: Any, places: dict[str, str]) -> str:
    location = [str(part) for part in problem["loc"]]
    path = ".".join(location)
    written = (".".join(location[:end]) for end in range(len(location), 0, -1))
    place = next((f" ({places[key]})" for key in written if key in places), "")
    if problem["type"] == "extra_forbidden":
        options = _fields_at(schema, location[:-1])
        return unknown(f"key{place}", path, [".".join([*location[:-1], key]) for key in options])
    if problem["type"] == "missing":
        return f"{path} is missing{place}."
    if problem["type"] == "value_error":  # its message says what came
        message = f"{problem['msg'].removeprefix('Value error, ').rstrip('.')}."
        return f"{path}{place}: {message}" if path else message
    message = _plain(problem)
    return f"{path}{place}: {message}. Received: {brief(problem['input'])}."


def _plain(problem: Any) -> str:
    """What must hold, in plain words."""
    if problem["type"] != "too_short":
        return problem["msg"]
    least = problem["ctx"]["min_length"]
    return "needs at least one entry" if least == 1 else f"needs at least {least} entries"


def _fields_at(schema: type[BaseModel], location: Iterable[str]) -> list[str]:
    for key in location:
        if key.isdigit():  # an item of a list, which has its list's kind
            continue
        if key not in schema.model_fields:
            return []
        kind: Any = schema.model_fields[key].annotation
        parts = [kind, *get_args(kind), *(p for k in get_args(kind) for p in get_args(k))]
        kinds = [k for k in parts if isinstance(k, type)]
        schema = next((k for k in kinds if issubclass(k, BaseModel)), BaseModel)
    return [field.alias or key for key, field in schema.model_fields.items()]


class _Loader(yaml.SafeLoader):
    """SafeLoader that reads numbers and truth values as YAML 1.2 does.

    PyYAML alone reads `1e-3` as text, `no` as False and `12:30` as 750.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuses aliases, which can explode, and tags, which can call Python."""
        event = self.peek_event()
        problem = None
        if isinstance(event, yaml.AliasEvent):
            problem = "aliases (*name) are not read; write the value out"
        elif getattr(event, "tag", None) is not None:
            problem = f"tags ({event.tag}) are not read; write the value without it"
        if problem:
            raise yaml.constructor.ConstructorError(None, None, problem, event.start_mark)
        return super().compose_node(parent, index)


class _Dumper(yaml.SafeDumper):
    """SafeDumper that quotes every text that `_Loader` would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag.endswith(":null")]
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
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first)
        )
