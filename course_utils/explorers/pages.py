"""Attention as one page of HTML, to explore without Python, without a kernel, without a network.

    page = attention_page([AttentionExample(weights, ["the", "cat", "sat"])], path="attention.html")

The looks and the behaviour are in `attention_page.html` beside this file; what is said about the
texts goes into it as data, never as HTML. Axis letters: L layers, H heads, Q queries, K keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy

from course_utils.explorers.pieces import visible
from course_utils.files import atomic_write

TEMPLATE = Path(__file__).with_name("attention_page.html")
SCALE = 10_000  # weights are stored as whole numbers, four decimals
SHADES = 65  # colours of the scale
LARGEST = 1_000_000  # bytes of a page
SLACK = 0.01  # of the sum of a row: some models compute in 16 bits


@dataclass(frozen=True)
class AttentionExample:
    """A text, or a pair of texts, and its attention in every layer and head.

    Parameters
    ----------
    weights : tensor, array or nested lists, L H Q K
        After the softmax: every row, over the keys, sums to 1.
    keys : sequence of str or bytes, K
        The tokens that are looked at.
    queries : sequence of str or bytes, Q, optional
        The tokens that look; the same as `keys` by default, as in self-attention.
    name : str
        What the list of examples shows; its number by default.
    caption : str
        A sentence about what to look at.
    """

    weights: Any
    keys: Sequence
    queries: Sequence | None = None
    name: str = ""
    caption: str = ""


def attention_page(
    examples: Sequence[AttentionExample],
    *,
    title: str = "Attention",
    path: str | Path | None = None,
) -> str:
    """Make one HTML file in which a reader explores attention: by mouse, touch or keyboard.

    It needs nothing but a browser, and asks no other machine for anything.

    Parameters
    ----------
    examples : sequence of AttentionExample
        At least one. Their tokens may hold any characters; spaces are shown as ␣.
    title : str
        The page's heading.
    path : path, optional
        Where to write the page, too; an old file there is replaced.

    Returns
    -------
    str
        The page.

    Raises
    ------
    ValueError
        When there are no examples, tokens and weights do not fit each other, weights are not
        finite, are negative or do not sum to 1 over the keys, or the page has more than 1 MB.
    OSError
        When the file cannot be written.

    Examples
    --------
    >>> page = attention_page([AttentionExample([[[[0.25, 0.75]]]], ["a", "b"], ["<c>"])])
    >>> "[[[[2500,7500]]]]" in page, "<c>" in page
    (True, False)
    """
    if not examples:
        raise ValueError("the page needs at least one example")
    data = {
        "examples": [_as_data(example, number) for number, example in enumerate(examples)],
        "colours": _colours(),
        "scale": SCALE,
    }
    parts = {"TITLE": escape(title), "DATA": _inside_script(data)}
    template = TEMPLATE.read_text(encoding="utf-8")
    page = re.sub("@(TITLE|DATA)@", lambda found: parts[found[1]], template)
    if (size := len(page.encode())) > LARGEST:
        raise ValueError(
            f"the page would have {size / 1e6:.1f} MB, at most {LARGEST / 1e6:.0f}: give fewer "
            "examples, fewer layers or shorter texts"
        )
    if path is not None:
        with atomic_write(path) as temporary:
            temporary.write_text(page, encoding="utf-8", newline="\n")
    return page


def _as_data(example: AttentionExample, number: int) -> dict[str, Any]:
    """An example as the page reads it."""
    place = f"example {number}"
    keys = _labels(example.keys, place)
    queries = keys if example.queries is None else _labels(example.queries, place)
    weights = example.weights
    if hasattr(weights, "detach"):
        weights = weights.detach().cpu().float()
    weights = numpy.asarray(weights, dtype=numpy.float64)
    _check(weights, (len(queries), len(keys)), place)
    return {
        "name": example.name or place,
        "caption": example.caption,
        "keys": keys,
        "queries": queries,
        "weights": numpy.rint(weights * SCALE).astype(int).tolist(),
    }


def _labels(tokens: Sequence, place: str) -> list[str]:
    if isinstance(tokens, str | bytes):
        raise ValueError(f"{place}: tokens are a list, got one text, {tokens!r}: split it")
    for token in tokens:
        if not isinstance(token, str | bytes):
            raise ValueError(f"{place}: a token is text, got {token!r}: decode the ids")
    return [visible(token) or "∅" for token in tokens]


def _check(weights: numpy.ndarray, fitting: tuple[int, int], place: str) -> None:
    if weights.ndim != 4 or 0 in weights.shape:
        raise ValueError(
            f"{place}: weights are layers x heads x queries x keys, none of them empty, got shape "
            f"{weights.shape}; of a batch take one text, weights[0]; a matrix becomes "
            "weights[None, None]"
        )
    if weights.shape[2:] != fitting:
        raise ValueError(
            f"{place}: {fitting[0]} queries and {fitting[1]} keys do not fit weights of shape "
            f"{weights.shape}, layers x heads x queries x keys"
        )
    if not numpy.isfinite(weights).all():
        raise ValueError(f"{place}: some weights are not finite: give them after the softmax")
    if weights.min() < 0:
        raise ValueError(f"{place}: some weights are negative: give them after the softmax")
    sums = weights.sum(axis=-1)
    if (wrong := numpy.argwhere(abs(sums - 1) > SLACK)).size:
        layer, head, query = (int(k) for k in wrong[0])
        raise ValueError(
            f"{place}: the weights of layer {layer}, head {head}, query {query} sum to "
            f"{sums[layer, head, query]:.2f}, not to 1: give them after the softmax, without "
            "dropout and without padding"
        )


def _colours() -> list[str]:
    """The colours of the course's heat maps, from the smallest weight to the largest."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(shade) for shade in colormaps["cividis"](numpy.linspace(0, 1, SHADES))]


def _inside_script(data: Any) -> str:
    """JSON that cannot end the script element that it stands in."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")
