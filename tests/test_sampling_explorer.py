"""The next token's picture and its interactive view: a slider moves the bars, a button writes."""

import matplotlib.pyplot as plt
import numpy
import pytest
import torch
from matplotlib.colors import to_hex

from course_utils.explorers import next_token_bars, sampling, sampling_explorer
from course_utils.plotting import PALETTE
from course_utils.sampling import filtered

WORDS = [" the", " a", "\n", "$x$", "cat", " dog", ".", "\x07"]
LOGITS = torch.tensor([[3.0, 2.5, 2.0, 1.5, 1.0, 0.5, 0.0, -0.5]])


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def bars_of(ax):
    """Label of each token -> its bars: name of the series, width, hatched or not."""
    labels = [text.get_text() for text in ax.get_yticklabels()]
    found = {label: [] for label in labels}
    for bars in ax.containers:
        for bar in bars:
            place = round(bar.get_y() + bar.get_height() / 2)
            found[labels[place]].append((bars.get_label(), bar.get_width(), bar.get_hatch()))
    return found


def test_next_token_bars_show_both_probabilities_and_hatch_the_hidden():
    before, after = filtered(LOGITS)[0], filtered(LOGITS, top_k=3, temperature=2.0)[0]
    ax = next_token_bars(before, after, WORDS.__getitem__, most=5)
    found = bars_of(ax)
    assert list(found) == ["␣the", "␣a", "↵", "$x$", "cat"]
    for token, bars in enumerate(found.values()):
        if token < 3:
            wanted = [("the model", before[token], None), ("after the filters", after[token], None)]
        else:
            wanted = [("hidden", before[token], "////")]
        assert [bar[::2] for bar in bars] == [bar[::2] for bar in wanted]
        assert [bar[1] for bar in bars] == pytest.approx([float(bar[1]) for bar in wanted])
    assert ax.get_title() == "3 of 8 tokens can be drawn"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("probability", "next token")
    colours = [to_hex(bars[0].get_facecolor()).upper() for bars in ax.containers[:2]]
    assert colours == [PALETTE["sky"], PALETTE["blue"]]


def test_next_token_bars_show_a_token_that_the_filters_lift():
    """A temperature below 1 lifts the best; a penalty below 1 may lift one from far below."""
    before, after = torch.tensor([0.5, 0.3, 0.15, 0.05]), torch.tensor([0.1, 0.1, 0.1, 0.7])
    ax = next_token_bars(before, after, "abcd".__getitem__, most=3)
    assert list(bars_of(ax)) == ["a", "b", "d"]


def test_next_token_bars_labels_are_readable():
    words = ["$\\frac$ $b$", " \t\n", "\x07", "incomprehensibilities", "\ufffd"]
    ax = next_token_bars(torch.full((5,), 0.2), numpy.full(5, 0.2), words.__getitem__)
    ax.figure.canvas.draw()  # a "$" that is read as a formula is an error here
    wanted = {"$\\frac$␣$b$", "␣⇥↵", "\\x07", "incomprehensibi…", "\ufffd"}
    assert {text.get_text() for text in ax.get_yticklabels()} == wanted
    assert min(text.get_fontsize() for text in [*ax.get_yticklabels(), ax.title]) >= 14


@pytest.mark.parametrize("count", [1, 15])
@pytest.mark.parametrize("top_k", [1, None])
def test_next_token_bars_nothing_is_cut_and_the_legend_lies_on_no_bar(count, top_k):
    logits = torch.zeros(1, count)
    probabilities = filtered(logits)[0], filtered(logits, top_k=top_k)[0]
    ax = next_token_bars(*probabilities, lambda token: f"incomprehensible{token}")
    figure = ax.figure
    figure.canvas.draw()
    legend = ax.get_legend().get_window_extent()
    parts = [legend, ax.xaxis.label.get_window_extent(), ax.title.get_window_extent()]
    parts += [text.get_window_extent() for text in ax.get_yticklabels()]
    for part in parts:
        assert part.x0 >= -1 and part.y0 >= -1
        assert part.x1 <= figure.bbox.x1 + 1 and part.y1 <= figure.bbox.y1 + 1
    assert ax.bbox.y1 <= legend.y0 + 1 and legend.y1 <= ax.title.get_window_extent().y0 + 1


@pytest.mark.parametrize(
    ("before", "after", "most", "message"),
    [
        (torch.ones(3), torch.ones(4), 5, r"got the shapes \(3,\) and \(4,\)"),
        (torch.ones(1, 3), torch.ones(1, 3), 5, r"got the shapes \(1, 3\) and \(1, 3\)"),
        (torch.ones(0), torch.ones(0), 5, "one probability for each token"),
        (torch.ones(3), torch.ones(3), 0, "most is 1 or more, got 0"),
    ],
)
def test_next_token_bars_wrong_arguments_are_an_error(before, after, most, message):
    with pytest.raises(ValueError, match=message):
        next_token_bars(before, after, str, most=most)


@pytest.fixture
def drawn(monkeypatch):
    """The bars and the title of each picture that was shown."""
    shown = []

    def noted(ax):
        shown.append((bars_of(ax), ax.get_title()))
        plt.close(ax.figure)
        return b"picture %d" % len(shown)

    monkeypatch.setattr(sampling, "png", noted)
    return shown


def next_logits(text):
    """A made-up model: the best token moves on with the number of words."""
    if not text.strip():
        raise ValueError("the text is empty: write <something>")
    return LOGITS[0].roll(len(text.split()))


def encode(text):
    return [WORDS.index(word) for word in WORDS if word in text]


def explorer(**choices):
    """The view and its parts by name."""
    view = sampling_explorer(next_logits, WORDS.__getitem__, "a cat", **choices)
    text, buttons, *sliders, _, _ = view.children
    names = ("temperature", "top_k", "top_p", "min_p", "penalty")
    return text, *buttons.children, dict(zip(names, sliders, strict=False))


@pytest.mark.parametrize(
    ("name", "value", "choice"),
    [
        ("temperature", 0.5, {"temperature": 0.5}),
        ("top_k", 2, {"top_k": 2}),
        ("top_p", 0.5, {"top_p": 0.5}),
        ("min_p", 0.4, {"min_p": 0.4}),
        ("penalty", 1.5, {"repetition_penalty": 1.5}),
    ],
)
def test_sampling_explorer_every_slider_changes_the_picture(drawn, name, value, choice):
    *_, sliders = explorer(encode=encode)
    assert len(drawn) == 1 and drawn[0][1] == "8 of 8 tokens can be drawn"
    for bars in drawn[0][0].values():  # at first no filter is at work
        assert bars[0][1] == pytest.approx(bars[1][1])
    sliders[name].value = value
    assert len(drawn) == 2
    logits = next_logits("a cat")[None]
    wanted = filtered(logits, ids=torch.tensor([encode("a cat")]), **choice)[0]
    assert drawn[1][1] == f"{(wanted > 0).sum()} of 8 tokens can be drawn"
    after = [width for bars in drawn[1][0].values() for series, width, _ in bars if "aft" in series]
    assert sorted(after) == pytest.approx(sorted(wanted[wanted > 0].tolist()))
    assert drawn[1][0] != drawn[0][0]


def test_sampling_explorer_button_appends_a_token_and_draws_again(drawn):
    text, forward, _, sliders = explorer()
    sliders["top_k"].value = 1
    for wanted in ("a cat\n", "a cat\n\n"):  # two words before and after: the third token is best
        forward.click()
        assert text.value == wanted
    assert len(drawn) == 4
    sliders["top_k"].value = 0
    assert drawn[-1][1] == "8 of 8 tokens can be drawn"


def test_sampling_explorer_starts_again_with_the_same_draws(drawn):
    text, forward, again, _ = explorer(seed=3)
    texts = []
    for _ in range(2):
        for _ in range(5):
            forward.click()
        texts.append(text.value)
        again.click()
        assert text.value == "a cat"
    assert texts[0] == texts[1] and len(texts[0]) > len("a cat") + 5
    other, press, *_ = explorer(seed=4)
    for _ in range(5):
        press.click()
    assert other.value != texts[0]
    assert len(drawn) == 2 * 6 + 1 + 6


def test_sampling_explorer_takes_a_typed_text(drawn):
    text, *_ = explorer()
    text.value = "one two three"
    assert [next(iter(bars)) for bars, _ in drawn] == ["↵", "$x$"]


def test_sampling_explorer_asks_the_model_once_for_each_text(drawn):
    asked = []

    def counted(text):
        asked.append(text)
        return next_logits(text)

    view = sampling_explorer(counted, WORDS.__getitem__, "a cat")
    text, buttons, *sliders, _, _ = view.children
    sliders[0].value, sliders[1].value = 2.0, 3
    buttons.children[0].click()
    assert asked == ["a cat", text.value] and len(drawn) == 4


def test_sampling_explorer_without_encode_has_no_penalty(drawn):
    assert "penalty" not in explorer()[-1] and "penalty" in explorer(encode=encode)[-1]
    assert len(drawn) == 2


def test_sampling_explorer_picture_is_a_file():
    *_, picture = sampling_explorer(next_logits, WORDS.__getitem__, "a cat").children
    assert bytes(picture.value).startswith(b"\x89PNG") and picture.format == "png"
    assert not plt.get_fignums()


def test_sampling_explorer_says_what_is_wrong_and_goes_on(drawn):
    view = sampling_explorer(next_logits, WORDS.__getitem__, "a cat")
    text, buttons, *_, remark, picture = view.children
    first = bytes(picture.value)
    assert first and remark.value == ""
    text.value = " "
    for _ in range(2):
        assert remark.value == "the text is empty: write &lt;something&gt;"
        assert picture.layout.display == "none" and len(drawn) == 1 and text.value == " "
        buttons.children[0].click()
    text.value = "a dog in the house"
    assert remark.value == "" and picture.layout.display is None
    assert len(drawn) == 2 and bytes(picture.value) != first and not plt.get_fignums()


def test_sampling_explorer_says_what_is_wrong_with_a_drawn_token(drawn):
    def label(token):
        return "" if token < 0 else " " * 9

    def only_short(text):
        if len(text) > 8:
            raise ValueError("too long")
        return next_logits(text)

    view = sampling_explorer(only_short, label, "a cat")
    view.children[1].children[0].click()
    *_, remark, picture = view.children
    assert remark.value == "too long" and picture.layout.display == "none" and len(drawn) == 1
