"""What is special to the checks of lesson 6; what all checks share is in test_exercises.py."""

from __future__ import annotations

import copy

import answers_vit
import helpers
import pytest
import torch
from helpers import ODD_RESULTS, shake
from torch.utils.flop_counter import FlopCounterMode

from course_utils import embeddings, rollout
from course_utils.attention import MultiHeadAttention
from course_utils.exercises import check
from course_utils.exercises import vision_transformer_solutions as solutions
from course_utils.exercises.checking import exercises, find
from course_utils.exercises.variants import pairs
from course_utils.models.vit import ViT, ViTConfig

one_thread = helpers.one_thread
LESSON = exercises("06")
NAMES = [exercise.name for exercise in LESSON]


@pytest.fixture(autouse=True)
def not_strict(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)


@pytest.fixture(scope="module")
def model():
    sizes = {"image_size": 6, "patch_size": 2, "channels": 3, "num_classes": 5}
    return shake(ViT(ViTConfig(**sizes, num_layers=3, num_heads=2, d_model=8))).eval()


# ---- the solutions are the package's functions


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 6, 4), (2, 2, 8)])
def test_patches_solution_equals_the_package(shape):
    picture = torch.randn(shape)
    assert torch.equal(solutions.patches(picture, 2), embeddings.cut_patches(picture[None], 2)[0])


def test_embed_solution_is_what_the_first_block_reads(model):
    pictures, layer = torch.randn(2, 3, 6, 6), model.patches.projection
    read = []
    hook = model.blocks[0].register_forward_pre_hook(lambda _, given: read.append(given[0]))
    with torch.no_grad():
        model.encode(pictures)
        own = solutions.embed(
            pictures, layer.weight, layer.bias, model.class_token[0, 0], model.positions[0]
        )
    hook.remove()
    torch.testing.assert_close(own, read[0])


@pytest.mark.parametrize(("tokens", "width", "heads"), [(17, 12, 3), (5, 8, 1)])
def test_cost_solution_counts_what_is_computed(tokens, width, heads):
    side = int((tokens - 1) ** 0.5)
    attention = MultiHeadAttention(width, heads).eval()
    x = torch.randn(1, tokens, width)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        _, weights = attention(x, x, x)
    own = solutions.cost(4 * side, 4 * side, 4, width, heads)
    assert own == (tokens, weights.numel(), counter.get_total_flops() // 2)


@pytest.mark.parametrize("size", [(3, 3), (2, 2), (4, 7), (1, 5)])
def test_stretch_solution_equals_the_package(size):
    table = torch.randn(10, 4)
    package = embeddings.interpolate_positions(table, *size)
    torch.testing.assert_close(solutions.stretch(table, *size), package)


def test_rollout_solution_equals_the_package(model):
    with torch.no_grad():
        attentions = model.attentions(torch.randn(2, 3, 6, 6))
    package = rollout.rollout(attentions)[:, 0, 1:].unflatten(1, (3, 3))
    own = torch.stack([solutions.rollout(one) for one in attentions])
    torch.testing.assert_close(own, package)


def test_rollout_of_a_chain_is_followed_to_its_beginning():
    """The class token looks at patch 1, patch 1 has looked at patch 4 before."""
    first, second = torch.eye(5), torch.eye(5)
    first[1], second[0] = torch.eye(5)[4], torch.eye(5)[1]
    found = solutions.rollout(torch.stack([first, second])[:, None])
    assert found.tolist() == [[0.25, 0.0], [0.0, 0.25]]


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
    assert all("raised" in h or "has the shape" in h for h in others)
    assert sum(hint is not None and hint not in others for hint in hints) >= 5


@pytest.mark.parametrize("exercise", LESSON, ids=NAMES)
def test_every_known_mistake_names_itself_and_asks(exercise):
    hints = {mistake.hint for mistake in exercise.mistakes}
    assert len(hints) >= 20
    assert all(hint.endswith("?") for hint in hints)


@pytest.mark.parametrize("name", ["06.2", "06.4", "06.5"])
def test_nan_is_named(name):
    solution = answers_vit.SOLUTIONS[name]
    assert "holds NaN" in check(name, lambda *given: solution(*given) * torch.nan).hint


@pytest.mark.parametrize("name", NAMES)
def test_right_first_result_for_all_inputs_is_not_called_a_mistake(name):
    exercise = find(name)
    first = answers_vit.SOLUTIONS[name](*exercise.judge.cases()[0])
    hint = check(name, lambda *given: copy.deepcopy(first)).hint
    assert hint and hint not in {mistake.hint for mistake in exercise.mistakes}


@pytest.mark.parametrize("name", NAMES)
def test_odd_results_get_one_line(name, capsys):
    for number, odd in enumerate([*ODD_RESULTS, (1, 2, None), (1, 2, 3j), torch.zeros(5, 4)]):
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


@pytest.mark.parametrize("name", ["06.1", "06.2", "06.4", "06.5"])
def test_changed_inputs_do_not_reach_the_next_check(name):
    def clears(*inputs):
        result = copy.deepcopy(answers_vit.SOLUTIONS[name](*inputs))
        for x in inputs:
            if isinstance(x, torch.Tensor):
                x.fill_(1)
        return result

    for _ in range(2):
        assert "in place, and the caller still needs it" in check(name, clears).hint
    assert check(name, answers_vit.SOLUTIONS[name]).passed


def test_numbers_that_are_whole_may_be_floats():
    assert check("06.3", lambda *given: tuple(map(float, solutions.cost(*given)))).passed


# ---- the cases


def test_first_cases_let_wrong_answers_run():
    picture, p = find("06.1").judge.cases()[0]
    channels, height, width = picture.shape
    assert channels == p == height // p == width // p
    *_, weight, bias, _, positions = find("06.2").judge.cases()[0]
    assert len(positions) - 1 == len(bias) == len(weight)
    positions, rows, columns = find("06.4").judge.cases()[0]
    assert rows * columns < len(positions)


def test_cases_of_cutting_hold_what_tells_mistakes_apart():
    shapes = [(*picture.shape, p) for picture, p in find("06.1").judge.cases()]
    assert any(height != width for _, height, width, _ in shapes)
    assert any(height == width == p for _, height, width, p in shapes)
    assert any(p == 1 for *_, p in shapes) and any(c == 1 for c, *_ in shapes)


def test_cases_of_embedding_hold_what_tells_mistakes_apart():
    cases = find("06.2").judge.cases()
    assert any(x.shape[2] != x.shape[3] for x, *_ in cases)
    assert any(len(positions) - 1 != positions.shape[1] for *_, positions in cases)
    assert all(abs(float(bias.mean())) > 1e-2 for _, _, bias, *_ in cases)


def test_cases_of_the_cost_hold_what_tells_mistakes_apart():
    cases = find("06.3").judge.cases()
    assert any(height != width for height, width, *_ in cases)
    assert any(p == 1 for _, _, p, *_ in cases) and any(h == 1 for *_, h in cases)
    assert all(y % p == x % p == d % h == 0 for y, x, p, d, h in cases)


def test_cases_of_stretching_shrink_grow_and_keep():
    sizes = [
        (int((len(table) - 1) ** 0.5), rows, columns)
        for table, rows, columns in find("06.4").judge.cases()
    ]
    assert any(rows != columns for _, rows, columns in sizes)
    assert any(side == rows == columns for side, rows, columns in sizes)
    assert any(side < min(rows, columns) for side, rows, columns in sizes)
    assert any(side > max(rows, columns) for side, rows, columns in sizes)


def test_cases_of_the_rollout_are_attention_weights():
    cases = [attentions for (attentions,) in find("06.5").judge.cases()]
    for attentions in cases:
        torch.testing.assert_close(attentions.sum(-1), torch.ones(attentions.shape[:-1]))
    assert {1} < {a.shape[0] for a in cases} and {1} < {a.shape[1] for a in cases}
