"""Masks: True = may attend."""

import re

import pytest
import torch

from course_utils.masks import attention_mask, causal_mask, check_mask, padding_mask


def test_padding_mask_is_true_at_real_positions():
    mask = padding_mask(torch.tensor([2, 0, 3]))
    assert mask.dtype == torch.bool
    assert mask.int().tolist() == [[1, 1, 0], [0, 0, 0], [1, 1, 1]]


def test_padding_mask_counts_back_to_the_lengths_at_any_width():
    lengths = torch.tensor([4, 1, 0, 7])
    for width in (7, 8, 20):
        mask = padding_mask(lengths, width)
        assert mask.shape == (4, width)
        assert torch.equal(mask.sum(dim=1), lengths)
        assert not (mask[:, 1:] & ~mask[:, :-1]).any()  # real positions come first


def test_padding_mask_of_no_rows_and_of_empty_rows_is_empty():
    assert padding_mask(torch.empty(0, dtype=torch.long)).shape == (0, 0)
    assert padding_mask(torch.tensor([0, 0])).shape == (2, 0)


@pytest.mark.parametrize(
    ("lengths", "width", "message"),
    [([1, -2], None, "0 or more, got -2"), ([1, 5], 4, "length 5 .* max_length=4")],
)
def test_padding_mask_wrong_lengths_are_an_error(lengths, width, message):
    with pytest.raises(ValueError, match=message):
        padding_mask(torch.tensor(lengths), width)


def test_causal_mask_lets_a_position_see_itself_and_the_past():
    mask = causal_mask(5)
    assert mask.dtype == torch.bool and mask.shape == (5, 5)
    for query in range(5):
        for key in range(5):
            assert mask[query, key].item() == (key <= query)


def test_causal_mask_of_length_zero_is_empty():
    assert causal_mask(0).shape == (0, 0)


def test_causal_mask_negative_length_is_an_error():
    with pytest.raises(ValueError, match="0 or more, got -1"):
        causal_mask(-1)


def test_causal_mask_with_an_offset_is_the_last_rows_of_the_whole_mask():
    for length, offset in ((1, 0), (1, 6), (3, 4), (7, 0), (0, 3)):
        whole = causal_mask(length + offset)
        assert torch.equal(causal_mask(length, offset=offset), whole[offset:])


@pytest.mark.parametrize("offset", [0, 2, 5])
def test_attention_mask_is_true_where_the_key_is_real_and_not_later(offset):
    keys = padding_mask(torch.tensor([5, 3, 0]))
    mask = attention_mask(keys, causal=True, offset=offset)
    assert mask.shape == (3, 1, 5 - offset, 5) and mask.dtype == torch.bool
    for row in range(3):
        for query in range(5 - offset):
            for key in range(5):
                wanted = bool(keys[row, key]) and key <= query + offset
                assert mask[row, 0, query, key].item() == wanted
    assert torch.equal(attention_mask(keys), keys[:, None, None])


@pytest.mark.parametrize(("offset", "message"), [(3, "offset=3 is more than the 2"), (-1, "-1")])
def test_attention_mask_wrong_offset_is_an_error(offset, message):
    with pytest.raises(ValueError, match=message):
        attention_mask(torch.ones(1, 2).bool(), causal=True, offset=offset)


SCORES = (2, 3, 4, 5)  # B H Tq Tk


@pytest.mark.parametrize("shape", [SCORES, (4, 5), (1, 5), (5,), (2, 1, 1, 5), (2, 1, 4, 1), ()])
def test_check_mask_takes_what_broadcasts(shape):
    assert check_mask(torch.ones(shape).bool(), SCORES) is None
    assert torch.ones(shape).expand(SCORES).shape == SCORES


@pytest.mark.parametrize(
    "shape", [(2, 5), (2, 4, 5), (3, 4, 5), (2, 3, 4, 4), (1, 2, 3, 4, 5), (3, 1, 4, 5)]
)
def test_check_mask_refuses_other_shapes(shape):
    message = rf"\(2, 3, 4, 5\) \(batch, heads.* got {re.escape(str(shape))}"
    with pytest.raises(ValueError, match=message):
        check_mask(torch.ones(shape).bool(), SCORES)


def test_check_mask_refuses_numbers():
    with pytest.raises(TypeError, match=r"True = may attend\), got torch.float32"):
        check_mask(torch.zeros(SCORES), SCORES)
