"""Metrics: of masks and labels from confusion matrices, of detections from matches."""

from tfvision.registry import Registry, lazy_names

METRICS = Registry(
    "metric",
    {
        "mean_iou": "tfvision.metrics.segmentation:MeanIoU",
        "mean_dice": "tfvision.metrics.segmentation:MeanDice",
        "pixel_accuracy": "tfvision.metrics.segmentation:PixelAccuracy",
        "accuracy": "tfvision.metrics.labels:Accuracy",
        "macro_f1": "tfvision.metrics.labels:MacroF1",
        "weighted_f1": "tfvision.metrics.labels:WeightedF1",
        "balanced_accuracy": "tfvision.metrics.labels:BalancedAccuracy",
    },
)

DETECTION_METRICS = Registry(
    "metric",
    dict.fromkeys(
        [
            *("ap", *(f"ap{iou}" for iou in range(50, 100, 5))),
            *("ap_small", "ap_medium", "ap_large"),
            *("ar1", "ar10", "ar100", "ar_small", "ar_medium", "ar_large"),
            *("f1", "precision", "recall", "string_accuracy"),
        ],
        "tfvision.metrics.detection_metric:DetectionMetric",
    ),
)

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    METRICS,
    {
        "Contract": "tfvision.metrics.contract:Contract",
        "conventions": "tfvision.metrics.contract:conventions",
        "confusion_matrix": "tfvision.metrics.confusion:confusion_matrix",
        "DetectionMetric": "tfvision.metrics.detection_metric:DetectionMetric",
        "DetectionEvidence": "tfvision.metrics.detections:DetectionEvidence",
        "coco_numbers": "tfvision.metrics.coco:coco_numbers",
    },
)
