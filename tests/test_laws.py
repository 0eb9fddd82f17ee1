"""Laws that every model of the package obeys, whatever it learned."""

from __future__ import annotations

import functools
import itertools
import typing

import helpers
import pytest
import torch
from helpers import as_a_reader
from laws import MODELS, PADDED, ROWS, VOCAB, WRITERS, package_models, seq2seq, unregistered
from torch import nn

from course_utils.checkpoints import load_weights, save_weights
from course_utils.models.seq2seq import Seq2SeqConfig

one_thread = helpers.one_thread
TIGHT = {"rtol": 1e-9, "atol": 1e-11}
LONGEST = 7
every_search = pytest.mark.parametrize("beams", [1, 3])
every_model = pytest.mark.parametrize("case", MODELS.values(), ids=MODELS.keys())
every_padded = pytest.mark.parametrize("case", PADDED.values(), ids=PADDED.keys())
every_writer = pytest.mark.parametrize("case", WRITERS.values(), ids=WRITERS.keys())


def assert_rows_equal(found, wanted):
    for row, other in zip(found, wanted, strict=True):
        for part, its in zip(row, other, strict=True):
            torch.testing.assert_close(part, its, **TIGHT)


def assert_same_text(found, wanted):
    assert found.ids == wanted.ids
    torch.testing.assert_close(found.scores.double(), wanted.scores.double(), rtol=1e-5, atol=1e-5)


# Tried first, because one of them fits each case: a search takes seconds.
LIKELY_SEEDS = (2, 1, 3, 16, 54, 44, 37, 293, 12, 25, 5)


@functools.cache
def talkative(case, beams):
    """The first random model that says different things of different lengths, and what it says."""
    for seed in (*LIKELY_SEEDS, *range(300)):
        model = case.model(seed)
        with as_a_reader():
            found = case.generate(model, ROWS, num_beams=beams, max_length=LONGEST)
        if len(set(map(tuple, found.ids))) > 2 and len(set(map(len, found.ids))) > 1:
            return model, found
    raise AssertionError("no model of 300 says different things: the law would show nothing")


def test_registry_holds_every_model_of_the_package():
    missing = unregistered(package_models())
    assert not missing, f"add a line to tests/laws.py for {sorted(missing)}"


def test_registry_notices_a_model_that_is_not_in_it():
    class Newcomer(nn.Module):
        pass

    assert package_models()
    assert unregistered(package_models() | {Newcomer}) == {"Newcomer"}


def test_registry_holds_every_choice_of_seq2seq():
    hints = typing.get_type_hints(Seq2SeqConfig)
    attentions = [*typing.get_args(typing.get_args(hints["attention"])[0]), None]
    wanted = set(itertools.product(typing.get_args(hints["order"]), attentions))
    wanted.remove(("bahdanau", None))  # refused by the configuration
    configs = [case.model().config for name, case in MODELS.items() if "seq2seq" in name]
    assert {(config.order, config.attention) for config in configs} == wanted


@every_padded
@pytest.mark.parametrize("junk", [0, 2, 7, VOCAB - 1])
def test_padding_does_not_change_a_real_position(case, junk):
    model = case.model()
    assert_rows_equal(case.run(model, ROWS, extra=4, junk=junk), case.run(model, ROWS))


@every_writer
@every_search
def test_padding_does_not_change_what_is_generated(case, beams):
    model, wanted = talkative(case, beams)
    for junk in (0, 7):
        options = {"num_beams": beams, "max_length": LONGEST, "extra": 4, "junk": junk}
        assert_same_text(case.generate(model, ROWS, **options), wanted)


@every_model
def test_row_alone_equals_the_row_in_a_batch(case):
    model = case.model()
    alone = [case.run(model, [row])[0] for row in ROWS]
    assert_rows_equal(case.run(model, ROWS), alone)
    assert_rows_equal(case.run(model, ROWS[::-1]), alone[::-1])


@every_writer
@every_search
def test_row_alone_is_continued_as_in_a_batch(case, beams):
    model, together = talkative(case, beams)
    for index, row in enumerate(ROWS):
        alone = case.generate(model, [row], num_beams=beams, max_length=LONGEST)
        assert alone.ids[0] == together.ids[index]
        assert alone.scores[0].item() == pytest.approx(together.scores[index].item(), abs=1e-5)


@every_writer
def test_past_does_not_see_its_future(case):
    model, place = case.model(), 2
    source, target = [4, 5, 6], [1, 5, 4, 9, 8]
    before = case.run(model, [(source, target)])[0]
    after = case.run(model, [(source, [*target[:place], 7, 3, 3])])[0]
    for part, its in zip(before, after, strict=True):
        assert torch.equal(part[:place], its[:place])
    assert not torch.isclose(before[0][place:], after[0][place:]).all(dim=-1).any()


@every_model
def test_output_depends_on_every_source_word_and_on_their_order(case):
    model = case.model()
    source, target = ROWS[0]
    logits = case.run(model, [ROWS[0]])[0][0]
    for place in range(len(source)):
        changed = [*source[:place], 10, *source[place + 1 :]]
        assert not torch.allclose(case.run(model, [(changed, target)])[0][0], logits)
    assert not torch.allclose(case.run(model, [(source[::-1], target)])[0][0], logits)


@every_model
def test_attention_of_a_position_sums_to_one_over_real_words(case):
    for row in case.run(case.model(), ROWS, extra=3):
        for weights in row[1:]:
            torch.testing.assert_close(weights.sum(dim=-1), torch.ones(len(weights)).double())
            assert (weights >= 0).all()


@every_writer
def test_step_by_step_equals_teacher_forcing(case):
    model = case.model()
    assert_rows_equal(case.run_stepwise(model, ROWS), case.run(model, ROWS))


@every_writer
@every_search
def test_generated_score_equals_teacher_forcing_on_what_was_generated(case, beams):
    (model, found), end = talkative(case, beams), 2
    for (source, _), ids, score in zip(ROWS, found.ids, found.scores, strict=True):
        said = ids if len(ids) == LONGEST else [*ids, end]
        logits = case.run(model, [(source, [1, *said[:-1]])])[0][0]
        wanted = logits.log_softmax(-1)[range(len(said)), said].sum()
        assert score.item() == pytest.approx(wanted.item(), abs=1e-4)


@every_model
def test_evaluation_mode_is_deterministic_and_training_mode_is_not(case):
    model = case.model(dropout=0.5)
    first, second = case.run(model, ROWS), case.run(model, ROWS)
    assert all(
        torch.equal(a, b)
        for x, y in zip(first, second, strict=True)
        for a, b in zip(x, y, strict=True)
    )
    model.train()
    assert not torch.equal(case.run(model, ROWS)[0][0], case.run(model, ROWS)[0][0])


@every_model
def test_weights_survive_save_and_load(case, tmp_path):
    model, other = case.model(seed=1), case.model(seed=2)
    wanted = case.run(model, ROWS)
    assert not torch.equal(case.run(other, ROWS)[0][0], wanted[0][0])
    save_weights(tmp_path / "weights.safetensors", model)
    load_weights(tmp_path / "weights.safetensors", other)
    found = case.run(other, ROWS)
    assert all(
        torch.equal(a, b)
        for x, y in zip(found, wanted, strict=True)
        for a, b in zip(x, y, strict=True)
    )


@every_model
def test_gradients_reach_every_parameter(case):
    model = case.model().train()
    loss = sum(-logits.log_softmax(-1)[:, 5].sum() for logits, *_ in case.run(model, ROWS))
    loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        without = (~parameter.grad.reshape(len(parameter), -1).any(dim=1)).nonzero().flatten()
        assert set(without.tolist()) <= case.unread(name), name


@every_model
def test_building_a_model_leaves_its_configuration_and_the_output_alone(case, capsys):
    before = case.make(0.1).config
    assert case.make(0.1).config == before
    assert capsys.readouterr() == ("", "")


def test_laws_hold_for_a_model_of_other_sizes():
    case = seq2seq(order="bahdanau", attention="additive", d_hidden=7, d_embedding=4)
    model = case.model()
    assert_rows_equal(case.run(model, ROWS, extra=2, junk=9), case.run(model, ROWS))
