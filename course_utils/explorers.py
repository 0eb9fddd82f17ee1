"""Interactive views for Jupyter and Colab, each a thin shell around a function that draws.

Where there is no kernel (GitHub, slides, the book) the lesson shows the static picture instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from course_utils.plotting import heatmap


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

    def show(source: str) -> None:
        output.clear_output(wait=True)
        with output:
            try:
                attention_map(attention, translate([source])[0], source, gloss=gloss)
                plt.show()
            except ValueError as error:  # an empty line: say so under the field
                display(ipywidgets.HTML(str(error)))

    text.observe(lambda change: show(change["new"]), "value")
    show(text.value)
    return ipywidgets.VBox([slider, text, output])


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
    from course_utils.tokenizers import normalize

    source, target = normalize(source), normalize(target)
    weights = attention(source, target)
    words = source.split()
    if gloss is not None:
        words = [f"{word} · {english}" for word, english in zip(words, gloss(source), strict=True)]
    labels = dict(columns=words, rows=[*target.split(), "<eos>"], row_label="translation")
    return heatmap(weights, **labels, links=links, ax=ax)
