"""Attention of sentences, as pictures and as interactive views for Jupyter and Colab.

Each view is a thin shell around a function that draws. Where there is no kernel (GitHub, slides,
the book) the lesson shows the static picture instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy

from course_utils.plotting import FONT_SIZE, heatmap, new_axes
from course_utils.tokenizers import normalize

# Kind of attention -> its name, and what its columns and its rows are.
KINDS = {
    "encoder": ("encoder, self-attention", "source word, as key", "source word, as query"),
    "decoder": ("decoder, self-attention", "word that was read", "word that is written"),
    "cross": ("cross-attention", "source word", "word that is written"),
}
WIDEST = 12.0  # inches; a picture that is wider shrinks in the page, and its words with it
MOST_WORDS = 40


def attention_explorer(
    attention: Callable[[str, str], Any],
    translate: Callable[[list[str]], list[str]],
    sentences: Sequence[str],
    *,
    gloss: Callable[[str], list[str]] | None = None,
) -> Any:
    """Choose a sentence with a slider, or type one, and see the attention of its translation.

    Parameters
    ----------
    attention : callable
        `attention(source, target)` -> weights "T S", as `Translator.attention`.
    translate : callable
        `translate([source])` -> [target].
    sentences : sequence of str
        What the slider goes through.
    gloss : callable, optional
        `gloss(source)` -> one English word per source word, written beside it.

    Returns
    -------
    ipywidgets.VBox

    Raises
    ------
    ValueError
        When there are no sentences.
    """

    def draw(source: str) -> None:
        attention_map(attention, translate([source])[0], source, gloss=gloss)

    return _explorer(sentences, draw)


def heads_explorer(
    attention: Callable[[str, str], Any],
    translate: Callable[[list[str]], list[str]],
    sentences: Sequence[str],
    *,
    gloss: Callable[[str], list[str]] | None = None,
) -> Any:
    """Choose a sentence, a kind of attention and a layer, and see all heads of that layer.

    Parameters
    ----------
    attention : callable
        As in `heads_map`.
    translate, sentences, gloss
        As in `attention_explorer`.

    Returns
    -------
    ipywidgets.VBox

    Raises
    ------
    ValueError
        When there are no sentences.
    """
    import ipywidgets

    names = [(name, kind) for kind, (name, *_) in KINDS.items()]
    kind = ipywidgets.ToggleButtons(options=names, value="cross", description="kind")
    layer = ipywidgets.IntSlider(0, 0, 0, description="layer")
    layers: dict[str, int] = {}
    # Before the picture is drawn: the stacks may differ in their number of layers.
    kind.observe(lambda change: setattr(layer, "max", layers.get(change["new"], 1) - 1), "value")

    def draw(source: str) -> None:
        target = translate([source])[0]
        found = attention(normalize(source), normalize(target))
        layers.update({name: len(getattr(found, name)) for name in KINDS})
        layer.max = layers[kind.value] - 1
        choice = {"kind": kind.value, "layer": layer.value, "gloss": gloss}
        heads_map(lambda *_: found, target, source, **choice)

    return _explorer(sentences, draw, kind, layer)


def _explorer(sentences: Sequence[str], draw: Callable[[str], None], *controls: Any) -> Any:
    """A slider over sentences, a field to type one, and what `draw` makes of it below."""
    import warnings
    from html import escape

    import ipywidgets
    import matplotlib.pyplot as plt
    from IPython.display import display

    if not sentences:
        raise ValueError("the explorer needs at least one sentence")
    slider = ipywidgets.IntSlider(0, 0, len(sentences) - 1, description="sentence")
    text = ipywidgets.Text(
        value=sentences[0], description="source", layout={"width": "36em"}, continuous_update=False
    )
    slider.observe(lambda change: setattr(text, "value", sentences[change["new"]]), "value")
    output = ipywidgets.Output()

    def show(_: Any = None) -> None:
        output.clear_output(wait=True)
        with output, warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                draw(text.value)
                plt.show()
                remarks = [str(warning.message) for warning in caught]  # of unknown words
            except ValueError as error:  # an empty line: say so under the field
                plt.close("all")
                remarks = [str(error)]
            for remark in remarks:
                display(ipywidgets.HTML(escape(remark)))

    for control in (text, *controls):
        control.observe(show, "value")
    show()
    return ipywidgets.VBox([slider, text, *controls, output])


def attention_map(
    attention: Callable[[str, str], Any],
    target: str,
    source: str,
    *,
    gloss: Callable[[str], list[str]] | None = None,
    links: Sequence[tuple[int, int]] = (),
    ax: Any = None,
) -> Any:
    """Draw the attention of one pair, with its gloss below the source words; returns the Axes.

    Parameters
    ----------
    attention, gloss
        As in `attention_explorer`.
    target, source : str
        A normalised pair.
    links : sequence of (source index, target index)
        Gold alignment to frame.
    ax : Axes, optional
    """
    source, target = normalize(source), normalize(target)
    labels = dict(
        columns=_glossed(source, gloss), rows=[*target.split(), "<eos>"], row_label="translation"
    )
    return heatmap(attention(source, target), **labels, links=links, ax=ax)


def heads_map(
    attention: Callable[[str, str], Any],
    target: str,
    source: str,
    *,
    kind: str = "cross",
    layer: int | None = None,
    gloss: Callable[[str], list[str]] | None = None,
) -> Any:
    """Draw the attention of every head for one pair: heads of a layer, or a row for each layer.

    All pictures share one scale, from 0 to the largest weight in them.

    Parameters
    ----------
    attention : callable
        `attention(source, target)` -> an object with the weights "L H Q K" of all layers and heads
        as `encoder`, `decoder` and `cross`; `Translator.head_attention` is one.
    target, source : str
        A normalised pair.
    kind : "encoder", "decoder" or "cross"
        Self-attention of one stack, or the decoder's attention to the source.
    layer : int, optional
        From 0; all layers by default.
    gloss : callable, optional
        As in `attention_explorer`.

    Returns
    -------
    array of Axes, rows x columns

    Raises
    ------
    ValueError
        When the kind is unknown, there is no such layer, the words do not fit the weights, or are
        more than 40.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is one of {[*KINDS]}, got {kind!r}")
    source, target = normalize(source), normalize(target)
    weights = getattr(attention(source, target), kind).detach().cpu()
    if layer is not None and not 0 <= layer < len(weights):
        raise ValueError(f"the model has the layers 0 to {len(weights) - 1}, got {layer}")
    words, written = _glossed(source, gloss), target.split()
    columns = ["<bos>", *written] if kind == "decoder" else words
    rows = words if kind == "encoder" else [*written, "<eos>"]
    if (longest := max(len(columns), len(rows))) > MOST_WORDS:
        raise ValueError(
            f"a picture has room for {MOST_WORDS} words, got {longest}: shorten the text"
        )
    name, *labels = KINDS[kind]
    if layer is None:
        grid = _panels(weights.flatten(0, 1), columns, rows, across=weights.shape[1])
        for number, ax in enumerate(grid[:, 0]):
            ax.set_ylabel(f"layer {number}", fontsize=FONT_SIZE)
    else:
        grid = _panels(weights[layer], columns, rows)
        name = f"{name}, layer {layer}"
    for index, ax in enumerate(grid.flat):
        ax.set_title(f"head {index % weights.shape[1]}", fontsize=FONT_SIZE)
    figure = grid[0, 0].figure
    figure.suptitle(name, fontsize=FONT_SIZE + 1)
    figure.supxlabel(labels[0], fontsize=FONT_SIZE)
    figure.supylabel(labels[1], fontsize=FONT_SIZE)
    figure.draw_without_rendering()  # the layout finds room for turned words at the second time
    return grid


def _panels(weights: Any, columns: list[str], rows: list[str], across: int | None = None) -> Any:
    """Heat maps in a grid, with words at its left and below it, and one scale of colours."""
    count = len(weights)
    left, below = (0.0075 * FONT_SIZE * max(map(len, side)) for side in (rows, columns))
    room = WIDEST - left - 1.4  # the words take the rest, a label and the scale
    if across is None:  # as many side by side as fit well, and all rows full
        fitting = max(1, int(room / (0.25 * len(columns) + 0.2)))
        across = max(n for n in range(1, count + 1) if count % n == 0 and n <= fitting)
    deep = count // across
    cell = min(0.3, (room / across - 0.2) / len(columns), 2 * WIDEST / (deep * len(rows)))
    grid = new_axes(
        across,
        rows=deep,
        width=cell * max(3, len(columns)) + 0.2 + (left + 1.4) / across,
        height=cell * max(4, len(rows)) + 0.4 + (below + 0.9) / deep,
    )
    grid = numpy.array(grid, dtype=object).reshape(-1, across)
    for index, (ax, matrix) in enumerate(zip(grid.flat, weights, strict=True)):
        under = columns if index >= count - across else [""] * len(columns)
        beside = rows if index % across == 0 else [""] * len(rows)
        scale = {"largest": float(weights.max()), "column_label": "", "row_label": ""}
        heatmap(matrix, columns=under, rows=beside, ax=ax, **scale)
        ax.tick_params(labelsize=min(FONT_SIZE, 58 * cell), length=2)  # so that no words touch
        ax.tick_params(top=False, labeltop=False, bottom=True, labelbottom=True)
        for label in ax.get_xticklabels():
            label.set(rotation=90, ha="right", va="center")
    grid[0, 0].figure.colorbar(grid[0, 0].images[0], ax=grid).ax.tick_params(labelsize=FONT_SIZE)
    return grid


def _glossed(source: str, gloss: Callable[[str], list[str]] | None) -> list[str]:
    words = source.split()
    if gloss is None:
        return words
    return [f"{word} · {english}" for word, english in zip(words, gloss(source), strict=True)]
