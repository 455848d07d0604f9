"""Model builders. Each returns a plain `keras.Model` whose output is logits."""

from tfvision.registry import Registry, lazy_names

MODELS = Registry(
    "model",
    {
        "unet": "tfvision.models.unet:UNet",
        "unetpp": "tfvision.models.unetpp:UNetPlusPlus",
        "attention_unet": "tfvision.models.attention_unet:AttentionUNet",
        "pan": "tfvision.models.pan:PAN",
        "gated_unet": "tfvision.models.gated_unet:GatedUNet",
        "double_unet": "tfvision.models.double_unet:DoubleUNet",
        "specialists": "tfvision.models.specialists:Specialists",
        "deeplab_v3plus": "tfvision.models.deeplab_v3plus:DeepLabV3Plus",
        "segformer": "tfvision.models.segformer:SegFormer",
    },
)

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    MODELS,
    {"is_nested": "tfvision.models.unetpp:is_nested", "prune": "tfvision.models.unetpp:prune"},
)
