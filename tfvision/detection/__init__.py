"""Detection: boxes, anchors, matching, sampling, proposals, pooling, suppression.

Arrays in, arrays out. A box is `x1 y1 x2 y2` float32 in pixels, the far edges exclusive; classes
are 0..K-1, background is K. Batches are padded: boxes with zeros, classes with -1.
"""
