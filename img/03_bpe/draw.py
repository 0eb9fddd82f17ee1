"""Draw lesson 3's title picture: what a list of words loses, and how pieces grow and write it.

Run `python img/03_bpe/draw.py`; it writes pieces.svg beside itself. The merges, their numbers and
the cuts are computed from the toy corpus when the picture is drawn.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

from course_utils.plotting import PALETTE
from course_utils.tokenizers.naive import TOY_CORPUS, merge_steps, segment

GROWN = ["mate", "cat"]  # of the list
NEW = ["mates", "cats", "meat", "team"]  # not of the list
GREY = "#595959"
DARK_ORANGE = "#A34700"
SIZE = 17
STEP = 0.78  # between letters


def box(ax, x, y, text, shade, width=None, **style):
    width = 0.3 + 0.27 * len(text) if width is None else width
    patch = FancyBboxPatch((x - width / 2, y - 0.3), width, 0.6, boxstyle="round,pad=0.04")
    patch.set(edgecolor=shade, facecolor="white", linewidth=2.2)
    patch.set(**style)
    ax.add_patch(patch)
    return ax.text(x, y, text, ha="center", va="center", fontsize=SIZE, family="monospace")


def say(ax, x, y, text, **style):
    ax.text(x, y, text, **{"ha": "left", "va": "center", "fontsize": SIZE} | style)


def arrow(ax, x, y):
    style = {"arrowstyle": "-|>", "color": GREY, "linewidth": 2, "mutation_scale": 18}
    ax.annotate("", (x + 0.7, y), (x, y), arrowprops=style)


def row(ax, x, y, pieces, shade):
    """Boxes side by side from x on; gives the end."""
    for piece in pieces:
        width = 0.3 + 0.27 * len(piece)
        box(ax, x + width / 2, y, piece, shade)
        x += width + 0.2
    return x


def grow(word, steps):
    """The nodes of a word's tree: (x, height, text, number of the merge, nodes below)."""
    level = [(STEP * k, 0, letter, 0, ()) for k, letter in enumerate(word)]
    for number, step in enumerate(steps, start=1):
        k = 0
        while k + 1 < len(level):
            left, right = level[k : k + 2]
            if (left[2], right[2]) == step.pair:
                height = max(left[1], right[1]) + 1
                middle = (left[0] + right[0]) / 2
                level[k : k + 2] = [(middle, height, left[2] + right[2], number, (left, right))]
            k += 1
    return level


def draw_node(ax, node, x, y):
    """A node, the lines to those below it, and the number of the merge on the joint."""
    place, height, text, number, below = node
    top = y + 1.12 * height
    for child in below:
        low = y + 1.12 * child[1]
        ax.plot([x + place, x + child[0]], [top - 0.3, low + 0.3], color=GREY, linewidth=2,
                zorder=0)  # fmt: skip
        draw_node(ax, child, x, y)
    box(ax, x + place, top, text, PALETTE["orange"] if number else GREY)
    if number:
        joint = {"boxstyle": "circle,pad=0.22", "facecolor": DARK_ORANGE, "edgecolor": "none"}
        say(ax, x + place, top - 0.52, str(number), ha="center", fontsize=13, weight="bold",
            color="white", bbox=joint)  # fmt: skip


def clean(ax, title, bottom, top):
    ax.set_title(title, loc="left", fontsize=19)
    ax.set_xlim(0, 20.5)
    ax.set_ylim(bottom, top)
    ax.set_aspect("equal")
    ax.set_axis_off()


def words(ax):
    """A list of words: what is not on it is lost."""
    say(ax, 0.1, 0.9, "the list")
    row(ax, 2.6, 0.9, TOY_CORPUS, PALETTE["blue"])
    say(ax, 0.1, 0.0, "new words")
    x = 2.6
    for word in NEW:
        x = row(ax, x, 0.0, [word], GREY)
        arrow(ax, x - 0.12, 0.0)
        known = word in TOY_CORPUS
        x = row(ax, x + 0.75, 0.0, [word if known else "<unk>"], PALETTE["black"]) + 0.2
    title = "A list of words cannot write a word that is not on it"
    clean(ax, title, -0.45, 1.35)


def pieces(ax):
    """A list of pieces: it grows merge by merge, and cuts the new words."""
    steps = merge_steps(TOY_CORPUS, 100)
    x, heading = 0.6, {"color": GREY, "fontsize": SIZE - 1, "style": "italic"}
    say(ax, 0.1, 4.4, "words of the text grow", **heading)
    for word in GROWN:
        for tree in grow(word, steps):
            draw_node(ax, tree, x, 0.0)
        x += STEP * len(word) + 0.7
    x += 0.5
    say(ax, x, 4.4, "the merges, in order", **heading)
    for number, step in enumerate(steps, start=1):
        left, right = step.pair
        y = 3.55 - 0.56 * (number - 1)
        say(ax, x, y, f"{number}", weight="bold", color=DARK_ORANGE)
        say(ax, x + 0.5, y, f"{left} + {right}", family="monospace")
    x += 4.8
    say(ax, x, 4.4, "new words are cut by them", **heading)
    for index, word in enumerate(NEW):
        y = 3.36 - 1.05 * index
        row(ax, x, y, [word], GREY)
        arrow(ax, x + 1.95, y)
        row(ax, x + 2.9, y, segment(word, [step.pair for step in steps]), PALETTE["green"])
    title = "A list of pieces can: all letters, then the most frequent pair joined, again and again"
    clean(ax, title, -0.45, 4.75)


def title():
    """Both lists, one above the other."""
    figure, axes = plt.subplots(
        2, 1, figsize=(13.5, 5.5), layout="constrained", height_ratios=[1.8, 5.2]
    )
    words(axes[0])
    pieces(axes[1])
    return figure


PICTURES = {"pieces": title}


def save(folder):
    """Write all pictures; the same bytes each time."""
    for name, draw in PICTURES.items():
        with plt.rc_context({"svg.hashsalt": "lesson 3"}):
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    save(Path(__file__).parent)
