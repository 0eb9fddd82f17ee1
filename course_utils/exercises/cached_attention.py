"""Check of the exercise on attention with a cache.

Axis letters: B batch, T positions so far, D width of the head.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises import language_models_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint
from course_utils.exercises.comparing import Comparison, Inputs, Outputs, normal, real
from course_utils.exercises.dot_product import NO_SOFTMAX, dot_product, scales
from course_utils.exercises.random_layers import drawn_once
from course_utils.exercises.variants import two_at_once, variants

NAMES = ("keys", "values")


@drawn_once
def _cases() -> list[Inputs]:
    rand = partial(normal, torch.Generator().manual_seed(45))

    def case(b: int, t: int, d: int, scale: float = 1.0) -> Inputs:
        new = [scale * rand(b, 1, d) for _ in range(3)]
        return (*new, {name: scale * rand(b, t, d) for name in NAMES})

    # T and B differ from D first, so that no two factors are equal.
    return [case(3, 4, 8), case(2, 2, 3), case(2, 0, 4), case(1, 7, 2, 30.0)]


def _read(result: Any, inputs: Inputs) -> Outputs:
    if result is None:
        raise Hint("your function returned nothing: does it end with `return output, cache`?")
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Hint(f"one {type(result).__name__} came back: do you `return output, cache`?")
    output, cache = result
    if isinstance(output, dict):
        raise Hint("output and cache have changed places: do you `return output, cache`?")
    if not isinstance(cache, dict) or not cache.keys() >= {*NAMES}:
        got = f"a dict with {[*cache]}" if isinstance(cache, dict) else f"a {type(cache).__name__}"
        raise Hint(f'your new cache is {got}: does it have "keys" and "values", as the old one?')
    return real("output", output), *(real(f'cache["{name}"]', cache[name]) for name in NAMES)


# ---- known mistakes: one step with parts to exchange


def _append(old: Tensor, new: Tensor) -> Tensor:
    return torch.cat([old, new], dim=1)


def _step(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cache: dict[str, Tensor],
    *,
    join: Callable[[Tensor, Tensor], Tensor] = _append,
    join_keys: Callable[[Tensor, Tensor], Tensor] | None = None,
    new: Callable = lambda query, key, value: (key, value),
    ask: Callable = lambda query, key, value: query,
    look: Callable = lambda keys, values, old, length: (keys, values),
    hide: Callable[[int], Tensor] = lambda length: torch.ones(1, 1, length, dtype=torch.bool),
    keep: Callable = lambda keys, values, old, new: (keys, values),
    **parts: Any,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The right step, but for the parts that are given; `parts` go to `dot_product`.

    `new` makes what is appended, `ask` the query, `look` what is attended to, `keep` what goes
    into the new cache.
    """
    old, fresh = (cache["keys"], cache["values"]), new(query, key, value)
    keys, values = (join_keys or join)(old[0], fresh[0]), join(old[1], fresh[1])
    seen = look(keys, values, old, old[0].shape[1])
    mask = hide(seen[0].shape[1])
    output, _ = dot_product(ask(query, key, value), *seen, mask, **parts)
    return output, dict(zip(NAMES, keep(keys, values, old, fresh), strict=True))


def _front(old: Tensor, new: Tensor) -> Tensor:
    return torch.cat([new, old], dim=1)


_TRIANGLE = (
    "a causal mask of one row lets the query see the first key only: the new position is the last "
    "one. How much of the cache may it see?"
)

_MISTAKES = variants(
    _step,
    *scales("D"),
    (
        "your cache does not grow: the next step needs this key and value, too. Which tensors go "
        "into the new cache?",
        {"keep": lambda keys, values, old, new: old},
    ),
    (
        "your new cache holds the new position only: what becomes of those before it?",
        {"keep": lambda keys, values, old, new: new},
    ),
    (
        "the new position does not see itself: its own key and value belong to the attention, too. "
        "Which comes first, the cat or the scores?",
        {"look": lambda keys, values, old, length: old},
        {"hide": lambda length: torch.arange(length)[None, None] < length - 1},
    ),
    (
        "the new position sees nothing but itself: what is the cache for?",
        {"look": lambda keys, values, old, length: (keys[:, length:], values[:, length:])},
    ),
    (
        "the new position stands first in your cache: the order is that of the text. Which of the "
        "two comes first in torch.cat?",
        {"join": _front},
    ),
    (
        "keys and values are in different orders: a weight then meets the value of another "
        "position. Is the order the same in both of your torch.cat?",
        {"join_keys": _front},
    ),
    (
        "keys and values have changed places in the new cache: which belongs to which name?",
        {"keep": lambda keys, values, old, new: (values, keys)},
    ),
    (
        "there are keys in both places of the new cache: what belongs to the name values?",
        {"keep": lambda keys, values, old, new: (keys, keys)},
    ),
    (
        "the query goes into the cache instead of the key: which of the two will later queries be "
        "compared with?",
        {"new": lambda query, key, value: (query, value)},
    ),
    (
        "the key goes into the cache instead of the value: which two of the three are kept?",
        {"new": lambda query, key, value: (key, key)},
    ),
    (
        "key and value have changed places when they are appended: which goes to which?",
        {"new": lambda query, key, value: (value, key)},
    ),
    (
        "the key asks instead of the query: which of the three is compared with all keys?",
        {"ask": lambda query, key, value: key},
    ),
    (
        "the new position is in the cache twice: where is the second cat?",
        {"join": lambda old, new: torch.cat([old, new, new], dim=1)},
    ),
    (
        "the oldest position falls out: this cache keeps all. What do you cut off?",
        {"join": lambda old, new: torch.cat([old[:, 1:], new], dim=1)},
    ),
    (
        _TRIANGLE,
        {"hide": lambda length: torch.ones(1, 1, length, dtype=torch.bool).tril()},
    ),
    (
        "the softmax runs over the batch: rows must not touch each other. Which axis of the "
        "scores, B 1 T+1, are the keys?",
        {"over": 0},
    ),
    (
        "all your weights are 1: the softmax ran over the axis of the one query. Which axis of the "
        "scores, B 1 T+1, are the keys?",
        {"over": 1},
    ),
    (NO_SOFTMAX, {"softmax": lambda scores: scores}),
    (
        "the output is a sum of keys, not of values: what do the weights weigh?",
        {"read": lambda weights, values, keys: weights @ keys},
    ),
    (
        "the output is the mean of the values: where do query and keys come in?",
        {"softmax": lambda scores: torch.ones_like(scores) / scores.shape[-1]},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    right = [torch.equal(a, b.to(a)) for a, b in zip(outputs[1:], expected[1:], strict=True)]
    got, wanted = outputs[0], expected[0]
    if got.shape != wanted.shape:
        return None
    if got.isnan().any():
        return (
            "your output holds NaN: scores may be larger than 100, and a softmax over nothing is "
            "0/0. Which function of torch does the whole softmax, and does the new key take part?"
        )
    if not all(right):
        name = NAMES[right.index(False)]
        shapes = tuple(outputs[1 + right.index(False)].shape), tuple(inputs[3][name].shape)
        return (
            f'cache["{name}"] is wrong. Its shape was {shapes[1]} and is {shapes[0]} now: is it '
            "the old positions, unchanged, and the new one behind them?"
        )
    return (
        "your new cache is right, your output is not: it is attention of the one query over all "
        "T + 1 keys of the new cache. What are your weights, and do they sum to 1?"
    )


CACHED_STEP = Exercise(
    name="04.5",
    title="One step with a cache",
    judge=Comparison(
        parameters=("query", "key", "value", "cache"),
        outputs={"output": "B 1 D", 'cache["keys"]': "B T D", 'cache["values"]': "B T D"},
        solution=solutions.cached_step,
        cases=_cases,
        read=_read,
        diagnose=two_at_once(_MISTAKES, otherwise=_diagnose, read=_read),
        tips=(
            (
                r"Sizes of tensors must match except in dimension",
                "B T D and B 1 D are put together along the positions: which dim is that?",
            ),
            (r"KeyError", 'the cache has the names "keys" and "values": which did you ask for?'),
        ),
    ),
    mistakes=_MISTAKES,
)
