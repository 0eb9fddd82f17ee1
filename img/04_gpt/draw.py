"""Draw lesson 4's pictures: a text that grows token by token, and GPT-2 in seven steps.

Run `python img/04_gpt/draw.py`; it writes next_token.svg and architecture.svg beside itself. The
probabilities are made up; the ids are GPT-2's, and its sizes are computed.
"""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from course_utils.models.gpt import GPTConfig
from course_utils.plotting import PALETTE

TEXT = ["The", "cat", "sat", "on", "the"]
IDS = [464, 3797, 3332, 319, 262]  # of GPT-2, each word with the space before it
NEXT = {"mat": 0.34, "sofa": 0.22, "roof": 0.16, "table": 0.11, "moon": 0.03, "others": 0.14}
GREEDY, DRAWN = "mat", "roof"
GREEDY_TEXT = [".", "The", "cat", "sat", "on", "the", "mat", "."]
DRAWN_TEXT = ["and", "looked", "for", "the", "moon", "."]
SMALL = GPTConfig(vocab_size=50257, block_size=1024, num_layers=12, num_heads=12, d_model=768)
GREY = "#595959"
SIZE = 16


def box(ax, x, y, text, shade, width=4.4, height=0.66, **style):
    patch = FancyBboxPatch((x - width / 2, y - height / 2), width, height)
    patch.set_boxstyle("round,pad=0.04")
    patch.set(edgecolor=shade, facecolor="white", linewidth=2)
    patch.set(**style)
    ax.add_patch(patch)
    say(ax, x, y, text, ha="center")


def say(ax, x, y, text, **style):
    ax.text(x, y, text, **{"ha": "left", "va": "center", "fontsize": SIZE} | style)


def arrow(ax, start, end, shade=GREY, width=2.0, **style):
    style = {"arrowstyle": "-|>", "mutation_scale": 18, "shrinkA": 0, "shrinkB": 0} | style
    ax.add_patch(FancyArrowPatch(start, end, color=shade, linewidth=width, **style))


def step(ax, x, y, number):
    """A step's number in a disc."""
    ax.add_patch(Circle((x, y), 0.33, facecolor=PALETTE["black"], edgecolor="none", zorder=3))
    say(ax, x, y - 0.02, str(number), ha="center", color="white", weight="bold", zorder=4)


def clean(ax, width, bottom, top):
    ax.set_xlim(0, width)
    ax.set_ylim(bottom, top)
    ax.set_aspect("equal")
    ax.set_axis_off()


def row(ax, x, y, words, shade, **style):
    """Tokens side by side from x on; gives the end."""
    for word in words:
        width = 0.55 + 0.25 * len(word)
        box(ax, x + width / 2, y, word, shade, width=width, height=0.62, **style)
        x += width + 0.22
    return x


def distribution(ax, x, y):
    """A bar for each token that may come next; the two that are chosen stand out."""
    looks = {GREEDY: ("blue", ""), DRAWN: ("orange", "//")}
    for number, (word, probability) in enumerate(NEXT.items()):
        shade, hatch = looks.get(word, (None, ""))
        face, place = PALETTE[shade] if shade else "#BDBDBD", x + 1.36 * number
        ax.bar(place, 8.2 * probability, 0.95, bottom=y, color=face, hatch=hatch, edgecolor="white")
        say(ax, place, y + 8.2 * probability + 0.3, f"{probability:.2f}", ha="center")
        say(ax, place, y - 0.36, word, ha="center", weight="bold" if shade else "normal")
    ax.plot([x - 0.6, x + 1.36 * (len(NEXT) - 1) + 0.6], [y, y], color=GREY, linewidth=1.5)


def loop(ax):
    """Read, guess, choose, put at the end: one way around."""
    step(ax, 0.4, 8.2, 1)
    say(ax, 0.95, 8.2, "read the text")
    end = row(ax, 4.4, 8.2, TEXT, PALETTE["black"])
    box(ax, end + 0.8, 8.2, "?", PALETTE["green"], width=1.6, height=0.62, linestyle="--")
    ax.plot([4.4, end - 0.22], [7.68, 7.68], color=GREY, linewidth=2)
    ax.plot([4.6, 4.6, 1.6], [7.68, 7.0, 7.0], color=GREY, linewidth=2)
    arrow(ax, (1.6, 7.0), (1.6, 5.75))
    box(ax, 1.6, 5.2, "model", PALETTE["black"], width=2.3, height=1.0, linewidth=2.5)
    arrow(ax, (2.9, 5.2), (3.75, 5.2))

    step(ax, 6.75, 6.35, 2)
    say(ax, 7.3, 6.35, "guess: each token's probability")
    say(ax, 7.3, 5.8, "(made-up numbers)", style="italic", color=GREY)
    distribution(ax, 4.7, 3.1)
    arrow(ax, (12.5, 4.5), (13.35, 4.5))

    step(ax, 14.0, 6.35, 3)
    say(ax, 14.55, 6.35, "choose one: a rule outside the model", fontsize=SIZE)
    box(ax, 14.9, 5.0, GREEDY, PALETTE["blue"], width=1.6, linewidth=3)
    say(ax, 16.05, 5.0, "greedy: the tallest bar")
    box(ax, 14.9, 3.7, DRAWN, PALETTE["orange"], width=1.6, linewidth=3, linestyle="--")
    say(ax, 16.05, 3.86, "drawn: by chance,")
    say(ax, 16.05, 3.36, "as often as the bar says")


def next_token():
    """The title picture: the loop, and what two rules of choice make of it."""
    figure, ax = plt.subplots(figsize=(13.5, 6.6), layout="constrained")
    loop(ax)
    clean(ax, 22.5, -0.4, 8.8)
    return figure


PICTURES = {"next_token": next_token}


def save(folder):
    """Write all pictures; the same bytes each time."""
    for name, draw in PICTURES.items():
        with plt.rc_context({"svg.hashsalt": "lesson 4"}):
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    save(Path(__file__).parent)
