"""Names in a config, and the builders they stand for."""

import ast
import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, model_serializer, model_validator

from tfvision.errors import InputError


class Spec(BaseModel):
    """A builder's name and its keyword arguments.

    Written in YAML as `{name: focal, gamma: 2.0}` or as the call `focal(gamma=2.0)`.
    """

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)
    name: str

    if TYPE_CHECKING:  # type checkers know nothing of extra="allow"

        def __init__(self, *, name: str, **arguments: Any): ...

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(self.model_extra or {})

    @model_validator(mode="before")
    @classmethod
    def _from_call(cls, value: Any) -> Any:
        return parse_call(value) if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _short(self, handler: Callable[[Any], Any]) -> Any:
        """A bare name is saved as it is usually written."""
        full = handler(self)
        return self.name if full.keys() == {"name"} else full


def parse_call(text: str) -> dict[str, Any]:
    """Parses `flip_lr` or `cutout(size=16)`; arguments are literals, by keyword.

    Tuples become lists, as YAML writes them, so that a saved config is the same config.
    """
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return {"name": node.id}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.args:
            kwargs = {k.arg: plain(ast.literal_eval(k.value)) for k in node.keywords if k.arg}
            if len(kwargs) == len(node.keywords) and "name" not in kwargs:
                return {"name": node.func.id, **kwargs}
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        pass  # Python's parser runs out of stack or memory where brackets nest too deep
    cut = text.count("(") != text.count(")")
    raise InputError(
        f"Cannot read {brief(text)}. Write a name, `flip_lr`, or a call with keyword "
        "arguments, `cutout(size=16)`."
        + (" Inside [ ] a call with a comma stands in quotes." if cut else "")
    )


def plain(value: Any) -> Any:
    """`value` as YAML holds it: tuples as lists, paths as text.

    Raises:
        ValueError: YAML holds no such value.
    """
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(f"YAML holds no {type(value).__name__}.")


class Registry:
    """A table of builders of one kind, by name. Iterating gives the names.

    A builder is written as `"package.module:Function"` and imported when it is first
    asked for, so that a table can be read without importing TensorFlow.
    """

    def __init__(self, kind: str, builders: Mapping[str, str]):
        self.kind = kind
        self._paths = dict(builders)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, name: object) -> bool:
        return name in self._paths

    def __getitem__(self, name: str) -> Callable[..., Any]:
        self.check_name(name)
        module, _, attribute = self._paths[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    def check_name(self, name: str) -> None:
        """Raises an `InputError` with the nearest name where `name` is not in the table."""
        if name not in self._paths:
            raise InputError(unknown(self.kind, name, self._paths))

    def check_arguments(self, spec: Spec, context: Iterable[str] = ()) -> None:
        """Raises an `InputError` where the builder of `spec` does not take its arguments.

        Args:
            spec: What the config says.
            context: Names of the arguments that the program gives itself.
        """
        context = set(context)
        parameters = inspect.signature(self[spec.name]).parameters
        options = [
            key
            for key, parameter in parameters.items()
            if key not in context
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        ]
        for key in spec.kwargs:
            if key not in options:
                raise InputError(unknown(f"argument of {self.kind} `{spec.name}`", key, options))
        missing = [
            key
            for key in options
            if parameters[key].default is inspect.Parameter.empty and key not in spec.kwargs
        ]
        if missing:
            raise InputError(
                f"{self.kind} `{spec.name}` needs {', '.join(missing)}. "
                f"Write {spec.name}({', '.join(f'{key}=...' for key in missing)})."
            )

    def build(self, spec: Spec, **context: Any) -> Any:
        """Calls the builder of `spec`.

        Args:
            spec: What the config says.
            **context: What only the program knows, e.g. `num_classes`.
        """
        self.check_arguments(spec, context)
        try:
            return self[spec.name](**context, **spec.kwargs)
        except (TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"{self.kind} `{spec.name}`: {error}") from error


def unknown(kind: str, name: str, options: Iterable[str]) -> str:
    """The sentence for a name that is in no table, with the nearest one that is."""
    options = list(options)
    close = difflib.get_close_matches(str(name), options, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"Unknown {kind}: {brief(name)}.{hint} Available: {', '.join(options) or 'none'}."


def brief(value: Any, length: int = 200) -> str:
    """`repr(value)`, cut where it would fill the screen."""
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]} ..."


def lazy_names(package: str, registry: Registry, extra: Mapping[str, str] | None = None):
    """`__getattr__`, `__dir__` and `__all__` of a package whose table is `registry`.

    `tfvision.models.UNetPlusPlus` is imported when it is first used; `extra` names
    what the package offers beside its table, as `{"compose": "tfvision.augment.op:compose"}`.
    A builder that is called as its module, `tfvision.data.sources.npz:npz`, is left out: Python
    gives the module that name once it is imported, and a name must not change what it means.
    """
    paths = {}
    for path in registry._paths.values():
        module, _, attribute = path.partition(":")
        if module != f"{package}.{attribute}":
            paths[attribute] = path
    paths.update(extra or {})

    def get(name: str) -> Any:
        if name not in paths:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, attribute = paths[name].partition(":")
        return getattr(importlib.import_module(module), attribute)

    names = sorted(paths)
    return get, lambda: names, names
