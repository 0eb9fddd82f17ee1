"""Where a word stands: vectors of positions, added to the vectors of words.

Attention by itself does not know the order of its keys; these tables tell it.
Sources: Vaswani et al. 2017, Attention Is All You Need, section 3.5 (sinusoidal); Gehring et al.
2017, Convolutional Sequence to Sequence Learning, section 3.1 (learned).

Axis letters: B batch, T length, D model width.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


def sinusoidal_table(length: int, d_model: int) -> Float[Tensor, "T D"]:
    """Sines and cosines of the position, from one turn in 6.28 words to one in 62,800.

    Column 2i holds `sin(position / 10000 ** (2i / D))`, column 2i + 1 the cosine of the same.

    Raises
    ------
    ValueError
        When `d_model` is odd: each frequency takes two columns.

    References
    ----------
    Vaswani et al. 2017, section 3.5.

    Examples
    --------
    >>> [[round(x, 3) for x in row] for row in sinusoidal_table(2, 4).tolist()]
    [[0.0, 1.0, 0.0, 1.0], [0.841, 0.54, 0.01, 1.0]]
    """
    if d_model % 2:
        raise ValueError(f"sines and cosines come in pairs: d_model is even, got {d_model}")
    position = torch.arange(length, dtype=torch.float64)[:, None]
    angles = position / 10_000 ** (torch.arange(0, d_model, 2, dtype=torch.float64) / d_model)
    both = torch.stack([angles.sin(), angles.cos()], dim=-1)  # T D/2 2 -> T D
    return both.flatten(1).to(torch.get_default_dtype())


class Positions(nn.Module):
    """What both kinds of positions share: a table `weight`, "L D", one row per position."""

    weight: Float[Tensor, "L D"]

    def forward(self, x: Float[Tensor, "B T D"], offset: int = 0) -> Float[Tensor, "B T D"]:
        """Add the positions `offset`, `offset + 1`, ... to `x`.

        Raises
        ------
        ValueError
            When the table ends before the last of them.
        """
        end = offset + x.shape[1]
        if end > len(self.weight):
            raise ValueError(
                f"a sequence of length {end} is longer than the table of {len(self.weight)} "
                "positions: build the model with a larger max_length, or cut the sequence"
            )
        return x + self.weight[offset:end]


class SinusoidalPositions(Positions):
    """Add `sinusoidal_table`: nothing is learned, and nothing is saved with the weights.

    Parameters
    ----------
    d_model : int
        D, width, an even number.
    max_length : int
        L, positions that the table has.
    """

    def __init__(self, d_model: int, max_length: int) -> None:
        super().__init__()
        self.register_buffer("weight", sinusoidal_table(max_length, d_model), persistent=False)


class LearnedPositions(Positions):
    """Add a learned vector to each position.

    Parameters
    ----------
    d_model : int
        D, width.
    max_length : int
        L, positions that the table has.
    std : float
        Standard deviation of the first values.
    """

    def __init__(self, d_model: int, max_length: int, *, std: float = 0.02) -> None:
        super().__init__()
        self.weight = nn.Parameter(std * torch.randn(max_length, d_model))
