"""The interactive views: moving a widget changes the picture."""

import matplotlib.pyplot as plt
import pytest
import torch

from course_utils.explorers import attention_explorer, attention_map

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
        labels = plt.gca().get_xticklabels()
        shown.append([label.get_text() for label in labels])
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
