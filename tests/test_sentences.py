"""Pairs of sentences: half follow each other, the others come from two documents."""

import random

import pytest
from helpers import as_a_reader

from course_utils.sentences import sentence_pairs


def draw_documents(count=40, seed=0, sentences=12, longest=9):
    """Documents whose ids say where they stand: 10,000 for each document, 100 for each sentence."""
    draw = random.Random(seed)
    return [
        [
            [10_000 * (d + 1) + 100 * s + t for t in range(draw.randint(1, longest))]
            for s in range(draw.randint(1, sentences))
        ]
        for d in range(count)
    ]


DOCUMENTS = draw_documents()


def parts(limit=10_000, seed=0, documents=DOCUMENTS):
    return sentence_pairs(documents, limit, random.Random(seed))


def test_related_parts_follow_each_other_and_unrelated_ones_come_from_two_documents():
    order = {index: k for k, index in enumerate(i for d in DOCUMENTS for s in d for i in s)}
    seen = set()
    for limit in (15, 40):
        for pair in parts(limit * 10):  # so long that nothing is shortened
            if pair.unrelated:
                assert pair.first[-1] // 10_000 != pair.second[0] // 10_000
            else:
                assert order[pair.second[0]] == order[pair.first[-1]] + 1
            for part in (pair.first, pair.second):
                places = [order[index] for index in part]
                assert places == [*range(places[0], places[0] + len(part))]
                assert len({index // 10_000 for index in part}) == 1 and part[0] % 100 == 0
            seen.add(pair.unrelated)
    assert seen == {True, False}


def test_every_document_gives_as_many_pairs_as_it_has_chunks():
    documents = [[[d, s, 0, 0] for s in range(10)] for d in range(1, 4)]  # 40 tokens each
    assert len(parts(40, documents=documents)) == 3
    assert len(parts(12, documents=documents)) == 3 * 4  # of 3, 3, 3 and 1 sentences
    assert len(parts(9, documents=documents)) == 3 * 4
    first = {pair.first[0] for pair in parts(12, documents=documents)}
    assert first == {1, 2, 3}


def test_half_of_the_pairs_are_unrelated():
    documents = draw_documents(count=1500, longest=3)
    documents = [text for text in documents if len(text) > 1]
    found = [pair.unrelated for pair in parts(documents=documents)]
    assert sum(found) / len(found) == pytest.approx(0.5, abs=0.05)


def test_single_sentence_is_never_called_related():
    documents = [[[1, 2, 3]], [[4, 5]], [[6]]]
    for seed in range(5):
        assert all(pair.unrelated for pair in parts(seed=seed, documents=documents))


def test_cut_stands_between_any_two_sentences_and_any_document_may_come_in():
    documents = [[[d, s] for s in range(4)] for d in range(5)]
    found = [pair for seed in range(200) for pair in parts(8, seed, documents)]
    assert {len(pair.first) for pair in found} == {2, 4, 6}
    came = {(pair.first[0], pair.second[0]) for pair in found if pair.unrelated}
    assert len(came) == 5 * 4
    assert {pair.second[1] for pair in found if pair.unrelated} == {0, 1, 2, 3}


@pytest.mark.parametrize("limit", [2, 3, 7, 20])
def test_no_pair_is_too_long_and_no_part_is_empty(limit):
    for seed in range(3):
        for pair in parts(limit, seed):
            assert len(pair.first) + len(pair.second) <= limit
            assert pair.first and pair.second


def test_what_is_too_long_loses_tokens_at_both_ends_of_the_longer_part():
    documents = [[[*range(100, 140)], [200, 201]], [[*range(300, 340)], [400, 401]]]
    begins, ends = set(), set()
    for seed in range(20):
        first, second, unrelated = parts(20, seed, documents)[0]
        assert len(first) + len(second) == 20
        assert first == [*range(first[0], first[0] + len(first))]
        begins.add(first[0])
        ends.add(first[-1])
        if not unrelated:  # the shorter part is whole
            assert second == [200, 201] and len(first) == 18
    assert len(begins) > 3 and len(ends) > 3 and min(begins) > 100 and max(ends) < 139


def test_seed_decides_and_documents_stay():
    before = [[[*sentence] for sentence in text] for text in DOCUMENTS]
    assert parts(20, 1) == parts(20, 1) != parts(20, 2)
    assert before == DOCUMENTS


@pytest.mark.parametrize(
    ("documents", "limit", "message"),
    [
        ([], 9, "2 documents or more, without empty ones or empty sentences, got 0: leave"),
        ([[[1], [2]]], 9, "got 1"),
        ([[[1]], []], 9, "got 2: leave the empty ones out"),
        ([[[1]], [[2], []]], 9, "got 2"),
        ([[[1]], [[2]]], 1, "a pair has 2 tokens or more, got max_tokens=1"),
    ],
)
def test_wrong_documents_are_an_error(documents, limit, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        parts(limit, documents=documents)
