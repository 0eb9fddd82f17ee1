"""Which parts of its input an output of a transformer comes from, followed through all layers.

Axis letters: B batch, L layers, H heads, T tokens.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rollout(attentions: Float[Tensor, "B L H T T"]) -> Float[Tensor, "B T T"]:
    """Follow the attention through all layers: how much of each token got into each output.

    Heads are averaged. A block adds what it attended to to what was there, so half of a layer's
    way is the token itself; then the layers are multiplied.

    Returns
    -------
    Float "B T T"
        Row t: shares of the input tokens in output t, which sum to 1. Of a ViT, row 0 behind the
        special tokens is a map over the patches.

    References
    ----------
    Abnar and Zuidema 2020, Quantifying Attention Flow in Transformers, section 3. It leaves out
    values, norms and feed-forward networks: a picture of the way, not a proof.

    Examples
    --------
    >>> looks_at_the_first = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    >>> rollout(looks_at_the_first.expand(1, 2, 1, 2, 2))[0].tolist()
    [[1.0, 0.0], [0.75, 0.25]]
    """
    layers = attentions.mean(dim=2)  # B L H T T -> B L T T
    layers = (layers + torch.eye(layers.shape[-1]).to(layers)) / 2
    found = layers[:, 0]
    for layer in layers.unbind(dim=1)[1:]:
        found = layer @ found
    return found
