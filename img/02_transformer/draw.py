"""Draw lesson 2's pictures: words that meet at once, and the whole model as blocks.

Run `python img/02_transformer/draw.py`; it writes at_once.svg and architecture.svg beside itself.
"""

from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from course_utils.plotting import PALETTE

WORDS = ["I", "arrived", "at", "the", "bank", "after", "crossing", "the", "river"]
BANK, RIVER = 4, 8
WEIGHTS = [0.02, 0.10, 0.04, 0.03, 0.18, 0.05, 0.14, 0.04, 0.40]  # of "bank"; made up
GREY = "#595959"


def box(ax, x, y, text, shade, width=1.62, height=0.66, **style):
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.04", linewidth=2
    )
    patch.set(edgecolor=shade, facecolor="white")
    patch.set(**style)
    ax.add_patch(patch)
    return ax.text(x, y, text, ha="center", va="center", fontsize=15)


def arrow(ax, start, end, shade=GREY, width=1.8, **style):
    style = {"arrowstyle": "-|>", "mutation_scale": 16, "shrinkA": 0, "shrinkB": 0} | style
    ax.add_patch(FancyArrowPatch(start, end, color=shade, linewidth=width, **style))


def clean(ax, title, width, bottom, top):
    ax.set_title(title, loc="left", fontsize=18)
    ax.set_xlim(0, width)
    ax.set_ylim(bottom, top)
    ax.set_aspect("equal")
    ax.set_axis_off()


def shade_of(index):
    return PALETTE["orange"] if index in (BANK, RIVER) else PALETTE["blue"]


def chain(ax, xs):
    for index, (x, word) in enumerate(zip(xs, WORDS, strict=True)):
        box(ax, x, 0.0, word, shade_of(index))
    for index, (left, right) in enumerate(pairwise(xs)):
        on_the_way = BANK <= index < RIVER
        start, end = (left + 0.87, 0), (right - 0.87, 0)
        arrow(ax, start, end, PALETTE["orange"] if on_the_way else GREY, 4 if on_the_way else 1.8)
        if on_the_way:
            ax.text((left + right) / 2, 0.52, f"step {index - BANK + 1}", ha="center",
                    va="bottom", fontsize=15, color=PALETTE["orange"], weight="bold")  # fmt: skip
    clean(ax, "RNN: word after word. “bank” and “river” meet after 4 steps", 21.0, -0.5, 1.05)


def all_at_once(ax, xs):
    low, high = 0.0, 2.7
    for below in xs:
        for above in xs:
            ax.plot([below, above], [low, high], color="#BBBBBB", linewidth=0.7, zorder=0)
    for below, weight in zip(xs, WEIGHTS, strict=True):
        ax.plot([below, xs[BANK]], [low, high], color=PALETTE["green"], linewidth=1 + 18 * weight,
                solid_capstyle="butt", zorder=1)  # fmt: skip
        ax.text(below, low - 0.5, f"{weight:.2f}", ha="center", va="top", fontsize=15,
                color="#006B4E", weight="bold")  # fmt: skip
    for index, (x, word) in enumerate(zip(xs, WORDS, strict=True)):
        box(ax, x, low, word, shade_of(index), zorder=2)
        box(ax, x, high, word, shade_of(index), zorder=2)
    box(ax, xs[RIVER], low - 1.42, "street", PALETTE["orange"], linestyle="--")
    ax.text(xs[RIVER] - 1.1, low - 1.42, "another word in this place, another bank:",
            ha="right", va="center", fontsize=15)  # fmt: skip
    ax.text(0.05, low - 1.42, "weights of “bank”: made up", ha="left", va="center", fontsize=15,
            color="#006B4E", style="italic")  # fmt: skip
    title = "Attention: every word looks at every word. “bank” and “river” meet after 1 step"
    clean(ax, title, 21.0, low - 1.9, high + 0.45)


def at_once():
    """The title picture: a chain of steps, and one look."""
    xs = [0.9 + 2.4 * index for index in range(len(WORDS))]
    figure, axes = plt.subplots(
        2, 1, figsize=(13.5, 5.4), layout="constrained", height_ratios=[1.55, 5.05]
    )
    chain(axes[0], xs)
    all_at_once(axes[1], xs)
    return figure


def block(ax, x, y, text, shade, width=4.4):
    return box(ax, x, y, text, PALETTE[shade], width=width, height=0.56)


def around(ax, x, low, high, side):
    """The residual connection: from below a sub-layer past it to the norm above it."""
    edge = x + side * 2.66
    ax.plot([x, edge, edge], [low, low, high], color=GREY, linewidth=1.8)
    arrow(ax, (edge, high), (x + side * 2.26, high))


def sublayers(ax, x, y, names, side):
    """Sub-layers from below, each with its residual connection and norm; gives the top."""
    for name, shade in names:
        arrow(ax, (x, y), (x, y + 0.62))
        block(ax, x, y + 0.96, name, shade)
        arrow(ax, (x, y + 1.28), (x, y + 1.5))
        block(ax, x, y + 1.84, "add & norm", "yellow")
        around(ax, x, y + 0.22, y + 1.84, side)
        y += 2.16
    return y


def frame(ax, x, low, high, side, name):
    patch = FancyBboxPatch((x - 3.0, low), 6.0, high - low, boxstyle="round,pad=0.08")
    patch.set(edgecolor="#767676", facecolor="#F3F3F3", linewidth=1.5, linestyle="--", zorder=0)
    ax.add_patch(patch)
    ax.text(x + side * 3.45, (low + high) / 2, f"{name}, L times", ha="center", va="center",
            fontsize=17, rotation=90, weight="bold")  # fmt: skip


def shape(ax, x, y, text):
    ax.text(x + 0.18, y, text, ha="left", va="center", fontsize=15, family="monospace",
            weight="bold", color=PALETTE["black"])  # fmt: skip


def bottom(ax, x, words, ids):
    """Words to vectors; gives the height at which the stack begins."""
    ax.text(x, 0.0, words, ha="center", va="center", fontsize=15)
    arrow(ax, (x, 0.25), (x, 0.85))
    shape(ax, x, 0.53, ids)
    block(ax, x, 1.19, "embedding + positions", "green")
    arrow(ax, (x, 1.51), (x, 2.3), arrowstyle="-")
    shape(ax, x, 1.85, f"{ids} D")
    return 2.3


def legend(ax, x, y):
    letters = {"B": "sentences in the batch", "S": "source words", "T": "target words",
               "D": "width of the model", "V": "words of the vocabulary",
               "L": "layers"}  # fmt: skip
    for number, (letter, meaning) in enumerate(letters.items()):
        shape(ax, x, y - 0.55 * number, letter)
        ax.text(x + 0.7, y - 0.55 * number, meaning, ha="left", va="center", fontsize=15)


def head(ax, x, y):
    """From the decoder's vectors to words."""
    for name, above in (("output layer", "B T D"), ("softmax", "B T V")):
        arrow(ax, (x, y), (x, y + 0.72))
        shape(ax, x, y + 0.4, above)
        block(ax, x, y + 1.06, name, "green")
        y += 1.38
    arrow(ax, (x, y), (x, y + 0.62))
    shape(ax, x, y + 0.3, "B T V")
    ax.text(x, y + 0.88, "my sister wrote this book <eos>", ha="center", va="center", fontsize=15)


def architecture():
    """The whole model: two stacks of blocks, with the shapes between them."""
    figure, ax = plt.subplots(figsize=(13.5, 9.3), layout="constrained")
    reader, between, writer = 3.9, 8.55, 14.5
    attention, network = "orange", ("feed-forward", "blue")
    start = bottom(ax, reader, "эту книгу написала моя сестра", "B S")
    top = sublayers(ax, reader, start, [("self-attention", attention), network], -1)
    frame(ax, reader, start - 0.08, top, -1, "encoder")
    start = bottom(ax, writer, "<bos> my sister wrote this book", "B T")
    names = [("masked self-attention", attention), ("cross-attention", attention), network]
    end = sublayers(ax, writer, start, names, 1)
    frame(ax, writer, start - 0.08, end, 1, "decoder")
    head(ax, writer, end)
    legend(ax, 0.6, end + 3.2)

    # What the encoder read stands beside all blocks of the decoder.
    ax.plot([reader, reader], [top, top + 0.85], color=GREY, linewidth=3)
    arrow(ax, (reader, top + 0.85), (between - 0.32, top + 0.85), width=3)
    shape(ax, reader, top + 0.45, "B S D")
    middle = (start + end) / 2
    memory = box(ax, between, middle, "memory", PALETTE["black"], width=0.5, height=end - start)
    memory.set_rotation(90)
    cross = start + 2.16 + 0.96
    arrow(ax, (between + 0.3, cross), (writer - 2.26, cross), width=3)
    ax.text(between + 0.5, cross + 0.12, "keys, values", ha="left", va="bottom", fontsize=15)
    ax.text(writer - 0.2, cross - 0.58, "queries", ha="right", va="center", fontsize=15)
    clean(ax, "", 18.5, -0.4, end + 4.0)
    return figure


PICTURES = {"at_once": at_once, "architecture": architecture}


def save(folder):
    """Write all pictures; the same bytes each time."""
    for name, draw in PICTURES.items():
        with plt.rc_context({"svg.hashsalt": "lesson 2"}):
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    save(Path(__file__).parent)
