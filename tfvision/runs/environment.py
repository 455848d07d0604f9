"""What a run was made with."""

import platform
import resource
import sys
from importlib import metadata
from typing import Any

PACKAGES = (
    "tensorflow",
    "keras",
    "keras-cv",
    "numpy",
    "albumentations",
    "opencv-python-headless",
    "scikit-learn",
    "pillow",
)


def versions() -> dict[str, str | None]:
    """Installed version of each package that matters, None where it is absent."""
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = None
    return found


def environment(strategy, command: str) -> dict[str, Any]:
    """What `env.json` holds."""
    from tfvision import __version__
    from tfvision.engine.distribute import describe

    return {
        "tfvision": __version__,
        "python": platform.python_version(),
        **versions(),
        **describe(strategy),
        "machine": platform.machine(),
        "system": platform.platform(),
        "command": command,
    }


def peak_memory() -> int:
    """Largest resident memory of this process so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
