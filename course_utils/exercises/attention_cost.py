"""Check of the exercise on what attention costs.

Letters: T tokens, D width, H heads.
"""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import Any

from torch import Tensor

from course_utils.exercises import vision_transformer_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.values import ValueComparison, shown
from course_utils.exercises.variants import variants

Three = tuple[int, int, int]
Count = Callable[[int, int, int], int]  # of T, D and H
NAMES = ("tokens", "weights", "multiplications")


def _cases() -> list[Inputs]:
    return [
        (4, 4, 2, 6, 3),
        (8, 4, 2, 10, 5),
        (224, 224, 16, 192, 3),
        (64, 96, 8, 64, 4),
        (256, 256, 1, 64, 2),  # a patch is a pixel
        (16, 16, 16, 8, 1),  # one patch
    ]


def _read(result: Any) -> Three:
    if not isinstance(result, tuple | list) or len(result) != 3:
        got = f"{len(result)} things" if isinstance(result, tuple | list) else shown(type(result))
        raise Hint(f"{got} came back, expected three numbers: {', '.join(NAMES)}?")
    return tuple(map(_whole, NAMES, result))


def _whole(name: str, number: Any) -> int:
    if isinstance(number, Tensor):
        raise Hint(f"{name} is a tensor, expected a number: do you need torch here?")
    if not isinstance(number, Real) or isinstance(number, bool):
        raise Hint(f"{name} is {shown(number)}, a {type(number).__name__}: can it be an int?")
    if number != number or number in (float("inf"), -float("inf")):
        raise Hint(f"{name} is {number}: what do you divide?")
    if number != int(number):
        raise Hint(f"{name} is {number}: can there be a part of one? What do you divide?")
    return int(number)


# ---- known mistakes: one count with parts to exchange


def _cost(
    height: int,
    width: int,
    patch_size: int,
    d_model: int,
    num_heads: int,
    *,
    tokens: Callable[[int, int, int], int] = lambda y, x, p: 1 + (y // p) * (x // p),
    weights: Count = lambda t, d, h: h * t * t,
    linear: Count = lambda t, d, h: 4 * t * d * d,
    scores: Count = lambda t, d, h: t * t * d,
    sums: Count = lambda t, d, h: t * t * d,
    more: Count = lambda t, d, h: 0,
    factor: int = 1,
    give: Callable[[int, int, int], Any] = lambda t, w, m: (t, w, m),
) -> Any:
    """The right numbers, but for the parts that are given."""
    t = tokens(height, width, patch_size)
    given = t, d_model, num_heads
    products = sum(part(*given) for part in (linear, scores, sums, more))
    return give(t, weights(*given), factor * products)


_PER_HEAD = (
    "the multiplications grow with the number of heads in yours: each head works on D / H numbers "
    "only. What is H times D / H?"
)

_MISTAKES = variants(
    _cost,
    (
        "the class token is not counted: it looks, and is looked at, as the patches are. How many "
        "tokens are there?",
        {"tokens": lambda y, x, p: (y // p) * (x // p)},
    ),
    (
        "one class token is enough: it stands in front of all patches, not in front of each row of "
        "them. Where do you add 1?",
        {"tokens": lambda y, x, p: (y // p + 1) * (x // p + 1)},
        {"tokens": lambda y, x, p: (y // p) * (x // p + 1)},
        {"tokens": lambda y, x, p: (y // p + 1) * (x // p)},
    ),
    (
        "your tokens are the pixels: how many of them are in one patch?",
        {"tokens": lambda y, x, p: 1 + y * x},
        {"tokens": lambda y, x, p: y * x},
    ),
    (
        "you divide the pixels by patch_size: a patch has patch_size times patch_size of them. How "
        "many patches fill the picture?",
        {"tokens": lambda y, x, p: 1 + y * x // p},
        {"tokens": lambda y, x, p: y * x // p},
    ),
    (
        "you count the pixels of one patch: how many patches are there?",
        {"tokens": lambda y, x, p: 1 + p * p},
        {"tokens": lambda y, x, p: p * p},
    ),
    (
        "you add the patches along the two sides: how many fill the whole picture?",
        {"tokens": lambda y, x, p: 1 + y // p + x // p},
        {"tokens": lambda y, x, p: y // p + x // p},
    ),
    (
        "you take the picture for a square: what do height and width say?",
        {"tokens": lambda y, x, p: 1 + (y // p) ** 2},
        {"tokens": lambda y, x, p: 1 + (x // p) ** 2},
    ),
    (
        "there are two special tokens in yours, as in DeiT: how many has a ViT?",
        {"tokens": lambda y, x, p: 2 + (y // p) * (x // p)},
    ),
    (
        "your weights are those of one head: each head has its own. How many are there in all?",
        {"weights": lambda t, d, h: t * t},
    ),
    (
        "each token looks at every token: with T of them, how many pairs are there?",
        {"weights": lambda t, d, h: h * t},
        {"weights": lambda t, d, h: t},
    ),
    (
        "the tokens look to the left only in yours, as in a GPT: which of the others does a patch "
        "see in a ViT?",
        {"weights": lambda t, d, h: h * t * (t + 1) // 2},
        {"weights": lambda t, d, h: h * t * (t - 1) // 2},
    ),
    (
        "nobody looks at itself in yours: which weight stands on the diagonal?",
        {"weights": lambda t, d, h: h * t * (t - 1)},
    ),
    (
        "your weights are bytes: each takes four in float32. How many numbers are they?",
        {"weights": lambda t, d, h: 4 * h * t * t},
    ),
    (
        "D is in your number of attention weights: a score is one number, however long the two "
        "vectors are that it compares. Which factor goes?",
        {"weights": lambda t, d, h: d * t * t},
        {"weights": lambda t, d, h: d * h * t * t},
        {"weights": lambda t, d, h: d // h * t * t},
    ),
    (
        "these are learned weights, 4 D D: what does one token give to another in attention?",
        {"weights": lambda t, d, h: 4 * d * d},
    ),
    (
        "the linear layers are missing: before a token is compared it becomes a query, a key and a "
        "value. How many multiplications does a layer D x D need for each token?",
        {"linear": lambda t, d, h: 0},
    ),
    (
        "there are three linear layers in yours: what happens to what the heads have found?",
        {"linear": lambda t, d, h: 3 * t * d * d},
    ),
    (
        "there is one linear layer in yours: how many are there, with those for queries, keys, "
        "values and the output?",
        {"linear": lambda t, d, h: t * d * d},
    ),
    (
        "your linear layers run once: how many tokens go through each of them?",
        {"linear": lambda t, d, h: 4 * d * d},
    ),
    (
        "a linear layer from D to D numbers has D times D weights, each used once for a token: "
        "what do you count?",
        {"linear": lambda t, d, h: 4 * t * d},
    ),
    (
        "your linear layers grow with T times T: each token goes through them alone. How often?",
        {"linear": lambda t, d, h: 4 * t * t * d * d},
    ),
    (
        "your linear layers are D x D for each head: all heads together have D x D. Which factor "
        "goes?",
        {"linear": lambda t, d, h: 4 * h * t * d * d},
    ),
    (
        "your linear layers have the width of a head, for one head: how many heads are there?",
        {"linear": lambda t, d, h: 4 * t * d * (d // h)},
    ),
    (
        "the weighted sums are missing: what happens to the values, once the weights are known?",
        {"sums": lambda t, d, h: 0},
        {"scores": lambda t, d, h: 0},
    ),
    (
        "only the linear layers are there: how many numbers does a query meet in each key, and how "
        "many keys are there?",
        {"scores": lambda t, d, h: 0, "sums": lambda t, d, h: 0},
    ),
    (
        _PER_HEAD,
        {"scores": lambda t, d, h: h * t * t * d, "sums": lambda t, d, h: h * t * t * d},
        {"scores": lambda t, d, h: h * t * t * d},
        {"sums": lambda t, d, h: h * t * t * d},
    ),
    (
        "you count the scores and sums of one head: how many heads are there?",
        {"scores": lambda t, d, h: t * t * (d // h), "sums": lambda t, d, h: t * t * (d // h)},
        {"scores": lambda t, d, h: t * t * (d // h)},
        {"sums": lambda t, d, h: t * t * (d // h)},
    ),
    (
        "a score costs one multiplication in yours: how many numbers of a query meet those of a "
        "key?",
        {"scores": lambda t, d, h: h * t * t, "sums": lambda t, d, h: h * t * t},
        {"scores": lambda t, d, h: t * t, "sums": lambda t, d, h: t * t},
    ),
    (
        "a score needs D times D multiplications in yours: two vectors of D numbers meet number by "
        "number. How many products are that?",
        {"scores": lambda t, d, h: t * t * d * d, "sums": lambda t, d, h: t * t * d * d},
    ),
    (
        "a token's scores go to D tokens in yours: how many keys does each query meet?",
        {"scores": lambda t, d, h: t * d, "sums": lambda t, d, h: t * d},
        {"scores": lambda t, d, h: t * d * d, "sums": lambda t, d, h: t * d * d},
    ),
    (
        "the feed-forward network is in your sum: only attention is asked for. Which part goes?",
        {"more": lambda t, d, h: 8 * t * d * d},
    ),
    (
        "you count additions, too: how many of the operations are multiplications?",
        {"factor": 2},
    ),
    (
        "tokens and weights have changed places: in which order do you return the three?",
        {"give": lambda t, w, m: (w, t, m)},
    ),
    (
        "weights and multiplications have changed places: in which order do you return the three?",
        {"give": lambda t, w, m: (t, m, w)},
    ),
    (
        "your first number counts the patches, though your other two are right: what else is a "
        "token?",
        {"give": lambda t, w, m: (t - 1, w, m)},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str:
    (height, width, p, d, h), got, right = inputs, outputs[0], expected[0]
    t = right[0]
    if got[0] != t:
        return f"tokens: {height // p} rows of {width // p} patches, and what else?"
    if got[1] != right[1]:
        return f"weights: {t} tokens look at {t} tokens, in {h} heads. How many weights are that?"
    return (
        f"multiplications: {t} tokens through a layer of {d} x {d} are {t * d * d}. How many such "
        "layers are there, and what do the scores and the weighted sums add?"
    )


COST = Exercise(
    name="06.3",
    title="What attention costs",
    judge=ValueComparison(
        parameters=("height", "width", "patch_size", "d_model", "num_heads"),
        outputs={"tokens, weights, multiplications": "numbers"},
        solution=solutions.cost,
        cases=_cases,
        value=_read,
        diagnose=_diagnose,
    ),
    mistakes=_MISTAKES,
)
