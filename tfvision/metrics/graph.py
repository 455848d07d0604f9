"""Confusion matrices inside a compiled step: `keras.ops` only, any backend."""

from collections.abc import Sequence

from keras import ops


def confusion_matrices(labels, predictions, num_classes: int, ignore_labels: Sequence[int] = ()):
    """Counts the pixels of each image by true and predicted class.

    A graph can not raise an error that names a label. So an image that has a label or a
    prediction outside 0..K-1, or one that is not a whole number, on a counted pixel comes back
    as -1 in all its cells: the scores of `contract.py` refuse that with the image's index, and
    the metrics of `segmentation.py` give NaN.

    Args:
        labels: (B, H, W), whole numbers of any dtype.
        predictions: (B, H, W), predicted labels.
        num_classes: K.
        ignore_labels: True labels whose pixels are not counted; any whole numbers.

    Returns:
        (B, K, K) int32, rows the truth, columns the prediction.
    """
    truth, known_truth = _as_labels(labels, num_classes)
    predicted, known_predicted = _as_labels(predictions, num_classes)
    counted = ops.ones_like(known_truth)
    for label in ignore_labels:
        counted = ops.logical_and(counted, ops.not_equal(truth, label))
    known = ops.logical_and(known_truth, known_predicted)
    illegal = ops.any(ops.logical_and(counted, ops.logical_not(known)), axis=(1, 2))

    # One segment a cell of each image's matrix. A pixel that does not count adds 0 to cell 0.
    counted = ops.logical_and(counted, known)
    batch, cells = ops.shape(truth)[0], num_classes * num_classes
    image = ops.reshape(ops.arange(batch, dtype="int32"), (-1, 1, 1))
    cell = ops.where(counted, truth * num_classes + predicted, 0) + image * cells
    matrices = ops.segment_sum(
        ops.reshape(ops.cast(counted, "int32"), (-1,)),
        ops.reshape(cell, (-1,)),
        num_segments=batch * cells,
    )
    matrices = ops.reshape(matrices, (-1, num_classes, num_classes))
    return ops.where(ops.reshape(illegal, (-1, 1, 1)), -1, matrices)


def _as_labels(values, num_classes: int):
    """Whole numbers as int32, and where they are classes. 2.5 is none."""
    values = ops.convert_to_tensor(values)
    labels = ops.cast(values, "int32")
    whole = ops.equal(ops.cast(labels, values.dtype), values)
    return labels, ops.logical_and(whole, ops.logical_and(labels >= 0, labels < num_classes))
