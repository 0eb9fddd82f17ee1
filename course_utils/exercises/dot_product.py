"""Check of the exercise on scaled dot-product attention.

The right answer with its parts to exchange, and the hints, are used for several heads too.

Axis letters: B batch, Tq, Tk number of queries and keys, D, Dv width of the keys and values.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises import transformer_solutions as solutions
from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Comparison, Inputs, Outputs, key_mask, normal
from course_utils.exercises.variants import two_at_once, variants


def pair_mask(generator: torch.Generator, *shape: int) -> Tensor:
    """Bool "B Tq Tk" for a case: every query may attend to some key, and not to some other."""
    mask = torch.rand(*shape, generator=generator, device="cpu") < 0.6
    rows = torch.arange(shape[1], device="cpu")
    first, last = rows % shape[2], (rows + 1) % shape[2]
    mask[:, rows, first], mask[:, rows, last] = True, False
    return mask


def _cases() -> list[Inputs]:
    generator = torch.Generator().manual_seed(21)
    rand = partial(normal, generator)
    everywhere = torch.ones(4, 4, 4, dtype=torch.bool, device="cpu")
    return [
        (rand(4, 4, 4), rand(4, 4, 4), rand(4, 4, 4), everywhere),
        (rand(4, 4, 4), rand(4, 4, 4), rand(4, 4, 4), pair_mask(generator, 4, 4, 4)),
        (rand(3, 4, 6), rand(3, 5, 6), rand(3, 5, 2), key_mask(5, 2, 3)),
        (rand(1, 1, 3), rand(1, 3, 3), rand(1, 3, 2), key_mask(2)[..., [0, 1, 0]]),
        (40 * rand(2, 3, 4), 4 * rand(2, 4, 4), rand(2, 4, 3), key_mask(4, 2)),
    ]


# ---- the right answer, with parts to exchange


def dot_product(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor,
    *,
    scale: Callable | None = None,
    seen: Callable | None = None,
    fill: float = -torch.inf,
    over: int = -1,
    after: bool = False,
    scores: Callable | None = None,
    softmax: Callable | None = None,
    read: Callable | None = None,
    back: Callable | None = None,
) -> Outputs:
    """Output and weights; with more axes in front it is the attention of several heads.

    `scale` makes the factor from q, k and v, `seen` another mask, `scores` the scores before the
    factor; `after` masks the weights, not the scores; `back` makes what is returned.
    """
    factor = scale(q, k, v) if scale else q.shape[-1] ** -0.5
    raw = factor * (scores(q, k) if scores else q @ k.mT)
    mask = seen(mask) if seen else mask
    low = raw if after else raw.masked_fill(~mask, fill)
    weights = softmax(low) if softmax else low.softmax(over)
    weights = weights * mask if after else weights
    output = read(weights, v, k) if read else weights @ v
    return back(output, weights, raw) if back else (output, weights)


def scales(width: str) -> tuple[tuple[Any, ...], ...]:
    """Known wrong factors; `width` is the name of the width of queries and keys."""
    return (
        (
            f"the scores are not divided by the root of {width}: they are about that much too "
            "large, and the softmax too sharp. Where is the root in your scores?",
            {"scale": lambda q, k, v: 1.0},
        ),
        (
            f"you divide by {width}, not by its root, or twice by the root: the weights come out "
            "too even. What stands under the fraction, and how often do you divide?",
            {"scale": lambda q, k, v: 1 / q.shape[-1]},
        ),
        (
            f"you multiply by the root of {width}: large scores should become smaller. "
            "On which side of the fraction does it stand?",
            {"scale": lambda q, k, v: q.shape[-1] ** 0.5},
        ),
        (
            f"you divide by the root of the number of keys: a score is a sum over {width} "
            "numbers, and that sets its size. Which axis of the keys is the width?",
            {"scale": lambda q, k, v: k.shape[-2] ** -0.5},
        ),
    )


INVERTED = (
    "the mask is inverted: you attend to what is hidden. "
    "Does True mean *may attend* or *leave out*, and which of the two does masked_fill fill?"
)
ALL_NAN = (
    "all your numbers are NaN, as when every key is hidden: a softmax over -inf only is 0/0. "
    "Is a mask inverted (True means *may attend*), or do you divide by zero elsewhere?"
)
# A query with nothing to attend to gets NaN with -inf, equal weights with -1e9, and zeros from
# torch's fused kernel.
EMPTY = ({}, {"fill": -1e9}, {"softmax": lambda s: s.softmax(-1).nan_to_num(0.0)})
MASKS = (
    (INVERTED, *({"seen": torch.logical_not} | empty for empty in EMPTY[1:])),
    (ALL_NAN, {"seen": torch.logical_not}),
    (
        "the mask is ignored: hidden keys have weight. Which line uses the mask?",
        {"seen": torch.ones_like},
    ),
    (
        "you mask after the softmax: what is left sums to less than 1, because the hidden keys "
        "took their part. Does the mask belong before the softmax?",
        {"after": True},
    ),
    (
        "a score of 0 does not hide a key: exp(0) is 1, an ordinary weight. "
        "Which score becomes the weight 0 in a softmax?",
        {"fill": 0.0},
        {"fill": 1e-9},
    ),
    (
        "you fill with a large positive number: the hidden keys get all the weight. "
        "Which sign makes exp small?",
        {"fill": 1e9},
    ),
)
OVER_QUERIES = (
    "the softmax runs over the queries: your weights do not sum to 1 over the keys. "
    "Which axis of the scores are the keys?"
)
NO_SOFTMAX = (
    "there is no softmax: your weights are scores still. Which function makes weights of scores?"
)


# ---- 02.1


def _over(dim: int) -> tuple[dict, dict]:
    return {"over": dim}, {"over": dim, "fill": -1e9}


_MISTAKES = variants(
    dot_product,
    *scales("D"),
    (
        "you divide by the root of Dv, the width of the values: the scores know queries and keys "
        "only. Whose width makes them large?",
        {"scale": lambda q, k, v: v.shape[-1] ** -0.5},
    ),
    (
        "you divide by the root of the number of queries, Tq: which axis of the queries is the "
        "width?",
        {"scale": lambda q, k, v: q.shape[-2] ** -0.5},
    ),
    *MASKS,
    (OVER_QUERIES, *_over(-2)),
    (
        "the softmax runs over the batch: sentences must not touch each other. "
        "Which axis of the scores are the keys?",
        *_over(-3),
    ),
    (
        "the division comes after the softmax: the weights no longer sum to 1. "
        "What does the root stand under in the equation?",
        {"scale": lambda q, k, v: 1.0, "softmax": lambda s: s.softmax(-1) / s.shape[-1] ** 0.5},
        {"scale": lambda q, k, v: 1.0, "read": lambda w, v, k: w @ v / k.shape[-1] ** 0.5},
    ),
    (
        "there are two softmaxes: the second one flattens the weights. Which one goes?",
        {"softmax": lambda s: s.softmax(-1).softmax(-1)},
    ),
    (NO_SOFTMAX, {"softmax": lambda s: s}),
    (
        "the softmax is taken, then its logarithm: log_softmax gives no weights. "
        "Which of the two lies between 0 and 1?",
        {"softmax": lambda s: s.log_softmax(-1)},
    ),
    (
        "queries and keys have changed places in the scores: row i must be query i. "
        "Which of the two is transposed?",
        {"scores": lambda q, k: k @ q.mT},
    ),
    (
        "the keys are not transposed: a score is the dot product of a query with a key, a sum "
        "over D. Which axis of the keys must meet the last one of the queries?",
        {"scores": lambda q, k: q @ k},
    ),
    (
        "your queries are compared with themselves: where do the keys come in?",
        {"scores": lambda q, k: q @ q.mT},
    ),
    (
        "your keys are compared with themselves: where do the queries come in?",
        {"scores": lambda q, k: k @ k.mT},
    ),
    (
        "the output is a sum of keys, not of values: what do the weights weigh?",
        {"read": lambda w, v, k: w @ k},
    ),
    (
        "the output sums over the queries instead of the keys: which axis of the weights must "
        "meet the axis Tk of the values?",
        {"read": lambda w, v, k: w.mT @ v},
    ),
    (
        "the output is right, but scores come back instead of weights: which of your names holds "
        "what the softmax gave?",
        {"back": lambda output, weights, raw: (output, raw)},
        {"back": lambda output, weights, raw: (output, raw.masked_fill(weights == 0, -torch.inf))},
        {"back": lambda output, weights, raw: (output, raw.masked_fill(weights == 0, -1e9))},
    ),
    (
        "the output is right, but the weights that come back were made without the mask: which "
        "weights did you multiply with the values?",
        {"back": lambda output, weights, raw: (output, raw.softmax(-1))},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    mask = inputs[3].expand_as(expected[1])
    output, weights = outputs
    if weights.shape != expected[1].shape:
        return None
    if weights.isnan().any():
        return _NAN
    if torch.allclose(weights, expected[1], atol=1e-5):
        return _OUTPUT_WRONG if output.shape == expected[0].shape else None
    if (weights < -1e-6).any():
        return "some of your weights are negative, as scores are: " + NO_SOFTMAX
    if (weights[~mask] > 1e-6).any():
        return _LEAKS.format(float(weights[~mask].max()))
    sums = weights.sum(-1)
    if not torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        return _SUMS.format(float(sums.flatten()[(sums.flatten() - 1).abs().argmax()]))
    if torch.equal(weights.argsort(-1), expected[1].argsort(-1)):
        return _TOO_SHARP if weights.amax() > expected[1].amax() else _TOO_EVEN
    return None


_NAN = (
    "your weights hold NaN: scores may be larger than 100, and exp of that is too large for "
    "float32. Which function of torch does the whole softmax, and safely?"
)
_OUTPUT_WRONG = (
    "your weights are right, your output is not: it is the sum of the values of all keys, each "
    "times its weight. Which axis of the weights meets which axis of the values?"
)
_LEAKS = (
    "a hidden key still has the weight {:.2g}: is the score that you put there low enough "
    "whatever the other scores are?"
)
_SUMS = (
    "a row of your weights sums to {:.3g}, not to 1: over which axis does your softmax run, and "
    "does something change the weights after it?"
)
_FACTOR = "your weights have the right order, but are too {}: by what do you divide the scores?"
_TOO_SHARP, _TOO_EVEN = _FACTOR.format("sharp"), _FACTOR.format("even")

ATTENTION = Exercise(
    name="02.1",
    title="Scaled dot-product attention",
    judge=Comparison(
        parameters=("query", "key", "value", "mask"),
        outputs={"output": "B Tq Dv", "weights": "B Tq Tk"},
        solution=solutions.attention,
        cases=_cases,
        diagnose=two_at_once(_MISTAKES, otherwise=_diagnose),
    ),
    mistakes=_MISTAKES,
)
