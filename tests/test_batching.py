"""Batches: nothing lost, nothing twice, little padding, targets shifted by one."""

import random

import pytest
import torch

from course_utils.batching import LengthBatches, TokenWindows, join_documents, pad, pair_batch

BOS, EOS, PAD = 1, 2, 0
SPECIAL = {"bos_id": BOS, "eos_id": EOS, "pad_id": PAD}


def some_pairs(count=53, longest=9, seed=0):
    """Distinct pairs with sources and targets of different lengths; targets may be empty."""
    rng = random.Random(seed)
    return [
        (
            [1000 + k] + [rng.randrange(3, 9) for _ in range(rng.randrange(longest))],
            [rng.randrange(3, 9) for _ in range(rng.randrange(longest + 1))],
        )
        for k in range(count)
    ]


def unpack(batch):
    """The pairs of a batch, read through the masks."""
    rows = zip(batch.source, batch.source_mask, batch.target, batch.target_mask, strict=True)
    return [(s[sm].tolist(), t[tm].tolist()) for s, sm, t, tm in rows]


def test_pad_fills_on_the_right_with_the_pad_id():
    ids, lengths = pad([[5], [6, 7, 8], []], pad_id=9)
    assert ids.tolist() == [[5, 9, 9], [6, 7, 8], [9, 9, 9]]
    assert lengths.tolist() == [1, 3, 0]
    assert ids.dtype == lengths.dtype == torch.long


def test_pad_of_nothing_is_empty():
    ids, lengths = pad([])
    assert ids.shape == (0, 0) and lengths.shape == (0,)
    assert pad([[], []])[0].shape == (2, 0)


def test_pair_batch_target_output_is_target_input_one_word_later():
    batch = pair_batch([([7, 8], [10, 11, 12]), ([7], [13])], **SPECIAL)
    # by hand: y = <bos> 10 11 12 <eos>; in = all but the last, out = all but the first
    assert batch.target_input.tolist() == [[1, 10, 11, 12], [1, 13, 2, 0]]
    assert batch.target_output.tolist() == [[10, 11, 12, 2], [13, 2, 0, 0]]
    assert batch.output_mask.int().tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    assert torch.equal(batch.target_input[:, 1:], batch.target_output[:, :-1])


def test_pair_batch_counts_every_word_and_one_end_token():
    pairs = some_pairs()
    batch = pair_batch(pairs, **SPECIAL)
    assert batch.output_mask.sum(dim=1).tolist() == [len(target) + 1 for _, target in pairs]
    said = [
        row[mask].tolist() for row, mask in zip(batch.target_output, batch.output_mask, strict=True)
    ]
    assert said == [[*target, EOS] for _, target in pairs]


def test_pair_batch_masks_tell_real_ids_from_padding_even_when_the_pad_id_is_a_word():
    pairs = [([0, 5, 0], [0]), ([7], [3, 0, 0])]
    batch = pair_batch(pairs, **SPECIAL)
    assert unpack(batch) == [(source, [BOS, *target, EOS]) for source, target in pairs]


def test_pair_batch_to_moves_every_tensor():
    batch = pair_batch([([7], [8]), ([7, 7], [8])], **SPECIAL).to("meta")
    tensors = [batch.source, batch.source_mask, batch.target, batch.target_mask]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert len(batch) == 2


@pytest.mark.parametrize("batch_size", [1, 7, 53, 1000])
def test_length_batches_show_every_pair_exactly_once_per_epoch(batch_size):
    pairs = some_pairs()
    batches = LengthBatches(pairs, batch_size, seed=3)
    wanted = sorted((source, [BOS, *target, EOS]) for source, target in pairs)
    for epoch in (0, 1, 5):
        batches.set_epoch(epoch)
        seen = list(batches)
        assert len(seen) == len(batches)
        assert sorted(pair for batch in seen for pair in unpack(batch)) == wanted
        assert max(map(len, seen)) <= batch_size


def test_length_batches_sources_are_equally_long_but_at_the_borders():
    pairs = some_pairs(count=400)
    lengths = {len(source) for source, _ in pairs}
    batches = list(LengthBatches(pairs, 16, seed=1))
    mixed = [batch for batch in batches if len(set(batch.source_mask.sum(dim=1).tolist())) > 1]
    assert 0 < len(mixed) <= len(lengths) - 1
    empty = sum(int((~batch.source_mask).sum()) for batch in batches)
    assert empty < 0.05 * sum(len(source) for source, _ in pairs)


def test_length_batches_order_depends_on_seed_and_epoch_only():
    pairs = some_pairs()

    def order(seed, epoch, disturb):
        torch.manual_seed(disturb)
        batches = LengthBatches(pairs, 4, seed=seed)
        list(batches)  # an earlier pass changes nothing
        batches.set_epoch(epoch)
        return [batch.source[:, 0].tolist() for batch in batches]

    first = order(seed=0, epoch=2, disturb=1)
    assert first == order(seed=0, epoch=2, disturb=99)
    assert first != order(seed=0, epoch=3, disturb=1)
    assert first != order(seed=1, epoch=2, disturb=1)
    assert first != order(seed=1, epoch=1, disturb=1)  # nor is it a matter of their sum


def test_length_batches_mix_lengths_over_an_epoch_and_pairs_over_batches():
    batches = LengthBatches(some_pairs(count=400), 8, seed=0)
    widths = [batch.source.shape[1] for batch in batches]
    assert widths != sorted(widths)  # not from short to long
    first = {tuple(sorted(batch.source[:, 0].tolist())) for batch in batches}
    batches.set_epoch(1)
    second = {tuple(sorted(batch.source[:, 0].tolist())) for batch in batches}
    assert len(first & second) < len(first) / 2  # other neighbours, not only another order


def test_length_batches_leave_the_global_random_state_alone():
    before = torch.get_rng_state()
    list(LengthBatches(some_pairs(), 8))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("pairs", "batch_size", "message"),
    [
        ([], 4, "no pairs"),
        ([([3], [4]), ([], [5])], 4, "pair 1 has an empty source"),
        ([([3], [4])], 0, "batch_size is 1 or more, got 0"),
    ],
)
def test_length_batches_wrong_arguments_are_an_error(pairs, batch_size, message):
    with pytest.raises(ValueError, match=message):
        LengthBatches(pairs, batch_size)


# ---- windows of a long text


def test_join_documents_puts_an_end_token_around_each():
    assert join_documents([[7, 8], [], [9]], end_id=3).tolist() == [3, 7, 8, 3, 3, 9, 3]
    assert join_documents(iter([]), end_id=3).tolist() == [3]


@pytest.mark.parametrize(
    ("length", "block_size", "batch_size"), [(60, 5, 4), (67, 5, 3), (21, 5, 4)]
)
def test_token_windows_predict_every_token_once_per_epoch(length, block_size, batch_size):
    batches = TokenWindows(torch.arange(length), block_size, batch_size, seed=3)
    for epoch in (0, 1, 5):
        batches.set_epoch(epoch)
        seen = list(batches)
        assert len(seen) == len(batches)
        assert all(batch.shape == (batch_size, block_size + 1) for batch in seen)
        windows = torch.cat(seen)
        # what follows is what comes next in the text, which is a ring
        assert torch.equal(windows[:, 1:], (windows[:, :-1] + 1) % length)
        targets = windows[:, 1:].flatten().tolist()
        assert len(set(targets)) == len(targets) > length - block_size * batch_size


def test_token_windows_cut_at_other_places_in_each_epoch_in_a_random_order():
    batches = TokenWindows(torch.arange(1000), 10, 5)
    first = torch.cat(list(batches))[:, 0]
    batches.set_epoch(1)
    second = torch.cat(list(batches))[:, 0]
    assert first[0] % 10 != second[0] % 10
    for starts in (first, second):
        assert len(set((starts % 10).tolist())) == 1  # side by side: no token twice
        assert (starts.diff() == 10).sum() < 20


def test_token_windows_order_depends_on_seed_and_epoch_only():
    def order(seed, epoch, disturb):
        torch.manual_seed(disturb)
        batches = TokenWindows(torch.arange(100), 4, 3, seed=seed)
        list(batches)
        batches.set_epoch(epoch)
        before = torch.get_rng_state()
        starts = torch.cat(list(batches))[:, 0].tolist()
        assert torch.equal(before, torch.get_rng_state())
        return starts

    first = order(0, 2, 1)
    assert first == order(0, 2, 99)
    assert first not in (order(0, 3, 1), order(1, 2, 1), order(1, 1, 1), order(2, 0, 1))


def test_token_windows_take_ids_of_any_integer_type():
    batch = next(iter(TokenWindows(torch.arange(20, dtype=torch.int32), 4, 2)))
    assert batch.dtype == torch.long


@pytest.mark.parametrize(
    ("length", "block_size", "batch_size", "message"),
    [
        (
            20,
            5,
            4,
            "a text of 20 tokens gives no batch of 4 windows of 5 \\+ 1: take a",
        ),
        (0, 1, 1, "a text of 0 tokens"),
        (20, 0, 4, "1 or more, got block_size=0, batch_size=4"),
        (20, 5, 0, "1 or more, got block_size=5, batch_size=0"),
    ],
)
def test_token_windows_wrong_arguments_are_an_error(length, block_size, batch_size, message):
    with pytest.raises(ValueError, match=message):
        TokenWindows(torch.arange(length), block_size, batch_size)
