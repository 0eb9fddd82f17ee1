"""Tokenizers: there and back, unknown words, files."""

import json
import os
import string
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.tokenizers import (
    BOS,
    EOS,
    PAD,
    SPECIAL_TOKENS,
    UNK,
    CharacterTokenizer,
    WordTokenizer,
    normalize,
)

KINDS = [WordTokenizer, CharacterTokenizer]
TEXTS = [
    "маша читает книгу .",
    "masha is reading a book .",
    "😀 👍🏽 да !",
    " ".join(f"word{k}" for k in range(500)),
    "a",
    "",
]
fast = settings(max_examples=60, deadline=None, database=None, derandomize=True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Маша читает КНИГУ, да?", "маша читает книгу , да ?"),
        ("It\u2019s   Masha's\tbook.\r\n", "it 's masha 's book ."),
        ("и\u0306", "й"),  # composed
        ("за\u0301мок", "за\u0301мок"),  # a stress mark has no composed letter: still one word
        ("hi😀!", "hi 😀 !"),
        ("кни\u00adга\ufeff", "книга"),  # what cannot be seen is no word
        ("  ", ""),
    ],
)
def test_normalize_hand_worked(text, wanted):
    assert normalize(text) == wanted


@fast
@given(st.text(max_size=30))
def test_normalize_twice_is_once_and_leaves_single_spaces(text):
    once = normalize(text)
    assert normalize(once) == once
    assert once == " ".join(once.split())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:9])
def test_round_trip_of_known_texts(kind, text):
    tokenizer = kind.train(TEXTS)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert all(UNK < index < len(tokenizer) for index in ids)


@fast
@given(st.lists(st.text(alphabet=string.ascii_letters + "яё😀'", min_size=1), min_size=1))
def test_round_trip_of_any_words(words):
    text = " ".join(words)
    for kind in KINDS:
        tokenizer = kind.train([text])
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert not tokenizer.unknown([text])


def test_special_tokens_have_the_first_ids():
    tokenizer = WordTokenizer.train(["b a b"])
    assert (PAD, BOS, EOS, UNK) == (0, 1, 2, 3)
    assert tokenizer.tokens == [*SPECIAL_TOKENS, "b", "a"] and len(tokenizer) == 6


@pytest.mark.parametrize("kind", KINDS)
def test_encode_of_an_empty_text_is_empty(kind):
    assert kind.train(["a b"]).encode("") == []


def test_unknown_words_become_unk_and_are_counted():
    tokenizer = WordTokenizer.train(["i see a dog ."])
    assert tokenizer.encode("i see 😀 unicorn") == [*tokenizer.encode("i see"), UNK, UNK]
    counts = tokenizer.unknown(["unicorn 😀 i", "unicorn ."])
    assert counts == Counter({"unicorn": 2, "😀": 1})


@pytest.mark.parametrize("special", SPECIAL_TOKENS)
def test_text_cannot_say_a_special_token(special):
    tokenizer = WordTokenizer.train([f"a {special} b {special}"])
    assert len(tokenizer) == 6
    assert tokenizer.encode(f"a {special} b") == [4, UNK, 5]
    assert tokenizer.unknown([special]) == Counter({special: 1})


def test_decode_leaves_out_padding_begin_and_end_and_takes_tensors():
    tokenizer = WordTokenizer.train(["a b"])
    ids = [BOS, *tokenizer.encode("a z b"), EOS, PAD, PAD]
    assert tokenizer.decode(ids) == "a <unk> b"
    assert tokenizer.decode(torch.tensor(ids)) == "a <unk> b"


@pytest.mark.parametrize("index", [-1, 6])
def test_decode_of_an_id_outside_the_vocabulary_is_an_error(index):
    with pytest.raises(ValueError, match=f"id {index} is outside the vocabulary of 6"):
        WordTokenizer.train(["a b"]).decode([4, index])


def test_train_ranks_by_count_then_alphabet_whatever_the_order_of_the_texts():
    texts = ["c b b", "a c b", "d"]
    tokenizer = WordTokenizer.train(texts)
    assert tokenizer.tokens[4:] == ["b", "c", "a", "d"]
    assert WordTokenizer.train(reversed(texts)).tokens == tokenizer.tokens
    assert WordTokenizer.train(texts, min_count=2).tokens[4:] == ["b", "c"]
    assert len(WordTokenizer.train(texts, max_size=5)) == 5


@pytest.mark.parametrize("arguments", [{}, {"min_count": 2}, {"max_size": 4}])
def test_train_with_nothing_left_is_an_error(arguments):
    texts = ["a"] if arguments else ["", " "]
    with pytest.raises(ValueError, match="no token to learn"):
        WordTokenizer.train(texts, **arguments)


@pytest.mark.parametrize("tokens", [["a", "b", "a"], ["a", "<eos>"]])
def test_vocabulary_with_a_token_twice_is_an_error(tokens):
    with pytest.raises(ValueError, match=f"twice.*{tokens[-1]}"):
        WordTokenizer(tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load_give_the_same_tokenizer(kind, tmp_path):
    tokenizer = kind.train(TEXTS)
    tokenizer.save(tmp_path / "vocabulary.json")
    loaded = kind.load(tmp_path / "vocabulary.json")
    assert type(loaded) is kind and loaded.tokens == tokenizer.tokens
    assert loaded.encode("маша 😀 ?") == tokenizer.encode("маша 😀 ?")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"[1, 2]",
        b"{}",
        b'{"type": "WordTokenizer"}',
        b'{"type": "WordTokenizer", "tokens": 5}',
        b'{"type": "WordTokenizer", "tokens": "abc"}',
        b'{"type": "WordTokenizer", "tokens": ["a", 3]}',
        b'{"type": "WordTokenizer", "tokens": ["a", "a"]}',
        b'{"type": "WordTokenizer", "tokens": ["a", "b"',
        b"\xff\xfe\x00bad",
    ],
)
def test_load_of_a_wrong_file_is_a_clear_error(content, tmp_path):
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"WordTokenizer|twice"):
        WordTokenizer.load(path)


def test_load_of_the_other_kind_is_an_error(tmp_path):
    WordTokenizer.train(["a b"]).save(tmp_path / "v.json")
    with pytest.raises(ValueError, match="holds a WordTokenizer, not a CharacterTokenizer"):
        CharacterTokenizer.load(tmp_path / "v.json")


def test_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "v.json"
    WordTokenizer.train(["old"]).save(path)
    monkeypatch.setattr(json, "dumps", lambda *_, **__: "\ud800")  # cannot be encoded
    with pytest.raises(UnicodeEncodeError):
        WordTokenizer.train(["new"]).save(path)
    assert json.loads(path.read_text())["tokens"] == ["old"] and os.listdir(tmp_path) == ["v.json"]
