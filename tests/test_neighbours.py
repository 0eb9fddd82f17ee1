"""First values that make BERT's heads look at neighbours."""

import pytest
import torch

from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.neighbours import look_at_neighbours
from course_utils.reproducibility import seed_everything

SIZES = {"vocab_size": 50, "block_size": 128, "num_layers": 2, "num_heads": 6, "d_model": 192}


@pytest.fixture
def attention():
    """Mean attention of a started model: L H T T."""
    seed_everything(0)
    model = BERT(BERTConfig(**SIZES)).eval()
    look_at_neighbours(model)
    with torch.no_grad():
        return model.attentions(torch.randint(5, 50, (2, 128))).mean(dim=0)


@pytest.mark.parametrize(("head", "distance"), enumerate((-1, 1, -2, 2, -3, 3)))
def test_each_head_of_the_first_layer_looks_at_its_neighbour(attention, head, distance):
    assert attention[0, head].diagonal(distance).min() > 0.9


@pytest.mark.parametrize(("head", "distance"), enumerate((-1, 1, -2, 2)))
def test_two_of_three_heads_look_at_neighbours_in_the_layers_above(attention, head, distance):
    assert attention[1, head].diagonal(distance).mean() > 0.9


@pytest.mark.parametrize("head", (4, 5))
def test_other_heads_above_are_free(attention, head):
    assert attention[1, head].max() < 0.1


def test_positions_are_as_large_as_asked_for():
    model = BERT(BERTConfig(**SIZES))
    words = model.encoder.words.weight.clone()
    look_at_neighbours(model, size=0.7)
    waves = model.encoder.positions.weight[:, : 192 // 6]
    torch.testing.assert_close(waves.square().sum(dim=1), torch.full((128,), 16 * 0.7**2))
    torch.testing.assert_close(model.encoder.words.weight, words)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"positions": "rotary"}, "learned"), ({"num_heads": 2, "d_model": 6}, "even number")],
)
def test_model_that_cannot_be_set_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        look_at_neighbours(BERT(BERTConfig(**SIZES | changes)))
