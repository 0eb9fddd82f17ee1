"""Texts that a model goes on writing: prompts side by side, what is forgotten, who chooses.

Prompts of unequal length are padded on the left, so that the next token of all of them stands in
one column.

Axis letters: B texts, N rows (more than B in beam search), T length, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from course_utils.batching import pad
from course_utils.cache import KeyValueCache
from course_utils.decoding import Hypotheses, Step
from course_utils.masks import padding_mask

Strategy = Callable[..., Tensor]


class Text(NamedTuple):
    """What was read so far: the state of a search.

    Parameters
    ----------
    ids : Int "N T"
        Padded on the left.
    mask : Bool "N T" or None
        True = a real token; None where all are.
    cache : list of KeyValueCache or None
        Of the layers; it may lack the last columns.
    """

    ids: Int[Tensor, "N T"]
    mask: Bool[Tensor, "N T"] | None
    cache: list[KeyValueCache] | None = None

    def followed_by(self, tokens: Int[Tensor, " N"]) -> Text:
        """The texts with one more token each."""
        ids = torch.cat([self.ids, tokens[:, None]], dim=1)
        mask = None if self.mask is None else F.pad(self.mask, (0, 1), value=True)
        return Text(ids, mask, self.cache)

    def newer_half(self, longest: int) -> Text:
        """Forget the older half of each text of more than `longest` tokens; without a cache.

        Examples
        --------
        >>> ids = torch.tensor([[1, 2, 3, 4, 5], [0, 0, 0, 6, 7]])
        >>> text = Text(ids, ids > 0).newer_half(4)
        >>> text.ids.tolist(), text.mask
        ([[4, 5], [6, 7]], None)
        """
        real = torch.ones_like(self.ids, dtype=torch.bool) if self.mask is None else self.mask
        lengths = real.sum(dim=1)
        lengths = lengths.where(lengths <= longest, longest - longest // 2)
        return Text(self.ids[:, -int(lengths.max()) :], _left_mask(lengths))


def _left_mask(lengths: Tensor) -> Tensor | None:
    mask = padding_mask(lengths).flip(1)
    return None if mask.all() else mask


def read_prompts(
    prompts: Int[Tensor, "B T"] | Sequence[Sequence[int]],
    mask: Bool[Tensor, "B T"] | None = None,
    *,
    longest: int,
) -> Text:
    """Put prompts side by side.

    Parameters
    ----------
    prompts : Int "B T" or list of lists of int
    mask : Bool "B T", optional
        True = a real token, for a padded tensor; padding may stand on either side.
    longest : int
        Most tokens of a prompt.

    Returns
    -------
    Text
        Without a cache.

    Raises
    ------
    ValueError, TypeError
        When there is no prompt, one is empty or too long, or the mask does not fit.

    Examples
    --------
    >>> read_prompts([[5, 6, 7], [8]], longest=4).ids.tolist()
    [[5, 6, 7], [0, 0, 8]]
    """
    if isinstance(prompts, Tensor):
        prompts = _rows(prompts, mask)
    elif mask is not None:
        raise ValueError("a mask belongs to a tensor of prompts: lists of ids need none")
    if not len(prompts) or any(isinstance(row, int | str) for row in prompts):
        raise ValueError(f"prompts are a list of lists of ids, one list each, got {prompts!r}")
    for number, row in enumerate(prompts):
        if not len(row):
            raise ValueError(f"prompt {number} is empty: give it the token that begins a text")
        if len(row) > longest:
            raise ValueError(
                f"prompt {number} has {len(row)} tokens, the model's block has {longest}: cut it, "
                f"say to its last {longest} tokens"
            )
        if wrong := [token for token in row if not isinstance(token, Integral | Tensor)]:
            raise ValueError(f"prompt {number} holds {wrong[0]!r}, which is no id: encode the text")
    flipped, lengths = pad([[*row][::-1] for row in prompts])
    return Text(flipped.flip(1), _left_mask(lengths))


def _rows(prompts: Tensor, mask: Tensor | None) -> list[list[int]]:
    if prompts.ndim != 2 or prompts.is_floating_point():
        raise ValueError(
            "a tensor of prompts holds whole numbers, batch x length, "
            f"got {prompts.dtype} of the shape {tuple(prompts.shape)}"
        )
    if mask is None:
        return prompts.tolist()
    if mask.dtype != torch.bool:
        raise TypeError(f"mask is boolean (True = a real token), got {mask.dtype}")
    if mask.shape != prompts.shape:
        raise ValueError(
            f"mask has the prompts' shape {tuple(prompts.shape)}, got {tuple(mask.shape)}"
        )
    return [row[real].tolist() for row, real in zip(prompts, mask, strict=True)]


@torch.no_grad()
def write(
    step: Step,
    start: Int[Tensor, " B"],
    text: Text,
    strategy: Strategy,
    *,
    eos_id: int | None,
    max_length: int,
) -> Hypotheses:
    """Let a strategy choose each token, where `course_utils.decoding.greedy` takes the best.

    Parameters
    ----------
    step, start, eos_id, max_length
        As in `course_utils.decoding.greedy`.
    text : Text
        The state before the first token; `step` returns a `Text`, too.
    strategy : callable
        From logits, "B V", to the next ids, "B". One that has a parameter `ids`, as
        `course_utils.sampling.sample`, gets the text that the model sees and its mask as well.

    Returns
    -------
    Hypotheses
        Scores are the model's own, whatever the strategy.

    Raises
    ------
    ValueError
        When the strategy is no function.
    """
    if not callable(strategy):
        raise ValueError(
            f"unknown strategy {strategy!r}: it is a function from logits to ids, such as "
            "sampling.greedy or partial(sampling.sample, temperature=0.8, top_k=40)"
        )
    sees_text = "ids" in inspect.signature(strategy).parameters
    tokens, ended = start, torch.zeros_like(start, dtype=torch.bool)
    scores, columns = torch.zeros(len(start), device=start.device), []
    for _ in range(max_length):
        logits, text = step(tokens, text)
        tokens = strategy(logits, **({"ids": text.ids, "mask": text.mask} if sees_text else {}))
        score = logits.log_softmax(dim=-1).gather(1, tokens[:, None])[:, 0]
        scores = scores + score.masked_fill(ended, 0.0)
        columns.append(tokens)
        ended = ended | (tokens == (-1 if eos_id is None else eos_id))
        if ended.all():
            break
    rows = torch.stack(columns, dim=1).tolist()
    ids = [row[: row.index(eos_id)] if eos_id in row else row for row in rows]
    return Hypotheses(
        ids, scores, [[(s, row)] for s, row in zip(scores.tolist(), ids, strict=True)]
    )
