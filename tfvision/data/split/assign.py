"""Assigning samples to splits or folds: of several cuts of the chains, the best one."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tfvision.data.scan.result import Scan
from tfvision.data.sources.source import Record
from tfvision.data.split.chain_blocks import (
    Near,
    crossings,
    cut,
    parted,
    runs,
    within_groups,
)
from tfvision.data.split.stratify import chance, make_units, share_out

BLOCKS = (1, 2, 3, 4)  # blocks of which the smallest side is made
MAX_DRAWS, SAMPLES = 12, 2000  # draws of each kind of block, fewer where samples are many
AS_GOOD = 0.03  # of the cost: so near to the lowest the first draw is taken, so that seeds differ

Splits = list[str | None]


def assign(
    scan: Scan,
    records: Sequence[Record],
    free: Sequence[int],
    shares: dict[str, float],
    *,
    seed: int,
    near: Near,
    finish: Callable[[dict[int, str]], list[Splits]],
    least: int,
) -> tuple[dict[int, str] | None, int]:
    """A side for each free sample.

    Chains are cut in several ways: not at all, or into blocks of which the smallest side
    takes one to four, each in several draws of the borders and of the order. What is near in
    another way, equal or of one group stays together. Of all ways the first is taken that is
    about as good as any in leaving out little, meeting the shares and spreading the classes.

    Args:
        scan: The scan of these records.
        records: Those of the source.
        free: Indices of the samples to assign.
        shares: Side -> its share of them; they sum to 1.
        seed: Of all chance.
        near: The near-duplicates.
        finish: From the side of each sample the splits it leads to, gap and all: one
            list, or one for each fold.
        least: How many independent units there must be.

    Returns:
        Sample -> side, or None where no way fills every split, and the largest number of
        independent units there was.
    """
    found: list[tuple[float, dict[int, str]]] = []
    most = 0
    loose = near.loose(records)
    for order, blocks in _cuts(records, free, shares, seed, near=near):
        units = make_units(scan, records, order, among=free, together=[*loose, *blocks])
        most = max(most, len(units))
        if len(units) < least:
            continue
        sides = share_out(units, shares, scan.num_classes)
        assigned = {i: side.name for side in sides for unit in side.units for i in unit.members}
        finished = finish(assigned)
        if _filled(shares, finished):
            found.append((_cost(scan, free, shares, finished), assigned))
    limit = min((cost for cost, _ in found), default=0.0) + AS_GOOD
    return next((assigned for cost, assigned in found if cost <= limit), None), most


def _cuts(records, free, shares, seed, near: Near) -> Iterator[tuple[str, list[list[int]]]]:
    """Seeds of the order, each with a way to cut the chains; the whole ones come first."""
    allowed = set(free)
    yield str(seed), [[i for i in chain if i in allowed] for chain in near.chains]
    sequences = [run for sequence in near.sequences(records) for run in runs(sequence, allowed)]
    pairs = np.asarray([pair[:2] for pair in near.pairs], np.int64).reshape(-1, 2)
    chains = [
        chain
        for run in sequences
        for chain in parted(run, records, crossings(run, pairs, len(records)))
        if len(chain) > 1
    ]
    if not chains or len(shares) == 1:
        return
    smallest = min(shares.values()) * len(free)
    # A border is set where the fewest pairs cross it, and within a group only for want of others.
    weak = [
        crossings(chain, pairs, len(records)) + within_groups(chain, records) * (len(pairs) + 1)
        for chain in chains
    ]
    for draw in range(min(MAX_DRAWS, max(2, SAMPLES // len(free)))):
        order = f"{seed} {draw}"
        phases = [int(chance(order, chain, records)[:8], 16) / 16**8 for chain in chains]
        for parts in BLOCKS:
            length = max(2.0, smallest / parts)
            blocks = [
                block
                for chain, crossing, phase in zip(chains, weak, phases, strict=True)
                for block in cut(chain, length, crossing, phase=phase)
            ]
            yield order, blocks


def _filled(shares, finished: list[Splits]) -> bool:
    """Whether there are samples in every split that there must be."""
    wanted = {"train", "val"} if len(finished) > 1 else {"train", *shares}
    return all(wanted <= set(splits) for splits in finished)


def _cost(scan, free, shares, finished: list[Splits]) -> float:
    """How far an assignment is from what is wanted.

    The sum of: twice the share of the samples left out; thrice the distances of the sizes
    of validation and test from their shares; mean distance of their class shares from
    those of the whole; number of classes that one of them lacks. The mean over the folds,
    where there are any.
    """
    present = scan.class_pixels > 0
    whole = present[free].mean(axis=0)
    costs = []
    for splits in finished:
        rows = {name: [i for i in free if splits[i] == name] for name in ("train", "val", "test")}
        lost = 1 - sum(map(len, rows.values())) / len(free)
        wanted = {"val": min(shares.values())} if len(finished) > 1 else shares
        sizes = sum(abs(len(rows[k]) / len(free) - wanted.get(k, 0)) for k in ("val", "test"))
        parts = [present[rows[name]] for name in ("val", "test") if rows[name]]
        uneven = [np.abs(part.mean(axis=0) - whole).mean() for part in parts]
        absent = sum((~part.any(axis=0) & (whole > 0)).sum() for part in parts)
        costs.append(2 * lost + 3 * sizes + sum(uneven) / max(1, len(uneven)) + absent)
    return float(np.mean(costs))
