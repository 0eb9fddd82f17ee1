"""Text cut into pieces: coloured boxes in a notebook, pieces between bars in a terminal.

The pictures are HTML, not drawings: a browser has a font for every script of the world, breaks long
rows, and a screen reader reads them. Colours never carry the meaning alone: each box has an edge
and stands apart from the next. GitHub strips the looks; then the bars between the pieces, which
are too small to see otherwise, show the cuts.

A space is shown as ␣, the end of a line as ↵, a tab as ⇥, another character that cannot be seen by
its number, as <U+200D>, and a byte that is not a part of a whole character as <D0>.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from html import escape
from textwrap import wrap

from course_utils.plotting import PALETTE
from course_utils.tokenizers.naive import split_symbols

Piece = str | bytes
Row = str | bytes | Sequence

MARKS = {" ": "␣", "\n": "↵", "\t": "⇥"}
# Control and format characters, private and half ones, other line ends and spaces.
UNSEEN = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp", "Zs"}
BAR = '<span style="font-size:0px"> | </span>'
PAPER = ("#FFFFFF", "#E4E4E4")  # white and grey, for letters that no merge made
INK, EDGE = "#000000", "#767676"
FONT_PIXELS = 18  # legible from the back row
TEXT_WIDTH = 100


def visible(piece: Piece) -> str:
    """A piece as text in which everything can be seen.

    Examples
    --------
    >>> visible(" the"), visible("п".encode()), visible("п".encode()[:1] + b"!")
    ('␣the', 'п', '<D0>!')
    """
    is_bytes = isinstance(piece, bytes)
    # A byte that does not belong to a whole character comes back as one of U+DC80 to U+DCFF.
    text = piece.decode(errors="surrogateescape") if is_bytes else piece
    seen = "".join(_mark(character, is_bytes) for character in text)
    begins_with_accent = seen and unicodedata.category(seen[0]).startswith("M")
    return "◌" + seen if begins_with_accent else seen


def _mark(character: str, is_bytes: bool) -> str:
    number = ord(character)
    if is_bytes and 0xDC80 <= number <= 0xDCFF:
        return f"<{number - 0xDC00:02X}>"
    if character in MARKS:
        return MARKS[character]
    selects_looks = 0xFE00 <= number <= 0xFE0F
    if selects_looks or unicodedata.category(character) in UNSEEN:
        return f"<U+{number:04X}>"
    return character


def tint(index: int) -> str:
    """A pale tint of the palette's colour number `index`, black left out; dark text lies on it.

    Examples
    --------
    >>> tint(0), tint(6) == tint(0)
    ('#99C7E0', True)
    """
    colours = [shade for name, shade in PALETTE.items() if name != "black"]
    shade = colours[index % len(colours)]
    parts = (int(shade[k : k + 2], 16) for k in (1, 3, 5))
    return "#" + "".join(f"{round(0.4 * part + 0.6 * 255):02X}" for part in parts)


def box(seen: str, shade: str, *, new: bool = False) -> str:
    """HTML of a `visible` text in a box; bold with a strong edge when it is new."""
    text = escape(seen)
    # The white ring shows the black edge on a dark page.
    edge = f"3px solid {INK};box-shadow:0 0 0 1px #FFFFFF" if new else f"1px solid {EDGE}"
    style = (
        f"display:inline-block;margin:2px;padding:1px 4px;border-radius:4px;border:{edge};"
        f"background-color:{shade};color:{INK};font-family:monospace;font-size:{FONT_PIXELS}px"
    )
    return f'<code style="{style}">{f"<b>{text}</b>" if new else text}</code>'


def plain(pieces: Sequence[Piece]) -> str:
    """The pieces of a text with bars between them.

    Examples
    --------
    >>> plain(["un", "friend", "ly"])
    'un | friend | ly'
    """
    return " | ".join(map(visible, pieces))


class Picture:
    """What a notebook shows as HTML and a terminal as text."""

    def __init__(self, text: str, html: str) -> None:
        self.text, self.html = text, html

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def html_table(
    title: str, names: Sequence[str], rows: Sequence[Sequence[str]], *, wrapped: bool = True
) -> str:
    """A table whose cells are HTML; the first cell of a row is the row's name."""
    style = f"text-align:left;padding:3px 9px 3px 0px;font-size:{FONT_PIXELS}px"
    whole = "white-space:nowrap"

    def line(cells: Sequence[str]) -> str:
        first = f'<th scope="row" style="{style};{whole}">{cells[0]}</th>'
        look = style if wrapped else f"{style};{whole}"
        rest = (f'<td style="{look}">{cell}</td>' for cell in cells[1:])
        return f"<tr>{first}{''.join(rest)}</tr>"

    caption = f'<caption style="{style}">{escape(title)}</caption>' if title else ""
    head = (f'<th scope="col" style="{style};{whole}">{escape(name)}</th>' for name in names)
    return f"<table>{caption}<tr>{''.join(head)}</tr>{''.join(map(line, rows))}</table>"


def segments_picture(rows: Mapping[str, Row], *, title: str = "", unit: str = "pieces") -> Picture:
    """Show texts cut into pieces, one row each, with the number of pieces.

    Neighbours differ in colour; a colour means nothing else.

    Parameters
    ----------
    rows : mapping of str to sequence of str or bytes
        Name of a row -> its pieces. A row that is one str or bytes is cut into its characters or
        bytes.
    title : str
        Shown above.
    unit : str
        What is counted, "tokens" for example.

    Returns
    -------
    Picture
        Boxes in a notebook, text elsewhere.

    Raises
    ------
    ValueError
        When there are no rows.
    TypeError
        When a piece is neither str nor bytes, a number of a token for example.

    Examples
    --------
    >>> segments_picture({"word": ["un", "friend", "ly"], "bytes": "п!".encode()})
    word   3 pieces: un | friend | ly
    bytes  3 pieces: <D0> | <BF> | !
    """
    if not rows:
        raise ValueError("a picture of pieces needs at least one row, got none")
    cut = {name: _cut(name, pieces) for name, pieces in rows.items()}
    width = max(map(len, cut))
    lines = [title] if title else []
    cells = []
    for name, pieces in cut.items():
        start = f"{name.ljust(width)}  {len(pieces)} {unit}: "
        # What does not fit goes on below, indented.
        form = {"subsequent_indent": " " * (width + 2), "break_long_words": False}
        lines += wrap(start + plain(pieces), TEXT_WIDTH, break_on_hyphens=False, **form)
        boxes = BAR.join(box(visible(piece), tint(k)) for k, piece in enumerate(pieces))
        cells.append([escape(name), str(len(pieces)), boxes])
    return Picture("\n".join(lines), html_table(title, ["", unit, "text"], cells))


def _cut(name: str, pieces: Row) -> tuple[Piece, ...]:
    if isinstance(pieces, str | bytes):
        return split_symbols(pieces)
    for piece in pieces:
        if not isinstance(piece, str | bytes):
            raise TypeError(
                f"the pieces of {name!r} are str or bytes, got {piece!r}: give the tokenizer's "
                "`tokens(text)`, not its ids"
            )
    return tuple(pieces)
