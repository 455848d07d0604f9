"""Where samples come from: readers of files and data sets, their scan, their split."""

from tfvision.registry import Registry, lazy_names

SOURCES = Registry(
    "source",
    {
        "embedded": "tfvision.data.embedded:embedded",
        "npz": "tfvision.data.npz:npz",
        "auto": "tfvision.data.recognise:open_source",
        "folder": "tfvision.data.folder:folder",
        "manifest": "tfvision.data.manifest:manifest",
        "class_folder": "tfvision.data.class_folder:class_folder",
        "label_table": "tfvision.data.label_table:label_table",
        "embedded_classes": "tfvision.data.embedded_classes:embedded_classes",
    },
)

INPUTS = Registry(
    "input",
    {
        "full": "tfvision.data.inputs:full",
        "crop": "tfvision.data.inputs:crop",
        "masked": "tfvision.data.inputs:masked",
        "mask_channel": "tfvision.data.inputs:mask_channel",
        "patches": "tfvision.data.inputs:patches",
        "dual": "tfvision.data.inputs:dual",
        "removed": "tfvision.data.inputs:removed",
    },
)

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    SOURCES,
    {
        "Source": "tfvision.data.source:Source",
        "full": "tfvision.data.inputs:full",
        "crop": "tfvision.data.inputs:crop",
        "masked": "tfvision.data.inputs:masked",
        "mask_channel": "tfvision.data.inputs:mask_channel",
        "patches": "tfvision.data.inputs:patches",
        "dual": "tfvision.data.inputs:dual",
        "removed": "tfvision.data.inputs:removed",
        "aggregate": "tfvision.data.inputs:aggregate",
        "fit_image": "tfvision.data.inputs:fit_image",
    },
)
