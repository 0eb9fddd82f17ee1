"""Attention rollout: equal to a loop, shares, and what cannot flow."""

import torch

from course_utils.rollout import rollout


def draw_attentions(batch=2, layers=3, heads=4, length=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, layers, heads, length, length, generator=generator).softmax(-1)


def test_rollout_equals_a_loop_over_layers():
    attentions = draw_attentions()
    for row, found in zip(attentions, rollout(attentions), strict=True):
        wanted = torch.eye(5)
        for layer in row:
            mean = sum(head for head in layer) / 4
            wanted = (0.5 * mean + 0.5 * torch.eye(5)) @ wanted
        torch.testing.assert_close(found, wanted)


def test_rollout_shares_sum_to_one_and_do_not_flow_from_the_future():
    found = rollout(draw_attentions())
    torch.testing.assert_close(found.sum(-1), torch.ones(2, 5))
    causal = draw_attentions().tril()
    past = rollout(causal / causal.sum(-1, keepdim=True))
    assert not past.triu(1).any() and (past.tril() >= 0).all()
