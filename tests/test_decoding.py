"""Search: against brute force over all sequences, and against a plain loop."""

import itertools
from typing import NamedTuple

import helpers
import pytest
import torch
from helpers import as_a_reader

from course_utils.decoding import beam_search, greedy, search, search_tree, select_rows

one_thread = helpers.one_thread
EOS, START = 0, 1
DEPTH = 5  # longest sequence of the tests


class Table:
    """Random next-token scores that depend on the whole history and on the sentence.

    The state is a sentence number and a code of the tokens so far; the start token is in the code,
    so a step that is given a wrong first token gives other scores.
    """

    def __init__(self, vocab, sentences=1, seed=0, sharp=1.5):
        generator = torch.Generator().manual_seed(seed)
        self.vocab, self.sentences = vocab, sentences
        codes = (vocab + 1) ** (DEPTH + 1)
        shape = (sentences, codes, vocab)
        self.logits = sharp * torch.randn(shape, generator=generator, dtype=torch.float64)

    def start(self):
        return torch.full((self.sentences,), START % self.vocab)

    def state(self):
        return {
            "sentence": torch.arange(self.sentences),
            "code": (torch.zeros(self.sentences).long(),),
        }

    def step(self, tokens, state):
        code = state["code"][0] * (self.vocab + 1) + tokens + 1
        return self.logits[state["sentence"], code], {**state, "code": (code,)}

    def only(self, sentence):
        """The same table for one of its sentences."""
        alone = Table(2)
        alone.vocab, alone.sentences = self.vocab, 1
        alone.logits = self.logits[sentence : sentence + 1]
        return alone

    def log_prob(self, tokens, sentence=0):
        """Sum of log-probabilities of written tokens, in a loop."""
        code, total = 0, 0.0
        for last, token in zip([START % self.vocab, *tokens[:-1]], tokens, strict=True):
            code = code * (self.vocab + 1) + last + 1
            total += self.logits[sentence, code].log_softmax(-1)[token].item()
        return total

    def search(self, width, **options):
        options = {"eos_id": EOS, "max_length": DEPTH} | options
        return beam_search(self.step, self.start(), self.state(), num_beams=width, **options)


def every_sequence(vocab, max_length):
    """All token sequences that end with EOS, or were cut at `max_length`."""
    words = [token for token in range(vocab) if token != EOS]
    for length in range(max_length):
        for body in itertools.product(words, repeat=length):
            yield [*body, EOS]
    yield from map(list, itertools.product(words, repeat=max_length))


def brute_force(table, max_length, length_penalty, sentence=0):
    """Every sequence with its rank score and log-probability, best first."""
    found = []
    for tokens in every_sequence(table.vocab, max_length):
        score = table.log_prob(tokens, sentence)
        ids = tokens[:-1] if tokens[-1] == EOS else tokens
        found.append((score / len(tokens) ** length_penalty, score, ids))
    return sorted(found, key=lambda item: -item[0])


def plain_beam(table, width, max_length, length_penalty):
    """Beam search of one sentence over lists, without any early end."""
    running, finished = [([], 0.0)], []
    for length in range(1, max_length + 1):
        grown = [
            ([*body, token], table.log_prob([*body, token]))
            for body, _ in running
            for token in range(table.vocab)
        ]
        grown.sort(key=lambda item: -item[1])
        for tokens, score in grown[:width]:
            if tokens[-1] == EOS or length == max_length:
                ids = tokens[:-1] if tokens[-1] == EOS else tokens
                finished.append((score / length**length_penalty, ids))
        running = [item for item in grown if item[0][-1] != EOS][:width]
    return sorted(finished, key=lambda item: -item[0])[:width]


def assert_same_beams(found, wanted):
    assert [ids for _, ids in found] == [ids for _, ids in wanted]
    assert [rank for rank, _ in found] == pytest.approx([rank for rank, _ in wanted], abs=1e-6)


@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 0.7, 1.0, 2.0])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("vocab", "max_length"), [(2, 1), (2, 5), (3, 2), (3, 4), (3, 5), (4, 3), (4, 4)]
)
def test_beam_search_wide_enough_equals_exhaustive_search(vocab, max_length, seed, length_penalty):
    table = Table(vocab, seed=seed)
    wanted = brute_force(table, max_length, length_penalty)
    # wide enough: no candidate before the last step is ever dropped
    width = max(vocab, vocab * (vocab - 1) ** (max_length - 2) if max_length > 1 else 1)
    found = table.search(width, max_length=max_length, length_penalty=length_penalty)
    assert found.ids == [wanted[0][2]]
    assert found.scores.tolist() == pytest.approx([wanted[0][1]], abs=1e-6)
    assert_same_beams(found.beams[0], [(rank, ids) for rank, _, ids in wanted[:width]])


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(2))
def test_beam_search_four_words_of_length_five_equals_exhaustive_search(seed, length_penalty):
    table = Table(4, seed=seed)
    wanted = brute_force(table, 5, length_penalty)
    found = table.search(len(wanted), max_length=5, length_penalty=length_penalty)
    assert len(found.beams[0]) == len(wanted) == 364  # 1 + 3 + 9 + 27 + 81 that end, 243 cut
    assert_same_beams(found.beams[0], [(rank, ids) for rank, _, ids in wanted])


@pytest.mark.parametrize("length_penalty", [-0.5, 0.0, 0.6, 1.0])
@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(6))
def test_beam_search_narrow_equals_a_plain_loop_that_never_ends_early(seed, width, length_penalty):
    table = Table(4, seed=seed, sharp=0.7 + seed % 3)
    found = table.search(width, length_penalty=length_penalty)
    assert_same_beams(found.beams[0], plain_beam(table, width, DEPTH, length_penalty))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("vocab", [2, 3, 4])
def test_beam_search_of_one_beam_equals_greedy(vocab, seed):
    table = Table(vocab, sentences=5, seed=seed)
    found = table.search(1)
    wanted = greedy(table.step, table.start(), table.state(), eos_id=EOS, max_length=DEPTH)
    assert found.ids == wanted.ids
    torch.testing.assert_close(found.scores.double(), wanted.scores.double())


def test_greedy_takes_the_best_token_at_each_step():
    table = Table(4, sentences=6, seed=5)
    found = greedy(table.step, table.start(), table.state(), eos_id=EOS, max_length=DEPTH)
    lengths = set()
    for sentence in range(6):
        code, tokens, last = 0, [], START
        while len(tokens) < DEPTH and tokens[-1:] != [EOS]:
            code = code * 5 + last + 1
            last = int(table.logits[sentence, code].argmax())
            tokens.append(last)
        lengths.add(len(tokens))
        assert found.ids[sentence] == [token for token in tokens if token != EOS]
        score = table.log_prob(tokens, sentence)
        assert found.scores[sentence].item() == pytest.approx(score, abs=1e-6)
    assert len(lengths) > 1  # rows that ended early waited for the others


def test_greedy_is_not_argmax_and_beam_search_finds_it():
    # after the start: a 0.6, b 0.4; after a: each of three words 1/3; after b: the end is sure
    table = Table(4)
    table.logits[:] = torch.tensor([0.25] * 4).log()
    start = START + 1
    table.logits[0, start] = torch.tensor([1e-9, 0.6, 0.4, 1e-9]).log()
    table.logits[0, start * 5 + 2 + 1] = torch.tensor([1.0, 1e-9, 1e-9, 1e-9]).log()
    found = greedy(table.step, table.start(), table.state(), eos_id=EOS, max_length=2)
    assert found.ids[0][0] == 1 and found.scores.exp().item() == pytest.approx(0.15, abs=1e-4)
    best = table.search(2, max_length=2)
    assert best.ids == [[2]] and best.scores.exp().item() == pytest.approx(0.4, abs=1e-4)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("width", [2, 3, 7])
def test_beam_search_of_a_batch_equals_one_sentence_at_a_time(width, length_penalty):
    table = Table(4, sentences=7, seed=11)
    together = table.search(width, length_penalty=length_penalty)
    for sentence in range(7):
        alone = table.only(sentence).search(width, length_penalty=length_penalty)
        assert together.ids[sentence] == alone.ids[0]
        assert together.beams[sentence] == alone.beams[0]
        assert together.scores[sentence] == alone.scores[0]


@pytest.mark.parametrize("length_penalty", [0.0, 0.5, 1.0])
def test_beam_search_score_is_the_sum_of_log_probabilities_with_the_end(length_penalty):
    table = Table(4, sentences=6, seed=2)
    found = table.search(3, length_penalty=length_penalty)
    ended = 0
    for sentence, ids in enumerate(found.ids):
        tokens = ids if len(ids) == DEPTH else [*ids, EOS]
        ended += tokens[-1] == EOS
        score = table.log_prob(tokens, sentence)
        assert found.scores[sentence].item() == pytest.approx(score, abs=1e-5)
        rank = score / len(tokens) ** length_penalty
        assert found.beams[sentence][0][0] == pytest.approx(rank, abs=1e-5)
    assert ended


def test_beam_search_beams_are_sorted_distinct_and_begin_with_the_answer():
    table = Table(4, sentences=5, seed=4)
    found = table.search(6, length_penalty=0.8)
    for ids, beams in zip(found.ids, found.beams, strict=True):
        ranks = [rank for rank, _ in beams]
        assert ranks == sorted(ranks, reverse=True) and len(beams) == 6
        assert len({tuple(row) for _, row in beams}) == len(beams)
        assert beams[0][1] == ids


def test_beam_search_wider_than_all_sequences_gives_each_once():
    found = Table(2, seed=1).search(50, max_length=3)  # [], 1, 11, 111
    assert sorted(map(len, (ids for _, ids in found.beams[0]))) == [0, 1, 2, 3]


def test_beam_search_length_penalty_favours_longer_sequences():
    shorter = sum(len(ids) for ids in Table(3, sentences=30).search(8).ids)
    longer = sum(len(ids) for ids in Table(3, sentences=30).search(8, length_penalty=2.0).ids)
    assert longer > shorter


def test_beam_search_length_penalty_below_zero_waits_for_what_can_still_come_in():
    """
    The end has 0.3, a 0.7; after a: the end 0.2, b 0.8; after b the end is sure. Ranks are the
    log-probability times the length: a -1.97 * 2, a b -0.58 * 3, which comes in later.
    """
    a, b = 2, 3
    after = torch.tensor([[1, 0, 0, 0], [0.3, 0, 0.7, 0], [0.2, 0, 0, 0.8], [1, 0, 0, 0]]).log()
    step = lambda tokens, state: (after[tokens], state)  # noqa: E731
    limits = {"eos_id": EOS, "max_length": 20, "num_beams": 2, "length_penalty": -1.0}
    found = beam_search(step, torch.tensor([START]), None, **limits)
    assert [ids for _, ids in found.beams[0]] == [[], [a, b]]
    wanted = [torch.tensor(0.3).log().item(), 3 * torch.tensor(0.56).log().item()]
    assert [rank for rank, _ in found.beams[0]] == pytest.approx(wanted)


def test_beam_search_forbidden_tokens_are_never_written():
    table = Table(4, seed=3)
    table.logits[:, :, 2] = -torch.inf
    found = table.search(60)
    assert all(2 not in ids for _, ids in found.beams[0])
    assert all(rank > -1e9 for rank, _ in found.beams[0])


@pytest.mark.parametrize("search", [greedy, beam_search])
def test_search_sentence_that_never_ends_is_cut_at_max_length(search):
    table = Table(3, sentences=2)
    table.logits[:, :, EOS] = -1e9
    found = search(table.step, table.start(), table.state(), eos_id=EOS, max_length=4)
    assert [len(ids) for ids in found.ids] == [4, 4]


@pytest.mark.parametrize("search", [greedy, beam_search])
def test_search_sentence_that_ends_at_once_is_empty(search):
    table = Table(3, sentences=2)
    table.logits[:, :, EOS] = 1e9
    found = search(table.step, table.start(), table.state(), eos_id=EOS, max_length=4)
    assert found.ids == [[], []]
    assert found.scores.tolist() == pytest.approx([0.0, 0.0])


@pytest.mark.parametrize("search", [greedy, beam_search])
def test_search_needs_no_gradients(search):
    table = Table(3)
    table.logits.requires_grad_(True)
    found = search(table.step, table.start(), table.state(), eos_id=EOS, max_length=4)
    assert not found.scores.requires_grad


@pytest.mark.parametrize("search", [greedy, beam_search])
@pytest.mark.parametrize(
    ("start", "options", "message"),
    [
        (torch.ones(2, 2).long(), {}, r"one token per sentence, got the shape \(2, 2\)"),
        (torch.ones(0).long(), {}, "one token per sentence"),
        (torch.ones(2).long(), {"max_length": 0}, "max_length is 1 or more, got 0"),
    ],
)
def test_search_wrong_arguments_are_an_error(search, start, options, message):
    table = Table(3)
    options = {"eos_id": EOS, "max_length": 4} | options
    with as_a_reader(), pytest.raises(ValueError, match=message):
        search(table.step, start, table.state(), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0}, "num_beams is 1 or more, got 0"),
        ({"width": 2, "early_stopping": "always"}, "True, False or \"never\", got 'always'"),
    ],
)
def test_beam_search_wrong_arguments_are_an_error(options, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        Table(3).search(**options)


@pytest.mark.parametrize("search", [greedy, beam_search])
def test_search_scores_that_are_no_numbers_are_a_clear_error(search):
    table = Table(3, sentences=2)
    table.logits[1] = torch.nan
    with pytest.raises(FloatingPointError, match="nan"):
        search(table.step, table.start(), table.state(), eos_id=EOS, max_length=4)


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


def test_select_rows_keeps_the_nesting():
    column = torch.arange(3)[:, None]
    state = {"a": (column, [column + 10]), "b": Pair(column + 20, column + 30), "c": None}
    picked = select_rows(state, torch.tensor([2, 0, 2, 2]))
    assert picked["a"][0].flatten().tolist() == [2, 0, 2, 2]
    assert picked["a"][1][0].flatten().tolist() == [12, 10, 12, 12]
    assert type(picked["b"]) is Pair and picked["b"].right.flatten().tolist() == [32, 30, 32, 32]
    assert type(picked["a"]) is tuple and type(picked["a"][1]) is list and picked["c"] is None


PROMPT = torch.tensor([[5, 3, 7, 2, 9], [0, 0, 4, 8, 1], [0, 6, 6, 2, 12]])
REAL = torch.tensor([[1, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 1, 1, 1, 1]])


def small_gpt2(seed):
    """A random GPT-2 of the library with 13 tokens, that is sure of itself."""
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes = {"n_layer": 1, "n_head": 2, "n_embd": 8, "vocab_size": 13, "n_positions": 32}
    none = {"bos_token_id": None, "eos_token_id": None}
    torch.manual_seed(seed)
    return GPT2LMHeadModel(GPT2Config(**sizes, **none, initializer_range=1.0)).eval()


def gpt2_step(model):
    """The library's model as a step: the state is the text before, and what of it is real."""

    def step(tokens, state):
        ids, mask = (
            torch.cat([part, column[:, None]], dim=1)
            for part, column in zip(state, (tokens, torch.ones_like(tokens)), strict=True)
        )
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        return model(ids, attention_mask=mask, position_ids=positions).logits[:, -1], (ids, mask)

    return step


def by_library(model, **choices):
    """Ids that `generate` writes after the prompts, cut at the end token, and their scores."""
    limits = {"max_new_tokens": 10, "eos_token_id": EOS, "pad_token_id": EOS}
    told = {"return_dict_in_generate": True, "output_scores": True, "do_sample": False}
    out = model.generate(PROMPT, attention_mask=REAL, **limits | choices, **told)
    rows = out.sequences[:, PROMPT.shape[1] :].tolist()
    return [row[: row.index(EOS)] if EOS in row else row for row in rows], out.sequences_scores


def by_ours(model, eos_id=EOS, **choices):
    state = (PROMPT[:, :-1], REAL[:, :-1])
    limits = {"eos_id": eos_id, "max_length": 10}
    return search(gpt2_step(model), PROMPT[:, -1], state, **limits, **choices)


STOPPING = [True, False, "never"]


@pytest.mark.parametrize("early_stopping", STOPPING)
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 0.6, 1.0, 2.0])
def test_beam_search_equals_generate_of_the_library(length_penalty, early_stopping):
    """Every sequence of every beam, for prompts of unequal lengths, padded on the left."""
    for seed, num_beams in ((11, 2), (10, 3), (5, 5)):
        model = small_gpt2(seed)
        choices = {"num_beams": num_beams, "length_penalty": length_penalty}
        choices["early_stopping"] = early_stopping
        ids, scores = by_library(model, num_return_sequences=num_beams, **choices)
        found = by_ours(model, **choices)
        assert [row for beams in found.beams for _, row in beams] == ids
        ranks = torch.tensor([rank for beams in found.beams for rank, _ in beams])
        torch.testing.assert_close(ranks, scores, rtol=1e-5, atol=1e-5)
        assert found.ids == ids[::num_beams]


def test_early_stopping_changes_what_is_found():
    """So that the comparison above tells the three apart."""
    model, choices = small_gpt2(10), {"num_beams": 3, "length_penalty": 1.0}
    found = [by_ours(model, **choices, early_stopping=stopping).beams for stopping in STOPPING]
    assert all(one != two for one, two in itertools.combinations(found, 2))


@pytest.mark.parametrize("num_beams", [1, 3])
def test_search_without_an_end_token_equals_generate_of_the_library(num_beams):
    model = small_gpt2(10)
    found = by_ours(model, eos_id=None, num_beams=num_beams, length_penalty=1.0)
    out = model.generate(
        PROMPT,
        attention_mask=REAL,
        max_new_tokens=10,
        num_beams=num_beams,
        do_sample=False,
        pad_token_id=EOS,
    )
    assert found.ids == out[:, PROMPT.shape[1] :].tolist()
    assert any(EOS in ids for ids in found.ids)  # a token like any other


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("seed", range(3))
def test_search_tree_holds_every_beginning_that_a_plain_loop_visits(width, seed):
    table = Table(5, seed=seed)
    limits = {"eos_id": EOS, "max_length": 3, "num_beams": width}
    limits["length_penalty"] = 9.0  # so that no search ends early: longer is better
    found, tree = search_tree(table.step, table.start(), table.state(), **limits)
    wanted = table.search(width, max_length=3, length_penalty=9.0)
    assert (found.ids, found.beams) == (wanted.ids, wanted.beams)
    running, visited = [()], set()
    for _ in range(2):
        words = range(1, table.vocab)  # all but EOS
        grown = [(*path, token) for path in running for token in words]
        running = sorted(grown, key=table.log_prob, reverse=True)[:width]
        visited |= set(running)
    ended = {(*ids, *[EOS] * (len(ids) < 3)) for _, ids in wanted.beams[0]}
    assert set(tree) == visited | {path[:k] for path in ended for k in range(1, len(path) + 1)}
    for path, chance in tree.items():
        before = table.log_prob(path[:-1]) if path[:-1] else 0.0
        assert chance == pytest.approx(torch.tensor(table.log_prob(path) - before).exp().item())


def test_search_tree_has_each_branch_behind_its_stem_and_the_likely_first():
    table = Table(6, seed=4)
    limits = {"eos_id": EOS, "max_length": 4, "num_beams": 3}
    _, tree = search_tree(table.step, table.start(), table.state(), **limits)
    paths = list(tree)
    for place, path in enumerate(paths[1:], start=1):
        shared = len(path) - 1
        assert paths[place - 1][:shared] == path[:-1]
        sisters = [tree[p] for p in paths[:place] if len(p) == len(path) and p[:-1] == path[:-1]]
        assert all(sister >= tree[path] for sister in sisters)


def test_search_tree_of_several_sentences_or_too_many_beams_is_an_error():
    table = Table(4, sentences=2)
    limits = {"eos_id": EOS, "max_length": 4}
    with as_a_reader(), pytest.raises(ValueError, match="one sentence, got 2"):
        search_tree(table.step, table.start(), table.state(), num_beams=2, **limits)
    table = Table(4)
    with pytest.raises(ValueError, match="4 beams need more tokens than 4"):
        search_tree(table.step, table.start(), table.state(), num_beams=4, **limits)
