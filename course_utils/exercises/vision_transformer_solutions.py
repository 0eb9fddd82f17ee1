"""Solutions of the exercises of lesson 6, written to be read.

Axis letters: B batch, C channels, Y and X height and width, N patches, P numbers in a patch, D
width, T tokens (the class token and the patches), L layers, H heads, S patches along a side.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def patches(picture: Float[Tensor, "C Y X"], patch_size: int) -> Float[Tensor, "N P"]:
    """Exercise 06.1: cut a picture into square patches, row by row.

    Parameters
    ----------
    picture : Float "C Y X"
    patch_size : int
        Height and width of a patch in pixels; both sides of the picture are multiples of it.

    Returns
    -------
    Float "N P"
        Each row is one patch: channel by channel, and in each channel row by row.

    Examples
    --------
    >>> patches(torch.arange(16.0).view(1, 4, 4), 2)[:2].tolist()
    [[0.0, 1.0, 4.0, 5.0], [2.0, 3.0, 6.0, 7.0]]
    """
    _, height, width = picture.shape
    return torch.stack(
        [
            picture[:, y : y + patch_size, x : x + patch_size].flatten()
            for y in range(0, height, patch_size)
            for x in range(0, width, patch_size)
        ]
    )


def embed(
    pictures: Float[Tensor, "B C Y X"],
    weight: Float[Tensor, "D C p p"],
    bias: Float[Tensor, " D"],
    class_token: Float[Tensor, " D"],
    positions: Float[Tensor, "T D"],
) -> Float[Tensor, "B T D"]:
    """Exercise 06.2: what goes into the first block of a ViT.

    Parameters
    ----------
    pictures : Float "B C Y X"
    weight : Float "D C p p"
        Of a convolution whose stride is its kernel's side p.
    bias : Float "D"
    class_token : Float "D"
        Stands in front of the patches.
    positions : Float "T D"
        Added to all tokens.

    References
    ----------
    Dosovitskiy et al. 2021, An Image is Worth 16x16 Words, equation 1.

    Examples
    --------
    >>> sums, grey = torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 4)
    >>> positions = torch.tensor([[0.0], [0.25], [0.5]])
    >>> embed(grey, sums, torch.tensor([1.0]), torch.tensor([7.0]), positions).tolist()
    [[[7.0], [5.25], [5.5]]]
    """
    x = F.conv2d(pictures, weight, bias, stride=weight.shape[-1])  # B D Y/p X/p
    x = x.flatten(2).transpose(1, 2)  # B N D
    token = class_token.expand(len(x), 1, -1)  # B 1 D
    return torch.cat([token, x], dim=1) + positions


def cost(
    height: int, width: int, patch_size: int, d_model: int, num_heads: int
) -> tuple[int, int, int]:
    """Exercise 06.3: what one layer's attention costs.

    Parameters
    ----------
    height, width : int
        Of the picture, in pixels; multiples of `patch_size`.
    patch_size : int
        Height and width of a patch, in pixels.
    d_model : int
        D, a multiple of `num_heads`.
    num_heads : int

    Returns
    -------
    tokens : int
        T: the patches and the class token.
    weights : int
        Attention weights of one layer, in all heads.
    multiplications : int
        Of numbers: four linear layers D x D for each token, scores, weighted sums.

    Examples
    --------
    >>> cost(4, 4, 2, d_model=6, num_heads=3)
    (5, 75, 1020)
    """
    tokens = 1 + (height // patch_size) * (width // patch_size)
    weights = num_heads * tokens**2
    linear = 4 * tokens * d_model**2
    d_head = d_model // num_heads
    scores = sums = (
        weights * d_head
    )  # one multiplication for each weight and each of d_head numbers
    return tokens, weights, linear + scores + sums


def stretch(positions: Float[Tensor, "T D"], rows: int, columns: int) -> Float[Tensor, "T2 D"]:
    """Exercise 06.4: learned positions for a picture of another size.

    Parameters
    ----------
    positions : Float "T D"
        Of the class token, then of a square of patches, row by row.
    rows, columns : int
        Patches of the other picture, from top to bottom and from left to right.

    Returns
    -------
    Float "T2 D"
        T2 is 1 + rows * columns.

    References
    ----------
    Dosovitskiy et al. 2021, section 3.2.

    Examples
    --------
    >>> table = torch.tensor([[9.0], [0.0], [1.0], [0.0], [1.0]])  # grows from left to right
    >>> stretch(table, 1, 2).flatten().tolist()
    [9.0, 0.0, 1.0]
    """
    token, table = positions[:1], positions[1:]
    side = int(len(table) ** 0.5)
    grid = table.T.unflatten(1, (side, side))[None]  # 1 D S S
    grid = F.interpolate(grid, size=(rows, columns), mode="bicubic", align_corners=False)
    return torch.cat([token, grid[0].flatten(1).T])


def rollout(attentions: Float[Tensor, "L H T T"]) -> Float[Tensor, "S S"]:
    """Exercise 06.5: how much of each patch got into the class token's last vector.

    Parameters
    ----------
    attentions : Float "L H T T"
        Attention weights of one picture; the class token is token 0.

    Returns
    -------
    Float "S S"
        Shares of the patches, as they lie in the picture.

    References
    ----------
    Abnar and Zuidema 2020, Quantifying Attention Flow in Transformers, section 3.

    Examples
    --------
    >>> looks = torch.eye(5)[[1, 1, 2, 3, 4]]  # the class token looks at patch 1
    >>> rollout(looks[None, None]).tolist()
    [[0.5, 0.0], [0.0, 0.0]]
    """
    layers = attentions.mean(dim=1)  # L T T
    here = torch.eye(layers.shape[-1]).to(layers)
    found = here
    for layer in layers:
        found = (layer + here) / 2 @ found
    shares = found[0, 1:]
    side = int(len(shares) ** 0.5)
    return shares.unflatten(0, (side, side))
