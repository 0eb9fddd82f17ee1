"""Fractals: the same by seed, classes that stay and differ, maps that shrink, colours."""

import helpers
import pytest
import torch
from helpers import as_a_reader

from course_utils.datasets.fractals import COVERAGE, _systems, chaos_game, draw_fractals

one_thread = helpers.one_thread


def by_class(classes, per_class, seed=0, **choices):
    """Mean picture of each class, and all pictures."""
    drawn = draw_fractals(classes * per_class, seed, classes=classes, **choices)
    flat = drawn.pictures.flatten(1).float() / 255
    means = [flat[drawn.labels == label].mean(0) for label in range(classes)]
    return torch.stack(means), drawn


def test_same_seed_gives_the_same_pictures_and_leaves_the_global_numbers_alone():
    before = torch.get_rng_state()
    first, again, other = (draw_fractals(30, seed, channels=3) for seed in (1, 1, 2))
    assert torch.equal(first.pictures, again.pictures) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.pictures, other.pictures)
    assert len({bytes(picture.numpy()) for picture in first.pictures}) == 30
    assert torch.equal(torch.get_rng_state(), before)


def test_classes_are_the_same_for_every_seed_and_told_apart():
    """The nearest mean of other pictures: chance is 0.05."""
    means, _ = by_class(20, 40, seed=1)
    pictures, labels = draw_fractals(400, 2, classes=20)
    apart = torch.cdist(pictures.flatten(1).float() / 255, means)
    assert (apart.argmin(1) == labels).float().mean() > 0.8


def test_first_classes_are_those_of_more_classes():
    for few, many in zip(_systems(7), _systems(300), strict=True):
        assert len(many) == 300 and torch.equal(few, many[:7])


def test_each_class_is_drawn_and_each_map_shrinks_even_if_changed():
    assert draw_fractals(4000, size=4).labels.bincount(minlength=100).min() > 15
    maps, shares = _systems(300)
    matrices = maps[..., :2]
    length = torch.linalg.matrix_norm(matrices, ord=2)
    # The worst that a change of each number by up to 20 % can do.
    worst = length + 0.2 * torch.linalg.matrix_norm(matrices)
    assert length.max() > 0.7 and worst.max() < 1
    number = (shares > 0).sum(1)
    assert set(number.tolist()) == {2, 3, 4, 5, 6}
    torch.testing.assert_close(shares.sum(1), torch.ones(300))
    area = torch.linalg.det(matrices).abs() * (shares > 0)
    torch.testing.assert_close(shares, area / area.sum(1, keepdim=True), atol=1e-4, rtol=1e-3)


def test_maps_mirror_as_often_as_not_and_turn_any_way():
    maps, _ = _systems(300)
    mirrored = (torch.linalg.det(maps[..., :2]) < 0).float().mean()
    assert 0.4 < mirrored < 0.6
    corner = maps[..., 0, 0]
    assert 0.4 < (corner > 0).float().mean() < 0.6


@pytest.mark.parametrize(("size", "channels"), [(8, 1), (16, 3), (32, 1)])
def test_pictures_have_their_size_and_reach_all_edges(size, channels):
    pictures, _ = draw_fractals(120, size=size, channels=channels)
    assert pictures.shape == (120, channels, size, size) and pictures.dtype == torch.uint8
    if channels == 1:
        for axis in (1, 2):
            assert (pictures[:, 0] > 0).any(axis)[:, [0, -1]].all()
            edges = pictures[:, 0].float().mean((0, axis))
            assert 0.5 < edges[0] / edges[-1] < 2
        assert pictures.flatten(1).amax(1).min() > 200


def test_share_that_is_covered_is_neither_small_nor_all():
    pictures, _ = draw_fractals(300, size=32, change=0.0)
    share = (pictures > 0).float().mean((1, 2, 3))
    assert COVERAGE[0] - 0.05 < share.min() and share.max() < COVERAGE[1] + 0.05
    assert 0.25 < share.mean() < 0.45


def test_change_makes_the_difference_between_pictures_of_a_class():
    spread = []
    for change in (0.0, 0.5, 1.0):
        means, (pictures, labels) = by_class(5, 30, change=change)
        flat = pictures.flatten(1).float() / 255
        spread.append((flat - means[labels]).abs().mean())
    assert spread[0] < 0.09 and spread[1] > 1.5 * spread[0] and spread[2] > 1.2 * spread[1]


def test_colours_say_nothing_about_the_class_and_the_shape_does():
    means, (pictures, labels) = by_class(4, 150, channels=3)
    colour = pictures.float().mean((2, 3)) / 255
    per_class = torch.stack([colour[labels == label].mean(0) for label in range(4)])
    assert (per_class - colour.mean(0)).abs().max() < 0.05
    assert colour.std(0).min() > 0.08
    grey, (_, own) = by_class(4, 150)
    edges = (pictures.float().diff(dim=3).abs().sum(1) > 90).float().flatten(1)
    found = torch.stack([edges[labels == label].mean(0) for label in range(4)])
    apart = torch.cdist(edges, found)
    assert (apart.argmin(1) == labels).float().mean() > 0.7
    assert means.shape[1] == 3 * grey.shape[1] and torch.equal(own, labels)


def test_each_map_paints_its_part_and_the_background_is_smooth():
    grey = draw_fractals(60, 4, size=32).pictures[:, 0]
    pictures = draw_fractals(60, 4, size=32, channels=3).pictures.float()
    first, grey_first = pictures[0], grey[0]  # the rest is drawn after the first ones' colours
    smooth = first.diff(dim=2).abs().amax(0)
    nothing = (grey_first[:, 1:] == 0) & (grey_first[:, :-1] == 0)
    assert smooth[nothing].max() < 18  # at most 255 in 16 pixels, and rounding
    whole = first[:, grey_first == 255].T
    colours, often = whole.unique(dim=0, return_counts=True)
    assert len(colours) >= 2 and often.max() > 20


def test_chaos_game_draws_the_sierpinski_triangle():
    corners = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 0.5]])
    half = torch.eye(2).expand(3, 2, 2) / 2
    maps = torch.cat([half, corners[..., None]], dim=-1)[None]
    shares = torch.tensor([[0.5, 0.3, 0.2]])
    points, last = chaos_game(maps, shares, 5000, generator=torch.Generator().manual_seed(0))
    assert points.shape == (1, 5000, 2) and last.shape == (1, 5000)
    # In binary, x and y of its points have no 1 in the same place.
    places = (points[0] * 2**8).long()
    assert not (places[:, 0] & places[:, 1]).any()
    torch.testing.assert_close(last[0].bincount() / 5000, shares[0], atol=0.03, rtol=0)
    assert torch.equal(last[0] == 1, points[0, :, 0] >= 0.5)


def test_both_coordinates_of_a_jump_come_from_the_point_before():
    maps = torch.tensor([[[[0.0, 0, 1], [1, 0, 0]], [[0.0, 0, 2], [1, 0, 0]]]])  # 1 or 2; last x
    points, _ = chaos_game(maps, torch.tensor([[0.5, 0.5]]), 500)
    assert points[0].unique(dim=0).tolist() == [[1, 1], [1, 2], [2, 1], [2, 2]]


def test_chaos_game_plays_each_system_by_itself_and_maps_of_no_share_never():
    moved = torch.zeros(2, 3, 2, 3)
    moved[0, :, 0, 2], moved[1, :, 1, 2] = torch.tensor([1.0, 2.0, 9.0]), 5.0
    shares = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    points, last = chaos_game(moved, shares, 300)
    assert set(points[0, :, 0].tolist()) == {1.0, 2.0} and not points[0, :, 1].any()
    assert (points[1] == torch.tensor([0.0, 5.0])).all()
    assert set(last[0].tolist()) == {0, 1} and set(last[1].tolist()) == {1}


@pytest.mark.parametrize(
    "wrong", [{"count": 0}, {"classes": 0}, {"size": 1}, {"channels": 2}, {"change": 1.1}]
)
def test_wrong_arguments_are_an_error(wrong):
    (got,) = wrong.values()
    with as_a_reader(), pytest.raises(ValueError, match=rf"count and classes are .*got.*\b{got}"):
        draw_fractals(**{"count": 3} | wrong)


@pytest.mark.parametrize(
    ("shares", "count", "message"),
    [
        ([[0.5, 0.5]], 0, "count is 1 or more.*got 0"),
        ([[0.0, 0.0]], 3, "one of each system is above 0.*sums from 0"),
        ([[1.5, -0.5]], 3, r"shares are 0 or more.*shares from -0\.5"),
    ],
)
def test_chaos_game_without_points_or_shares_is_an_error(shares, count, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        chaos_game(torch.zeros(1, 2, 2, 3), torch.tensor(shares), count)
