"""Augmentation by the name a config gives it: ops on samples, and mixing ops on batches."""

from tfvision.registry import Registry, lazy_names

OPS = Registry(
    "augmentation",
    {
        "flip_lr": "tfvision.augment.geometric:flip_lr",
        "flip_ud": "tfvision.augment.geometric:flip_ud",
        "translate": "tfvision.augment.geometric:translate",
        "rotate": "tfvision.augment.geometric:rotate",
        "scale": "tfvision.augment.geometric:scale",
        "perspective": "tfvision.augment.geometric:perspective",
        "elastic": "tfvision.augment.warping:elastic",
        "grid_distortion": "tfvision.augment.warping:grid_distortion",
        "crop": "tfvision.augment.cropping:crop",
        "brightness": "tfvision.augment.photometric:brightness",
        "contrast": "tfvision.augment.photometric:contrast",
        "gamma": "tfvision.augment.photometric:gamma",
        "hsv": "tfvision.augment.photometric:hsv",
        "channel_gain": "tfvision.augment.photometric:channel_gain",
        "noise": "tfvision.augment.photometric:noise",
        "blur": "tfvision.augment.photometric:blur",
        "sharpen": "tfvision.augment.photometric:sharpen",
        "jpeg_quality": "tfvision.augment.photometric:jpeg_quality",
        "negative": "tfvision.augment.photometric:negative",
        "cutout": "tfvision.augment.erasing:cutout",
        "coarse_dropout": "tfvision.augment.erasing:coarse_dropout",
        "grid_dropout": "tfvision.augment.erasing:grid_dropout",
        "random_background": "tfvision.augment.background:random_background",
        "albumentations": "tfvision.augment.albumentations_op:albumentations",
    },
)

MIXERS = Registry(
    "mixing augmentation",
    {
        "mixup": "tfvision.augment.mixing:mixup",
        "cutmix": "tfvision.augment.mixing:cutmix",
        "copy_paste": "tfvision.augment.pasting:copy_paste",
        "mosaic": "tfvision.augment.mosaicking:mosaic",
        "distractors": "tfvision.augment.distracting:distractors",
        "paste_on_background": "tfvision.augment.background:paste_on_background",
    },
)

# Kinds of truth, by their names in `tfvision.data.truth`, that a mixing op can act on, where
# that is not any.
ACTS_ON = {"copy_paste": ("masks", "boxes"), "mosaic": ("boxes",), "distractors": ("boxes",)}

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    OPS,
    {
        "compose": "tfvision.augment.op:compose",
        "paste_on_background": "tfvision.augment.background:paste_on_background",
        "mixup": "tfvision.augment.mixing:mixup",
        "cutmix": "tfvision.augment.mixing:cutmix",
        "copy_paste": "tfvision.augment.pasting:copy_paste",
        "mosaic": "tfvision.augment.mosaicking:mosaic",
        "distractors": "tfvision.augment.distracting:distractors",
    },
)
