"""Tensors of a file that PyTorch saved, read without PyTorch and without running anything of it.

Such a file holds a pickle, a program for a stack machine, which may call any function of any
module. Here that machine is a page of code which knows the calls that a state dict consists of,
ordered dictionaries and tensors, and refuses all else by name. Both formats are read: the zip
archive of PyTorch 1.6 and later, and the one before, in which the older weights of torchvision
are.
"""

import io
import math
import pickletools
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tfvision.errors import InputError

LEGACY = 0x1950A86A20F9469CFC6C  # what the older format begins with
DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
_PUSHED = {  # opcodes that put their argument on the stack
    *("BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINUNICODE"),
    *("SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NEW = {"EMPTY_DICT": dict, "EMPTY_LIST": list}


class _Tensor:
    """Where a tensor lies in its storage, which may come later in the file."""

    def __init__(self, storage, offset, size, stride, *_):
        self.kind, self.key = storage
        self.offset, self.size, self.stride = offset, size, stride

    def of(self, values: np.ndarray) -> np.ndarray:
        whole = (self.offset, *self.size, *self.stride)
        if not all(isinstance(n, int) and n >= 0 for n in whole):
            raise ValueError(f"a tensor has the shape {self.size} and strides {self.stride}")
        ends = [(n - 1) * s for n, s in zip(self.size, self.stride, strict=True)]
        if math.prod(self.size) and self.offset + sum(ends) >= len(values):
            raise ValueError(f"a tensor of shape {self.size} does not lie in its storage")
        strides = [s * values.itemsize for s in self.stride]
        view = np.lib.stride_tricks.as_strided(values[self.offset :], self.size, strides)
        return view.copy()


_CALLS: dict[str, Callable] = {
    "collections OrderedDict": dict,
    "torch._utils _rebuild_tensor_v2": _Tensor,
    "torch._utils _rebuild_parameter": lambda tensor, *_: tensor,
    **{f"torch {name}": name for name in DTYPES},
}


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Name -> value of the tensors of a state dict, or of the one under `model` or `state_dict`.

    Raises:
        InputError: The file is not one of PyTorch, is damaged, holds anything but tensors, or
            what it holds is no state dict.
    """
    try:
        if zipfile.is_zipfile(path):
            found, storages = _of_archive(path)
        else:
            found, storages = _of_legacy(path)
        for key in ("model", "state_dict"):
            if isinstance(found, dict) and isinstance(found.get(key), dict):
                found = found[key]
        if not isinstance(found, dict) or not found:
            raise ValueError("it is no state dict")
        tensors = {str(k): v for k, v in found.items() if isinstance(v, _Tensor)}
        return {name: tensor.of(storages(tensor)) for name, tensor in tensors.items()}
    except (OSError, EOFError, ValueError, KeyError, IndexError, TypeError, OverflowError) as error:
        raise InputError(
            f"{path} is not read as weights of PyTorch: {error}. Save a state dict, "
            "torch.save(model.state_dict(), FILE)."
        ) from error
    except zipfile.BadZipFile as error:
        raise InputError(f"{path} is damaged: {error}.") from error


def _of_archive(path: Path) -> tuple[Any, Callable[[_Tensor], np.ndarray]]:
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        found = _unpickled(io.BytesIO(archive.read(pickled)))
    folder = pickled.removesuffix("data.pkl")
    storages: dict[str, np.ndarray] = {}

    def storage(tensor: _Tensor) -> np.ndarray:
        if tensor.key not in storages:
            with zipfile.ZipFile(path) as archive:
                member = archive.getinfo(f"{folder}data/{tensor.key}")
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{member.filename} is compressed")
                storages[tensor.key] = np.frombuffer(archive.read(member), DTYPES[tensor.kind])
        return storages[tensor.key]

    return found, storage


def _of_legacy(path: Path) -> tuple[Any, Callable[[_Tensor], np.ndarray]]:
    with open(path, "rb") as file:
        if _unpickled(file) != LEGACY:
            raise ValueError("it does not begin as such a file does")
        _unpickled(file)  # version
        _unpickled(file)  # machine; all are little-endian
        kinds: dict[str, str] = {}
        found = _unpickled(file, kinds)
        storages = {}
        for key in _unpickled(file):
            count = int.from_bytes(file.read(8), "little")
            dtype = np.dtype(DTYPES[kinds[key]])
            if count * dtype.itemsize > path.stat().st_size:
                raise ValueError("a storage is larger than the file")
            storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return found, lambda tensor: storages[tensor.key]


def _unpickled(stream: BinaryIO, kinds: dict[str, str] | None = None) -> Any:
    """What a pickle describes; `kinds` takes the kind of each storage that is named."""
    stack: list = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list:
        start = marks.pop()
        items = stack[start:]
        del stack[start:]
        return items

    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in _PUSHED:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _NEW:
            stack.append(_NEW[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            items = tuple(stack[len(stack) - count :])
            del stack[len(stack) - count :]
            stack.append(items)
        elif name == "MARK":
            marks.append(len(stack))
        elif name == "TUPLE":
            stack.append(tuple(since_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = since_mark() if name == "APPENDS" else [stack.pop()]
            stack[-1].extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            value = None if name == "SETITEMS" else stack.pop()
            items = since_mark() if name == "SETITEMS" else [stack.pop(), value]
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "GLOBAL":
            if argument not in _CALLS:
                raise ValueError(f"it holds {argument.replace(' ', '.')}, which is not read")
            stack.append(_CALLS[argument])
        elif name == "REDUCE":
            arguments, call = stack.pop(), stack.pop()
            stack.append(call(*arguments))
        elif name == "BINPERSID":
            _, kind, key, *_ = stack.pop()
            if kinds is not None:
                kinds[key] = kind
            stack.append((kind, key))
        elif name == "BUILD":  # metadata of an ordered dictionary
            stack.pop()
        elif name == "STOP":
            return stack.pop()
        elif name not in ("PROTO", "FRAME"):
            raise ValueError(f"it holds the instruction {name}, which is not read")
    raise ValueError("it ends too early")
