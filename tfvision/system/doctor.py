"""What is installed, what this machine has, and what to do where something is amiss.

Nothing but the standard library is needed to import it: the doctor works where the rest does
not.
"""

import os
import platform
import re
import shutil
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from tfvision.memory import memory_bytes

ROOT = Path(__file__).parents[2]
OPTIONAL = {  # a run without them is a whole run, unless it uses what they are for
    "albumentations": "the op `albumentations` needs it",
    "opencv-python-headless": "albumentations needs it",
    "keras-cv": "the tests need it",
    "pytest": "the tests need it",
}
GIB = 2**30
LITTLE, TOO_LITTLE = 1.0, 0.1  # GiB of free disk: said, and not enough for any run


@dataclass
class Findings:
    """What is amiss: what would stop a run, and what one should know."""

    stops: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def doctor(*, benchmark: bool = True) -> dict[str, Any]:
    """Prints versions, devices, memory, disk and speed, and what to do about them.

    Args:
        benchmark: Measure the speed, unless something would stop a run anyway.

    Returns:
        All that was found; `stops` and `warnings` list what is amiss.
    """
    found = Findings()
    result: dict[str, Any] = {
        "python": _python(found),
        "packages": _packages(found),
        "devices": _devices(found),
        "cpu_cores": _cores(),
        "memory_gib": _memory(found),
        "folders": _folders(found),
        "benchmark": None,
    }
    if benchmark and not found.stops:
        from tfvision.system.speed import benchmark as measure
        from tfvision.system.speed import words

        result["benchmark"] = measure()
        for name, text in words(result["benchmark"]).items():
            _line(name, text)
    for text in found.stops:
        print(f"! would stop a run: {text}")
    for text in found.warnings:
        print(f"! {text}")
    if not (found.stops or found.warnings):
        print("no problems found")
    return {**result, "stops": found.stops, "warnings": found.warnings}


def _line(name: str, text: str) -> None:
    print(f"{name:24}{text}")


# Versions


def _python(found: Findings) -> dict[str, str]:
    version, window = platform.python_version(), python_window()
    note = ""
    if not fits(version, window):
        note = f"outside the supported window {window}"
        found.stops.append(f"Python {version} is {note}: make an environment with another one")
    _line("python", f"{version:12}{window:18}{note}".rstrip())
    return {"version": version, "window": window}


def _packages(found: Findings) -> dict[str, dict[str, str | None]]:
    result = {}
    for name, window in requirements().items():
        version = installed(name)
        note = ""
        if version is None:
            note = "missing"
        elif not fits(version, window):
            note = "outside the supported window"
        if note:
            what = f"{name} {version or ''}".strip()
            text = f"{what} is {note} {window if version else ''}".strip()
            advice = f"pip install '{name}{window}'"
            if name in OPTIONAL:
                found.warnings.append(f"{text}; {OPTIONAL[name]}: {advice}")
            else:
                found.stops.append(f"{text}: {advice}")
        _line(name, f"{version or '-':12}{window:18}{note}".rstrip())
        result[name] = {"version": version, "window": window}
    return result


def requirements() -> dict[str, str]:
    """Name -> supported window of each package, of requirements.txt or the installed metadata."""
    file = ROOT / "requirements.txt"
    if file.is_file():
        lines = file.read_text(encoding="utf-8").splitlines()
    else:
        lines = [line for line in metadata.requires("tfvision") or [] if "extra ==" not in line]
    found = {}
    for line in lines:
        match = re.match(r"([\w.-]+)\s*([<>=][^#;]*)?", line)
        if match:
            found[match[1].lower()] = (match[2] or "").replace(" ", "")
    return found


def python_window() -> str:
    """The supported versions of Python, of pyproject.toml or the installed metadata."""
    file = ROOT / "pyproject.toml"
    if file.is_file():
        return tomllib.loads(file.read_text(encoding="utf-8"))["project"]["requires-python"]
    return metadata.metadata("tfvision")["Requires-Python"]


def installed(name: str) -> str | None:
    """The version of a package, None where it is absent."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def fits(version: str, window: str) -> bool:
    """Whether `2.21.0` lies in `>=2.20,<2.22`; a pre-release counts as its release."""
    try:
        from packaging.specifiers import SpecifierSet
        from packaging.version import InvalidVersion, Version
    except ImportError:
        return True  # that it is missing stands in the list of packages
    try:
        return Version(version).base_version in SpecifierSet(window)
    except InvalidVersion:
        return False


# Devices


def _devices(found: Findings) -> dict[str, Any]:
    """GPUs as TensorFlow sees them, or why it sees none."""
    try:
        import keras
        import tensorflow as tf
    except Exception as error:  # whatever a broken installation raises
        first = (str(error).splitlines() or [""])[0]
        found.stops.append(
            f"TensorFlow and Keras cannot be imported ({type(error).__name__}: {first}): "
            "pip install -r requirements.txt into a fresh environment"
        )
        return {"gpus": [], "why_none": "TensorFlow cannot be imported"}
    if keras.backend.backend() != "tensorflow":
        found.stops.append(
            f"Keras runs on {keras.backend.backend()}; set KERAS_BACKEND=tensorflow, or unset it"
        )
    gpus = []
    for gpu, memory in zip(
        tf.config.list_physical_devices("GPU"), [*_gpu_memory(), *[None] * 99], strict=False
    ):
        details = tf.config.experimental.get_device_details(gpu)
        gpus.append({"name": details.get("device_name", gpu.name), "memory_gib": memory})
        size = "" if memory is None else f", {memory:.1f} GiB"
        _line("GPU", f"{gpus[-1]['name']}{size}")
    why = None if gpus else _why_no_gpu(tf)
    if why:
        _line("GPU", f"none: {why}")
    return {"gpus": gpus, "why_none": why}


def _gpu_memory() -> list[float]:
    """GiB of each GPU, as the driver's own tool says; [] where it is absent."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    asked = [tool, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout
        return [float(line) / 1024 for line in said.splitlines() if line.strip()]
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return []


def _why_no_gpu(tf) -> str:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides them; unset it to use one"
    if not tf.test.is_built_with_cuda():
        return "this TensorFlow is built without CUDA, trainings run on the CPU"
    if not any(Path(p).exists() for p in ("/proc/driver/nvidia/version", "/dev/nvidiactl")):
        return "there is no NVIDIA driver on this machine, trainings run on the CPU"
    return (
        "there is an NVIDIA driver, but TensorFlow cannot load its CUDA libraries: "
        f"pip install 'tensorflow[and-cuda]=={tf.__version__}'"
    )


# Machine


def _cores() -> int:
    """CPU cores this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    count = len(allowed(0)) if allowed else os.cpu_count() or 1
    load = os.getloadavg()[0]
    busy = f", busy (load {load:.1f}): speeds are lower than they could be" if load > count else ""
    _line("CPU cores", f"{count}{busy}")
    return count


def _memory(found: Findings) -> dict[str, float | None]:
    """Memory of the machine, or of the container this runs in, and what is free; in GiB."""
    total, free = (None if size is None else size / GIB for size in memory_bytes())
    _line("memory", f"{total:.1f} GiB" + ("" if free is None else f", {free:.1f} GiB free"))
    if (total if free is None else free) < 2:
        found.warnings.append(
            "less than 2 GiB of memory are free: TensorFlow alone takes about 0.6; close other "
            "programs, or lower data.batch_size"
        )
    return {"total": total, "free": free}


def _folders(found: Findings) -> dict[str, dict[str, Any]]:
    """Where runs and built data go: free space, and whether files can be made there."""
    try:
        from tfvision.data.files.cache import cache_folder
    except ImportError:  # a package is missing, which the list of packages says
        return {}
    runs, cache = look_at(Path("runs").absolute()), look_at(cache_folder())
    _line("runs go to", _folder_text(runs))
    _line("cache (TFVISION_CACHE)", _folder_text(cache))
    if not runs["writable"]:
        found.stops.append(
            f"nothing can be written in {runs['path']}: run elsewhere, or give --out"
        )
    elif runs["free_gib"] < TOO_LITTLE:
        found.stops.append(
            f"only {runs['free_gib']:.2f} GiB are free in {runs['path']}: free some space, or give "
            "--out"
        )
    elif runs["free_gib"] < LITTLE:
        found.warnings.append(
            f"only {runs['free_gib']:.2f} GiB are free in {runs['path']}: checkpoints and exports "
            "of large models need more"
        )
    if not cache["writable"] or cache["free_gib"] < TOO_LITTLE:
        found.warnings.append(
            f"nothing can be kept in the cache {cache['path']}: data is looked through at every "
            "start; set TFVISION_CACHE to another folder"
        )
    return {"runs": runs, "cache": cache}


def look_at(folder: Path) -> dict[str, Any]:
    """`path`, `free_gib` and `writable` of a folder, or of the one it would be made in."""
    there = next(p for p in [folder, *folder.absolute().parents] if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there):  # root passes every check but this one
            writable = True
    except OSError:
        writable = False
    free = shutil.disk_usage(there).free / GIB
    return {"path": str(folder), "free_gib": free, "writable": writable}


def _folder_text(folder: dict[str, Any]) -> str:
    state = f"{folder['free_gib']:.1f} GiB free" if folder["writable"] else "cannot be written"
    return f"{folder['path']}, {state}"
