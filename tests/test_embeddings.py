"""Positions: the paper's formula, what is saved, and lengths beyond the table."""

import math

import helpers
import pytest
import torch
from helpers import as_a_reader

from course_utils.embeddings import LearnedPositions, SinusoidalPositions, sinusoidal_table

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
