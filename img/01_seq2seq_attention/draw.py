"""Draw lesson 1's picture: one vector for a sentence, against a look at every word.

Run `python img/01_seq2seq_attention/draw.py`; it writes bottleneck.svg beside itself.
"""

from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from course_utils.plotting import PALETTE

SOURCE = ["эту", "книгу", "написала", "моя", "сестра"]
GLOSS = ["this", "book", "wrote", "my", "sister"]
TARGET = ["my", "sister", "wrote", "this", "book"]
WEIGHTS = [0.04, 0.06, 0.08, 0.12, 0.7]  # drawn for the step that writes "sister"


def box(ax, x, y, text, shade, width=1.62, height=0.66):
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0.04", linewidth=2
    )
    patch.set(edgecolor=shade, facecolor="white")
    ax.add_patch(patch)
    ax.text(x, y, text, ha="center", va="center", fontsize=14.5)


def arrow(ax, start, end, shade="#444444", width=1.8, bend=0.0):
    style = {"arrowstyle": "-|>", "mutation_scale": 16, "connectionstyle": f"arc3,rad={bend}"}
    ax.add_patch(FancyArrowPatch(start, end, color=shade, linewidth=width, **style))


def row(ax, words, xs, y, shade):
    for x, word in zip(xs, words, strict=True):
        box(ax, x, y, word, shade)
    for left, right in pairwise(xs):
        arrow(ax, (left + 0.87, y), (right - 0.87, y))


def panel(ax, title, attention):
    reader, writer = [0.9 + 2.05 * i for i in range(5)], [12.5 + 2.05 * i for i in range(5)]
    row(ax, SOURCE, reader, 0.0, PALETTE["blue"])
    row(ax, TARGET, writer, 0.0, PALETTE["orange"])
    for x, word in zip(reader, GLOSS, strict=True):
        ax.text(
            x, -0.62, word, ha="center", va="center", fontsize=13, style="italic", color="#444444"
        )
    arrow(ax, (reader[-1] + 0.87, 0), (writer[0] - 0.87, 0))
    if attention:
        for x, weight in zip(reader, WEIGHTS, strict=True):
            arrow(ax, (x, 0.4), (writer[1], 0.4), PALETTE["green"], 0.8 + 7 * weight, bend=-0.28)
            ax.text(x - 0.02, 0.62, f"{weight:.2f}", ha="right", va="bottom", fontsize=14,
                    color=PALETTE["green"], weight="bold")  # fmt: skip
    else:
        middle = (reader[-1] + writer[0]) / 2
        box(ax, middle, 0.0, "one\nvector", "black", width=1.15, height=1.0)
    ax.set_title(title, loc="left", fontsize=17)
    ax.set_xlim(0, 21.6)
    ax.set_ylim(-1.0, 2.95 if attention else 0.75)
    ax.set_aspect("equal")
    ax.set_axis_off()


def make():
    """The figure."""
    plt.rcParams["svg.hashsalt"] = "lesson 1"
    figure, axes = plt.subplots(
        2, 1, figsize=(13.5, 4.6), layout="constrained", height_ratios=[1.75, 3.95]
    )
    panel(axes[0], "Without attention: all that was read has to fit into one vector", False)
    panel(axes[1], "With attention: each written word looks at every word that was read", True)
    return figure


if __name__ == "__main__":
    make().savefig(Path(__file__).with_name("bottleneck.svg"), metadata={"Date": None})
