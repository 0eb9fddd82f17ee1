"""First values for BERT's positions: heads that begin by looking at the words beside.

A new BERT with learned positions learns the frequencies of words first and stays there for long.
Its vectors of words grow ten times and more in the first minute; those of positions do not, and in
the normed sum there is little left of them: no head can tell which word is beside which. Here they
start large, as waves, and most heads look at one neighbour from the start.
Nothing is frozen, and the model is a BERT like any other. First values that imitate what a trained
model does are called mimetic; source of the idea: Trockman and Kolter 2023, Mimetic Initialization
of Self-Attention Layers. The waves are those of Vaswani et al. 2017, section 3.5, which a matrix
turns from one position into the next; their frequencies are spread evenly, so that no two places
look alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from course_utils.models.bert import BERT

GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples fill 0 to 1 evenly and never repeat


@torch.no_grad()
def look_at_neighbours(model: BERT, *, size: float = 0.5, sharpness: float = 1.5) -> None:
    """Set positions, queries and keys; the rest of the model stays.

    The heads look at the word before, the word after, two before, two after, and so on: all heads
    of the first layer, and in the layers above it two of each three, so that some are free.

    Parameters
    ----------
    model : BERT
        New, with learned positions and an even number of dimensions in a head.
    size : float
        Of the waves; the words' vectors begin at 0.02 and end between 0.1 and 0.5.
    sharpness : float
        Of the heads: scores are proportional to its square.

    Raises
    ------
    ValueError
        When the model has rotary positions, or a head an odd number of dimensions.

    Examples
    --------
    >>> from course_utils.models.bert import BERTConfig
    >>> sizes = {"vocab_size": 40, "block_size": 9, "d_model": 64, "num_heads": 2, "num_layers": 1}
    >>> model = BERT(BERTConfig(**sizes)).eval()
    >>> look_at_neighbours(model)
    >>> before, after = model.attentions(torch.arange(9)[None])[0, 0]
    >>> before[4].argmax().item(), after[4].argmax().item()
    (3, 5)
    """
    encoder, heads = model.encoder, model.encoder.config.num_heads
    if encoder.positions is None:
        raise ValueError('the model has rotary positions: build it with positions="learned"')
    width = encoder.config.d_model // heads
    if width % 2:
        raise ValueError(f"a head has an even number of dimensions, got {width}")
    frequency = math.pi * (GOLDEN * torch.arange(1, width // 2 + 1) % 1)
    angle = torch.arange(encoder.config.block_size)[:, None] * frequency
    encoder.positions.weight.zero_()
    encoder.positions.weight[:, :width] = size * torch.cat([angle.cos(), angle.sin()], dim=1)
    for layer, block in enumerate(encoder.blocks):
        for head in range(2 * (heads // 3) if layer else heads):
            rows = slice(head * width, (head + 1) * width)
            distance = (head // 2 + 1) * (-1 if head % 2 == 0 else 1)
            for linear, turn in ((block.attention.query, distance), (block.attention.key, 0)):
                linear.weight[rows] = 0.0
                linear.weight[rows, :width] = sharpness * _turn(frequency * turn)


def _turn(angle: Tensor) -> Tensor:
    """The matrix that turns waves (all cosines, then all sines) by an angle for each frequency."""
    cosine, sine = angle.cos().diag(), angle.sin().diag()
    return torch.cat([torch.cat([cosine, -sine], dim=1), torch.cat([sine, cosine], dim=1)])
