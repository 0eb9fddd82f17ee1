"""BERT's gaps: the bars are the model's probabilities, the map its attention; the view obeys."""

import matplotlib.pyplot as plt
import pytest
import torch
from helpers import check_words, shake
from matplotlib.colors import to_hex

from course_utils.explorers import gap_bars, gap_explorer, gap_picture, gaps
from course_utils.models.bert import BERT, BERTConfig
from course_utils.plotting import FONT_SIZE, PALETTE
from course_utils.tokenizers import WORDPIECE_SPECIALS, WordPieceTokenizer

WORDS = ["the", "list", "must", "not", "be", "empty", ".", "array", "##s", "$", "a", "value"]
TOKENIZER = WordPieceTokenizer([*WORDPIECE_SPECIALS, *WORDS], lower_case=True)
SIZES = {"block_size": 48, "num_layers": 2, "num_heads": 3, "d_model": 12, "dropout": 0.5}
ONE = "The list must [MASK] be empty."
TWO = "the [MASK] must be [MASK]"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture
def model():
    return shake(BERT(BERTConfig(vocab_size=len(TOKENIZER), **SIZES)), seed=0, std=0.5).eval()


def ids_of(text):
    return [2, *TOKENIZER.encode(text, allowed_special="all"), 3]


def chances(model, text):
    """The model's probabilities in all gaps, computed in the plainest way."""
    ids = torch.tensor([ids_of(text)])
    return model(ids).mlm_logits[ids == 4].softmax(dim=-1).detach()


def words_of(labels):
    return [label.get_text() for label in labels]


def bars_of(ax):
    """Piece -> length of its bar, from above."""
    places = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in ax.patches}
    assert ax.yaxis_inverted() and sorted(places) == [*places]
    return dict(zip(words_of(ax.get_yticklabels()), places.values(), strict=True))


@pytest.mark.parametrize(("text", "gap"), [(ONE, 0), (TWO, 0), (TWO, 1)])
def test_gap_bars_are_the_models_probabilities_from_the_best_on(model, text, gap):
    wanted = dict(zip(TOKENIZER.ids, chances(model, text)[gap].tolist(), strict=True))
    best = sorted(wanted, key=wanted.get, reverse=True)[:5]
    ax = gap_bars(model, TOKENIZER, text, gap=gap, most=5)
    found = bars_of(ax)
    assert [*found] == best
    assert list(found.values()) == pytest.approx([wanted[piece] for piece in best], abs=1e-6)
    assert words_of(ax.texts) == [f"{wanted[piece]:.2f}" for piece in best]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("probability", "piece in the gap")
    assert ax.get_title() == ("the gap" if text == ONE else f"gap {gap}")
    assert {to_hex(bar.get_facecolor()).upper() for bar in ax.patches} == {PALETTE["blue"]}


def test_gap_bars_of_a_sure_model_and_of_a_small_vocabulary(model):
    with torch.no_grad():
        model.mlm_bias[TOKENIZER.ids["$"]] += 100
    ax = gap_bars(model, TOKENIZER, ONE, most=99)
    ax.figure.canvas.draw()  # a "$" that is read as a formula is an error here
    assert len(bars_of(ax)) == len(TOKENIZER) and bars_of(ax)["$"] == pytest.approx(1.0)
    number, edge = ax.texts[0].get_window_extent(), ax.get_window_extent()
    assert words_of(ax.texts)[0] == "1.00" and number.x1 <= edge.x1


def test_gap_bars_have_one_scale_and_are_drawn_where_asked(model):
    own = plt.subplots()[1]
    assert gap_bars(model, TOKENIZER, ONE, ax=own) is own
    with torch.no_grad():
        model.mlm_bias[TOKENIZER.ids["not"]] += 100
    other = gap_bars(model, TOKENIZER, TWO)  # of a sure model
    assert own.get_xlim() == other.get_xlim() and own.get_xlim()[0] == 0
    assert len(own.patches) == len(other.patches) == 8


def test_gap_bars_read_without_dropout_and_leave_the_mode_alone(model):
    wanted = bars_of(gap_bars(model, TOKENIZER, ONE))
    assert not model.training
    model.train()
    assert bars_of(gap_bars(model, TOKENIZER, ONE)) == pytest.approx(wanted)
    assert model.training and model.encoder.dropout.training
    with pytest.raises(ValueError, match="empty"):
        gap_bars(model, TOKENIZER, "")
    assert model.training


@pytest.mark.parametrize("text", [f"[CLS] {ONE}", f"{ONE} [SEP]", f" [CLS]{ONE}[SEP] "])
def test_gap_bars_ends_that_somebody_typed_are_not_put_twice(model, text):
    assert bars_of(gap_bars(model, TOKENIZER, text)) == bars_of(gap_bars(model, TOKENIZER, ONE))


NO_GAP = r"the text has no gap: write \[MASK\]"
TOO_LONG = r"the model reads 48 pieces, got 49 with \[CLS\] and \[SEP\]"


@pytest.mark.parametrize("draw", [gap_bars, gap_picture])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is empty: write a sentence"),
        (" \t", "the text is empty"),
        ("the list", NO_GAP),
        ("the [mask]", NO_GAP),
        ("\x07", NO_GAP),
        ("[MASK]" + " a" * 46, TOO_LONG),
    ],
)
def test_gap_pictures_of_no_such_text_are_an_error(model, draw, text, message):
    with pytest.raises(ValueError, match=message):
        draw(model, TOKENIZER, text)
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("draw", "choice", "message"),
    [
        (gap_bars, {"gap": 2}, "the text has the gaps 0 to 1, got 2"),
        (gap_bars, {"gap": -1}, "the text has the gaps 0 to 1, got -1"),
        (gap_bars, {"most": 0}, "most is 1 or more, got 0"),
        (gap_picture, {"layer": 2}, "the model has the layers 0 to 1, got 2"),
        (gap_picture, {"layer": -1}, "the model has the layers 0 to 1, got -1"),
        (gap_picture, {"head": 3}, "the model has the heads 0 to 2, got 3"),
        (gap_picture, {"text": "[MASK] " * 4}, "a picture has room for 3 gaps, got 4"),
    ],
)
def test_gap_pictures_of_wrong_choices_are_an_error(model, draw, choice, message):
    with pytest.raises(ValueError, match=message):
        draw(model, TOKENIZER, **{"text": TWO} | choice)
    assert not plt.get_fignums()


@pytest.mark.parametrize("draw", [gap_bars, gap_picture, gap_explorer])
def test_gap_pictures_with_another_models_tokenizer_are_an_error(model, draw):
    other = WordPieceTokenizer([*TOKENIZER.ids, "one"])
    with pytest.raises(ValueError, match="model knows 17 pieces and the tokenizer 18: they do not"):
        draw(model, other, ONE)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("head", [0, 2])
def test_gap_picture_shows_the_attention_of_the_head(model, layer, head):
    wanted = model.attentions(torch.tensor([ids_of(ONE)]))[0, layer, head].detach()
    *_, ax = gap_picture(model, TOKENIZER, ONE, layer=layer, head=head)
    drawn = ax.images[0]
    assert drawn.get_array().tolist() == pytest.approx(wanted.numpy(), abs=1e-6)
    assert drawn.get_clim() == (0.0, pytest.approx(wanted.max().item()))
    pieces = ["[CLS]", "the", "list", "must", "[MASK]", "be", "empty", ".", "[SEP]"]
    assert words_of(ax.get_xticklabels()) == words_of(ax.get_yticklabels()) == pieces
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("piece, as key", "piece, as query")
    assert ax.get_title() == f"attention: layer {layer}, head {head}"
    assert drawn.colorbar.ax.get_ylabel() == "weight"


def test_gap_picture_frames_the_rows_of_the_gaps(model):
    *bars, ax = gap_picture(model, TOKENIZER, TWO)
    assert [(row.get_xy(), row.get_width(), row.get_height()) for row in ax.patches] == [
        ((-0.5, 1.5), 7, 1),
        ((-0.5, 4.5), 7, 1),
    ]
    strong = [label.get_text() for label in ax.get_yticklabels() if label.get_weight() == "bold"]
    assert strong == ["[MASK]", "[MASK]"]
    wanted = [bars_of(gap_bars(model, TOKENIZER, TWO, gap=gap, most=4)) for gap in (0, 1)]
    assert [bars_of(ax) for ax in bars] == wanted and wanted[0] != wanted[1]


def test_gap_picture_of_unknown_words_shows_them_as_unknown(model):
    *_, ax = gap_picture(model, TOKENIZER, "日本 $a$ zoo arrays [MASK]")
    ax.figure.canvas.draw()
    wanted = ["[CLS]", "[UNK]", "$", "a", "$", "[UNK]", "array", "##s", "[MASK]", "[SEP]"]
    assert words_of(ax.get_xticklabels()) == wanted


@pytest.mark.parametrize(("length", "has_map"), [(40, True), (41, False), (48, False)])
def test_gap_picture_of_a_long_text_has_bars_and_says_why_there_is_no_map(model, length, has_map):
    bars, ax = gap_picture(model, TOKENIZER, "[MASK]" + " a" * (length - 3))
    assert len(bars_of(bars)) == 8 and bool(ax.images) == has_map
    said = [] if has_map else [f"the map has room for 40 pieces, got {length}"]
    assert words_of(ax.texts) == said


@pytest.mark.parametrize(
    ("text", "smallest"),
    [
        ("[MASK]", FONT_SIZE),
        ("[MASK] [MASK] [MASK]", FONT_SIZE),
        (ONE, FONT_SIZE),
        (TWO, FONT_SIZE),
        ("array value must be empty . " * 3 + "[MASK]", FONT_SIZE),
        pytest.param("empty [MASK] . " * 3 + "value " * 28 + ".", 8, marks=pytest.mark.slow),
        ("[MASK]" + " a" * 45, FONT_SIZE),
    ],
)
def test_gap_picture_nothing_is_cut_and_no_words_touch(model, text, smallest):
    axes = gap_picture(model, TOKENIZER, text)
    assert axes[0].figure.get_size_inches()[0] <= 12.01
    check_words(axes[0].figure, smallest)


@pytest.fixture
def drawn(monkeypatch):
    """Words of the map, its name, and the bars of each picture that was shown."""
    shown = []

    def noted(ax):
        bars, *_ = ax.figure.axes
        shown.append((words_of(ax.get_xticklabels()), ax.get_title(), bars_of(bars)))
        plt.close(ax.figure)
        return b"picture %d" % len(shown)

    monkeypatch.setattr(gaps, "png", noted)
    return shown


def view_of(model, sentences=(ONE, TWO)):
    """The parts of the view."""
    return gap_explorer(model, TOKENIZER, sentences).children


def test_gap_explorer_slider_changes_sentence_and_picture(model, drawn):
    sentence, text, *_ = view_of(model)
    assert text.value == ONE and len(drawn) == 1
    sentence.value = 1
    assert text.value == TWO
    assert [" ".join(words) for words, *_ in drawn] == [
        "[CLS] the list must [MASK] be empty . [SEP]",
        "[CLS] the [MASK] must be [MASK] [SEP]",
    ]


def test_gap_explorer_takes_a_typed_sentence(model, drawn):
    view_of(model)[1].value = "a [MASK]"
    assert drawn[-1][0] == ["[CLS]", "a", "[MASK]", "[SEP]"] and len(drawn) == 2
    assert drawn[-1][2] == bars_of(gap_bars(model, TOKENIZER, "a [MASK]"))


def test_gap_explorer_layer_and_head_go_through_all(model, drawn):
    *_, layer, head, _ = view_of(model)
    assert (layer.min, layer.max, head.min, head.max) == (0, 1, 0, 2)
    layer.value, head.value = 1, 2
    assert [name for _, name, _ in drawn] == [
        f"attention: layer {layer}, head {head}" for layer, head in ((0, 0), (1, 0), (1, 2))
    ]
    assert drawn[0][2] == drawn[2][2], "the guess does not change"


def test_gap_explorer_says_what_is_wrong_and_goes_on(model, drawn):
    _, text, remark, layer, _, picture = view_of(model)
    first = bytes(picture.value)
    for typed, said in {
        "": "the text is empty: write a sentence with [MASK] in the place of a word",
        "<b>": "the text has no gap: write [MASK], in capitals, in the place of a word",
        "[MASK]" + " a" * 50: "the model reads 48 pieces, got 53 with [CLS] and [SEP]: "
        "shorten the text",
        "[MASK] " * 5: "a picture has room for 3 gaps, got 5: fill some of them",
    }.items():
        text.value = typed
        assert remark.value == said and picture.layout.display == "none"
    seen = []
    picture.layout.observe(lambda _: seen.append(bytes(picture.value)), "display")
    layer.value = 1  # nothing to draw, and no picture of before
    assert remark.value and picture.layout.display == "none" and len(drawn) == 1
    text.value = TWO
    assert remark.value == "" and picture.layout.display is None
    assert len(drawn) == 2 and drawn[1][1].endswith("1, head 0")
    assert seen == [bytes(picture.value)] != [first], "not the picture of before for a moment"


def test_gap_explorer_writes_a_message_as_text(model, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("<b>")

    monkeypatch.setattr(gaps, "gap_picture", refuse)
    assert view_of(model)[2].value == "&lt;b&gt;"


def test_gap_explorer_picture_is_a_file_and_the_figure_is_closed(model):
    sentence, *_, picture = view_of(model)
    before = bytes(picture.value)
    sentence.value = 1
    assert before.startswith(b"\x89PNG") and bytes(picture.value) != before
    assert picture.format == "png" and not plt.get_fignums()


def test_gap_explorer_without_sentences_is_an_error(model):
    with pytest.raises(ValueError, match="at least one sentence"):
        gap_explorer(model, TOKENIZER, [])
