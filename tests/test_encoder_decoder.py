"""The transformer: equal to torch.nn.Transformer, caches, sizes, bad input, and that it learns."""

import dataclasses

import helpers
import pytest
import torch
from helpers import as_a_reader, shake
from test_blocks import as_torch_block
from test_seq2seq import BOS, EOS, some_pairs
from torch import nn

from course_utils.batching import LengthBatches, pair_batch
from course_utils.embeddings import LearnedPositions, SinusoidalPositions
from course_utils.losses import translation_loss
from course_utils.masks import causal_mask, padding_mask
from course_utils.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course_utils.reproducibility import parameter_count
from course_utils.tokenizers import WordTokenizer
from course_utils.training import fit
from course_utils.translator import Translator

one_thread = helpers.one_thread
SIZES = {"source_vocab": 9, "target_vocab": 9, "d_model": 8, "num_heads": 2, "d_ff": 12}
SMALL = SIZES | {"max_length": 30}
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
SOURCE = torch.tensor([[4, 5, 6, 7, 8], [3, 8, 0, 0, 0], [5, 5, 4, 0, 0]])
MASK = padding_mask(torch.tensor([5, 2, 3]))
TARGET = torch.tensor([[1, 5, 4, 3], [1, 6, 7, 0], [1, 3, 0, 0]])


def make(dtype=torch.float32, seed=0, std=0.3, **choices):
    model = EncoderDecoder(EncoderDecoderConfig(**SMALL | {"dropout": 0.0} | choices))
    return shake(model, seed, std=std).to(dtype).eval()


class TorchTranslator(nn.Module):
    """torch.nn.Transformer between our embeddings, positions and output, with our weights."""

    def __init__(self, ours):
        super().__init__()
        c = ours.config
        self.ours = ours
        self.core = nn.Transformer(
            c.d_model,
            c.num_heads,
            c.num_encoder_layers,
            c.num_decoder_layers,
            c.d_ff,
            0.0,
            c.activation,
            batch_first=True,
            norm_first=c.norm == "pre",
        ).to(ours.target_embedding.weight.dtype)
        for stack, blocks, norm in (
            (self.core.encoder, ours.encoder, ours.encoder_norm),
            (self.core.decoder, ours.decoder, ours.decoder_norm),
        ):
            for layer, block in zip(stack.layers, blocks, strict=True):
                layer.load_state_dict(as_torch_block(block, c.activation).state_dict())
            if c.norm == "pre":
                stack.norm.load_state_dict(norm.state_dict())
            else:
                stack.norm = None  # torch adds one to the paper's

    def embed(self, ids, table, positions):
        x = table(ids) * self.ours.config.d_model**0.5
        return x if positions is None else x + positions.weight[: ids.shape[1]]

    def forward(self, source, source_mask, target):
        ours, length = self.ours, target.shape[1]
        hidden = self.core(
            self.embed(
                source, ours.source_embedding or ours.target_embedding, ours.source_positions
            ),
            self.embed(target, ours.target_embedding, ours.target_positions),
            tgt_mask=~causal_mask(length),
            src_key_padding_mask=~source_mask,
            memory_key_padding_mask=~source_mask,
        )
        return hidden @ (ours.output or ours.target_embedding).weight.T


CHOICES = [
    {"norm": "pre", "positions": "sinusoidal", "tie": "target"},
    {"norm": "post", "positions": "learned", "tie": "all", "activation": "gelu"},
    {"norm": "post", "positions": "sinusoidal", "tie": None, "num_encoder_layers": 3},
    {"norm": "pre", "positions": None, "tie": "all", "num_decoder_layers": 1, "num_heads": 4},
]


# torch says that it has no faster path for this order of the norms.
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("choices", CHOICES)
@pytest.mark.parametrize("need_weights", [True, False])
def test_model_equals_torch_transformer(dtype, choices, need_weights):
    ours = make(dtype, **choices)
    theirs = TorchTranslator(ours)
    tolerance = {"atol": TOLERANCE[dtype], "rtol": TOLERANCE[dtype]}
    logits, _ = ours(SOURCE, MASK, TARGET, need_weights=need_weights)
    wanted = theirs(SOURCE, MASK, TARGET)
    torch.testing.assert_close(logits, wanted, **tolerance)
    real = TARGET > 0
    embeddings = [ours.target_embedding.weight]
    embeddings += [] if ours.source_embedding is None else [ours.source_embedding.weight]
    first = theirs.core.decoder.layers[0]
    inner = [
        (ours.encoder[0].feed_forward.inner, theirs.core.encoder.layers[0].linear1),
        (ours.decoder[-1].feed_forward.outer, theirs.core.decoder.layers[-1].linear2),
        (ours.decoder[0].cross_attention.output, first.multihead_attn.out_proj),
        (ours.encoder[-1].around_attention.norm, theirs.core.encoder.layers[-1].norm1),
    ]
    losses = [nn.functional.cross_entropy(x[real], TARGET[real]) for x in (logits, wanted)]
    for loss, which in zip(losses, (0, 1), strict=True):
        pulled = torch.autograd.grad(loss, [*embeddings, *(pair[which].weight for pair in inner)])
        if which == 0:
            found = pulled
    for mine, its in zip(found, pulled, strict=True):
        torch.testing.assert_close(mine, its, **tolerance)


@pytest.mark.parametrize("beams", [1, 2, 4])
@pytest.mark.parametrize("choices", CHOICES)
def test_cached_decoding_finds_the_uncached_ids(choices, beams):
    said = set()
    for seed in range(6):
        model = make(torch.float64, seed, std=1.0, **choices)
        search = {"max_length": 12}
        search |= {"num_beams": beams, "length_penalty": 0.5} if beams > 1 else {}
        cached = model.generate(SOURCE, MASK, **search)
        uncached = model.generate(SOURCE, MASK, **search, cached=False)
        assert cached.ids == uncached.ids
        torch.testing.assert_close(cached.scores, uncached.scores, atol=1e-5, rtol=1e-5)
        said |= {tuple(ids) for ids in cached.ids}
    assert len(said) > 3 and len({len(ids) for ids in said}) > 1


def test_generate_searches_as_it_is_asked_to():
    model = make(torch.float64)
    found = model.generate(SOURCE, MASK, max_length=5, num_beams=3, length_penalty=2.0)
    for ids, score, beams in zip(found.ids, found.scores.tolist(), found.beams, strict=True):
        length = min(len(ids) + 1, 5)  # the end token counts
        assert len(beams) == 3 and beams[0][1] == ids
        assert beams[0][0] == pytest.approx(score / length**2, rel=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_generate_does_not_see_padding(beams):
    model = make(torch.float64, std=1.0)
    wanted = model.generate(SOURCE, MASK, num_beams=beams, max_length=6)
    found = model.generate(SOURCE.masked_fill(~MASK, 7), MASK, num_beams=beams, max_length=6)
    assert found.ids == wanted.ids
    torch.testing.assert_close(found.scores, wanted.scores)


def test_generate_ends_with_the_end_token():
    model = make(tie=None, pad_id=8, eos_id=0)
    with torch.no_grad():
        model.output.weight.zero_()  # all words are equal: the first is chosen
    assert model.generate(SOURCE, MASK, max_length=4).ids == [[], [], []]


def test_cached_decoding_reads_each_word_once():
    model, read = make(), []
    model.decoder[0].register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].shape[1]))
    with torch.no_grad():
        model.target_embedding.weight[EOS] = -10.0 * model.decoder_norm.bias.sign()
    for cached in (True, False):
        read.clear()
        model.generate(SOURCE, MASK, max_length=5, cached=cached)
        assert read == ([1] * 5 if cached else [1, 2, 3, 4, 5])


def test_decode_in_pieces_equals_decode_at_once():
    model = make(torch.float64)
    memory, cache = model.encode(SOURCE, MASK), model.new_cache()
    wanted, weights = model.decode(TARGET, memory, need_weights=True)
    parts = [
        model.decode(piece, memory, cache, need_weights=True)
        for piece in TARGET.split([1, 2, 1], 1)
    ]
    torch.testing.assert_close(torch.cat([part for part, _ in parts], dim=1), wanted)
    torch.testing.assert_close(torch.cat([part for _, part in parts], dim=1), weights)


def test_attentions_are_those_of_every_layer_and_head():
    model = make(num_encoder_layers=3, num_decoder_layers=2)
    found = model.attentions(SOURCE, MASK, TARGET)
    assert found.encoder.shape == (3, 3, 2, 5, 5)
    assert found.decoder.shape == (3, 2, 2, 4, 4)
    assert found.cross.shape == (3, 2, 2, 4, 5)
    for weights in found:
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert not found.decoder[..., ~causal_mask(4)].any()
    assert not found.cross[1, ..., 2:].any() and not found.encoder[1, ..., 2:].any()
    _, weights = model(SOURCE, MASK, TARGET, need_weights=True)
    torch.testing.assert_close(weights, found.cross[:, -1].mean(dim=1))


def test_weights_are_made_only_where_they_are_asked_for(monkeypatch):
    model, calls = make(), []
    fused = nn.functional.scaled_dot_product_attention
    name = "scaled_dot_product_attention"
    monkeypatch.setattr(nn.functional, name, lambda *a, **k: calls.append(1) or fused(*a, **k))
    batch = pair_batch([([4, 5], [6]), ([3], [7, 8])], bos_id=BOS, eos_id=EOS, pad_id=0)
    translation_loss()(model, batch).backward()
    assert len(calls) == 6  # 2 + 2 * 2 attentions, all on the fused path
    assert model(SOURCE, MASK, TARGET)[1] is None
    calls.clear()
    assert model(SOURCE, MASK, TARGET, need_weights=True)[1] is not None
    assert len(calls) == 2  # the encoder's weights are not asked for


def test_translator_gets_attention_and_loss():
    texts = [("a b c", "x y"), ("c", "z z z"), ("b a", "y")]
    pairs = [type("P", (), {"source": s, "target": t}) for s, t in texts]
    tokenizers = [WordTokenizer.train(column) for column in zip(*texts, strict=True)]
    sizes = {"source_vocab": len(tokenizers[0]), "target_vocab": len(tokenizers[1])}
    translator = Translator(make(**sizes), *tokenizers)
    assert [tuple(w.shape) for w in translator.attentions(pairs)] == [(3, 3), (4, 1), (2, 2)]
    assert translator.loss(pairs) > 0
    assert len(translator.translate([source for source, _ in texts])) == 3


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"norm": "none"}, r"norm is one of \('pre', 'post'\), got 'none'"),
        ({"activation": "sine"}, "activation is one of .* got 'sine'"),
        ({"positions": "rotary"}, "positions is one of .* got 'rotary'"),
        ({"tie": "source"}, "tie is one of .* got 'source'"),
        ({"num_heads": 3}, "got d_model=8, num_heads=3"),
        ({"num_heads": 0}, "got d_model=8, num_heads=0"),
        ({"tie": "all", "source_vocab": 10}, "got sizes 10 and 9"),
    ],
)
def test_config_wrong_choices_are_an_error(choices, message):
    with as_a_reader(), pytest.raises(ValueError, match=message):
        EncoderDecoderConfig(**SMALL | choices)


def test_tie_says_which_matrices_are_one():
    sizes = {tie: parameter_count(make(tie=tie)) for tie in ("all", "target", None)}
    matrix = SIZES["target_vocab"] * SIZES["d_model"]
    assert sizes[None] - sizes["target"] == sizes["target"] - sizes["all"] == matrix


def test_positions_are_of_the_kind_that_is_asked_for():
    kinds = {"sinusoidal": SinusoidalPositions, "learned": LearnedPositions, None: type(None)}
    for name, kind in kinds.items():
        model = make(positions=name)
        assert type(model.source_positions) is type(model.target_positions) is kind


def test_dropout_acts_on_embeddings_and_in_blocks_and_in_training_only():
    model = make(dropout=0.4)
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.4}
    for block in (*model.encoder, *model.decoder):
        assert block.attention.dropout == 0.4
    first, second = (model(SOURCE, MASK, TARGET)[0] for _ in range(2))
    assert torch.equal(first, second)
    model.dropout.train()
    first, second = (model(SOURCE, MASK, TARGET)[0] for _ in range(2))
    assert not torch.allclose(first, second)


def test_config_is_frozen_and_has_names_only():
    config = EncoderDecoderConfig(**SMALL)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dropout = 0.5
    with pytest.raises(TypeError):
        EncoderDecoderConfig(9, 9)


@pytest.mark.parametrize(
    ("source", "mask", "error", "message"),
    [
        ([[4, 5]], [[True, True, True]], ValueError, r"\(1, 2\), got \(1, 3\)"),
        ([[4, 5], [0, 0]], [[True, True], [False, False]], ValueError, "a sentence is empty"),
        ([[4, 5]], [[1.0, 1.0]], TypeError, "boolean .* got torch.float32"),
        ([[]], [[]], TypeError, "boolean"),
    ],
)
def test_encode_bad_masks_are_an_error(source, mask, error, message):
    model, source, mask = make(), torch.tensor(source).long(), torch.tensor(mask)
    with as_a_reader(), pytest.raises(error, match=message):
        model(source, mask, torch.ones(len(source), 1).long())
    with as_a_reader(), pytest.raises(error, match=message):
        model.generate(source, mask)


def test_encode_empty_batch_is_an_error():
    empty = torch.ones(0, 3).long()
    with as_a_reader(), pytest.raises(ValueError, match="empty batch"):
        make().encode(empty, empty.bool())


def test_decode_other_rows_than_the_memory_is_an_error():
    model = make()
    memory = model.encode(SOURCE, MASK)
    with as_a_reader(), pytest.raises(ValueError, match="3 sources cannot have 2 targets"):
        model.decode(TARGET[:2], memory)


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
@pytest.mark.parametrize("cached", [True, False])
def test_longer_than_the_positions_is_an_error(positions, cached):
    model = make(positions=positions, max_length=4, tie=None)
    with as_a_reader(), pytest.raises(ValueError, match="length 5 is longer than the table of 4"):
        model.encode(SOURCE, MASK)
    short = SOURCE[:, :3], MASK[:, :3]
    with as_a_reader(), pytest.raises(ValueError, match="length 5 is longer than the table of 4"):
        model(*short, torch.ones(3, 5).long())
    with torch.no_grad():
        model.output.weight.zero_()  # all words are equal: the first is chosen, and no end
    model.generate(*short, max_length=4, cached=cached)
    with as_a_reader(), pytest.raises(ValueError, match="length 5 is longer than the table of 4"):
        model.generate(*short, max_length=5, cached=cached)


def test_first_loss_is_near_that_of_guessing():
    torch.manual_seed(0)
    for choices in CHOICES:
        sizes = {"source_vocab": 500, "target_vocab": 500, "d_model": 96}
        model = EncoderDecoder(EncoderDecoderConfig(**SMALL | sizes | choices)).eval()
        source = torch.randint(3, 500, (8, 6))
        logits, _ = model(source, source > 0, source)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), torch.randint(500, (48,)))
        assert loss.item() == pytest.approx(torch.tensor(500.0).log().item(), abs=1.5)


def test_special_tokens_come_from_the_configuration():
    torch.manual_seed(0)
    ids = {"pad_id": 8, "bos_id": 7, "eos_id": 6}
    model = EncoderDecoder(EncoderDecoderConfig(**SMALL, **ids, tie=None)).eval()
    assert not model.source_embedding.weight[8].any() and not model.target_embedding.weight[8].any()
    logits, _ = model(SOURCE, MASK, torch.full((3, 1), 7))
    best, first = logits[:, 0].log_softmax(dim=-1).max(dim=-1)
    found = model.generate(SOURCE, MASK, max_length=1)
    assert found.ids == [[] if word == 6 else [word] for word in first.tolist()]
    torch.testing.assert_close(found.scores, best)


def test_no_causal_mask_lets_the_future_in():
    later = TARGET.clone()
    later[:, 3] = 8
    for causal in (True, False):
        model = make(causal=causal)
        same = torch.equal(
            model(SOURCE, MASK, TARGET)[0][:, 0], model(SOURCE, MASK, later)[0][:, 0]
        )
        assert same == causal


def test_base_model_has_the_papers_size():
    """Vaswani et al. 2017, table 3: 65 million parameters in the base model."""
    config = EncoderDecoderConfig(
        source_vocab=37_000,
        target_vocab=37_000,
        d_model=512,
        num_heads=8,
        d_ff=2048,
        num_encoder_layers=6,
        num_decoder_layers=6,
        norm="post",
        tie="all",
    )
    with torch.device("meta"):
        model = EncoderDecoder(config)
    attention, norm = 4 * (512 * 512 + 512), 2 * 512
    feed_forward = 512 * 2048 + 2048 + 2048 * 512 + 512
    parts = {
        "target_embedding": 37_000 * 512,  # 18.9 M, both embeddings and the output layer
        "encoder": 6 * (attention + feed_forward + 2 * norm),  # 18.9 M
        "decoder": 6 * (2 * attention + feed_forward + 3 * norm),  # 25.2 M
    }
    assert {name: parameter_count(getattr(model, name)) for name in parts} == parts
    assert parameter_count(model) == sum(parts.values()) == 63_082_496


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choices", "reverse", "rate"),
    [
        ({"norm": "pre", "positions": "sinusoidal"}, True, 0.01),
        ({"norm": "post", "positions": "learned", "tie": "all"}, False, 0.005),
    ],
)
def test_model_learns_to_copy_and_to_reverse_and_when_to_stop(choices, reverse, rate):
    torch.manual_seed(0)
    sizes = {"d_model": 24, "d_ff": 48, "dropout": 0.0}
    model = EncoderDecoder(EncoderDecoderConfig(**SMALL | sizes | choices))
    batches = LengthBatches(some_pairs(1200, 0, reverse), 40, seed=0)
    rate = {"learning_rate": rate, "warmup_steps": 20}
    history = fit(model, batches, translation_loss(), epochs=8, **rate, progress=False)
    assert sum(history.losses[-10:]) / 10 < 0.2 < history.losses[0]
    unseen = some_pairs(100, 1, reverse)
    batch = pair_batch(unseen, bos_id=BOS, eos_id=EOS, pad_id=0)
    for search in ({"num_beams": 1}, {"num_beams": 3}):
        found = model.generate(batch.source, batch.source_mask, max_length=12, **search)
        right = sum(ids == target for ids, (_, target) in zip(found.ids, unseen, strict=True))
        assert right >= 85
        assert sum(len(ids) < 12 for ids in found.ids) >= 98  # they end by themselves
