"""Draw lesson 6's pictures: a picture becomes a text of patches, and how far one output sees.

Run `python img/06_vit/draw.py`; it writes patches.svg and reach.svg beside itself. The scene and
the weights of the attention are made up; the ways of the convolutions are counted.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from course_utils.plotting import PALETTE

GREY = "#595959"
SIZE = 16
COLOURS = {
    **{".": "#CDE8F8", "-": "#56B4E9", "o": "#F0E442", "#": "#009E73", "T": "#00664A"},
    **{"R": "#D55E00", "W": "#FFFFFF", "D": "#5B3A1E", "b": "#0072B2"},
}
SCENE = [
    "--------......oo",
    "------.......ooo",
    "-----.......oooo",
    "---..........ooo",
    "..............oo",
    ".....R..........",
    "....RRR.........",
    "...RRRRR.....T..",
    "..RRRRRRR...TTT.",
    "...WWWWW...TTTTT",
    "...WbWDW...TTTTT",
    "###WWWDW####TTT#",
    "#####DD######D##",
    "####DD#######D##",
    "###DD###########",
    "##DD############",
]
PATCH = 4  # pixels
BOARD, MIDDLE, OTHER = 11, (7, 3), (1, 9)  # pixels along a side; row and column


def say(ax, x, y, text, **style):
    ax.text(x, y, text, **{"ha": "center", "va": "center", "fontsize": SIZE} | style)


def box(ax, x, y, text, width, height, shade):
    patch = FancyBboxPatch((x - width / 2, y - height / 2), width, height)
    patch.set_boxstyle("round,pad=0.05")
    patch.set(edgecolor="black", facecolor=shade, linewidth=2)
    ax.add_patch(patch)
    say(ax, x, y, text)


def arrow(ax, start, end, width=2.0):
    style = {"arrowstyle": "-|>", "mutation_scale": 16, "shrinkA": 0, "shrinkB": 0}
    ax.add_patch(FancyArrowPatch(start, end, color=GREY, linewidth=width, **style))


def canvas(width, height, inches):
    """A figure without margins; its units are square."""
    figure = plt.figure(figsize=(inches, inches * height / width))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set_xlim(0, width)
    ax.set_ylim(0, height)
    ax.set_axis_off()
    return figure, ax


def pixels(ax, rows, left, top, side):
    """Small squares, row by row; `side` is that of one."""
    for number, row in enumerate(rows):
        for place, sign in enumerate(row):
            corner = left + place * side, top - (number + 1) * side
            shade = COLOURS[sign]
            square = Rectangle(corner, side, side, facecolor=shade, edgecolor=shade, linewidth=0.3)
            ax.add_patch(square)


def frame(ax, left, top, side, shade="black", width=2.0):
    square = Rectangle((left, top - side), side, side, fill=False, edgecolor=shade)
    square.set_linewidth(width)
    ax.add_patch(square)


def cut():
    """The patches of the scene, row by row: lists of 4 strings."""
    steps = range(0, len(SCENE), PATCH)
    return [[row[x : x + PATCH] for row in SCENE[y : y + PATCH]] for y in steps for x in steps]


def vector(ax, x, top, numbers, shade):
    """A vector: made-up numbers, as shades."""
    width, height = 0.44, 0.34
    for number, value in enumerate(numbers):
        corner = x - width / 2, top - (number + 1) * height
        ax.add_patch(Rectangle(corner, width, height, facecolor=shade, alpha=value, linewidth=0))
    whole = width, len(numbers) * height
    border = Rectangle((x - width / 2, top - whole[1]), *whole, fill=False, linewidth=1.5)
    ax.add_patch(border)


def numbers_of(patch):
    """Each patch has its own; patches that look alike have the same."""
    seed = sum(ord(sign) * (k + 1) for k, sign in enumerate("".join(patch)))
    return [seed * factor % 97 / 97 for factor in (17, 29, 41, 53)]


def whole_picture(ax, left, top, side):
    """The scene with its grid; the patches are numbered."""
    pixels(ax, SCENE, left, top, side / len(SCENE))
    step = side * PATCH / len(SCENE)
    for k in range(16):
        x, y = left + k % 4 * step, top - k // 4 * step
        frame(ax, x, y, step, "white", 5)
        style = {"fontsize": 13, "weight": "bold"}
        label = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
        say(ax, x + 0.32, y - 0.3, str(k + 1), bbox=label, **style)
    say(ax, left, top + 0.5, "16 x 16 pixels, patches of 4 x 4", ha="left")


def patches():
    """The title picture: patches in a row, a vector for each, the class token in front."""
    figure, ax = canvas(24, 10, 14)
    whole_picture(ax, 0.3, 9.0, 4.9)
    xs = [6.9 + 0.98 * number for number in range(17)]
    top, middle = 9.0, (xs[1] + xs[-1]) / 2
    say(ax, middle, top + 0.5, "cut, and laid in a row")
    for number, (x, patch) in enumerate(zip(xs[1:], cut(), strict=True)):
        pixels(ax, patch, x - 0.41, top, 0.82 / PATCH)
        frame(ax, x - 0.41, top, 0.82, GREY, 1.2)
        say(ax, x, top - 1.08, str(number + 1), fontsize=13)
        arrow(ax, (x, top - 1.35), (x, top - 1.78))
        arrow(ax, (x, top - 2.6), (x, top - 3.03))
        vector(ax, x, top - 3.1, numbers_of(patch), PALETTE["blue"])
    text = "one linear layer, the same for every patch: 4 x 4 x 3 numbers become a vector"
    box(ax, middle, top - 2.19, text, xs[-1] - xs[1] + 0.8, 0.62, "#DCEBF5")
    vector(ax, xs[0], top - 3.1, (0.9, 0.4, 0.75, 0.55), PALETTE["orange"])
    say(
        ax, xs[0] - 0.2, top - 2.35, "class\ntoken", color="#A84A00", weight="bold", linespacing=1.1
    )
    below(ax, xs, top - 4.75)
    return figure


def below(ax, xs, y):
    """Positions are added, the blocks read all vectors, the class token answers."""
    for number, x in enumerate(xs):
        say(ax, x, y - 0.05, "+", weight="bold", fontsize=SIZE + 2)
        square = Rectangle((x - 0.36, y - 0.88), 0.72, 0.6, facecolor="#F3DFEA", linewidth=1.2)
        square.set_edgecolor("black")
        ax.add_patch(square)
        say(ax, x, y - 0.59, str(number), fontsize=14)
        arrow(ax, (x, y - 0.95), (x, y - 1.4))
    say(ax, xs[0] - 0.6, y - 0.58, "position's vector", ha="right")
    width = xs[-1] - xs[0] + 0.8
    text = "blocks: every vector looks at every other one"
    box(ax, (xs[0] + xs[-1]) / 2, y - 1.85, text, width, 0.72, "#FBE3B5")
    arrow(ax, (xs[0], y - 2.3), (xs[0], y - 2.85), 3)
    say(
        ax, xs[0] - 0.4, y - 3.3, "the class token's vector says: a house", ha="left", weight="bold"
    )


def reached(layers):
    """Ways from each pixel to the output through 3 x 3 convolutions, the most frequent is 1."""
    ways = np.zeros((BOARD, BOARD))
    ways[MIDDLE] = 1
    for _ in range(layers):
        wide = np.pad(ways, 1)
        ways = sum(wide[y : y + BOARD, x : x + BOARD] for y in range(3) for x in range(3))
    return ways / ways.max()


def attended():
    """Made-up attention: it looks everywhere a little, and at both stars."""
    row, column = np.indices((BOARD, BOARD))
    weights = 0.10 + 0.08 * ((3 * row + 5 * column) % 7) / 6
    weights[MIDDLE], weights[OTHER] = 0.85, 1.0
    return weights


def board(ax, left, top, side, weights, shade):
    """A picture of pixels; the darker, the more gets into the output."""
    step = side / BOARD
    for (row, column), weight in np.ndenumerate(weights):
        corner = left + column * step, top - (row + 1) * step
        ax.add_patch(Rectangle(corner, step, step, facecolor="white", edgecolor="#B0B0B0"))
        if weight:
            alpha = 0.18 + 0.72 * weight
            cell = Rectangle(corner, step, step, facecolor=shade, alpha=alpha, edgecolor="white")
            ax.add_patch(cell)
    for row, column in (MIDDLE, OTHER):
        x, y = left + (column + 0.5) * step, top - (row + 0.5) * step
        ax.plot(x, y, "*", color="black", markersize=17, markeredgecolor="white")
    corner = left + MIDDLE[1] * step, top - MIDDLE[0] * step
    frame(ax, *corner, step, "black", 4)


def span(ax, left, right, y, text):
    """A line over several boards."""
    ax.plot([left, left, right, right], [y - 0.2, y, y, y - 0.2], color=GREY, linewidth=2)
    say(ax, (left + right) / 2, y + 0.4, text, weight="bold", fontsize=SIZE + 2)


def reach():
    """What one output sees: convolutions layer by layer, attention at once."""
    figure, ax = canvas(24, 9.3, 14)
    side, top = 5.1, 7.2
    lefts = [0.3, 6.0, 11.7, 18.5]
    span(ax, lefts[0], lefts[2] + side, 8.2, "3 x 3 convolution: fixed weights, neighbours only")
    span(ax, lefts[3], lefts[3] + side, 8.2, "self-attention")
    for layers, left in enumerate(lefts[:3], 1):
        board(ax, left, top, side, reached(layers), PALETTE["blue"])
        name = f"after {layers} layer{'s' if layers > 1 else ''}"
        say(ax, left + side / 2, top + 0.42, name)
        seen = (2 * layers + 1) ** 2
        say(ax, left + side / 2, top - side - 0.45, f"sees {seen} of {BOARD**2} pixels")
    board(ax, lefts[3], top, side, attended(), PALETTE["orange"])
    say(ax, lefts[3] + side / 2, top + 0.42, "after 1 layer")
    say(ax, lefts[3] + side / 2, top - side - 0.45, f"sees all {BOARD**2} pixels")
    say(ax, lefts[3] + side / 2, top - side - 1.05, "weights from the content")
    far = max(abs(a - b) for a, b in zip(MIDDLE, OTHER, strict=True))
    left = {"ha": "left"}
    text = f"Is there a second star? The convolution at the frame knows after {far} layers."
    say(ax, 0.3, 0.98, text, weight="bold", **left)
    text = (
        "Near pixels belong together: a convolution is built for that. Attention has to learn it."
    )
    say(ax, 0.3, 0.38, text, **left)
    return figure


PICTURES = {"patches": patches, "reach": reach}


def save(folder):
    """Write all pictures; the same bytes each time."""
    for name, draw in PICTURES.items():
        with plt.rc_context({"svg.hashsalt": "lesson 6"}):
            draw().savefig(folder / f"{name}.svg", metadata={"Date": None})


if __name__ == "__main__":
    save(Path(__file__).parent)
