"""Model builders. Each returns a plain `keras.Model` whose output is logits."""

from tfvision.registry import Registry, lazy_names

MODELS = Registry(
    "model",
    {
        "unet": "tfvision.models.unet:UNet",
        "unetpp": "tfvision.models.unetpp:UNetPlusPlus",
    },
)

__getattr__, __dir__, __all__ = lazy_names(
    __name__, MODELS, {"prune": "tfvision.models.unetpp:prune"}
)
