"""The interactive views: moving a widget changes the picture."""

import itertools
import warnings
from typing import NamedTuple

import matplotlib.pyplot as plt
import pytest
import torch

from course_utils.explorers.attention import (
    KINDS,
    WIDEST,
    attention_explorer,
    attention_map,
    heads_explorer,
    heads_map,
)

SENTENCES = ["я сплю .", "ты читаешь книгу ."]


def translate(sources):
    if not sources[0].strip():
        raise ValueError("sentence 0 is empty: there is nothing to translate")
    return [" ".join("abcdefgh"[: len(source.split())]) for source in sources]


def attention(source, target):
    rows, columns = len(target.split()) + 1, len(source.split())
    return torch.eye(rows, columns)


@pytest.fixture
def drawn(monkeypatch):
    """Labels of the columns of each picture that was shown."""
    shown = []

    def show():
        shown.append([label.get_text() for label in plt.gcf().axes[0].get_xticklabels()])
        plt.close("all")

    monkeypatch.setattr(plt, "show", show)
    return shown


def test_attention_explorer_slider_changes_sentence_and_picture(drawn):
    slider, text, _ = attention_explorer(attention, translate, SENTENCES).children
    assert drawn == [["я", "сплю", "."]]
    slider.value = 1
    assert text.value == SENTENCES[1]
    assert drawn[1:] == [["ты", "читаешь", "книгу", "."]]


def test_attention_explorer_takes_a_typed_sentence(drawn):
    _, text, _ = attention_explorer(attention, translate, SENTENCES).children
    text.value = "Я читаю!"
    assert drawn[-1] == ["я", "читаю", "!"]


def test_attention_explorer_says_what_is_wrong_and_goes_on(drawn):
    _, text, _ = attention_explorer(attention, translate, SENTENCES).children
    text.value = "  "
    assert len(drawn) == 1, "no picture of an empty sentence"
    text.value = SENTENCES[1]
    assert drawn[-1] == ["ты", "читаешь", "книгу", "."]


def test_attention_explorer_without_sentences_is_an_error():
    with pytest.raises(ValueError, match="at least one sentence"):
        attention_explorer(attention, translate, [])


def test_attention_map_writes_the_gloss_beside_the_words():
    ax = attention_map(attention, "i sleep .", "я сплю .", gloss=lambda _: ["i", "sleep", "."])
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["я · i", "сплю · sleep", ". · ."]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["i", "sleep", ".", "<eos>"]
    plt.close("all")


class Heads(NamedTuple):
    """What `Translator.head_attention` gives."""

    encoder: torch.Tensor
    decoder: torch.Tensor
    cross: torch.Tensor


def head_attention(source, target, layers=(3, 2), heads=4):
    """Weights that differ in every layer and head."""
    s, t = len(source.split()), len(target.split()) + 1
    generator = torch.Generator().manual_seed(0)
    sizes = [(layers[0], s, s), (layers[1], t, t), (layers[1], t, s)]
    scores = [torch.randn(n, heads, q, k, generator=generator) for n, q, k in sizes]
    return Heads(*(score.softmax(-1) for score in scores))


@pytest.fixture
def close_figures():
    yield
    plt.close("all")


PAIR = ("you read a book .", "ты читаешь книгу .")


def words_of(labels):
    return [label.get_text() for label in labels]


@pytest.mark.usefixtures("close_figures")
@pytest.mark.parametrize("kind", KINDS)
def test_heads_map_of_a_layer_shows_each_head_on_one_scale(kind):
    wanted = getattr(head_attention(PAIR[1], PAIR[0]), kind)[1]
    grid = heads_map(head_attention, *PAIR, kind=kind, layer=1)
    assert grid.shape == (1, 4)
    for head, ax in enumerate(grid[0]):
        assert ax.images[0].get_array().tolist() == pytest.approx(wanted[head].numpy())
        assert ax.images[0].get_clim() == (0.0, pytest.approx(wanted.max().item()))
        assert ax.get_title() == f"head {head}"
    figure = grid[0, 0].figure
    assert figure.get_suptitle() == f"{KINDS[kind][0]}, layer 1"
    assert (figure.get_supxlabel(), figure.get_supylabel()) == KINDS[kind][1:]


@pytest.mark.slow
@pytest.mark.usefixtures("close_figures")
@pytest.mark.parametrize(
    ("kind", "columns", "rows"),
    [
        ("encoder", "ты читаешь книгу .", "ты читаешь книгу ."),
        ("decoder", "<bos> you read a book .", "you read a book . <eos>"),
        ("cross", "ты читаешь книгу .", "you read a book . <eos>"),
    ],
)
def test_heads_map_has_words_at_the_outside_only(kind, columns, rows):
    grid = heads_map(head_attention, *PAIR, kind=kind)
    for (row, column), ax in (
        (place, grid[place]) for place in itertools.product(*map(range, grid.shape))
    ):
        below, beside = row == len(grid) - 1, column == 0
        found = [words_of(ax.get_xticklabels()), words_of(ax.get_yticklabels())]
        assert found[0] == (columns.split() if below else [""] * len(columns.split()))
        assert found[1] == (rows.split() if beside else [""] * len(rows.split()))


@pytest.mark.usefixtures("close_figures")
def test_heads_map_of_all_layers_has_a_row_for_each():
    wanted = head_attention(PAIR[1], PAIR[0]).encoder
    grid = heads_map(head_attention, *PAIR, kind="encoder")
    assert grid.shape == (3, 4)
    for layer, head in itertools.product(range(3), range(4)):
        drawn = grid[layer, head].images[0].get_array()
        assert drawn.tolist() == pytest.approx(wanted[layer, head].numpy())
        assert grid[layer, head].get_title() == f"head {head}"
    assert [ax.get_ylabel() for ax in grid[:, 0]] == ["layer 0", "layer 1", "layer 2"]


@pytest.mark.usefixtures("close_figures")
def test_heads_map_writes_the_gloss_beside_the_source_words():
    glossed = ["ты · you", "читаешь · read", "книгу · book", ". · ."]
    gloss = lambda source: ["you", "read", "book", "."]  # noqa: E731
    for kind, columns, rows in (("encoder", True, True), ("cross", True, False)):
        ax = heads_map(head_attention, *PAIR, kind=kind, layer=0, gloss=gloss)[0, 0]
        assert (words_of(ax.get_xticklabels()) == glossed) == columns
        assert (words_of(ax.get_yticklabels()) == glossed) == rows


def visible_texts(figure):
    """Every text of a figure, with its place."""
    texts = [figure._suptitle, figure._supxlabel, figure._supylabel]
    for ax in figure.axes:
        texts += [ax.title, ax.yaxis.label, *ax.get_xticklabels()]
        low, high = sorted(ax.get_ylim())
        texts += [text for text in ax.get_yticklabels() if low <= text.get_position()[1] <= high]
    return [text for text in texts if text.get_text()]


@pytest.mark.usefixtures("close_figures")
@pytest.mark.slow
@pytest.mark.parametrize("words", [1, 9, 12])
@pytest.mark.parametrize("kind", ["encoder", "cross"])
@pytest.mark.parametrize("layer", [None, 1])
def test_heads_map_words_are_large_and_not_cut_and_do_not_touch(words, kind, layer):
    source = " ".join(itertools.islice(itertools.cycle(["написала", "я", "сестра"]), words))
    grid = heads_map(
        head_attention, source, source, kind=kind, layer=layer, gloss=lambda text: text.split()
    )
    figure = grid[0, 0].figure
    figure.canvas.draw()
    texts = visible_texts(figure)
    assert min(text.get_fontsize() for text in texts) >= (14 if layer or words < 9 else 8)
    assert figure.bbox.width / figure.dpi <= WIDEST + 0.01
    places = [(text.get_text(), text.get_window_extent()) for text in texts]
    for text, place in places:
        assert min(place.x0, place.y0) >= -1, f"{text} is cut"
        assert place.x1 <= figure.bbox.x1 + 1 and place.y1 <= figure.bbox.y1 + 1, f"{text} is cut"
    for (left, one), (right, two) in itertools.combinations(places, 2):
        wide = min(one.x1, two.x1) - max(one.x0, two.x0)
        high = min(one.y1, two.y1) - max(one.y0, two.y0)
        assert wide <= 1 or high <= 1, f"{left} lies over {right}"


@pytest.mark.slow
@pytest.mark.usefixtures("close_figures")
@pytest.mark.parametrize(
    ("heads", "words", "shape"),
    [(1, 4, (1, 1)), (3, 4, (1, 3)), (8, 4, (1, 8)), (8, 8, (2, 4)), (6, 12, (2, 3))],
)
def test_heads_map_puts_as_many_side_by_side_as_fit_in_full_rows(heads, words, shape):
    source = " ".join(["написала"] * words)
    found = head_attention(source, "i wrote", heads=heads)
    grid = heads_map(lambda *_: found, "i wrote", source, layer=0)
    assert grid.shape == shape
    assert [ax.get_title() for ax in grid.flat] == [f"head {head}" for head in range(heads)]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"kind": "self"}, r"kind is one of \['encoder', 'decoder', 'cross'\], got 'self'"),
        ({"layer": 2}, "layers 0 to 1, got 2"),
        ({"layer": -1}, "layers 0 to 1, got -1"),
    ],
)
def test_heads_map_wrong_choice_is_an_error(choice, message):
    with pytest.raises(ValueError, match=message):
        heads_map(head_attention, *PAIR, **choice)


def test_heads_map_of_a_text_without_end_is_an_error():
    with pytest.raises(ValueError, match="room for 40 words, got 500: shorten"):
        heads_map(head_attention, "a b", "я " * 500)


@pytest.mark.usefixtures("close_figures")
def test_heads_map_weights_of_other_words_are_an_error():
    found = head_attention("a b c", "d")
    with pytest.raises(ValueError, match="labels"):
        heads_map(lambda *_: found, *PAIR, layer=0)


@pytest.fixture
def titles(monkeypatch):
    """The title of each picture that was shown, and how many words its columns have."""
    shown = []

    def show():
        figure = plt.gcf()
        shown.append((figure.get_suptitle(), len(figure.axes[-2].get_xticklabels())))
        plt.close("all")

    monkeypatch.setattr(plt, "show", show)
    return shown


def test_heads_explorer_kind_and_layer_change_the_picture(titles):
    _, _, kind, layer, _ = heads_explorer(head_attention, translate, SENTENCES).children
    assert titles == [("cross-attention, layer 0", 3)]
    layer.value = 1
    assert titles[-1] == ("cross-attention, layer 1", 3)
    kind.value = "decoder"
    assert titles[-1] == ("decoder, self-attention, layer 1", 4)
    assert len(titles) == 3


def test_heads_explorer_layers_are_those_of_the_stack(titles):
    _, _, kind, layer, _ = heads_explorer(head_attention, translate, SENTENCES).children
    assert layer.max == 1
    kind.value = "encoder"
    layer.value = layer.max
    assert titles[-1] == ("encoder, self-attention, layer 2", 3)
    kind.value = "cross"
    assert (layer.max, layer.value) == (1, 1)
    assert titles[-1] == ("cross-attention, layer 1", 3)


def test_heads_explorer_slider_and_text_change_the_sentence(titles):
    slider, text, *_ = heads_explorer(head_attention, translate, SENTENCES).children
    slider.value = 1
    assert (text.value, titles[-1][1]) == (SENTENCES[1], 4)
    text.value = "Я читаю твою книгу!"
    assert titles[-1][1] == 5
    text.value = " "
    assert len(titles) == 3, "no picture of an empty sentence"
    assert not plt.get_fignums()


def test_heads_explorer_without_sentences_is_an_error():
    with pytest.raises(ValueError, match="at least one sentence"):
        heads_explorer(head_attention, translate, [])


@pytest.mark.parametrize(
    ("explorer", "weights"), [(attention_explorer, attention), (heads_explorer, head_attention)]
)
def test_explorer_says_unknown_words_as_text_and_not_on_stderr(
    explorer, weights, drawn, monkeypatch, capsys
):
    import IPython.display

    def warning(sources):
        warnings.warn("not in the vocabulary, read as <unk>: 'ёж' (1)", stacklevel=2)
        return translate(sources)

    remarks = []
    monkeypatch.setattr(IPython.display, "display", lambda shown: remarks.append(shown.value))
    explorer(weights, warning, SENTENCES)
    assert len(drawn) == 1
    assert remarks == ["not in the vocabulary, read as &lt;unk&gt;: &#x27;ёж&#x27; (1)"]
    assert capsys.readouterr().err == ""
