"""The pictures: what is drawn is what was given, named, and told apart by anybody."""

import importlib.util
import itertools
import re
import runpy
import shutil
import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest
import torch
from conftest import ROOT

from course_utils import plotting
from course_utils.history import History
from course_utils.losses import masked_cross_entropy

matplotlib.use("Agg")


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_heatmap_shows_the_values_and_names_both_axes():
    weights = torch.tensor([[0.1, 0.9], [0.7, 0.3], [0.5, 0.5]])
    ax = plotting.heatmap(weights, columns=["я", "сплю"], rows=["i", "am", "sleeping"])
    assert ax.images[0].get_array().tolist() == pytest.approx(weights.numpy())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["я", "сплю"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["i", "am", "sleeping"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("source", "target")


def test_heatmap_frames_the_links_and_writes_the_numbers():
    ax = plotting.heatmap(
        torch.eye(2), columns="ab", rows="cd", links=[(0, 1), (1, 1)], numbers=True
    )
    assert [patch.get_xy() for patch in ax.patches] == [(-0.5, 0.5), (0.5, 0.5)]
    assert [text.get_text() for text in ax.texts] == ["1.00", "0.00", "0.00", "1.00"]


@pytest.mark.parametrize(("columns", "rows"), [("abc", "cd"), ("ab", "c"), ("", "")])
def test_heatmap_wrong_labels_are_an_error(columns, rows):
    with pytest.raises(ValueError, match=r"needs 2 row labels and 2 column labels"):
        plotting.heatmap(torch.eye(2), columns=columns, rows=rows)


def test_heatmap_without_labels_numbers_its_axes_and_has_a_scale():
    table = torch.linspace(-1, 1, 50 * 40).view(50, 40)
    ax = plotting.heatmap(table, smallest=-1.0, column_label="dimension", row_label="position")
    ax.figure.canvas.draw()
    assert ax.images[0].get_array().tolist() == pytest.approx(table.numpy())
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("dimension", "position")
    assert 3 < len(ax.get_xticklabels()) < 15 and not ax.texts
    scale = ax.images[0].colorbar.ax
    assert scale.get_ylim() == (-1, 1) and scale.get_yticklabels()[0].get_fontsize() >= 14


def test_heatmap_of_negative_numbers_is_white_at_zero():
    values = torch.tensor([[-1.0, 0.0, 1.0]])
    ax = plotting.heatmap(values, smallest=-1.0, columns="abc", rows="x", numbers=True)
    below, zero, above = ax.images[0].to_rgba(values.numpy())[0, :, :3]
    assert zero == pytest.approx([1, 1, 1], abs=0.01)
    assert below[2] > below[0] and above[0] > above[2], "blue below, orange above"
    assert [text.get_color() for text in ax.texts] == ["white", "black", "black"]


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_heatmap_of_no_matrix_is_an_error(shape):
    with pytest.raises(ValueError, match=r"matrix, rows x columns, got shape"):
        plotting.heatmap(torch.zeros(shape))


@pytest.mark.parametrize(("columns", "rows"), [(None, "ab"), ("ab", None)])
def test_heatmap_with_labels_of_one_axis_is_an_error(columns, rows):
    with pytest.raises(ValueError, match="needs 2 row labels and 2 column labels"):
        plotting.heatmap(torch.eye(2), columns=columns, rows=rows)


def test_new_axes_in_rows_have_the_size_asked_for():
    grid = plotting.new_axes(3, rows=2, width=2.0, height=1.5)
    assert grid.shape == (2, 3)
    assert grid[0, 0].figure.get_size_inches().tolist() == [6.0, 3.0]


def test_curves_keep_the_points_and_differ_in_colour_and_marker():
    ax = plotting.curves(
        {"one": ([1, 2], [0.5, 0.25]), "two": ([1, 3], [1.0, 2.0])}, x_label="n", y_label="ms"
    )
    first, second = ax.lines
    assert first.get_xydata().tolist() == [[1, 0.5], [2, 0.25]]
    assert first.get_color() != second.get_color() and first.get_marker() != second.get_marker()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("n", "ms")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two"]


def test_curves_of_whole_numbers_have_whole_ticks():
    ax = plotting.curves({"": ([1, 2, 3], [0.1, 0.2, 0.3])}, x_label="n", y_label="y")
    ax.figure.canvas.draw()
    assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_curves_log_scales_both_axes():
    ax = plotting.curves({"a": ([1, 2], [1, 2])}, x_label="x", y_label="y", log=True)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_curves_dashed_lines_have_the_colours_of_their_curves():
    dashed = {"n": ([1, 2], [1, 2]), "n²": ([1, 2], [1, 4])}
    both = {"a": ([1, 2], [1, 2]), "b": ([1, 2], [2, 3])}
    ax = plotting.curves(both, x_label="x", y_label="y", log=True, dashed=dashed)
    first, second, thin, other = ax.lines
    assert [line.get_linestyle() for line in ax.lines] == ["-", "-", "--", "--"]
    assert (thin.get_color(), other.get_color()) == (first.get_color(), second.get_color())
    assert other.get_xydata().tolist() == [[1, 1], [2, 4]]
    assert thin.get_linewidth() < first.get_linewidth()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "n", "n²"]


def test_bars_have_the_heights_and_their_numbers():
    ax = plotting.bars({"a": {"x": 1.0, "y": 2.5}, "b": {"x": 3.0, "y": 4.0}}, y_label="score")
    assert [bar.get_height() for bar in ax.patches] == [1.0, 2.5, 3.0, 4.0]
    assert [text.get_text() for text in ax.texts] == ["1.00", "2.50", "3.00", "4.00"]
    lefts = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(lefts)), "bars do not overlap"


def test_tree_shows_each_probability_once_and_the_paths():
    toy = {("a",): 0.6, ("b",): 0.4, ("a", "c"): 1.0, ("b", "c"): 0.3, ("b", "d"): 0.7}
    ax = plotting.tree(toy, highlight={"greedy": ["a", "c"]})
    shown = [text.get_text() for text in ax.texts]
    assert sorted(s for s in shown if "." in s) == ["0.30", "0.40", "0.60", "0.70", "1.00"]
    assert sorted(s for s in shown if s.isalpha()) == ["a", "b", "c", "c", "d", "start"]
    bold = [text.get_text() for text in ax.texts if text.get_weight() == "bold"]
    assert sorted(bold) == ["a", "c"]


def test_history_plot_draws_the_losses_and_the_held_out_points():
    history = History(losses=[4.0, 2.0, 1.0], evaluations=[{"step": 3, "loss": 1.5}])
    ax = history.plot()
    assert ax.lines[0].get_ydata()[0] == 4.0 and len(ax.lines[0].get_ydata()) == 3
    assert ax.lines[1].get_xydata().tolist() == [[3, 1.5]]
    assert "nats" in ax.get_ylabel() and ax.get_xlabel() == "step"


def test_history_plot_without_anything_is_empty_and_no_error():
    assert len(History().plot().lines[0].get_ydata()) == 0


def luminance(colour: str) -> float:
    """Relative luminance of a colour (WCAG 2.2)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


# The usual simulations of the two common kinds of colour blindness, on linear RGB
# (Vienot, Brettel and Mollon 1999).
SEEN = {
    "normal": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


@pytest.mark.parametrize("eyes", SEEN)
def test_palette_first_four_colours_differ_for_all_eyes(eyes):
    seen = []
    for colour in list(plotting.PALETTE.values())[:4]:
        rgb = torch.tensor([(int(colour[k : k + 2], 16) / 255) ** 2.2 for k in (1, 3, 5)])
        seen.append(torch.tensor(SEEN[eyes]) @ rgb)
    closest = min((a - b).norm().item() for a, b in itertools.combinations(seen, 2))
    assert closest > 0.1


@pytest.mark.parametrize("name", ["blue", "orange", "green", "black"])
def test_palette_lines_stand_out_from_white(name):
    assert 1.05 / (luminance(plotting.PALETTE[name]) + 0.05) >= 3.0  # WCAG 2.2, 1.4.11


LESSONS = sorted(folder.parent.name for folder in (ROOT / "img").glob("*/draw.py"))
# Lesson 3's picture has its own tests, in test_explorers_merges.py.
SHOWN = {
    ("01_seq2seq_attention", "bottleneck"): {"написала", "wrote", "0.70"},
    ("02_transformer", "at_once"): {"bank", "river", "street", "step 4", "0.40"},
    ("02_transformer", "architecture"): {"cross-attention", "B S D", "B T V", "encoder, L times"},
    ("05_bert", "gap"): {"left to right (GPT)", "fill the gap (BERT)", "not", "contain", "?"},
    ("05_bert", "input"): {"segment 1", "position", "+", "[CLS]", "otherwise", "15"},
    ("04_gpt", "next_token"): {"greedy", "drawn", "?", "roof", "0.16", "1", "2", "3", "4"},
    ("04_gpt", "architecture"): {
        "table W",
        "V x D",
        "T V",
        "one block",
        "7",
        "50,257 tokens known",
    },
}


def script(lesson):
    """The script that draws a lesson's pictures, as a module."""
    folder = ROOT / "img" / lesson
    spec = importlib.util.spec_from_file_location("draw", folder / "draw.py")
    draw = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw)
    return draw


def drawn(lesson, folder):
    """What a lesson's script writes when it is run in another, new folder: name -> text."""
    folder.mkdir()
    shutil.copy(ROOT / "img" / lesson / "draw.py", folder)
    with matplotlib.rc_context():
        runpy.run_path(str(folder / "draw.py"), run_name="__main__")
    return {file.name: file.read_text("utf-8") for file in folder.glob("*.svg")}


def words_in(svg):
    """All texts in order: matplotlib keeps each as a comment."""
    return re.findall(r"<!-- (.*?) -->", svg, flags=re.DOTALL)


def numbers_in(svg):
    """All places, sizes and colours in order, without the names that are made from them."""
    body = re.sub(r"\b[a-z][0-9a-f]{10,}\b", "", svg.split("</metadata>")[1])
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", body)]


@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_pictures_are_what_their_script_draws(lesson, tmp_path):
    stored = {file.name: file.read_text("utf-8") for file in (ROOT / "img" / lesson).glob("*.svg")}
    new, hint = drawn(lesson, tmp_path / "new"), f"run python img/{lesson}/draw.py"
    assert set(new) == set(stored), hint
    for name, svg in stored.items():
        ElementTree.fromstring(svg)
        assert words_in(new[name]) == words_in(svg) != [], f"{name}: {hint}"
        if f"Matplotlib v{matplotlib.__version__}," in svg:  # another one may write another way
            same = numbers_in(new[name]) == pytest.approx(numbers_in(svg), abs=0.01)
            assert same, f"{name}: {hint}"


@pytest.mark.slow
@pytest.mark.parametrize("lesson", LESSONS)
def test_lesson_pictures_are_the_same_bytes_when_drawn_again(lesson, tmp_path):
    assert drawn(lesson, tmp_path / "a") == drawn(lesson, tmp_path / "b") != {}


@pytest.mark.parametrize(("lesson", "name"), SHOWN)
def test_lesson_picture_shows_what_it_is_about(lesson, name):
    svg = (ROOT / "img" / lesson / f"{name}.svg").read_text("utf-8")
    assert SHOWN[lesson, name] <= set(words_in(svg))


@pytest.mark.parametrize(("lesson", "name"), [key for key in SHOWN if "01_" not in key[0]])
def test_lesson_picture_has_no_text_over_text_or_cut(lesson, name):
    figure = script(lesson).PICTURES[name]()
    figure.canvas.draw()
    texts = [text for ax in figure.axes for text in [*ax.texts, ax.title] if text.get_text()]
    places = [(text.get_text(), text.get_window_extent()) for text in texts]
    assert min(text.get_fontsize() for text in texts) >= plotting.FONT_SIZE
    for word, place in places:
        assert place.x0 >= 0 and place.y0 >= 0, f"{word} is cut"
        assert place.x1 <= figure.bbox.x1 and place.y1 <= figure.bbox.y1, f"{word} is cut"
    for (left, one), (right, two) in itertools.combinations(places, 2):
        assert not one.overlaps(two), f"{left} lies over {right}"


def test_masked_cross_entropy_of_uniform_scores_is_log_v():
    mask = torch.tensor([[True, False], [True, True]])
    loss = masked_cross_entropy(torch.zeros(2, 2, 7), torch.ones(2, 2, dtype=torch.long), mask)
    assert loss.item() == pytest.approx(torch.tensor(7.0).log().item())
