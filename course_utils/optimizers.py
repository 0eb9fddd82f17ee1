"""Muon: an optimizer for matrices, which makes each step equally large in every direction.

A gradient of a weight matrix is mostly a few strong directions. Muon keeps its directions and gives
all of them the same length: with the singular value decomposition U S V^T of the (smoothed)
gradient, the step is U V^T. Vectors and embeddings, whose rows are no directions of a map, are left
to AdamW.

Sources: Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks; Liu et al.
2025, Muon is Scalable for LLM Training, section 2.2 (one learning rate for matrices of all shapes).
The same is in `torch.optim.Muon`, for matrices alone and in bfloat16; many CPUs need 20 times
longer for that than for float32.

Axis letters: N matrices of one shape, R rows, C columns.
"""

from __future__ import annotations

from itertools import groupby

import torch
from jaxtyping import Float
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)  # of Jordan et al.: steepest at 0, where small values grow


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
