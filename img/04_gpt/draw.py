"""Draw lesson 4's pictures: a text that grows token by token, and GPT-2 in seven steps.

Run `python img/04_gpt/draw.py`; it writes next_token.svg and architecture.svg beside itself. The
probabilities and the two texts are made up; the ids are GPT-2's, and its parameters are counted.
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
# The seven steps from below: name, how, colour; and the shape of what each one gives.
STEPS = [
    ("tokenizer", " ".join(map(str, IDS)), "black"),
    ("vectors", "for each id its row of W", "green"),
    ("+ positions", f"rows of a table, {SMALL.block_size:,} x D", "pink"),
    ("L blocks", "attention, then feed-forward", "orange"),
    ("last layer norm", "all vectors to one scale", "yellow"),
    ("logits", "product with every row of W", "green"),
    ("softmax of the last row", "the next token's probabilities", "black"),
]
SHAPES = ["T", "T D", "T D", "T D", "T D", "T V", "V"]
HEIGHTS = [1.55 + 1.75 * number for number in range(len(STEPS))]
COLUMN, OPENED = 8.4, 18.4
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
    step(ax, 0.4, 8.3, 1)
    say(ax, 0.95, 8.3, "read the text")
    end = row(ax, 4.4, 8.3, TEXT, PALETTE["black"])
    box(ax, end + 0.6, 8.3, "?", PALETTE["green"], width=1.2, height=0.62, linestyle="--")
    ax.plot([4.4, end - 0.22], [7.78, 7.78], color=GREY, linewidth=2)
    ax.plot([4.6, 4.6, 1.6], [7.78, 7.2, 7.2], color=GREY, linewidth=2)
    arrow(ax, (1.6, 7.2), (1.6, 5.85))
    box(ax, 1.6, 5.3, "model", PALETTE["black"], width=2.3, height=1.0, linewidth=2.5)
    arrow(ax, (2.9, 5.3), (3.8, 5.3))

    step(ax, 6.75, 6.75, 2)
    say(ax, 7.3, 6.75, "guess: each token's probability")
    say(ax, 7.3, 6.2, "(made-up numbers)", style="italic", color=GREY)
    distribution(ax, 4.7, 3.6)
    arrow(ax, (12.3, 4.9), (13.2, 4.9))

    step(ax, 13.95, 6.75, 3)
    say(ax, 14.5, 6.75, "choose one: a rule outside the model")
    box(ax, 14.4, 5.5, GREEDY, PALETTE["blue"], width=1.5, linewidth=3)
    say(ax, 15.5, 5.5, "greedy: the tallest bar")
    box(ax, 14.4, 4.2, DRAWN, PALETTE["orange"], width=1.5, linewidth=3, linestyle="--")
    say(ax, 15.5, 4.47, "drawn: by chance,")
    say(ax, 15.5, 3.97, "as often as its bar says")

    right = 22.6
    ax.plot([21.0, right, right], [4.2, 4.2, 8.3], color=GREY, linewidth=2)
    ax.plot([21.0, right], [5.5, 5.5], color=GREY, linewidth=2)
    arrow(ax, (right, 8.3), (end + 1.3, 8.3))
    step(ax, 14.5, 8.85, 4)
    say(ax, 15.05, 8.85, "put it at the end; again from 1")


def texts(ax):
    """What comes out after many times around, for each rule of choice."""
    say(ax, 0.0, 2.3, "Around again and again: one beginning, two rules, two texts")
    greedy, drawn = [GREEDY, *GREEDY_TEXT], [DRAWN, *DRAWN_TEXT]
    for y, name, words, shade, line in (
        (1.35, "greedy", greedy, "blue", "-"),
        (0.3, "drawn", drawn, "orange", "--"),
    ):
        say(ax, 0.0, y, name, weight="bold")
        start = row(ax, 2.25, y, TEXT, PALETTE["black"])
        row(ax, start, y, words, PALETTE[shade], linestyle=line, linewidth=3)


def next_token():
    """The title picture: the loop, and what two rules of choice make of it."""
    figure, ax = plt.subplots(figsize=(13.5, 5.9), layout="constrained")
    loop(ax)
    texts(ax)
    clean(ax, 23, -0.2, 9.3)
    return figure


def stage(ax, y, number, name, detail, shade):
    """A numbered box of the column: what happens, and how."""
    box(ax, COLUMN, y, "", PALETTE[shade], width=6.9, height=1.1)
    say(ax, COLUMN + 0.1, y + 0.25, name, ha="center", weight="bold")
    say(ax, COLUMN + 0.1, y - 0.27, detail, ha="center")
    step(ax, COLUMN - 3.45, y, number)


def rise(ax, x, low, high, shape):
    """An arrow up, with the shape of what goes along it."""
    arrow(ax, (x, low), (x, high))
    say(ax, x + 0.22, (low + high) / 2 - 0.03, shape, family="monospace", weight="bold")


def column(ax):
    """The seven steps from below."""
    say(ax, COLUMN, 0.0, f"“{' '.join(TEXT)}”", ha="center")
    arrow(ax, (COLUMN, 0.3), (COLUMN, HEIGHTS[0] - 0.62))
    for number, (y, (name, detail, shade)) in enumerate(zip(HEIGHTS, STEPS, strict=True), start=1):
        stage(ax, y, number, name, detail, shade)
    for low, high, shape in zip(HEIGHTS, HEIGHTS[1:], SHAPES, strict=False):
        rise(ax, COLUMN, low + 0.62, high - 0.62, shape)
    rise(ax, COLUMN, HEIGHTS[-1] + 0.62, HEIGHTS[-1] + 1.35, SHAPES[-1])
    guess = ", ".join(f"{word} {share:.2f}" for word, share in [*NEXT.items()][:3])
    say(ax, COLUMN, HEIGHTS[-1] + 1.7, f"{guess}, ... (made up)", ha="center")


def token_table(ax):
    """W, one thing, at the two steps that use it."""
    low, high = HEIGHTS[1], HEIGHTS[5]
    middle, tall = (low + high) / 2, high - low + 1.1
    box(ax, 1.75, middle, "", PALETTE["green"], width=3.1, height=tall, linewidth=3.5)
    say(ax, 1.75, middle + 1.5, "table W", ha="center", weight="bold")
    say(ax, 1.75, middle + 0.9, "V x D", ha="center", family="monospace", weight="bold")
    say(ax, 1.75, middle - 0.6, "one vector\nper token,\nused twice", ha="center", linespacing=1.5)
    for y in (low, high):
        arrow(ax, (3.4, y), (COLUMN - 3.85, y), PALETTE["green"], 3.5)


def sublayer(ax, x, y, name, detail, shade):
    """Norm and sub-layer from below, and the residual past both; gives the top."""
    arrow(ax, (x, y), (x, y + 0.85))
    box(ax, x, y + 1.18, "layer norm", PALETTE["yellow"], width=4.9, height=0.6)
    arrow(ax, (x, y + 1.52), (x, y + 1.87))
    box(ax, x, y + 2.42, "", PALETTE[shade], width=4.9, height=1.05)
    say(ax, x, y + 2.67, name, ha="center", weight="bold")
    say(ax, x, y + 2.15, detail, ha="center")
    arrow(ax, (x, y + 2.98), (x, y + 3.33))
    ax.add_patch(Circle((x, y + 3.6), 0.27, facecolor="white", edgecolor=GREY, linewidth=2))
    say(ax, x, y + 3.58, "+", ha="center", weight="bold")
    edge = x + 3.0
    ax.plot([x, edge, edge], [y + 0.35, y + 0.35, y + 3.6], color=GREY, linewidth=2)
    arrow(ax, (edge, y + 3.6), (x + 0.28, y + 3.6))
    return y + 3.87


def inside(ax, x, low):
    """One block, opened: its two sub-layers; gives the frame's lower and upper edge."""
    high = low + 8.5
    frame = FancyBboxPatch((x - 3.6, low), 7.2, high - low, boxstyle="round,pad=0.08")
    frame.set(edgecolor="#767676", facecolor="#F3F3F3", linewidth=1.5, linestyle="--", zorder=0)
    ax.add_patch(frame)
    say(ax, x - 3.4, high - 0.4, "one block", weight="bold")
    ax.plot([x, x], [low - 0.75, low], color=GREY, linewidth=2)
    top = sublayer(ax, x, low, "masked self-attention", "never looks ahead", "orange")
    top = sublayer(ax, x, top, "feed-forward", "each token alone", "blue")
    arrow(ax, (x, top), (x, high + 0.75))
    for y in (low - 0.48, high + 0.42):
        say(ax, x + 0.22, y, "T D", family="monospace", weight="bold")
    return low - 0.08, high + 0.08


def sizes(ax, x, y):
    """The letters, and GPT-2 small's numbers."""
    c = SMALL
    say(ax, x, y, "GPT-2 small", weight="bold")
    rows = {
        "T": f"tokens of the text, up to {c.block_size:,}",
        "V": f"{c.vocab_size:,} tokens known",
        "D": f"{c.d_model} numbers per token",
        "L": f"{c.num_layers} blocks",
    }
    for number, (letter, meaning) in enumerate(rows.items(), start=1):
        say(ax, x, y - 0.56 * number, letter, family="monospace", weight="bold")
        say(ax, x + 0.6, y - 0.56 * number, meaning)
    say(ax, x, y - 0.56 * 5, f"{c.parameter_count():,} parameters")


def architecture():
    """The whole model in seven steps, and one of its blocks opened."""
    figure, ax = plt.subplots(figsize=(13.5, 9.3), layout="constrained")
    token_table(ax)
    column(ax)
    edges = inside(ax, OPENED, 1.25)
    for edge, side in zip(edges, (-0.6, 0.6), strict=True):
        ends = [COLUMN + 3.5, OPENED - 3.7], [HEIGHTS[3] + side, edge]
        ax.plot(*ends, color="#767676", linewidth=1.5, linestyle="--")
    sizes(ax, OPENED - 3.6, HEIGHTS[-1] + 1.7)
    clean(ax, OPENED + 3.8, -0.4, HEIGHTS[-1] + 2.1)
    return figure


PICTURES = {"next_token": next_token, "architecture": architecture}


def save(folder):
    """Write all pictures; the same bytes each time."""
    for name, draw in PICTURES.items():
        with plt.rc_context({"svg.hashsalt": "lesson 4"}):
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    save(Path(__file__).parent)
