"""Check of the exercise on `attend`: weights of scores under a mask, and the weighted sum.

Axis letters: B batch, Tq, Tk number of queries and keys, Dv width of the values.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from course_utils.exercises import seq2seq_attention_solutions as solutions
from course_utils.exercises.checking import Exercise, Mistake
from course_utils.exercises.comparing import Comparison, Inputs, Outputs, key_mask, normal


def _attend_cases() -> list[Inputs]:
    generator = torch.Generator().manual_seed(13)
    rand = partial(normal, generator)
    pairs = torch.rand(2, 3, 5, generator=generator, device="cpu") < 0.6
    pairs[..., 2] = True  # every query has a key
    two = torch.tensor([[[True, True, False]]], device="cpu")
    return [
        (rand(4, 4, 4), rand(4, 4, 4), key_mask(4, 2, 3, 1)),
        (rand(2, 3, 5), rand(2, 5, 2), pairs),
        (rand(3, 2, 4), rand(3, 4, 6), key_mask(2, 0, 4)),  # nothing to attend to in the second row
        (rand(1, 1, 3), rand(1, 3, 2), key_mask(3)),
        (rand(2, 3, 4) * 100, rand(2, 4, 2), key_mask(4, 2)),
        # Open scores far below any usual fill value: the hidden one is the highest, or just as low.
        (torch.tensor([[[-300.0, -300.0, 0.0]]], device="cpu"), rand(1, 3, 2), two),
        (torch.full((1, 1, 3), -300.0, device="cpu"), rand(1, 3, 2), two),
    ]


def _weigh(weights: Tensor, values: Tensor) -> Outputs:
    return weights @ values, weights


def _softmax(scores: Tensor, values: Tensor, mask: Tensor, dim: int = -1) -> Outputs:
    """Right but for the axis, which is given."""
    weights = scores.masked_fill(~mask, -torch.inf).softmax(dim).masked_fill(~mask, 0.0)
    return weights @ values, weights


_INVERTED = (
    "the mask is inverted: you attend to the padding only. "
    "Does True mean *may attend* or *leave out*, and which of the two does masked_fill fill?"
)
_OVER_QUERIES = (
    "your weights do not sum to 1 over the keys, but over the queries: "
    "which axis did you normalise, and which axis are the keys?"
)
_OVER_BATCH = (
    "your weights do not sum to 1 over the keys, but over the batch: sentences must not touch "
    "each other. Which axis did you normalise?"
)
_ZERO_SCORE = (
    "a score of 0 does not hide a key: exp(0) is 1, an ordinary weight. "
    "Which score becomes the weight 0 in a softmax?"
)
_NOT_RENORMALISED = (
    "you mask after the softmax, and what is left sums to less than 1: the hidden keys still took "
    "their part. Does the mask belong before the softmax?"
)
_EMPTY_NAN = (
    "a query that may attend to nothing gets NaN: a softmax over -inf only is 0/0. "
    "What puts zeros there?"
)
_EMPTY_UNIFORM = (
    "a query that may attend to nothing still spreads weight over hidden keys: equal scores give "
    "equal weights, however low they are. What puts zeros there?"
)
_EXP_OVERFLOWS = (
    "large scores give NaN: exp(100) is too large for float32. What may you take off all scores "
    "of a row before exp without changing the weights?"
)
_NO_SOFTMAX = (
    "some of your weights are negative, as scores are: a weight lies between 0 and 1. "
    "Which function makes weights of scores?"
)
_IGNORED = "the mask is ignored: hidden keys have weight. Which line uses the mask?"
_LEAKS = (
    "a hidden key still has the weight {:.2g}: is the score that you put there low enough "
    "whatever the other scores are?"
)
_CONTEXT_WRONG = (
    "your weights are right, your context is not: it is the sum of the values of all keys, each "
    "times its weight. Which axis of the weights meets which axis of the values?"
)


_NOT_LOW_ENOUGH = (
    "open keys with scores of -300 get the weight 0: the score that you gave the hidden ones is "
    "higher and takes everything. Which score is below all others, whatever they are?"
)
_MAXIMUM_OF_HIDDEN = (
    "a hidden key with a high score pushes the weights of the open ones to 0: it still has a part "
    "in what you take off, or in the sum. Is your maximum that of the open scores only?"
)
_ALL_ZERO = (
    "a query with open keys gets zeros only: beside another score theirs are too low for float32. "
    "Which scores share its softmax, or the maximum that you take off?"
)
_TOOK_PART = (
    "where keys are hidden, the weights of the open ones sum to {:.5g}, not to 1: the hidden ones "
    "took their part first. Which score leaves them none, whatever the other scores are?"
)


def _fill_then_multiply(s: Tensor, v: Tensor, m: Tensor) -> Outputs:
    """A finite score for the hidden keys, and zeros afterwards: they may take the most."""
    return _weigh(s.masked_fill(~m, -100.0).softmax(-1) * m, v)


def _maximum_of_all(s: Tensor, v: Tensor, m: Tensor) -> Outputs:
    """Takes off the maximum of all scores of the row, hidden ones too."""
    powers = torch.exp(s - s.amax(-1, keepdim=True)) * m
    return _weigh(powers / powers.sum(-1, keepdim=True).clamp(min=1e-9), v)


def _diagnose_attend(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    mask = inputs[2].expand_as(expected[1])
    context, weights = outputs
    if weights.shape != expected[1].shape:
        return None
    if weights.isnan().any():
        return _EXP_OVERFLOWS if mask.any(-1).all() else _EMPTY_NAN
    if torch.allclose(weights, expected[1], atol=1e-5):
        return _CONTEXT_WRONG if context.shape == expected[0].shape else None
    if (weights < -1e-6).any():
        return _NO_SOFTMAX
    if (weights[~mask].abs() > 1e-6).any():
        leak = _LEAKS.format(float(weights[~mask].abs().max()))
        return leak if mask.any(-1).all() else _EMPTY_UNIFORM
    sums = weights.sum(-1)[mask.any(-1)]
    if torch.allclose(sums, torch.ones_like(sums), atol=1e-4):
        return None
    for axis, hint in ((1, _OVER_QUERIES), (0, _OVER_BATCH)):
        along = weights.sum(axis)[mask.any(axis)]
        if torch.allclose(along, torch.ones_like(along), atol=1e-4):
            return hint
    if (sums < 1e-6).any() and inputs[0].max() - inputs[0].min() > 50:
        return _ALL_ZERO
    off = (sums - 1).abs() > 1e-4
    if (sums < 1 + 1e-4).all() and not (off & mask.all(-1)[mask.any(-1)]).any():
        return _TOOK_PART.format(float(sums.min()))
    return "your weights do not sum to 1 over the keys: what do you divide by?"


ATTEND = Exercise(
    name="01.3",
    title="Attend under a mask",
    judge=Comparison(
        parameters=("scores", "values", "mask"),
        outputs={"context": "B Tq Dv", "weights": "B Tq Tk"},
        solution=solutions.attend,
        cases=_attend_cases,
        diagnose=_diagnose_attend,
    ),
    mistakes=(
        Mistake(_INVERTED, lambda s, v, m: _weigh(s.masked_fill(m, -torch.inf).softmax(-1), v)),
        Mistake(_INVERTED, lambda s, v, m: _weigh(s.masked_fill(m, -1e9).softmax(-1), v)),
        Mistake(_INVERTED, lambda s, v, m: _softmax(s, v, ~m)),
        Mistake(_IGNORED, lambda s, v, m: _weigh(s.softmax(-1), v)),
        Mistake(_OVER_QUERIES, lambda s, v, m: _softmax(s, v, m, dim=1)),
        Mistake(_OVER_QUERIES, lambda s, v, m: _weigh(s.masked_fill(~m, -torch.inf).softmax(1), v)),
        Mistake(_OVER_QUERIES, lambda s, v, m: _weigh(s.masked_fill(~m, -1e9).softmax(1), v)),
        Mistake(_OVER_BATCH, lambda s, v, m: _softmax(s, v, m, dim=0)),
        Mistake(_OVER_BATCH, lambda s, v, m: _weigh(s.masked_fill(~m, -torch.inf).softmax(0), v)),
        Mistake(_OVER_BATCH, lambda s, v, m: _weigh(s.masked_fill(~m, -1e9).softmax(0), v)),
        Mistake(_NOT_RENORMALISED, lambda s, v, m: _weigh(s.softmax(-1) * m, v)),
        Mistake(_ZERO_SCORE, lambda s, v, m: _weigh((s * m).softmax(-1), v)),
        Mistake(
            "True counts as 1 in a sum: the open keys get one point more, the hidden ones stay. "
            "Which score becomes the weight 0 in a softmax?",
            lambda s, v, m: _weigh((s + m).softmax(-1), v),
        ),
        Mistake(
            "you hide the values, not the keys: a hidden key has no value and still takes weight "
            "from the others. What must be hidden before the softmax?",
            lambda s, v, m: (s.softmax(-1) @ (v * m[:, :1].mT), s.softmax(-1)),
        ),
        Mistake(
            "your weights are right, your context was made without the mask: which weights did "
            "you multiply with the values?",
            lambda s, v, m: (s.softmax(-1) @ v, _softmax(s, v, m)[1]),
        ),
        Mistake(_EMPTY_NAN, lambda s, v, m: _weigh(s.masked_fill(~m, -torch.inf).softmax(-1), v)),
        Mistake(_EMPTY_UNIFORM, lambda s, v, m: _weigh(s.masked_fill(~m, -1e9).softmax(-1), v)),
        Mistake(_NOT_LOW_ENOUGH, _fill_then_multiply),
        Mistake(_MAXIMUM_OF_HIDDEN, _maximum_of_all),
        Mistake(_NO_SOFTMAX, lambda s, v, m: _weigh(s * m, v)),
        Mistake(_NO_SOFTMAX, lambda s, v, m: _weigh(s.masked_fill(~m, -1e9), v)),
        Mistake(
            "there are two softmaxes: the second one flattens the weights. Which one goes?",
            lambda s, v, m: _weigh(_softmax(_softmax(s, v, m)[1], v, m)[1], v),
        ),
        Mistake(
            "your weights are right, the context sums over the queries instead of the keys: "
            "which axis of the weights must meet the axis Tk of the values?",
            lambda s, v, m: (_softmax(s, v, m)[1].mT @ v, _softmax(s, v, m)[1]),
        ),
    ),
)
