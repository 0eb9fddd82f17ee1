"""Solutions of the exercises of lesson 1, written to be read.

Sources: Luong et al. 2015, Effective Approaches to Attention-based Neural Machine Translation;
Bahdanau et al. 2015, Neural Machine Translation by Jointly Learning to Align and Translate;
Sutskever et al. 2014, Sequence to Sequence Learning with Neural Networks.

Axis letters: B batch, Tq number of queries, Tk number of keys, S source length, Dq, Dk, Dv, A
widths of queries, keys, values and of the tanh layer, E width of the embedded word, D width of
the decoder's state, M width of the memory.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_utils import attention


def bilinear_score(
    query: Float[Tensor, "B Tq Dq"], key: Float[Tensor, "B Tk Dk"], weight: Float[Tensor, "Dq Dk"]
) -> Float[Tensor, "B Tq Tk"]:
    """Exercise 01.1: score every query against every key by `queryᵀ W key`.

    Parameters
    ----------
    query : Float "B Tq Dq"
        One vector per target position.
    key : Float "B Tk Dk"
        One vector per source position; its width may be another.
    weight : Float "Dq Dk"
        W, learned.

    Returns
    -------
    Float "B Tq Tk"
        Scores, any real numbers.

    References
    ----------
    Luong et al. 2015, section 3.1 ("general").

    Examples
    --------
    >>> weight = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> query, key = torch.tensor([[[1.0, 3.0]]]), torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    >>> bilinear_score(query, key, weight).tolist()
    [[[1.0, 7.0]]]
    """
    return query @ weight @ key.transpose(1, 2)  # B Tq Dk times B Dk Tk


def additive_score(
    query: Float[Tensor, "B Tq Dq"],
    key: Float[Tensor, "B Tk Dk"],
    w_query: Float[Tensor, "A Dq"],
    w_key: Float[Tensor, "A Dk"],
    w: Float[Tensor, " A"],
) -> Float[Tensor, "B Tq Tk"]:
    """Exercise 01.2: score every query against every key by `w · tanh(W_q query + W_k key)`.

    Parameters
    ----------
    query : Float "B Tq Dq"
        One vector per target position.
    key : Float "B Tk Dk"
        One vector per source position.
    w_query, w_key : Float "A Dq", Float "A Dk"
        Bring queries and keys to one width.
    w : Float "A"
        Makes one number of the tanh layer.

    Returns
    -------
    Float "B Tq Tk"
        Scores, any real numbers.

    References
    ----------
    Bahdanau et al. 2015, appendix A.1.2.

    Examples
    --------
    >>> one = torch.ones(1, 1)
    >>> scores = additive_score(one[None], torch.tensor([[[1.0], [-1.0]]]), one, one, one[0])
    >>> scores.round(decimals=3).tolist()  # tanh(2) and tanh(0)
    [[[0.9639999866485596, 0.0]]]
    """
    queries = (query @ w_query.T).unsqueeze(2)  # B Tq 1 A
    keys = (key @ w_key.T).unsqueeze(1)  # B 1 Tk A
    return torch.tanh(queries + keys) @ w


def attend(
    scores: Float[Tensor, "B Tq Tk"],
    values: Float[Tensor, "B Tk Dv"],
    mask: Bool[Tensor, "#B #Tq #Tk"],
) -> tuple[Float[Tensor, "B Tq Dv"], Float[Tensor, "B Tq Tk"]]:
    """Exercise 01.3: weigh the values by the softmax of the scores, keys under the mask left out.

    Parameters
    ----------
    scores : Float "B Tq Tk"
        From a score function.
    values : Float "B Tk Dv"
        What is summed.
    mask : Bool, broadcast to "B Tq Tk"
        True = may attend.

    Returns
    -------
    context : Float "B Tq Dv"
        One weighted sum of the values per query.
    weights : Float "B Tq Tk"
        Each row sums to 1, or is 0 everywhere when no key may be attended to.

    References
    ----------
    Bahdanau et al. 2015, equations 5 and 6.

    Examples
    --------
    >>> values = torch.tensor([[[1.0], [3.0], [100.0]]])
    >>> mask = torch.tensor([[[True, True, False]]])
    >>> context, weights = attend(torch.zeros(1, 1, 3), values, mask)
    >>> context.tolist(), weights.tolist()
    ([[[2.0]]], [[[0.5, 0.5, 0.0]]])
    """
    masked = scores.masked_fill(~mask, -torch.inf)  # exp(-inf) is 0
    weights = masked.softmax(dim=-1)
    weights = weights.masked_fill(~mask, 0.0)  # a row of -inf only became NaN
    return weights @ values, weights


def decoder_step(
    embedded: Float[Tensor, "B E"],
    state: Float[Tensor, "B D"],
    memory: Float[Tensor, "B S M"],
    mask: Bool[Tensor, "B S"],
    score: Callable[[Tensor, Tensor], Tensor],
    cell: nn.Module,
) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B M"], Float[Tensor, "B S"]]:
    """Exercise 01.4: one step of Bahdanau's decoder: look with the old state, then move on.

    Parameters
    ----------
    embedded : Float "B E"
        The word before.
    state : Float "B D"
        State after the last step.
    memory : Float "B S M"
        The encoder's states.
    mask : Bool "B S"
        True where a source position is real.
    score : callable
        From queries "B 1 D" and keys "B S M" to scores "B 1 S".
    cell : nn.Module
        `nn.GRUCell(E + M, D)`, which reads the embedded word and the context, in this order.

    Returns
    -------
    state : Float "B D"
        The new state.
    context : Float "B M"
        What the cell saw of the source.
    weights : Float "B S"
        How the context was put together.

    References
    ----------
    Bahdanau et al. 2015, section 3.1 and appendix A.2.2.
    """
    scores = score(state.unsqueeze(1), memory)  # one query per sentence
    context, weights = attention.attend(scores, memory, mask.unsqueeze(1))
    context, weights = context.squeeze(1), weights.squeeze(1)
    new_state = cell(torch.cat([embedded, context], dim=-1), state)
    return new_state, context, weights


def beam_search(
    next_log_probs: Callable[[tuple[int, ...]], list[float]],
    num_beams: int,
    max_length: int,
    eos: int,
) -> tuple[list[int], float]:
    """Exercise 01.5: look for the most probable sequence, keeping a few beginnings at each step.

    Parameters
    ----------
    next_log_probs : callable
        From a beginning, such as `()` or `(3, 1)`, to the log-probability of each next token.
    num_beams : int
        How many beginnings go on at each step.
    max_length : int
        Most tokens of a sequence, `eos` included.
    eos : int
        The token that ends a sequence.

    Returns
    -------
    ids : list of int
        The best sequence found, without `eos`.
    score : float
        Sum of its log-probabilities, that of `eos` included.

    References
    ----------
    Sutskever et al. 2014, section 3.2.

    Examples
    --------
    >>> from math import exp, log
    >>> table = {(): [0.1, 0.5, 0.4], (1,): [0.4, 0.3, 0.3], (2,): [0.9, 0.05, 0.05]}
    >>> def next_log_probs(prefix): return [log(p) for p in table[prefix]]
    >>> ids, score = beam_search(next_log_probs, num_beams=2, max_length=2, eos=0)
    >>> ids, round(exp(score), 2)
    ([2], 0.36)
    """
    running, finished = [(0.0, ())], []
    for length in range(1, max_length + 1):
        candidates = [
            (score + log_prob, (*prefix, token))
            for score, prefix in running
            for token, log_prob in enumerate(next_log_probs(prefix))
        ]
        candidates.sort(reverse=True)
        # Those that end leave the beam, if they are among its best; the best others go on.
        ends = [c[1][-1] == eos or length == max_length for c in candidates]
        finished += [c for c, end in zip(candidates[:num_beams], ends, strict=False) if end]
        running = [c for c, end in zip(candidates, ends, strict=True) if not end][:num_beams]
    score, ids = max(finished)
    return [token for token in ids if token != eos], score
