"""Check of the exercise on BERT's masking.

No chance comes close to a limit, so that no way of dividing matters.

Axis letters: N tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from course_utils.exercises import masked_language_models_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.variants import SmallComparison, variants

NAMES = ("read", "places")
MASK, RANDOM = 0.8, 0.9  # limits of the two shares


def _by_hand() -> Inputs:
    given = partial(torch.tensor, device="cpu")
    ids = given([2, 7, 8, 9, 6, 7, 5, 3])
    chance = given([0.05, 0.1, 0.7, 0.42, 0.3, 0.48, 0.95, 0.2])
    other = given([6, 5, 9, 7, 8, 9, 6, 5])
    return ids, chance, other, ids < 4, 4, 0.5


def _cases() -> list[Inputs]:
    generator = torch.Generator().manual_seed(52)

    def case(number: int, mask_id: int, share: float, most: float = 1.0) -> Inputs:
        draw = {"generator": generator, "device": "cpu"}
        ids = torch.randint(0, 30, (number,), **draw)
        ids[ids == mask_id] = 1  # no text holds [MASK]
        other = torch.randint(5, 30, (number,), **draw)
        other[::3] = ids[::3].clamp(min=5)  # the same token, as it may be by chance
        chance = torch.rand(number, **draw, dtype=torch.float32)
        for limit in (share, MASK * share, RANDOM * share):
            near = (chance * most - limit).abs() < 2e-3
            chance = torch.where(near, chance + 0.01 * (0.5 - chance).sign(), chance)
        return ids, chance * most, other, ids < 5, mask_id, share

    return [
        _by_hand(),
        case(200, 4, 0.95),
        case(300, 4, 0.15),
        case(80, 0, 0.2, most=0.22),  # nearly all of them are chosen
        case(40, 3, 1.0),
        case(6, 4, 0.001),  # none is chosen
    ]


def _read(result: Any, inputs: Inputs) -> Outputs:
    if result is None:
        raise Hint("your function returned nothing: does it end with `return read, places`?")
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Hint(f"one {type(result).__name__} came back: do you `return read, places`?")
    for name, x in zip(NAMES, result, strict=True):
        if not isinstance(x, Tensor):
            raise Hint(f"{name} is a {type(x).__name__}, expected a tensor: what made it so?")
    read, places = result
    if read.dtype == torch.bool and places.dtype != torch.bool:
        raise Hint("read and places have changed places: do you `return read, places`?")
    if places.dtype != torch.bool:
        raise Hint(
            f"places has the dtype {places.dtype}, expected torch.bool: it says True or False for "
            "each token. Which comparison makes it?"
        )
    if read.dtype == torch.bool or read.is_floating_point() or read.is_complex():
        raise Hint(f"read has the dtype {read.dtype}, expected whole numbers: is it made of ids?")
    return tuple(x.detach().cpu().double() for x in result)


# ---- known mistakes: one masking with parts to exchange


def _chosen(chance: Tensor, special: Tensor, share: float) -> Tensor:
    return (chance < share) & ~special


def _come(way: Tensor, ids: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    return torch.where(way < MASK, mask, torch.where(way < RANDOM, other, ids))


def _hide(
    ids: Tensor,
    chance: Tensor,
    other: Tensor,
    special: Tensor,
    mask_id: int,
    share: float,
    *,
    choose: Callable[[Tensor, Tensor, float], Tensor] = _chosen,
    scale: Callable[[Tensor, float], Tensor] = lambda chance, share: chance / share,
    come: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = _come,
    put: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = lambda chosen, new, ids, special: (
        torch.where(chosen, new, ids)
    ),
    ask: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor] = lambda chosen, way, read, ids: chosen,
) -> tuple[Tensor, Tensor]:
    """The right masking, but for the parts that are given.

    `come` says what comes in at a chosen place, `put` where it goes, `ask` makes `places`.
    """
    chosen, way = choose(chance, special, share), scale(chance, share)
    new = come(way, ids, other, torch.full_like(ids, mask_id))
    read = put(chosen, new, ids, special)
    return read, ask(chosen, way, read, ids)


def _below_a_tenth_first(way: Tensor, ids: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    return torch.where(way < 0.1, other, torch.where(way < MASK, mask, ids))


_NOT_ASKED = (
    "the tokens that stay as they are do not stand in places: they are chosen as well, and the "
    "model is asked about them. What makes a place a chosen one?"
)

_MISTAKES = variants(
    _hide,
    (
        "special tokens are hidden, too: [CLS] and [SEP] are in each row, nobody has to guess "
        "them. What does `special` leave out?",
        {"choose": lambda chance, special, share: chance < share},
    ),
    (
        "only special tokens are hidden: True means special. Which sign turns it round?",
        {"choose": lambda chance, special, share: (chance < share) & special},
    ),
    (
        "your comparison with share is the wrong way round: a share of 0.15 should hide 15 % of "
        "the tokens. Which chances are below it?",
        {"choose": lambda chance, special, share: (chance >= share) & ~special},
    ),
    (
        "you choose 15 % whatever share says: what is 0.15 in your code?",
        {"choose": lambda chance, special, share: (chance < 0.15) & ~special},
    ),
    (
        "all ordinary tokens are chosen: where do you compare with share?",
        {"choose": lambda chance, special, share: ~special},
    ),
    (
        "places holds only what reads as [MASK]: the model is asked about all chosen tokens, "
        "those with another token and those that stay, too. Why would it look at a word that it "
        "can read, if it were never asked there?",
        {"ask": lambda chosen, way, read, ids: chosen & (way < MASK)},
    ),
    (
        _NOT_ASKED,
        {"ask": lambda chosen, way, read, ids: chosen & (way < RANDOM)},
        {"ask": lambda chosen, way, read, ids: read != ids},
    ),
    (
        "places is inverted: True = chosen. Which sign goes?",
        {"ask": lambda chosen, way, read, ids: ~chosen},
    ),
    (
        "you compare chance itself with 0.8 and 0.9: these are shares of the chosen tokens, and "
        "all their chances are below share. What do you divide by share?",
        {"scale": lambda chance, share: chance},
    ),
    (
        "you multiply chance by share: a chosen chance goes from 0 to share, and should go from 0 "
        "to 1. Which operator does that?",
        {"scale": lambda chance, share: chance * share},
    ),
    (
        "every chosen token becomes [MASK]: of ten, one gets another token and one stays. What do "
        "the limits 0.8 and 0.9 part?",
        {"come": lambda way, ids, other, mask: mask},
    ),
    (
        "no chosen token stays as it is: what comes from 0.9 on?",
        {"come": lambda way, ids, other, mask: torch.where(way < MASK, mask, other)},
    ),
    (
        "no chosen token is replaced by another one: what comes between 0.8 and 0.9?",
        {"come": lambda way, ids, other, mask: torch.where(way < MASK, mask, ids)},
    ),
    (
        "the last two cases have changed places: below 0.9 the other token comes, from there on "
        "the token stays. Which is which in yours?",
        {"come": lambda way, ids, other, mask: _come(way, other, ids, mask)},
    ),
    (
        "[MASK] and the other token have changed places: which of them do 80 % get?",
        {"come": lambda way, ids, other, mask: _come(way, ids, mask, other)},
    ),
    (
        "80 % stay as they are, and the last tenth becomes [MASK]: which of the two is it in BERT?",
        {"come": lambda way, ids, other, mask: _come(way, mask, other, ids)},
    ),
    (
        "you compare with 0.1 where 0.9 belongs: the limits are 0.8, and 0.8 + 0.1. From where to "
        "where does the second tenth go?",
        {"come": _below_a_tenth_first},
    ),
    (
        "one condition writes over the other: what is below 0.8 is below 0.9, too, so that no "
        "[MASK] is left. Which of the two has to come last?",
        {"come": lambda way, ids, other, mask: torch.where(way < RANDOM, other, ids)},
    ),
    (
        "tokens change that are not in places: special ones. Which condition is missing where you "
        "write [MASK] and the other token?",
        {"put": lambda chosen, new, ids, special: torch.where(chosen | special, new, ids)},
        {"put": lambda chosen, new, ids, special: new},
    ),
    (
        "read is 0 where nothing is hidden: the model reads these tokens. What does torch.where "
        "take from ids?",
        {"put": lambda chosen, new, ids, special: new * chosen},
    ),
    (
        "nothing is hidden in read: where do you put [MASK] and the other token?",
        {"put": lambda chosen, new, ids, special: ids},
    ),
)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    ids, chance, other, special, mask_id, share = inputs
    for name, got, right in zip(NAMES, outputs, expected, strict=True):
        if got.shape != right.shape:
            return (
                f"{name} has the shape {tuple(got.shape)}, expected {tuple(right.shape)}, N: is "
                "there one entry for each token, also where nothing is hidden?"
            )
    name = NAMES[int(torch.equal(outputs[0], expected[0]))]
    got, right = (x[NAMES.index(name)] for x in (outputs, expected))
    k = int((got != right).nonzero()[0])
    kind = "special" if special[k] else "ordinary"
    show = (lambda x: bool(x)) if name == "places" else int
    return (
        f"{name}[{k}] is {show(got[k])}, expected {show(right[k])}. There ids is {int(ids[k])} "
        f"({kind}), other {int(other[k])}, chance {float(chance[k]):.4g}, and mask_id = {mask_id}, "
        f"share = {share}. Is it chosen, and what is chance / share?"
    )


HIDE = Exercise(
    name="05.2",
    title="Hide tokens as BERT does",
    judge=SmallComparison(
        parameters=("ids", "chance", "other", "special", "mask_id", "share"),
        outputs={"read": "N", "places": "N"},
        solution=solutions.hide,
        cases=_cases,
        read=_read,
        diagnose=_diagnose,
        tips=(
            (
                r"ambiguous|truth value|Boolean value",
                "`and`, `or`, `not` and `if` want one truth value, a tensor has N: do you know "
                "&, | and ~, with brackets around each comparison?",
            ),
            (
                r"shape mismatch|cannot be assigned|size of tensor|must match",
                "read[places] = x wants as many numbers as places has True: do both sides have "
                "[places]?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
