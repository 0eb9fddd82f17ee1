"""Check of the exercise on greedy writing.

The model is made up: a table of next tokens. It says what is wrong with what it is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises import language_models_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.table import MAX_CALLS, Table
from course_utils.exercises.values import ValueComparison, shown
from course_utils.exercises.variants import variants


@dataclass(eq=True)
class Model:
    """A made-up model of the next token; two with the same numbers are equal.

    Parameters
    ----------
    size : int
        V, tokens 0 to V - 1.
    seed : int
        For drawing the numbers.
    """

    size: int
    seed: int
    calls: int = field(default=0, compare=False)

    def __call__(self, ids: Any) -> Tensor:
        ids = self._tokens(ids)
        self.calls += 1
        if self.calls > MAX_CALLS:
            raise Hint(
                f"stopped at call number {self.calls} of next_logits: does your loop end after "
                "max_new_tokens tokens?"
            )
        return torch.tensor(Table(self.size, 0, seed=self.seed).log_probs(ids), device="cpu")

    def _tokens(self, ids: Any) -> tuple[int, ...]:
        try:
            ids = tuple(int(token) for token in ids)
        except (TypeError, ValueError):
            raise Hint(
                f"next_logits takes a list of all tokens so far, such as [3, 1], it got "
                f"{shown(ids)}: is it one flat list?"
            ) from None
        if odd := [token for token in ids if not 0 <= token < self.size]:
            raise Hint(f"there is no token {odd[0]}, only 0 to {self.size - 1}: where is it from?")
        return ids

    def __repr__(self) -> str:
        return f"<a model of {self.size} tokens>"


# Found by trying: the texts end after 2 to 7 tokens, and no two known mistakes look alike.
_SEED = 42


def _cases() -> list[Inputs]:
    cases = [
        ([1], 1, 0),
        ([1, 2], 2, 0),
        ([1, 2], 6, 0),
        ([1], 6, 4),
        ([0], 6, 0),  # the prompt ends with `end`
        ([3, 0, 1], 4, 0),  # and here it holds one
        ([1, 2], 0, 0),
    ]
    return [(Model(5, _SEED), *case) for case in cases]


def _read(result: Any) -> list[int]:
    if isinstance(result, Tensor):
        raise Hint(
            f"a tensor of the shape {tuple(result.shape)} came back, expected a list: do you know "
            "tolist?"
        )
    if not isinstance(result, list | tuple):
        raise Hint(f"one {type(result).__name__} came back: can you return the list of ids?")
    for number, token in enumerate(result):
        if isinstance(token, Tensor):
            raise Hint(
                f"entry {number} of your list is {shown(token)}, a tensor still: do you know "
                "item(), or int(...)?"
            )
        if not isinstance(token, Integral) or isinstance(token, bool):
            raise Hint(f"entry {number} of your list is {shown(token)}: what should be an int?")
    return [int(token) for token in result]


# ---- known mistakes: one loop with parts to exchange


def _write(
    next_logits: Callable[[list[int]], Tensor],
    prompt: list[int],
    max_new_tokens: int,
    end: int,
    *,
    count: Callable[[int, int], int] = lambda most, length: most,
    before: Callable[[list[int], list[int], int], bool] = lambda prompt, new, end: False,
    see: Callable[[list[int], list[int]], list[int]] = lambda prompt, new: prompt + new,
    choose: Callable[[Tensor], Any] = torch.argmax,
    after: Callable[[list[int], list[int], int], bool] = lambda prompt, new, end: new[-1] == end,
    give: Callable[[list[int], list[int], int, int], list[int]] = lambda prompt, new, end, most: (
        prompt + new
    ),
) -> list[int]:
    """The right loop, but for the parts that are given.

    `before` and `after` the choice of a token say whether the loop ends.
    """
    new: list[int] = []
    for _ in range(count(max_new_tokens, len(prompt))):
        if before(prompt, new, end):
            break
        new.append(int(choose(next_logits(see(prompt, new)))))
        if after(prompt, new, end):
            break
    return give(prompt, new, end, max_new_tokens)


def _without_last_end(prompt: list[int], new: list[int], end: int, most: int) -> list[int]:
    return prompt + (new[:-1] if new[-1:] == [end] else new)


_MISTAKES = variants(
    _write,
    (
        "the model sees the last token only: the next one depends on all that came before, the "
        "prompt too. What do you hand to next_logits?",
        {"see": lambda prompt, new: (prompt + new)[-1:]},
    ),
    (
        "the model sees the prompt only, each time again: the new tokens must be read, too. What "
        "do you hand to next_logits?",
        {"see": lambda prompt, new: prompt},
    ),
    (
        "the model does not see the prompt: it reads the new tokens only. What does your list "
        "start from?",
        {"see": lambda prompt, new: new},
        {"see": lambda prompt, new: new, "give": lambda prompt, new, end, most: new},
    ),
    (
        "the model never sees the newest token: do you append it before you ask again?",
        {"see": lambda prompt, new: prompt + new[:-1]},
    ),
    (
        "the prompt is missing in what you give back: expected are the prompt and the new tokens. "
        "Which list do you return?",
        {"give": lambda prompt, new, end, most: new},
    ),
    (
        "you write on after end: when does your loop stop before max_new_tokens?",
        {"after": lambda prompt, new, end: False},
    ),
    (
        "end itself is missing: it is the last token that you give back. Do you append before you "
        "compare, or after?",
        {"give": _without_last_end},
        {"give": lambda prompt, new, end, most: [x for x in prompt + new if x != end]},
        {"give": lambda prompt, new, end, most: prompt + [x for x in new if x != end]},
    ),
    (
        "one token is written after end: do you compare the newest token, or the one before?",
        {"after": lambda prompt, new, end: new[-2:-1] == [end]},
    ),
    (
        "you stop because of an end in the prompt: there it has no meaning, only a new one ends "
        "the text. Which tokens do you look through?",
        {"before": lambda prompt, new, end: end in prompt + new},
        {"before": lambda prompt, new, end: (prompt + new)[-1:] == [end]},
        {"before": lambda prompt, new, end: end in prompt},
        {"after": lambda prompt, new, end: end in prompt + new},
    ),
    (
        "the rest is filled up with end: one end is enough. What do you append after the loop?",
        {"give": lambda prompt, new, end, most: prompt + new + [end] * (most - len(new))},
    ),
    (
        "there is always an end, also where max_new_tokens cuts the text: did the model choose it?",
        {
            "give": lambda prompt, new, end, most: (
                prompt + new + ([] if new[-1:] == [end] else [end])
            )
        },
    ),
    (
        "there is one new token too many: how often does your loop run for max_new_tokens = 1?",
        {"count": lambda most, length: most + 1},
    ),
    (
        "there is one new token too few: how often does your loop run for max_new_tokens = 1?",
        {"count": lambda most, length: most - 1},
    ),
    (
        "the prompt's tokens count as new ones: max_new_tokens is how many come after it. What is "
        "the length of your list at the start?",
        {"count": lambda most, length: most - length},
    ),
    (
        "for max_new_tokens = 0 nothing is new: do you choose a token before you look?",
        {"count": lambda most, length: max(most, 1)},
    ),
    (
        "you take the least probable token: which function gives the place of the largest number?",
        {"choose": torch.argmin},
    ),
    (
        "you take the second most probable token: what is the place of the largest number?",
        {"choose": lambda logits: logits.topk(2).indices[1]},
    ),
    (
        "your token is the size of the largest logit, not its place: max gives both. Do you know "
        "argmax?",
        {"choose": lambda logits: logits.max().abs()},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str:
    (model, prompt, _, _), got, right = inputs, outputs[0], expected[0]
    k = next((k for k, two in enumerate(zip(got, right, strict=False)) if two[0] != two[1]), None)
    if k is None:
        if len(got) > len(right):
            return f"the first {len(right)} of yours are all there is. When should your loop end?"
        return f"yours are right, but end after {len(got)}. Why does your loop end there?"
    if k < len(prompt):
        return "a token of the prompt has changed. Which line writes there?"
    logits = [
        round(x, 2) for x in Table(model.size, 0, seed=model.seed).log_probs(tuple(right[:k]))
    ]
    return (
        f"after {right[:k]} the logits are {logits}, and you write {got[k]}. Is that the place of "
        "the largest one, and has next_logits seen these tokens?"
    )


GENERATE = Exercise(
    name="04.4",
    title="Write on, greedily",
    judge=ValueComparison(
        parameters=("next_logits", "prompt", "max_new_tokens", "end"),
        outputs={"ids": "list"},
        solution=solutions.generate,
        cases=_cases,
        value=_read,
        diagnose=_diagnose,
        tips=(
            (
                r"concatenate list|can only concatenate",
                "a list plus a list is a list: is your new token one number, in brackets or not?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
