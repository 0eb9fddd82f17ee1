"""Masked words: which tokens are chosen, what stands in their places, windows of running text."""

import random

import helpers
import pytest
import torch
from helpers import as_a_reader

from course_utils.batching import TokenWindows, join_documents, row_count, rows_of, to_device
from course_utils.masking import MaskedBatch, MaskedPairs, MaskedWindows, mask_tokens
from course_utils.sentences import sentence_pairs

one_thread = helpers.one_thread
PAD, UNK, CLS, SEP, MASK = range(5)
V = 50
CHOICES = {"mask_id": MASK, "vocab_size": V, "special_ids": range(5)}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draw_text(*shape, low=0, seed=9):
    """Random tokens, special ones among them."""
    return torch.randint(low, V, shape, generator=generator(seed))


def shares(ids, masked, places):
    """The share of the ordinary tokens that is chosen; of these, what becomes of them."""
    ordinary = ids >= 5
    other = (masked != ids) & (masked != MASK) & places
    mask = (masked == MASK) & places
    return [
        (part.sum() / of.sum()).item()
        for part, of in ((places, ordinary), (mask, places), (other, places))
    ]


@pytest.mark.parametrize(
    ("share", "mask_share", "random_share"),
    [(0.15, 0.8, 0.1), (0.4, 0.5, 0.25), (0.05, 0.0, 1.0), (1.0, 0.0, 0.0), (0.3, 1.0, 0.0)],
)
def test_shares_are_those_that_are_asked_for(share, mask_share, random_share):
    ids = draw_text(4000, 125)
    options = {"share": share, "mask_share": mask_share, "random_share": random_share}
    masked, places = mask_tokens(ids, **CHOICES, **options, generator=generator())
    seen = 1 - 1 / (V - 5)  # a drawn token may be the same by chance
    wanted = [share, mask_share, random_share * seen]
    n = 450_000  # ordinary tokens; five standard deviations of a share
    counts = (n, n * share, n * share)
    for found, want, of in zip(shares(ids, masked, places), wanted, counts, strict=True):
        assert abs(found - want) <= 5 * (want * (1 - want) / of) ** 0.5 + 1e-9


def test_default_shares_are_those_of_bert():
    ids = draw_text(4000, 125)
    found = shares(ids, *mask_tokens(ids, **CHOICES, generator=generator(3)))
    assert found == pytest.approx([0.15, 0.8, 0.1], abs=0.005)


def test_special_tokens_are_never_chosen_and_never_come_in():
    ids = draw_text(2000, 100)
    masked, places = mask_tokens(ids, **CHOICES, share=1.0, generator=generator())
    assert torch.equal(places, ids >= 5)
    assert torch.equal(masked[~places], ids[~places])
    assert set(masked[places & (masked != ids)].tolist()) == {MASK, *range(5, V)}
    few = CHOICES | {"special_ids": [SEP, 20]}
    _, places = mask_tokens(ids, **few, share=1.0, generator=generator())
    assert torch.equal(~places, (ids == SEP) | (ids == 20) | (ids == MASK))


def test_tokens_that_come_in_are_spread_evenly_over_the_vocabulary():
    ids = torch.full((1000, 450), 7)
    options = {"share": 1.0, "mask_share": 0.0, "random_share": 1.0, "generator": generator()}
    masked, _ = mask_tokens(ids, **CHOICES, **options)
    counts = masked.flatten().bincount(minlength=V)[5:]
    assert ((counts - 10_000).abs() < 5 * 100).all()


def test_places_do_not_depend_on_each_other_nor_on_what_comes_in():
    ids = draw_text(500_000, low=5)
    masked, places = mask_tokens(ids, **CHOICES, generator=generator())
    for way in (places, masked == MASK, places & (masked == ids)):
        both = (way[1:] & way[:-1]).float().mean().item()
        assert both == pytest.approx(way.float().mean().item() ** 2, rel=0.1, abs=1e-4)
    _, places = mask_tokens(ids.view(500, 1000), **CHOICES, generator=generator())
    assert len(set(map(tuple, places.tolist()))) == 500


def test_what_is_not_chosen_stays_and_the_input_too():
    ids = draw_text(30, 40)
    before = ids.clone()
    masked, places = mask_tokens(ids, **CHOICES, generator=generator())
    assert torch.equal(ids, before)
    assert torch.equal(masked[~places], ids[~places])
    assert masked.shape == places.shape == ids.shape and masked.dtype == ids.dtype
    small, _ = mask_tokens(ids.int(), **CHOICES, generator=generator())
    assert small.dtype == torch.int32 and torch.equal(small, masked)


def test_seed_decides_and_the_global_numbers_are_left_alone():
    ids = draw_text(30, 40)
    before = torch.get_rng_state()
    first = mask_tokens(ids, **CHOICES, generator=generator(1))
    again = mask_tokens(ids, **CHOICES, generator=generator(1))
    other = mask_tokens(ids, **CHOICES, generator=generator(2))
    assert torch.equal(before, torch.get_rng_state())
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[1], other[1])
    assert not torch.equal(mask_tokens(ids, **CHOICES)[1], mask_tokens(ids, **CHOICES)[1])


def test_batch_is_never_without_a_mask():
    ids = torch.tensor([[CLS, 7, SEP, PAD], [CLS, 8, 9, SEP]])
    draw, seen, ways = generator(), torch.zeros(2, 4), []
    for _ in range(900):
        masked, places = mask_tokens(ids, **CHOICES, share=1e-6, generator=draw)
        assert places.sum() == 1
        seen += places
        ways.append(masked[places].item())
    # each of the three ordinary tokens is equally likely, and 80 % of them become [MASK]
    assert seen[ids < 5].sum() == 0 and (seen[ids >= 5] > 240).all()
    assert ways.count(MASK) / 900 == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("ids", "changes", "message"),
    [
        ([[CLS, SEP], [PAD, PAD]], {}, "no ordinary token to hide among 4 tokens"),
        ([[]], {}, "no ordinary token to hide among 0 tokens"),
        ([[7, V]], {}, "ids are 0 to 49, got 7 to 50"),
        ([[7, -1]], {}, "ids are 0 to 49, got -1 to 7"),
        ([[7, 8]], {"mask_id": V}, "special ids are 0 to 49, as all ids, got 50"),
        ([[7, 8]], {"special_ids": [-1]}, "special ids are 0 to 49, as all ids, got -1"),
        ([[7, 8]], {"share": 0.0}, "share is above 0 and 1 at most, got 0.0"),
        ([[7, 8]], {"share": 1.1}, "got 1.1"),
        ([[7, 8]], {"mask_share": 0.9, "random_share": 0.2}, "1 together at most, got 0.9 and 0.2"),
        ([[7, 8]], {"mask_share": -0.1}, "got -0.1 and 0.1"),
    ],
)
def test_wrong_masking_is_an_error(ids, changes, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        mask_tokens(torch.tensor(ids, dtype=torch.long), **CHOICES | changes)


# ---- windows of running text

TEXT = join_documents([[7, 8, 9, 10, 11], [12, 13], [14, 15, 16, 17, 18, 19, 20]] * 9, SEP)
ENDS = {"cls_id": CLS, "sep_id": SEP}


def windows(seed=0, block_size=8, batch_size=3, ids=TEXT, **changes):
    return MaskedWindows(ids, block_size, batch_size, seed=seed, **ENDS, **CHOICES | changes)


def everything(batches, epoch=0):
    batches.set_epoch(epoch)
    found = [*batches]
    assert len(found) == len(batches)
    return [torch.cat(parts) for parts in zip(*(batch[:3] for batch in found), strict=True)]


def test_windows_are_those_of_the_text_between_cls_and_sep():
    ids, places, target = everything(windows(), epoch=2)
    plain = TokenWindows(TEXT, 6, 3)
    plain.set_epoch(2)
    assert torch.equal(target[:, 1:-1], torch.cat([*plain])[:, :-1])
    assert (target[:, 0] == CLS).all() and (target[:, -1] == SEP).all()
    assert target.shape[1] == 8
    assert torch.equal(ids[~places], target[~places]) and (ids[places] != target[places]).any()
    assert (target[places] >= 5).all() and SEP in target[:, 1:-1]


def test_windows_are_masked_anew_in_each_epoch_and_the_same_again():
    first, second = everything(windows(), 0), everything(windows(), 1)
    assert not torch.equal(first[1], second[1])
    batches = windows()
    everything(batches, 1)
    before = torch.get_rng_state()
    for part, its in zip(everything(batches, 0), first, strict=True):
        assert torch.equal(part, its)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(everything(windows(seed=1))[1], first[1])


def test_masks_differ_from_batch_to_batch_and_from_epoch_to_epoch():
    batches = windows(ids=torch.full((2000,), 9), block_size=20, batch_size=5)
    patterns = set()
    for epoch in (0, 1):
        batches.set_epoch(epoch)
        patterns |= {tuple(batch.places.flatten().tolist()) for batch in batches}
    assert len(patterns) == 2 * len(batches) > 20


def test_windows_take_the_shares():
    ids, places, target = everything(windows(share=0.5, mask_share=1.0, random_share=0.0))
    assert (ids[places] == MASK).all()
    assert places.sum() / (target >= 5).sum() == pytest.approx(0.5, abs=0.1)


def test_cls_and_sep_are_special_for_windows_whatever_is_said():
    _, places, target = everything(windows(special_ids=(), share=1.0))
    assert torch.equal(places, (target != CLS) & (target != SEP))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_size": 2}, r"a window has \[CLS\], \[SEP\] and a token: 3 or more, got 2"),
        ({"batch_size": 99}, "gives no batch of 99 windows"),
        ({"share": 2.0}, "share is above 0 and 1 at most"),
        ({"vocab_size": 19}, "ids are 0 to 18, got 3 to 20"),
        ({"ids": torch.full((90,), SEP)}, "no ordinary token to hide"),
    ],
)
def test_wrong_windows_are_an_error_at_once(changes, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        windows(**changes)


def test_batch_can_be_shared_and_moved():
    batch = next(iter(windows()))
    assert row_count(batch) == 3
    part = to_device(rows_of(batch, slice(1, 3)), torch.device("cpu"))
    assert isinstance(part, MaskedBatch) and part.segment_ids is None
    assert torch.equal(part.target, batch.target[1:]) and torch.equal(part.places, batch.places[1:])


# ---- pairs of sentences

NAMES = ENDS | {"pad_id": PAD}


def draw_documents(count=30, seed=0):
    draw = random.Random(seed)
    return [
        [[draw.randrange(5, V) for _ in range(draw.randint(1, 8))] for _ in range(6)]
        for _ in range(count)
    ]


def some_pairs(seed=0, block_size=24, batch_size=4, documents=None, **changes):
    documents = documents or draw_documents()
    choices = NAMES | CHOICES | changes
    return MaskedPairs(documents, block_size, batch_size, seed=seed, **choices)


def test_pairs_are_rows_of_cls_first_sep_second_sep_and_padding():
    documents = draw_documents()
    batches, wanted = some_pairs(documents=documents), {}
    batches.set_epoch(2)
    numbers = random.Random(2)
    for first, second, unrelated in sentence_pairs(documents, 21, numbers):
        wanted[(CLS, *first, SEP, *second, SEP)] = (len(first) + 2, unrelated)
    seen = []
    for batch in batches:
        for row, segment, mask, label in zip(
            batch.target, batch.segment_ids, batch.padding_mask, batch.unrelated, strict=True
        ):
            text = tuple(row[mask].tolist())
            first, unrelated = wanted[text]
            assert segment[mask].tolist() == [0] * first + [1] * (len(text) - first)
            assert not segment[~mask].any() and (row[~mask] == PAD).all()
            assert mask.tolist() == sorted(mask.tolist(), reverse=True) and len(text) <= 24
            assert label == unrelated
            seen.append(text)
    assert sorted(seen) == sorted(wanted) and seen != [*wanted]
    assert len(batches) == -(-len(wanted) // 4)


def test_pairs_are_masked_between_their_marks():
    for batch in some_pairs(share=1.0, special_ids=()):
        assert torch.equal(batch.places, batch.target >= 5)
        assert torch.equal(batch.ids[~batch.places], batch.target[~batch.places])


def test_pairs_are_built_and_masked_anew_in_each_epoch_and_the_same_again():
    def everything(epoch, seed=0):
        batches = some_pairs(seed)
        batches.set_epoch(epoch)
        before = torch.get_rng_state()
        found = [[part.tolist() for part in batch] for batch in batches]
        assert torch.equal(before, torch.get_rng_state())
        assert len(found) == len(batches)
        return found

    assert everything(0) == everything(0)
    assert everything(0) != everything(1) != everything(1, seed=1)


def test_masks_of_pairs_depend_on_the_epoch_when_the_pairs_do_not():
    batches = some_pairs(documents=[[[7] * 40], [[7] * 40]], block_size=60)
    first = next(iter(batches))
    batches.set_epoch(1)
    second = next(iter(batches))
    assert torch.equal(first.target, second.target)
    assert not torch.equal(first.places, second.places)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_size": 4}, "a pair has 2 tokens or more, got max_tokens=1"),
        ({"batch_size": 0}, "batch_size is 1 or more, got 0"),
        ({"documents": [[[7]]]}, "2 documents or more"),
        ({"share": 2.0}, "share is above 0 and 1 at most"),
        ({"vocab_size": 20}, "ids are 0 to 19"),
    ],
)
def test_wrong_pairs_are_an_error_at_once(changes, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        some_pairs(**changes)
