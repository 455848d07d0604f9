"""Model builders. Each returns a plain `keras.Model` whose output is logits.

Those of `MODELS` give one vector of logits a pixel, those of `CLASSIFIERS` one an image. Those of
`BACKBONES` give feature maps by stride, for detectors.
"""

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

_CLASSIFIERS = {
    "small_cnn": "tfvision.models.small_cnn:SmallCNN",
    "baseline_cnn": "tfvision.models.baseline_cnn:BaselineCNN",
    "resnet18": "tfvision.models.resnet:ResNet18",
    "resnet50": "tfvision.models.resnet:ResNet50",
    "transfer": "tfvision.models.transfer:Transfer",
    "dual_stream": "tfvision.models.dual_stream:DualStream",
}
CLASSIFIERS = Registry("classifier", _CLASSIFIERS)

_DETECTORS = {
    "faster_rcnn": "tfvision.models.faster_rcnn:FasterRCNN",
    "retinanet": "tfvision.models.retinanet:RetinaNet",
    "ssd": "tfvision.models.ssd:SSD",
}
DETECTORS = Registry("detector", _DETECTORS)

BACKBONES = Registry(
    "backbone",
    {
        "slim_resnet": "tfvision.models.backbones:slim_resnet",
        "resnet": "tfvision.models.backbones:resnet",
        "vgg16": "tfvision.models.backbones:vgg16",
    },
)

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    MODELS,
    {
        "is_nested": "tfvision.models.unetpp:is_nested",
        "prune": "tfvision.models.unetpp:prune",
        **{path.partition(":")[2]: path for path in (*_CLASSIFIERS.values(), *_DETECTORS.values())},
    },
)
