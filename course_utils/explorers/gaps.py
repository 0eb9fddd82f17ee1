"""Gaps in a text, and what BERT writes into them: a picture, and a view to play with.

Axis letters: T length, V vocabulary, L layers, H heads, N gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import torch
from torch import Tensor

from course_utils.explorers.widgets import png
from course_utils.models.bert import BERT
from course_utils.plotting import FONT_SIZE, PALETTE, heatmap, new_axes
from course_utils.tokenizers import WordPieceTokenizer

MOST_PIECES = 40  # that a map has room for
BARS = (8, 4, 3)  # of each gap, when there are one, two or three of them
WIDEST = 12.0  # inches; a picture that is wider shrinks in the page, and its words with it
BARS_WIDTH = 4.0


class _Reading(NamedTuple):
    """A text, and what a model makes of it."""

    pieces: list[str]  # with [CLS] and [SEP]
    gaps: list[int]  # places of [MASK]
    chances: Tensor  # "N V", of each piece in each gap
    weights: Tensor  # "L H T T"


def gap_bars(
    model: BERT,
    tokenizer: WordPieceTokenizer,
    text: str,
    *,
    most: int = 8,
    gap: int = 0,
    ax: Any = None,
) -> Any:
    """Draw the probabilities of the pieces that the model would write into a gap of a text.

    Parameters
    ----------
    model : BERT
        Read without dropout; its mode stays as it is.
    tokenizer : WordPieceTokenizer
        Of the model.
    text : str
        With [MASK] in the place of a word; [CLS] and [SEP] are put around it.
    most : int
        Pieces to show: the most probable ones.
    gap : int
        Number of the [MASK], from 0.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        When the text is empty, has no [MASK], not so many of them, or more pieces than the model
        reads, the tokenizer is another model's, or `most` is below 1.
    """
    reading = _read(model, tokenizer, text)
    if not 0 <= gap < len(reading.gaps):
        raise ValueError(f"the text has the gaps 0 to {len(reading.gaps) - 1}, got {gap}")
    return _bars(reading, tokenizer, gap, most, ax)


def gap_picture(
    model: BERT,
    tokenizer: WordPieceTokenizer,
    text: str,
    *,
    layer: int = 0,
    head: int = 0,
) -> list[Any]:
    """Draw the bars of each gap, and beside them where a head looks: the gaps' rows are framed.

    Parameters
    ----------
    model, tokenizer, text
        As in `gap_bars`; up to 3 gaps. Of more than 40 pieces there is no map.
    layer, head : int
        From 0.

    Returns
    -------
    list of Axes
        One for each gap, then the map.

    Raises
    ------
    ValueError
        As in `gap_bars`; or when there is no such layer or head, or there are more than 3 gaps.
    """
    reading = _read(model, tokenizer, text)
    for axis, (name, number) in enumerate({"layer": layer, "head": head}.items()):
        last = reading.weights.shape[axis] - 1
        if not 0 <= number <= last:
            raise ValueError(f"the model has the {name}s 0 to {last}, got {number}")
    if (count := len(reading.gaps)) > len(BARS):
        raise ValueError(f"a picture has room for {len(BARS)} gaps, got {count}: fill some of them")
    most = BARS[count - 1]
    cell, *bars, whole = _places(reading, most)
    for gap, ax in enumerate(bars):
        _bars(reading, tokenizer, gap, most, ax)
    if (length := len(reading.pieces)) > MOST_PIECES:
        line = f"the map has room for {MOST_PIECES} pieces, got {length}"
        whole.text(0.5, 0.5, line, ha="center", va="center", fontsize=FONT_SIZE)
        whole.set_axis_off()
    else:
        _map(reading, layer, head, cell, whole)
    return [*bars, whole]


def gap_explorer(model: BERT, tokenizer: WordPieceTokenizer, sentences: Sequence[str]) -> Any:
    """Choose a sentence, or type one with [MASK], and see what goes in and where a head looks.

    Parameters
    ----------
    model, tokenizer
        As in `gap_bars`.
    sentences : sequence of str
        What the first slider goes through, each with [MASK].

    Returns
    -------
    ipywidgets.VBox

    Raises
    ------
    ValueError
        When there are no sentences, or the tokenizer is another model's.
    """
    import ipywidgets

    if not sentences:
        raise ValueError("the explorer needs at least one sentence")
    _check_pair(model, tokenizer)

    def slider(name: str, count: int) -> Any:
        return ipywidgets.IntSlider(0, 0, count - 1, description=name, continuous_update=False)

    sentence = slider("sentence", len(sentences))
    text = ipywidgets.Text(
        sentences[0], description="text", continuous_update=False, layout={"width": "46em"}
    )
    sizes = model.config
    layer, head = slider("layer", sizes.num_layers), slider("head", sizes.num_heads)
    # No Output widget: see `sampling_explorer`.
    remark, picture = ipywidgets.HTML(), ipywidgets.Image(format="png")

    def show(_: Any = None) -> None:
        choice = {"layer": layer.value, "head": head.value}
        try:
            file = png(gap_picture(model, tokenizer, text.value, **choice)[-1])
        except ValueError as error:  # of what was typed: say so under the field
            remark.value, picture.layout.display = escape(str(error)), "none"
        else:  # the picture first: never an old one beside a new text
            picture.value, remark.value, picture.layout.display = file, "", None

    sentence.observe(lambda change: setattr(text, "value", sentences[change["new"]]), "value")
    for control in (text, layer, head):
        control.observe(show, "value")
    show()
    return ipywidgets.VBox([sentence, text, remark, layer, head, picture])


def _read(model: BERT, tokenizer: WordPieceTokenizer, text: str) -> _Reading:
    """The pieces of a text, and what the model says about its gaps."""
    ids = _encode(model, tokenizer, text)
    batch = torch.tensor([ids], device=model.mlm_bias.device)
    asked = batch == tokenizer.special_tokens["[MASK]"]
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            chances = model(batch, places=asked).mlm_logits.softmax(dim=-1)
            weights = model.attentions(batch)[0]
    finally:
        model.train(was_training)
    pieces, gaps = [tokenizer.vocab[token] for token in ids], asked[0].nonzero()[:, 0].tolist()
    return _Reading(pieces, gaps, chances.cpu(), weights.cpu())


def _check_pair(model: BERT, tokenizer: WordPieceTokenizer) -> None:
    if len(tokenizer) != (known := model.config.vocab_size):
        raise ValueError(
            f"the model knows {known} pieces and the tokenizer {len(tokenizer)}: "
            "they do not belong together"
        )


def _encode(model: BERT, tokenizer: WordPieceTokenizer, text: str) -> list[int]:
    """Ids of a text with a gap, from [CLS] to [SEP], also when somebody typed these."""
    _check_pair(model, tokenizer)
    if not text.strip():
        raise ValueError("the text is empty: write a sentence with [MASK] in the place of a word")
    ids = tokenizer.encode(text, allowed_special="all")
    cls, sep, mask = (tokenizer.special_tokens[name] for name in ("[CLS]", "[SEP]", "[MASK]"))
    if mask not in ids:
        raise ValueError("the text has no gap: write [MASK], in capitals, in the place of a word")
    ids = ids if ids[0] == cls else [cls, *ids]
    ids = ids if ids[-1] == sep else [*ids, sep]
    if len(ids) > (room := model.config.block_size):
        raise ValueError(
            f"the model reads {room} pieces, got {len(ids)} with [CLS] and [SEP]: shorten the text"
        )
    return ids


def _bars(
    reading: _Reading, tokenizer: WordPieceTokenizer, gap: int, most: int, ax: Any = None
) -> Any:
    """The most probable pieces of one gap, the best at the top."""
    if most < 1:
        raise ValueError(f"most is 1 or more, got {most}")
    best = reading.chances[gap].topk(min(most, reading.chances.shape[1]))
    count = len(best.values)
    ax = new_axes(width=BARS_WIDTH, height=1.4 + 0.4 * count) if ax is None else ax
    drawn = ax.barh(range(count), best.values.tolist(), 0.72, color=PALETTE["blue"])
    ax.bar_label(drawn, fmt="%.2f", padding=4, fontsize=FONT_SIZE)
    labels = [tokenizer.vocab[token] for token in best.indices.tolist()]
    ax.set_yticks(range(count), labels, parse_math=False)
    ax.invert_yaxis()
    # Always the same, so that a sure model and an unsure one look different.
    ax.set_xlim(0, 1.25)
    ax.set_xticks([0, 0.5, 1])
    ax.spines["bottom"].set_bounds(0, 1)
    ax.tick_params(labelsize=FONT_SIZE)
    ax.set_xlabel("probability", fontsize=FONT_SIZE)
    ax.set_ylabel("piece in the gap", fontsize=FONT_SIZE)
    name = "the gap" if len(reading.gaps) == 1 else f"gap {gap}"
    ax.set_title(name, fontsize=FONT_SIZE + 1)
    return ax


def _map(reading: _Reading, layer: int, head: int, cell: float, ax: Any) -> None:
    """The attention of one head; a frame around the row of each gap."""
    from matplotlib.patches import Rectangle
    from matplotlib.ticker import MaxNLocator

    pieces, weights = reading.pieces, reading.weights[layer, head]
    names = {"column_label": "piece, as key", "row_label": "piece, as query"}
    heatmap(weights, columns=pieces, rows=pieces, ax=ax, largest=float(weights.max()), **names)
    ax.set_title(f"attention: layer {layer}, head {head}", fontsize=FONT_SIZE + 1)
    for name in (ax.xaxis.label, ax.yaxis.label):
        name.set_size(FONT_SIZE)
    ax.set_aspect("auto")
    ax.tick_params(top=False, labeltop=False, bottom=True, labelbottom=True)
    ax.tick_params(labelsize=min(FONT_SIZE, 60 * cell))  # so that no words touch
    for label in ax.get_xticklabels():
        label.set(rotation=90, ha="right", va="center")
    for gap in reading.gaps:
        ax.get_yticklabels()[gap].set(color=PALETTE["orange"], weight="bold")
        row = Rectangle((-0.5, gap - 0.5), len(pieces), 1, fill=False, linewidth=3, clip_on=False)
        row.set(edgecolor=PALETTE["orange"], zorder=3)
        ax.add_patch(row)
    scale = ax.figure.colorbar(ax.images[0], ax=ax, ticks=MaxNLocator(5))
    scale.set_label("weight", fontsize=FONT_SIZE)
    scale.ax.tick_params(labelsize=FONT_SIZE)


def _places(reading: _Reading, most: int) -> list[Any]:
    """Size of a cell of the map in inches, an Axes for the bars of each gap, one for the map."""
    count, length = len(reading.gaps), min(len(reading.pieces), MOST_PIECES)
    words = 0.0075 * FONT_SIZE * max(map(len, reading.pieces))
    around = words + 1.6  # of the map: words, its name, the scale
    cell = min(0.42, (WIDEST - BARS_WIDTH - around) / length)
    across = max(2.6, cell * length) + around
    high = max(cell * length + words + 1.2, count * (1.4 + 0.4 * most))
    size = {"width": (BARS_WIDTH + across) / 2, "height": high / count}
    grid = new_axes(2, rows=count, **size)
    left, right = (grid.reshape(count, 2)[:, column] for column in (0, 1))
    shape = left[0].get_gridspec()
    shape.set_width_ratios([BARS_WIDTH, across])
    for ax in right:
        ax.remove()
    return [cell, *left, left[0].figure.add_subplot(shape[:, 1])]
