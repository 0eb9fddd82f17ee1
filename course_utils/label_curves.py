"""How much a way of learning gets out of few labelled examples, and how sure that is.

Small sets of examples are drawn several times, because one draw says little. Nothing here knows
what is learned: it serves texts as well as pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from course_utils.plotting import curves


class CurvePoint(NamedTuple):
    """How good a way is with so many examples.

    Attributes
    ----------
    way : str
    size : int
        Labelled examples.
    mean, low, high : float
        Of the scores: the mean, and the ends of its 95 % confidence interval.
    scores : tuple of float
        One for each draw of examples.
    """

    way: str
    size: int
    mean: float
    low: float
    high: float
    scores: tuple[float, ...]


def label_curve(
    ways: Mapping[str, Callable[[int, int], float]], sizes: Sequence[int], draws: int = 3
) -> list[CurvePoint]:
    """Score ways of learning with few and with many labelled examples.

    Parameters
    ----------
    ways : mapping of str to callable
        `train_and_score(size, seed)` -> score on test examples; a seed stands for a draw of
        training examples, the same for each way.
    sizes : sequence of int
        Numbers of labelled examples.
    draws : int
        2 or more. Chance is in the draw and in the training, so the interval is about both
        (Student's t). It is not about the test examples, which are the same.

    Returns
    -------
    list of CurvePoint
        Way by way, size by size.

    Raises
    ------
    ValueError
        When there are fewer than two draws.

    Examples
    --------
    >>> for point in label_curve({"guess": lambda size, seed: size / 100 + seed / 10}, [20], 3):
    ...     print(point.way, point.size, [round(x, 2) for x in point[2:5]])
    guess 20 [0.3, 0.05, 0.55]
    """
    if draws < 2:
        raise ValueError(f"an interval takes 2 draws or more, got {draws}")
    points = []
    for way, train_and_score in ways.items():
        for size in sizes:
            scores = tuple(float(train_and_score(size, seed)) for seed in range(draws))
            points.append(CurvePoint(way, size, *confidence_interval(scores), scores))
    return points


def confidence_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean of a few measurements and the ends of its confidence interval, by Student's t.

    Examples
    --------
    >>> [round(x, 3) for x in confidence_interval([1.0, 2.0, 3.0])]
    [2.0, -0.484, 4.484]
    """
    from scipy.stats import t

    count = len(values)
    mean = sum(values) / count
    variance = sum((value - mean) ** 2 for value in values) / (count - 1)
    half = float(t.ppf((1 + level) / 2, count - 1)) * math.sqrt(variance / count)
    return mean, mean - half, mean + half


def linear_probe(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], *, strength: float = 0.1
) -> Int[Tensor, " N"]:
    """Learn one linear layer on features, by scikit-learn's logistic regression, and predict.

    Parameters
    ----------
    train, test : pairs of features "N D" and labels "N"
        Features are scaled to the mean 0 and the width 1 that they have in training.
    strength : float
        C of `LogisticRegression`: the smaller, the smaller the weights.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000))
    probe.fit(*(part.numpy() for part in train))
    return torch.from_numpy(probe.predict(test[0].numpy()))


def draw_label_curve(points: Sequence[CurvePoint], *, y_label: str, ax: Any = None) -> Any:
    """Draw a line for each way over the number of labelled examples, with its intervals.

    Parameters
    ----------
    points : sequence of CurvePoint
        Of `label_curve`.
    y_label : str
        What the scores are.
    ax : Axes, optional
    """
    ways: dict[str, list[CurvePoint]] = {}
    for point in points:
        ways.setdefault(point.way, []).append(point)
    lines = {name: ([p.size for p in ps], [p.mean for p in ps]) for name, ps in ways.items()}
    ax = curves(lines, x_label="labelled examples", y_label=y_label, ax=ax)
    for line, own in zip(ax.lines[-len(ways) :], ways.values(), strict=True):
        sizes, lows, highs = ([getattr(p, key) for p in own] for key in ("size", "low", "high"))
        ax.fill_between(sizes, lows, highs, color=line.get_color(), alpha=0.15, linewidth=0)
    sizes = sorted({point.size for point in points})
    ax.set_xscale("log")
    ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
    ax.minorticks_off()
    return ax
