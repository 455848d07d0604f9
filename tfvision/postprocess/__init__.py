"""Rules that turn probabilities into labels other than by their plain argmax."""

from tfvision.registry import Registry, lazy_names

POSTPROCESS = Registry(
    "post-processing rule",
    {
        "class_prior_offsets": "tfvision.postprocess.pixelwise:class_prior_offsets",
        "class_thresholds": "tfvision.postprocess.pixelwise:class_thresholds",
        "drop_class": "tfvision.postprocess.pixelwise:drop_class",
        "fill_holes": "tfvision.postprocess.components:fill_holes",
        "smallest_component": "tfvision.postprocess.components:smallest_component",
    },
)
BOX_RULES = Registry(
    "post-processing rule",
    {
        "score_threshold": "tfvision.postprocess.boxes:score_threshold",
        "suppress": "tfvision.postprocess.boxes:suppress",
        "at_most": "tfvision.postprocess.boxes:at_most",
        "likely_string": "tfvision.postprocess.strings:likely_string",
    },
)
# These map labels (H, W) to labels, on a whole image; the others scores (..., K) to scores.
ON_COMPONENTS = {"fill_holes", "smallest_component"}
ON_STRINGS = {"likely_string"}  # these change how boxes are read, not the boxes

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    POSTPROCESS,
    {
        "decode": "tfvision.postprocess.pixelwise:decode",
        "decode_images": "tfvision.postprocess.components:decode_images",
    },
)
