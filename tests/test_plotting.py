"""The pictures: what is drawn is what was given, named, and told apart by anybody."""

import itertools
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


def test_lesson_picture_is_drawn_by_its_script(tmp_path):
    import importlib.util

    folder = ROOT / "img" / "01_seq2seq_attention"
    spec = importlib.util.spec_from_file_location("draw", folder / "draw.py")
    draw = importlib.util.module_from_spec(spec)
    before = (folder / "bottleneck.svg").read_bytes()
    spec.loader.exec_module(draw)
    words = {text.get_text() for ax in draw.make().axes for text in ax.texts}
    stored = before.decode()
    ElementTree.fromstring(stored)
    assert {"написала", "wrote", "0.70"} <= words
    assert all(f"<!-- {word} -->" in stored for word in words if "\n" not in word)


def test_masked_cross_entropy_of_uniform_scores_is_log_v():
    mask = torch.tensor([[True, False], [True, True]])
    loss = masked_cross_entropy(torch.zeros(2, 2, 7), torch.ones(2, 2, dtype=torch.long), mask)
    assert loss.item() == pytest.approx(torch.tensor(7.0).log().item())
