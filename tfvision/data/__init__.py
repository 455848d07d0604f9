"""Where samples come from: readers of files and data sets, their scan, their split."""

from tfvision.registry import Registry, lazy_names

SOURCES = Registry(
    "source",
    {
        "embedded": "tfvision.data.sources.embedded_masks:embedded",
        "npz": "tfvision.data.sources.npz:npz",
        "auto": "tfvision.data.sources.recognise:open_source",
        "folder": "tfvision.data.sources.folders.mask_folder:folder",
        "manifest": "tfvision.data.sources.tables.mask_table:manifest",
        "coco_masks": "tfvision.data.sources.exports.coco:coco_masks",
        "labelme": "tfvision.data.sources.exports.labelme:labelme",
        "yolo_polygons": "tfvision.data.sources.exports.yolo_polygons:yolo_polygons",
        "voc_masks": "tfvision.data.sources.exports.voc_export:voc_masks",
        "nnunet": "tfvision.data.sources.exports.nnunet:nnunet",
        "cityscapes": "tfvision.data.sources.exports.cityscapes:cityscapes",
        "object_masks": "tfvision.data.sources.exports.object_masks:object_masks",
        "colour_masks": "tfvision.data.sources.exports.class_colours:colour_masks",
        "class_folder": "tfvision.data.sources.folders.class_folder:class_folder",
        "label_table": "tfvision.data.sources.tables.class_table:label_table",
        "label_tables": "tfvision.data.sources.tables.class_table_parts:label_tables",
        "labelled_names": "tfvision.data.sources.folders.labelled_names:labelled_names",
        "run_length_table": "tfvision.data.sources.tables.run_length_table:run_length_table",
        "embedded_classes": "tfvision.data.sources.embedded_classes:embedded_classes",
        "box_table": "tfvision.data.sources.boxes.table:box_table",
        "coco_boxes": "tfvision.data.sources.boxes.coco:coco_boxes",
        "voc_boxes": "tfvision.data.sources.boxes.voc:voc_boxes",
        "yolo_boxes": "tfvision.data.sources.boxes.yolo:yolo_boxes",
        "labelme_boxes": "tfvision.data.sources.boxes.labelme:labelme_boxes",
        "tool_boxes": "tfvision.data.sources.boxes.tools:tool_boxes",
        "labels_of_boxes": "tfvision.data.sources.boxes.labels_of_boxes:labels_of_boxes",
        "embedded_boxes": "tfvision.data.sources.embedded_boxes:embedded_boxes",
    },
)

INPUTS = Registry(
    "input",
    {
        "full": "tfvision.data.crops.inputs:full",
        "crop": "tfvision.data.crops.inputs:crop",
        "masked": "tfvision.data.crops.inputs:masked",
        "mask_channel": "tfvision.data.crops.inputs:mask_channel",
        "patches": "tfvision.data.crops.inputs:patches",
        "dual": "tfvision.data.crops.inputs:dual",
        "removed": "tfvision.data.crops.inputs:removed",
    },
)

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    SOURCES,
    {
        "Source": "tfvision.data.sources.source:Source",
        "full": "tfvision.data.crops.inputs:full",
        "crop": "tfvision.data.crops.inputs:crop",
        "masked": "tfvision.data.crops.inputs:masked",
        "mask_channel": "tfvision.data.crops.inputs:mask_channel",
        "patches": "tfvision.data.crops.inputs:patches",
        "dual": "tfvision.data.crops.inputs:dual",
        "removed": "tfvision.data.crops.inputs:removed",
        "aggregate": "tfvision.data.crops.inputs:aggregate",
        "fit_image": "tfvision.data.crops.inputs:fit_image",
    },
)
