"""Learning merges: the same as the library's, hand-worked ties, streams, bad input."""

import gzip
import tracemalloc
from itertools import pairwise

import pytest
from bpe_library import SPECIALS, corpora, library_bpe, merges_of, tokens_of
from helpers import as_a_reader
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.tokenizers import WHOLE_TEXT, BPETokenizer, merging
from course_utils.tokenizers.merging import PairIndex, join, learn_merges
from course_utils.tokenizers.pretokens import BYTE_TOKENS, count_pretokens

fast = settings(max_examples=80, deadline=None, database=None, derandomize=True)
quiet = {"progress": False}


def assert_same_training(texts, vocab_size, specials=()):
    with as_a_reader():
        ours = BPETokenizer.train(texts, vocab_size, special_tokens=specials, **quiet)
    library = library_bpe(texts, vocab_size, specials)
    first = len(specials)
    assert merges_of(library) == ours.merges
    assert tokens_of(library, specials) == [ours.vocab[k] for k in range(first, vocab_size)]
    assert library.get_vocab_size() == len(ours) == vocab_size
    assert {text: library.token_to_id(text) for text in specials} == ours.special_tokens


@pytest.mark.parametrize("vocab_size", [300, 1000])
def test_training_equals_the_library(vocab_size):
    assert_same_training(corpora()["phrases"], vocab_size, SPECIALS)


@pytest.mark.slow
@pytest.mark.parametrize("vocab_size", [300, 1000, 8000])
@pytest.mark.parametrize("name", ["prose", "code"])
def test_training_on_embedded_texts_equals_the_library(name, vocab_size):
    assert_same_training(corpora()[name], vocab_size, SPECIALS)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.parametrize("vocab_size", [300, 1000, 8000])
@pytest.mark.parametrize("name", ["wikitext-2/train.txt.gz", "tatoeba_eng_fra/eng-fra.txt.gz"])
def test_training_on_real_texts_equals_the_library(data_dir, name, vocab_size):
    with gzip.open(data_dir / name, "rt", encoding="utf-8") as file:
        assert_same_training(file.read().split("\n"), vocab_size, SPECIALS)


# Few letters make ties, overlaps ("aaa") and counts that fall before their pair's turn comes.
small_words = st.text(alphabet="ab", max_size=24) | st.text(alphabet="abc ", max_size=24)


@fast
@given(st.lists(small_words, min_size=1, max_size=8), st.sampled_from([258, 264, 280, 1000]))
def test_training_on_few_letters_equals_the_library(texts, vocab_size):
    learned = learn_merges(count_pretokens(texts), vocab_size)
    library = library_bpe(texts, vocab_size)
    assert learned.merges == merges_of(library)
    assert learned.tokens == tokens_of(library)
    assert len(set(learned.tokens)) == len(learned.tokens)  # no token is made twice


@pytest.mark.slow
@settings(parent=fast, max_examples=1000)
@given(st.lists(small_words, min_size=1, max_size=8))
def test_training_to_the_end_equals_the_library(texts):
    learned = learn_merges(count_pretokens(texts), 5000)
    assert tuple(learned) == (tokens_of(library := library_bpe(texts, 5000)), merges_of(library))


@pytest.mark.parametrize(
    ("counts", "wanted"),
    [
        # The lesson's corpus. at+e and mat+e are both there 3 times at last: at is older.
        (
            {"cat": 4, "mat": 5, "mats": 2, "mate": 3, "ate": 3, "eat": 2},
            ["a t", "m at", "c at", "at e", "mat e"],
        ),
        ({"ba": 3, "ab": 3, "bb": 3}, ["a b", "b a", "b b"]),  # all equal: left id, then right
        ({"aaa": 1}, ["a a", "aa a"]),  # left to right: aa a, never a aa
        ({"zz": 1, "\n!": 1}, ["z z", "Ċ !"]),  # the line break's id is above all letters
        ({"aaab": 1, "ab": 1}, ["a a", "a b", "aa ab"]),  # (a, b) 2 and (a, a) 2: a is older
    ],
)
def test_merges_hand_worked(counts, wanted):
    counts = {word.encode(): count for word, count in counts.items()}
    learned = learn_merges(counts, 256 + len(wanted)).merges
    assert [f"{a.decode()} {b.decode()}".replace("\n", "Ċ") for a, b in learned] == wanted


@pytest.mark.parametrize(
    ("word", "pair", "after", "changes"),
    [
        ([1, 2], (1, 2), [9], []),
        ([2, 1], (1, 2), [2, 1], []),
        ([1, 1, 1], (1, 1), [9, 1], [((1, 1), -1), ((9, 1), 1)]),
        (
            [1, 2, 1, 2],
            (1, 2),
            [9, 9],
            [((2, 1), -1), ((9, 1), 1), ((9, 1), -1), ((9, 9), 1)],
        ),
    ],
)
def test_join_hand_worked(word, pair, after, changes):
    assert join(word, pair, 9) == changes
    assert word == after


@fast
@given(st.lists(st.lists(st.integers(0, 2), max_size=12), min_size=1, max_size=6))
def test_counts_stay_those_of_the_words(words):
    weights = [3 * k + 1 for k in range(len(words))]
    index = PairIndex(words, weights)
    for new in range(10, 16):
        pair = index.most_frequent()
        if pair is None:
            break
        index.merge(pair, new)
        true = {}
        for word, weight in zip(words, weights, strict=True):
            for neighbours in pairwise(word):
                true[neighbours] = true.get(neighbours, 0) + weight
        assert pair not in true
        assert {p: n for p, n in index.counts.items() if n and p[0] != p[1] and p in true} == {
            p: n for p, n in true.items() if p[0] != p[1]
        }
        assert all(index.counts[p] == n for p, n in true.items())


def test_a_merge_visits_only_words_that_held_its_pair(monkeypatch):
    visits = []

    def counted(word, pair, new):
        visits.append(len(word))
        changes = join(word, pair, new)
        visits[-1] -= len(word)
        return changes

    monkeypatch.setattr(merging, "join", counted)
    counts = count_pretokens(corpora()["phrases"])
    num_merges = len(learn_merges(counts, 1000).merges)
    assert len(visits) < len(counts) * num_merges / 20  # the plain algorithm visits each word
    assert sum(shorter > 0 for shorter in visits) > len(visits) / 2


def peak_of(call):
    """The most bytes that a call held at one time, and what it gave."""
    with as_a_reader():
        tracemalloc.start()
        try:
            return call(), tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


def test_train_reads_a_stream_once_and_keeps_distinct_words_only():
    text = "".join(f" {left}{right}" for left in "abcdefg" for right in "uvwxyz") * 50
    texts = (text + str(k % 7) for k in range(50))
    tokenizer, peak = peak_of(lambda: BPETokenizer.train(texts, 260, **quiet))
    assert len(tokenizer) == 260
    assert peak < 150_000 < 50 * len(text)


def test_one_long_text_is_cut_as_a_stream():
    text = "all the words of a text " * 20_000
    counts, peak = peak_of(lambda: count_pretokens([text]))
    assert counts[b" words"] == 20_000
    assert peak < 100_000 < len(text)


def test_merges_do_not_cross_pretokens_but_do_without():
    texts = ["of the dog of the cat"] * 9
    assert not any(b" " in token[1:] for token in BPETokenizer.train(texts, 265).vocab.values())
    whole = BPETokenizer.train(texts, 265, pattern=WHOLE_TEXT)
    assert b" of the" in whole.vocab.values() or b"of the " in whole.vocab.values()


def test_smallest_vocabulary_is_the_bytes_and_the_special_tokens():
    tokenizer = BPETokenizer.train(["a"], 258, special_tokens=SPECIALS)
    assert tokenizer.merges == [] and len(tokenizer) == 258
    assert list(tokenizer.vocab.values())[2:] == list(BYTE_TOKENS)
    assert tokenizer.decode(tokenizer.encode("å😀")) == "å😀"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"vocab_size": 255}, ValueError, "256 bytes and 0 special tokens need 256"),
        ({"vocab_size": 257, "special_tokens": SPECIALS}, ValueError, "2 special tokens need 258"),
        ({"texts": []}, ValueError, "all texts are empty"),
        ({"texts": ["", ""]}, ValueError, "all texts are empty"),
        ({"texts": ["aaa"], "vocab_size": 259}, ValueError, "after 2 merges .*vocab_size=258"),
        ({"texts": "one text"}, TypeError, "one string: give several"),
        ({"texts": [b"bytes"]}, TypeError, "a text is a bytes, not a str"),
        ({"texts": ["a \ud800 b"]}, ValueError, r"U\+D800, half of a character"),
        ({"special_tokens": ["<a>", "<b>", "<a>"]}, ValueError, r"twice: \['<a>'\]"),
        ({"special_tokens": [""]}, ValueError, "empty"),
        ({"special_tokens": "<end>"}, ValueError, r"give a list, \['<end>'\]"),
        ({"special_tokens": ["é"]}, ValueError, "ordinary token, too"),
        ({"special_tokens": ["ab"]}, ValueError, "ordinary token, too"),
        ({"pattern": "(a"}, ValueError, "not a regular expression"),
        ({"pattern": "(a)|b"}, ValueError, "captures"),
    ],
)
def test_train_refuses(arguments, kind, message):
    usual = {"texts": ["abababab"], "vocab_size": 258}
    with as_a_reader(), pytest.raises(kind, match=message):
        BPETokenizer.train(**usual | arguments, **quiet)
