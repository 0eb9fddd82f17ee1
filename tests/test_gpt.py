"""GPT: equal to the library's GPT-2, in what it computes and in what it writes; limits, errors."""

import dataclasses
import random
from functools import partial

import helpers
import pytest
import torch
from helpers import as_a_reader, shake
from torch import nn

from course_utils.attention import MultiHeadAttention
from course_utils.batching import pad
from course_utils.losses import masked_cross_entropy
from course_utils.masks import causal_mask, padding_mask
from course_utils.models import gpt
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.pretrained import to_gpt2
from course_utils.reproducibility import parameter_count
from course_utils.sampling import greedy, sample

one_thread = helpers.one_thread
SMALL = {"vocab_size": 13, "block_size": 12, "num_layers": 2, "num_heads": 2, "d_model": 8}
EOS = 2


def draw_config(seed):
    """A small configuration, different in everything."""
    draw = random.Random(seed)
    num_heads = draw.choice([1, 2, 3, 4])
    return GPTConfig(
        vocab_size=draw.randint(5, 70),
        block_size=draw.randint(9, 24),
        num_layers=draw.randint(1, 4),
        num_heads=num_heads,
        d_model=num_heads * draw.choice([1, 2, 4, 5, 8]),
        d_ff=draw.choice([None, 7, 24]),
        norm_eps=draw.choice([1e-5, 1e-3]),
    )


def make(seed=0, std=0.5, dtype=torch.float64, **choices):
    return shake(GPT(GPTConfig(**SMALL | choices)), seed, std=std).to(dtype).eval()


def make_talkative(config, seed):
    """A random model that does not always say the same: what it read counts more than biases."""
    model = shake(GPT(config), seed, std=0.3).double().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.mul_(0.1)
            if name.endswith(("output.weight", "outer.weight", "positions.weight")):
                parameter.mul_(3.0)
    return model


def draw_prompts(model, seed, count=4):
    """Prompts of unequal length, half a block at most."""
    draw, c = random.Random(seed), model.config
    lengths = [1, c.block_size // 2, *(draw.randint(1, c.block_size // 2) for _ in range(count))]
    return [[draw.randrange(3, c.vocab_size) for _ in range(n)] for n in lengths[:count]]


def padded(prompts, side, junk=0):
    """Prompts as a tensor and its mask, padded on the left or on the right."""
    if side == "right":
        ids, lengths = pad(prompts, junk)
        return ids, padding_mask(lengths)
    ids, mask = padded([row[::-1] for row in prompts], "right", junk)
    return ids.flip(1), mask.flip(1)


# ---- what it computes

CONFIGS = [draw_config(seed) for seed in range(8)]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=range(len(CONFIGS)))


@every_config
@pytest.mark.parametrize("side", ["left", "right"])
def test_logits_loss_and_gradients_equal_the_library(config, side):
    model = shake(GPT(config), 1, std=0.3)
    theirs = to_gpt2(model)
    ids, mask = padded(draw_prompts(model, 2), side)
    places = (mask.long().cumsum(1) - 1).clamp(min=0)
    labels = ids.masked_fill(~mask, -100)
    wanted = theirs(ids, attention_mask=mask.long(), position_ids=places, labels=labels)
    logits = model(ids, mask=mask)
    close = {"atol": 1e-4, "rtol": 1e-4}
    torch.testing.assert_close(logits[mask], wanted.logits[mask], **close)
    # What comes first in a text is the answer to nothing, padding on the left included.
    answered = mask[:, 1:] & mask[:, :-1]
    loss = masked_cross_entropy(logits[:, :-1], ids[:, 1:], answered)
    if side == "left":
        labels = labels.masked_fill(places == 0, -100)
        options = {"attention_mask": mask.long(), "position_ids": places}
        wanted = theirs(ids, labels=labels, **options)
    torch.testing.assert_close(loss, wanted.loss, **close)
    loss.backward()
    wanted.loss.backward()
    pulled = GPT(config)  # its weights are our gradients: the way to the library's names
    pulled.load_state_dict({name: part.grad for name, part in model.named_parameters()})
    found = dict(to_gpt2(pulled).named_parameters())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(found.pop(name), parameter.grad, **close)
    assert not found


def test_config_list_is_varied():
    for field in ("num_layers", "num_heads", "d_ff", "norm_eps"):
        assert len({getattr(config, field) for config in CONFIGS}) > 1


def test_attentions_are_the_library_s():
    model = make(num_layers=3)
    ids, mask = padded(draw_prompts(model, 3), "left")
    theirs = to_gpt2(model)
    theirs.set_attn_implementation("eager")
    places = (mask.long().cumsum(1) - 1).clamp(min=0)
    options = {"attention_mask": mask.long(), "position_ids": places, "output_attentions": True}
    wanted = torch.stack(theirs(ids, **options).attentions, dim=1)
    found = model.attentions(ids, mask=mask)
    assert found.shape == (4, 3, 2, 6, 6)
    for row, real in enumerate(mask):
        torch.testing.assert_close(found[row, :, :, real], wanted[row, :, :, real])
        sums = found[row, :, :, real].sum(-1)
        torch.testing.assert_close(sums, torch.ones_like(sums))
        assert not found[row][:, :, :, ~real].any()
    assert not found[..., ~causal_mask(6)].any()


@pytest.mark.parametrize("side", ["left", "right"])
def test_reading_in_pieces_equals_reading_at_once(side):
    model = make()
    for mask in (padded(draw_prompts(model, 4), side)[1], None):
        ids, cache = torch.randint(13, (4, 6)), model.new_cache()
        wanted, parts, end = model(ids, mask=mask), [], 0
        for piece in ids.split([2, 1, 3], dim=1):
            end += piece.shape[1]
            seen = None if mask is None else mask[:, :end]
            parts.append(model(piece, mask=seen, cache=cache))
        real = torch.ones_like(ids).bool() if mask is None else mask
        torch.testing.assert_close(torch.cat(parts, dim=1)[real], wanted[real])


def test_padding_takes_no_positions():
    """A block's worth of tokens fits, however wide the padding is."""
    model, text = make(), [3, 4, 5] * 4
    wanted = model(torch.tensor([text]))
    ids, mask = padded([text, [7]], "left")
    wide = nn.functional.pad(ids, (5, 0)), nn.functional.pad(mask, (5, 0), value=False)
    torch.testing.assert_close(model(wide[0], mask=wide[1])[0, 5:], wanted[0])


@every_config
def test_parameter_count_equals_the_models(config):
    assert config.parameter_count() == parameter_count(GPT(config))


GPT2_SIZES = {  # layers, heads, width, and what the library's models have
    "small": (12, 12, 768, 124_439_808),
    "medium": (24, 16, 1024, 354_823_168),
    "large": (36, 20, 1280, 774_030_080),
    "xl": (48, 25, 1600, 1_557_611_200),
}


@pytest.mark.parametrize("name", GPT2_SIZES)
def test_parameter_count_of_gpt2_without_its_memory(name):
    num_layers, num_heads, d_model, wanted = GPT2_SIZES[name]
    sizes = {"num_layers": num_layers, "num_heads": num_heads, "d_model": d_model}
    config = GPTConfig(vocab_size=50257, block_size=1024, **sizes)
    with torch.device("meta"):
        model = GPT(config)
    assert parameter_count(model) == config.parameter_count() == wanted


def test_first_weights_are_as_the_library_draws_them():
    torch.manual_seed(0)
    config = GPTConfig(vocab_size=300, block_size=100, num_layers=8, num_heads=4, d_model=64)
    found = to_gpt2(GPT(config)).state_dict()
    wanted = type(to_gpt2(GPT(config)))(to_gpt2(GPT(config)).config).state_dict()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert found[name].mean().item() == pytest.approx(tensor.mean().item(), abs=2e-3), name
        assert found[name].std().item() == pytest.approx(tensor.std().item(), rel=0.1), name
    assert found["transformer.h.0.mlp.c_fc.weight"].std().item() == pytest.approx(0.02, rel=0.1)
    assert found["transformer.h.0.mlp.c_proj.weight"].std().item() == pytest.approx(0.005, rel=0.1)


def test_first_loss_is_near_that_of_guessing():
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SMALL | {"vocab_size": 500, "d_model": 64})).eval()
    ids = torch.randint(500, (8, 12))
    loss = nn.functional.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert loss.item() == pytest.approx(torch.tensor(500.0).log().item(), abs=0.1)


def test_dropout_acts_where_gpt2_has_it():
    model = GPT(GPTConfig(**SMALL, dropout=0.4))
    assert model.dropout.p == 0.4
    for block in model.blocks:
        assert block.attention.dropout == 0.4
        assert block.around_attention.dropout.p == block.around_feed_forward.dropout.p == 0.4
        assert block.feed_forward.dropout.p == 0.0  # not between the two layers
    model.dropout.p = 1.0  # nothing of the embeddings is left
    first, other = (model.eval()(torch.full((1, 3), word)) for word in (3, 4))
    assert not torch.allclose(first, other)
    for block in model.blocks:
        block.train(False)
    model.dropout.train()
    assert torch.equal(model(torch.full((1, 3), 3)), model(torch.full((1, 3), 4)))


def test_weights_are_made_only_where_they_are_asked_for(monkeypatch):
    model, calls = make(), []
    fused = nn.functional.scaled_dot_product_attention
    name = "scaled_dot_product_attention"
    monkeypatch.setattr(nn.functional, name, lambda *a, **k: calls.append(1) or fused(*a, **k))
    model(torch.ones(2, 3).long())
    assert len(calls) == model.config.num_layers
    model.attentions(torch.ones(2, 3).long())
    assert len(calls) == model.config.num_layers


# ---- what it writes


def by_library(model, prompts, max_new_tokens, **search):
    """What the library's `generate` writes after each prompt."""
    ids, mask = padded(prompts, "left")
    search = {"do_sample": False, "eos_token_id": EOS, "pad_token_id": 0} | search
    options = {"attention_mask": mask.long(), "max_new_tokens": max_new_tokens}
    rows = to_gpt2(model).generate(ids, **options, **search)[:, ids.shape[1] :].tolist()
    return [row[: row.index(EOS)] if EOS in row else row for row in rows]


def found_in_three_ways(model, prompts, max_new_tokens, **search):
    """What ours writes; lists and both sides of padding give the same."""
    found = model.generate(prompts, max_new_tokens, eos_id=EOS, **search)
    for side in ("left", "right"):
        ids, mask = padded(prompts, side, junk=5)
        other = model.generate(ids, max_new_tokens, mask=mask, eos_id=EOS, **search)
        assert other.ids == found.ids
        torch.testing.assert_close(other.scores, found.scores)
    return found.ids


SEARCHES = [
    {"num_beams": 1},
    {"num_beams": 2, "length_penalty": 1.0, "early_stopping": False},
    {"num_beams": 3, "length_penalty": 0.0, "early_stopping": True},
    {"num_beams": 4, "length_penalty": 2.0, "early_stopping": False},
    {"num_beams": 4, "length_penalty": -1.0, "early_stopping": True},
    {"num_beams": 5, "length_penalty": 0.6, "early_stopping": "never"},
]


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_generated_ids_equal_the_library(search):
    said = []
    for seed, config in enumerate(CONFIGS):
        model = make_talkative(config, seed)
        prompts = draw_prompts(model, seed)
        count = config.block_size - max(map(len, prompts))
        found = found_in_three_ways(model, prompts, count, **search)
        assert found == by_library(model, prompts, count, **search)
        said += [tuple(ids) for ids in found]
    assert len(set(said)) > 15 and len(set(map(len, said))) > 5


def by_hand(model, prompt, count):
    """Greedy continuation of one text, read from its beginning for each token."""
    block, text, said = model.config.block_size, [*prompt], []
    for _ in range(count):
        if len(text) > block:
            text = text[-(block - block // 2) :]
        said.append(int(model(torch.tensor([text]))[0, -1].argmax()))
        text.append(said[-1])
    return said


WAYS = {
    "greedy": lambda: {},
    "beams": lambda: {"num_beams": 3, "length_penalty": 0.5},
    "sample": lambda: {
        "strategy": partial(sample, top_k=5, generator=torch.Generator().manual_seed(0))
    },
    "repetition": lambda: {
        "strategy": partial(
            sample, repetition_penalty=1.5, generator=torch.Generator().manual_seed(0)
        )
    },
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("block", [1, 2, 7])
def test_cached_equals_uncached_over_three_blocks(way, block):
    said = set()
    for seed in range(3):
        model = make(seed, std=0.8, block_size=block)
        prompts = [[4] * min(n, block) for n in (1, 5, 7, 7)]
        count = 3 * block + 2
        cached = model.generate(prompts, count, **WAYS[way]())
        uncached = model.generate(prompts, count, cached=False, **WAYS[way]())
        assert cached.ids == uncached.ids
        torch.testing.assert_close(cached.scores, uncached.scores)
        assert {len(ids) for ids in cached.ids} == {count}
        said |= set(map(tuple, cached.ids))
    assert len(said) > 2


def test_full_block_is_forgotten_by_its_older_half():
    for seed in range(3):
        model = make(seed, std=0.8, block_size=7)
        prompts = [[3], [4, 5, 6, 7, 8], [9] * 7]  # whose blocks are full at other times
        found = model.generate(prompts, 21).ids
        assert found == [by_hand(model, prompt, 21) for prompt in prompts]


def test_each_token_is_read_once_until_the_block_is_full():
    model, read = make(), []
    model.blocks[0].register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].shape[:2]))
    model.generate([[3, 4, 5], [6]], 16)
    # The prompts but their last tokens; one at a time to 12; half of the full row and the other.
    assert read == [(2, 2), *[(2, 1)] * 10, (2, 11), (2, 1), (2, 8), *[(2, 1)] * 3]
    read.clear()
    model.generate([[3, 4, 5], [6, 7, 8]], 16)
    assert read == [(2, 2), *[(2, 1)] * 10, (2, 6), *[(2, 1)] * 5]
    read.clear()
    model.generate([[3, 4, 5]], 3, cached=False)
    assert read == [(1, 3), (1, 4), (1, 5)]
    read.clear()
    model.generate([[3, 4, 5], [6]], 2, num_beams=3)
    assert read == [(2, 2), (6, 1), (6, 1)]


def test_plain_model_is_written_with_lean_blocks_and_a_changed_one_is_not(monkeypatch):
    class OtherAttention(MultiHeadAttention):
        pass

    class OtherGPT(GPT):
        pass

    used = []
    lean = gpt.LeanBlocks
    monkeypatch.setattr(gpt, "LeanBlocks", lambda *parts: used.append(1) or lean(*parts))
    model = make()
    wanted = model.generate([[3, 4], [5]], 20)
    assert used == [1]
    changed = [make(), make(), make(), make().train()]
    changed[0].blocks[1].attention.__class__ = OtherAttention
    changed[1].__class__ = OtherGPT
    changed[2].blocks[0].attention.register_forward_hook(lambda *_: None)
    for other in changed:  # there is no dropout
        found = other.generate([[3, 4], [5]], 20)
        assert found.ids == wanted.ids
        torch.testing.assert_close(found.scores, wanted.scores)
    model.generate([[3, 4], [5]], 20, cached=False)
    assert used == [1]


def test_writing_uses_the_weights_as_they_are_now():
    model, other = make(1, std=0.8), make(2, std=0.8)
    before = model.generate([[3, 4], [5]], 9).ids
    model.load_state_dict(other.state_dict())
    assert model.generate([[3, 4], [5]], 9).ids == other.generate([[3, 4], [5]], 9).ids != before


def test_writing_leaves_no_trace_in_the_model_and_gives_ordinary_tensors():
    model = make()
    scores = model.generate([[3, 4], [5]], 3).scores
    assert not scores.requires_grad and not scores.is_inference()
    model(torch.ones(2, 3).long()).sum().backward()
    assert model.embedding.weight.grad.isfinite().all()


def test_strategy_chooses_from_the_logits_of_the_text():
    model, seen = make(), []

    def choose(logits, *, ids, mask=None):
        seen.append((ids.clone(), mask))
        torch.testing.assert_close(logits[1], model(torch.tensor([texts[1]]))[0, -1])
        for text in texts:
            text.append(len(seen) + 3)
        return torch.full((2,), len(seen) + 3)

    texts = [[3, 4, 5], [6]]
    found = model.generate([*map(list, texts)], 3, strategy=choose)
    assert found.ids == [[4, 5, 6], [4, 5, 6]]
    assert seen[2][0].tolist() == [[3, 4, 5, 4, 5], [0, 0, 6, 4, 5]]
    assert seen[2][1].int().tolist() == [[1, 1, 1, 1, 1], [0, 0, 1, 1, 1]]
    logits = model(torch.tensor([[6, 4, 5]]))[0].log_softmax(-1)
    assert found.scores[1].item() == pytest.approx(logits[range(3), [4, 5, 6]].sum().item())
    assert found.beams[1] == [(found.scores[1].item(), [4, 5, 6])]


def test_strategies_that_take_the_best_are_greedy():
    for seed in range(4):
        model = make(seed, std=0.8)
        prompts = draw_prompts(model, seed)
        wanted = model.generate(prompts, 6, eos_id=EOS)
        for strategy in (greedy, partial(sample, top_k=1), lambda logits: logits.argmax(-1)):
            found = model.generate(prompts, 6, eos_id=EOS, strategy=strategy)
            assert found.ids == wanted.ids
            torch.testing.assert_close(found.scores, wanted.scores)


def test_text_ends_with_the_end_token_and_its_score_counts():
    model, script = make(), iter([[4, 5], [EOS, 6], [7, EOS], [8, 8]])
    strategy = lambda logits: torch.tensor(next(script))  # noqa: E731
    found = model.generate([[3], [3]], 9, eos_id=EOS, strategy=strategy)
    assert found.ids == [[4], [5, 6]]
    assert next(script) == [8, 8]  # nobody asked for more
    logits = model(torch.tensor([[3, 4]]))[0].log_softmax(-1)
    assert found.scores[0].item() == pytest.approx(logits[range(2), [4, EOS]].sum().item())


def test_no_end_token_writes_on_to_the_limit():
    model = make()
    for choices in ({}, {"num_beams": 2}, {"strategy": greedy}):
        assert [len(ids) for ids in model.generate([[3], [4, 5]], 30, **choices).ids] == [30, 30]


def test_model_learns_a_pattern_and_goes_on_with_it_beyond_its_block():
    torch.manual_seed(0)
    model = GPT(GPTConfig(**SMALL | {"d_model": 16}))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    pattern = torch.tensor([3, 5, 4, 7, 6, 8] * 4)
    ids = torch.stack([pattern[start : start + 12] for start in range(6)])
    mask = torch.ones(6, 11).bool()
    for _ in range(60):
        loss = masked_cross_entropy(model(ids)[:, :-1], ids[:, 1:], mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = model.eval().generate([[3, 5], [7, 6, 8, 3]], 36).ids
    assert found == [[4, 7, 6, 8, 3, 5] * 6, [5, 4, 7, 6, 8, 3] * 6]


# ---- errors


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"num_heads": 3}, "got d_model=8, num_heads=3"),
        ({"num_heads": 0}, "num_heads is 1 or more, got 0"),
        ({"vocab_size": 0}, "vocab_size is 1 or more, got 0"),
        ({"block_size": -1}, "block_size is 1 or more, got -1"),
        ({"num_layers": 0}, "num_layers is 1 or more, got 0"),
        ({"d_ff": 0}, "inner is 1 or more, got 0"),
        ({"dropout": 1.5}, "dropout is a share from 0 to 1, got 1.5"),
    ],
)
def test_config_wrong_sizes_are_an_error(choices, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        GPTConfig(**SMALL | choices)


def test_config_is_frozen_and_has_names_only():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GPTConfig(**SMALL).dropout = 0.5
    with pytest.raises(TypeError):
        GPTConfig(9, 9, 1, 1, 8)


WRONG_PROMPTS = {
    "empty": ([[3], []], {}, "prompt 1 is empty: give it the token that begins a text"),
    "none": ([], {}, r"list of lists of ids, one list each, got \[\]"),
    "flat": ([3, 4], {}, r"list of lists of ids, one list each, got \[3, 4\]"),
    "text": ("a cat", {}, "list of lists of ids, one list each, got 'a cat'"),
    "texts": (["a cat"], {}, r"list of lists of ids, one list each, got \['a cat'\]"),
    "parts": ([[3], [4, 1.5]], {}, "prompt 1 holds 1.5, which is no id"),
    "words": ([["a", "cat"]], {}, "prompt 0 holds 'a', which is no id: encode the text"),
    "long": ([[3], [4] * 13], {}, "prompt 1 has 13 tokens, the model's block has 12: cut it"),
    "outside": ([[3], [4, 13, 5]], {}, "ids are 0 to 12, got 0 to 13: do tokenizer"),
    "outside, last": ([[3], [4, 5, 13]], {}, "ids are 0 to 12, got 3 to 13: do tokenizer"),
    "negative": ([[3], [-1]], {}, "ids are 0 to 12, got -1 to 3: do tokenizer"),
    "mask of lists": ([[3]], {"mask": torch.ones(1, 1).bool()}, "lists of ids need none"),
    "one axis": (torch.tensor([3, 4]), {}, r"batch x length, got torch.int64 .* \(2,\)"),
    "floats": (torch.ones(1, 2), {}, "whole numbers, .* got torch.float32"),
    "mask's shape": (
        torch.ones(2, 2).long(),
        {"mask": torch.ones(2, 3).bool()},
        r"shape \(2, 2\), got \(2, 3\)",
    ),
    "masked": (
        torch.ones(2, 2).long(),
        {"mask": torch.tensor([[True, True], [False, False]])},
        "prompt 1 is empty",
    ),
    "no new tokens": ([[3]], {"max_new_tokens": 0}, "max_new_tokens is 1 or more, got 0"),
    "no beams": ([[3]], {"num_beams": 0}, "num_beams is 1 or more, got 0"),
    "unknown strategy": ([[3]], {"strategy": "nucleus"}, "unknown strategy 'nucleus': it is a"),
    "strategy and beams": (
        [[3]],
        {"strategy": greedy, "num_beams": 3},
        "beams choose by themselves: no strategy with num_beams=3",
    ),
    "early stopping": (
        [[3]],
        {"num_beams": 2, "early_stopping": "always"},
        'early_stopping is True, False or "never"',
    ),
}


@pytest.mark.parametrize("case", WRONG_PROMPTS)
def test_generate_bad_input_is_an_error(case):
    prompts, choices, message = WRONG_PROMPTS[case]
    with as_a_reader(), pytest.raises(ValueError, match=message):
        make().generate(prompts, **{"max_new_tokens": 3} | choices)


def test_forward_bad_input_is_an_error():
    model, ids = make(), torch.ones(2, 3).long()
    wrong = [
        (torch.ones(2, 13).long(), {}, ValueError, "text of 13 tokens .* block_size=12: cut it"),
        (ids + 12, {}, ValueError, "ids are 0 to 12, got 13 to 13"),
        (ids - 2, {}, ValueError, "ids are 0 to 12, got -1 to -1"),
        (ids, {"mask": torch.ones(2, 4).bool()}, ValueError, r"\(2, 3\), got \(2, 4\)"),
        (ids, {"mask": torch.ones(2, 3)}, TypeError, "boolean .* got torch.float32"),
    ]
    wide = torch.ones(2, 13).bool()
    wrong.append((wide.long(), {"mask": wide}, ValueError, "text of 13 tokens .* block_size=12"))
    for ids, choices, error, message in wrong:
        with as_a_reader(), pytest.raises(error, match=message):
            model(ids, **choices)
    cache = model.new_cache()
    model(torch.ones(2, 12).long(), cache=cache)
    with as_a_reader(), pytest.raises(ValueError, match="text of 13 tokens"):
        model(torch.ones(2, 1).long(), cache=cache)
