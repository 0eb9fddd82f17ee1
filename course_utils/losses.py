"""What a training makes small: losses that leave padding out.

Axis letters: B batch, T length, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
