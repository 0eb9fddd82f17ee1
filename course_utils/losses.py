"""What a training makes small: losses that leave padding out; and a language model's on a text.

Axis letters: B batch, T length, V vocabulary, N tokens of a text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

Loss = Callable[[nn.Module, Any], Tensor]


def masked_cross_entropy(
    logits: Float[Tensor, "B T V"],
    target: Int[Tensor, "B T"],
    mask: Bool[Tensor, "B T"],
    label_smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Mean cross-entropy over the positions that `mask` calls real, in nats per token.

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[[0.0, 0.0], [9.0, -9.0]]])
    >>> mask = torch.tensor([[True, False]])  # the second position, badly wrong, is padding
    >>> round(masked_cross_entropy(logits, torch.tensor([[0, 1]]), mask).item(), 4)
    0.6931
    """
    return nn.functional.cross_entropy(logits[mask], target[mask], label_smoothing=label_smoothing)


def translation_loss(label_smoothing: float = 0.0) -> Loss:
    """Loss of a translator under teacher forcing on a `PairBatch`; padding does not count.

    Parameters
    ----------
    label_smoothing : float
        Share of the target probability that is spread over all words (Szegedy et al. 2016,
        Rethinking the Inception Architecture for Computer Vision, section 7).
    """

    def loss(model: nn.Module, batch: Any) -> Tensor:
        logits, _ = model(batch.source, batch.source_mask, batch.target_input)
        return masked_cross_entropy(logits, batch.target_output, batch.output_mask, label_smoothing)

    return loss


def next_token_loss(model: nn.Module, ids: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean cross-entropy of each next token, in nats; the batches are `TokenWindows`.

    The model reads all tokens but the last, and has to say all but the first.

    Examples
    --------
    >>> knows_nothing = nn.Embedding.from_pretrained(torch.zeros(5, 5))
    >>> next_token_loss(knows_nothing, torch.tensor([[0, 3, 4]])).exp().round()
    tensor(5.)
    """
    logits = model(ids[:, :-1])
    return nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def masked_loss(model: nn.Module, batch: Any) -> Float[Tensor, ""]:
    """Mean cross-entropy of the masked words, in nats; the batches are `masking.MaskedBatch`.

    For pairs of sentences the loss of telling whether the second follows the first is added. Words
    are scored at the masked places only. A batch without any, as a process may get when a batch is
    shared, adds nothing.

    Parameters
    ----------
    model : nn.Module
        A `BERT`.
    batch : MaskedBatch
    """
    output = model(batch.ids, batch.segment_ids, batch.padding_mask, places=batch.places)
    words = nn.functional.cross_entropy(
        output.mlm_logits, batch.target[batch.places], reduction="sum"
    ) / max(1, len(output.mlm_logits))
    if batch.unrelated is None:
        return words
    return words + nn.functional.cross_entropy(output.nsp_logits, batch.unrelated)


@torch.no_grad()
def token_log_probs(
    model: nn.Module,
    ids: Int[Tensor, " N"],
    block_size: int,
    *,
    stride: int | None = None,
    batch_size: int = 8,
) -> Float[Tensor, " N1"]:
    """How probable a language model finds each token of a text, but the first.

    The text is read in windows of `block_size` tokens that begin `stride` tokens after each other;
    each token counts once, in the first window that it stands in. `metrics.bits_per_byte` and
    `metrics.perplexity` make one number of the result.

    Parameters
    ----------
    model : nn.Module
        `model(ids)` -> logits "B T V"; use it in evaluation mode.
    ids : Int "N"
        The text, 2 tokens or more.
    block_size : int
        T, tokens that the model reads at once.
    stride : int, optional
        1 to `block_size`, its default. With a smaller one each token (but the first ones) sees at
        least `block_size - stride` earlier ones, and the reading takes longer.
    batch_size : int
        Windows that are read together.

    Returns
    -------
    Float "N-1"
        Natural logarithms.

    Raises
    ------
    ValueError
        When the text is too short or the stride is out of range.

    Examples
    --------
    >>> knows_nothing = nn.Embedding.from_pretrained(torch.zeros(4, 4))
    >>> token_log_probs(knows_nothing, torch.arange(4), block_size=2).exp()
    tensor([0.2500, 0.2500, 0.2500])
    """
    stride = block_size if stride is None else stride
    if len(ids) < 2:
        raise ValueError(f"a text to score has 2 tokens or more, got {len(ids)}")
    if not 1 <= stride <= block_size:
        raise ValueError(f"stride is 1 to block_size={block_size}, got {stride}")
    last = max(0, len(ids) - 1 - block_size)  # the last window ends with the text
    starts = torch.tensor([*range(0, last, stride), last])
    width, weight = min(block_size, len(ids) - 1), next(iter(model.parameters()))
    # One piece for all results. Many small ones among the logits, which come and go, would keep the
    # allocator from using the logits' memory again: two gigabytes more, on some runs.
    scored, found = 0, torch.empty(len(ids) - 1, dtype=weight.dtype)
    for some in starts.split(batch_size):
        windows = ids.long()[some[:, None] + torch.arange(width + 1)].to(weight.device)  # B T+1
        rows = zip(some.tolist(), model(windows[:, :-1]), windows[:, 1:], strict=True)
        for start, logits, target in rows:  # one at a time, new tokens only: less memory and time
            new = slice(scored - start, None)
            losses = nn.functional.cross_entropy(logits[new], target[new], reduction="none")
            found[scored : start + width] = -losses
            scored = start + width
    return found
