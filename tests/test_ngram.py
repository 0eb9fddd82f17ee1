"""The n-gram model: against its definition in plain loops, and worked by hand."""

import re
from collections import Counter
from fractions import Fraction

import numpy
import pytest
import torch
from helpers import as_a_reader

from course_utils.metrics import bits_per_byte
from course_utils.models.ngram import NGram


def plain(text, vocab, order, discount):
    """Interpolated Kneser-Ney from its definition, in fractions: a function (context, word)."""
    grams = {
        n: Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))
        for n in range(1, order + 1)
    }
    counts = {order: grams[order]} if order else {}
    for n in range(1, order):  # how many different longer n-grams end with this one
        counts[n] = Counter(gram[1:] for gram in grams[n + 1])

    def probability(context, word):
        if not order:
            return Fraction(1, vocab)
        n = len(context) + 1
        lower = probability(context[1:], word) if context else Fraction(1, vocab)
        after = {gram[-1]: c for gram, c in counts[n].items() if gram[:-1] == tuple(context)}
        if not (total := sum(after.values())):
            return lower
        kept = max(after.get(word, 0) - discount, Fraction(0))
        return kept / total + discount * len(after) / total * lower

    return probability


def random_text(seed, vocab, length):
    """Tokens that depend on the one before, so that there is something to learn."""
    draw = numpy.random.default_rng(seed)
    text = [0]
    for _ in range(length - 1):
        text.append(int((text[-1] * 2 + draw.choice([0, 1, 2], p=[0.6, 0.3, 0.1])) % vocab))
    return text


@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_ngram_equals_its_definition_in_plain_loops(seed, order):
    vocab, discount = 5, Fraction(1, 2)
    text, held_out = random_text(seed, vocab, 60), random_text(seed + 9, vocab, 40)
    wanted = plain(text, vocab, order, discount)
    found = numpy.exp(NGram(order, vocab, discount=0.5).fit(text).log_probs(held_out))
    for place, word in enumerate(held_out):
        context = tuple(held_out[max(0, place - order + 1) : place]) if order > 1 else ()
        assert found[place] == pytest.approx(float(wanted(context, word)), rel=1e-12)


def test_ngram_kneser_ney_hand_worked():
    """
    San Francisco San Francisco a b: bigrams SF 2, FS 1, Fa 1, ab 1, and D = 1/2.
    Different tokens stand before F: 1 (S), S: 1, a: 1, b: 1, although F is frequent.
    """
    san, francisco, a, b = range(4)
    model = NGram(2, vocab_size=4, discount=0.5).fit([san, francisco, san, francisco, a, b])
    # P(F) = (1 - 1/2) / 4 + 1/2 * 4 / 4 * 1/4 = 1/4; P(F | S) = (2 - 1/2) / 2 + 1/2 * 1/2 * 1/4
    found = numpy.exp(model.log_probs([san, francisco]))
    assert found == pytest.approx([1 / 4, 3 / 4 + 1 / 16])
    # P(b | F) was never seen: 1/2 * 2 / 2 * P(b) = 1/8; after b nothing was: P(F | b) = P(F)
    found = numpy.exp(model.log_probs([francisco, b, francisco]))
    assert found == pytest.approx([1 / 4, 1 / 8, 1 / 4])


def test_ngram_of_frequencies_only_hand_worked():
    """Order 1 counts tokens themselves: 3, 1 and 0 of 4, and D = 1/2."""
    found = numpy.exp(NGram(1, 3, discount=0.5).fit([0, 0, 1, 0]).log_probs([0, 1, 2]))
    rest = 0.5 * 2 / 4 / 3
    assert found == pytest.approx([2.5 / 4 + rest, 0.5 / 4 + rest, rest])


def test_ngram_estimates_three_discounts_hand_worked():
    """Frequencies of frequencies 4, 2, 1, 1: Y = 4 / 8, D = 1 - 1/2, 2 - 3/4, 3 - 2."""
    text = [0, 1, 2, 3, *[4] * 2, *[5] * 2, *[6] * 3, *[7] * 4]
    found = numpy.exp(NGram(1, 9).fit(text).log_probs(range(9))) * len(text)
    rest = (4 * 0.5 + 2 * 1.25 + 2 * 1.0) / 9
    assert found == pytest.approx([x + rest for x in [*[0.5] * 4, 0.75, 0.75, 2.0, 3.0, 0.0]])


@pytest.mark.parametrize("discount", [None, 0.3])
@pytest.mark.parametrize("order", [0, 1, 2, 3, 5])
def test_ngram_probabilities_of_all_tokens_add_up_to_one(order, discount):
    vocab = 7
    text = random_text(0, vocab, 300)
    model = NGram(order, vocab, discount).fit(text)
    drawn = numpy.random.default_rng(1).integers(0, vocab, (20, 5)).tolist()
    for context in ([], [6], text[-4:], *drawn):
        after = [numpy.exp(model.log_probs([*context, word])[-1]) for word in range(vocab)]
        assert sum(after) == pytest.approx(1.0, abs=1e-12)
        assert min(after) > 0


@pytest.fixture(scope="module")
def real_text():
    """Python's own language reference as words: training and held-out ids, their bytes, V."""
    from pydoc_data.topics import topics

    text = " ".join(topics[name] for name in sorted(topics))
    words = re.findall(r"\w+|\s+|[^\w\s]", text)
    known = {word: place for place, word in enumerate(dict.fromkeys(words))}
    ids, cut = [known[word] for word in words], int(0.9 * len(words))
    return ids[:cut], ids[cut:], len("".join(words[cut:]).encode()), len(known)


def test_ngram_longer_is_better_on_real_text(real_text):
    train, held_out, size, vocab = real_text
    bits = [
        bits_per_byte(NGram(order, vocab).fit(train).log_probs(held_out), size)
        for order in (0, 1, 2, 5)
    ]
    assert bits == sorted(bits, reverse=True)
    assert bits[2] > 1.1 * bits[3], f"the bigram is not clearly worse: {bits}"


def test_ngram_estimated_discounts_are_better_than_one_on_real_text(real_text):
    train, held_out, size, vocab = real_text
    three, one = (
        bits_per_byte(NGram(5, vocab, discount).fit(train).log_probs(held_out), size)
        for discount in (None, 0.5)
    )
    assert three < one


@pytest.mark.slow
def test_ngram_of_order_five_fits_a_million_and_a_half_tokens_in_seconds():
    import time

    text = numpy.random.default_rng(0).zipf(1.3, 1_500_000) % 2048
    begin = time.process_time()
    NGram(5, 2048).fit(text).log_probs(text[:100_000])
    assert time.process_time() - begin < 15


def test_ngram_takes_lists_arrays_and_tensors():
    text = random_text(2, 5, 50)
    wanted = NGram(3, 5).fit(text).log_probs(text)
    for kind in (torch.tensor, numpy.array, lambda x: torch.tensor(x, dtype=torch.int32)):
        assert (NGram(3, 5).fit(kind(text)).log_probs(kind(text)) == wanted).all()
    assert NGram(3, 5).fit(text).log_probs([]).shape == (0,)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"order": -1}, "order is 0 or more, got -1"),
        ({"vocab_size": 0}, "a token at least, got 0"),
        ({"discount": 0.0}, "above 0 and below 1, got 0.0"),
        ({"discount": 1.0}, "above 0 and below 1, got 1.0"),
    ],
)
def test_ngram_wrong_numbers_are_an_error(numbers, message):
    with pytest.raises(ValueError, match=message):
        NGram(**{"order": 2, "vocab_size": 5} | numbers)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([0, 1, 5], "ids are 0 to 4, got 0 to 5"),
        ([0, -1, 2], "ids are 0 to 4, got -1 to 2"),
        ([[0, 1], [2, 3]], r"one row of whole numbers, got int64 \(2, 2\)"),
        ([0.0, 1.0, 2.0], "one row of whole numbers, got float64"),
        ([0, 1], "order 3 needs 3 tokens or more, got 2"),
    ],
)
def test_ngram_wrong_ids_are_an_error(ids, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        NGram(3, 5).fit(ids)


def test_ngram_before_it_has_counted_is_an_error():
    with pytest.raises(RuntimeError, match=r"call fit\(ids\) first"):
        NGram(2, 5).log_probs([1, 2])
