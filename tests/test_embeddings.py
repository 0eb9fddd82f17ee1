"""Positions: the paper's formula, what is saved, and lengths beyond the table."""

import math

import helpers
import pytest
import torch
from helpers import as_a_reader

from course_utils.embeddings import (
    LearnedPositions,
    PatchEmbedding,
    RotaryPositions,
    SinusoidalPositions,
    cut_patches,
    interpolate_positions,
    sinusoidal_table,
)

one_thread = helpers.one_thread
both = pytest.mark.parametrize("kind", [SinusoidalPositions, LearnedPositions])


def test_sinusoidal_table_by_the_formula():
    table = sinusoidal_table(60, 10)
    for position in (0, 1, 7, 59):
        for pair in range(5):
            angle = position / 10_000 ** (2 * pair / 10)
            wanted = [math.sin(angle), math.cos(angle)]
            assert table[position, 2 * pair : 2 * pair + 2].tolist() == pytest.approx(wanted)


def test_sinusoidal_table_hand_worked():
    # D = 4: frequencies 1 and 1/100; position 2: sin 2, cos 2, sin 0.02, cos 0.02
    wanted = [0.909297, -0.416147, 0.0199987, 0.9998]
    assert sinusoidal_table(3, 4)[2].tolist() == pytest.approx(wanted, abs=1e-6)


def test_sinusoidal_shift_is_a_rotation_of_each_pair():
    table, shift = sinusoidal_table(50, 6).double(), 9
    for pair in range(3):
        angle = torch.tensor(shift / 10_000 ** (2 * pair / 6)).double()
        turn = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]]).double()
        sines, cosines = table[:, 2 * pair], table[:, 2 * pair + 1]
        points = torch.stack([cosines, sines], dim=1)
        torch.testing.assert_close(points[shift:], points[:-shift] @ turn.T, atol=1e-5, rtol=0)


def test_sinusoidal_odd_width_is_an_error():
    with pytest.raises(ValueError, match="d_model is even, got 7"):
        SinusoidalPositions(7, 4)


@both
def test_positions_are_added_from_the_offset_on(kind):
    positions, x = kind(4, 10), torch.randn(2, 3, 4)
    torch.testing.assert_close(positions(x), x + positions.weight[:3])
    torch.testing.assert_close(positions(x, offset=7), x + positions.weight[7:10])
    step_by_step = [positions(x[:, t : t + 1], offset=t) for t in range(3)]
    torch.testing.assert_close(torch.cat(step_by_step, dim=1), positions(x))


@both
@pytest.mark.parametrize(("length", "offset"), [(6, 0), (1, 5), (3, 3)])
def test_positions_beyond_the_table_are_an_error(kind, length, offset):
    positions = kind(4, 5)
    positions(torch.zeros(1, 5, 4))
    with as_a_reader(), pytest.raises(ValueError, match=r"length 6 .* table of 5 positions"):
        positions(torch.zeros(1, length, 4), offset)


def test_only_learned_positions_are_weights():
    assert not SinusoidalPositions(4, 5).state_dict()
    assert not list(SinusoidalPositions(4, 5).parameters())
    learned = LearnedPositions(4, 5)
    assert learned.state_dict()["weight"].shape == (5, 4)
    learned(torch.zeros(2, 3, 4)).sum().backward()
    assert learned.weight.grad.tolist() == [[2.0] * 4] * 3 + [[0.0] * 4] * 2


def test_learned_positions_begin_with_the_size_that_is_asked_for():
    torch.manual_seed(0)
    for std in (0.02, 0.7):
        assert LearnedPositions(64, 100, std=std).weight.std().item() == pytest.approx(std, rel=0.1)


# ---- rotary


def draw_vectors(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_rotary_hand_worked():
    # D = 4: pairs (0, 2) and (1, 3), frequencies 1 and 1/100; at position 2: angles 2 and 0.02
    turned = RotaryPositions(4, 3)(torch.tensor([[1.0, 1.0, 0.0, 2.0]]), offset=2)
    wanted = [-0.416147, 0.9998 - 2 * 0.0199987, 0.909297, 2 * 0.9998 + 0.0199987]
    assert turned[0].tolist() == pytest.approx(wanted, abs=1e-5)


def test_rotary_equals_the_library():
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    query, key = draw_vectors(2, 3, 7, 8), draw_vectors(2, 3, 7, 8, seed=1)
    turn = RotaryPositions(8, 9)
    angles = torch.arange(7)[:, None] / 10_000 ** (torch.arange(0, 8, 2) / 8)
    both = torch.cat([angles, angles], dim=-1)[None]
    wanted = apply_rotary_pos_emb(query, key, both.cos(), both.sin())
    torch.testing.assert_close(turn(query), wanted[0])
    torch.testing.assert_close(turn(key), wanted[1])


def test_rotary_products_depend_on_the_distance_only():
    query, key = draw_vectors(1, 8), draw_vectors(1, 8, seed=1)
    turn = RotaryPositions(8, 50)
    products = [[(turn(query, q) @ turn(key, k).T).item() for k in range(20)] for q in range(20)]
    for q in range(20):
        for k in range(20):
            distance = max(0, q - k), max(0, k - q)
            assert products[q][k] == pytest.approx(products[distance[0]][distance[1]], abs=1e-4)
    assert len({round(product, 3) for product in products[0]}) > 10


def test_rotary_keeps_lengths_and_leaves_the_first_position_alone():
    x = draw_vectors(2, 3, 6, 8)
    turned = RotaryPositions(8, 6)(x)
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned[:, :, 0], x[:, :, 0])
    assert ((turned[:, :, 1:] - x[:, :, 1:]).norm(dim=-1) > 1e-2).all()


def test_rotary_step_by_step_equals_at_once_and_nothing_is_saved():
    turn, x = RotaryPositions(4, 5), draw_vectors(2, 5, 4)
    steps = [turn(x[:, t : t + 1], offset=t) for t in range(5)]
    torch.testing.assert_close(torch.cat(steps, dim=1), turn(x))
    assert not turn.state_dict() and not list(turn.parameters())


def test_rotary_beyond_the_table_and_odd_widths_are_an_error():
    with as_a_reader(), pytest.raises(ValueError, match=r"length 6 .* table of 5 positions"):
        RotaryPositions(4, 5)(torch.zeros(1, 3, 4), 3)
    with pytest.raises(ValueError, match="is even, got 5"):
        RotaryPositions(5, 9)


# ---- pictures


@pytest.mark.parametrize(
    ("patch", "channels", "size"), [(1, 1, (2, 3)), (4, 3, (8, 12)), (5, 2, (5, 5))]
)
def test_patch_embedding_equals_the_convolution_and_a_loop(patch, channels, size):
    embed, pictures = PatchEmbedding(patch, channels, 7), draw_vectors(2, channels, *size)
    wanted = embed.projection(pictures).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embed(pictures), wanted, atol=1e-5, rtol=1e-5)
    matrix, bias = embed.projection.weight.flatten(1), embed.projection.bias
    by_hand = [
        matrix @ pictures[1, :, y : y + patch, x : x + patch].flatten() + bias
        for y in range(0, size[0], patch)
        for x in range(0, size[1], patch)
    ]
    torch.testing.assert_close(embed(pictures)[1], torch.stack(by_hand), atol=1e-5, rtol=1e-5)


def test_patches_that_do_not_fit_are_an_error():
    with pytest.raises(ValueError, match="of 3 x 8 pixels is smaller than a patch of 4 x 4"):
        cut_patches(torch.zeros(1, 1, 3, 8), 4)
    for size in ((9, 8), (8, 9)):
        with pytest.raises(ValueError, match=f"do not fill a picture of {size[0]} x {size[1]}"):
            cut_patches(torch.zeros(1, 1, *size), 4)
    with pytest.raises(ValueError, match=r"have 3 channels here, got 1 \(shape"):
        PatchEmbedding(4, 3, 8)(torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize("family", ["ViT", "DeiT"])
@pytest.mark.parametrize("size", [(3, 3), (1, 1), (2, 7), (9, 4)])
def test_interpolated_positions_equal_the_library(family, size):
    import transformers

    sizes = {"image_size": 12, "patch_size": 4, "hidden_size": 6, "num_attention_heads": 2}
    theirs = getattr(transformers, f"{family}Model")(
        getattr(transformers, f"{family}Config")(**sizes, num_hidden_layers=1)
    ).embeddings
    special = 1 + (family == "DeiT")
    table = draw_vectors(special + 9, 6)
    theirs.position_embeddings.data = table[None]
    tokens = torch.zeros(1, special + size[0] * size[1], 6)
    wanted = theirs.interpolate_pos_encoding(tokens, 4 * size[0], 4 * size[1])[0]
    found = interpolate_positions(table, *size, special=special)
    torch.testing.assert_close(found, wanted)
    assert torch.equal(found[:special], table[:special])


def test_positions_of_no_square_are_an_error_and_none_special_is_one():
    table = draw_vectors(9, 4)
    assert interpolate_positions(table, 3, 3, special=0) is table
    assert interpolate_positions(table, 2, 5, special=0).shape == (10, 4)
    for special in (1, 2, 9, 12):
        with pytest.raises(ValueError, match=f"9 positions are not {special} special ones"):
            interpolate_positions(table, 2, 5, special=special)
