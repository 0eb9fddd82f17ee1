"""Unigram: hand-worked sums, all cuts counted one by one, the library's cuts and likelihood."""

import json
import math
import random
from collections import Counter
from itertools import pairwise

import pytest
from helpers import as_a_reader
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from course_utils.tokenizers import unigram
from course_utils.tokenizers.naive import TOY_CORPUS
from course_utils.tokenizers.unigram import (
    MARK,
    UNKNOWN,
    UnigramTokenizer,
    best_path,
    expected_counts,
    forward,
    improve,
    last_piece,
    prune,
    seed_pieces,
    split_marked,
)

fast = settings(max_examples=40, deadline=None, database=None, derandomize=True)
# Few different scores, and halves: sums are exact, and many cuts are equally good.
TIED = st.sampled_from([-1.0, -1.5, -2.0, -3.0, -4.5])
PIECES = st.dictionaries(st.text("abc", min_size=1, max_size=4), TIED, min_size=1)
WORDS = st.text("abcxé", max_size=12)
TOY = {MARK + word: count for word, count in TOY_CORPUS.items()}


def chances(**pieces):
    """A tokenizer of pieces and their probabilities."""
    return UnigramTokenizer({piece: math.log(chance) for piece, chance in pieces.items()})


SMALL = chances(a=0.1, b=0.1, c=0.1, ab=0.3, bc=0.2, abc=0.2)


def all_cuts(model, word):
    """Each way to cut a word, and its score."""
    if not word:
        yield [], 0.0
    for end in range(1, len(word) + 1):
        if word[:end] in model.scores:
            for rest, score in all_cuts(model, word[end:]):
                yield [word[:end], *rest], model.scores[word[:end]] + score


def text_for_training():
    """English that every Python carries; its exact words depend on the version."""
    from pydoc_data.topics import topics

    return ["\n".join(topics[name] for name in sorted(topics))[:12_000]]


# Cutting.


def test_split_marked_hand_worked():
    assert split_marked(" one  two,\nthree") == ["▁one", "▁two,", "▁three"]
    assert split_marked(" \t") == []


def test_lattice_hand_worked():
    model = UnigramTokenizer({"a": -1.0, "ab": -2.0, "b": -3.0})
    assert model.lattice("abx") == [[(0, -1.0)], [(0, -2.0), (1, -3.0)], [(2, -13.0)]]
    assert model.lattice("") == []


def test_segment_hand_worked():
    # ab c: 0.3 * 0.1; a bc: 0.1 * 0.2; abc: 0.2; a b c: 0.001
    assert SMALL.segment("abc") == ["abc"]
    assert math.exp(best_path(SMALL.lattice("abcab"))[0]) == pytest.approx(0.2 * 0.3)
    assert SMALL.segment("abcab") == ["abc", "ab"] and SMALL.segment("bcc") == ["bc", "c"]
    assert SMALL.segment("") == []


def test_segment_of_unknown_characters_joins_them():
    assert SMALL.segment("xyabéaz") == ["xy", "ab", "é", "a", "z"]
    assert UnigramTokenizer({"ab": -1.0}).segment("aab") == ["a", "ab"]


def test_segment_of_equal_scores_takes_the_longest_last_piece():
    model = UnigramTokenizer({"a": -1.0, "aa": -1.0})
    assert model.segment("aaa") == ["a", "aa"]


@fast
@given(PIECES, st.lists(WORDS, min_size=5, max_size=5))
def test_segment_equals_the_library_ties_and_unknown_characters_included(scores, words):
    library = models.Unigram([(UNKNOWN, 0.0), *scores.items()], 0, False)
    model = UnigramTokenizer(scores)
    for word in words:
        found = library.tokenize(word)
        assert model.segment(word) == [token.value for token in found]
        ids = [token.id for token in found]
        assert [model._ids.get(piece, 0) for piece in model.segment(word)] == ids


@fast
@given(PIECES, st.text("abc", max_size=7))
def test_sums_equal_those_over_all_cuts(scores, word):
    model = UnigramTokenizer(scores | dict.fromkeys("abc", -2.5))
    cuts = list(all_cuts(model, word))
    for alpha in (1.0, 0.3):
        total = sum(math.exp(alpha * score) for _, score in cuts)
        assert math.exp(forward(model.lattice(word), alpha)[-1]) == pytest.approx(total)
    assert best_path(model.lattice(word))[0] == pytest.approx(max(score for _, score in cuts))
    assert model.log_likelihood({word: 3}) == pytest.approx(
        3 * math.log(sum(math.exp(score) for _, score in cuts))
    )


def test_sums_of_very_long_words_are_finite():
    model = chances(a=0.5, aa=0.5)
    assert -2000 < model.log_likelihood({"a" * 3000: 1}) < 0
    assert len(model.segment("a" * 3000)) == 1500


# Drawing.


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0, 2.0])
def test_sample_follows_the_power_of_the_probabilities(alpha):
    cuts = {tuple(cut): math.exp(alpha * score) for cut, score in all_cuts(SMALL, "abcab")}
    total, draws, rng = sum(cuts.values()), 1500, random.Random(0)
    found = Counter(tuple(SMALL.sample("abcab", alpha, rng)) for _ in range(draws))
    assert set(found) <= set(cuts) and len(cuts) == 8
    for cut, share in cuts.items():
        p = share / total
        assert abs(found[cut] / draws - p) < 4 * math.sqrt(p * (1 - p) / draws) + 1e-9


def test_sample_with_a_large_alpha_is_the_best_cut():
    assert all(SMALL.sample("abcab", 500.0) == ["abc", "ab"] for _ in range(20))


def test_sample_depends_on_the_generator_alone():
    draws = [[SMALL.sample("abcabcab", 0.2, random.Random(s)) for s in range(9)] for _ in "12"]
    assert draws[0] == draws[1] and len(set(map(tuple, draws[0]))) > 1
    assert SMALL.sample("", 1.0) == [] and SMALL.sample("xya", 0.5) == ["xy", "a"]


@pytest.mark.parametrize("alpha", [-0.1, math.inf, math.nan])
def test_sample_with_a_wrong_alpha_is_an_error(alpha):
    with pytest.raises(ValueError, match="alpha is 0 or more and finite, got"):
        SMALL.sample("abc", alpha)


# Training.


def test_seed_pieces_hand_worked():
    # at 6 times, two letters; ▁c 4 x 2; ca 4 x 2; cat, ▁ca 4 x 3; ▁cat 4 x 4; ▁at 2 x 3; ▁a 2 x 2
    seeds = seed_pieces({"▁at": 2, "▁cat": 4}, 7, 16)
    assert list(seeds) == ["a", "c", "t", "▁", "▁cat", "at", "cat"]  # 12 and 12: alphabet
    total = 6 + 4 + 6 + 6 + 16 + 12 + 12
    wanted = {"a": 6, "c": 4, "t": 6, "▁": 6, "▁cat": 16, "at": 12, "cat": 12}
    assert {p: math.exp(s) * total for p, s in seeds.items()} == pytest.approx(wanted)
    assert max(map(len, seed_pieces({"▁at": 2, "▁cat": 4}, 99, 3))) == 3
    assert list(seed_pieces({"ab": 1}, 99, 9)) == ["a", "b"]  # what occurs once is no piece


def test_expected_counts_hand_worked():
    # abc: 0.2; ab c: 0.03; a bc: 0.02; a b c: 0.001; together 0.251
    expected = expected_counts(SMALL, {"abc": 2, "b": 5})
    wanted = {"abc": 0.2, "ab": 0.03, "bc": 0.02, "a": 0.021, "c": 0.031}
    wanted = {piece: 2 * share / 0.251 for piece, share in wanted.items()}
    assert expected == pytest.approx(wanted | {"b": 5 + 2 * 0.001 / 0.251})


@fast
@given(PIECES, st.text("abc", min_size=1, max_size=7))
def test_expected_counts_equal_those_over_all_cuts(scores, word):
    model = UnigramTokenizer(scores | dict.fromkeys("abc", -2.5))
    wanted = dict.fromkeys(model.scores, 0.0)
    total = sum(math.exp(score) for _, score in all_cuts(model, word))
    for cut, score in all_cuts(model, word):
        for piece in cut:
            wanted[piece] += 3 * math.exp(score) / total
    assert expected_counts(model, {word: 3}) == pytest.approx(wanted)


def test_last_piece_probabilities_sum_to_one():
    lattice = SMALL.lattice("abcab")
    for alpha in (0.5, 1.0):
        sums = forward(lattice, alpha)
        for end in range(1, 6):
            found = last_piece(lattice, sums, end, alpha)
            assert sum(chance for _, chance in found) == pytest.approx(1)


def test_improve_makes_words_more_probable_each_time():
    model = UnigramTokenizer(seed_pieces(TOY, 30, 16))
    likelihoods = [model.log_likelihood(TOY)]
    for _ in range(6):
        model = improve(model, TOY)
        likelihoods.append(model.log_likelihood(TOY))
        assert sum(map(math.exp, model.scores.values())) == pytest.approx(1)
    assert all(old < new + 0.02 for old, new in pairwise(likelihoods))
    assert likelihoods[-1] > likelihoods[0] + 5


def test_prune_keeps_characters_and_what_costs_most():
    scores = {"a": -3.0, "b": -3.0, "c": -4.0, "ab": -2.0, "bc": -6.5, "abc": -5.0}
    model, words = UnigramTokenizer(scores), {"ab": 10, "abc": 3, "bc": 8}
    # ab: 10 uses x (6 - 2); abc: 3 uses x (2 + 4 - 5); bc: 8 uses x (7 - 6.5)
    assert [model.segment(word) for word in words] == [["ab"], ["abc"], ["bc"]]
    assert list(prune(model, words, 5).scores) == ["a", "b", "c", "ab", "bc"]
    assert list(prune(model, words, 4).scores) == ["a", "b", "c", "ab"]
    assert list(prune(model, {"c": 1}, 3).scores) == ["a", "b", "c"]


def test_train_on_the_toy_corpus():
    texts = [" ".join([word] * count) for word, count in TOY_CORPUS.items()]
    model = UnigramTokenizer.train(texts, 12)
    assert len(model) == 12 and model.vocab[0] == UNKNOWN
    assert {MARK, *"acemst"} <= set(model.scores)
    assert list(model.scores.values()) == sorted(model.scores.values(), reverse=True)
    assert sum(map(math.exp, model.scores.values())) == pytest.approx(1)
    assert {p for p in model.scores if len(p) > 1} == {"▁mat", "▁cat", "▁ate", "▁eat"}
    assert model.tokens("mats ate") == ["▁mat", "s", "▁ate"]
    assert UnigramTokenizer.train(reversed(texts), 12).scores == pytest.approx(model.scores)


def test_train_takes_every_size_that_it_can():
    texts = ["cat mat mats ate ate eat cat mats mat"]
    smallest = 1 + len(set(MARK + texts[0]) - {" "})
    for size in range(smallest, smallest + 12):
        assert len(UnigramTokenizer.train(texts, size)) == size
    longest = UnigramTokenizer.train(texts, smallest + 5, longest_piece=2).scores
    assert max(map(len, longest)) == 2


def test_train_on_a_text_that_says_unknown():
    model = UnigramTokenizer.train(["<unk> and <unk> or <unk>"] * 3, 20)
    assert UNKNOWN not in model.scores
    assert 0 not in model.encode("<unk>") and model.decode(model.encode("<unk>")) == "<unk>"


@pytest.mark.parametrize(
    ("texts", "size", "options", "message"),
    [
        ([], 10, {}, "no word to learn from"),
        ([" ", "\n"], 10, {}, "no word to learn from"),
        (["ab ba"], 3, {}, "vocab_size 3 is too small: the 3 characters .* take 4"),
        (["ab ba"], 0, {}, "vocab_size 0 is too small"),
        (["ab ba"], 5, {}, "the texts give 4 pieces, not 5"),
        (["ab ab"], 5, {"shrink": 1.0}, "shrink is between 0 and 1, got 1.0"),
        (["ab ab"], 5, {"shrink": 0.0}, "shrink is between 0 and 1, got 0.0"),
    ],
)
def test_train_with_wrong_arguments_is_an_error(texts, size, options, message):
    with pytest.raises(ValueError, match=message):
        UnigramTokenizer.train(texts, size, **options)


def library_pieces(texts, size):
    """The pieces and scores of the library's trainer."""
    tokenizer = Tokenizer(models.Unigram())
    parts = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    trainer = trainers.UnigramTrainer(vocab_size=size, show_progress=False, unk_token=UNKNOWN)
    tokenizer.train_from_iterator(texts, trainer)
    scores = dict(json.loads(tokenizer.to_str())["model"]["vocab"])
    scores.pop(UNKNOWN)
    return scores


@pytest.mark.slow
def test_train_reaches_the_likelihood_of_the_library(monkeypatch):
    texts, size = text_for_training(), 200
    words = Counter(word for text in texts for word in split_marked(text))
    theirs = UnigramTokenizer(library_pieces(texts, size))
    assert len(theirs) == size
    with as_a_reader():
        ours = UnigramTokenizer.train(texts, size)
    # Ours is better; a little, or 10 % and more on larger texts. Both are negative.
    assert ours.log_likelihood(words) > 1.01 * theirs.log_likelihood(words)
    monkeypatch.setattr(
        unigram, "seed_pieces", lambda counts, *a: seed_pieces(dict.fromkeys(counts, 1), *a)
    )
    # With the library's way to count the first pieces (see `seed_pieces`) they are near each other.
    with as_a_reader():
        alike = UnigramTokenizer.train(texts, size, seed_factor=20)
    assert alike.log_likelihood(words) == pytest.approx(theirs.log_likelihood(words), rel=0.04)


# There and back.


def test_encode_and_decode_hand_worked():
    model = UnigramTokenizer({"▁": -3.0, "▁ca": -2.0, "t": -2.0, "s": -2.0})
    assert model.vocab == {0: UNKNOWN, 1: "▁", 2: "▁ca", 3: "t", 4: "s"}
    assert model.tokens("cats  tó") == ["▁ca", "t", "s", "▁", "t", "ó"]
    assert model.encode("cats  tó") == [2, 3, 4, 1, 3, 0]
    assert model.decode([2, 3, 4, 1, 3, 0]) == "cats t<unk>" and model.decode([]) == ""
    assert model.encode("") == [] and model.special_tokens == {UNKNOWN: 0} and len(model) == 5


@fast
@given(st.lists(st.text("catms", min_size=1), min_size=1))
def test_round_trip_of_known_characters(words):
    model = chances(**dict.fromkeys("catms▁", 0.1), **{"▁ca": 0.2, "at": 0.2})
    text = " ".join(words)
    assert model.decode(model.encode(text)) == text


@pytest.mark.parametrize("index", [-1, 7])
def test_decode_of_an_id_outside_the_vocabulary_is_an_error(index):
    with pytest.raises(ValueError, match=f"id {index} is outside the vocabulary of 7"):
        SMALL.decode([1, index])


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "there are no pieces"),
        ({"a": math.nan}, "a finite score, got {'a': nan}"),
        ({"a": -1.0, "b": -math.inf}, "a finite score, got {'b': -inf}"),
        ({"": -1.0}, "a piece has letters"),
        ({"a": -1.0, UNKNOWN: -1.0}, "<unk> has id 0 by itself"),
    ],
)
def test_wrong_pieces_are_an_error(scores, message):
    with pytest.raises(ValueError, match=message):
        UnigramTokenizer(scores)
