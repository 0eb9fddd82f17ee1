"""GPT-2's blocks once more, as plain functions: for writing, where a step is a single token.

With one token at a time the way through PyTorch's modules takes longer than the arithmetic. So the
weights are taken out of the modules once for each text, query, key and value side by side, and a
step is what the equations say. `GPT.generate` goes this way when it may (`is_plain`); the tests
hold it to what the modules compute.

Axis letters: B batch, T length, K keys, D model width, H heads.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.attention import MultiHeadAttention
from course_utils.blocks import EncoderBlock, FeedForward, Residual
from course_utils.cache import KeyValueCache

KNOWN = {EncoderBlock, MultiHeadAttention, FeedForward, Residual, nn.ModuleList}
KNOWN |= {nn.Linear, nn.LayerNorm, nn.Dropout, nn.Embedding}


def is_plain(model: nn.Module) -> bool:
    """Whether a model's parts are those of a GPT-2 in evaluation, and nothing listens to them.

    An experiment that puts another attention into a model, or looks into it with a hook, goes the
    modules' way.
    """
    parts = [*model.modules()][1:]
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    return not (model.training or hooked) and {type(part) for part in parts} <= KNOWN


class LeanBlocks:
    """The blocks and the last norm of a `GPT`, with its weights as they are now.

    Parameters
    ----------
    blocks : list of EncoderBlock
        With pre-norm.
    norm : LayerNorm
        The last one.
    """

    def __init__(self, blocks: nn.ModuleList, norm: nn.LayerNorm) -> None:
        self.layers = [_weights(block) for block in blocks]
        self.activations = [block.feed_forward.activation for block in blocks]
        self.num_heads = blocks[0].attention.num_heads
        self.norm, self.shape, self.eps = (norm.weight, norm.bias), norm.normalized_shape, norm.eps

    def __call__(
        self,
        x: Float[Tensor, "B T D"],
        allowed: Bool[Tensor, ...] | None,
        cache: list[KeyValueCache],
    ) -> Float[Tensor, "B T D"]:
        """Read new tokens, with the keys and values of the old ones in the cache."""
        own, linear, shape, eps = iter(cache), F.linear, self.shape, self.eps
        for layer, activation in zip(self.layers, self.activations, strict=True):
            first_norm, projections, output, second_norm, inner, outer = layer
            y = linear(F.layer_norm(x, shape, *first_norm, eps), *projections)
            y = y.unflatten(-1, (3, self.num_heads, -1))  # B T 3D -> B T 3 H D/H
            query, key, value = y.permute(2, 0, 3, 1, 4)  # 3 times B H T D/H
            key, value = next(own).append(key, value)
            y = F.scaled_dot_product_attention(query, key, value, allowed)
            x = x + linear(y.transpose(1, 2).flatten(2), *output)  # B H T D/H -> B T D
            y = linear(F.layer_norm(x, shape, *second_norm, eps), *inner)
            x = x + linear(activation(y), *outer)
        return F.layer_norm(x, shape, *self.norm, eps)


def _weights(block: EncoderBlock) -> list[tuple[Tensor, Tensor]]:
    """Weight and bias of each step through a block, in their order."""
    attention, network = block.attention, block.feed_forward
    three = (attention.query, attention.key, attention.value)
    packed = tuple(
        torch.cat([getattr(part, kind) for part in three]) for kind in ("weight", "bias")
    )
    rest = (attention.output, block.around_feed_forward.norm, network.inner, network.outer)
    first = block.around_attention.norm
    return [(first.weight, first.bias), packed, *((part.weight, part.bias) for part in rest)]
