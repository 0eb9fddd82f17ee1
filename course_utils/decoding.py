"""Choosing a sequence from a model's next-token scores: greedy and beam search.

Knows no model: a *step* callable takes the last token of each row and a state, and gives the
logits of the next token and the new state,

    step(tokens: Int "N", state) -> (logits: Float "N V", state)

where the state is any nesting of tuples, lists and dicts of tensors whose first axis is the row,
and of things that select their rows themselves (`KeyValueCache`).

Axis letters: B sentences, K beams, N = B * K rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

Step = Callable[[Tensor, Any], tuple[Tensor, Any]]
EarlyStopping = bool | Literal["never"]


@dataclass(frozen=True)
class Hypotheses:
    """What a search found for each sentence.

    Parameters
    ----------
    ids : list of list of int
        Best sequence of each sentence, without the start and the end token.
    scores : Float "B"
        Sum of the log-probabilities of its tokens, the end token included.
    beams : list of list of (float, list of int)
        For each sentence every finished sequence that was kept, best first, with the score by
        which they were ranked.
    """

    ids: list[list[int]]
    scores: Float[Tensor, " B"]
    beams: list[list[tuple[float, list[int]]]]


def select_rows(state: Any, rows: Int[Tensor, " N"]) -> Any:
    """Pick rows of every tensor of a nested state.

    Examples
    --------
    >>> select_rows({"h": torch.tensor([[1], [2]])}, torch.tensor([1, 1]))["h"].tolist()
    [[2], [2]]
    """
    if state is None:
        return None
    if isinstance(state, Tensor):
        return state.index_select(0, rows)
    if hasattr(state, "select_rows"):
        return state.select_rows(rows)
    if isinstance(state, dict):
        return {name: select_rows(part, rows) for name, part in state.items()}
    parts = [select_rows(part, rows) for part in state]
    return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)


_NO_TOKEN = -1


def _check(start: Tensor, max_length: int, num_beams: int = 1) -> None:
    if start.ndim != 1 or not len(start):
        raise ValueError(f"start holds one token per sentence, got the shape {tuple(start.shape)}")
    if max_length < 1:
        raise ValueError(f"max_length is 1 or more, got {max_length}")
    if num_beams < 1:
        raise ValueError(f"num_beams is 1 or more, got {num_beams}")


def _log_probabilities(logits: Tensor) -> Tensor:
    log_probabilities = logits.log_softmax(dim=-1)
    if log_probabilities.isnan().any():
        raise FloatingPointError("the model's logits are nan: look at its weights and its loss")
    return log_probabilities


@torch.no_grad()
def greedy(
    step: Step, start: Int[Tensor, " B"], state: Any, *, eos_id: int | None, max_length: int
) -> Hypotheses:
    """Take the most probable token at each step.

    Parameters
    ----------
    step : callable
        See the module's header.
    start : Int "B"
        First token of each sentence.
    state : nested tensors
        State before the first token.
    eos_id : int or None
        Token that ends a sentence; None when there is none, and each is `max_length` long.
    max_length : int
        Most tokens of a sentence, the end token included; a sentence that reaches it is cut.

    Returns
    -------
    Hypotheses

    Raises
    ------
    ValueError
        When `start` is not one token per sentence or `max_length` is below 1.
    """
    _check(start, max_length)
    eos_id = _NO_TOKEN if eos_id is None else eos_id
    tokens, ended = start, torch.zeros_like(start, dtype=torch.bool)
    scores, columns = torch.zeros(len(start), device=start.device), []
    for _ in range(max_length):
        logits, state = step(tokens, state)
        best, tokens = _log_probabilities(logits).max(dim=-1)
        scores = scores + best.masked_fill(ended, 0.0)
        tokens = tokens.masked_fill(ended, eos_id)
        columns.append(tokens)
        ended = ended | (tokens == eos_id)
        if ended.all():
            break
    rows = torch.stack(columns, dim=1).tolist()
    ids = [row[: row.index(eos_id)] if eos_id in row else row for row in rows]
    return Hypotheses(
        ids, scores, [[(s, row)] for s, row in zip(scores.tolist(), ids, strict=True)]
    )


def search(
    step: Step,
    start: Int[Tensor, " B"],
    state: Any,
    *,
    eos_id: int | None,
    max_length: int,
    num_beams: int = 1,
    length_penalty: float = 0.0,
    early_stopping: EarlyStopping = "never",
) -> Hypotheses:
    """Search as a model's `generate` is asked to: `greedy` with one beam, else `beam_search`.

    Parameters
    ----------
    step, start, state, eos_id, max_length, num_beams, length_penalty, early_stopping
        See `beam_search`; one beam is searched greedily, where the last two change nothing.
    """
    if num_beams == 1:
        return greedy(step, start, state, eos_id=eos_id, max_length=max_length)
    limits = {"eos_id": eos_id, "max_length": max_length}
    ranking = {"length_penalty": length_penalty, "early_stopping": early_stopping}
    return beam_search(step, start, state, **limits, num_beams=num_beams, **ranking)


@torch.no_grad()
def beam_search(
    step: Step,
    start: Int[Tensor, " B"],
    state: Any,
    *,
    eos_id: int | None,
    max_length: int,
    num_beams: int = 4,
    length_penalty: float = 0.0,
    early_stopping: EarlyStopping = "never",
) -> Hypotheses:
    """Keep the `num_beams` best beginnings at each step.

    A sequence is ranked by `score / length ** length_penalty`, where the score is the sum of its
    log-probabilities and the length counts the end token. With 0 the search looks for the most
    probable sequence; 1 compares the mean log-probability and so favours longer ones; below 0
    shorter ones are favoured even more.

    Choices and results are those of `generate` of the `transformers` library, whose own defaults
    are `length_penalty=1.0` and `early_stopping=False`; `length` is what was written, without the
    prompt.

    Parameters
    ----------
    step, start, state, eos_id, max_length
        As in `greedy`.
    num_beams : int
        K; 1 is greedy search.
    length_penalty : float
        Exponent of the length.
    early_stopping : "never", False or True
        When a sentence with `num_beams` finished sequences is done. "never": when no running
        beginning can overtake the worst of them any more, which is exact. False: when none would
        overtake it if it ended now. True: at once.

    Returns
    -------
    Hypotheses
        `beams` holds up to `num_beams` finished sequences per sentence.

    Raises
    ------
    ValueError
        As in `greedy`, or when `num_beams` is below 1 or `early_stopping` is something else.

    References
    ----------
    Sutskever et al. 2014, Sequence to Sequence Learning with Neural Networks, section 3.2; Wu et
    al. 2016, Google's Neural Machine Translation System, section 7 (length normalisation).
    """
    _check(start, max_length, num_beams)
    if early_stopping not in (True, False, "never"):
        raise ValueError(f'early_stopping is True, False or "never", got {early_stopping!r}')
    eos_id = _NO_TOKEN if eos_id is None else eos_id
    device, batch = start.device, len(start)
    offsets = torch.arange(batch, device=device)[:, None] * num_beams  # first row of each sentence
    tokens = start.repeat_interleave(num_beams)
    state = select_rows(state, torch.arange(batch, device=device).repeat_interleave(num_beams))
    # All beams start equal: only the first may be continued, or they would stay copies.
    running = torch.full((batch, num_beams), -torch.inf, device=device)
    running[:, 0] = 0.0
    written = torch.empty(batch * num_beams, 0, dtype=torch.long, device=device)
    longest = max_length if early_stopping == "never" and length_penalty > 0 else None
    pools = [_Finished(num_beams, length_penalty, longest) for _ in range(batch)]

    for length in range(1, max_length + 1):
        logits, state = step(tokens, state)
        size = logits.shape[-1]
        total = running[:, :, None] + _log_probabilities(logits).view(batch, num_beams, size)
        # At most num_beams candidates end here, so this many leave enough that go on.
        best, flat = total.view(batch, -1).topk(min(2 * num_beams, num_beams * size), dim=-1)
        parents, chosen = flat // size + offsets, flat % size
        ends = (chosen == eos_id) | (length == max_length)
        for b, k in (ends[:, :num_beams] & best[:, :num_beams].isfinite()).nonzero().tolist():
            tail = [] if chosen[b, k] == eos_id else [int(chosen[b, k])]
            pools[b].add(float(best[b, k]), written[parents[b, k]].tolist() + tail, length)
        best = best.masked_fill(ends, -torch.inf)
        for pool, row in zip(pools, best, strict=True):
            pool.close(float(row.max()), length, at_once=early_stopping is True)
        if all(pool.closed for pool in pools):
            break
        running, order = best.topk(min(num_beams, best.shape[-1]), dim=-1)
        rows = parents.gather(1, order).flatten()
        tokens = chosen.gather(1, order).flatten()
        written = torch.cat([written[rows], tokens[:, None]], dim=1)
        state = select_rows(state, rows)
    return _collect(pools, device)


class _Finished:
    """The best finished sequences of one sentence."""

    def __init__(self, size: int, length_penalty: float, longest: int | None) -> None:
        self.size, self.length_penalty, self.longest = size, length_penalty, longest
        self.items: list[tuple[float, float, list[int]]] = []  # rank score, log-probability, ids
        self.closed = False

    def add(self, score: float, ids: list[int], length: int) -> None:
        if self.closed:
            return
        self.items.append((score / length**self.length_penalty, score, ids))
        self.items.sort(key=lambda item: -item[0])
        del self.items[self.size :]

    def close(self, best_running: float, length: int, *, at_once: bool) -> None:
        """Take no more when enough have ended and the best that runs cannot come in.

        Scores only fall. With a penalty above 0 length helps most at its longest, else as it is.
        """
        if len(self.items) < self.size:
            self.closed |= best_running == -torch.inf
        else:
            bound = best_running / (self.longest or length) ** self.length_penalty
            self.closed |= at_once or self.items[-1][0] >= bound


def _collect(pools: list[_Finished], device: torch.device) -> Hypotheses:
    ids = [pool.items[0][2] for pool in pools]
    scores = torch.tensor([pool.items[0][1] for pool in pools], device=device)
    return Hypotheses(ids, scores, [[(rank, row) for rank, _, row in pool.items] for pool in pools])


def search_tree(
    step: Step,
    start: Int[Tensor, " 1"],
    state: Any,
    *,
    eos_id: int | None,
    max_length: int,
    num_beams: int,
    length_penalty: float = 0.0,
    early_stopping: EarlyStopping = "never",
) -> tuple[Hypotheses, dict[tuple[int, ...], float]]:
    """Search as `beam_search` does, for one sentence, and tell what it looked at.

    Parameters
    ----------
    step, start, state, eos_id, max_length, num_beams, length_penalty, early_stopping
        As in `beam_search`; one beam gives greedy search's path.

    Returns
    -------
    found : Hypotheses
    tree : dict of tuple of int to float
        Every beginning that the search went on with, and every sequence that it kept in the end,
        with the probability of its last token given those before; branches in falling order. For
        `plotting.tree`, with words in the place of the ids.

    Raises
    ------
    ValueError
        As in `beam_search`, or when there is not one sentence, or there are as many beams as
        tokens.
    """
    if len(start) != 1:
        raise ValueError(f"a tree shows the search for one sentence, got {len(start)}")
    after: dict[tuple[int, ...], Tensor] = {}  # beginning -> probabilities of the next token

    def recording(tokens: Tensor, state: tuple) -> tuple[Tensor, tuple]:
        path, inner = state
        path = torch.cat([path, tokens[:, None]], dim=1)
        logits, inner = step(tokens, inner)
        if logits.shape[-1] <= num_beams:  # beams that nothing fills would be in the picture
            raise ValueError(f"{num_beams} beams need more tokens than {logits.shape[-1]}")
        rows = zip(path[:, 1:].tolist(), logits.softmax(dim=-1), strict=True)
        after.update({tuple(ids): row for ids, row in rows})
        return logits, (path, inner)

    limits = {"eos_id": eos_id, "max_length": max_length, "num_beams": num_beams}
    ranking = {"length_penalty": length_penalty, "early_stopping": early_stopping}
    found = beam_search(recording, start, (start[:, None][:, :0], state), **limits, **ranking)
    ended = [(*ids, *[eos_id] * (len(ids) < max_length)) for _, ids in found.beams[0]]
    paths = {path[:k] for path in [*after, *ended] for k in range(1, len(path) + 1)}
    chance = {path: after[path[:-1]][path[-1]].item() for path in paths}
    order = {path: [-chance[path[: k + 1]] for k in range(len(path))] for path in paths}
    return found, {path: chance[path] for path in sorted(paths, key=lambda path: order[path])}
