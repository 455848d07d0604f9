"""Which of many anchors or proposals a loss is computed on.

| name | shape | dtype | what it is |
|---|---|---|---|
| match | (B, N) | int32 | as `matching.match` gives it |
| seed | (B, 2) | int32 | one an image: what is drawn depends on that alone |
| rows | (B, number) | int32 | of the chosen, positives first |
| chosen | (B, number) | bool | False where there were too few: that row counts nowhere |
"""

import tensorflow as tf

from tfvision.detection.matching import BACKGROUND


def sample(
    match: tf.Tensor, seed: tf.Tensor, *, number: int, positive_share: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws `number` rows an image, so many of them positive at most; the rest is background.

    Every positive is as likely as another, and so is all background. Where positives are few
    there is more background, as in Ren et al. 2015, section 3.1.3.

    Args:
        match, seed: As above.
        number: How many rows an image.
        positive_share: In [0, 1], of them.

    Returns:
        Rows and which of them are chosen, (B, number) each.
    """
    keys = tf.map_fn(
        lambda one: _whole_numbers(tf.shape(match)[1], one),
        seed,
        fn_output_signature=tf.TensorSpec([match.shape[1]], tf.int32),
    )
    most = round(number * positive_share)
    positives, hit = _highest(tf.where(match >= 0, keys, -1), most)
    others, free = _highest(tf.where(match == BACKGROUND, keys, -1), number)
    rank = tf.concat([tf.where(hit, 2, 0), tf.where(free, 1, 0)], 1)
    rank, place = tf.math.top_k(rank, number)  # of equal ones the first
    rows = tf.gather(tf.concat([positives, others], 1), place, batch_dims=1)
    return rows, rank > 0


def _whole_numbers(count: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """(count,) int32, none negative: the same on every device and under XLA, as floats are not."""
    drawn = tf.random.stateless_uniform(
        [count], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox"
    )
    return tf.bitwise.bitwise_and(drawn, tf.int32.max)


def _highest(keys: tf.Tensor, number: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows of the `number` highest keys, and which are drawn at all: their key is not -1."""
    room = tf.pad(keys, [[0, 0], [0, number]], constant_values=-1)
    highest, rows = tf.math.top_k(room, number)
    return tf.minimum(rows, tf.shape(keys)[1] - 1), highest >= 0
