"""Learning-rate schedules: the factor by which the optimizer's own rate is multiplied.

A schedule is a function of `progress`, the share of the training that is done, in
[0, 1], and of `epoch`, counted from 0. Counting in shares lets a time budget plan the
same curve as a number of epochs does. All but `Plateau` hold no state.
"""

import math

from tfvision.errors import InputError


class Schedule:
    """Base of all schedules: a linear warm-up, then `after`.

    Args:
        warmup: Share of the training, in [0, 1), in which the factor rises from 0 to 1.
    """

    def __init__(self, *, warmup: float = 0.0):
        self.warmup = _inside("warmup", warmup, 0, 1, upper_open=True)

    def factor(self, progress: float, epoch: int) -> float:
        """The factor at `progress` in [0, 1] of the training, inside epoch `epoch`."""
        if progress < self.warmup:
            return max(progress / self.warmup, 1e-3)
        return self.after((progress - self.warmup) / (1 - self.warmup), epoch)

    def after(self, progress: float, epoch: int) -> float:
        """The factor after the warm-up; `progress` is the share of what follows it."""
        raise NotImplementedError

    def observe(self, gain: bool) -> None:
        """Told after every epoch whether the monitored score reached a new best."""

    def state(self) -> dict:
        """What a checkpoint must hold to go on exactly."""
        return {}

    def restore(self, state: dict) -> None:
        """Takes back what `state` gave."""


class Constant(Schedule):
    """The rate stays."""

    def after(self, progress: float, epoch: int) -> float:
        return 1.0


class Cosine(Schedule):
    """Half a cosine from 1 to `floor` (Loshchilov and Hutter, 2017,
    https://arxiv.org/abs/1608.03983, without restarts).

    Args:
        warmup: Share of the training that warms up, in [0, 1).
        floor: Factor at the end, in [0, 1].
    """

    def __init__(self, *, warmup: float = 0.0, floor: float = 0.0):
        super().__init__(warmup=warmup)
        self.floor = _inside("floor", floor, 0, 1)

    def after(self, progress: float, epoch: int) -> float:
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


class Polynomial(Schedule):
    """`(1 - progress) ** power`, down to `floor` (the «poly» rule of DeepLab,
    https://arxiv.org/abs/1606.00915).

    Args:
        power: Exponent, above 0.
        warmup: Share of the training that warms up, in [0, 1).
        floor: Factor at the end, in [0, 1].
    """

    def __init__(self, *, power: float = 0.9, warmup: float = 0.0, floor: float = 0.0):
        super().__init__(warmup=warmup)
        self.power = _inside("power", power, 0, math.inf, lower_open=True)
        self.floor = _inside("floor", floor, 0, 1)

    def after(self, progress: float, epoch: int) -> float:
        return self.floor + (1 - self.floor) * (1 - min(progress, 1.0)) ** self.power


class Step(Schedule):
    """Multiplies the rate by `gamma` every `every` epochs.

    Args:
        every: Epochs between two steps, at least 1.
        gamma: Factor of each step, in (0, 1].
        warmup: Share of the training that warms up, in [0, 1).
    """

    def __init__(self, *, every: int, gamma: float = 0.1, warmup: float = 0.0):
        super().__init__(warmup=warmup)
        self.every = _whole("every", every)
        self.gamma = _inside("gamma", gamma, 0, 1, lower_open=True)

    def after(self, progress: float, epoch: int) -> float:
        return self.gamma ** (epoch // self.every)


class Plateau(Schedule):
    """Multiplies the rate by `gamma` when the validation score has not gained.

    Args:
        patience: Epochs without gain before a step, at least 1.
        gamma: Factor of each step, in (0, 1).
        floor: Smallest factor, in [0, 1].
        warmup: Share of the training that warms up, in [0, 1).
    """

    def __init__(
        self, *, patience: int = 10, gamma: float = 0.3, floor: float = 1e-3, warmup: float = 0.0
    ):
        super().__init__(warmup=warmup)
        self.patience = _whole("patience", patience)
        self.gamma = _inside("gamma", gamma, 0, 1, lower_open=True, upper_open=True)
        self.floor = _inside("floor", floor, 0, 1)
        self._steps = 0
        self._waited = 0

    def after(self, progress: float, epoch: int) -> float:
        return max(self.gamma**self._steps, self.floor)

    def observe(self, gain: bool) -> None:
        self._waited = 0 if gain else self._waited + 1
        if self._waited >= self.patience:
            self._steps += 1
            self._waited = 0

    def state(self) -> dict:
        return {"steps": self._steps, "waited": self._waited}

    def restore(self, state: dict) -> None:
        self._steps, self._waited = state["steps"], state["waited"]


def _whole(name, value):
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"{name} must be a whole number, at least 1. Received: {value!r}.")
    return value


def _inside(name, value, low, high, *, lower_open=False, upper_open=False):
    number = isinstance(value, int | float) and not isinstance(value, bool)
    upper_open = upper_open or high == math.inf
    good = (
        number
        and (low < value if lower_open else low <= value)
        and (value < high if upper_open else value <= high)
    )
    if not good:
        left, right = "(" if lower_open else "[", ")" if upper_open else "]"
        raise InputError(f"{name} must lie in {left}{low}, {high}{right}. Received: {value!r}.")
    return value
