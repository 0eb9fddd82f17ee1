"""What is special to the checks of lesson 4; what all checks share is in test_exercises.py."""

from __future__ import annotations

import copy

import answers_gpt
import pytest
import torch
from helpers import ODD_RESULTS, shake
from torch.nn import functional as F

from course_utils import losses, metrics, sampling
from course_utils.cache import KeyValueCache
from course_utils.exercises import check
from course_utils.exercises import language_models_solutions as solutions
from course_utils.exercises.checking import Hint, exercises, find
from course_utils.exercises.comparing import copied
from course_utils.exercises.table import MAX_CALLS
from course_utils.exercises.variants import SmallComparison, pairs, variants
from course_utils.exercises.writing import Model
from course_utils.models.gpt import GPT, GPTConfig

LESSON = exercises("04")
NAMES = [exercise.name for exercise in LESSON]


@pytest.fixture(autouse=True)
def not_strict(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(4)
    config = GPTConfig(vocab_size=7, block_size=32, num_layers=2, num_heads=2, d_model=8)
    return shake(GPT(config)).eval().requires_grad_(False)


# ---- the solutions are the package's functions


def test_bits_per_byte_solution_equals_the_package():
    for size in (1, 5, 400):
        logs = torch.randn(size).sigmoid().log()
        own = solutions.bits_per_byte(logs, 3 * size)
        assert own == pytest.approx(metrics.bits_per_byte(logs, 3 * size), rel=1e-6)


def test_next_token_loss_solution_equals_the_package(model):
    ids = torch.randint(0, 7, (3, 9))
    everywhere = torch.ones(3, 9, dtype=torch.bool)
    own = solutions.next_token_loss(model(ids), ids, everywhere)
    torch.testing.assert_close(own, losses.next_token_loss(model, ids))
    mask = torch.arange(9) < torch.tensor([[9], [4], [1]])
    own = solutions.next_token_loss(model(ids), ids, mask)
    rows = [losses.token_log_probs(model, row, 9) for row in (ids[0], ids[1, :4])]
    torch.testing.assert_close(own, -torch.cat(rows).mean())


@pytest.mark.parametrize("seed", range(20))
def test_top_p_solution_equals_the_package(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(1, 30, generator=generator)
    p = float(torch.rand(1, generator=generator)) * 0.98 + 0.01
    package = sampling.filtered(logits, top_p=p)[0]
    torch.testing.assert_close(solutions.top_p(logits[0].softmax(-1), p), package)


@pytest.mark.parametrize("prompt", [[1], [2, 5, 0], [3, 3, 3, 6]])
def test_generate_solution_equals_the_package(model, prompt):
    def next_logits(ids):
        return model(torch.tensor([ids]))[0, -1]

    free = solutions.generate(next_logits, prompt, 12, end=-1)
    assert free == prompt + model.generate([prompt], 12).ids[0]
    end = free[len(prompt) + 3]
    stopped = solutions.generate(next_logits, prompt, 12, end=end)
    assert stopped == [*prompt, *model.generate([prompt], 12, eos_id=end).ids[0], end]
    assert stopped[len(prompt) :].index(end) == len(stopped) - len(prompt) - 1


def test_cached_step_solution_gives_every_row_of_causal_attention():
    query, key, value = torch.randn(3, 4, 6, 8)
    whole = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    cache = {"keys": key[:, :0], "values": value[:, :0]}
    package = KeyValueCache()
    for t in range(6):
        now = slice(t, t + 1)
        output, cache = solutions.cached_step(query[:, now], key[:, now], value[:, now], cache)
        torch.testing.assert_close(output, whole[:, now])
        keys, values = package.append(key[:, None, now], value[:, None, now])
        assert torch.equal(cache["keys"], keys[:, 0]) and torch.equal(cache["values"], values[:, 0])


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
    assert all("your function raised" in h or "0/0" in h for h in others)
    assert sum(hint is not None for hint in hints) >= 5


@pytest.mark.parametrize("exercise", LESSON, ids=NAMES)
def test_every_known_mistake_names_itself_and_asks(exercise):
    hints = {mistake.hint for mistake in exercise.mistakes}
    assert len(hints) >= 13
    assert all(hint.endswith("?") for hint in hints if hint)


def nothing_but_nan(name):
    """Right, but NaN takes the place of each number."""

    def answer(*inputs):
        result = answers_gpt.SOLUTIONS[name](*inputs)
        if isinstance(result, tuple):
            return result[0] * torch.nan, result[1]
        return result * torch.nan if name != "04.1" else float("nan")

    return answer


@pytest.mark.parametrize("name", ["04.1", "04.2", "04.3", "04.5"])
def test_nan_is_named(name):
    hint = check(name, nothing_but_nan(name)).hint
    assert "NaN" in hint or "nan" in hint


@pytest.mark.parametrize("name", ["04.1", "04.3"])
def test_answer_that_equals_a_mistake_by_chance_is_not_called_that(name):
    wrong = find(name).mistakes[0].answer
    first = find(name).judge.cases()[0]

    def once(*inputs):
        if torch.equal(inputs[0], first[0]):
            return wrong(*inputs)
        return 7 * answers_gpt.SOLUTIONS[name](*inputs)

    assert check(name, once).hint not in {mistake.hint for mistake in find(name).mistakes}


def half(x, *, times=0.5, plus=0.0):
    return x * times + plus


def test_small_comparison_wants_a_mistake_on_all_inputs_but_one():
    mistakes = variants(half, ("doubled?", {"times": 2.0}), ("one more?", {"plus": 1.0}))
    judge = SmallComparison(
        parameters=("x",),
        outputs={"y": "N"},
        solution=half,
        cases=lambda: [(torch.full((2,), float(k)),) for k in (1, 2, 3)],
    )

    def wrong_from(k, answer):
        return lambda x: answer(x) if x[0] >= k else x * 9.0

    for k in (1, 2):
        assert judge(wrong_from(k, lambda x: 2 * x), mistakes) == "doubled?"
    assert "by hand?" in judge(wrong_from(3, lambda x: 2 * x), mistakes)
    both = judge(lambda x: 2 * x + 1, mistakes)
    assert both == "two things at once. First: doubled? Second: one more?"


def cut(x, *, most=9.0):
    return x.clamp(max=most)


def test_one_equal_wrong_number_does_not_make_a_known_mistake():
    mistakes = variants(cut, ("cut off?", {"most": 2.0}))
    judge = SmallComparison(
        parameters=("x",),
        outputs={"y": "one number"},
        solution=cut,
        cases=lambda: [(torch.tensor(float(k)),) for k in (1, 2, 3)],
    )
    assert judge(cut, mistakes) is None
    assert judge(lambda x: x.clamp(max=2.0), mistakes) == "cut off?"
    hint = judge(lambda x: x * 0 + 2.0, mistakes)  # 2, 2, 2 for 1, 2, 3
    assert "is 2, expected 1" in hint


# ---- answers that do not come to a result


@pytest.mark.parametrize("name", NAMES)
def test_odd_results_get_one_line(name, capsys):
    for number, odd in enumerate(ODD_RESULTS):
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
        result = copy.deepcopy(answers_gpt.SOLUTIONS[name](*inputs))
        for x in inputs:
            if isinstance(x, torch.Tensor):
                x.zero_()
            elif isinstance(x, dict | list):
                x.clear()
        return result

    for _ in range(2):
        assert "in place, and the caller still needs it" in check(name, clears).hint
    assert check(name, answers_gpt.SOLUTIONS[name]).passed


def test_change_inside_a_tensor_of_the_cache_is_seen():
    def writes_into_the_keys(query, key, value, cache):
        result = solutions.cached_step(query, key, value, cache)
        cache["keys"] *= 2
        return result

    assert "changes its input cache" in check("04.5", writes_into_the_keys).hint


def test_copied_shares_nothing_with_the_original():
    original = {"keys": torch.ones(2), "more": {"values": torch.ones(2)}}
    copy_ = copied(original)
    copy_["keys"].zero_()
    copy_["more"]["values"].zero_()
    assert original["keys"].sum() == original["more"]["values"].sum() == 2
    thing = object()
    assert copied(thing) is thing


# ---- the cases


def test_a_loss_that_no_training_can_use_is_named():
    hint = check("04.2", lambda *given: float(solutions.next_token_loss(*given))).hint
    assert "as a tensor from which a training can go back?" in hint


def test_cases_of_the_nucleus_do_not_hang_on_rounding():
    for probabilities, p in find("04.3").judge.cases():
        ordered = probabilities.double().sort(descending=True).values
        distance = (ordered.cumsum(0) - p).abs().min()
        exact = torch.equal(probabilities * 16, (probabilities * 16).round())
        assert distance > 1e-3 or exact  # sixteenths are added without rounding
        number = int((ordered.cumsum(0) - ordered < p).sum())
        border = ordered[number - 1 : number + 1]
        assert len(border) < 2 or border[0] - border[1] > 1e-3 or border[1] == 0


def test_cases_of_the_loss_hold_what_tells_mistakes_apart():
    cases = find("04.2").judge.cases()
    logits, _, _ = cases[0]
    assert logits.shape[1] - 1 == logits.shape[2]
    assert any((mask.sum(1) == 1).any() for _, _, mask in cases)
    assert any((ids[mask] == 0).any() for _, ids, mask in cases)
    assert all(mask[:, 1:].any() for _, _, mask in cases)


def test_cases_of_the_cache_begin_with_nothing_too():
    lengths = [inputs[3]["keys"].shape[1] for inputs in find("04.5").judge.cases()]
    assert 0 in lengths and max(lengths) > 4


def test_texts_of_the_cases_end_in_every_way():
    ways = set()
    for ask, prompt, most, end in find("04.4").judge.cases():
        new = solutions.generate(ask, prompt, most, end)[len(prompt) :]
        ways.add((new[-1:] == [end], len(new) == most, end in prompt, prompt[-1] == end))
    assert {way[:2] for way in ways} >= {(True, False), (False, True)}
    assert any(way[3] for way in ways) and any(way[2] and not way[3] for way in ways)


# ---- the made-up model


def test_model_depends_on_all_tokens_and_is_the_same_again():
    model = Model(5, 3)
    assert torch.equal(model([1, 2]), Model(5, 3)((1, 2)))
    assert not torch.equal(model([1, 2]), model([2]))
    assert not torch.equal(model([1, 2]), model([2, 2]))
    assert model([1]).shape == (5,) and model([1]).dtype == torch.float32
    assert float(model([]).exp().sum()) == pytest.approx(1)


def test_model_takes_any_flat_row_of_ids_and_names_others():
    model = Model(5, 3)
    expected = model([4, 1])
    for ids in ((4, 1), torch.tensor([4, 1]), torch.tensor([4, 1]).numpy(), [torch.tensor(4), 1]):
        assert torch.equal(model(ids), expected)
    for ids in (4, None, [[4, 1]], torch.tensor([[4, 1]]), "ab"):
        with pytest.raises(Hint, match="one flat list"):
            model(ids)
    for ids in ([5], [-1], [4, 9]):
        with pytest.raises(Hint, match="there is no token"):
            model(ids)


def test_model_stops_who_asks_without_end():
    model = Model(5, 3)
    for _ in range(MAX_CALLS):
        model([1])
    with pytest.raises(Hint, match="does your loop end after max_new_tokens"):
        model([1])
    assert model == Model(5, 3) and model != Model(5, 4)
