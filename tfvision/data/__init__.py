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
    },
)

__getattr__, __dir__, __all__ = lazy_names(
    __name__, SOURCES, {"Source": "tfvision.data.source:Source"}
)
