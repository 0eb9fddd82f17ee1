"""Printed type: the same by seed, whole glyphs, the digits' recipe, and like handwriting."""

import helpers
import pytest
import torch
from helpers import as_a_reader

from course_utils.datasets import draw_glyphs, load_pictures
from course_utils.datasets.glyphs import GLYPHS, faces, fit_box

one_thread = helpers.one_thread


def test_same_seed_gives_the_same_pictures():
    first, again, other = (draw_glyphs(30, seed) for seed in (1, 1, 2))
    assert torch.equal(first.pictures, again.pictures) and torch.equal(first.labels, again.labels)
    assert not torch.equal(first.pictures, other.pictures)
    assert len({bytes(picture.numpy()) for picture in first.pictures}) == 30


def test_faces_have_every_glyph():
    assert len(faces()) >= 15
    from course_utils.datasets.glyphs import _printed

    printed = _printed().flatten(2)
    assert (printed.sum(-1) > 10).all(), "a face lacks a glyph"
    for face in range(printed.shape[1]):
        apart = torch.cdist(printed[:10, face], printed[:10, face]) + 99 * torch.eye(10)
        assert apart.min() > 1, f"two digits of {faces()[face].name} look the same"


def test_pictures_fill_their_box_and_hold_some_ink():
    for size in (8, 16, 32):
        pictures = draw_glyphs(200, size=size).pictures
        assert pictures.shape == (200, 1, size, size) and pictures.dtype == torch.uint8
        edges = [(pictures[:, 0] > 0).any(axis)[:, [0, -1]].all(1) for axis in (1, 2)]
        assert (edges[0] | edges[1]).float().mean() > 0.9
        share = pictures.float().flatten(1).mean(1) / 255
        assert share.min() > 0.01 and share.max() < 0.95
        assert 0.15 < share.mean() < 0.55


def test_small_pictures_are_counts_of_large_ones():
    small, large = draw_glyphs(40, 3), draw_glyphs(40, 3, size=32)
    counts = torch.nn.functional.avg_pool2d(large.pictures.float(), 4)
    assert (counts - small.pictures).abs().max() <= 1
    assert set(large.pictures.unique().tolist()) == {0, 255}


def test_labels_are_places_in_what_was_asked_for():
    pictures, labels = draw_glyphs(300, glyphs="I0", warp=0.0, size=32)
    assert labels.unique().tolist() == [0, 1]
    wide = (pictures[:, 0] > 0).any(1).sum(-1).float()
    assert wide[labels == 0].mean() < wide[labels == 1].mean()


def test_each_glyph_is_drawn_and_warp_makes_the_difference():
    labels = draw_glyphs(5000).labels
    assert labels.bincount(minlength=len(GLYPHS)).min() > 40
    straight = draw_glyphs(300, glyphs="A", warp=0.0).pictures
    assert len(straight.unique(dim=0)) <= len(faces())
    assert len(draw_glyphs(300, glyphs="A").pictures.unique(dim=0)) > 290


def test_nearest_printed_digit_is_often_the_handwritten_one():
    """A floor that a broken recipe does not reach: chance is 0.1."""
    printed, data = draw_glyphs(3000, glyphs="0123456789"), load_pictures()
    apart = torch.cdist(data.test.pictures.flatten(1).float(), printed.pictures.flatten(1).float())
    found = printed.labels[apart.argmin(1)]
    assert (found == data.test.labels).float().mean() > 0.6


def test_fit_box_keeps_the_shape_and_centres():
    ink = torch.zeros(2, 20, 30, dtype=torch.bool)
    ink[0, 3:7, 4:20] = True  # 4 x 16: 8 x 32 in the box
    ink[1, 2:18, 25:29] = True  # 16 x 4
    fitted = fit_box(ink)
    wanted = torch.zeros(32, 32, dtype=torch.bool)
    wanted[12:20] = True
    assert torch.equal(fitted[0], wanted) and torch.equal(fitted[1], wanted.T)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, "count is 1 or more"),
        ({"size": 5}, "size divides 32: got 3, 1.0 and 5"),
        ({"warp": -1.0}, "warp is not below 0"),
        ({"glyphs": "a?"}, "glyphs are some of .*got 'a\\?'"),
        ({"glyphs": ""}, "glyphs are some of"),
    ],
)
def test_wrong_arguments_are_an_error(arguments, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        draw_glyphs(**{"count": 3} | arguments)
