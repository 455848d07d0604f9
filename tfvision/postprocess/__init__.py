"""Rules that turn probabilities into labels other than by their plain argmax."""

from tfvision.registry import Registry, lazy_names

POSTPROCESS = Registry(
    "post-processing rule", {"drop_class": "tfvision.postprocess.pixelwise:drop_class"}
)

__getattr__, __dir__, __all__ = lazy_names(
    __name__, POSTPROCESS, {"decode": "tfvision.postprocess.pixelwise:decode"}
)
