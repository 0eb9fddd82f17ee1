"""Byte-pair encoding to look at: its merges one after the other, and how tokenizers cut a text.

In these pictures a piece has the colour of the merge that made it, and single letters are white
and grey. For a lecture `merge_table` shows all steps at once; `merge_stepper` goes through them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from course_utils.explorers.pieces import (
    BAR,
    FONT_PIXELS,
    PAPER,
    Picture,
    Piece,
    box,
    html_table,
    plain,
    segments_picture,
    tint,
    visible,
)
from course_utils.show import table
from course_utils.tokenizers.naive import MergeStep, merge_steps, split_symbols

MOST_WORDS = 12
MOST_TIES = 3
MOST_DISTINCT = 1000
COUNTED = re.compile(r"(.+):([0-9]+)")


def merge_table(
    steps: Sequence[MergeStep], words: Mapping[Piece, int], *, title: str = ""
) -> Picture:
    """Show each merge, and beside it how words are cut after it.

    The first row shows the words as single letters. What a merge has just made is bold.

    Parameters
    ----------
    steps : sequence of MergeStep
        From `merge_steps`; `steps[:k]` shows the first k merges.
    words : mapping of str (or bytes) to int
        Which words to show, 12 at most, and how often each occurs.
    title : str
        Shown above.

    Returns
    -------
    Picture
        Boxes in a notebook, text elsewhere.

    Raises
    ------
    ValueError
        When there are too many words, or the steps do not know one of them.

    Examples
    --------
    >>> from course_utils.tokenizers.naive import merge_steps
    >>> counts = {"cat": 4, "mate": 5}
    >>> merge_table(merge_steps(counts, 2), counts)
    merge  pair     times  ties  cat ×4     mate ×5
    0      letters               c | a | t  m | a | t | e
    1      a+t      9            c | at     m | at | e
    2      m+at     5      at+e  c | at     mat | e
    """
    if len(words) > MOST_WORDS:
        raise ValueError(f"the table has room for {MOST_WORDS} words, got {len(words)}: show fewer")
    for word in words if steps else ():
        if word not in steps[0].words:
            raise ValueError(f"the merges were learned without the word {word!r}: show one of them")
    born = _born(steps)
    names = ["merge", "pair", "times", "ties"]
    names += [f"{visible(word)} ×{count}" for word, count in words.items()]
    letters = [split_symbols(word) for word in words]
    texts = [["0", "letters", "", "", *map(plain, letters)]]
    cells = [["0", "letters", "", "", *(_boxes(pieces, born) for pieces in letters)]]
    for number, step in enumerate(steps, start=1):
        joined, cut = step.pair[0] + step.pair[1], [step.words[word] for word in words]
        pair, count, ties = _pair(step.pair), str(step.count), _ties(step)
        texts.append([str(number), pair, count, ties, *map(plain, cut)])
        start = [str(number), box(pair, tint(born[joined])), count, escape(ties)]
        cells.append([*start, *(_boxes(pieces, born, new=joined) for pieces in cut)])
    if not any(len(step.ties) > 1 for step in steps):
        for row in (names, *texts, *cells):
            del row[3]
    text = repr(table([dict(zip(names, row, strict=True)) for row in texts], caption=title))
    return Picture(text, html_table(title, names, cells, wrapped=False))


def _born(steps: Sequence[MergeStep]) -> dict[Piece, int]:
    """The number of the merge that made a piece, from 0."""
    return {step.pair[0] + step.pair[1]: number for number, step in enumerate(steps)}


def _pair(pair: tuple[Piece, Piece]) -> str:
    return f"{visible(pair[0])}+{visible(pair[1])}"


def _ties(step: MergeStep) -> str:
    """The pairs that were as frequent as the chosen one; not all when they are many."""
    others = [_pair(pair) for pair in step.ties[1:]]
    more = f" and {len(others) - MOST_TIES} more" if len(others) > MOST_TIES else ""
    return ", ".join(others[:MOST_TIES]) + more


def _boxes(pieces: Sequence[Piece], born: Mapping[Piece, int], new: Piece | None = None) -> str:
    """HTML of a word's pieces in the colours of their merges."""
    shades = (
        tint(born[piece]) if piece in born else PAPER[k % 2] for k, piece in enumerate(pieces)
    )
    both = zip(pieces, shades, strict=True)
    return BAR.join(box(visible(piece), shade, new=piece == new) for piece, shade in both)


def merge_stepper(words: Mapping[str, int] | str, *, num_merges: int = 20) -> Any:
    """Type words or a small text, and go through the merges that are learned from it.

    Parameters
    ----------
    words : mapping of str to int, or str
        What the field holds at the beginning: words with their counts, or a text. In the field
        `mat:5` is a word that occurs five times.
    num_merges : int
        The most merges to learn.

    Returns
    -------
    ipywidgets.VBox
        The field, the slider and the picture.

    Raises
    ------
    ValueError
        When `words` holds none, or `num_merges` is negative.
    """
    import ipywidgets

    typed = words if isinstance(words, str) else " ".join(f"{w}:{n}" for w, n in words.items())
    field = _text_field(typed, "words")
    slider = ipywidgets.IntSlider(0, 0, 0, description="merges", layout={"width": "36em"})
    picture = ipywidgets.HTML()
    learned = _learn(typed, num_merges)  # a mistake of the caller raises here

    def show(_: Any = None) -> None:
        picture.value = _state(*learned, slider.value)

    def learn(_: Any = None) -> None:
        nonlocal learned
        try:
            learned = _learn(field.value, num_merges)
        except ValueError as error:  # one of the reader is said below the field
            picture.value = escape(str(error))
            return
        slider.max = len(learned[1])
        show()

    slider.observe(show, "value")
    field.observe(learn, "value")
    learn()
    return ipywidgets.VBox([field, slider, picture])


def _text_field(value: str, description: str) -> Any:
    import ipywidgets

    form = {"layout": {"width": "48em"}, "continuous_update": False}
    return ipywidgets.Textarea(value=value, description=description, rows=2, **form)


def _learn(text: str, num_merges: int) -> tuple[Counter[str], list[MergeStep]]:
    """The words of a text, `mat:5` counting five times, and their merges."""
    counts: Counter[str] = Counter()
    for word in text.split():
        match = COUNTED.fullmatch(word)
        counts[match[1] if match else word] += int(match[2]) if match else 1
    if len(counts) > MOST_DISTINCT:
        raise ValueError(
            f"the stepper takes {MOST_DISTINCT} different words, got {len(counts)}: use less text"
        )
    return counts, merge_steps(counts, num_merges)


def _state(counts: Mapping[str, int], steps: Sequence[MergeStep], number: int) -> str:
    """HTML of the words after a number of merges, and of the merges so far."""
    done, letters = steps[:number], {word: split_symbols(word) for word in counts}
    words, born = done[-1].words if done else letters, _born(done)
    new = done[-1].pair[0] + done[-1].pair[1] if done else None
    length, before = (sum(len(cut[w]) * n for w, n in counts.items()) for cut in (words, letters))
    alphabet = len({letter for cut in letters.values() for letter in cut})
    said = _last_merge(done, len(steps))
    said += f"<br>Vocabulary: {alphabet} letters + {number} merges = {alphabet + number} pieces."
    said += f" The text: {length} pieces ({before} letters)."
    shown = (
        '<span style="display:inline-block;margin:2px 14px 2px 0px">'
        f"{_boxes(words[word], born, new)} ×{count}</span>"
        for word, count in counts.items()
    )
    so_far = merge_table(done, {}).html if done else ""
    size = f"font-size:{FONT_PIXELS}px;line-height:1.5"
    return f'<div style="{size}"><p>{said}</p><p>{" ".join(shown)}</p>{so_far}</div>'


def _last_merge(done: Sequence[MergeStep], total: int) -> str:
    if not done:
        return f"Before the first of {total} merges: single letters."
    step = done[-1]
    said = f"Merge {len(done)} of {total}: {_pair(step.pair)}, {step.count} times."
    if others := _ties(step):
        said += f" Just as frequent: {others}."
    return escape(said)


def tokenizer_explorer(tokenizers: Mapping[str, Any], text: str) -> Any:
    """Type a text and see how each tokenizer cuts it, and into how many tokens.

    For a page without a kernel `segments_picture` shows the same of one text.

    Parameters
    ----------
    tokenizers : mapping of str to object
        Name -> an object with `tokens(text)`, which gives the pieces as str or bytes.
    text : str
        What the field holds at the beginning.

    Returns
    -------
    ipywidgets.VBox
        The field and the picture.

    Raises
    ------
    TypeError
        When an object has no `tokens`.
    ValueError
        When there are no tokenizers.
    """
    import ipywidgets

    for name, tokenizer in tokenizers.items():
        if not callable(getattr(tokenizer, "tokens", None)):
            kind = type(tokenizer).__name__
            raise TypeError(f"{name!r} needs a method `tokens(text)` that gives pieces, got {kind}")

    def cut(typed: str) -> str:
        rows = {name: tokenizer.tokens(typed) for name, tokenizer in tokenizers.items()}
        return segments_picture(rows, unit="tokens").html

    field, picture = _text_field(text, "text"), ipywidgets.HTML(cut(text))

    def show(_: Any) -> None:
        try:
            picture.value = cut(field.value)
        except ValueError as error:  # a text that a tokenizer does not take: say so below it
            picture.value = escape(str(error))

    field.observe(show, "value")
    return ipywidgets.VBox([field, picture])
