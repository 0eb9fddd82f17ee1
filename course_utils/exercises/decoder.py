"""Check of the exercise on one step of Bahdanau's decoder.

Axis letters: B batch, S source length, E width of the embedded word, D of the state, M of the
memory. In the mistakes x is the embedded word, h the state, v the memory, m its mask, f the score
function and c the cell.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from course_utils.attention import attend
from course_utils.exercises import seq2seq_attention_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint, Mistake
from course_utils.exercises.comparing import Comparison, Inputs, Outputs, key_mask, normal


def _decoder_cases() -> list[Inputs]:
    rand = partial(normal, torch.Generator().manual_seed(14))
    cases = []
    for lengths, e, d, m in [((5, 3, 1), 4, 4, 4), ((2, 4), 3, 5, 6), ((1,), 2, 3, 2)]:
        mask = key_mask(*lengths)[:, 0]
        b, s = mask.shape
        cell = _Cell(e + m, d, device="cpu", dtype=torch.float32)
        for parameter in cell.parameters():
            parameter.requires_grad_(False).copy_(0.7 * rand(*parameter.shape))
        score = _Score(rand(d, m), b, s)
        cases.append((rand(b, e), rand(b, d), rand(b, s, m), mask, score, cell))
    return cases


class _Cell(nn.GRUCell):
    """Leaves its parameters to the case: the usual way draws from the global generator."""

    def reset_parameters(self) -> None:
        """Nothing."""


class _Score:
    """Bilinear score that says what is wrong with the shapes it gets."""

    def __init__(self, weight: Tensor, batch: int, positions: int) -> None:
        self.weight = weight
        self.query, self.key = (batch, 1, len(weight)), (batch, positions, weight.shape[1])

    def __call__(self, query: Tensor, key: Tensor) -> Tensor:
        got = tuple(query.shape), tuple(key.shape)
        if got == (self.query, self.key):
            return solutions.bilinear_score(query, key, self.weight)
        hint = f"score takes a query {self.query}, B 1 D, and keys {self.key}, B S M; it got "
        hint += f"{got[0]} and {got[1]}"
        if got == (self.key, self.query):
            raise Hint(f"{hint}: have query and keys changed places?")
        if query.ndim == 2:
            raise Hint(f"{hint}: the query needs an axis of length 1; do you know unsqueeze?")
        raise Hint(f"{hint}: which vector asks, and what is compared with it?")


def _look(query: Tensor, memory: Tensor, mask: Tensor, score: _Score) -> Outputs:
    context, weights = attend(score(query[:, None], memory), memory, mask[:, None])
    return context[:, 0], weights[:, 0]


def _step(x, h, memory, mask, score, cell, *, query=None, context=None, read=None, old=None):
    """The right step, but for the parts that are given."""
    found, weights = _look(h if query is None else query, memory, mask, score)
    context = found if context is None else context
    read = torch.cat([x, context], -1) if read is None else read
    return cell(read, h if old is None else old), context, weights


def _step_first(x, h, memory, mask, score, cell):
    """Luong's order: the cell runs before there is a context."""
    empty = memory.new_zeros(len(memory), memory.shape[-1])
    state = cell(torch.cat([x, empty], -1), h)
    return state, *_look(state, memory, mask, score)


def _look_again(x, h, memory, mask, score, cell):
    state = _step(x, h, memory, mask, score, cell)[0]
    return state, *_look(state, memory, mask, score)


def _with_context(make):
    """A step whose context is `make(memory, mask as numbers)`."""
    return lambda x, h, v, m, f, c: _step(x, h, v, m, f, c, context=make(v, m[..., None].float()))


def _with_read(make):
    """A step whose cell reads `make(memory, mask as numbers)`; the returned context is right."""
    return lambda x, h, v, m, f, c: _step(
        x, h, v, m, f, c, read=torch.cat([x, make(v, m[..., None].float())], -1)
    )


def _twice(x, h, memory, mask, score, cell):
    state, context, weights = _step(x, h, memory, mask, score, cell)
    return cell(torch.cat([x, context], -1), state), context, weights


_NOT_WEIGHTED = (
    "your context does not use the weights: the memory's {}. "
    "What does attend multiply the weights with?"
)
_READS_UNWEIGHTED = (
    "your context is right, but what the cell reads does not use the weights: the memory's {}. "
    "What do you join with the embedded word?"
)
_INSTEAD_OF_CONTEXT = {
    "mean": lambda v, m: v.mean(1),
    "mean over the real positions": lambda v, m: (v * m).sum(1) / m.sum(1),
    "sum": lambda v, m: v.sum(1),
    "last position": lambda v, m: v[:, -1],
    "first position": lambda v, m: v[:, 0],
}
_NEW_STATE_LOOKS = (
    "you attend with the new state: that is Luong's order. In Bahdanau's the old state asks, and "
    "the cell reads the answer. Which of the two lines comes first?"
)


def _diagnose_step(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    right = [
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5)
        for a, b in zip(outputs, expected, strict=True)
    ]
    shapes = all(a.shape == b.shape for a, b in zip(outputs, expected, strict=True))
    if shapes and right == [False, True, True]:
        return (
            "context and weights are right, the state is not: what does the cell read, in which "
            "order, and which state does it start from?"
        )
    if shapes and right[2] and not right[1]:
        return "the weights are right, the context is not: is it weights times memory?"
    if shapes and not right[2]:
        return (
            "the weights differ: does the old state ask, does every position of the memory "
            "answer, and does attend get the mask as B 1 S?"
        )
    return None


DECODER_STEP = Exercise(
    name="01.4",
    title="One step of Bahdanau's decoder",
    judge=Comparison(
        parameters=("embedded", "state", "memory", "mask", "score", "cell"),
        outputs={"state": "B D", "context": "B M", "weights": "B S"},
        solution=solutions.decoder_step,
        cases=_decoder_cases,
        diagnose=_diagnose_step,
        tips=(
            (r"input_size|1D or 2D", "the cell reads B, E + M: what did you join, on which axis?"),
            (r"same number of dim", "which of the tensors you join has an axis too many?"),
        ),
    ),
    mistakes=(
        Mistake(
            "the cell reads context and word in the wrong order: its weights were made for "
            "[embedded; context]. Which comes first in your torch.cat?",
            lambda x, h, v, m, f, c: _step(
                x, h, v, m, f, c, read=torch.cat([_look(h, v, m, f)[0], x], -1)
            ),
        ),
        Mistake(_NEW_STATE_LOOKS, _step_first),
        Mistake(_NEW_STATE_LOOKS, _look_again),
        Mistake(
            "the mask is ignored: padding has weight. Which line gives it to attend?",
            lambda x, h, v, m, f, c: _step(x, h, v, torch.ones_like(m), f, c),
        ),
        Mistake(
            "the mask is inverted: you attend to the padding only. "
            "Does True mean *may attend* or *leave out*?",
            lambda x, h, v, m, f, c: _step(x, h, v, ~m, f, c),
        ),
        Mistake(
            "the old state comes back: what does the cell give, and which of the two is needed "
            "for the next step?",
            lambda x, h, v, m, f, c: (h, *_look(h, v, m, f)),
        ),
        Mistake(
            "the cell runs twice, the second time on its own result: one word, one step. "
            "Where is the second call?",
            _twice,
        ),
        Mistake(
            "the cell starts from zeros: it forgets everything before this word. "
            "What is its second argument?",
            lambda x, h, v, m, f, c: _step(x, h, v, m, f, c, old=torch.zeros_like(h)),
        ),
        Mistake(
            "the embedded word asks for the context, not the state: which of them knows what has "
            "been translated so far?",
            lambda x, h, v, m, f, c: _step(x, h, v, m, f, c, query=x),
        ),
        Mistake(
            "the cell reads the state instead of the context: what do you join with the embedded "
            "word?",
            lambda x, h, v, m, f, c: _step(x, h, v, m, f, c, read=torch.cat([x, h], -1)),
        ),
        Mistake(
            "all your weights are 1: the softmax ran over the axis of the one query. "
            "Which axis are the source positions?",
            lambda x, h, v, m, f, c: (
                _step(x, h, v, m, f, c, context=v.sum(1))[0],
                v.sum(1),
                torch.ones_like(v[..., 0]),
            ),
        ),
        *(
            Mistake(_NOT_WEIGHTED.format(n), _with_context(f))
            for n, f in _INSTEAD_OF_CONTEXT.items()
        ),
        *(
            Mistake(_READS_UNWEIGHTED.format(n), _with_read(f))
            for n, f in _INSTEAD_OF_CONTEXT.items()
        ),
    ),
)
