"""Muon: equal to torch's, matrices only, and good for checkpoints and schedules."""

import pytest
import torch
from helpers import same_weights, weights_of
from torch import nn

from course_utils.checkpoints import load_state, save_state
from course_utils.optimizers import MuonAdamW, muon_and_adamw, orthogonalise
from course_utils.training import fit


def random_matrices(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Tiny(nn.Module):
    """An embedding, two layers of different shapes, a norm; the output is tied."""

    def __init__(self, seed=0):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.table = nn.Embedding(7, 8)
            self.up, self.down, self.norm = nn.Linear(8, 12), nn.Linear(12, 8), nn.LayerNorm(8)

    def forward(self, ids):
        x = self.norm(self.down(torch.tanh(self.up(self.table(ids)))))
        return x @ self.table.weight.T


def batches():
    ids = torch.randint(7, (5, 6), generator=torch.Generator().manual_seed(3))
    return list(ids)


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[:-1]), batch[1:])


@pytest.mark.parametrize("shape", [(3, 6, 6), (2, 5, 12), (2, 12, 5)])
def test_orthogonalise_keeps_singular_vectors_and_makes_values_near_one(shape):
    matrices = random_matrices(*shape)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    inner = u.mT @ orthogonalise(matrices) @ v.mT
    values = inner.diagonal(dim1=1, dim2=2)
    assert values.min() > 0.65 and values.max() < 1.25
    torch.testing.assert_close(inner, torch.diag_embed(values), atol=1e-4, rtol=0)


def test_orthogonalise_does_not_see_the_scale_and_leaves_zeros_alone():
    matrices = random_matrices(2, 4, 6)
    torch.testing.assert_close(
        orthogonalise(matrices * 1e4), orthogonalise(matrices), atol=1e-4, rtol=1e-4
    )
    assert not orthogonalise(torch.zeros(1, 4, 6)).any()


def test_orthogonalise_takes_each_matrix_by_itself():
    matrices = random_matrices(3, 4, 6)
    alone = torch.cat([orthogonalise(matrix[None]) for matrix in matrices])
    torch.testing.assert_close(orthogonalise(matrices), alone)


def test_muon_and_adamw_equal_those_of_torch(monkeypatch):
    # torch's Muon computes in bfloat16, with three digits: let it take float32, as ours does
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda self: self.clone())
    ours, theirs = Tiny(), Tiny()
    optimizer = muon_and_adamw(ours, 0.02, adamw_learning_rate=0.003, weight_decay=0.3)
    muon = torch.optim.Muon(
        [theirs.up.weight, theirs.down.weight],
        lr=0.02,
        weight_decay=0.3,
        adjust_lr_fn="match_rms_adamw",
    )
    rest = [p for p in theirs.parameters() if p is not theirs.up.weight]
    rest = [p for p in rest if p is not theirs.down.weight]
    adamw = torch.optim.AdamW(rest, lr=0.003, betas=(0.9, 0.95), weight_decay=0.0)
    for ids in batches():
        for model, optimizers in ((ours, [optimizer]), (theirs, [muon, adamw])):
            model.zero_grad()
            loss(model, ids).backward()
            for each in optimizers:
                each.step()
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-5, rtol=0, msg=lambda m, name=name: f"{name}: {m}")
        assert (p - Tiny().get_parameter(name)).abs().max() > 1e-3


def test_muon_takes_matrices_of_layers_and_adamw_the_rest():
    model = Tiny()
    model.up.bias.requires_grad_(False)
    matrices, rest = muon_and_adamw(model).param_groups
    assert matrices["muon"] and not rest["muon"] and rest["weight_decay"] == 0
    assert [id(p) for p in matrices["params"]] == [id(model.up.weight), id(model.down.weight)]
    wanted = {id(p) for p in (model.table.weight, model.down.bias, *model.norm.parameters())}
    assert {id(p) for p in rest["params"]} == wanted


def test_muon_trains_faster_than_it_began_and_follows_the_schedule():
    model = Tiny()
    optimizer = muon_and_adamw(model, 0.02, adamw_learning_rate=0.01)
    options = {"schedule": "linear", "warmup_steps": 2, "progress": False}
    history = fit(model, batches(), loss, steps=60, optimizer=optimizer, **options)
    assert sum(history.losses[-5:]) < 0.6 * sum(history.losses[:5])
    assert history.learning_rates[1] == pytest.approx(0.02)
    assert 0 < history.learning_rates[-1] < 0.001
    assert optimizer.param_groups[1]["lr"] == pytest.approx(0.0)


def test_muon_state_goes_through_a_file(tmp_path):
    def some_steps(model, optimizer, ids):
        for one in ids:
            optimizer.zero_grad()
            loss(model, one).backward()
            optimizer.step()

    wanted, again = Tiny(), Tiny(seed=1)
    first = muon_and_adamw(wanted)
    some_steps(wanted, first, batches()[:3])
    save_state(tmp_path / "s", {"model": wanted.state_dict(), "optimizer": first.state_dict()})
    state = load_state(tmp_path / "s")
    second = muon_and_adamw(again)
    again.load_state_dict(state["model"])
    second.load_state_dict(state["optimizer"])
    some_steps(wanted, first, batches()[3:])
    some_steps(again, second, batches()[3:])
    assert same_weights(weights_of(again), weights_of(wanted))


def test_fit_with_muon_resumes_to_the_same_weights(tmp_path):
    def run(path=None, stop_at=None):
        model, calls = Tiny(), []

        def stopping(model, batch):
            calls.append(1)
            if len(calls) == stop_at:
                raise RuntimeError("stop")
            return loss(model, batch)

        options = {"steps": 11, "checkpoint": path, "checkpoint_every": 4, "progress": False}
        fit(model, batches(), stopping, optimizer=muon_and_adamw(model), **options)
        return weights_of(model)

    wanted = run()
    with pytest.raises(RuntimeError, match="stop"):
        run(tmp_path / "s", stop_at=7)
    assert same_weights(run(tmp_path / "s"), wanted)


def test_muon_leaves_parameters_without_a_gradient_alone():
    model = Tiny()
    before = weights_of(model)
    optimizer = muon_and_adamw(model)
    model.up.weight.sum().backward()
    optimizer.step()
    changed = {k for k, v in weights_of(model).items() if not torch.equal(v, before[k])}
    assert changed == {"up.weight"}


def test_muon_for_something_else_than_matrices_is_an_error():
    vector = nn.Parameter(torch.zeros(3))
    with pytest.raises(ValueError, match=r"for matrices, got a parameter of shape \(3,\)"):
        MuonAdamW([{"params": [vector], "muon": True}])
    with pytest.raises(ValueError, match="no matrix for Muon outside of embeddings: take AdamW"):
        muon_and_adamw(nn.Embedding(3, 2))
