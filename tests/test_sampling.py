"""Choosing the next token: against transformers' logits processors, and worked by hand."""

import math
from functools import partial

import helpers
import pytest
import torch
from helpers import as_a_reader
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from course_utils.sampling import (
    filtered,
    greedy,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_repetition,
    sample,
    with_temperature,
)

one_thread = helpers.one_thread
INF = math.inf

# Few values, so that ties are frequent; hidden tokens; extreme values.
VALUES = st.one_of(
    st.sampled_from([-INF, -1e30, -300.0, -1.0, -0.0, 0.0, 0.5, 1.0, 300.0, 1e30]),
    st.floats(-8, 8, width=32),
)


@st.composite
def logits_of_rows(draw):
    """A few rows of logits, each with a token that is not hidden."""
    size, rows = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    row = st.lists(VALUES, min_size=size, max_size=size).filter(lambda r: max(r) > -INF)
    return torch.tensor(draw(st.lists(row, min_size=rows, max_size=rows)))


@st.composite
def text_and_logits(draw):
    """Logits, ids so far and which of them are padding, on the left as in generation."""
    logits = draw(logits_of_rows())
    rows, size = logits.shape
    length = draw(st.integers(1, 6))
    row = st.lists(st.integers(0, size - 1), min_size=length, max_size=length)
    ids = torch.tensor(draw(st.lists(row, min_size=rows, max_size=rows)))
    pads = draw(st.lists(st.integers(0, length - 1), min_size=rows, max_size=rows))
    return logits, ids, torch.arange(length) >= torch.tensor(pads)[:, None]


def library(logits, steps, ids=None, mask=None):
    """The scores after some of transformers' processors, in their order in its `generate`."""
    made = LogitsProcessorList()
    if steps.get("repetition_penalty", 1.0) != 1.0:
        pads = None if mask is None else (mask != 0).int().argmax(dim=1)
        made.append(RepetitionPenaltyLogitsProcessor(steps["repetition_penalty"], pads))
    kinds = {
        "temperature": TemperatureLogitsWarper,
        "top_k": TopKLogitsWarper,
        "top_p": TopPLogitsWarper,
        "min_p": MinPLogitsWarper,
    }
    made += [kind(steps[name]) for name, kind in kinds.items() if name in steps]
    ids = torch.zeros(len(logits), 1, dtype=torch.long) if ids is None else ids
    return made(ids, logits.clone())


def assert_same(found, wanted):
    """Bit for bit, -inf included."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("seed", range(4))
def test_filtered_of_a_large_vocabulary_equals_the_library(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(8, 5000, generator=generator)
    ids = torch.randint(0, 5000, (8, 40), generator=generator)
    choices = {"repetition_penalty": 1.3, "temperature": 0.8, "top_k": 400, "top_p": 0.95}
    choices["min_p"] = 0.001 * (seed + 1)
    wanted = library(logits, choices, ids).softmax(dim=-1)
    assert_same(filtered(logits, ids=ids, **choices), wanted)
    assert 1 < (wanted > 0).sum(dim=-1).float().median() < 400


def test_order_of_filters_is_the_one_of_generate():
    """What `generate` itself builds from the same choices."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_head=1, n_embd=4, vocab_size=9, n_positions=8))
    choices = {"repetition_penalty": 1.3, "temperature": 0.7, "top_k": 3, "top_p": 0.6}
    choices |= {"min_p": 0.1}
    settings = model._prepare_generation_config(None, do_sample=True, **choices)[0]
    prompt = torch.tensor([[1, 2, 3]])
    model._prepare_special_tokens(settings, kwargs_has_attention_mask=True)
    built = model._get_logits_processor(settings, input_ids_seq_length=3)
    assert len(built) == 5
    logits = torch.randn(1, 9, generator=torch.Generator().manual_seed(0))
    wanted = built(prompt, logits.clone()).softmax(dim=-1)
    assert_same(filtered(logits, ids=prompt, **choices), wanted)


def probabilities(*rows):
    return torch.tensor(rows, dtype=torch.float64).log()


def test_with_temperature_is_boltzmann_hand_worked():
    # odds of 4 : 1 become 4^(1/T) : 1
    found = filtered(probabilities([0.8, 0.2], [0.5, 0.5]), temperature=0.5)
    wanted = torch.tensor([[16 / 17, 1 / 17], [0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(found, wanted)
    found = filtered(probabilities([0.8, 0.2], [0.5, 0.5]), temperature=2.0)
    torch.testing.assert_close(found[0], torch.tensor([2 / 3, 1 / 3], dtype=torch.float64))


@pytest.mark.parametrize(
    ("k", "kept"), [(1, [[0], [1, 2]]), (2, [[0, 1], [1, 2]]), (3, [[0, 1, 2], [0, 1, 2, 3]])]
)
def test_keep_top_k_keeps_ties_with_the_last(k, kept):
    logits = torch.tensor([[5.0, 4.0, 3.0, 2.0], [1.0, 7.0, 7.0, 1.0]])
    found = keep_top_k(logits, k)
    assert [row.isfinite().nonzero().flatten().tolist() for row in found] == kept
    assert (found == logits)[found.isfinite()].all()


@pytest.mark.parametrize(
    ("p", "kept"), [(0.3, [2]), (0.5, [2]), (0.6, [0, 2]), (0.81, [0, 1, 2]), (1.0, [0, 1, 2])]
)
def test_keep_top_p_is_the_smallest_nucleus_hand_worked(p, kept):
    """0.25 + 0.5 = 0.75 is enough for 0.6, and not for 0.81; a hidden token stays hidden."""
    found = keep_top_p(probabilities([0.25, 0.25 - 1e-9, 0.5, 0.0]), p)
    assert found.isfinite().nonzero()[:, 1].tolist() == kept


def test_keep_top_p_of_tokens_that_tie_keeps_only_what_it_needs():
    found = keep_top_p(torch.zeros(2, 8), 0.5)
    assert found.isfinite().sum(dim=-1).tolist() == [4, 4]


def test_keep_min_p_is_relative_to_the_best_hand_worked():
    logits = probabilities([0.6, 0.3, 0.1], [0.34, 0.33, 0.33])
    kept = lambda share: keep_min_p(logits, share).isfinite().sum(dim=-1).tolist()  # noqa: E731
    assert kept(0.1) == [3, 3]
    assert kept(0.4) == [2, 3]
    assert kept(0.98) == [1, 1]
    assert kept(0.0) == [3, 3]
    assert keep_min_p(torch.zeros(1, 4), 1.0).isfinite().all()  # as good as the best


def test_penalise_repetition_counts_each_token_once_and_no_padding():
    logits = torch.tensor([[2.0, -2.0, 1.0, 4.0]] * 2)
    ids = torch.tensor([[3, 3, 1, 1], [-100, 1, 1, 1]])
    mask = torch.tensor([[True] * 4, [False, True, True, True]])
    found = penalise_repetition(logits, ids, 2.0, mask)
    assert found.tolist() == [[2.0, -4.0, 1.0, 2.0], [2.0, -4.0, 1.0, 4.0]]
    assert logits.tolist() == [[2.0, -2.0, 1.0, 4.0]] * 2


def test_penalise_repetition_of_no_text_changes_nothing():
    logits = torch.tensor([[2.0, -2.0]])
    assert_same(penalise_repetition(logits, torch.zeros(1, 0).long(), 2.0), logits)


FILTERS = {
    "temperature": partial(with_temperature, temperature=0.5),
    "top-k": partial(keep_top_k, k=2),
    "top-p": partial(keep_top_p, p=0.5),
    "min-p": partial(keep_min_p, min_p=0.5),
    "penalty": lambda logits: penalise_repetition(
        logits, torch.zeros(len(logits), 1, dtype=torch.long), 2.0
    ),
    "filtered": filtered,
    "sample": sample,
    "greedy": greedy,
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize(
    ("logits", "message"),
    [
        ([[0.0, 1.0], [math.nan, 1.0]], "row 1 of the logits holds nan"),
        ([[0.0, INF], [0.0, 1.0]], "row 0 of the logits holds inf"),
        ([[0.0, 1.0], [-INF, -INF]], "row 1 of the logits hides every token"),
        ([[], []], r"with a token at least, got the shape \(2, 0\)"),
        ([0.0, 1.0], r"rows x vocabulary, with a token at least, got the shape \(2,\)"),
    ],
)
def test_logits_that_are_wrong_are_an_error(name, logits, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        FILTERS[name](torch.tensor(logits))


@pytest.mark.parametrize("name", FILTERS)
def test_no_rows_and_one_token_are_no_error(name):
    assert len(FILTERS[name](torch.zeros(0, 3))) == 0
    assert len(FILTERS[name](torch.zeros(2, 1))) == 2


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"temperature": 0.0}, "above 0, got 0.0: .* use greedy"),
        ({"temperature": -1.0}, "above 0, got -1.0: .* use greedy"),
        ({"temperature": math.nan}, "temperature is a number above 0, got nan"),
        ({"temperature": INF}, "temperature is a number above 0, got inf"),
        ({"temperature": 1e-39}, "1e-39 is too small: the logits overflow. .* use greedy"),
        ({"top_k": 0}, "1 or more, got 0"),
        ({"top_k": -3}, "1 or more, got -3"),
        ({"top_k": 2.5}, "whole number of tokens, 1 or more, got 2.5"),
        ({"top_p": 0.0}, "above 0 and at most 1, got 0.0"),
        ({"top_p": 1.01}, "above 0 and at most 1, got 1.01"),
        ({"top_p": math.nan}, "above 0 and at most 1, got nan"),
        ({"min_p": -0.1}, "from 0 to 1, got -0.1"),
        ({"min_p": 1.1}, "from 0 to 1, got 1.1"),
        ({"repetition_penalty": 0.0}, "penalty is a number above 0, got 0.0"),
        ({"repetition_penalty": -1.0}, "penalty is a number above 0, got -1.0"),
        ({"repetition_penalty": 1.2, "ids": None}, "needs ids, the text so far"),
        ({"repetition_penalty": 1.2, "ids": [[0], [3]]}, "ids are 0 to 2, got 0 to 3"),
        ({"repetition_penalty": 1.2, "ids": [[-1], [0]]}, "ids are 0 to 2, got -1 to 0"),
        ({"repetition_penalty": 1.2, "ids": [[0]]}, r"each of 2 rows of logits, got \(1, 1\)"),
        ({"repetition_penalty": 1.2, "mask": [[True]]}, r"shape \(2, 1\), got torch.bool \(1, 1\)"),
        ({"repetition_penalty": 1.2, "mask": [[1], [1]]}, "mask is boolean .*, got torch.int64"),
    ],
)
@pytest.mark.parametrize("choose", [filtered, sample])
def test_choices_that_are_wrong_are_an_error(choose, choice, message):
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 5.0, 1.0]])
    choice = {"ids": [[0], [1]]} | choice
    for name in {"ids", "mask"} & choice.keys():
        choice[name] = None if choice[name] is None else torch.tensor(choice[name])
    with as_a_reader(), pytest.raises(ValueError, match=message):
        choose(logits, **choice)


@settings(max_examples=100, deadline=None)
@given(logits_of_rows(), st.floats(0.05, 20))
def test_with_temperature_equals_the_library(logits, temperature):
    assert_same(
        with_temperature(logits, temperature), library(logits, {"temperature": temperature})
    )


@settings(max_examples=100, deadline=None)
@given(logits_of_rows(), st.integers(1, 15))
def test_keep_top_k_equals_the_library(logits, k):
    assert_same(keep_top_k(logits, k), library(logits, {"top_k": k}))


@settings(max_examples=100, deadline=None)
@given(logits_of_rows(), st.one_of(st.floats(1e-6, 1), st.sampled_from([0.25, 0.5, 0.75, 1.0])))
def test_keep_top_p_equals_the_library(logits, p):
    assert_same(keep_top_p(logits, p), library(logits, {"top_p": p}))


@settings(max_examples=100, deadline=None)
@given(logits_of_rows(), st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.5, 1.0])))
def test_keep_min_p_equals_the_library(logits, min_p):
    assert_same(keep_min_p(logits, min_p), library(logits, {"min_p": min_p}))


@settings(max_examples=100, deadline=None)
@given(text_and_logits(), st.floats(0.1, 5))
def test_penalise_repetition_equals_the_library(case, penalty):
    logits, ids, mask = case
    wanted = library(logits, {"repetition_penalty": penalty}, ids, mask)
    assert_same(penalise_repetition(logits, ids, penalty, mask), wanted)
    wanted = library(logits, {"repetition_penalty": penalty}, ids)
    assert_same(penalise_repetition(logits, ids, penalty), wanted)


CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "repetition_penalty": st.floats(0.5, 3),
        "temperature": st.floats(0.1, 5),
        "top_k": st.integers(1, 9),
        "top_p": st.floats(0.01, 1),
        "min_p": st.floats(0, 1),
    },
)


@settings(max_examples=200, deadline=None)
@given(text_and_logits(), CHOICES)
def test_filtered_equals_the_library_in_its_order(case, choices):
    logits, ids, mask = case
    found = filtered(logits, ids=ids, mask=mask, **choices)
    assert_same(found, library(logits, choices, ids, mask).softmax(dim=-1))


@settings(max_examples=100, deadline=None)
@given(text_and_logits(), CHOICES, st.integers(0, 2**32))
def test_sample_never_draws_a_hidden_token(case, choices, seed):
    logits, ids, mask = case
    draw = torch.Generator().manual_seed(seed)
    tokens = sample(logits, ids=ids, mask=mask, generator=draw, **choices)
    chances = filtered(logits, ids=ids, mask=mask, **choices)
    assert (chances.gather(1, tokens[:, None]) > 0).all()


def test_sample_draws_with_the_filtered_probabilities():
    times = 4000
    logits = torch.randn(1, 6, generator=torch.Generator().manual_seed(1))
    choices = {"temperature": 1.5, "top_k": 4, "min_p": 0.05, "repetition_penalty": 1.4}
    ids = torch.tensor([[0, 1]])
    wanted = filtered(logits, ids=ids, **choices)[0]
    draw = torch.Generator().manual_seed(0)
    rows, texts = logits.expand(times, -1), ids.expand(times, -1)
    drawn = sample(rows, ids=texts, generator=draw, **choices).bincount(minlength=6) / times
    assert ((drawn - wanted).abs() <= 4 * (wanted * (1 - wanted) / times).sqrt()).all()
    assert (wanted > 0).sum() == 4


def test_sample_with_a_seed_can_be_repeated():
    logits = torch.zeros(3, 50)
    drawn = [
        [sample(logits, generator=g).tolist() for _ in range(5)]
        for g in (torch.Generator().manual_seed(seed) for seed in (0, 0, 1))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    before = torch.random.get_rng_state()
    sample(logits, generator=torch.Generator().manual_seed(0))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_filtered_of_half_precision_is_worked_out_in_float32(dtype):
    logits = torch.randn(2, 300, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = filtered(logits, temperature=0.7, top_p=0.9)
    assert_same(found, filtered(logits.float(), temperature=0.7, top_p=0.9))


def test_greedy_is_the_limit_of_a_low_temperature():
    logits = torch.randn(20, 30, generator=torch.Generator().manual_seed(0))
    assert greedy(logits).tolist() == sample(logits, temperature=1e-3).tolist()
    assert greedy(logits).tolist() == sample(logits, top_k=1).tolist()
    assert greedy(logits).tolist() == sample(logits, top_p=1e-9).tolist()
    assert greedy(torch.tensor([[1.0, 3.0, 3.0]])).tolist() == [1]
