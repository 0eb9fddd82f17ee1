"""What a model reads: patches of pictures; and where a word or a patch stands.

Attention by itself does not know the order of its keys. Vectors added to those of the words, or a
turn of queries and keys, tell it.
Sources: Vaswani et al. 2017, Attention Is All You Need, section 3.5 (sinusoidal); Gehring et al.
2017, Convolutional Sequence to Sequence Learning, section 3.1 (learned); Su et al. 2021, RoFormer:
Enhanced Transformer with Rotary Position Embedding, section 3.2 (rotary); Dosovitskiy et al. 2021,
An Image is Worth 16x16 Words, sections 3.1 and 3.2 (patches, and positions at other sizes).

Axis letters: B batch, T length, L longest length, D width (of the model; of a head where turned),
C channels, Y and X height and width of a picture, N patches, P numbers in a patch.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


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


# ---- pictures


def cut_patches(pictures: Float[Tensor, "B C Y X"], patch_size: int) -> Float[Tensor, "B N P"]:
    """Cut pictures into squares, row by row; each becomes a list of numbers, channel by channel.

    Parameters
    ----------
    pictures : Float "B C Y X"
    patch_size : int
        Height and width of a patch, in pixels.

    Raises
    ------
    ValueError
        When a picture is smaller than a patch, or a side is no multiple of the patch's.

    Examples
    --------
    >>> cut_patches(torch.arange(16.0).view(1, 1, 4, 4), 2)[0, :2].tolist()
    [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]
    """
    height, width = pictures.shape[-2:]
    if min(height, width) < patch_size:
        raise ValueError(
            f"a picture of {height} x {width} pixels is smaller than a patch of {patch_size} x "
            f"{patch_size}: make it larger, or take smaller patches"
        )
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"patches of {patch_size} x {patch_size} do not fill a picture of {height} x {width} "
            "pixels: resize it, or crop its sides to a multiple of the patch's"
        )
    rows = pictures.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size))
    return rows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)  # B C N1 p N2 p -> B N C*p*p


class PatchEmbedding(nn.Module):
    """A vector for each patch of a picture: one linear layer, the same for all patches.

    That is a convolution whose kernel is as large as its stride, and `projection` is one: its
    weights are those of the checkpoints. It is computed as the linear layer that it is, which is
    faster on a CPU.

    Parameters
    ----------
    patch_size : int
        Height and width of a patch, in pixels.
    channels : int
        C: 1 for grey pictures, 3 for colours.
    d_model : int
        D, width.

    References
    ----------
    Dosovitskiy et al. 2021, equation 1.

    Examples
    --------
    >>> embed, pictures = PatchEmbedding(4, 3, 16), torch.randn(2, 3, 8, 8)
    >>> by_convolution = embed.projection(pictures).flatten(2).transpose(1, 2)
    >>> torch.testing.assert_close(embed(pictures), by_convolution)
    """

    def __init__(self, patch_size: int, channels: int, d_model: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(channels, d_model, patch_size, stride=patch_size)

    def forward(self, pictures: Float[Tensor, "B C Y X"]) -> Float[Tensor, "B N D"]:
        """Embed the patches of each picture, row by row.

        Raises
        ------
        ValueError
            When the number of channels is another one, or patches do not fill the picture.
        """
        layer = self.projection
        if pictures.shape[1] != layer.in_channels:
            raise ValueError(
                f"pictures have {layer.in_channels} channels here, got {pictures.shape[1]} "
                f"(shape {tuple(pictures.shape)}): 1 is grey, 3 are colours; see "
                "`course_utils.pictures`"
            )
        patches = cut_patches(pictures, layer.kernel_size[0])
        return F.linear(patches, layer.weight.flatten(1), layer.bias)


def interpolate_positions(
    table: Float[Tensor, "T D"], rows: int, columns: int, *, special: int = 1
) -> Float[Tensor, "L D"]:
    """Stretch the learned positions of a square picture's patches over another picture.

    Parameters
    ----------
    table : Float "T D"
        Those of the special tokens, then those of the patches, row by row.
    rows, columns : int
        Patches of the other picture, from top to bottom and from left to right.
    special : int
        Tokens in front that stand nowhere in the picture and keep their vectors: 1 for the class
        token, 2 for DeiT, 0 for none.

    Returns
    -------
    Float "L D"
        L is `special + rows * columns`. Bicubic; the table itself where the size is the same.

    Raises
    ------
    ValueError
        When the table is not that of a square.

    References
    ----------
    Dosovitskiy et al. 2021, section 3.2.

    Examples
    --------
    >>> table = torch.tensor([[9.0], [0.0], [1.0], [0.0], [1.0]])  # grows from left to right
    >>> interpolate_positions(table, 1, 2).flatten().tolist()
    [9.0, 0.0, 1.0]
    """
    count = len(table) - special
    side = round(max(count, 0) ** 0.5)
    if count < 1 or side * side != count:
        raise ValueError(
            f"{len(table)} positions are not {special} special ones and a square of patches: is "
            f"special={special} right?"
        )
    if (rows, columns) == (side, side):
        return table
    grid = table[special:].T.unflatten(1, (side, side))[None]  # 1 D side side
    grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
    return torch.cat([table[:special], grid[0].flatten(1).T])
