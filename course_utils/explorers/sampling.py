"""The next token's probabilities before and after the filters: a picture, and a view to play with.

Axis letters: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from html import escape
from typing import Any

import torch
from torch import Tensor

from course_utils.explorers.widgets import png
from course_utils.plotting import FONT_SIZE, PALETTE, new_axes
from course_utils.sampling import filtered, sample

SIGNS = {" ": "␣", "\n": "↵", "\t": "⇥"}
LONGEST_LABEL = 16


def next_token_bars(
    before: Any,
    after: Any,
    label: Callable[[int], str],
    *,
    most: int = 15,
    title: str = "",
    ax: Any = None,
) -> Any:
    """Draw the likely next tokens with two bars each; a token that cannot be drawn is hatched.

    Parameters
    ----------
    before, after : array or tensor "V"
        Probabilities of the model, and those of `course_utils.sampling.filtered`.
    label : callable
        `label(id)` -> the token's text; spaces and line ends in it become visible signs.
    most : int
        Tokens to show: those with the largest of the two probabilities.
    title : str
        How many tokens can be drawn, by default.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        When the probabilities are not two rows of the same length, or `most` is below 1.
    """
    before, after = (torch.as_tensor(row).detach().cpu() for row in (before, after))
    if before.ndim != 1 or before.shape != after.shape or not len(before):
        raise ValueError(
            "before and after are one probability for each token of the vocabulary, "
            f"got the shapes {tuple(before.shape)} and {tuple(after.shape)}"
        )
    if most < 1:
        raise ValueError(f"most is 1 or more, got {most}")
    shown = torch.maximum(before, after).topk(min(most, len(before))).indices
    shown = shown[before[shown].argsort(descending=True, stable=True)].tolist()
    ax = new_axes(width=8.5, height=1.9 + 0.42 * len(shown)) if ax is None else ax
    hidden = [token for token in shown if after[token] == 0]
    left = [token for token in shown if after[token] > 0]
    series = (
        ("the model", before, left, -0.2, {"color": PALETTE["sky"]}),
        ("after the filters", after, left, 0.2, {"color": PALETTE["blue"]}),
        ("hidden", before, hidden, -0.2, {"color": "white", "hatch": "////"}),
    )
    for name, chances, tokens, offset, look in series:
        if not tokens:
            continue
        places = [shown.index(token) + offset for token in tokens]
        widths = [float(chances[token]) for token in tokens]
        ax.barh(places, widths, 0.38, label=name, edgecolor=PALETTE["black"], **look)
    # A "$" in a token is no formula.
    ax.set_yticks(range(len(shown)), [_visible(label(token)) for token in shown], parse_math=False)
    ax.invert_yaxis()
    ax.set_ylabel("next token", fontsize=FONT_SIZE)
    ax.set_xlabel("probability", fontsize=FONT_SIZE)
    ax.tick_params(labelsize=FONT_SIZE)
    ax.grid(axis="x", alpha=0.3)
    ax.set_axisbelow(True)
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "borderaxespad": 0.2}
    ax.legend(fontsize=FONT_SIZE - 1, ncols=3, frameon=False, **above)
    count = f"{int((after > 0).sum())} of {len(after)} tokens can be drawn"
    ax.set_title(title or count, fontsize=FONT_SIZE + 1, pad=2.4 * FONT_SIZE)
    return ax


def sampling_explorer(
    next_logits: Callable[[str], Tensor],
    label: Callable[[int], str],
    prompt: str,
    *,
    encode: Callable[[str], Sequence[int]] | None = None,
    seed: int = 0,
    most: int = 15,
) -> Any:
    """Write a text token by token: type, move the filters, see the bars, press *next token*.

    Parameters
    ----------
    next_logits : callable
        `next_logits(text)` -> scores of the next token, Float "V". A ValueError that it raises, for
        an empty text say, is shown in the place of the picture.
    label : callable
        `label(id)` -> the token's text, which is also what is added to the text.
    prompt : str
        Where the text starts.
    encode : callable, optional
        `encode(text)` -> ids; with it there is a slider for the repetition penalty.
    seed : int
        Of the draws. *start again* goes back to it, so the same choices write the same text.
    most : int
        See `next_token_bars`.

    Returns
    -------
    ipywidgets.VBox
    """
    import ipywidgets

    text = ipywidgets.Textarea(
        prompt, description="text", continuous_update=False, rows=3, layout={"width": "46em"}
    )
    forward = ipywidgets.Button(description="next token", icon="play")
    again = ipywidgets.Button(description="start again", icon="undo")
    sliders = _sliders(with_penalty=encode is not None)
    # Not an Output widget: after quick moves of a slider its messages overtake each other in
    # JupyterLab, and the view stands still. A picture and a line of text have one value each.
    picture, remark = ipywidgets.Image(format="png"), ipywidgets.HTML()
    generator = torch.Generator().manual_seed(seed)
    # A slider changes what is made of the logits, not the logits.
    logits_of = lru_cache(maxsize=1)(lambda written: next_logits(written).detach().cpu()[None])

    def chosen() -> dict[str, Any]:
        ids = torch.tensor([list(encode(text.value))]) if encode else None
        return {"ids": ids} | {name: slider.value or None for name, slider in sliders.items()}

    def draw() -> None:
        logits = logits_of(text.value)
        before, after = filtered(logits)[0], filtered(logits, **chosen())[0]
        picture.value = png(next_token_bars(before, after, label, most=most))

    def write() -> None:
        token = sample(logits_of(text.value), generator=generator, **chosen())
        text.value += label(int(token))  # and so the next picture

    def restart(_: Any) -> None:
        generator.manual_seed(seed)
        text.value = prompt

    def attempt(do: Callable[[], None]) -> None:
        """Do it; what a ValueError says stands in the place of the picture."""
        remark.value, picture.layout.display = "", None
        try:
            do()
        except ValueError as error:
            remark.value, picture.layout.display = escape(str(error)), "none"

    for control in (text, *sliders.values()):
        control.observe(lambda _: attempt(draw), "value")
    forward.on_click(lambda _: attempt(write))
    again.on_click(restart)
    attempt(draw)
    buttons = ipywidgets.HBox([forward, again])
    return ipywidgets.VBox([text, buttons, *sliders.values(), remark, picture])


def _sliders(*, with_penalty: bool) -> dict[str, Any]:
    """One for each filter, which leaves the probabilities as they are at first."""
    import ipywidgets

    wide = {"style": {"description_width": "13em"}, "layout": {"width": "34em"}}
    wide["continuous_update"] = False

    def real(name: str, value: float, low: float, high: float, step: float) -> Any:
        return ipywidgets.FloatSlider(value, min=low, max=high, step=step, description=name, **wide)

    sliders = {
        "temperature": real("temperature", 1.0, 0.1, 3.0, 0.1),
        "top_k": ipywidgets.IntSlider(0, 0, 100, description="top-k (0: all)", **wide),
        "top_p": real("top-p (1: all)", 1.0, 0.05, 1.0, 0.05),
        "min_p": real("min-p (0: all)", 0.0, 0.0, 0.5, 0.01),
    }
    if with_penalty:
        sliders["repetition_penalty"] = real("repetition penalty (1: none)", 1.0, 1.0, 2.0, 0.05)
    return sliders


def _visible(text: str) -> str:
    """A token as a label: signs for spaces and line ends, and not too long."""
    signs = [SIGNS.get(sign, sign if sign.isprintable() else repr(sign)[1:-1]) for sign in text]
    shown = "".join(signs)
    return shown if len(shown) <= LONGEST_LABEL else shown[: LONGEST_LABEL - 1] + "…"
