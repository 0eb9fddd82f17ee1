"""Where a vision transformer looks in a picture: a drawing, and a view to play with.

Axis letters: C channels, Y and X height and width, L layers, H heads, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from course_utils.explorers.widgets import png
from course_utils.models.vit import ViT
from course_utils.plotting import FONT_SIZE, PALETTE, heatmap, new_axes
from course_utils.rollout import rollout

BARS = 5  # classes: the most probable ones
MOST_LINES = 28  # patches side by side that lines can be drawn between
MOST_NUMBERS = 5  # patches side by side that have room for a number each
LONGEST_NAME = 16  # letters; the rest of a class's name is cut off


def rollout_picture(
    model: ViT,
    picture: Float[Tensor, "1 C Y X"],
    names: Sequence[str],
    *,
    layer: int | None = None,
    head: int | None = None,
    ax: Any = None,
) -> list[Any]:
    """Draw a picture, a map over its patches of what the class token took in, and the answer.

    Parameters
    ----------
    model : ViT
        With a class token, distilled or not. Read without dropout; its mode stays as it is.
    picture : Float "1 C Y X"
        One picture as the model reads it; see `course_utils.pictures.Preprocessing`. Its smallest
        number is drawn black and its largest white.
    names : sequence of str
        Of all classes, in the order of the logits.
    layer : int, optional
        From 1. The map is the attention of the class token in this layer; by default its rollout
        through all layers, see `course_utils.rollout.rollout`.
    head : int, optional
        Of that layer, from 1; by default the mean of its heads.
    ax : sequence of three Axes, optional
        Where to draw picture, map and bars; new ones by default.

    Returns
    -------
    list of Axes
        Picture, map, bars. The numbers of the map are shares of all tokens; what is missing to 1
        is the share of the special tokens.

    Raises
    ------
    ValueError
        When the model has no class token, there is no such layer or head, a head is chosen without
        a layer, names, picture or model do not fit, or there are not three Axes.

    Examples
    --------
    >>> from course_utils.models.vit import ViTConfig
    >>> sizes = {"image_size": 8, "patch_size": 2, "channels": 1, "num_classes": 3}
    >>> model = ViT(ViTConfig(**sizes, num_layers=2, num_heads=2, d_model=8))
    >>> _, shares, _ = rollout_picture(model, torch.randn(1, 1, 8, 8), ["a", "b", "c"], layer=2)
    >>> shares.get_title(), shares.images[0].get_array().shape
    ('layer 2, mean of heads', (4, 4))
    """
    _check(model, names)
    _check_choice(model, layer, head)
    if len(picture) != 1:
        raise ValueError(f"one picture is drawn, got {len(picture)}: give pictures[k : k + 1]")
    if ax is not None and len(ax) != 3:
        raise ValueError(f"ax is three Axes, for picture, map and bars, got {len(ax)}")
    chances, shares = _read(model, picture, layer, head)
    axes = _new_axes() if ax is None else [*ax]
    _picture(picture[0].detach().cpu(), shares.shape, axes[0])
    _map(shares, _title(model, layer, head), axes[1])
    _bars(chances, names, axes[2])
    return axes


def rollout_explorer(model: ViT, pictures: Float[Tensor, "B C Y X"], names: Sequence[str]) -> Any:
    """Choose a picture, a layer and a head, and see where the class token looks.

    Layer 0 is the rollout through all layers, which has no heads to choose; head 0 is the mean of
    the heads.

    Parameters
    ----------
    model, names
        As in `rollout_picture`.
    pictures : Float "B C Y X"
        As the model reads them. What is wrong with one is said in the place of its drawing.

    Returns
    -------
    ipywidgets.VBox

    Raises
    ------
    ValueError
        When there are no pictures, the model has no class token, or the number of names is wrong.
    """
    import ipywidgets

    if not len(pictures):
        raise ValueError("the explorer needs at least one picture")
    _check(model, names)

    def slider(name: str, last: int) -> Any:
        return ipywidgets.IntSlider(0, 0, last, description=name, continuous_update=False)

    sizes = model.config
    number = slider("picture", len(pictures) - 1)
    layer, head = slider("layer", sizes.num_layers), slider("head", sizes.num_heads)
    # No Output widget: see `sampling_explorer`.
    remark, drawing = ipywidgets.HTML(), ipywidgets.Image(format="png")

    def show(_: Any = None) -> None:
        head.disabled = layer.value == 0
        chosen = (layer.value or None, None if head.disabled else head.value or None)
        one = pictures[number.value : number.value + 1]
        try:
            made = rollout_picture(model, one, names, layer=chosen[0], head=chosen[1])
            file = png(made[-1])
        except ValueError as error:
            remark.value, drawing.layout.display = escape(str(error)), "none"
        else:  # the drawing first: never an old one beside new sliders
            drawing.value, remark.value, drawing.layout.display = file, "", None

    for control in (number, layer, head):
        control.observe(show, "value")
    show()
    hint = ipywidgets.HTML("layer 0: rollout through all layers; head 0: mean of the heads")
    return ipywidgets.VBox([number, layer, head, hint, remark, drawing])


def _check(model: ViT, names: Sequence[str]) -> None:
    if model.class_token is None:
        raise ValueError(
            'the model has no class token, so nothing looks for it: give one with pool="token"'
        )
    if len(names) != (count := model.config.num_classes):
        raise ValueError(f"the model knows {count} classes, got {len(names)} names: one for each")


def _check_choice(model: ViT, layer: int | None, head: int | None) -> None:
    last = {"layer": model.config.num_layers, "head": model.config.num_heads}
    for name, number in {"layer": layer, "head": head}.items():
        if number is not None and not 1 <= number <= last[name]:
            raise ValueError(f"the model has the {name}s 1 to {last[name]}, got {number}")
    if layer is None and head is not None:
        raise ValueError(f"rollout takes the mean of all heads, got head={head}: choose a layer")


def _title(model: ViT, layer: int | None, head: int | None) -> str:
    if layer is None:
        count = model.config.num_layers
        return f"rollout, {count} layers" if count > 1 else "rollout, 1 layer"
    return f"layer {layer}, " + ("mean of heads" if head is None else f"head {head}")


def _read(
    model: ViT, picture: Tensor, layer: int | None, head: int | None
) -> tuple[Tensor, Tensor]:
    """Probabilities of all classes, and what the class token took from each row and column."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            picture = picture.to(model.positions.device)
            chances, weights = model(picture)[0].softmax(dim=-1), model.attentions(picture)
    finally:
        model.train(was_training)
    if not chances.isfinite().all():
        raise ValueError(
            "the model's probabilities are not numbers: look for NaN in picture and weights"
        )
    if layer is None:
        tokens = rollout(weights)[0, 0]
    else:
        heads = weights[0, layer - 1, :, 0]  # H T
        tokens = heads.mean(dim=0) if head is None else heads[head - 1]
    patches = tokens[model.config.special :]
    rows = picture.shape[-2] // model.config.patch_size
    return chances.cpu(), patches.view(rows, -1).cpu()


def _new_axes() -> list[Any]:
    axes = new_axes(3, width=4.2, height=4.4)
    # The map's Axes is wider: the scale stands beside it.
    axes[0].get_gridspec().set_width_ratios([1.0, 1.25, 0.9])
    return [*axes]


def _picture(picture: Tensor, grid: Sequence[int], ax: Any) -> None:
    """The picture, and the lines along which it was cut."""
    # Other numbers of channels than those of colours are shown as grey.
    shades = picture.permute(1, 2, 0) if len(picture) == 3 else picture.mean(dim=0)
    low, high = shades.min(), shades.max()
    shades = (shades - low) / (high - low).clamp(min=1e-12)
    ax.imshow(shades, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    sides = shades.shape[:2]
    if max(grid) <= MOST_LINES:
        for draw, side, count in zip((ax.axhline, ax.axvline), sides, grid, strict=True):
            for number in range(1, count):
                draw(
                    number * side / count - 0.5,
                    color=PALETTE["yellow"],
                    linewidth=min(1.5, 12 / count),
                )
    ax.set(xticks=[], yticks=[])
    ax.set_xlabel(f"{grid[0]} x {grid[1]} patches", fontsize=FONT_SIZE)
    ax.set_title("picture", fontsize=FONT_SIZE + 1)


def _map(shares: Tensor, title: str, ax: Any) -> None:
    """The map of the patches, each where it lies in the picture."""
    from matplotlib.ticker import MaxNLocator

    numbers = max(shares.shape) <= MOST_NUMBERS
    rows, columns = ([""] * count for count in shares.shape)
    names = {"row_label": "", "column_label": f"all patches: {shares.sum():.2f}"}
    largest = float(shares.max()) or 1.0  # nothing taken from any patch is dark
    heatmap(shares, rows=rows, columns=columns, ax=ax, largest=largest, numbers=numbers, **names)
    ax.set(xticks=[], yticks=[])
    ax.xaxis.label.set_size(FONT_SIZE)
    for number in ax.texts:
        number.set_fontsize(FONT_SIZE)
    ax.set_title(title, fontsize=FONT_SIZE + 1)
    scale = ax.figure.colorbar(ax.images[0], ax=ax, ticks=MaxNLocator(4), shrink=0.8)
    scale.set_label("share of a patch", fontsize=FONT_SIZE)
    scale.ax.tick_params(labelsize=FONT_SIZE)


def _bars(chances: Tensor, names: Sequence[str], ax: Any) -> None:
    """The most probable classes, the best at the top."""
    best = chances.topk(min(BARS, len(chances)))
    count = len(best.values)
    drawn = ax.barh(range(count), best.values.tolist(), 0.72, color=PALETTE["blue"])
    ax.bar_label(drawn, fmt="%.2f", padding=4, fontsize=FONT_SIZE)
    labels = [_short(names[place]) for place in best.indices.tolist()]
    ax.set_yticks(range(count), labels, parse_math=False)
    ax.invert_yaxis()
    # Always the same, so that a sure model and an unsure one look different.
    ax.set_xlim(0, 1.35)
    ax.set_xticks([0, 0.5, 1])
    ax.spines["bottom"].set_bounds(0, 1)
    ax.tick_params(labelsize=FONT_SIZE)
    ax.set_xlabel("probability", fontsize=FONT_SIZE)
    ax.set_title("answer", fontsize=FONT_SIZE + 1)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"
