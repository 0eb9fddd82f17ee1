"""Draw lesson 5's pictures: one side or both sides of a gap, and what goes into BERT.

Run `python img/05_bert/draw.py`; it writes gap.svg and input.svg beside itself. The guesses and the
lengths of their bars are made up.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from course_utils.plotting import PALETTE

TEXT = ["the", "list", "must", "not", "be", "empty", "."]
GAP = TEXT.index("not")
LEFT_TO_RIGHT = {"be": 0.30, "have": 0.24, "contain": 0.19, "not": 0.05}
BOTH_SIDES = {"not": 0.86, "also": 0.05, "only": 0.03, "always": 0.02}
PAIR = ["[CLS]", *TEXT, "[SEP]", "otherwise", "an", "error", "is", "raised", ".", "[SEP]"]
FIRST = PAIR.index("[SEP]") + 1  # pieces of the first segment
GREY = "#595959"
SIZE, SMALLER = 16, 15
LENGTH = 0.5  # of a vector


def say(ax, x, y, text, **style):
    ax.text(x, y, text, **{"ha": "left", "va": "center", "fontsize": SIZE} | style)


def box(ax, x, y, text, shade, width, height=0.6, words=None, **style):
    patch = FancyBboxPatch((x - width / 2, y - height / 2), width, height)
    patch.set_boxstyle("round,pad=0.04")
    patch.set(**{"edgecolor": shade, "facecolor": "white", "linewidth": 2} | style)
    ax.add_patch(patch)
    say(ax, x, y, text, ha="center", **words or {})


def arrow(ax, start, end, shade=GREY, width=2.0, **style):
    style = {"arrowstyle": "-|>", "mutation_scale": 18, "shrinkA": 0, "shrinkB": 0} | style
    ax.add_patch(FancyArrowPatch(start, end, color=shade, linewidth=width, **style))


def canvas(width, height, inches):
    """A figure without margins; its units are square."""
    figure = plt.figure(figsize=(inches, inches * height / width))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, width)
    ax.set_ylim(0, height)
    ax.set_axis_off()
    return figure, ax


def sentence(ax, y, seen):
    """The words, what is hidden, and an arrow to the gap from each word that is seen."""
    xs = [1.1 + 2.05 * number for number in range(len(TEXT))]
    for number, (x, word) in enumerate(zip(xs, TEXT, strict=True)):
        width = 0.6 + 0.2 * len(word)
        if number == GAP:
            box(ax, x, y, "?", PALETTE["orange"], 1.7, linewidth=3.5, words={"weight": "bold"})
        elif number not in seen:
            box(ax, x, y, word, "#8C8C8C", width, linestyle="--", words={"color": "#6B6B6B"})
        else:
            box(ax, x, y, word, PALETTE["blue"], width)
            side = 1 if number < GAP else -1
            end = xs[GAP] - side * (0.75 - 0.27 * (abs(GAP - number) - 1)), y - 0.38
            curve = f"arc3,rad={side * (0.62 - 0.11 * abs(GAP - number)):.2f}"
            arrow(ax, (x, y - 0.38), end, PALETTE["blue"], connectionstyle=curve)
    return xs


def guesses(ax, x, y, chances):
    """A bar for each guess; the hidden word stands out."""
    for number, (word, chance) in enumerate(chances.items()):
        height, right = y - 0.62 * number, word == TEXT[GAP]
        face, hatch = (PALETTE["orange"], "//") if right else (PALETTE["sky"], "")
        bar = {"color": face, "hatch": hatch, "edgecolor": "white" if right else face}
        ax.barh(height, 5.0 * chance, 0.42, left=x, **bar)
        say(ax, x - 0.2, height, word, ha="right", weight="bold" if right else "normal")
    ax.plot([x, x], [y + 0.35, y - 0.62 * len(chances) + 0.27], color=GREY, linewidth=1.5)


def gap():
    """The title picture: who sees what, and what that does to the guess."""
    figure, ax = canvas(23, 10, 13.5)
    rows = (
        (7.55, "left to right (GPT)", "sees the left side", range(GAP), LEFT_TO_RIGHT),
        (2.7, "fill the gap (BERT)", "sees both sides", range(len(TEXT)), BOTH_SIDES),
    )
    for y, name, seeing, seen, chances in rows:
        say(ax, 0.3, y + 1.2, name, weight="bold", fontsize=SIZE + 3)
        say(ax, 5.6, y + 1.2, seeing, fontsize=SIZE + 3)
        xs = sentence(ax, y, [*seen])
        arrow(ax, (xs[-1] + 0.7, y), (xs[-1] + 1.7, y), width=3)
        guesses(ax, 17.6, y + 0.75, chances)
    say(ax, (xs[4] + xs[6]) / 2, 6.75, "not seen", ha="center", color=GREY)
    say(ax, 17.6, 9.5, "guesses (a sketch)", weight="bold")
    ax.plot([0.3, 22.7], [5.0, 5.0], color="#BDBDBD", linewidth=1.5)
    say(ax, 0.3, 0.5, "The hidden word is “not”. What comes after the gap gives it away.")
    return figure


def vector(ax, x, y, face, number=""):
    """A vector: all have the same length."""
    frame = Rectangle((x - LENGTH / 2, y - 0.29), LENGTH, 0.58, facecolor=face, linewidth=1.5)
    frame.set(edgecolor="black")
    ax.add_patch(frame)
    say(ax, x, y - 0.02, str(number), ha="center", fontsize=SMALLER)


def cells(ax, x, y, word):
    """A word's vector: made-up numbers, as shades; each word has its own."""
    seed = sum(map(ord, word))
    vector(ax, x, y, "none")
    for number, factor in enumerate((17, 29, 41, 53)):
        left = x + (number / 4 - 0.5) * LENGTH
        cell = Rectangle((left, y - 0.29), LENGTH / 4, 0.58, facecolor=PALETTE["green"])
        cell.set(alpha=seed * factor % 109 / 109, linewidth=0, zorder=0.9)
        ax.add_patch(cell)


def segment(ax, left, right, number):
    """A line over the pieces of a segment."""
    ax.plot([left, left, right, right], [6.2, 6.35, 6.35, 6.2], color=GREY, linewidth=2)
    say(ax, (left + right) / 2, 6.65, f"segment {number}", ha="center")


def names(ax, right):
    """What each row is, and that they are added."""
    rows = {5.75: "pieces", 4.65: "word\nvector", 3.55: "segment\nvector", 2.45: "position\nvector"}
    for y, name in rows.items():
        say(ax, 0.15, y, name, weight="bold", linespacing=1.1, fontsize=SMALLER)
    for y in (4.1, 3.0):
        say(ax, 0.5, y, "+", ha="center", weight="bold", fontsize=SIZE + 6)
        ax.plot([1.0, right], [y, y], color="#BDBDBD", linewidth=1, linestyle=":", zorder=0)


def input_vectors():
    """Three vectors for each piece are added and normed."""
    figure, ax = canvas(16, 7, 14)
    widths = [0.29 + 0.124 * len(word) for word in PAIR]
    start, space = 1.7, 0.11
    edges, left = [], start
    for number, (word, width) in enumerate(zip(PAIR, widths, strict=True)):
        x, later = left + width / 2, number >= FIRST
        special = word.startswith("[")
        shade = PALETTE["orange"] if special else PALETTE["black"]
        box(ax, x, 5.75, word, shade, width - 0.08, 0.5, words={"fontsize": SMALLER})
        cells(ax, x, 4.65, word)
        vector(ax, x, 3.55, PALETTE["yellow" if later else "sky"], int(later))
        vector(ax, x, 2.45, "#E6BFD6", number)
        arrow(ax, (x, 5.4), (x, 5.0), mutation_scale=12)
        arrow(ax, (x, 2.1), (x, 1.62), mutation_scale=12)
        arrow(ax, (x, 0.92), (x, 0.5), mutation_scale=12)
        edges.append((left, left + width))
        left += width + space
    end = edges[-1][1]
    segment(ax, start, edges[FIRST - 1][1], 0)
    segment(ax, edges[FIRST][0], end, 1)
    names(ax, end)
    middle = (start + end) / 2
    text = "LayerNorm: the sum of the three, brought to one scale"
    box(ax, middle, 1.27, text, PALETTE["yellow"], end - start - 0.1, 0.5, linewidth=3)
    say(ax, middle, 0.24, "one vector for each piece, into the first block", ha="center")
    return figure


PICTURES = {"gap": gap, "input": input_vectors}


def save(folder):
    """Write all pictures; the same bytes each time."""
    for name, draw in PICTURES.items():
        with plt.rc_context({"svg.hashsalt": "lesson 5"}):
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    save(Path(__file__).parent)
