"""The plain byte-pair encoding: a table worked by hand, and the library's merges."""

import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from course_utils.tokenizers.naive import (
    TOY_CORPUS,
    count_pairs,
    merge_pair,
    merge_steps,
    segment,
    split_symbols,
)

fast = settings(max_examples=60, deadline=None, database=None, derandomize=True)
CORPORA = st.dictionaries(st.text("abcd", min_size=1, max_size=12), st.integers(1, 5), min_size=1)

# Worked by hand: the pair, its count, the pairs as frequent as it, the symbol that it makes.
# The characters a c e m s t have the ids 0 to 5; "at" gets 6, "mat" 7, and so on.
TABLE = [
    (("a", "t"), 19, [], "at"),  # 4 + 5 + 2 + 3 + 3 + 2: each word has it
    (("m", "at"), 10, [], "mat"),  # 5 + 2 + 3
    (("c", "at"), 4, [], "cat"),
    (("at", "e"), 3, [("mat", "e")], "ate"),  # "at" is older than "mat"
    (("mat", "e"), 3, [], "mate"),
    (("e", "at"), 2, [("mat", "s")], "eat"),  # "e" is older than "mat"
    (("mat", "s"), 2, [], "mats"),
]


def library(word_counts, num_merges):
    """The library's merges of words, and its tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    size = len(set("".join(word_counts))) + num_merges
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False)
    texts = (" ".join([word] * count) for word, count in word_counts.items())
    tokenizer.train_from_iterator(texts, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(pair) for pair in merges], tokenizer


def test_split_symbols_of_text_and_bytes():
    assert split_symbols("añ😀") == ("a", "ñ", "😀")
    assert split_symbols("ñ".encode()) == (b"\xc3", b"\xb1")
    assert split_symbols("") == ()


def test_count_pairs_hand_worked():
    words = {split_symbols(word): count for word, count in TOY_CORPUS.items()}
    wanted = {"at": 19, "ma": 10, "ca": 4, "te": 6, "ts": 2, "ea": 2}
    assert count_pairs(words) == Counter({tuple(pair): n for pair, n in wanted.items()})


def test_count_pairs_counts_overlaps_as_the_library_does():
    assert count_pairs({("a", "a", "a"): 3}) == {("a", "a"): 6}
    # "aaa" 3 times: (a, a) is 6 by this count, and would be 3 by the merges that are possible.
    word_counts = {"aaa": 3, "cb": 5}
    assert library(word_counts, 1)[0] == [("a", "a")]
    assert merge_steps(word_counts, 1)[0].pair == ("a", "a")


@pytest.mark.parametrize(
    ("symbols", "pair", "wanted"),
    [
        ("aaa", "aa", ("aa", "a")),
        ("aaaa", "aa", ("aa", "aa")),
        ("abab", "ab", ("ab", "ab")),
        ("abab", "ba", ("a", "ba", "b")),
        ("ba", "ab", ("b", "a")),
        ("a", "ab", ("a",)),
        ("", "ab", ()),
    ],
)
def test_merge_pair_hand_worked(symbols, pair, wanted):
    assert merge_pair(tuple(symbols), tuple(pair)) == wanted


def test_merge_pair_of_bytes_and_of_longer_symbols():
    assert merge_pair((b"a", b"b", b"c"), (b"b", b"c")) == (b"a", b"bc")
    assert merge_pair(("ab", "c", "ab"), ("ab", "c")) == ("abc", "ab")
    assert merge_pair(("a", "bc"), ("ab", "c")) == ("a", "bc")  # the same text, other symbols


def test_merge_steps_hand_worked():
    steps = merge_steps(TOY_CORPUS, 100)
    rows = [(step.pair, step.count, list(step.ties[1:]), step.vocabulary[-1]) for step in steps]
    assert rows == TABLE
    assert all(step.ties[0] == step.pair for step in steps)
    made = [row[-1] for row in TABLE]
    for number, step in enumerate(steps, start=1):
        assert step.vocabulary == (*"acemst", *made[:number])
    assert steps[0].words["mats"] == ("m", "at", "s") and steps[0].words["eat"] == ("e", "at")
    assert steps[-1].words == {word: (word,) for word in TOY_CORPUS}  # all are whole: no more


def test_merge_steps_of_the_toy_corpus_equal_the_library():
    for number in range(8):
        merges, tokenizer = library(TOY_CORPUS, number)
        steps = merge_steps(TOY_CORPUS, number)
        assert [step.pair for step in steps] == merges
        if steps:
            assert {s: k for k, s in enumerate(steps[-1].vocabulary)} == tokenizer.get_vocab()


@fast
@given(CORPORA, st.integers(0, 25))
def test_merge_steps_and_segment_equal_the_library_on_random_words(word_counts, number):
    merges, tokenizer = library(word_counts, number)
    steps = merge_steps(word_counts, number)
    assert [step.pair for step in steps] == merges
    letters = "".join(sorted(set("".join(word_counts))))
    for word in [*word_counts, letters, letters[::-1] * 3]:
        assert list(segment(word, merges)) == tokenizer.encode(word).tokens


@fast
@given(CORPORA)
def test_symbol_is_made_by_one_merge_only(word_counts):
    steps = merge_steps(word_counts, 1000)
    assert all(len(set(step.vocabulary)) == len(step.vocabulary) for step in steps[-1:])
    assert all("".join(symbols) == word for s in steps for word, symbols in s.words.items())


def test_merge_steps_of_bytes_are_those_of_their_characters():
    steps = merge_steps({word.encode(): count for word, count in TOY_CORPUS.items()}, 7)
    decoded = [tuple(symbol.decode() for symbol in step.pair) for step in steps]
    assert decoded == [row[0] for row in TABLE]


def test_merge_steps_do_not_depend_on_the_order_of_the_words():
    turned = dict(reversed(TOY_CORPUS.items()))
    assert [s.pair for s in merge_steps(turned, 9)] == [s.pair for s in merge_steps(TOY_CORPUS, 9)]


def test_segment_of_words_that_were_not_learned():
    merges = [row[0] for row in TABLE]
    assert segment("tea", merges) == ("t", "e", "a")
    assert segment("matcat", merges) == ("mat", "cat")
    assert segment("steam", merges) == ("s", "t", "e", "a", "m")
    assert segment("xat", merges) == ("x", "at")  # an unknown character stays alone
    assert segment("", merges) == () and segment("mat", []) == ("m", "a", "t")


@pytest.mark.parametrize(
    ("word_counts", "number", "message"),
    [
        ({}, 3, "no words to learn from"),
        ({"a": 1, "b": 0}, 3, "once or more, got 0 for 'b'"),
        ({"a": -2}, 3, "once or more, got -2 for 'a'"),
        ({"ab": 1}, -1, "num_merges is 0 or more, got -1"),
    ],
)
def test_merge_steps_of_wrong_arguments_are_an_error(word_counts, number, message):
    with pytest.raises(ValueError, match=message):
        merge_steps(word_counts, number)


def test_merge_steps_of_words_without_pairs_are_none():
    assert merge_steps({"a": 3, "b": 1, "": 2}, 5) == []
