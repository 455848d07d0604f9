"""Schedules against their closed forms, and what they refuse."""

import math

import numpy as np
import pytest

from tfvision.engine import SCHEDULES
from tfvision.engine.schedules import Constant, Cosine, Plateau, Polynomial, Step
from tfvision.errors import InputError
from tfvision.registry import Spec

SHARES = np.linspace(0, 1, 201)
BY_PROGRESS = [
    Constant(),
    Cosine(),
    Polynomial(),
    Cosine(floor=0.1),
    Polynomial(power=2, floor=0.2),
]


def curve(schedule, shares=SHARES, epoch=0):
    return np.array([schedule.factor(p, epoch) for p in shares])


def test_constant_is_one():
    np.testing.assert_array_equal(curve(Constant()), 1.0)


def test_cosine_is_half_a_cosine():
    np.testing.assert_allclose(curve(Cosine()), (1 + np.cos(np.pi * SHARES)) / 2, atol=1e-15)
    schedule = Cosine(floor=0.2)
    assert schedule.factor(0, 0) == 1.0
    assert schedule.factor(0.5, 0) == pytest.approx(0.6)
    assert schedule.factor(1, 0) == pytest.approx(0.2)


def test_polynomial_is_the_poly_rule():
    np.testing.assert_allclose(curve(Polynomial()), (1 - SHARES) ** 0.9, atol=1e-15)
    schedule = Polynomial(power=2.0, floor=0.1)
    assert schedule.factor(0, 0) == 1.0
    assert schedule.factor(0.5, 0) == pytest.approx(0.1 + 0.9 * 0.25)
    assert schedule.factor(1, 0) == pytest.approx(0.1)


def test_step_multiplies_every_so_many_epochs():
    schedule = Step(every=3, gamma=0.5)
    assert [schedule.factor(0.7, e) for e in range(8)] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize(
    "make",
    [
        lambda w: Constant(warmup=w),
        lambda w: Cosine(warmup=w),
        lambda w: Polynomial(warmup=w),
        lambda w: Step(every=2, warmup=w),
        lambda w: Plateau(warmup=w),
    ],
)
def test_warmup_rises_linearly_and_then_the_whole_curve_follows(make):
    warm, plain = make(0.2), make(0.0)
    assert warm.factor(0.0, 0) == 1e-3  # not 0: the first step would be lost
    assert warm.factor(0.05, 0) == pytest.approx(0.25)
    assert warm.factor(0.1, 0) == pytest.approx(0.5)
    assert warm.factor(0.2, 0) == plain.factor(0.0, 0) == 1.0
    assert warm.factor(0.6, 0) == pytest.approx(plain.factor(0.5, 0))
    assert warm.factor(1.0, 0) == pytest.approx(plain.factor(1.0, 0))


@pytest.mark.parametrize("schedule", BY_PROGRESS)
def test_factors_fall_and_stay_in_the_unit_interval(schedule):
    factors = curve(schedule)
    assert np.all(np.diff(factors) <= 0)
    assert np.all((factors >= 0) & (factors <= 1))


@pytest.mark.parametrize("schedule", [Cosine(warmup=0.3), Polynomial(warmup=0.3)])
def test_with_warmup_there_is_one_summit(schedule):
    factors = curve(schedule, np.linspace(0, 1, 1001))
    summit = int(factors.argmax())
    assert summit == 300
    assert np.all(np.diff(factors[: summit + 1]) >= 0)
    assert np.all(np.diff(factors[summit:]) <= 0)


@pytest.mark.parametrize("schedule", BY_PROGRESS)
def test_a_hair_beyond_the_end_is_the_end(schedule):
    assert schedule.factor(1 + 1e-9, 0) == pytest.approx(schedule.factor(1.0, 0))


def test_plateau_steps_after_patience_without_gain():
    schedule = Plateau(patience=2, gamma=0.5, floor=0.2)
    factors = []
    for gain in [True, False, False, False, True, False, False, False, False]:
        schedule.observe(gain)
        factors.append(schedule.factor(0.5, 0))
    assert factors == [1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2]


def test_plateau_goes_on_from_its_saved_state():
    gains = [False, True, False, False, False, False]
    whole, first, second = (Plateau(patience=2, gamma=0.5) for _ in range(3))
    for gain in gains:
        whole.observe(gain)
    for gain in gains[:3]:
        first.observe(gain)
    second.restore(first.state())
    for gain in gains[3:]:
        second.observe(gain)
    assert second.state() == whole.state() == {"steps": 2, "waited": 0}
    assert second.factor(0.5, 0) == whole.factor(0.5, 0) == 0.25


@pytest.mark.parametrize("schedule", [Constant(), Cosine(), Polynomial(), Step(every=1)])
def test_the_others_remember_nothing(schedule):
    before = schedule.factor(0.3, 1)
    schedule.observe(False)
    assert schedule.state() == {}
    schedule.restore({})
    assert schedule.factor(0.3, 1) == before


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (Spec(name="cosine", warmup=1.0), r"warmup must lie in \[0, 1\)\. Received: 1\.0"),
        (Spec(name="constant", warmup=-0.1), r"warmup must lie in \[0, 1\)\. Received: -0\.1"),
        (Spec(name="cosine", floor=1.5), r"floor must lie in \[0, 1\]\. Received: 1\.5"),
        (Spec(name="cosine", floor=math.nan), r"floor must lie in \[0, 1\]\. Received: nan"),
        (Spec(name="cosine", warmup="fast"), r"warmup must lie in \[0, 1\)\. Received: 'fast'"),
        (Spec(name="cosine", warmup=True), r"warmup must lie in \[0, 1\)\. Received: True"),
        (Spec(name="polynomial", power=0), r"power must lie in \(0, inf\)\. Received: 0"),
        (Spec(name="polynomial", power=math.inf), r"power must lie in \(0, inf\)\. Received: inf"),
        (Spec(name="step", every=0), r"every must be a whole number, at least 1\. Received: 0"),
        (
            Spec(name="step", every=1.5),
            r"every must be a whole number, at least 1\. Received: 1\.5",
        ),
        (Spec(name="step", every=2, gamma=0), r"gamma must lie in \(0, 1\]\. Received: 0"),
        (Spec(name="step"), r"schedule `step` needs every\. Write step\(every=\.\.\.\)"),
        (Spec(name="plateau", patience=0), "patience must be a whole number, at least 1"),
        (Spec(name="plateau", gamma=1.0), r"gamma must lie in \(0, 1\)\. Received: 1\.0"),
        (Spec(name="plateau", floor=-1), r"floor must lie in \[0, 1\]\. Received: -1"),
        (Spec(name="cosine", power=2), "Unknown argument of schedule `cosine`: 'power'"),
    ],
)
def test_bad_arguments(spec, message):
    with pytest.raises(InputError, match=message):
        SCHEDULES.build(spec)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_keeps_its_promise(name):
    needed = {"every": 2} if name == "step" else {}
    schedule = SCHEDULES.build(Spec(name=name, warmup=0.1, **needed))
    for share in SHARES:
        assert 0 < schedule.factor(share, 0) <= 1 or share == 1.0
    copy = SCHEDULES.build(Spec(name=name, warmup=0.1, **needed))
    schedule.observe(False)
    copy.restore(schedule.state())
    assert copy.factor(0.7, 3) == schedule.factor(0.7, 3)
