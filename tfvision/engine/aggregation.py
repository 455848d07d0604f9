"""Weights over the pieces of an image, learnt: attention pooling. NumPy only, deterministic.

`tfvision.data.crops.inputs.aggregate` has rules without anything to fit. Here the weights of an
image's pieces are a function of what the network says of each piece and of its area, fitted on
images that the network did not train on (out of fold), and scored on yet others (`nested`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tfvision.data.crops.inputs import AGGREGATES, aggregate
from tfvision.errors import InputError

_LEAST = 1e-6  # probability that a logarithm is taken of instead of 0
_STEPS, _RATE = 400, 0.05  # of Adam on all images at once


@dataclass(frozen=True)
class PieceScores:
    """What a network says of n pieces of N images.

    Attributes:
        probabilities: (n, K) float, rows of sum 1.
        weights: (n,) float above 0, `Piece.weight`: areas in pixels.
        images: (n,) int from 0 to N - 1, the image of each; each image has a piece.
    """

    probabilities: np.ndarray
    weights: np.ndarray
    images: np.ndarray

    def of(self, images: np.ndarray) -> "PieceScores":
        """The pieces of some images, which are numbered 0, 1, ... in the order given."""
        number = np.full(self.images.max() + 1, -1)
        number[images] = np.arange(len(images))
        kept = number[self.images] >= 0
        return PieceScores(self.probabilities[kept], self.weights[kept], number[self.images[kept]])


@dataclass(frozen=True)
class Attention:
    """Attention over the pieces of an image: Ilse, Tomczak and Welling, 2018, arXiv:1802.04712.

    A piece's features h are its log-probabilities and the logarithm of its area, standardised. Its
    score is w . tanh(V h) (equation 8), or w . (tanh(V h) * sigmoid(U h)) where gated (equation
    9); the softmax of the scores of an image's pieces are their weights, and the image's
    probabilities the weighted mean of theirs. With w = 0 that is the plain mean.

    Attributes:
        v: (L, K + 1).
        u: The same, or None: not gated.
        w: (L,).
        mean, spread: (K + 1,) of the features it was fitted on.
    """

    v: np.ndarray
    u: np.ndarray | None
    w: np.ndarray
    mean: np.ndarray
    spread: np.ndarray

    def __call__(self, pieces: PieceScores) -> np.ndarray:
        """(N, K) float64: the probabilities of the images."""
        share = self.shares(pieces)[:, None] * np.asarray(pieces.probabilities, np.float64)
        return _sums(share, pieces.images)

    def shares(self, pieces: PieceScores) -> np.ndarray:
        """(n,) float64: the weight of each piece in its image; they sum to 1 over an image."""
        features = (_features(pieces) - self.mean) / self.spread
        hidden, gate = _hidden(self.v, self.u, features)
        return _softmax((hidden * gate) @ self.w, pieces.images)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for JSON."""
        return {
            name: None if value is None else np.asarray(value).tolist()
            for name, value in vars(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Attention":
        """The inverse of `to_dict`."""
        return cls(**{k: None if v is None else np.array(v, float) for k, v in values.items()})


def fit_attention(
    pieces: PieceScores,
    labels: np.ndarray,
    *,
    hidden: int = 4,
    gated: bool = False,
    decay: float = 0.01,
    seed: int = 0,
) -> Attention:
    """Fits the weights to the least log-loss of the images, plus a decay towards the plain mean.

    Args:
        pieces: Of images that the network did not train on.
        labels: (N,) int, 0 to K - 1.
        hidden: L, from 1 up; there are L (K + 2) parameters, or L (2 K + 3) where gated.
        gated: Whether scores have a gate, see `Attention`.
        decay: Half of it times the sum of all squared parameters is added to the loss.
        seed: Of the first V and U.

    Raises:
        InputError: The numbers do not fit together.
    """
    labels = np.asarray(labels)
    _check(pieces, len(labels))
    if isinstance(hidden, bool) or not isinstance(hidden, int) or hidden < 1:
        raise InputError(f"hidden must be a whole number from 1 up, got {hidden!r}.")
    if not decay >= 0:
        raise InputError(f"decay must be a number from 0 up, got {decay!r}.")
    features = _features(pieces)
    mean = features.mean(axis=0)
    spread = np.maximum(features.std(axis=0), 1e-6)  # features that never vary count nothing
    features = (features - mean) / spread
    rng = np.random.default_rng(seed)
    shape = (hidden, features.shape[1])
    parameters = [rng.normal(0, 1 / np.sqrt(shape[1]), shape) for _ in range(1 + gated)]
    parameters.append(np.zeros(hidden))  # from the plain mean
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    for step in range(1, _STEPS + 1):
        _, gradients = loss_and_gradients(parameters, features, pieces, labels, decay)
        rate = _RATE * (1 - step / (_STEPS + 1))
        for parameter, gradient, (first, second) in zip(
            parameters, gradients, moments, strict=True
        ):
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            moved = first / (1 - 0.9**step)
            parameter -= rate * moved / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    v, *u, w = parameters
    return Attention(v, u[0] if u else None, w, mean, spread)


def loss_and_gradients(
    parameters: list[np.ndarray],
    features: np.ndarray,
    pieces: PieceScores,
    labels: np.ndarray,
    decay: float,
) -> tuple[float, list[np.ndarray]]:
    """The mean log-loss of the images with the decay, and its gradient by each parameter.

    Args:
        parameters: V, U where gated, w; see `Attention`.
        features: (n, K + 1), standardised.
        pieces, labels, decay: As `fit_attention` has them.
    """
    v, *u, w = parameters
    hidden, gate = _hidden(v, u[0] if u else None, features)
    share = _softmax((hidden * gate) @ w, pieces.images)
    of_truth = np.maximum(
        np.asarray(pieces.probabilities, np.float64)[
            np.arange(len(features)), labels[pieces.images]
        ],
        _LEAST,
    )
    total = _sums(share * of_truth, pieces.images)
    loss = -np.log(total).mean() + decay / 2 * sum(np.sum(p**2) for p in parameters)
    by_score = -share * (of_truth / total[pieces.images] - 1) / len(total)
    by_hidden = by_score[:, None] * w * gate * (1 - hidden**2)
    gradients = [by_hidden.T @ features + decay * v]
    if u:
        by_gate = by_score[:, None] * w * hidden * gate * (1 - gate)
        gradients.append(by_gate.T @ features + decay * u[0])
    gradients.append((hidden * gate).T @ by_score + decay * w)
    return float(loss), gradients


def image_probabilities(pieces: PieceScores, how: str = "mean") -> np.ndarray:
    """(N, K) float64: `aggregate` of every image."""
    order = np.argsort(pieces.images, kind="stable")
    starts = np.flatnonzero(np.diff(pieces.images[order], prepend=-1))
    return np.stack(
        [
            aggregate(pieces.probabilities[rows], pieces.weights[rows], how)
            for rows in np.split(order, starts[1:])
        ]
    )


def nested(
    pieces: PieceScores, labels: np.ndarray, folds: np.ndarray, how: str, **fit: Any
) -> np.ndarray:
    """(N, K) float64: the images' probabilities, of each fold by what the others taught.

    Their score may be held against that of any other `how`: nothing that was fitted has seen the
    labels it is scored on.

    Args:
        pieces: As their fold's network, which did not train on them, scores them.
        labels: (N,) int, 0 to K - 1.
        folds: (N,) the fold of each image, of two folds or more.
        how: "attention", or one of AGGREGATES, which fit nothing.
        **fit: For `fit_attention`.

    Raises:
        InputError: There is no such `how`, fewer than two folds, or the numbers do not fit.
    """
    labels, folds = np.asarray(labels), np.asarray(folds)
    _check(pieces, len(labels))
    if how in AGGREGATES:
        return image_probabilities(pieces, how)
    if how != "attention":
        raise InputError(f"how must be attention or one of {', '.join(AGGREGATES)}; got {how!r}.")
    names = np.unique(folds)
    if folds.shape != labels.shape or len(names) < 2:
        raise InputError(
            f"attention needs a fold for each of the {len(labels)} images, of two folds or more; "
            f"got {len(folds)} values of {len(names)} folds."
        )
    out = np.zeros((len(labels), pieces.probabilities.shape[1]))
    for name in names:
        held, others = np.flatnonzero(folds == name), np.flatnonzero(folds != name)
        attention = fit_attention(pieces.of(others), labels[others], **fit)
        out[held] = attention(pieces.of(held))
    return out


def _features(pieces: PieceScores) -> np.ndarray:
    """(n, K + 1) float64: log-probabilities and log-area."""
    logs = np.log(np.maximum(np.asarray(pieces.probabilities, np.float64), _LEAST))
    return np.concatenate([logs, np.log(pieces.weights.astype(np.float64))[:, None]], axis=1)


def _hidden(
    v: np.ndarray, u: np.ndarray | None, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray | float]:
    """(n, L): tanh(V h), and the gate sigmoid(U h), 1 where there is none."""
    gate = 1.0 if u is None else (1 + np.tanh(features @ u.T / 2)) / 2
    return np.tanh(features @ v.T), gate


def _softmax(scores: np.ndarray, images: np.ndarray) -> np.ndarray:
    """(n,): the softmax of the scores over the pieces of each image."""
    most = np.full(images.max() + 1, -np.inf)
    np.maximum.at(most, images, scores)
    grown = np.exp(scores - most[images])
    return grown / _sums(grown, images)[images]


def _sums(values: np.ndarray, images: np.ndarray) -> np.ndarray:
    """(N, ...): sums over the pieces of each image."""
    out = np.zeros((images.max() + 1, *values.shape[1:]))
    np.add.at(out, images, values)
    return out


def _check(pieces: PieceScores, num_images: int) -> None:
    n = len(pieces.probabilities)
    fits = pieces.probabilities.ndim == 2 and pieces.weights.shape == pieces.images.shape == (n,)
    if not fits or not np.array_equal(np.unique(pieces.images), np.arange(num_images)):
        raise InputError(
            f"Pieces must have probabilities (n, K), weights (n,) and images (n,) with each of 0 "
            f"to {num_images - 1}, as there are {num_images} labels; got "
            f"{pieces.probabilities.shape}, {pieces.weights.shape}, {pieces.images.shape} with "
            f"{len(np.unique(pieces.images))} different images."
        )
    if not (np.isfinite(pieces.weights).all() and (pieces.weights > 0).all()):
        raise InputError("The weights of pieces, their areas, must be above 0.")
