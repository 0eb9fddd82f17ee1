"""What is special to the checks of lesson 5; what all checks share is in test_exercises.py."""

from __future__ import annotations

import copy
import math

import answers_bert
import helpers
import pytest
import torch
from helpers import ODD_RESULTS, shake

from course_utils import losses, masking
from course_utils.exercises import check
from course_utils.exercises import masked_language_models_solutions as solutions
from course_utils.exercises.checking import Hint, exercises, find
from course_utils.exercises.masked_model import LONGEST, MOST_CALLS, Model
from course_utils.exercises.variants import pairs
from course_utils.models.bert import BERT, BERTConfig
from course_utils.sentences import SentencePair

one_thread = helpers.one_thread
LESSON = exercises("05")
NAMES = [exercise.name for exercise in LESSON]
SPECIAL = {"cls_id": 2, "sep_id": 3}


@pytest.fixture(autouse=True)
def not_strict(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)


@pytest.fixture(scope="module")
def model():
    sizes = {"vocab_size": 9, "block_size": 8, "num_layers": 2, "num_heads": 2, "d_model": 8}
    return shake(BERT(BERTConfig(**sizes))).eval().requires_grad_(False)


# ---- the solutions are the package's functions


def test_pair_solution_equals_the_package(monkeypatch):
    texts = [([5, 6], [7, 8, 9]), ([9], [5]), ([6, 6, 6], [8])]
    found = [SentencePair(first, second, False) for first, second in texts]
    monkeypatch.setattr(masking, "sentence_pairs", lambda *given: list(found))
    choices = {**SPECIAL, "pad_id": 0, "mask_id": 4, "vocab_size": 10, "special_ids": range(5)}
    batches = masking.MaskedPairs([[[5], [6]]], 12, 1, **choices)
    package = {(*b.target[0].tolist(), *b.segment_ids[0].tolist()) for b in batches}
    own = (solutions.pair(*two, **SPECIAL) for two in texts)
    assert {(*ids, *segments) for ids, segments in own} == package
    assert len(package) == 3


@pytest.mark.parametrize("share", [0.15, 0.3, 1.0])
def test_hide_solution_equals_the_package(share):
    ids = torch.randint(0, 30, (500,), generator=torch.Generator().manual_seed(1))
    special, generator = ids < 5, torch.Generator().manual_seed(2)
    package = masking.mask_tokens(
        ids,
        mask_id=4,
        vocab_size=30,
        special_ids=range(5),
        share=share,
        generator=torch.Generator().manual_seed(2),
    )
    chance = torch.rand(500, generator=generator)  # as the package draws them
    chosen = (chance < share) & ~special
    other = torch.zeros_like(ids)
    other[chosen] = 5 + torch.randint(25, (int(chosen.sum()),), generator=generator)
    own = solutions.hide(ids, chance, other, special, 4, share)
    assert torch.equal(own[0], package[0]) and torch.equal(own[1], package[1])
    assert 0 < int((own[0] == 4).sum()) < int(own[1].sum())


def test_masked_loss_solution_equals_the_package(model):
    target = torch.randint(5, 9, (3, 8))
    places = torch.rand(3, 8) < 0.5
    places[0, 0] = True
    batch = masking.MaskedBatch(target.masked_fill(places, 4), places, target)
    own = solutions.masked_loss(model(batch.ids).mlm_logits, target, places)
    torch.testing.assert_close(own, losses.masked_loss(model, batch))


def test_plateau_solution_is_the_loss_of_logarithms_of_counts():
    train, held_out = torch.randint(0, 20, (300,)), torch.randint(0, 25, (70,))
    scores = torch.log(torch.stack([(train == token).sum() + 1 for token in range(25)]).double())
    loss = losses.masked_cross_entropy(
        scores.expand(1, 70, 25), held_out[None], torch.ones(1, 70, dtype=torch.bool)
    )
    assert solutions.plateau(train, held_out, 25) == pytest.approx(loss.item())


def test_plateau_of_a_text_without_surprises_and_of_no_knowledge():
    always = torch.zeros(10_000, dtype=torch.long)
    assert solutions.plateau(always, always, 3) == pytest.approx(0, abs=1e-3)
    every = torch.arange(50)
    assert solutions.plateau(every, every[:7], 50) == pytest.approx(math.log(50))


def test_pseudo_log_likelihood_solution_equals_one_gap_at_a_time(model):
    ids = torch.tensor([2, 7, 5, 3, 8, 7, 3])
    expected = 0.0
    for t in (1, 2, 4, 5):
        read = ids.clone()
        read[t] = 4
        expected += model(read[None]).mlm_logits[0, t].log_softmax(-1)[ids[t]].item()
    own = solutions.pseudo_log_likelihood(model, ids, 4, ids < 5)
    assert own == pytest.approx(expected, abs=1e-4)


# ---- hints


@pytest.mark.parametrize("exercise", LESSON, ids=NAMES)
def test_two_mistakes_at_once_get_a_hint_that_names_one(exercise):
    together = pairs(exercise.mistakes)
    known = [mistake.hint for mistake in exercise.mistakes]
    hints = [
        exercise.judge(mistake.answer, exercise.mistakes)
        for mistake in together[:: 1 + len(together) // 12]
    ]
    # None: one of the two takes the other back.
    others = [h for h in hints if h is not None and not any(k in h for k in known)]
    assert all("raised" in h or "0/0" in h or "NaN" in h or "one row for" in h for h in others)
    assert sum(hint is not None and hint not in others for hint in hints) >= 5


@pytest.mark.parametrize("exercise", LESSON, ids=NAMES)
def test_every_known_mistake_names_itself_and_asks(exercise):
    hints = {mistake.hint for mistake in exercise.mistakes}
    assert len(hints) >= 13
    assert all(hint.endswith("?") for hint in hints if hint)


@pytest.mark.parametrize("name", ["05.3", "05.4", "05.5"])
def test_nan_is_named(name):
    assert "NaN" in check(name, lambda *given: torch.tensor(torch.nan)).hint


@pytest.mark.parametrize("name", ["05.3", "05.4", "05.5"])
def test_one_right_number_for_all_inputs_is_not_called_a_mistake(name):
    exercise = find(name)
    first = exercise.judge.cases()[0]
    wrong = float(exercise.mistakes[0].answer(*first))
    hint = check(name, lambda *given: torch.tensor(wrong)).hint
    assert hint and hint not in {mistake.hint for mistake in exercise.mistakes}


@pytest.mark.parametrize("name", NAMES)
def test_odd_results_get_one_line(name, capsys):
    for number, odd in enumerate(
        [*ODD_RESULTS, (torch.zeros(8), torch.zeros(8) > 0), ([1], [None])]
    ):
        result = check(name, lambda *inputs, odd=odd: odd)
        assert result.status == "not yet" and result.hint, number
        assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_answer_that_does_not_return_gets_one_line(name, capsys):
    def deep(*inputs):
        return deep(*inputs)

    def generator(*inputs):
        yield 1
        raise ValueError("halfway")

    assert "RecursionError" in check(name, deep).hint
    assert check(name, generator).status == "not yet"
    assert capsys.readouterr().out.count("\n") == 2


@pytest.mark.parametrize("name", NAMES)
def test_changed_inputs_do_not_reach_the_next_check(name):
    def clears(*inputs):
        result = copy.deepcopy(answers_bert.SOLUTIONS[name](*inputs))
        for x in inputs:
            if isinstance(x, torch.Tensor):
                x.fill_(1)
            elif isinstance(x, list):
                x.clear()
        return result

    for _ in range(2):
        assert "in place, and the caller still needs it" in check(name, clears).hint
    assert check(name, answers_bert.SOLUTIONS[name]).passed


@pytest.mark.parametrize("wasteful", ["score_one_by_one", "score_with_gradients"])
def test_wrong_number_is_named_before_its_waste(wasteful):
    answer = getattr(answers_bert, wasteful)
    assert "the score is right" in check("05.5", answer).hint
    assert "is yours a loss?" in check("05.5", lambda *given: -answer(*given)).hint.lower()


def test_a_loss_that_no_training_can_use_is_named():
    hint = check("05.3", lambda *given: float(solutions.masked_loss(*given))).hint
    assert "as a tensor from which a training can go back?" in hint


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32, torch.uint8])
def test_places_that_are_numbers_are_named(dtype):
    def numbers(*given):
        read, places = solutions.hide(*given)
        return read, places.to(dtype)

    assert f"places has the dtype {dtype}" in check("05.2", numbers).hint


# ---- the cases


def test_cases_of_the_pair_hold_what_tells_mistakes_apart():
    cases = find("05.1").judge.cases()
    assert any(len(first) < len(second) for first, second, *_ in cases)
    assert any(len(first) > len(second) for first, second, *_ in cases)
    assert all(not {*first, *second} & {*special} for first, second, *special in cases)


def test_cases_of_hiding_do_not_hang_on_rounding():
    for ids, chance, other, special, mask_id, share in find("05.2").judge.cases():
        for limit in (share, 0.8 * share, 0.9 * share):
            assert (chance.double() - limit).abs().min() > 1e-4
        assert chance.min() >= 0 and chance.max() <= 1
        assert not (ids == mask_id).any() and not (other == mask_id).any()
        assert torch.equal(special, ids < 5 if len(ids) > 8 or share < 0.1 else ids < 4)


def test_cases_of_hiding_hold_every_kind_of_token():
    first = find("05.2").judge.cases()[0]
    ids, chance, other, special, mask_id, share = first
    read, places = solutions.hide(*first)
    assert (special & (chance < share)).any() and (~special & (chance >= share)).any()
    assert (read == mask_id).any() and (read[places] == ids[places]).any()
    assert (places & (read == other) & (read != ids)).any()
    same = [
        (places & (chance / share >= 0.8) & (chance / share < 0.9) & (other == ids)).any()
        for case in find("05.2").judge.cases()
        for ids, chance, other, _, _, share in [case]
        for _, places in [solutions.hide(*case)]
    ]
    assert any(same)  # another token that is the same by chance
    assert any(not solutions.hide(*case)[1].any() for case in find("05.2").judge.cases())


def test_cases_of_the_loss_hold_what_tells_mistakes_apart():
    cases = find("05.3").judge.cases()
    assert cases[0][0].shape[1] == cases[0][0].shape[2]
    assert any((~places.any(1)).any() for _, _, places in cases)
    assert any((target[places] == 0).any() for _, target, places in cases)
    assert all(places.any() and not places.all() for _, _, places in cases)


def test_cases_of_the_plateau_have_new_tokens_but_not_at_first():
    new = [
        not set(held_out.tolist()) <= set(train.tolist())
        for train, held_out, _ in find("05.4").judge.cases()
    ]
    assert not new[0] and sum(new) >= 2
    for train, held_out, size in find("05.4").judge.cases():
        assert len(train.unique()) < size and int(max(train.max(), held_out.max())) < size


def test_cases_of_the_score_have_special_tokens_inside_and_none():
    specials = [special for *_, special in find("05.5").judge.cases()]
    assert any(special[1:-2].any() for special in specials)
    assert any(not special.any() for special in specials)
    assert all(len(special) <= LONGEST and not special.all() for special in specials)


# ---- the made-up model


def test_model_depends_on_all_tokens_their_places_and_is_the_same_again():
    ids = torch.tensor([[1, 2, 3], [1, 3, 2]])
    logits = Model(5, 3)(ids).mlm_logits
    assert logits.shape == (2, 3, 5) and logits.dtype == torch.float32
    assert torch.equal(logits, Model(5, 3)(ids).mlm_logits)
    for t in range(3):
        other = ids.clone()
        other[0, t] = 0
        changed = (Model(5, 3)(other).mlm_logits != logits).any(-1)
        assert changed[0].all() and not changed[1].any()
    assert not torch.equal(logits[0], logits[1])
    assert logits.requires_grad


def test_model_counts_and_stops_who_asks_without_end():
    model, ids = Model(5, 3), torch.tensor([[1, 2]])
    with torch.no_grad():
        model(ids)
    assert model.calls == 1 and not model.with_gradients
    model.says(ids)
    assert model.calls == 1
    for _ in range(MOST_CALLS - 1):
        model(ids)
    assert model.with_gradients
    with pytest.raises(Hint, match="does your loop end"):
        model(ids)


@pytest.mark.parametrize(
    ("ids", "phrase"),
    [
        ([[1, 2]], "it got a list"),
        (torch.tensor([1, 2]), r"the shape \(2,\): one row for each"),
        (torch.zeros(0, 3, dtype=torch.long), r"the shape \(0, 3\)"),
        (torch.zeros(1, 3), "the dtype torch.float32"),
        (torch.zeros(1, 3, dtype=torch.bool), "the dtype torch.bool"),
        (torch.zeros(1, LONGEST + 1, dtype=torch.long), "which axis is B"),
        (torch.tensor([[1, 5]]), "the ids 1 to 5, but there are 0 to 4 only"),
        (torch.tensor([[-100, 2]]), "the ids -100 to 2"),
    ],
)
def test_model_names_what_it_cannot_read(ids, phrase):
    with pytest.raises(Hint, match=phrase):
        Model(5, 3)(ids)
