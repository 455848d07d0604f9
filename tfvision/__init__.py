"""tfvision: training on small, real data sets of images with Keras 3 on TensorFlow.

`import tfvision` costs nothing: each part below is imported when it is first used.
"""

import importlib

__version__ = "0.1.0"
__all__ = ["augment", "data", "losses", "metrics", "models", "postprocess"]


def __getattr__(name: str):
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
