"""The race over folds, on simulated candidates whose true order is known."""

import numpy as np
import pytest

from tfvision.metrics.contract import Contract
from tfvision.metrics.evidence import ConfusionEvidence
from tfvision.metrics.ratios import score_ratios
from tfvision.stats.race import FoldEvidence, nested_choice, race, score_interval

PLAIN = Contract()
FOLDS, IMAGES = 3, 24


def evidence(cms, units):
    evidence = ConfusionEvidence([str(i) for i in range(len(cms))], cms)
    return FoldEvidence(evidence, units, "mean_iou", PLAIN)


def field(gains, seed, *, luck=0.0):
    """{name: [FoldEvidence of each fold]}: two classes, images shared, `gains` move the recall."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(30, 90, (FOLDS, IMAGES, 2))
    hard = rng.normal(0, 0.6, (FOLDS, IMAGES, 1))
    counts = {}
    for number, gain in enumerate(gains):
        logits = 1.0 + gain + hard + rng.normal(0, 0.25, truth.shape)
        logits = logits + luck * rng.normal(size=(FOLDS, 1, 1))
        hits = np.rint(truth / (1 + np.exp(-logits))).astype(np.int64)
        cms = np.zeros((FOLDS, IMAGES, 2, 2), np.int64)
        for k in range(2):
            cms[..., k, k], cms[..., k, 1 - k] = hits[..., k], truth[..., k] - hits[..., k]
        counts[f"c{number}"] = [
            evidence(cms[f], [f"{f}-{i}" for i in range(IMAGES)]) for f in range(FOLDS)
        ]
    return counts


def run(counts, **options):
    options.setdefault("resamples", 400)
    return race(list(counts), FOLDS, lambda name, fold: counts[name][fold], **options)


def pooled(counts):
    return score_ratios(np.concatenate([c.evidence.counts for c in counts]), PLAIN).value()


def test_of_equal_candidates_a_given_one_is_seldom_dropped_and_the_choice_is_optimistic():
    """120 races of 4 equals: at most 5 % each; best of n too high, nested as it truly is."""
    dropped, best, nested = np.zeros(4), [], []
    truth = np.mean([pooled(c) for s in range(60) for c in field([0] * 4, 5000 + s).values()])
    for seed in range(120):
        counts = field([0, 0, 0, 0], seed)
        done = run(counts)
        dropped += [done.dropped_after(name) is not None for name in counts]
        best.append(pooled(counts[done.winner]))
        complete = {name: counts[name] for name in done.survivors}
        nested.append(pooled(nested_choice(complete)[1]))
    assert (dropped / 120).mean() <= 0.05
    optimism = np.array(best) - np.array(nested)
    error = optimism.std() / np.sqrt(120)
    assert optimism.mean() > 4 * error
    # Against the mean over all candidates of the same races, which the choice cannot raise.
    fair = [np.mean([pooled(c) for c in field([0] * 4, s).values()]) for s in range(120)]
    gap = np.array(nested) - fair
    assert abs(gap.mean()) < 3 * gap.std() / np.sqrt(120)
    assert (np.array(best) - fair).mean() > 4 * np.std(np.array(best) - fair) / np.sqrt(120)
    assert abs(np.mean(nested) - truth) < 0.01


def test_of_many_equals_a_given_one_is_as_seldom_dropped():
    dropped = np.zeros(15)
    for seed in range(20):
        counts = field([0] * 15, 900 + seed)
        done = run(counts)
        dropped += [done.dropped_after(name) is not None for name in counts]
        assert done.survivors
    assert (dropped / 20).mean() <= 0.05


def test_a_clearly_worse_candidate_is_dropped_after_the_first_fold_and_never_asked_again():
    counts = field([0.0, -0.6, 0.02], 1)
    asked = []

    def counts_of(name, fold):
        asked.append((name, fold))
        return counts[name][fold]

    done = race(list(counts), FOLDS, counts_of, resamples=2000)
    assert done.dropped_after("c1") == 0
    assert done.survivors == ["c0", "c2"]
    assert asked == [(n, 0) for n in counts] + [(n, f) for f in (1, 2) for n in ("c0", "c2")]
    verdict = done.rounds[0].verdicts["c1"]
    leader = done.rounds[0].leader
    expected = pooled(counts["c1"][:1]) - pooled(counts[leader][:1])
    assert verdict.difference == pytest.approx(expected)
    assert verdict.high < 0
    assert verdict.p_adjusted <= 0.05 / 2


def test_a_weak_first_fold_alone_drops_nobody():
    """One fold is hard for all: a threshold on its score would drop them; the race does not."""
    counts = field([0.0, 0.0], 3)
    for found in counts.values():
        found[0].evidence.counts[:, 0, 0] //= 4
    done = run(counts)
    assert done.survivors == ["c0", "c1"]
    assert done.rounds[0].scores["c0"] < 0.75 * pooled(counts["c0"][1:])


def test_scores_of_a_round_are_pooled_over_all_folds_so_far():
    counts = field([0.0, 0.1], 4)
    done = run(counts)
    for number, found in enumerate(done.rounds):
        for name, score in found.scores.items():
            assert score == pytest.approx(pooled(counts[name][: number + 1]))
    assert done.winner == max(counts, key=lambda n: pooled(counts[n]))


def test_units_that_belong_together_count_as_one():
    """Every image six times over is no more evidence than once."""
    counts = field([0.0, -0.12], 5)
    once = run(counts, alpha=0.0, resamples=4000)
    many = {
        name: [
            evidence(np.repeat(c.evidence.counts, 6, 0), np.repeat(c.units, 6).tolist())
            for c in found
        ]
        for name, found in counts.items()
    }
    grouped = run(many, alpha=0.0, resamples=4000)
    blind = {
        n: [evidence(c.evidence.counts, range(len(c.evidence.counts))) for c in f]
        for n, f in many.items()
    }
    naive = run(
        {
            n: [evidence(c.evidence.counts, [f"{k}-{u}" for u in c.units]) for k, c in enumerate(f)]
            for n, f in blind.items()
        },
        alpha=0.0,
        resamples=4000,
    )
    for one, same, other in zip(once.rounds, grouped.rounds, naive.rounds, strict=True):
        (a,), (b,), (c,) = (r.verdicts.values() for r in (one, same, other))
        assert b.high - b.low == pytest.approx(a.high - a.low, rel=0.1)
        assert c.high - c.low < 0.6 * (a.high - a.low)


def test_the_luck_of_a_training_widens_the_interval_by_its_size():
    counts = field([0.0, -0.35], 6)
    assert run(counts).dropped_after("c1") is not None
    lucky = run(counts, luck=0.5)
    assert lucky.dropped_after("c1") is None
    plain, wide = run(counts).rounds[0], lucky.rounds[0]
    assert wide.verdicts["c1"].p_value > plain.verdicts["c1"].p_value
    assert wide.verdicts["c1"].low < plain.verdicts["c1"].low


def test_trainings_with_luck_are_dropped_less_often_when_it_is_declared():
    """Equal candidates, each training lucky or not: only the declared luck keeps the promise."""
    wrong = {0.0: 0, 0.05: 0}
    for seed in range(40):
        counts = field([0, 0], seed, luck=0.35)
        for luck in wrong:
            wrong[luck] += len(run(counts, luck=luck).survivors) < 2
    assert wrong[0.0] >= 8
    assert wrong[0.05] <= 4


def test_nobody_is_dropped_before_the_least_number_of_folds_nor_without_a_level():
    counts = field([0.0, -0.6], 1)
    assert run(counts, least=2).dropped_after("c1") == 1
    assert run(counts, alpha=0.0).dropped_after("c1") is None
    assert run(counts, least=3).dropped_after("c1") is None


def test_a_candidate_without_a_score_neither_leads_nor_stops_the_race():
    counts = field([0.0, 0.0], 7)
    for found in counts["c0"]:
        found.evidence.counts[:] = 0
    done = run(counts)
    assert done.winner == "c1"
    assert np.isnan(done.rounds[0].verdicts["c0"].p_value)


def test_nested_choice_takes_for_each_fold_the_best_of_the_others():
    """A candidate that is best on one fold only is not chosen for that fold."""
    counts = field([0.0, 0.0], 8)
    counts["c1"][0] = evidence(
        np.eye(2, dtype=np.int64)[None] * np.ones((24, 1, 1), int) * 60, counts["c1"][0].units
    )
    for fold in (1, 2):
        counts["c1"][fold].evidence.counts[:, 0, 0] //= 2
    chosen, kept = nested_choice(counts)
    assert chosen[0] == "c0"
    assert kept[0] is counts["c0"][0]
    for fold, name in enumerate(chosen):
        others = [f for f in range(FOLDS) if f != fold]
        scores = {n: pooled([c[f] for f in others]) for n, c in counts.items()}
        assert name == max(scores, key=scores.get)


def test_score_interval_is_of_the_pooled_score():
    counts = field([0.0], 9)["c0"]
    score, low, high = score_interval(counts)
    assert score == pytest.approx(pooled(counts))
    covered = 0
    rng = np.random.default_rng(0)
    everything = np.concatenate([c.evidence.counts for c in counts])
    drawn = [pooled([evidence(everything[rng.integers(0, 72, 72)], range(72))]) for _ in range(400)]
    covered = np.mean([(low <= d <= high) for d in drawn])
    assert 0.9 <= covered <= 0.99
