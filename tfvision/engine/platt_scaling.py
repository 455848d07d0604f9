"""One-vs-rest scores on one scale: a factor and an offset a channel, fitted after training.

Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized
Likelihood Methods", 1999: p = sigmoid(a s + b), fitted by maximum likelihood on samples that
were not trained on, the targets drawn a little towards each other so that scores which
separate the two sides perfectly leave a finite. Nets that were trained apart, or with weighted
losses, are sure of themselves to different degrees; their largest score means little before.
"""

from dataclasses import dataclass

import keras
import numpy as np

LAYER = "calibration"


@dataclass(frozen=True)
class Calibration:
    """What makes scores comparable: `scale * score + bias` is the logit of a probability.

    Attributes:
        scale, bias: One number a channel.
        left: Channel -> why it was left as it is, with scale 1 and bias 0.
    """

    scale: list[float]
    bias: list[float]
    left: dict[int, str]


def fit(scores: np.ndarray, positive: np.ndarray) -> Calibration:
    """Fits every channel by itself.

    Args:
        scores: (n, C) logits.
        positive: (n, C) bool, whether the pixel is of the channel's class.
    """
    scale, bias, left = [], [], {}
    for c in range(scores.shape[1]):
        s, t = scores[:, c].astype(np.float64), positive[:, c]
        a, b = 1.0, 0.0
        if not t.any() or t.all():
            left[c] = f"the validation split holds {'only' if t.all() else 'no'} pixels of it"
        elif not np.isfinite(s).all() or np.ptp(s) == 0:
            left[c] = "its scores are all equal, or not finite"
        else:
            a, b = platt(s, t)
            if a <= 0:
                left[c] = "its net scores pixels of the class lower than others"
                a, b = 1.0, 0.0
        scale.append(a)
        bias.append(b)
    return Calibration(scale, bias, left)


def platt(scores: np.ndarray, positive: np.ndarray) -> tuple[float, float]:
    """The a and b of p = sigmoid(a s + b) that make `positive` likeliest.

    Newton's method with step halving on a convex function of two numbers. Targets are
    (N+ + 1) / (N+ + 2) and 1 / (N- + 2), as in Platt's section 2.2.

    Args:
        scores: (n,) float64, finite, not all equal.
        positive: (n,) bool, of both kinds.
    """
    many, few = positive.sum(), (~positive).sum()
    target = np.where(positive, (many + 1) / (many + 2), 1 / (few + 2))
    middle, spread = scores.mean(), scores.std()
    s = (scores - middle) / spread
    x = np.stack([s, np.ones_like(s)], axis=1)

    def cost(theta):
        z = x @ theta
        return float(np.mean(np.logaddexp(0, z) - target * z))

    theta = np.zeros(2)
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -500, 500)))
        gradient = x.T @ (p - target) / len(s)
        if np.abs(gradient).max() < 1e-10:
            break
        hessian = (x * (p * (1 - p))[:, None]).T @ x / len(s)
        step = np.linalg.solve(hessian + 1e-12 * np.eye(2), gradient)
        size, now = 1.0, cost(theta)
        while cost(theta - size * step) > now and size > 1e-8:
            size /= 2
        theta = theta - size * step
    a = theta[0] / spread
    return float(a), float(theta[1] - a * middle)


def layer_of(model: keras.Model) -> keras.layers.DepthwiseConv2D | None:
    """The calibration layer of a model of specialists, None of any other."""
    if not getattr(model, "one_vs_rest", False):
        return None
    return model.get_layer(LAYER)


def put_into(model: keras.Model, scale, bias) -> None:
    """Gives the calibration layer its numbers, one a channel."""
    layer = layer_of(model)
    kernel = np.asarray(scale, np.float32).reshape(layer.get_weights()[0].shape)
    layer.set_weights([kernel, np.asarray(bias, np.float32)])
