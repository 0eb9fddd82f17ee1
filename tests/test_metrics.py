"""Metrics against sacreBLEU and against numbers worked by hand."""

import math
import random

import pytest
import sacrebleu
import torch

from course_utils.metrics import (
    alignment_error_rate,
    bits_per_byte,
    bleu,
    distinct_n,
    exact_match,
    perplexity,
    repetition,
    strongest_links,
)


def some_sentences(seed, count=20):
    """Hypotheses and 1 to 3 references each, made by changing words."""
    rng = random.Random(seed)
    words = ["the", "a", "cat", "dog", "sat", "ran", "on", "under", "mat", "house", ".", ",", "!"]
    hypotheses, references = [], []
    for _ in range(count):
        base = rng.choices(words, k=rng.randrange(5, 12))
        changed = [
            " ".join(rng.choice(words) if rng.random() < 0.2 else word for word in base)
            for _ in range(rng.randrange(1, 4))
        ]
        hypotheses.append(" ".join(base))
        references.append(changed)
    return hypotheses, references


@pytest.mark.parametrize("tokenize", ["none", "13a", "char"])
def test_bleu_with_one_reference_equals_sacrebleu(tokenize):
    hypotheses, references = some_sentences(seed=0)
    single = [several[0] for several in references]
    wanted = sacrebleu.corpus_bleu(hypotheses, [single], tokenize=tokenize, force=True).score
    assert bleu(hypotheses, single, tokenize) == wanted
    assert 10 < wanted < 90


@pytest.mark.parametrize("seed", range(3))
def test_bleu_with_references_of_different_numbers_equals_sacrebleu(seed):
    """A reference that is repeated changes no count: so every row is filled up to three."""
    hypotheses, references = some_sentences(seed)
    assert {len(several) for several in references} == {1, 2, 3}
    filled = [(several * 3)[: max(3, len(several))] for several in references]
    streams = [list(stream) for stream in zip(*filled, strict=True)]
    wanted = sacrebleu.corpus_bleu(hypotheses, streams, tokenize="none", force=True).score
    assert bleu(hypotheses, references) == pytest.approx(wanted, abs=1e-9)
    assert wanted != bleu(hypotheses, [several[0] for several in references])


def test_bleu_hand_worked():
    # n-grams found: 4/5, 3/4, 2/3, 1/2; equal lengths, so no brevity penalty
    # BLEU = (4/5 * 3/4 * 2/3 * 1/2) ** (1/4) = 0.2 ** 0.25 = 0.6687
    assert bleu(["a b c d x"], ["a b c d e"]) == pytest.approx(66.874, abs=1e-3)


def test_bleu_of_perfect_and_of_foreign_translations():
    hypotheses, references = some_sentences(seed=1)
    assert bleu(
        hypotheses, [[*several, own] for several, own in zip(references, hypotheses, strict=True)]
    ) == (pytest.approx(100.0))
    assert bleu(["x y z w v", ""], ["a b c d e", "a b"]) == pytest.approx(0.0, abs=1e-9)


def test_exact_match_counts_hits_of_any_reference():
    assert exact_match(["a b", "c"], ["a b", "d"]) == 0.5
    assert exact_match(["a b", "c", "d"], [["x", "a b"], ["c"], ["e", "f", "d e"]]) == 2 / 3
    assert exact_match(["a"], ["a b"]) == 0.0  # a part of the reference is no hit


@pytest.mark.parametrize("metric", [bleu, exact_match])
@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        (["a"], ["a", "b"], "1 hypotheses and 2 references"),
        ([], [], "nothing to score"),
        (["a", "b"], [["a"], []], "hypothesis 1 has no reference"),
    ],
)
def test_metrics_wrong_lists_are_an_error(metric, hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        metric(hypotheses, references)


@pytest.mark.parametrize("metric", [bleu, exact_match])
def test_metrics_one_string_instead_of_a_list_is_an_error(metric):
    with pytest.raises(TypeError, match="got one string"):
        metric("a cat", "a cat")


def test_alignment_error_rate_hand_worked():
    predicted = [{(0, 0), (1, 1), (2, 1)}, [(0, 1)]]
    gold = [{(0, 0), (1, 1), (2, 2)}, [(0, 0), (1, 1)]]
    # |A and G| = 2 + 0, |A| = 3 + 1, |G| = 3 + 2: 1 - 2 * 2 / (4 + 5) = 5/9
    assert alignment_error_rate(predicted, gold) == pytest.approx(5 / 9)


def test_alignment_error_rate_is_over_the_corpus_not_the_mean_of_sentences():
    predicted = [[(0, 0)], [(k, k) for k in range(9)]]
    gold = [[(0, 1)], [(k, k) for k in range(9)]]
    assert alignment_error_rate(predicted, gold) == pytest.approx(1 - 18 / 20)


def test_alignment_error_rate_ends_and_repeats():
    assert alignment_error_rate([[(0, 0), (0, 0)]], [[(0, 0)]]) == 0.0
    assert alignment_error_rate([[(0, 0)]], [[(0, 1)]]) == 1.0
    assert alignment_error_rate([[]], [[(0, 1)]]) == 1.0
    assert alignment_error_rate([iter([(0, 0)])], [iter([(0, 0)])]) == 0.0


def test_alignment_error_rate_wrong_lists_are_an_error():
    with pytest.raises(ValueError, match="links of 1 sentences and gold of 2"):
        alignment_error_rate([[(0, 0)]], [[(0, 0)], []])
    with pytest.raises(ValueError, match="no link"):
        alignment_error_rate([[]], [[]])


def test_strongest_links_are_source_and_target_positions():
    weights = torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.4, 0.1]])
    # the first target word looks at source word 1, the second at source word 0
    assert strongest_links(weights) == [(1, 0), (0, 1)]
    assert strongest_links(weights[:1, 1:]) == [(0, 0)]


def test_perplexity_is_exp_of_the_mean_cross_entropy():
    logits = torch.randn(40, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    ids = torch.arange(40) % 9
    log_probs = logits.log_softmax(dim=-1).gather(1, ids[:, None]).squeeze(1)
    wanted = torch.nn.functional.cross_entropy(logits, ids).exp().item()
    for kind in (log_probs, log_probs.numpy(), log_probs.tolist()):
        assert perplexity(kind) == pytest.approx(wanted)


def test_perplexity_of_equally_likely_tokens_is_their_number():
    assert perplexity([math.log(1 / 50)] * 7) == pytest.approx(50)
    assert perplexity([0.0, 0.0]) == 1


def test_bits_per_byte_does_not_depend_on_how_text_is_cut_into_tokens():
    """8 bits for each of 6 bytes: as 6 tokens of 1/256, or as 3 tokens of 1/65536."""
    assert bits_per_byte([math.log(1 / 256)] * 6, 6) == pytest.approx(8)
    assert bits_per_byte(torch.full((3,), -math.log(65536)), 6) == pytest.approx(8)


@pytest.mark.parametrize("measure", [perplexity, lambda log_probs: bits_per_byte(log_probs, 5)])
@pytest.mark.parametrize(
    ("log_probs", "message"),
    [
        ([], "no log-probabilities"),
        ([-1.0, 0.5], "0 or less, got 0.5"),
        ([-1.0, math.nan], "0 or less, got nan"),
    ],
)
def test_log_probabilities_that_are_none_are_an_error(measure, log_probs, message):
    with pytest.raises(ValueError, match=message):
        measure(log_probs)


def test_bits_per_byte_of_no_bytes_is_an_error():
    with pytest.raises(ValueError, match="1 byte or more, got 0"):
        bits_per_byte([-1.0], 0)


def test_distinct_n_hand_worked():
    texts = [[1, 2, 1, 2], [1, 2, 3], [4]]
    assert distinct_n(texts, 1) == 4 / 8
    assert distinct_n(texts, 2) == 3 / 5  # 12 21 12 12 23: no pair reaches over two texts
    assert distinct_n(texts, 3) == 3 / 3
    assert distinct_n(["aaa", "ab"], 2) == 2 / 3
    assert distinct_n(torch.tensor([[5, 5, 5], [5, 6, 5]]), 2) == 3 / 4


def test_repetition_hand_worked():
    assert repetition([1, 2, 3, 1, 2, 3, 1], n=2) == pytest.approx(3 / 6)
    assert repetition([1, 2, 3, 4, 5]) == 0
    for loop in ([7] * 104, torch.full((104,), 7)):
        assert repetition(loop) == pytest.approx(1 - 1 / 101)


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: distinct_n([[1, 2]], 0), "1 token or more, got n = 0"),
        (lambda: distinct_n([[1, 2], []], 3), "no sequence has 3 tokens"),
        (lambda: distinct_n([], 1), "no sequence has 1 tokens"),
        (lambda: repetition([1, 2, 3]), "no sequence has 4 tokens"),
    ],
)
def test_ngrams_that_are_not_there_are_an_error(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()
