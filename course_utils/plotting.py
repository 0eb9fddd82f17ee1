"""Pictures of the course: heat maps, curves, bars and boxes in one style. All return Axes.

Colours are Okabe and Ito's (2008, Color Universal Design), which people with any kind of colour
vision tell apart; heat maps use matplotlib's perceptually even "cividis" the same way. Text is
large enough for the back row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


def new_axes(columns: int = 1, *, width: float = 7.5, height: float = 4.2) -> Any:
    """A new figure in the course's style.

    Parameters
    ----------
    columns : int
        Number of Axes side by side; with 1 the Axes itself is returned, else an array of them.
    width, height : float
        Size of each, in inches.
    """
    import matplotlib.pyplot as plt

    with plt.rc_context(_STYLE):
        _, axes = plt.subplots(1, columns, figsize=(width * columns, height), layout="constrained")
    return axes


def colour(index: int) -> str:
    """The palette's colour number `index`, beginning again after the last.

    Examples
    --------
    >>> colour(0), colour(7) == colour(0)
    ('#0072B2', True)
    """
    return list(PALETTE.values())[index % len(PALETTE)]


def heatmap(
    values: Any,
    *,
    columns: Sequence[str],
    rows: Sequence[str],
    ax: Any = None,
    title: str = "",
    column_label: str = "source",
    row_label: str = "target",
    largest: float | None = 1.0,
    numbers: bool = False,
    links: Sequence[tuple[int, int]] = (),
) -> Any:
    """Draw a matrix, each row and column with its word.

    Parameters
    ----------
    values : array or tensor, rows x columns
        Attention weights, for example.
    columns, rows : sequence of str
        One label for each.
    ax : Axes, optional
        Where to draw; a new one by default.
    title, column_label, row_label : str
        What the picture shows, and what its two axes are.
    largest : float, optional
        Value of the brightest colour; the largest value by default None.
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
    if values.shape != (len(rows), len(columns)):
        raise ValueError(
            f"a matrix {values.shape} needs {values.shape[0]} row labels and "
            f"{values.shape[-1]} column labels, got {len(rows)} and {len(columns)}"
        )
    cell = 0.62
    if ax is None:
        ax = new_axes(width=2.2 + cell * len(columns), height=1.9 + cell * len(rows))
    ax.imshow(values, cmap="cividis", vmin=0.0, vmax=largest, aspect="equal")
    ax.set_xticks(range(len(columns)), columns, rotation=55, ha="left", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, labelsize=FONT_SIZE)
    ax.set_xlabel(column_label)
    ax.xaxis.set_label_position("bottom")
    ax.set_ylabel(row_label)
    ax.set_title(title)
    for (row, column), value in numpy.ndenumerate(values) if numbers else ():
        dark = value < 0.6 * (largest or values.max())
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=FONT_SIZE - 4,
                color="white" if dark else "black")  # fmt: skip
    _frame(ax, links)
    return ax


def _frame(ax: Any, links: Sequence[tuple[int, int]]) -> None:
    from matplotlib.patches import Rectangle

    for column, row in links:
        box = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, linewidth=2.5)
        box.set_edgecolor(PALETTE["orange"])
        ax.add_patch(box)


def curves(
    lines: Mapping[str, tuple[Sequence, Sequence]],
    *,
    x_label: str,
    y_label: str,
    ax: Any = None,
    title: str = "",
    log: bool = False,
    markers: bool = True,
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
    """
    ax = new_axes() if ax is None else ax
    for index, (name, (xs, ys)) in enumerate(lines.items()):
        marker = MARKERS[index % len(MARKERS)] if markers else None
        ax.plot(xs, ys, label=name, color=colour(index), marker=marker)
    if log:
        ax.set_xscale("log", base=2)
        ax.set_yscale("log")
    elif all(float(x).is_integer() for xs, _ in lines.values() for x in xs):
        ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.set_title(title)
    ax.grid(alpha=0.3)
    if len(lines) > 1:
        ax.legend(fontsize=FONT_SIZE - 1)
    return ax


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
    for path, probability in probabilities.items():
        shade, x, y = chosen.get(path, "#767676"), len(path), place[path]
        ax.plot(
            [x - 0.86, x - 0.16],
            [place[path[:-1]], y],
            color=shade,
            linewidth=3 if path in chosen else 1.5,
        )
        ax.text(
            x - 0.52,
            (y + place[path[:-1]]) / 2 + 0.12,
            f"{probability:.2f}",
            ha="center",
            va="bottom",
            fontsize=FONT_SIZE - 2,
        )
        ax.text(
            x,
            y,
            path[-1],
            ha="center",
            va="center",
            color=shade,
            weight="bold" if path in chosen else "normal",
        )
    ax.text(0, place[()], "start", ha="center", va="center")
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
