"""Where a word stands: vectors added to those of words, or a turn of queries and keys.

Attention by itself does not know the order of its keys; these tables tell it.
Sources: Vaswani et al. 2017, Attention Is All You Need, section 3.5 (sinusoidal); Gehring et al.
2017, Convolutional Sequence to Sequence Learning, section 3.1 (learned); Su et al. 2021, RoFormer:
Enhanced Transformer with Rotary Position Embedding, section 3.2 (rotary).

Axis letters: B batch, T length, L longest length, D width (of the model; of a head where turned).
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


def rotate(
    x: Float[Tensor, "*N T D"], cosine: Float[Tensor, "T D2"], sine: Float[Tensor, "T D2"]
) -> Float[Tensor, "*N T D"]:
    """Turn pairs of numbers by angles: number i and number i + D/2 are a point in the plane.

    Parameters
    ----------
    x : Float "... T D"
        D is even.
    cosine, sine : Float "T D/2"
        Of the angle of each pair at each position.

    Examples
    --------
    >>> quarter = torch.zeros(1, 1), torch.ones(1, 1)  # cosine and sine of 90 degrees
    >>> rotate(torch.tensor([[1.0, 2.0]]), *quarter).tolist()
    [[-2.0, 1.0]]
    """
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class RotaryPositions(nn.Module):
    """Turn queries and keys by angles that grow with their positions.

    The product of a query and a key that are turned so depends on how far they stand apart, and
    not on where they stand: "the word before" is one and the same thing in the whole text. Nothing
    is learned, and nothing is saved with the weights. One module serves all layers.

    Parameters
    ----------
    d_head : int
        D, width of a head, an even number.
    max_length : int
        L, positions that the table has.

    Raises
    ------
    ValueError
        When the width is odd.

    References
    ----------
    Su et al. 2021, equation 34; pairs are split as in Llama and in the `transformers` library.

    Examples
    --------
    >>> turn = RotaryPositions(d_head=2, max_length=9)
    >>> query, key = torch.randn(2, 1, 2)
    >>> products = [turn(query, at + 3) @ turn(key, at).T for at in (0, 5)]
    >>> torch.testing.assert_close(*products)
    """

    cosine: Float[Tensor, "L D2"]
    sine: Float[Tensor, "L D2"]

    def __init__(self, d_head: int, max_length: int) -> None:
        super().__init__()
        table = sinusoidal_table(max_length, d_head)  # its frequencies are the same
        self.register_buffer("sine", table[:, 0::2].contiguous(), persistent=False)
        self.register_buffer("cosine", table[:, 1::2].contiguous(), persistent=False)

    def forward(self, x: Float[Tensor, "*N T D"], offset: int = 0) -> Float[Tensor, "*N T D"]:
        """Turn what stands at the positions `offset`, `offset + 1`, ...

        Raises
        ------
        ValueError
            When the table ends before the last of them.
        """
        end = offset + x.shape[-2]
        if end > len(self.cosine):
            raise ValueError(
                f"a sequence of length {end} is longer than the table of {len(self.cosine)} "
                "positions: build the model with a larger max_length, or cut the sequence"
            )
        return rotate(x, self.cosine[offset:end], self.sine[offset:end])
