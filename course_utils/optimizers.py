"""Muon, an optimizer for matrices; and fine-tuning's choice: which layers learn, and how fast.

A gradient of a weight matrix is mostly a few strong directions. Muon keeps its directions and gives
all of them the same length: with the singular value decomposition U S V^T of the (smoothed)
gradient, the step is U V^T. Vectors and embeddings, whose rows are no directions of a map, are left
to AdamW.

What a pre-trained model knows is kept by learning less near its input: `train_only` freezes the
first layers, `layer_wise_groups` gives them smaller learning rates.

Sources: Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks; Liu et al.
2025, Muon is Scalable for LLM Training, section 2.2 (one learning rate for matrices of all shapes).
The same is in `torch.optim.Muon`, for matrices alone and in bfloat16; many CPUs need 20 times
longer for that than for float32. Howard and Ruder 2018, Universal Language Model Fine-tuning for
Text Classification, section 3.2, and Bao et al. 2022, BEiT, appendix H (learning rates by layers).

Axis letters: N matrices of one shape, R rows, C columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: steepest at 0, where small values grow
NO_DECAY = ("class_token", "teacher_token", "positions")  # beside biases and norms


def orthogonalise(
    matrices: Float[Tensor, "N R C"], rounds: int = 5, eps: float = 1e-7
) -> Float[Tensor, "N R C"]:
    """Bring all singular values near 1 (0.7 to 1.2) and keep the singular vectors.

    Newton and Schulz's iteration `X <- aX + b(XX')X + c(XX')²X`, products of matrices only, is much
    faster than a singular value decomposition. Zeros stay zeros.

    References
    ----------
    Jordan et al. 2024.

    Examples
    --------
    >>> orthogonalise(torch.tensor([[[3.0, 0.0], [0.0, 0.2]]])).diagonal(dim1=1, dim2=2) > 0.6
    tensor([[True, True]])
    """
    a, b, c = QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices  # XX' is the smaller of the two products
    x = x / x.flatten(1).norm(dim=1).clamp(min=eps)[:, None, None]  # singular values up to 1
    for _ in range(rounds):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class MuonAdamW(torch.optim.Optimizer):
    """Muon for some parameter groups, AdamW for the others.

    Parameters
    ----------
    groups : list of dict
        As PyTorch's optimizers take them; those with `"muon": True` hold matrices only.
    lr, weight_decay : float
        Of the groups that have none of their own.
    momentum : float
        Muon's, with Nesterov's look ahead.
    betas : pair of float
        AdamW's.
    eps : float
        AdamW's.

    Raises
    ------
    ValueError
        When a group for Muon holds something else than matrices.
    """

    def __init__(
        self,
        groups: list[dict],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas}
        super().__init__(groups, defaults | {"eps": eps, "muon": False})
        for group in self.param_groups:
            wrong = [tuple(p.shape) for p in group["params"] if group["muon"] and p.ndim != 2]
            if wrong:
                raise ValueError(f"Muon is for matrices, got a parameter of shape {wrong[0]}")

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """Change the parameters once."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            shrink = 1 - group["lr"] * group["weight_decay"]
            for parameter in parameters:
                parameter.mul_(shrink)
            (self._muon if group["muon"] else self._adamw)(parameters, group)

    def _adamw(self, parameters: list[Tensor], group: dict) -> None:
        (beta1, beta2), lr, eps = group["betas"], group["lr"], group["eps"]
        for parameter in parameters:
            state, gradient = self.state[parameter], parameter.grad
            if not state:
                state |= {"step": 0, "mean": torch.zeros_like(gradient)}
                state["square"] = torch.zeros_like(gradient)
            state["step"] += 1
            state["mean"].lerp_(gradient, 1 - beta1)
            state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
            # Both means begin at 0: they are made as large as those of all gradients so far.
            share1, share2 = 1 - beta1 ** state["step"], 1 - beta2 ** state["step"]
            width = (state["square"] / share2).sqrt_().add_(eps)
            parameter.addcdiv_(state["mean"], width, value=-lr / share1)

    def _muon(self, parameters: list[Tensor], group: dict) -> None:
        for (rows, columns), same in groupby(sorted(parameters, key=_shape), key=_shape):
            same = list(same)  # of one shape: orthogonalised together, which is faster
            changes = orthogonalise(torch.stack([self._smoothed(p, group) for p in same]))
            # Its entries are about 1 / sqrt(longer side); the steps of AdamW are about 0.2.
            rate = 0.2 * max(rows, columns) ** 0.5 * group["lr"]
            for parameter, change in zip(same, changes, strict=True):
                parameter.add_(change, alpha=-rate)

    def _smoothed(self, parameter: Tensor, group: dict) -> Tensor:
        """The gradient's running mean, one step ahead (Nesterov)."""
        state, momentum = self.state[parameter], group["momentum"]
        if not state:
            state["mean"] = torch.zeros_like(parameter)
        state["mean"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(state["mean"], momentum)


def muon_and_adamw(
    model: nn.Module,
    learning_rate: float = 0.01,
    *,
    adamw_learning_rate: float = 0.005,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
) -> MuonAdamW:
    """Muon for the matrices of a model's layers, AdamW for its embeddings, biases and norms.

    Parameters
    ----------
    model : nn.Module
    learning_rate, adamw_learning_rate : float
        Of Muon and of AdamW.
    weight_decay : float
        Of Muon's matrices; the rest does not decay.
    betas : pair of float
        AdamW's.

    Raises
    ------
    ValueError
        When no layer has a matrix.

    Examples
    --------
    >>> model = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 8), nn.Linear(8, 4))
    >>> for group in muon_and_adamw(model).param_groups:
    ...     print(group["muon"], [tuple(parameter.shape) for parameter in group["params"]])
    True [(8, 4), (4, 8)]
    False [(9, 4), (8,), (4,)]
    """
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}  # ties, too
    learned = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in learned if p.ndim == 2 and id(p) not in tables]
    if not matrices:
        raise ValueError("the model has no matrix for Muon outside of embeddings: take AdamW")
    chosen = {id(p) for p in matrices}
    rest = [p for p in learned if id(p) not in chosen]
    groups = [{"params": matrices, "lr": learning_rate, "weight_decay": weight_decay, "muon": True}]
    groups += [{"params": rest, "lr": adamw_learning_rate, "weight_decay": 0.0}] if rest else []
    return MuonAdamW(groups, betas=betas)


def _shape(parameter: Tensor) -> tuple[int, ...]:
    return tuple(parameter.shape)


# ---- fine-tuning: which layers learn, and how fast


def train_only(model: nn.Module, last_blocks: int | None) -> None:
    """Choose the layers that learn, in place; those before them are frozen.

    What is frozen needs no gradients. PyTorch then keeps nothing of its forward pass: a step takes
    less time and less memory. Choose before the optimizer is made.

    Parameters
    ----------
    model : nn.Module
        Its blocks are in a `ModuleList` named `blocks`, as those of `ViT` and `BERTForSequences`.
    last_blocks : int or None
        0: only the head, which is what stands behind the blocks and their last norm. K: the last K
        blocks, the last norm and the head. None: all layers.

    Raises
    ------
    ValueError
        When the model has no `blocks`, or fewer than asked for.

    Examples
    --------
    >>> blocks = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    >>> model = nn.ModuleDict({"blocks": blocks, "head": nn.Linear(2, 3)})
    >>> train_only(model, 1)
    >>> [name for name, p in model.named_parameters() if p.requires_grad]
    ['blocks.1.weight', 'blocks.1.bias', 'head.weight', 'head.bias']
    """
    depths = list(_depths(model))
    blocks = max(depth for _, _, depth in depths) - 1
    if last_blocks is not None and not 0 <= last_blocks <= blocks:
        raise ValueError(
            f"last_blocks is 0 to {blocks}, the model's blocks, or None for all layers; "
            f"got {last_blocks}"
        )
    for name, parameter, depth in depths:
        learns = last_blocks is None or depth > blocks - last_blocks
        if last_blocks == 0 and "norm" in name.split("."):
            learns = False  # it belongs to the features that the head reads
        parameter.requires_grad_(learns)


def layer_wise_groups(
    model: nn.Module,
    learning_rate: float,
    *,
    layer_decay: float = 1.0,
    weight_decay: float = 0.05,
) -> list[dict[str, Any]]:
    """Parameter groups for AdamW, with a smaller learning rate the nearer a layer is to the input.

    Parameters
    ----------
    model : nn.Module
        As in `train_only`; what is frozen is left out.
    learning_rate : float
        Of the head and the last norm.
    layer_decay : float
        Above 0, up to 1: the factor from a block to the one before it. The embeddings come before
        the first block. 1 gives all layers the same rate.
    weight_decay : float
        Of matrices. Biases, norms, positions and the class token do not decay.

    Returns
    -------
    list of dict
        From the head down: the first group's rate is `learning_rate`, if the head learns.

    Raises
    ------
    ValueError
        When a number is out of range, the model has no `blocks`, or nothing learns.

    References
    ----------
    Bao et al. 2022, appendix H (0.65 for 24 layers); He et al. 2022, Masked Autoencoders, A.1.

    Examples
    --------
    >>> from course_utils.models.vit import ViT, ViTConfig
    >>> sizes = {"image_size": 8, "patch_size": 2, "num_classes": 10, "num_heads": 2, "d_model": 8}
    >>> groups = layer_wise_groups(ViT(ViTConfig(**sizes, num_layers=2)), 0.08, layer_decay=0.5)
    >>> sorted({group["lr"] for group in groups})  # embeddings, two blocks, the head
    [0.01, 0.02, 0.04, 0.08]
    >>> optimizer = torch.optim.AdamW(groups)  # for `fit(..., optimizer=optimizer)`
    """
    if not (learning_rate > 0 and 0 < layer_decay <= 1 and weight_decay >= 0):
        raise ValueError(
            "learning_rate is above 0, layer_decay above 0 and up to 1, weight_decay 0 or more; "
            f"got {learning_rate}, {layer_decay} and {weight_decay}"
        )
    depths = list(_depths(model))
    top = max(depth for _, _, depth in depths)
    found: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter, depth in depths:
        decays = parameter.ndim > 1 and not set(NO_DECAY) & set(name.split("."))
        if parameter.requires_grad:
            found.setdefault((top - depth, not decays), []).append(parameter)
    if not found:
        raise ValueError("all of the model is frozen: say what learns, with `train_only`")
    return [
        {
            "params": parameters,
            "lr": learning_rate * layer_decay**below,
            "weight_decay": 0.0 if plain else weight_decay,
        }
        for (below, plain), parameters in sorted(found.items(), key=lambda item: item[0])
    ]


def _depths(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, int]]:
    """Each parameter's name and depth: 0 of embeddings, then one for each block, then the head's.

    Embeddings stand beside the blocks, in the same module, and before them.
    """
    names = [name for name, _ in model.named_parameters()]
    places = [re.match(r"(.*?\b)blocks\.(\d+)\.", name) for name in names]
    if not any(places):
        raise ValueError(f"the model has no `blocks`: its parameters are {names[:8]} ...")
    prefix = next(place[1] for place in places if place)
    blocks, seen = 1 + max(int(place[2]) for place in places if place), False
    for (name, parameter), place in zip(model.named_parameters(), places, strict=True):
        seen = seen or place is not None
        inside = name.startswith(prefix) and not seen
        yield name, parameter, int(place[2]) + 1 if place else 0 if inside else blocks + 1
