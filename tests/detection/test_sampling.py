"""How many are drawn, of what, and that the draw depends on nothing but the image's seed."""

import numpy as np
import tensorflow as tf

from tfvision.detection.matching import BACKGROUND, IGNORED
from tfvision.detection.sampling import sample


def drawn(match, seed, number=64, share=0.5):
    rows, chosen = sample(
        tf.constant(match, tf.int32),
        tf.constant(seed, tf.int32),
        number=number,
        positive_share=share,
    )
    return rows.numpy(), chosen.numpy()


def images(rng, positives, background, count=500):
    match = np.full((len(positives), count), IGNORED)
    for i, (p, b) in enumerate(zip(positives, background, strict=True)):
        rows = rng.permutation(count)
        match[i, rows[:p]] = rng.integers(0, 4, p)
        match[i, rows[p : p + b]] = BACKGROUND
    return match


def test_counts():
    rng = np.random.default_rng(0)
    match = images(rng, [100, 5, 100, 0, 3, 0], [300, 300, 10, 300, 2, 0])
    rows, chosen = drawn(match, rng.integers(0, 9, (6, 2)))
    assert rows.shape == chosen.shape == (6, 64)
    found = np.take_along_axis(match, rows, 1)
    positives = ((found >= 0) & chosen).sum(1)
    background = ((found == BACKGROUND) & chosen).sum(1)
    assert positives.tolist() == [32, 5, 32, 0, 3, 0]
    assert background.tolist() == [32, 59, 10, 64, 2, 0]
    assert (positives + background == chosen.sum(1)).all()  # none that is ignored
    assert all(len(set(r[c])) == c.sum() for r, c in zip(rows, chosen, strict=True))


def test_fewer_anchors_than_are_asked_for():
    rows, chosen = drawn([[BACKGROUND, 2, IGNORED]], [[1, 2]])
    assert sorted(rows[chosen]) == [0, 1]


def test_same_under_any_cut_of_the_batch_and_another_for_each_seed():
    rng = np.random.default_rng(1)
    match = np.repeat(images(rng, [50], [400]), 4, 0)
    seed = np.array([[7, 1], [7, 2], [8, 1], [7, 1]])
    rows, _ = drawn(match, seed)
    np.testing.assert_array_equal(rows[0], rows[3])
    assert len({tuple(sorted(r)) for r in rows}) == 3
    for part in (slice(0, 1), slice(1, 4)):
        np.testing.assert_array_equal(drawn(match[part], seed[part])[0], rows[part])


def test_all_are_equally_likely():
    match = np.repeat(np.array([[0] * 20 + [BACKGROUND] * 20]), 400, 0)
    rows, chosen = drawn(match, [[i, 3] for i in range(400)], number=10)
    counts = np.bincount(rows[chosen], minlength=40)
    assert counts.sum() == 4000
    assert abs(counts - 100).max() < 5 * np.sqrt(100 * 0.75)
