"""Pictures of the course: heat maps, curves, bars and boxes in one style. All return Axes.

Colours are Okabe and Ito's (2008, Color Universal Design), which people with any kind of colour
vision tell apart; heat maps use matplotlib's perceptually even "cividis" the same way. Text is
large enough for the back row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any

PALETTE = {
    "blue": "#0072B2",
    "orange": "#D55E00",
    "green": "#009E73",
    "pink": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#E69F00",
    "black": "#000000",
}
MARKERS = "osD^vPX"
FONT_SIZE = 14

_STYLE = {
    "font.size": FONT_SIZE,
    "axes.titlesize": FONT_SIZE + 1,
    "axes.labelsize": FONT_SIZE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 2.5,
    "lines.markersize": 8,
    "legend.frameon": False,
    "figure.dpi": 100,
}


def _styled(draw: Callable) -> Callable:
    """Everything that `draw` makes is in the course's style, and nothing else."""

    @wraps(draw)
    def drawn(*args: Any, **kwargs: Any) -> Any:
        import matplotlib.pyplot as plt

        with plt.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return drawn


@_styled
def new_axes(columns: int = 1, *, rows: int = 1, width: float = 7.5, height: float = 4.2) -> Any:
    """A new figure in the course's style.

    Parameters
    ----------
    columns, rows : int
        Number of Axes side by side, and of such rows. One Axes is returned as it is, one row or
        one column as an array, others as an array "rows x columns".
    width, height : float
        Size of each, in inches.
    """
    import matplotlib.pyplot as plt

    size = (width * columns, height * rows)
    return plt.subplots(rows, columns, figsize=size, layout="constrained")[1]


def colour(index: int) -> str:
    """The palette's colour number `index`, beginning again after the last.

    Examples
    --------
    >>> colour(0), colour(7) == colour(0)
    ('#0072B2', True)
    """
    return list(PALETTE.values())[index % len(PALETTE)]


@_styled
def heatmap(
    values: Any,
    *,
    columns: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
    ax: Any = None,
    title: str = "",
    column_label: str = "source",
    row_label: str = "target",
    smallest: float = 0.0,
    largest: float | None = 1.0,
    numbers: bool = False,
    links: Sequence[tuple[int, int]] = (),
) -> Any:
    """Draw a matrix, each row and column with its word, or a large one with numbered axes.

    Parameters
    ----------
    values : array or tensor, rows x columns
        Attention weights, for example.
    columns, rows : sequence of str, optional
        One label for each; without either the axes are numbered and a scale of the colours is
        drawn beside them.
    ax : Axes, optional
        Where to draw; a new one by default.
    title, column_label, row_label : str
        What the picture shows, and what its two axes are.
    smallest, largest : float, optional
        Values of the ends of the colours; None as `largest` is the matrix's own. With a negative
        `smallest` white is in the middle, blue below and orange above it.
    numbers : bool
        Write the values into the cells.
    links : sequence of (column, row)
        Cells to frame, gold alignment for example.

    Raises
    ------
    ValueError
        When the labels do not fit the matrix.
    """
    import numpy

    values = numpy.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if values.ndim != 2:
        raise ValueError(f"a heat map shows a matrix, rows x columns, got shape {values.shape}")
    shades = _diverging() if smallest < 0 else "cividis"
    drawn = {"cmap": shades, "vmin": smallest, "vmax": largest}
    if columns is None and rows is None:
        ax = new_axes() if ax is None else ax
        image = ax.imshow(values, aspect="auto", interpolation="nearest", **drawn)
        ax.figure.colorbar(image, ax=ax)
    else:
        ax = _labelled(values, columns or (), rows or (), ax, drawn)
    ax.set_xlabel(column_label)
    ax.xaxis.set_label_position("bottom")
    ax.set_ylabel(row_label)
    ax.set_title(title)
    for (row, column), value in numpy.ndenumerate(values) if numbers else ():
        red, green, blue, _ = ax.images[-1].to_rgba(value)
        # Relative luminance (WCAG): below 0.18 white stands out more, above it black.
        dark = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 < 0.18
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=FONT_SIZE - 4,
                color="white" if dark else "black")  # fmt: skip
    _frame(ax, links)
    return ax


def _labelled(
    values: Any, columns: Sequence[str], rows: Sequence[str], ax: Any, drawn: dict[str, Any]
) -> Any:
    if values.shape != (len(rows), len(columns)):
        raise ValueError(
            f"a matrix {values.shape} needs {values.shape[0]} row labels and "
            f"{values.shape[-1]} column labels, got {len(rows)} and {len(columns)}"
        )
    if ax is None:
        ax = new_axes(width=2.2 + 0.62 * len(columns), height=1.9 + 0.62 * len(rows))
    ax.imshow(values, aspect="equal", **drawn)
    ax.set_xticks(range(len(columns)), columns, rotation=55, ha="left", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, labelsize=FONT_SIZE)
    return ax


def _diverging() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    ends = [PALETTE["blue"], "white", PALETTE["orange"]]
    return LinearSegmentedColormap.from_list("blue-white-orange", ends)


def _frame(ax: Any, links: Sequence[tuple[int, int]]) -> None:
    from matplotlib.patches import Rectangle

    for column, row in links:
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, linewidth=2.5)
        box.set_edgecolor(PALETTE["orange"])
        ax.add_patch(box)


@_styled
def curves(
    lines: Mapping[str, tuple[Sequence, Sequence]],
    *,
    x_label: str,
    y_label: str,
    ax: Any = None,
    title: str = "",
    log: bool = False,
    markers: bool = True,
    dashed: Mapping[str, tuple[Sequence, Sequence]] | None = None,
) -> Any:
    """Draw one line per name.

    Parameters
    ----------
    lines : mapping of str to (xs, ys)
        Each line differs in colour and marker.
    x_label, y_label : str
        With units.
    ax : Axes, optional
    title : str
    log : bool
        Both axes logarithmic.
    markers : bool
        Mark the points.
    dashed : mapping of str to (xs, ys), optional
        Lines to compare with, thin and dashed: the first in the colour of the first line, and so
        on.
    """
    ax = new_axes() if ax is None else ax
    for index, (name, (xs, ys)) in enumerate(lines.items()):
        marker = MARKERS[index % len(MARKERS)] if markers else None
        ax.plot(xs, ys, label=name, color=colour(index), marker=marker)
    for index, (name, (xs, ys)) in enumerate((dashed or {}).items()):
        ax.plot(xs, ys, "--", label=name, color=colour(index), linewidth=1.5)
    if log:
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
    elif all(float(x).is_integer() for xs, _ in lines.values() for x in xs):
        ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.set_title(title)
    ax.grid(alpha=0.3)
    if len(lines) + len(dashed or {}) > 1:
        ax.legend(fontsize=FONT_SIZE - 1)
    return ax


@_styled
def loss_curve(
    losses: Sequence[float],
    held_out: Sequence[tuple[int, float]] = (),
    *,
    ax: Any = None,
    label: str | None = None,
) -> Any:
    """Draw the smoothed training loss, and held-out losses as points, over the steps."""
    ax = new_axes() if ax is None else ax
    smooth, mean = [], losses[0] if losses else 0.0
    for value in losses:
        mean = 0.98 * mean + 0.02 * value
        smooth.append(mean)
    shade = colour(len(ax.lines))
    ax.plot(range(1, len(smooth) + 1), smooth, color=shade, label=label or "training (smoothed)")
    if held_out:
        steps, values = zip(*held_out, strict=True)
        ax.plot(steps, values, "o", color=PALETTE["orange"], label="held out")
    ax.set_xlabel("step")
    ax.set_ylabel("loss (nats per token)")
    ax.grid(alpha=0.3)
    ax.legend(fontsize=FONT_SIZE - 1)
    return ax


@_styled
def bars(
    groups: Mapping[str, Mapping[str, float]],
    *,
    y_label: str,
    ax: Any = None,
    title: str = "",
    largest: float | None = None,
    digits: int = 2,
) -> Any:
    """Draw bars side by side, each with its number on top.

    Parameters
    ----------
    groups : mapping of str to mapping of str to float
        Name of a series -> label on the x-axis -> height; every series has the same labels.
    y_label : str
        With its unit.
    ax : Axes, optional
    title : str
    largest : float, optional
        Upper end of the y-axis.
    digits : int
        Places after the point of the numbers.
    """
    ax = new_axes() if ax is None else ax
    labels = list(next(iter(groups.values())))
    width = 0.8 / len(groups)
    hatches = ["", "//", "..", "xx", "\\\\"]
    for index, (name, heights) in enumerate(groups.items()):
        left = [i - 0.4 + (index + 0.5) * width for i in range(len(labels))]
        drawn = ax.bar(left, [heights[k] for k in labels], width * 0.92, label=name,
                       color=colour(index), hatch=hatches[index % 5], ec="white")  # fmt: skip
        ax.bar_label(drawn, fmt=f"%.{digits}f", fontsize=FONT_SIZE - 3, padding=2)
    ax.set_xticks(range(len(labels)), labels)
    ax.set_ylabel(y_label)
    ax.set_title(title)
    if largest is not None:
        ax.set_ylim(0, largest)
    if len(groups) > 1:
        ax.legend(fontsize=FONT_SIZE - 1, loc="upper right", bbox_to_anchor=(1.0, 1.0))
    return ax


@_styled
def tree(
    probabilities: Mapping[tuple[str, ...], float],
    *,
    highlight: Mapping[str, Sequence[str]] | None = None,
    ax: Any = None,
    title: str = "",
) -> Any:
    """Draw a tree of sequences from left to right; every edge shows its conditional probability.

    Parameters
    ----------
    probabilities : mapping of word tuples to float
        Probability of the last word of a sequence, given the words before it.
    highlight : mapping of str to sequence of str
        Name of a path -> its words; drawn in the palette's colours.
    ax : Axes, optional
    title : str
    """
    leaves = [path for path in probabilities if not any(_extends(p, path) for p in probabilities)]
    place: dict[tuple[str, ...], float] = {leaf: -float(i) for i, leaf in enumerate(leaves)}
    depth = max(map(len, probabilities))
    for length in range(depth - 1, -1, -1):
        for path in {p[:length] for p in probabilities if len(p) >= length} - set(place):
            below = [place[p] for p in place if len(p) == length + 1 and p[:length] == path]
            place[path] = sum(below) / len(below)
    ax = new_axes(width=8.0, height=1 + 0.7 * len(leaves)) if ax is None else ax
    chosen = {
        tuple(words[:k]): colour(index)
        for index, words in enumerate((highlight or {}).values())
        for k in range(len(words), 0, -1)
    }
    over = {"facecolor": "white", "edgecolor": "none", "pad": 3}  # a long word hides the edges
    for path, probability in probabilities.items():
        shade, x, y = chosen.get(path, "#767676"), len(path), place[path]
        start, bold = place[path[:-1]], path in chosen
        ax.plot([x - 0.86, x - 0.16], [start, y], color=shade, linewidth=3 if bold else 1.5)
        ax.text(x - 0.52, (y + start) / 2 + 0.12, f"{probability:.2f}", ha="center", va="bottom",
                fontsize=FONT_SIZE - 2)  # fmt: skip
        ax.text(x, y, path[-1], ha="center", va="center", color=shade, bbox=over,
                weight="bold" if bold else "normal")  # fmt: skip
    ax.text(0, place[()], "start", ha="center", va="center", bbox=over)
    for index, name in enumerate(highlight or {}):
        ax.plot([], [], color=colour(index), linewidth=3, label=name)
    if highlight:
        ax.legend(loc="lower left", fontsize=FONT_SIZE - 1)
    ax.set_xlim(-0.4, depth + 0.5)
    ax.set_axis_off()
    ax.set_title(title)
    return ax


def _extends(longer: tuple[str, ...], path: tuple[str, ...]) -> bool:
    return len(longer) == len(path) + 1 and longer[: len(path)] == path
