"""The vision transformer: a picture is cut into patches, and read as a text of them.

From a picture to a class: patches; a vector for each; in front of them the class token, a learned
vector that stands for the whole; learned positions are added; then blocks (norm, self-attention
over all tokens, norm, feed-forward with a GELU), a norm, and a linear layer on the class token.
The architecture is that of ViT and of DeiT, exactly; `course_utils.pretrained` opens their
checkpoints. DeiT has a second token and a second classifier, which learn from a teacher.

Sources: Dosovitskiy et al. 2021, An Image is Worth 16x16 Words: Transformers for Image Recognition
at Scale, section 3; Touvron et al. 2021, Training data-efficient image transformers & distillation
through attention, section 4. First values are those of the first one's own code.

Axis letters: B batch, C channels (pictures) or classes (logits), Y and X height and width, N
patches, T tokens (special ones and patches), D model width, L layers, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.blocks import EncoderBlock
from course_utils.embeddings import PatchEmbedding, interpolate_positions

Pool = Literal["token", "mean"]


@dataclass(frozen=True, kw_only=True)
class ViTConfig:
    """Sizes and choices of a `ViT`.

    Parameters
    ----------
    image_size, patch_size : int
        Height and width of pictures and of patches, in pixels; the first is a multiple of the
        second.
    num_classes : int
        Number of logits.
    num_layers, num_heads, d_model : int
        L, H and D; D is a multiple of H.
    channels : int
        3 for colours, 1 for grey pictures.
    d_ff : int, optional
        Inner width of the feed-forward networks, 4 * D by default.
    dropout : float
        0 to 1; on embeddings, attention weights and on what each sub-layer adds.
    pool : "token" or "mean"
        What the classifier reads: the class token; or, without one, the mean of the patches.
    distilled : bool
        A second token beside the class token: DeiT.
    teacher_head : bool
        Of a distilled model: the second token has a classifier of its own, and the answer is the
        mean of both. False: the class token's classifier alone answers.
    norm_eps : float
        Of the layer norms.

    Raises
    ------
    ValueError
        When a size is below 1, sizes do not fit, the dropout is not from 0 to 1, or a choice is
        unknown.

    Examples
    --------
    >>> sizes = {"image_size": 224, "patch_size": 16, "num_classes": 1000}  # ViT base
    >>> config = ViTConfig(**sizes, num_layers=12, num_heads=12, d_model=768)
    >>> config.num_patches, f"{config.parameter_count():,} parameters"
    (196, '86,567,656 parameters')
    """

    image_size: int
    patch_size: int
    num_classes: int
    num_layers: int
    num_heads: int
    d_model: int
    channels: int = 3
    d_ff: int | None = None
    dropout: float = 0.0
    pool: Pool = "token"
    distilled: bool = False
    teacher_head: bool = True
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        sizes = ("image_size", "patch_size", "num_classes", "num_layers", "num_heads", "d_model")
        for name in (*sizes, "channels", "inner"):
            if (got := getattr(self, name)) < 1:
                raise ValueError(f"{name} is 1 or more, got {got}")
        if self.image_size % self.patch_size:
            raise ValueError(
                "image_size is a multiple of patch_size, "
                f"got image_size={self.image_size}, patch_size={self.patch_size}"
            )
        if self.d_model % self.num_heads:
            raise ValueError(
                "d_model is a multiple of num_heads, "
                f"got d_model={self.d_model}, num_heads={self.num_heads}"
            )
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout is a share from 0 to 1, got {self.dropout}")
        if self.pool not in get_args(Pool):
            raise ValueError(f'pool is "token" or "mean", got {self.pool!r}')
        if self.distilled and self.pool == "mean":
            raise ValueError('a distilled model has a class token: pool is "token", got "mean"')

    @property
    def inner(self) -> int:
        """Width between the two layers of a feed-forward network."""
        return 4 * self.d_model if self.d_ff is None else self.d_ff

    @property
    def num_patches(self) -> int:
        """N, of a picture of the size that the model is made for."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def special(self) -> int:
        """Tokens in front of the patches: 1, 2 of DeiT, 0 where patches are averaged."""
        return 0 if self.pool == "mean" else 1 + self.distilled

    @property
    def classifiers(self) -> int:
        """Classifiers: 2 where a second one learns from a teacher."""
        return 2 if self.distilled and self.teacher_head else 1

    def parameter_count(self) -> int:
        """Learned numbers of the model, without building it."""
        d, inner = self.d_model, self.inner
        dense, norm = d * d + d, 2 * d
        block = 4 * dense + (d * inner + inner) + (inner * d + d) + 2 * norm
        patches = self.patch_size**2 * self.channels * d + d
        tokens = self.special * d + (self.special + self.num_patches) * d
        heads = self.classifiers * (d + 1) * self.num_classes
        return patches + tokens + self.num_layers * block + norm + heads


class ViT(nn.Module):
    """A vision transformer with its classifier.

    Parameters
    ----------
    config : ViTConfig

    References
    ----------
    Dosovitskiy et al. 2021, section 3.1.

    Examples
    --------
    >>> sizes = {"image_size": 8, "patch_size": 2, "channels": 1, "num_classes": 10}
    >>> model = ViT(ViTConfig(**sizes, num_layers=1, num_heads=2, d_model=8))
    >>> pictures = torch.randn(3, 1, 8, 8)
    >>> model(pictures).shape, model.attentions(pictures).shape
    (torch.Size([3, 10]), torch.Size([3, 1, 2, 17, 17]))
    """

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = c = config
        self.patches = PatchEmbedding(c.patch_size, c.channels, c.d_model)
        token = c.pool == "token"
        self.class_token = nn.Parameter(torch.zeros(1, 1, c.d_model)) if token else None
        self.teacher_token = nn.Parameter(torch.zeros(1, 1, c.d_model)) if c.distilled else None
        self.positions = nn.Parameter(0.02 * torch.randn(1, c.special + c.num_patches, c.d_model))
        self.dropout = nn.Dropout(c.dropout)
        choices = {"dropout": c.dropout, "activation": "gelu", "norm_eps": c.norm_eps}
        self.blocks = nn.ModuleList(
            EncoderBlock(c.d_model, c.num_heads, c.inner, norm="pre", **choices)
            for _ in range(c.num_layers)
        )
        for block in self.blocks:
            block.feed_forward.dropout.p = 0.0  # ViT drops what is added, not what is inside
        self.norm = nn.LayerNorm(c.d_model, eps=c.norm_eps)
        self.classifier = nn.Linear(c.d_model, c.num_classes)
        two = c.classifiers == 2
        self.teacher_classifier = nn.Linear(c.d_model, c.num_classes) if two else None
        self._initialise()

    def forward(
        self, pictures: Float[Tensor, "B C Y X"], *, interpolate: bool = False
    ) -> Float[Tensor, "B classes"]:
        """Classify pictures.

        Parameters
        ----------
        pictures : Float "B C Y X"
            Normalised as in training; see `course_utils.pictures`.
        interpolate : bool
            Read pictures of other sizes, whose sides are multiples of the patch's: the positions
            are stretched over them.

        Returns
        -------
        Float "B classes"
            Logits. Those of a distilled model are the mean of its two classifiers'.

        Raises
        ------
        ValueError
            When there is no picture, or its size or its channels are not the model's.
        """
        first, second = self.both_logits(pictures, interpolate=interpolate)
        return first if second is None else (first + second) / 2

    def both_logits(
        self, pictures: Float[Tensor, "B C Y X"], *, interpolate: bool = False
    ) -> tuple[Float[Tensor, "B classes"], Float[Tensor, "B classes"] | None]:
        """Logits of the class token, and of the token that learns from a teacher (or None)."""
        hidden = self._read_for_classes(pictures, interpolate)
        first = self.classifier(self.pool(hidden))
        if self.teacher_classifier is None:
            return first, None
        return first, self.teacher_classifier(hidden[:, 1])

    def features(
        self, pictures: Float[Tensor, "B C Y X"], *, interpolate: bool = False
    ) -> Float[Tensor, "B D"]:
        """One vector for each picture: what the classifier reads."""
        return self.pool(self._read_for_classes(pictures, interpolate))

    def encode(
        self, pictures: Float[Tensor, "B C Y X"], *, interpolate: bool = False
    ) -> Float[Tensor, "B T D"]:
        """The last layer's vectors, normed: special tokens first, then the patches row by row."""
        return self._read(pictures, interpolate, None)

    def attentions(
        self, pictures: Float[Tensor, "B C Y X"], *, interpolate: bool = False
    ) -> Float[Tensor, "B L H T T"]:
        """Give the attention weights of every layer and head; see `rollout.rollout`."""
        weights: list[Tensor] = []
        self._read(pictures, interpolate, weights)
        return torch.stack(weights, dim=1)

    def pool(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B D"]:
        """What the classifier reads, of the last layer's vectors."""
        return hidden.mean(dim=1) if self.class_token is None else hidden[:, 0]

    def _read(self, pictures: Tensor, interpolate: bool, weights: list | None) -> Tensor:
        """Go through all layers; put the attention into the list `weights`."""
        x = self._embed(pictures, interpolate)
        for block in self.blocks:
            x, weight = block(x, need_weights=weights is not None)
            if weights is not None:
                weights.append(weight)
        return self.norm(x)

    def _read_for_classes(self, pictures: Tensor, interpolate: bool) -> Tensor:
        """As `encode`, but only the special tokens, where there are some.

        Nobody reads the patches behind the last block, so it is computed for the special tokens
        alone: they look at all patches, and that is all. The fewer layers, the more this saves.
        """
        if not (special := self.config.special):
            return self._read(pictures, interpolate, None)
        x = self._embed(pictures, interpolate)
        for block in self.blocks[:-1]:
            x, _ = block(x, need_weights=False)
        last = self.blocks[-1]
        y = last.around_attention.read(x)
        y, _ = last.attention(y[:, :special], y, y, need_weights=False)
        x = last.around_attention.add(x[:, :special], y)
        y = last.feed_forward(last.around_feed_forward.read(x))
        return self.norm(last.around_feed_forward.add(x, y))

    def _embed(self, pictures: Tensor, interpolate: bool) -> Tensor:
        _check(pictures, self.config, interpolate)
        x = self.patches(pictures)
        tokens = [t for t in (self.class_token, self.teacher_token) if t is not None]
        x = torch.cat([*(token.expand(len(x), -1, -1) for token in tokens), x], dim=1)
        rows, columns = (side // self.config.patch_size for side in pictures.shape[-2:])
        special = self.config.special
        return self.dropout(
            x + interpolate_positions(self.positions[0], rows, columns, special=special)
        )

    def _initialise(self) -> None:
        """The first values of ViT's own code; a classifier that begins at zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for classifier in filter(None, (self.classifier, self.teacher_classifier)):
            nn.init.zeros_(classifier.weight)
        projection = self.patches.projection
        nn.init.normal_(projection.weight, std=projection.weight[0].numel() ** -0.5)
        nn.init.zeros_(projection.bias)


def _check(pictures: Tensor, config: ViTConfig, interpolate: bool) -> None:
    if pictures.ndim != 4 or not len(pictures):
        raise ValueError(
            "a batch has a picture at least, and four axes: pictures, channels, height, width; "
            f"got {tuple(pictures.shape)}"
        )
    if not pictures.is_floating_point():
        raise ValueError(
            f"pictures are normalised numbers, got {pictures.dtype}: divide by 255, or use "
            "`course_utils.pictures.Preprocessing`"
        )
    height, width = pictures.shape[-2:]
    if not interpolate and (height, width) != (config.image_size, config.image_size):
        raise ValueError(
            f"the model reads pictures of {config.image_size} x {config.image_size} pixels, got "
            f"{height} x {width}: resize them, or say interpolate=True"
        )
