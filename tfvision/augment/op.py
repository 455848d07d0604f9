"""`compose` makes one op of many. What a sample and an op are: see `sample`."""

from collections.abc import Sequence
from itertools import groupby

import tensorflow as tf

from tfvision.augment.affine import Affine, Flip, apply_run, common_border
from tfvision.augment.sample import Op, Sample
from tfvision.errors import InputError

__all__ = ["Op", "Sample", "compose"]


def compose(ops: Sequence[Op]) -> Op:
    """Applies `ops` in order, each with a seed of its own.

    Op i gets `fold_in(seed, i)`. An op that adds boxes says in an attribute `adds` how many at
    most; so does what is composed. Geometric ops that follow each other are merged into one
    resampling, which changes none of their draws.

    Raises:
        InputError: Where an entry is no op, or neighbours that are merged declare
            different borders.
    """
    ops = list(ops)
    for i, op in enumerate(ops):
        if not callable(op):
            raise InputError(
                f"compose: entry {i} must be an op, such as flip_lr(p=0.5), got {op!r}."
            )
    runs = [
        (geometric, list(run))
        for geometric, run in groupby(enumerate(ops), lambda entry: _is_geometric(entry[1]))
    ]
    for geometric, run in runs:
        if geometric:
            common_border([op for _, op in run])

    def composed(sample: Sample, seed: tf.Tensor) -> Sample:
        sample = dict(sample)
        for geometric, run in runs:
            seeds = [tf.random.experimental.stateless_fold_in(seed, i) for i, _ in run]
            if geometric:
                sample = apply_run([op for _, op in run], sample, seeds)
            else:
                for (_, op), own_seed in zip(run, seeds, strict=True):
                    sample = op(sample, own_seed)
        return sample

    composed.adds = sum(getattr(op, "adds", 0) for op in ops)
    return composed


def _is_geometric(op: Op) -> bool:
    return isinstance(op, Affine | Flip)
