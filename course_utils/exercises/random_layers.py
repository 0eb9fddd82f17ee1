"""Layers for the cases of exercises, with weights from a generator of their own.

The usual constructors draw from the global generator, which a check leaves alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from course_utils.exercises.comparing import Inputs, copied
from course_utils.exercises.transformer_solutions import four_layers

Rand = Callable[..., Tensor]


def drawn_once(cases: Callable[[], list[Inputs]]) -> Callable[[], list[Inputs]]:
    """Cases with the same layers at each call and copies of the tensors: layers take long."""
    drawn = cache(cases)

    @wraps(cases)
    def copies() -> list[Inputs]:
        return [tuple(map(copied, inputs)) for inputs in drawn()]

    return copies


class _Linear(nn.Linear):
    """Draws nothing when it is made."""

    def reset_parameters(self) -> None:
        """Nothing."""


def linear(rand: Rand, d_in: int, d_out: int) -> nn.Linear:
    """Its bias is not zero, and what it gives is about as large as what it gets."""
    layer = _Linear(d_in, d_out, device="cpu", dtype=torch.float32).requires_grad_(False)
    layer.weight.copy_(1.3 * d_in**-0.5 * rand(d_out, d_in))
    layer.bias.copy_(0.5 * rand(d_out))
    return layer


def layer_norm(rand: Rand, d: int) -> nn.LayerNorm:
    """Its weights are far enough from 1 and 0 for two norms to differ."""
    layer = nn.LayerNorm(d, device="cpu", dtype=torch.float32).requires_grad_(False)
    layer.weight.copy_(1 + 0.4 * rand(d))
    layer.bias.copy_(0.4 * rand(d))
    return layer


_FOUR = ("query", "key", "value", "output")


def projections(rand: Rand, d: int) -> SimpleNamespace:
    """The four layers of multi-head attention."""
    return SimpleNamespace(**{name: linear(rand, d, d) for name in _FOUR})


def decoder_layers(rand: Rand, d_model: int, d_ff: int) -> SimpleNamespace:
    """The layers of one decoder layer."""
    names = [f"{part}_{name}" for part in ("self", "cross") for name in _FOUR]
    return SimpleNamespace(
        **{name: linear(rand, d_model, d_model) for name in names},
        inner=linear(rand, d_model, d_ff),
        outer=linear(rand, d_ff, d_model),
        **{name: layer_norm(rand, d_model) for name in ("norm1", "norm2", "norm3")},
    )


def torch_layer(
    x: Tensor, memory: Tensor, memory_mask: Tensor, layers: Any, num_heads: int
) -> Tensor:
    """What `torch.nn.TransformerDecoderLayer` gives with these weights."""
    sizes = x.shape[-1], num_heads, layers.inner.out_features
    options = {"dropout": 0.0, "batch_first": True, "device": "cpu", "dtype": torch.float32}
    layer = skip_init(nn.TransformerDecoderLayer, *sizes, **options).requires_grad_(False)
    weights = {"linear1": layers.inner, "linear2": layers.outer}
    weights |= {name: getattr(layers, name) for name in ("norm1", "norm2", "norm3")}
    for name, part in (("self_attn", "self"), ("multihead_attn", "cross")):
        *three, weights[f"{name}.out_proj"] = vars(four_layers(layers, part)).values()
        for kind in ("weight", "bias"):
            joined = torch.cat([getattr(one, kind) for one in three])
            getattr(layer, name).get_parameter(f"in_proj_{kind}").copy_(joined)
    for name, one in weights.items():
        layer.get_submodule(name).load_state_dict(one.state_dict())
    hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device="cpu").triu(1)
    return layer(x, memory, hidden, memory_key_padding_mask=~memory_mask[:, 0])
