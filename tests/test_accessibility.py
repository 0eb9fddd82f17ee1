"""The course for readers who see little, see other colours, hear the page, or use no mouse.

Colours and sizes are computed, not judged by eye. Contrast and its limits: WCAG 2.2, 1.4.3 and
1.4.11. Colour blindness: Machado, Oliveira and Fernandes (2009), "A Physiologically-based Model
for Simulation of Color Vision Deficiency", full strength. Pictures in notebooks have words of
their own: see tools/lint.py.
"""

from __future__ import annotations

import ast
import base64
import importlib.util
import itertools
import json
import re
from io import BytesIO
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy
import pytest
import torch
from conftest import ROOT
from helpers import shake
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from PIL import Image

from course_utils import explorers, plotting
from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.vit import ViT, ViTConfig
from course_utils.tokenizers import WORDPIECE_SPECIALS, WordPieceTokenizer

TEXT, LARGE_TEXT, LINE = 4.5, 3.0, 3.0  # least contrast
LARGE, LARGE_BOLD = 18, 14  # points: from here on text is large
CLEAR = 15  # CIE Lab; from about 2.3 on two colours beside each other can be told apart


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


# Words for each picture.

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md"))]
PAGES += sorted(ROOT.glob("data/**/*.md"))


def bare_pictures(text: str) -> list[str]:
    """Pictures of a Markdown page that say nothing to somebody who does not see them."""
    text = re.sub(r"`[^`\n]+`", "", text)
    bare = re.findall(r"!\[\s*\]\([^)]*\)", text)
    tags = re.findall(r"<img\b[^>]*>", text)
    bare += [tag for tag in tags if not re.search(r"\balt\s*=\s*[\"']\s*[^\s\"']", tag)]
    blocks = re.findall(r"^(`{3,}|:{3,})\{(image|figure)\}(.*?)^\1", text, re.M | re.S)
    return bare + [block for *_, block in blocks if not re.search(r"^:alt: \S", block, re.M)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_has_words_for_each_picture(page):
    assert bare_pictures(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text", ["![](a.png)", "<img src='a'>", "<img alt=''>", "```{figure} a.png\n:width: 3\n```"]
)
def test_page_without_words_for_a_picture_is_noticed(text):
    assert len(bare_pictures(f"![a line](a.png)\n{text}\n")) == 1
    assert bare_pictures("`![](a.png)` <img alt='x'>\n```{figure} a.png\n:alt: x\n```\n") == []


# Colours.


def linear(colour):
    """Linear RGB of a colour of the screen."""
    parts = numpy.array(to_rgb(colour))
    return numpy.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(one, two):
    """Of two colours: 1 for the same, 21 for black and white."""
    dark, light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, two))
    return (light + 0.05) / (dark + 0.05)


SEEN = {
    "normal": numpy.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
TO_XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]


def lab(colour, eyes):
    """CIE Lab (white: D65) of a colour as these eyes see it."""
    seen = numpy.clip(numpy.array(SEEN[eyes]) @ linear(colour), 0, 1)
    xyz = numpy.array(TO_XYZ) @ seen / [0.95047, 1.0, 1.08883]
    x, y, z = numpy.where(xyz > 216 / 24389, numpy.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return numpy.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def closest(colours, eyes):
    """The two colours that look most alike: their distance, and which they are."""
    pairs = itertools.combinations(colours, 2)
    return min((numpy.linalg.norm(lab(a, eyes) - lab(b, eyes)), a, b) for a, b in pairs)


def test_contrast_and_lab_of_known_colours():
    assert contrast("white", "black") == pytest.approx(21)
    assert contrast("#767676", "white") == pytest.approx(4.54, abs=0.01)
    assert lab("#ff0000", "normal") == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    # A grey is the same for all eyes; red and green are not.
    for eyes in SEEN:
        assert lab("#808080", eyes) == pytest.approx(lab("#808080", "normal"), abs=0.1)
    apart = {eyes: closest(["#a05a00", "#4a7d00"], eyes)[0] for eyes in SEEN}
    assert apart["normal"] > 2 * CLEAR > CLEAR > apart["deuteranopia"]


@pytest.mark.parametrize("eyes", SEEN)
def test_palette_colours_differ_for_all_eyes(eyes):
    distance, one, other = closest(plotting.PALETTE.values(), eyes)
    assert distance >= CLEAR, (one, other)


@pytest.mark.parametrize("eyes", SEEN)
def test_heat_map_is_lighter_where_more_is_for_all_eyes_and_in_grey(eyes):
    shades = plt.get_cmap("cividis")(numpy.linspace(0, 1, 33))[:, :3]
    lightness = [lab(shade, eyes)[0] for shade in shades]
    assert all(a < b for a, b in itertools.pairwise(lightness))
    assert lightness[-1] - lightness[0] > 70


def test_series_differ_without_colour_too():
    """In grey the palette's first four are nearly the same."""
    points = ([1, 2], [1, 2])
    ax = plotting.curves({str(k): points for k in range(7)}, x_label="x", y_label="y")
    assert len({line.get_marker() for line in ax.lines}) == 7
    ax = plotting.bars({str(k): {"a": 1.0} for k in range(5)}, y_label="y")
    assert len({bar.get_hatch() for bar in ax.patches}) == 5


def test_first_four_and_black_stand_out_as_lines():
    """As sky and yellow do not: they are areas with an edge, or the fifth and sixth series."""
    for name in ("blue", "orange", "green", "pink", "black"):
        assert contrast(plotting.PALETTE[name], "white") >= LINE, name


def faint_texts(figure) -> list[str]:
    """Texts of a figure that stand out too little from what is behind them."""
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    figure.canvas.draw()
    places = [text.get_window_extent() for text in texts]
    behind = figure.canvas
    for text in texts:
        text.set_alpha(0.0)  # its own box stays
    behind.draw()
    pixels = numpy.asarray(behind.buffer_rgba())[::-1, :, :3] / 255
    wrong = []
    for text, place in zip(texts, places, strict=True):
        left, low, right, high = (round(edge) for edge in place.extents)
        area = pixels[max(0, low) : high, max(0, left) : right].reshape(-1, 3)
        if len(area):
            size, weight = text.get_fontsize(), text.get_fontweight()
            large = size >= (LARGE_BOLD if weight == "bold" else LARGE)
            found = contrast(text.get_color(), numpy.median(area, axis=0))
            if found < (LARGE_TEXT if large else TEXT):
                wrong.append(f"{text.get_text()}: {found:.2f}")
    return wrong


def a_tree():
    chances = {("a",): 0.6, ("b",): 0.4, ("a", "c"): 1.0, ("b", "d"): 0.7, ("b", "e"): 0.3}
    return plotting.tree(chances, highlight={"greedy": ["a", "c"], "beam": ["b", "d"]})


DRAWN = {
    "tree": a_tree,
    "bars": lambda: plotting.bars({"a": {"x": 1.0}, "b": {"x": 2.0}}, y_label="y", title="t"),
    "curves": lambda: plotting.curves({"a": ([1], [1]), "b": ([1], [2])}, x_label="x", y_label="y"),
    "heatmap": lambda: plotting.heatmap(torch.eye(2), columns="ab", rows="cd", numbers=True),
    "loss_curve": lambda: plotting.loss_curve([2.0, 1.0], [(1, 1.5)]),
}


@pytest.mark.parametrize("name", DRAWN)
def test_texts_of_drawings_stand_out(name):
    assert faint_texts(DRAWN[name]().figure) == []


def test_faint_text_is_noticed():
    ax = plotting.new_axes()
    ax.text(0.1, 0.5, "grey", color="#999999")
    ax.text(0.5, 0.5, "bold", color=plotting.PALETTE["green"], weight="bold", fontsize=14)
    ax.text(0.8, 0.5, "on blue", backgroundcolor=plotting.PALETTE["blue"])
    assert [line.split(":")[0] for line in faint_texts(ax.figure)] == ["grey", "on blue"]


@pytest.mark.parametrize("smallest", [0.0, -1.0])
def test_numbers_in_heat_maps_stand_out(smallest):
    values = torch.linspace(smallest, 1, 41)[None]
    ax = plotting.heatmap(
        values, columns=[*map(str, range(41))], rows=["r"], smallest=smallest, numbers=True
    )
    shades = ax.images[0].to_rgba(values.numpy())[0, :, :3]
    found = [contrast(t.get_color(), shade) for t, shade in zip(ax.texts, shades, strict=True)]
    assert min(found) >= TEXT


def pictures():
    """The lessons' drawings: place and function of each."""
    for path in sorted(ROOT.glob("img/*/draw.py")):
        spec = importlib.util.spec_from_file_location("draw", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        drawings = getattr(module, "PICTURES", None) or {"bottleneck": module.make}
        yield from ((f"{path.parent.name}/{name}", draw) for name, draw in drawings.items())


@pytest.mark.slow
def test_texts_of_the_lessons_drawings_stand_out():
    found = {place: faint_texts(draw()) for place, draw in pictures()}
    assert len(found) > 8
    assert not any(found.values()), found


# Sizes. On a screen of 1280 pixels, at 200 %, a page is 640 CSS pixels wide; a wider picture
# shrinks to that. Its smallest text is then 8 of them high, which is 16 of the screen's.

PAGE, LEAST, LEAST_POINTS = 640, 8.0, 9
DEFAULT = 10  # points of what matplotlib writes beside the axes outside the course's style


def smallest_text(figure) -> float:
    """Points of the smallest text of a figure."""
    figure.canvas.draw()
    texts = [text for text in figure.findobj(Text) if text.get_text().strip()]
    return min(text.get_fontsize() for text in texts if text.get_visible())


@pytest.fixture(scope="module")
def sizes():
    """Drawing function -> points of its smallest text, as it is drawn now."""
    found = {name: smallest_text(draw().figure) for name, draw in DRAWN.items()}
    plt.close("all")
    return found


def points_of(source: str, sizes: dict[str, float]) -> float:
    """The smallest text that a cell draws, from what it calls."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {getattr(call.func, "attr", getattr(call.func, "id", "")) for call in calls}
    given = [key for call in calls for key in call.keywords]
    numbers = any(key.arg == "numbers" for key in given)
    found = [key.value.value for key in given if key.arg == "fontsize"]
    found += [sizes[name] for name in names & {*sizes} - {"heatmap"}]
    found += [sizes["heatmap"]] if "heatmap" in names and numbers else []
    own_axes = "subplots" in names and "heatmap" not in names
    if own_axes and "off" not in source and "xticks=[]" not in source:
        found.append(DEFAULT)
    return min(found, default=plotting.FONT_SIZE)


def drawn_cells():
    """Of each stored picture: its lesson, its cell's text, its file."""
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", ()):
                if picture := output.get("data", {}).get("image/png"):
                    file = Image.open(BytesIO(base64.b64decode(picture)))
                    yield path.stem, "".join(cell["source"]), file


def pixels_high(source, file, sizes):
    """CSS pixels of the smallest text of a stored picture, on the page above."""
    dots = points_of(source, sizes) / 72 * file.info["dpi"][0]
    return dots * min(1.0, PAGE / file.width)


def test_drawing_functions_write_large_enough(sizes):
    assert min(sizes.values()) >= LEAST_POINTS
    assert sizes["bars"] < sizes["curves"] <= plotting.FONT_SIZE


@pytest.mark.notebook
def test_stored_pictures_can_be_read_at_200_percent(sizes):
    all_drawn = list(drawn_cells())
    assert len(all_drawn) > 50
    small = [
        f"{name}: {text[:60]}"
        for name, text, file in all_drawn
        if pixels_high(text, file, sizes) < LEAST
    ]
    assert small == [], "draw it narrower, or write larger"


# Use without a mouse.

WORDS = [*WORDPIECE_SPECIALS, "a", "list", "."]
FOCUSABLE = {"Button", "Dropdown", "FloatSlider", "IntSlider", "Text", "Textarea", "ToggleButtons"}
SHOWING = {"HTML", "Image", "Output"}
BOXES = {"HBox", "VBox"}


def translate(sources):
    return ["a b"]


def heads_of(source, target):
    sides = {"encoder": (2, 2), "decoder": (3, 3), "cross": (3, 2)}
    return SimpleNamespace(**{name: torch.ones(1, 2, *side) for name, side in sides.items()})


def gaps():
    sizes = {"block_size": 16, "num_layers": 2, "num_heads": 2, "d_model": 8}
    tokenizer = WordPieceTokenizer(WORDS, lower_case=True)
    model = shake(BERT(BERTConfig(vocab_size=len(tokenizer), **sizes)), seed=0, std=0.5).eval()
    return explorers.gap_explorer(model, tokenizer, ["a [MASK] ."])


def rollouts():
    sizes = {"image_size": 8, "patch_size": 4, "num_layers": 2, "num_heads": 2, "d_model": 8}
    model = ViT(ViTConfig(**sizes, channels=1, num_classes=2)).eval()
    return explorers.rollout_explorer(model, torch.rand(2, 1, 8, 8), ["cat", "dog"])


VIEWS = {
    "attention_explorer": lambda: explorers.attention_explorer(
        lambda source, target: torch.eye(3, 2), translate, ["c d"]
    ),
    "heads_explorer": lambda: explorers.heads_explorer(heads_of, translate, ["c d"]),
    "merge_stepper": lambda: explorers.merge_stepper("low:5 lower:2"),
    "tokenizer_explorer": lambda: explorers.tokenizer_explorer(
        {"words": SimpleNamespace(tokens=str.split)}, "a b"
    ),
    "sampling_explorer": lambda: explorers.sampling_explorer(
        lambda text: torch.arange(3.0), ["a", "b", "c"].__getitem__, "a", encode=lambda text: [0]
    ),
    "gap_explorer": gaps,
    "rollout_explorer": rollouts,
}


def leaves(widget):
    """The parts of a view that are no boxes."""
    if type(widget).__name__ in BOXES:
        for child in widget.children:
            yield from leaves(child)
    else:
        yield widget


def control_complaints(view) -> list[str]:
    """What a reader with a keyboard or a screen reader cannot use in a view."""
    wrong, labels = [], []
    for part in leaves(view):
        kind = type(part).__name__
        if kind in SHOWING:
            continue
        name = getattr(part, "description", "")
        labels.append(name)
        if kind not in FOCUSABLE or not type(part).__module__.startswith("ipywidgets."):
            wrong.append(f"{kind} {name}: no control that Tab reaches")
        if getattr(part, "tabbable", None) is False:
            wrong.append(f"{kind} {name}: Tab passes over it")
        if not name.strip():
            wrong.append(f"{kind}: has no label")
        if getattr(part, "readout", True) is False:
            wrong.append(f"{kind} {name}: does not say its value")
    wrong += ["two controls have the same label"] if len({*labels}) < len(labels) else []
    return wrong if labels else ["no control at all"]


@pytest.mark.parametrize("name", VIEWS)
def test_view_is_used_by_keyboard_and_says_what_each_control_is(name, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    assert control_complaints(VIEWS[name]()) == []


def test_every_view_is_looked_at_and_every_lesson_has_one():
    named = {n for n in explorers.__all__ if n.endswith(("_explorer", "_stepper"))}
    assert named == {*VIEWS}
    for path in sorted(ROOT.glob("notebooks/*.ipynb")):
        assert any(f"{name}(" in path.read_text(encoding="utf-8") for name in VIEWS), path.name


def test_unusable_controls_are_noticed():
    import ipywidgets

    slider = ipywidgets.IntSlider(description="layer")
    view = ipywidgets.VBox([slider, ipywidgets.HTML("words")])
    assert control_complaints(view) == []
    for part, words in {
        ipywidgets.IntSlider(): "has no label",
        ipywidgets.IntSlider(description="head", readout=False): "does not say its value",
        ipywidgets.IntSlider(description="layer"): "same label",
        ipywidgets.Text(description="text", tabbable=False): "Tab passes over it",
        ipywidgets.Accordion(): "no control that Tab reaches",
    }.items():
        assert any(words in line for line in control_complaints(ipywidgets.VBox([slider, part])))
    assert control_complaints(ipywidgets.VBox([])) == ["no control at all"]
