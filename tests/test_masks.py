"""Masks: True = may attend."""

import pytest
import torch

from course_utils.masks import causal_mask, padding_mask


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
