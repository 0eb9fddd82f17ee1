"""Check of the exercise on pseudo-log-likelihood.

Axis letters: B batch, T length, V vocabulary, K places to hide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.exercises import masked_language_models_solutions as solutions
from course_utils.exercises.bits import LN_2, one_number
from course_utils.exercises.checking import Exercise, Mistake
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.masked_model import Model
from course_utils.exercises.variants import SmallComparison, variants


def _cases() -> list[Inputs]:
    given = partial(torch.tensor, device="cpu")

    def case(seed: int, ids: list[int], mask_id: int = 4) -> Inputs:
        return Model(11, seed), given(ids), mask_id, given([token < 5 for token in ids])

    return [
        case(1, [2, 7, 5, 10, 7, 3]),
        case(2, [2, 9, 6, 3, 8, 5, 5, 3, 0]),  # two texts, and padding
        case(3, [2, 8, 3]),
        case(4, [7, 6, 10, 9], mask_id=0),  # nothing special
    ]


def _read(result: Any, inputs: Inputs) -> Outputs:
    if isinstance(result, Real) and not isinstance(result, bool):
        result = torch.tensor(float(result), dtype=torch.float64, device="cpu")
    return (one_number("score", result, "do you add up what you found for the tokens?"),)


# ---- known mistakes: one score with parts to exchange


def _one_each(places: Tensor, special: Tensor) -> Tensor:
    """Bool "K T": what is hidden in each copy."""
    return F.one_hot(places, len(special)).bool()


def _ask(model: Model, copies: Tensor, places: Tensor) -> Tensor:
    return model.says(copies)


def _true(log_probs: Tensor, places: Tensor, ids: Tensor, mask_id: int) -> Tensor:
    return log_probs[torch.arange(len(places)), places, ids[places]]


def _score(
    model: Model,
    ids: Tensor,
    mask_id: int,
    special: Tensor,
    *,
    text: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = lambda ids, special: (ids, special),
    which: Callable[[Tensor], Tensor] = torch.logical_not,
    hide: Callable[[Tensor, Tensor], Tensor] = _one_each,
    ask: Callable[[Model, Tensor, Tensor], Tensor] = _ask,
    log: Callable[[Tensor], Tensor] = lambda logits: logits.log_softmax(-1),
    pick: Callable[[Tensor, Tensor, Tensor, int], Tensor] = _true,
    total: Callable[[Tensor, Tensor], Tensor] = lambda each, ids: each.sum(),
    last: Callable[[Tensor], Tensor] = lambda score: score,
) -> Tensor:
    """The right score, but for the parts that are given."""
    with torch.no_grad():
        ids, special = text(ids, special)
        places = which(special).nonzero().flatten()
        copies = ids.repeat(len(places), 1).masked_fill(hide(places, special), mask_id)
        each = pick(log(ask(model, copies, places)), places, ids, mask_id)
        return last(total(each, ids))


def _ask_without_the_rest(model: Model, copies: Tensor, places: Tensor) -> Tensor:
    """Each text ends with its gap."""
    cut = [model.says(row[None, : t + 1])[0] for row, t in zip(copies, places, strict=True)]
    short = copies.shape[1]
    return torch.stack([F.pad(x, (0, 0, 0, short - len(x))) for x in cut])


def _order(places: Tensor, special: Tensor) -> tuple[Tensor, Tensor]:
    return torch.arange(len(special), device="cpu"), places[:, None]


def _hide_later(places: Tensor, special: Tensor) -> Tensor:
    here, place = _order(places, special)
    return (here >= place) & ~special


def _hide_all_later(places: Tensor, special: Tensor) -> Tensor:
    here, place = _order(places, special)
    return here >= place


def _hide_earlier(places: Tensor, special: Tensor) -> Tensor:
    here, place = _order(places, special)
    return (here <= place) & ~special


def _at(shift: int) -> Callable[[Tensor, Tensor, Tensor, int], Tensor]:
    """Logits of another position."""
    return lambda log_probs, places, ids, mask_id: log_probs[
        torch.arange(len(places)), (places + shift) % len(ids), ids[places]
    ]


def _all_of_each(log_probs: Tensor, places: Tensor, ids: Tensor, mask_id: int) -> Tensor:
    return log_probs[:, torch.arange(len(ids)), ids].sum(1)


def _ordinary_of_each(log_probs: Tensor, places: Tensor, ids: Tensor, mask_id: int) -> Tensor:
    return log_probs[:, places, ids[places]].sum(1)


_LEFT = (
    "only the tokens to the left are visible: that is how a GPT scores a text. All others are "
    "visible here, on both sides. Which ones do you hide, or cut off?"
)

_MISTAKES = variants(
    _score,
    (
        "all tokens are hidden at once: then each is guessed without its neighbours. How many are "
        "hidden in one copy?",
        {"hide": lambda places, special: (~special).expand(len(places), -1)},
        {"hide": lambda places, special: torch.ones_like(special).expand(len(places), -1)},
    ),
    (
        "nothing is hidden: the model can read the token that it has to guess. Where does mask_id "
        "go?",
        {"hide": lambda places, special: torch.zeros_like(special).expand(len(places), -1)},
    ),
    (
        _LEFT,
        {"hide": _hide_later},
        {"hide": _hide_all_later},
        {"ask": _ask_without_the_rest},
    ),
    (
        "only the tokens to the right are visible: one that has been hidden stays hidden. Do you "
        "begin each copy from the whole text?",
        {"hide": _hide_earlier},
    ),
    (
        "special tokens are scored, too: they are in every text, and say nothing about this one. "
        "Which places do you hide in turn?",
        {"which": torch.ones_like},
    ),
    (
        "only special tokens are scored: True means special. Which sign turns it round?",
        {"which": lambda special: special},
    ),
    (
        "special tokens are hidden in each copy: they are not scored, but the model reads them. "
        "How many tokens are hidden in one copy?",
        {"hide": lambda places, special: _one_each(places, special) | special},
    ),
    (
        "special tokens are cut out of the text: they are not scored, but the model reads them. "
        "What does a copy look like?",
        {"text": lambda ids, special: (ids[~special], special[~special])},
    ),
    (
        "this is the mean over the tokens: which one of sum and mean is asked for?",
        {"total": lambda each, ids: each.mean()},
        {"total": lambda each, ids: each.sum() / len(ids)},
    ),
    (
        "the sign is wrong: a logarithm of a probability is negative, and so is their sum. Is "
        "yours a loss?",
        {"last": torch.neg},
    ),
    (
        "this is a mean loss: the sum of the logarithms is asked for, which is negative. What do "
        "you do with what you have?",
        {"total": lambda each, ids: -each.mean()},
    ),
    (
        "this is a product of probabilities: for a long text it is 0 in float32. What becomes of a "
        "product when you take its logarithm?",
        {"last": torch.exp},
    ),
    (
        "this is a perplexity: the exponential of a mean loss. What is left when exp goes?",
        {"last": torch.exp, "total": lambda each, ids: -each.mean()},
    ),
    (
        "your score is in bits: the exercise asks for the natural logarithm. Which factor goes?",
        {"last": lambda score: score / LN_2},
    ),
    (
        "you add up logits: they are no logarithms of probabilities. Which function makes them so?",
        {"log": lambda logits: logits},
    ),
    (
        "you add up probabilities: where is the logarithm?",
        {"log": lambda logits: logits.softmax(-1)},
    ),
    (
        "the softmax runs over the positions: which axis of B T V holds the tokens that one "
        "position can choose from?",
        {"log": lambda logits: logits.log_softmax(1)},
    ),
    (
        "the softmax runs over the copies: which axis of B T V holds the tokens that one position "
        "can choose from?",
        {"log": lambda logits: logits.log_softmax(0)},
    ),
    (
        "you look at the position beside the gap: a BERT says at t what stands at t itself, not at "
        "t + 1. Which position is hidden in copy k?",
        {"pick": _at(-1)},
        {"pick": _at(1)},
    ),
    (
        "you take the probability of [MASK] itself: which token stood there?",
        {
            "pick": lambda log_probs, places, ids, mask_id: log_probs[
                torch.arange(len(places)), places, mask_id
            ]
        },
    ),
    (
        "you take the model's best guess: which token stood there?",
        {
            "pick": lambda log_probs, places, ids, mask_id: log_probs[
                torch.arange(len(places)), places
            ].amax(-1)
        },
    ),
    (
        "each copy counts with all its tokens: in copy k one token is hidden, and the others can "
        "be read. Which position of which copy do you need?",
        {"pick": _all_of_each},
        {"pick": _ordinary_of_each},
    ),
    (
        "you look into the first copy for all tokens: in which copy is the second one hidden?",
        {"pick": lambda log_probs, places, ids, mask_id: log_probs[0, places, ids[places]]},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str:
    model, ids, mask_id, special = inputs
    got, right = float(outputs[0]), float(expected[0])
    if math.isnan(got):
        return "your score is NaN: do you take the logarithm of a negative number, a logit?"
    if got > 0:
        return (
            f"your score is {got:.5g}, but a sum of logarithms of probabilities is never above 0: "
            "what do you add up?"
        )
    place = int((~special).nonzero()[0])
    copy = ids.clone()
    copy[place] = mask_id
    with torch.no_grad():
        log_probs = model.says(copy[None])[0, place].log_softmax(-1)
    return (
        f"for ids = {ids.tolist()}, {int((~special).sum())} of them ordinary, you give {got:.5g}, "
        f"expected {right:.5g}. The first ordinary token is {int(ids[place])}, hidden in "
        f"{copy.tolist()}, and gets {float(log_probs[ids[place]]):.4g}: what do you have for it?"
    )


class _WithoutWaste(SmallComparison):
    """Where the number is right, it must have cost one call and no gradients."""

    def __call__(self, answer: Callable[..., Any], mistakes: tuple[Mistake, ...]) -> str | None:
        hint = super().__call__(answer, mistakes)
        if hint is not None:
            return hint
        for run in self._run_all(answer):
            model, _, _, special = run.inputs
            if model.calls > 1:
                return (
                    f"the score is right, but for {int((~special).sum())} tokens you call the "
                    f"model {model.calls} times: it reads a whole batch at once. Can you put all "
                    "copies into one tensor, K T?"
                )
            if model.with_gradients:
                return (
                    "the score is right, but the model keeps all that a training would need to go "
                    "back: nothing is learned here. Do you know torch.no_grad()?"
                )
        return None


PSEUDO_LOG_LIKELIHOOD = Exercise(
    name="05.5",
    title="How well a text fits",
    judge=_WithoutWaste(
        parameters=("model", "ids", "mask_id", "special"),
        outputs={"score": "one number"},
        solution=solutions.pseudo_log_likelihood,
        cases=_cases,
        read=_read,
        diagnose=_diagnose,
        tips=(
            (
                r"SimpleNamespace|subscriptable|attribute",
                "the model gives an output with several things: the words' scores are "
                "output.mlm_logits, B T V. What do you take from it?",
            ),
            (
                r"requires grad|leaf [Vv]ariable",
                "this number can still be trained: do you know torch.no_grad(), and item()?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
