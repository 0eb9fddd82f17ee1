"""Which layers learn and how fast: groups by layer, freezing, and both within `fit`."""

import helpers
import pytest
import torch
from helpers import as_a_reader, same_weights, weights_of
from torch import nn

from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.bert_heads import BERTForSequences
from course_utils.models.vit import ViT, ViTConfig
from course_utils.optimizers import layer_wise_groups, train_only
from course_utils.training import fit

one_thread = helpers.one_thread
SIZES = {"num_layers": 3, "num_heads": 2, "d_model": 8}
HEAD = {"classifier.weight", "classifier.bias"}
NORM = {"norm.weight", "norm.bias"}


def vit(seed=0, **choices):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        sizes = {"image_size": 8, "patch_size": 4, "channels": 1, "num_classes": 3}
        return ViT(ViTConfig(**sizes | SIZES | choices))


def bert():
    config = BERTConfig(vocab_size=9, block_size=6, **SIZES)
    return BERTForSequences(BERT(config), 2)


def batches(count=4):
    chance = torch.Generator().manual_seed(5)
    return [
        (torch.randn(6, 1, 8, 8, generator=chance), torch.randint(3, (6,), generator=chance))
        for _ in range(count)
    ]


def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def rates_by_name(model, groups):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(p)]: group["lr"] for group in groups for p in group["params"]}


def learning(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


def test_rate_halves_from_block_to_block_and_embeddings_come_last():
    model = vit(distilled=True)
    rates = rates_by_name(model, layer_wise_groups(model, 0.16, layer_decay=0.5))
    wanted = {"classifier": 0.16, "teacher_classifier": 0.16, "norm": 0.16}
    wanted |= {"blocks.2": 0.08, "blocks.1": 0.04, "blocks.0": 0.02}
    wanted |= {"patches": 0.01, "class_token": 0.01, "teacher_token": 0.01, "positions": 0.01}
    assert rates.keys() == {name for name, _ in model.named_parameters()}
    for name, rate in rates.items():
        (key,) = (key for key in wanted if name == key or name.startswith(key + "."))
        assert rate == pytest.approx(wanted[key]), name


def test_embeddings_and_pooler_of_bert_are_at_the_two_ends():
    model = bert()
    rates = rates_by_name(model, layer_wise_groups(model, 1.0, layer_decay=0.5))
    assert rates["encoder.words.weight"] == rates["encoder.norm.bias"] == 0.5**4
    assert rates["encoder.blocks.0.feed_forward.inner.weight"] == 0.5**3
    assert rates["pooler.weight"] == rates["classifier.bias"] == 1.0


def test_head_outside_of_the_module_with_the_blocks_is_no_embedding():
    whole = BERT(BERTConfig(vocab_size=9, block_size=6, **SIZES))  # its first parameter: mlm_bias
    rates = rates_by_name(whole, layer_wise_groups(whole, 1.0, layer_decay=0.5))
    assert rates["mlm_bias"] == rates["mlm_norm.weight"] == 1.0
    assert rates["encoder.positions.weight"] == 0.5**4


def test_only_matrices_decay_and_no_positions():
    for model in (vit(distilled=True), bert()):
        names = {id(parameter): name for name, parameter in model.named_parameters()}
        for group in layer_wise_groups(model, 0.1, weight_decay=0.3):
            for parameter in group["params"]:
                name = names[id(parameter)]
                free = parameter.ndim == 1 or "position" in name or "token" in name
                assert group["weight_decay"] == (0.0 if free else 0.3), name


def test_each_parameter_is_in_one_group_and_the_head_is_first():
    model = vit()
    groups = layer_wise_groups(model, 0.2, layer_decay=0.7)
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(map(id, model.parameters()))
    assert [g["lr"] for g in groups] == sorted((g["lr"] for g in groups), reverse=True)
    assert groups[0]["lr"] == 0.2 and len(layer_wise_groups(model, 0.2)) > 1


def test_train_only_chooses_head_last_blocks_or_all():
    model = vit()
    everything = learning(model)
    train_only(model, 0)
    assert learning(model) == HEAD
    train_only(model, 2)
    blocks = {name for name in everything if name.startswith(("blocks.1.", "blocks.2."))}
    assert learning(model) == HEAD | NORM | blocks
    train_only(model, 3)
    rest = {name for name in everything if name.startswith(("patches", "class_token", "positions"))}
    assert learning(model) == everything - rest
    train_only(model, None)
    assert learning(model) == everything


def test_train_only_of_bert_trains_pooler_and_classifier():
    model = bert()
    train_only(model, 0)
    assert learning(model) == HEAD | {"pooler.weight", "pooler.bias"}


def test_frozen_layers_stay_and_are_in_no_group():
    model = vit(seed=1)
    train_only(model, 1)
    groups, before = layer_wise_groups(model, 0.05, layer_decay=0.5), weights_of(model)
    assert set(rates_by_name(model, groups)) == learning(model)
    fit(model, batches(), loss, steps=4, optimizer=torch.optim.AdamW(groups), progress=False)
    changed = {k for k, v in weights_of(model).items() if not torch.equal(v, before[k])}
    assert HEAD | NORM | {"blocks.2.attention.query.weight"} <= changed <= learning(model)


def kept_numbers(model, batch):
    """How many numbers PyTorch keeps for the backward pass, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = loss(model, batch)
    value.backward()
    return sum(kept.values())


def test_frozen_layers_keep_nothing_for_the_backward_pass():
    model, batch = vit(num_layers=4), batches(1)[0]
    kept = []
    for last in (None, 4, 2, 1, 0):
        train_only(model, last)
        model.zero_grad(set_to_none=True)
        kept.append(kept_numbers(model, batch))
    everything, _, two, one, head = kept
    assert kept == sorted(kept, reverse=True)
    assert head < one / 5 and one < 0.35 * everything and two < 0.65 * everything


@pytest.mark.parametrize("schedule", ["cosine", "trapezoid"])
def test_fit_keeps_the_ratio_of_the_rates(schedule):
    model = vit()
    optimizer = torch.optim.AdamW(layer_wise_groups(model, 0.01, layer_decay=0.6))
    ratio = [group["lr"] / 0.01 for group in optimizer.param_groups]
    seen = []

    def watched(model, batch):
        seen.append([group["lr"] for group in optimizer.param_groups])
        return loss(model, batch)

    options = {"schedule": schedule, "warmup_steps": 3, "progress": False}
    history = fit(model, batches(), watched, steps=9, optimizer=optimizer, **options)
    assert history.learning_rates == [rates[0] for rates in seen]
    assert max(history.learning_rates) == pytest.approx(0.01)
    assert history.learning_rates[-1] < 0.004
    for rates in seen:
        assert [rate / rates[0] for rate in rates] == pytest.approx(ratio)


def test_fit_with_groups_resumes_to_the_same_weights(tmp_path):
    def run(path=None, stop_at=None, layer_decay=0.5):
        model, calls = vit(), []
        train_only(model, 2)

        def stopping(model, batch):
            calls.append(1)
            if len(calls) == stop_at:
                raise RuntimeError("stop")
            return loss(model, batch)

        options = {"steps": 11, "checkpoint": path, "checkpoint_every": 4, "progress": False}
        optimizer = torch.optim.AdamW(layer_wise_groups(model, 0.02, layer_decay=layer_decay))
        fit(model, batches(), stopping, optimizer=optimizer, **options)
        return weights_of(model)

    wanted = run()
    with pytest.raises(RuntimeError, match="stop"):
        run(tmp_path / "s", stop_at=7)
    with pytest.raises(ValueError, match="of another training: learning_rates was"):
        run(tmp_path / "s", layer_decay=0.6)
    assert same_weights(run(tmp_path / "s"), wanted)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate is above 0, .*got 0.0, 1.0 and 0.05"),
        ({"layer_decay": 0.0}, "layer_decay above 0 and up to 1.*got 0.1, 0.0"),
        ({"layer_decay": 1.5}, "layer_decay above 0 and up to 1"),
        ({"weight_decay": -0.1}, "weight_decay 0 or more"),
    ],
)
def test_numbers_out_of_range_are_an_error(arguments, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        layer_wise_groups(vit(), **{"learning_rate": 0.1} | arguments)


def test_models_that_do_not_fit_are_an_error():
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match=f"last_blocks is 0 to 3.*got {wrong}"):
            train_only(vit(), wrong)
    plain = nn.Sequential(nn.Linear(2, 2))
    for asked in (lambda: train_only(plain, 0), lambda: layer_wise_groups(plain, 0.1)):
        with pytest.raises(ValueError, match=r"the model has no `blocks`: .*'0.weight'"):
            asked()
    frozen = vit().requires_grad_(False)
    with pytest.raises(ValueError, match="is frozen: say what learns"):
        layer_wise_groups(frozen, 0.1)
