"""What is special to the checks of lesson 3; what all checks share is in test_exercises.py."""

from __future__ import annotations

import codecs
import json
import random

import answers_bpe
import pytest

from course_utils.exercises import byte_pair_encoding_solutions as solutions
from course_utils.exercises import check
from course_utils.exercises.checking import Hint, exercises
from course_utils.exercises.streaming_text import Stream
from course_utils.exercises.values import MOST, up_to_most
from course_utils.exercises.variants import pairs
from course_utils.tokenizers import naive

LESSON = exercises("03")
NAMES = [exercise.name for exercise in LESSON]


@pytest.fixture(autouse=True)
def not_strict(monkeypatch):
    monkeypatch.delenv("COURSE_STRICT", raising=False)


def random_words(seed, letters="abcd", number=12):
    """Words that differ, with counts that are often equal."""
    draw = random.Random(seed)
    words = {"".join(draw.choices(letters, k=draw.randint(1, 7))) for _ in range(number)}
    return {word: draw.randint(1, 4) for word in sorted(words)}


# ---- the solutions are the package's functions, and the library's


@pytest.mark.parametrize("seed", range(20))
def test_solutions_equal_the_package(seed):
    counts = random_words(seed)
    words = {tuple(word): count for word, count in counts.items()}
    assert solutions.pair_counts(words) == naive.count_pairs(words)
    merges = solutions.train(counts, 15)
    assert merges == [step.pair for step in naive.merge_steps(counts, 15)]
    for word in random_words(seed + 100):
        assert solutions.merge(tuple(word), ("a", "b")) == naive.merge_pair(tuple(word), ("a", "b"))
        assert tuple(solutions.encode(word, merges)) == naive.segment(word, merges)


def library(word_counts, num_merges):
    """The library's tokenizer, trained on words separated by spaces."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    letters = len({*"".join(word_counts)})
    trainer = trainers.BpeTrainer(vocab_size=letters + num_merges, show_progress=False)
    texts = [" ".join([word] * count) for word, count in word_counts.items()]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


@pytest.mark.parametrize("counts", [naive.TOY_CORPUS, *map(random_words, range(200, 210))])
def test_train_and_encode_solutions_equal_the_library(counts):
    tokenizer = library(counts, 6)
    merges = solutions.train(counts, 6)
    assert merges == [tuple(two) for two in json.loads(tokenizer.to_str())["model"]["merges"]]
    for word in counts:
        assert solutions.encode(word, merges) == tokenizer.encode(word).tokens


@pytest.mark.parametrize("seed", range(20))
def test_stream_solution_equals_decoding_the_whole(seed):
    draw = random.Random(seed)
    data = bytearray("naïve 日本 🙂 ½".encode())
    for _ in range(draw.randint(0, 4)):
        data[draw.randrange(len(data))] = draw.randrange(256)
    cuts = sorted(draw.choices(range(len(data) + 1), k=6))
    tokens = [bytes(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    pieces = list(solutions.stream(tokens))
    assert "".join(pieces) == bytes(data).decode(errors="replace")
    assert "" not in pieces


# ---- the smallest example is shown


@pytest.mark.parametrize("exercise", LESSON, ids=NAMES)
def test_unknown_wrong_answer_is_shown_with_its_example_and_a_question(exercise):
    odd = {"03.1": {("odd", "one"): 1}, "03.3": [("odd", "one")]}.get(exercise.name, ["odd"])
    hint = exercise.judge(lambda *inputs: odd, exercise.mistakes)
    first = exercise.judge.cases()[0]
    assert f"for {exercise.judge.parameters[0]} = {first[0]!r}" in hint
    assert "odd" in hint and ", expected " in hint and hint.endswith("?")


def test_cases_begin_with_small_ones():
    for exercise in LESSON:
        assert len(repr(exercise.judge.cases()[0])) < 40


def test_replacement_character_is_shown_by_its_name():
    hint = check("03.5", lambda tokens: ["\ufffd" for _ in tokens]).hint
    assert "\\ufffd" in hint and "\ufffd" not in hint


def test_only_pairs_that_differ_are_shown():
    def one_too_few(words):
        counts = solutions.pair_counts(words)
        if len(words) == 6:
            counts["a", "t"] -= 1
        return counts

    assert "you give {('a', 't'): 18}, expected {('a', 't'): 19}" in check("03.1", one_too_few).hint


def test_merge_that_differs_is_shown_with_the_words_before_it():
    def last_of_the_toy_wrong(word_counts, num_merges):
        merges = solutions.train(word_counts, num_merges)
        return [*merges[:1], ("c", "at"), *merges[2:]] if num_merges == 8 else merges

    hint = check("03.3", last_of_the_toy_wrong).hint
    assert "Before it the words are c at (4) m at (5)" in hint
    assert "The count of ('m', 'at') is 10, that of ('c', 'at') is 4." in hint


def test_known_mistake_with_a_small_difference_is_still_named():
    def first_only_and_odd_for_nothing(symbols, pair):
        if not symbols:
            return ["odd"]
        return answers_bpe.merging(until="first")(symbols, pair)

    assert "only the first occurrence" in check("03.2", first_only_and_odd_for_nothing).hint


def test_one_equal_example_does_not_make_a_known_mistake():
    def at(symbols, pair):
        return ["at"]

    assert "for symbols = ('a',)" in check("03.2", at).hint


def test_wrong_in_the_same_place_is_not_the_same_mistake():
    def five(words):
        return {("a", "a"): 5} if ("a", "a", "a") in words else solutions.pair_counts(words)

    assert "you give {('a', 'a'): 5}, expected {('a', 'a'): 2}" in check("03.1", five).hint


@pytest.mark.parametrize("exercise", LESSON, ids=NAMES)
def test_two_mistakes_at_once_get_a_hint_that_names_one(exercise):
    together = pairs(exercise.mistakes)
    known = [mistake.hint for mistake in exercise.mistakes]
    hints = [
        exercise.judge(mistake.answer, exercise.mistakes)
        for mistake in together[:: 1 + len(together) // 12]
    ]
    # None: one of the two takes the other back.
    assert all(hint is None or any(h in hint for h in known) for hint in hints)
    assert sum(hint is not None for hint in hints) >= 5


# ---- answers that do not come to a result


class Odd:
    """Compares with nothing, and cannot be shown."""

    def __eq__(self, other):
        raise ValueError("odd")

    __hash__ = None

    def __repr__(self):
        raise ValueError("odd")


ODD = [
    *(None, 3, True, "at", b"at", object(), Odd(), [Odd()], [None], [["a"]], {}, {"a": {}}, set()),
    *({("a", "t"): None}, {("a", "t"): "1"}, {("a", "t"): float("nan")}, {1: 2}, range(3), int),
    *([("a",)], [("a", "t", "e")], [("a", 1)], [(b"a", b"t")], (None,), [[]], ["a", 1], ...),
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_results_get_one_line(name, capsys):
    for odd in ODD:
        result = check(name, lambda *inputs, odd=odd: odd)
        assert result.status == "not yet" and result.hint, odd
        assert capsys.readouterr().out.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_answer_that_yields_odd_things_gets_one_line(name, capsys):
    def raises(*inputs):
        yield "a"
        raise ValueError("halfway")

    def endless(*inputs):
        while True:
            yield "a"

    def deep(*inputs):
        return deep(*inputs)

    assert "halfway" in check(name, raises).hint
    assert f"more than {MOST} things" in check(name, endless).hint
    assert "RecursionError" in check(name, deep).hint
    assert capsys.readouterr().out.count("\n") == 3


@pytest.mark.parametrize("name", NAMES)
def test_stub_with_a_yield_is_not_attempted(name):
    def stub(*inputs):
        raise NotImplementedError
        yield

    assert check(name, stub).status == "not attempted"


def test_list_that_comes_by_yield_is_right():
    def merge(symbols, pair):
        yield from solutions.merge(symbols, pair)

    def encode(word, merges):
        return iter(solutions.encode(word, merges))

    assert check("03.2", merge).passed and check("03.4", encode).passed


def test_changed_inputs_are_named_and_do_not_reach_the_next_check():
    def clears_merges(word, merges):
        pieces = solutions.encode(word, merges)
        merges.clear()
        return pieces

    def clears_counts(word_counts, num_merges):
        merges = solutions.train(word_counts, num_merges)
        word_counts.clear()
        return merges

    for name, answer, what in (("03.4", clears_merges, "merges"), ("03.3", clears_counts, "word")):
        for _ in range(2):
            assert f"changes its input {what}" in check(name, answer).hint
        assert check(name, answers_bpe.SOLUTIONS[name]).passed


def test_up_to_most_stops():
    assert up_to_most(range(MOST)) == list(range(MOST))
    with pytest.raises(Hint, match="where does your loop end"):
        up_to_most(range(MOST + 1))


# ---- the stream


def test_stream_counts_what_was_taken():
    stream = Stream([b"a", b"b"])
    assert stream.taken == 0
    assert [(token, stream.taken) for token in stream] == [(b"a", 1), (b"b", 2)]
    assert list(stream) == [] and stream.taken == 2
    with pytest.raises(TypeError):
        len(stream)


def test_sign_for_broken_bytes_may_come_later_and_several_times():
    def later(tokens):
        decoder, waiting = codecs.getincrementaldecoder("utf-8")("replace"), ""
        for token in tokens:
            text = waiting + decoder.decode(token)
            waiting = "\ufffd\ufffd" if text.endswith("\ufffd") else ""
            yield text.removesuffix("\ufffd")
        yield waiting + decoder.decode(b"", True)

    assert list(later([b"a", b"\xff", b"b"])) == ["a", "", "\ufffd\ufffdb", ""]
    assert check("03.5", later).passed
    assert check("03.5", lambda tokens: list(later(tokens))).passed


@pytest.mark.parametrize(
    ("pieces", "passed"),
    [(["caf", "e"], True), (["caf", "e", ""], True), (["cafe"], False), (["c", "afe"], False)],
)
def test_list_says_by_its_places_when_text_came(pieces, passed):
    def answer(tokens):
        tokens = list(tokens)
        if tokens == [b"caf", b"e"]:
            return pieces
        return answers_bpe.stream_as_list(tokens)

    assert check("03.5", answer).passed == passed
