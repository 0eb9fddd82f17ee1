"""The training loop: losses, schedules, seeds, evaluation, interrupts, bad arguments."""

import contextlib
import itertools
import math
import random
from typing import NamedTuple

import numpy
import pytest
import torch
from helpers import as_a_reader, same_weights, shake, weights_of
from torch import nn
from torch.utils.data import DataLoader

from course_utils.batching import LengthBatches
from course_utils.losses import (
    masked_cross_entropy,
    next_token_loss,
    token_log_probs,
    translation_loss,
)
from course_utils.models.seq2seq import Seq2Seq, Seq2SeqConfig
from course_utils.schedules import parameter_groups, schedule_factor
from course_utils.training import History, fit

EPOCH = 5  # batches of an epoch


class Net(nn.Module):
    """A small network with dropout."""

    def __init__(self, seed=0, dropout=0.3):
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(3, 8), nn.Dropout(dropout), nn.Linear(8, 1)
        shake(self, seed)

    def forward(self, x):
        return self.last(self.drop(torch.tanh(self.first(x))))


def data(count=20):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 3, generator=generator)
    return list(zip(x, x.sum(dim=1, keepdim=True), strict=True))


def plain_batches():
    x, y = (torch.stack(part) for part in zip(*data(), strict=True))
    return [(x[k : k + 4], y[k : k + 4]) for k in range(0, 20, 4)]


def squared(model, batch):
    x, y = batch
    return (model(x) - y).square().mean()


def train(model=None, batches=None, loss=squared, **options):
    """A short training; gives the model and its history."""
    model = Net() if model is None else model
    options = {"steps": 7, "learning_rate": 0.01, "progress": False} | options
    try:
        return model, fit(model, batches or plain_batches(), loss, **options)
    except KeyboardInterrupt:  # it would end the whole test run
        pytest.fail("Ctrl-C came through fit")


def failing_at(step, error, loss=squared):
    """A loss that raises in the given step, counted from 1."""
    calls = []

    def broken(model, batch):
        calls.append(1)
        if len(calls) == step:
            raise error
        return loss(model, batch)

    return broken


# ---- losses


def logits_and_target():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]]).bool()
    return logits, torch.randint(6, (3, 4), generator=generator), mask


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_masked_cross_entropy_equals_torch_with_ignored_positions(smoothing):
    logits, target, mask = logits_and_target()
    wanted = nn.functional.cross_entropy(
        logits.transpose(1, 2),
        target.masked_fill(~mask, -100),
        ignore_index=-100,
        label_smoothing=smoothing,
    )
    torch.testing.assert_close(masked_cross_entropy(logits, target, mask, smoothing), wanted)


def test_masked_cross_entropy_label_smoothing_hand_worked():
    # p = softmax(ln 1, ln 3) = 1/4, 3/4; target 1 with smoothing 0.2 wants (0.1, 0.9)
    logits = torch.tensor([[[1.0, 3.0]]]).log()
    loss = masked_cross_entropy(logits, torch.tensor([[1]]), torch.tensor([[True]]), 0.2)
    assert loss.item() == pytest.approx(-0.1 * math.log(1 / 4) - 0.9 * math.log(3 / 4))


def test_masked_cross_entropy_padding_never_enters():
    logits, target, mask = logits_and_target()
    wanted = masked_cross_entropy(logits, target, mask)
    junk = logits.masked_fill(~mask[..., None], torch.nan).requires_grad_(True)
    found = masked_cross_entropy(junk, target.masked_fill(~mask, -9), mask)
    assert torch.equal(found, wanted)
    found.backward()
    assert not junk.grad[~mask].any() and junk.grad[mask].any(dim=-1).all()


def tiny_translator(seed=0, dropout=0.2, **choices):
    sizes = {"source_vocab": 9, "target_vocab": 9, "d_embedding": 4, "d_encoder": 3, "d_hidden": 6}
    choices = {"order": "luong", "attention": "bilinear"} | choices
    return shake(Seq2Seq(Seq2SeqConfig(**sizes, dropout=dropout, **choices)), seed, std=0.3)


def some_pairs(count=26):
    rng = random.Random(0)
    return [
        tuple([rng.randrange(3, 9) for _ in range(rng.randrange(1, 5))] for _ in "xy")
        for _ in range(count)
    ]


def test_translation_loss_is_the_mean_over_the_real_words_of_all_rows():
    model = tiny_translator(dropout=0.0).double().eval()
    (batch,) = LengthBatches(some_pairs(), 26)
    total, count = 0.0, 0
    for source, target in some_pairs():
        logits, _ = model(
            torch.tensor([source]), torch.ones(1, len(source)).bool(), torch.tensor([[1, *target]])
        )
        for place, word in enumerate([*target, 2]):  # the word after place, then the end
            total -= logits[0, place].log_softmax(-1)[word].item()
            count += 1
    assert translation_loss()(model, batch).item() == pytest.approx(total / count)
    smooth = translation_loss(0.1)(model, batch).item()
    assert smooth != pytest.approx(total / count)


# ---- the loss of a language model


class Running(nn.Module):
    """Scores that depend on all tokens up to each one, and on nothing else."""

    def __init__(self, vocab_size=5):
        super().__init__()
        self.table = nn.Embedding(vocab_size, vocab_size)
        shake(self)

    def forward(self, ids):
        return self.table(ids).cumsum(dim=1)


def score_of(model, context, token):
    """Log-probability of a token after a context, the last thing that the model is asked."""
    return model(context[None])[0, -1].log_softmax(dim=0)[token].item()


def test_next_token_loss_is_the_mean_over_all_tokens_but_the_first():
    model, ids = Running(), torch.tensor([[0, 3, 1, 4], [2, 2, 0, 1]])
    scores = [score_of(model, row[:k], row[k]) for row in ids for k in range(1, 4)]
    assert next_token_loss(model, ids).item() == pytest.approx(-sum(scores) / 6)


@pytest.mark.parametrize("stride", [1, 2, 5, None])
@pytest.mark.parametrize("length", [2, 5, 6, 7, 18, 23])
def test_token_log_probs_score_each_token_once_with_the_context_that_is_promised(stride, length):
    model, block = Running(), 5
    ids = torch.randint(5, (length,), generator=torch.Generator().manual_seed(length))
    found = token_log_probs(model, ids, block, stride=stride, batch_size=3)
    assert found.shape == (length - 1,) and not found.requires_grad
    for k in range(1, length):
        least = min(k, block - (stride or block) + 1)
        contexts = [ids[k - size : k] for size in range(least, min(k, block) + 1)]
        scores = [score_of(model, context, ids[k]) for context in contexts]
        assert any(found[k - 1].item() == pytest.approx(s, abs=1e-5) for s in scores), k


@pytest.mark.parametrize(
    ("length", "stride", "message"),
    [
        (1, 1, "2 tokens or more, got 1"),
        (9, 0, "stride is 1 to block_size=4, got 0"),
        (9, 5, "to block_size=4, got 5"),
    ],
)
def test_token_log_probs_wrong_arguments_are_an_error(length, stride, message):
    with pytest.raises(ValueError, match=message):
        token_log_probs(Running(), torch.zeros(length).long(), 4, stride=stride)


# ---- schedule


def test_schedule_inverse_sqrt_equals_the_papers_equation_up_to_a_constant():
    warmup, width = 40, 512
    for step in range(1, 400):
        paper = width**-0.5 * min(step**-0.5, step * warmup**-1.5)
        found = schedule_factor("inverse_sqrt", step - 1, 400, warmup)
        assert found == pytest.approx(paper * (width * warmup) ** 0.5)


@pytest.mark.parametrize("name", ["constant", "linear", "cosine", "inverse_sqrt", "trapezoid"])
def test_schedule_rises_to_one_at_the_end_of_the_warm_up_and_never_rises_again(name):
    factors = [schedule_factor(name, step, 50, 10) for step in range(51)]
    assert factors[:10] == pytest.approx([(k + 1) / 10 for k in range(10)])
    assert max(factors) == 1.0
    assert all(b <= a for a, b in itertools.pairwise(factors[9:]))
    assert all(0.0 <= factor <= 1.0 for factor in factors)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("constant", [1.0, 1.0, 1.0]),
        ("linear", [1.0, 0.5, 0.0]),
        ("cosine", [1.0, 0.5, 0.0]),
        ("inverse_sqrt", [10**0.5 / 11**0.5, 10**0.5 / 31**0.5, 10**0.5 / 51**0.5]),
        ("trapezoid", [1.0, 20 / 35, 0.0]),  # down from step 15 to step 50
    ],
)
def test_schedule_after_the_warm_up_hand_worked(name, wanted):
    assert [schedule_factor(name, step, 50, 10) for step in (10, 30, 50)] == pytest.approx(wanted)


@pytest.mark.parametrize("step", [0, 20])
def test_schedule_unknown_name_is_an_error_at_once(step):
    with (
        as_a_reader(),
        pytest.raises(ValueError, match='"inverse_sqrt" or "trapezoid", got \'cosin\''),
    ):
        schedule_factor("cosin", step, 50, 10)


def test_fit_learning_rates_follow_the_schedule():
    options = {"schedule": "linear", "warmup_steps": 3, "steps": 9, "learning_rate": 0.5}
    _, history = train(**options)
    wanted = [0.5 * schedule_factor("linear", step, 9, 3) for step in range(9)]
    assert history.learning_rates == pytest.approx(wanted)


# ---- parameter groups


def test_parameter_groups_scale_by_name_and_freeze():
    model = Net()
    groups = parameter_groups(model, 0.1, {"last.bias": 0.0, "last": 3.0})
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    assert rates[id(model.first.weight)] == rates[id(model.first.bias)] == 0.1
    assert rates[id(model.last.weight)] == pytest.approx(0.3)
    assert id(model.last.bias) not in rates and not model.last.bias.requires_grad


def test_parameter_groups_wrong_name_is_an_error_and_freezes_nothing():
    model = Net()
    with pytest.raises(ValueError, match=r"contains 'frist'; names are .*first"):
        parameter_groups(model, 0.1, {"last": 0.0, "frist": 2.0})
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_fit_frozen_group_stays_and_scaled_group_goes_further():
    before = weights_of(Net())
    options = {"steps": 1, "schedule": "constant", "clip_norm": None}
    model, _ = train(**options, learning_rate_scales={"first": 0.0, "last.bias": 3.0})
    moved = {name: (weights_of(model)[name] - before[name]).abs().max().item() for name in before}
    assert moved["first.weight"] == moved["first.bias"] == 0.0
    assert moved["last.bias"] == pytest.approx(3 * moved["last.weight"], rel=0.01)


def test_fit_leaves_what_was_frozen_before_alone():
    model = Net()
    model.first.weight.requires_grad_(False)
    before = weights_of(model)
    train(model)
    assert torch.equal(model.first.weight, before["first.weight"])
    assert not torch.equal(model.first.bias, before["first.bias"])


# ---- the loop


def test_fit_equals_a_loop_by_hand():
    model, by_hand = Net(dropout=0.0), Net(dropout=0.0)
    _, history = train(
        model, steps=8, schedule="cosine", warmup_steps=2, weight_decay=0.1, clip_norm=0.5
    )
    optimizer = torch.optim.AdamW(
        by_hand.parameters(), lr=0.01, betas=(0.9, 0.98), weight_decay=0.1
    )
    losses = []
    for step in range(8):
        loss = squared(by_hand, plain_batches()[step % EPOCH])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(by_hand.parameters(), 0.5)
        optimizer.param_groups[0]["lr"] = 0.01 * schedule_factor("cosine", step, 8, 2)
        optimizer.step()
        losses.append(loss.item())
    torch.testing.assert_close(history.losses, losses, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weights_of(model), weights_of(by_hand), rtol=1e-5, atol=1e-6)


def test_fit_same_seed_same_result_bit_for_bit_other_seed_differs():
    def once(seed, disturb):
        torch.manual_seed(disturb)
        batches = DataLoader(data(), batch_size=4, shuffle=True)
        model, history = train(batches=batches, seed=seed)
        return weights_of(model), history.losses

    first, again, other = once(0, 1), once(0, 2), once(1, 1)
    assert first[1] == again[1] and same_weights(first[0], again[0])
    assert first[1] != other[1] and not same_weights(first[0], other[0])


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), RuntimeError("stop")])
def test_fit_leaves_the_global_random_states_alone(error):
    model = Net()
    states = [torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].tolist()]
    loss = squared if error is None else failing_at(3, error)
    batches = DataLoader(data(), batch_size=4, shuffle=True)
    with as_a_reader(), contextlib.suppress(RuntimeError):  # the check of types draws numbers too
        train(model, batches=batches, loss=loss)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert [random.getstate(), numpy.random.get_state()[1].tolist()] == states[1:]


def test_fit_epochs_and_steps_agree():
    by_epochs, first = train(epochs=2, steps=None)
    by_steps, second = train(steps=2 * EPOCH)
    assert first.losses == second.losses and len(first.losses) == 2 * EPOCH
    assert same_weights(weights_of(by_epochs), weights_of(by_steps))


def test_fit_tells_batches_which_epoch_it_is():
    class Epochs(list):
        def set_epoch(self, epoch):
            told.append(epoch)

    told = []
    train(batches=Epochs(plain_batches()), steps=2 * EPOCH + 1)
    assert told == [0, 1, 2]


def test_fit_shows_every_pair_in_every_epoch():
    seen = []

    def counting(model, batch):
        seen.extend(batch[0][:, 0].tolist())
        return squared(model, batch)

    train(batches=DataLoader(data(), batch_size=4, shuffle=True), loss=counting, steps=2 * EPOCH)
    assert sorted(seen[:20]) == sorted(seen[20:]) == sorted(x[0].item() for x, _ in data())
    assert seen[:20] != seen[20:]


def test_fit_clips_the_gradient():
    def far(model, batch):
        return 1e6 * squared(model, batch)

    def moved(**options):
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        train(model, loss=far, steps=1, schedule="constant", optimizer=optimizer, **options)
        return sum(
            (p - q).square().sum()
            for p, q in zip(model.parameters(), Net().parameters(), strict=True)
        )

    assert moved(clip_norm=0.25).sqrt().item() == pytest.approx(0.25, rel=1e-3)
    assert moved(clip_norm=None).sqrt().item() > 1e3


def test_fit_takes_an_optimizer_and_scales_its_own_rates():
    model = Net()
    groups = [{"params": model.first.parameters(), "lr": 0.2}, {"params": model.last.parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.4)
    _, history = train(model, optimizer=optimizer, schedule="linear", steps=4)
    assert history.learning_rates == pytest.approx([0.2, 0.15, 0.1, 0.05])
    assert optimizer.param_groups[1]["lr"] == pytest.approx(0.0)


class Named(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


@pytest.mark.parametrize(
    "kind", [tuple, list, Named._make, lambda part: dict(zip("xy", part, strict=True))]
)
def test_fit_takes_batches_of_any_nesting(kind):
    def loss(model, batch):
        return squared(model, batch.values() if isinstance(batch, dict) else batch)

    _, history = train(batches=[kind(batch) for batch in plain_batches()], loss=loss)
    assert history.losses == train()[1].losses


def test_fit_leaves_the_model_in_evaluation_mode_and_trains_in_training_mode():
    modes = []

    def loss(model, batch):
        modes.append(model.training)
        return squared(model, batch)

    model, _ = train(Net().eval(), loss=loss, evaluate=lambda m: {"loss": 0.0}, evaluate_every=2)
    assert modes == [True] * 7 and not model.training


def test_fit_without_a_length_takes_steps():
    def endless():
        while True:
            yield from plain_batches()

    assert len(train(batches=endless(), steps=12)[1].losses) == 12


# ---- evaluation


def test_fit_evaluates_in_evaluation_mode_without_gradients_every_n_steps_and_at_the_end():
    seen = []

    def evaluate(model):
        seen.append((model.training, torch.is_grad_enabled()))
        return {"loss": torch.tensor(1.5), "bleu": 3}

    _, history = train(evaluate=evaluate, evaluate_every=3)
    assert seen == [(False, False)] * 3
    assert [row["step"] for row in history.evaluations] == [3, 6, 7]
    assert [(row["loss"], row["bleu"]) for row in history.evaluations] == [(1.5, 3.0)] * 3
    _, history = train(evaluate=evaluate, steps=2 * EPOCH + 2)  # each epoch by default
    assert [row["step"] for row in history.evaluations] == [EPOCH, 2 * EPOCH, 2 * EPOCH + 2]


def scripted(values, kept=None):
    """An evaluation that says these values, and keeps the weights it saw."""
    values = iter(values)

    def evaluate(model):
        if kept is not None:
            kept.append(weights_of(model))
        return {"loss": next(values)}

    return evaluate


@pytest.mark.parametrize(
    ("values", "higher", "best"),
    [
        ([5, 3, 4, 3, 6], False, 1),
        ([5, 3, 4, 6, 1], True, 3),
        ([math.nan, 3, math.nan, 4, 5], False, 1),
        ([math.nan, 3, 4, math.nan, 3.5], True, 2),
        ([math.inf, 3, 4, 5, 6], False, 1),
    ],
)
def test_fit_puts_the_best_weights_back(values, higher, best):
    kept = []
    options = {"evaluate": scripted(values, kept), "evaluate_every": 2, "steps": 10}
    model, history = train(**options, higher_is_better=higher)
    assert history.best_step == 2 * (best + 1)
    assert same_weights(weights_of(model), kept[best])
    assert not same_weights(weights_of(model), kept[-1])


def test_fit_stops_early_when_nothing_improves():
    kept = []
    evaluate = scripted([5, 3, 4, 2, 2, 9, 1], kept)
    model, history = train(evaluate=evaluate, evaluate_every=1, steps=50, patience=2)
    assert [row["loss"] for row in history.evaluations] == [5, 3, 4, 2, 2, 9]
    assert len(history.losses) == 6 and history.best_step == 4 and not history.interrupted
    assert same_weights(weights_of(model), kept[3])


def test_fit_monitors_what_it_is_told():
    kept = []

    def evaluate(model):
        kept.append(weights_of(model))
        return {"loss": -len(kept), "bleu": [1, 9, 3][len(kept) - 1]}

    options = {"monitor": "bleu", "higher_is_better": True, "evaluate_every": 2, "steps": 6}
    model, history = train(evaluate=evaluate, **options)
    assert history.best_step == 4 and same_weights(weights_of(model), kept[1])


def test_history_plots_itself():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    history = History(
        losses=[3.0, 2.0, 1.5], evaluations=[{"step": 2, "loss": 2.5, "seconds": 1.0}]
    )
    ax = history.plot(label="tiny")
    assert len(ax.lines) >= 2 and ax.get_xlabel() and ax.get_ylabel()
    plt.close(ax.figure)
    plt.close(History(losses=[3.0, 2.0]).plot().figure)


# ---- interrupts and errors


@pytest.mark.parametrize("step", [1, 4, 7])
def test_fit_ctrl_c_returns_what_was_learned(step):
    loss = failing_at(step, KeyboardInterrupt())
    model, history = train(loss=loss, schedule="constant")
    assert history.interrupted and len(history.losses) == step - 1 and not model.training
    wanted = train(steps=step - 1, schedule="constant")[0] if step > 1 else Net()
    assert same_weights(weights_of(model), weights_of(wanted))


def test_fit_ctrl_c_keeps_the_last_weights_not_the_best():
    loss = failing_at(5, KeyboardInterrupt())
    evaluate = scripted([1, 2, 3, 4])
    model, history = train(loss=loss, evaluate=evaluate, evaluate_every=1, schedule="constant")
    assert history.interrupted and history.best_step == 1
    assert same_weights(weights_of(model), weights_of(train(steps=4, schedule="constant")[0]))


def test_fit_ctrl_c_during_evaluation_returns_too():
    def evaluate(model):
        raise KeyboardInterrupt

    model, history = train(evaluate=evaluate, evaluate_every=3)
    assert history.interrupted and len(history.losses) == 3 and not model.training


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_fit_loss_that_is_not_finite_is_an_error_that_names_the_step(value):
    calls = []

    def loss(model, batch):
        calls.append(1)
        return squared(model, batch) * (value if len(calls) == 3 else 1.0)

    model = Net()
    with pytest.raises(FloatingPointError, match="at step 3: try a lower learning rate"):
        train(model, loss=loss, schedule="constant")
    assert same_weights(weights_of(model), weights_of(train(steps=2, schedule="constant")[0]))


def test_fit_empty_mask_is_an_error():
    def loss(model, batch):
        logits = model(batch[0])[None]
        return masked_cross_entropy(logits, torch.zeros(1, 4).long(), torch.zeros(1, 4).bool())

    with pytest.raises(FloatingPointError, match="an empty mask"):
        train(loss=loss)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": None}, "epochs or steps, one of the two; got epochs=None, steps=None"),
        ({"epochs": 2}, "one of the two; got epochs=2, steps=7"),
        ({"steps": 0}, "nothing to train: 0 steps"),
        ({"epochs": 0, "steps": None}, "nothing to train"),
        ({"batches": iter([1]), "epochs": 2, "steps": None}, "without a length: give steps="),
        ({"patience": 3}, "patience counts evaluations: give evaluate="),
        ({"schedule": "cosin"}, "got 'cosin'"),
        ({"schedule": "cosin", "warmup_steps": 3}, "got 'cosin'"),
        ({"learning_rate_scales": {"middle": 2}}, "contains 'middle'"),
        ({"evaluate": lambda m: {"bleu": 1.0}}, r"gave \['bleu'\], monitor asks for 'loss'"),
        ({"evaluate_every": -1}, "evaluate_every is 1 or more, got -1"),
        ({"evaluate_every": 0}, "evaluate_every is 1 or more, got 0"),
        ({"checkpoint_every": 0}, "checkpoint_every is 1 or more, got 0"),
        ({"patience": 0, "evaluate": lambda m: {"loss": 1.0}}, "patience is 1 or more, got 0"),
        ({"warmup_steps": -1}, "warmup_steps is 0 or more, got -1"),
        ({"clip_norm": 0.0}, "clip_norm is above 0, got 0.0"),
    ],
    ids=lambda value: str(value).split(" at 0x")[0],
)
def test_fit_wrong_arguments_are_an_error(options, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        train(**options)


def test_fit_without_batches_is_an_error():
    with pytest.raises(ValueError, match="no batches to train on"):
        fit(Net(), [], squared, steps=3, progress=False)


def test_fit_is_silent_where_nobody_watches(capsys):
    train(progress=True)
    assert capsys.readouterr() == ("", "")
