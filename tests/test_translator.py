"""From sentences to sentences: order, warnings, bad input, scores."""

import random
import warnings

import matplotlib.pyplot as plt
import pytest
import torch
from helpers import shake

from course_utils.datasets.pairs import TranslationPair
from course_utils.decoding import Hypotheses
from course_utils.explorers.attention import KINDS, heads_map
from course_utils.metrics import bleu
from course_utils.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course_utils.models.seq2seq import Seq2Seq, Seq2SeqConfig
from course_utils.tokenizers import UNK, CharacterTokenizer, WordTokenizer
from course_utils.translator import Translator, encode_pairs, length_batches

WORDS = [f"w{k}" for k in range(20)]
WARN_NOT = pytest.mark.filterwarnings("ignore:not in the vocabulary")


def sentence(length, seed=0):
    return " ".join(random.Random(seed).choices(WORDS, k=length))


class Echo(torch.nn.Module):
    """A "model" that says the source, word for word; both tokenizers have the same ids."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.calls = []

    def generate(self, source, source_mask, **search):
        assert not self.training
        self.calls.append((tuple(source.shape), search))
        ids = [row[mask].tolist() for row, mask in zip(source, source_mask, strict=True)]
        return Hypotheses(ids, torch.zeros(len(source)), [[(0.0, row)] for row in ids])


def echo(batch_size=3):
    tokenizer = WordTokenizer.train([" ".join(WORDS)])
    return Translator(Echo(), tokenizer, tokenizer, batch_size=batch_size)


def network(attention="additive", order="bahdanau", **options):
    tokenizer = WordTokenizer.train([" ".join(WORDS)])
    sizes = {
        "source_vocab": 24,
        "target_vocab": 24,
        "d_embedding": 4,
        "d_encoder": 3,
        "d_hidden": 6,
    }
    model = Seq2Seq(Seq2SeqConfig(**sizes, attention=attention, order=order))
    return Translator(shake(model, std=1.0), tokenizer, tokenizer, **options)


def pairs(count=11):
    lengths = random.Random(3).choices(range(1, 9), k=2 * count)
    return [
        TranslationPair(sentence(lengths[2 * k], k), sentence(lengths[2 * k + 1], 100 + k))
        for k in range(count)
    ]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_translate_keeps_the_order_whatever_the_batches(batch_size):
    texts = [sentence(length, seed) for seed, length in enumerate([5, 1, 9, 1, 3, 3, 7, 2])]
    translator = echo(batch_size)
    assert translator.translate(texts) == texts
    assert sum(shape[0] for shape, _ in translator.model.calls) == len(texts)
    assert max(shape[0] for shape, _ in translator.model.calls) <= batch_size


def test_translate_puts_sentences_of_like_length_together():
    translator = echo(batch_size=2)
    translator.translate([sentence(9), sentence(1), sentence(8), sentence(2)])
    assert [shape for shape, _ in translator.model.calls] == [(2, 2), (2, 9)]


def test_translate_normalises_first():
    assert echo().translate(["  W1   W2\n"]) == ["w1 w2"]


def test_translate_of_nothing_is_nothing():
    assert echo().translate([]) == []


def test_translate_passes_the_search_on():
    translator = echo()
    translator.translate([sentence(4)], num_beams=3, length_penalty=0.5, max_length=7)
    assert translator.model.calls[0][1] == {"num_beams": 3, "length_penalty": 0.5, "max_length": 7}
    translator.translate([sentence(4), sentence(6)])
    assert translator.model.calls[1][1]["max_length"] == 22  # 2 * 6 + 10


def test_translate_cuts_each_sentence_at_its_own_limit():
    class Endless(Echo):
        def generate(self, source, source_mask, *, max_length, **search):
            ids = [[4] * max_length] * len(source)
            return Hypotheses(ids, torch.zeros(len(source)), [[(0.0, row)] for row in ids])

    translator = echo()
    translator.model = Endless()
    found = translator.translate([sentence(1), sentence(3)])
    assert [len(text.split()) for text in found] == [2 * 1 + 10, 2 * 3 + 10]


def test_translate_reads_with_one_tokenizer_and_writes_with_the_other():
    source, target = WordTokenizer(["a", "b"]), WordTokenizer(["x", "y"])
    assert Translator(Echo(), source, target).translate(["b a"]) == ["y x"]


@pytest.mark.parametrize("empty", ["", "  ", "\n\t", "\ufeff"])
def test_translate_empty_sentence_is_an_error_that_says_which(empty):
    with pytest.raises(ValueError, match="sentence 1 is empty"):
        echo().translate(["w1", empty])


def test_translate_one_string_is_an_error():
    with pytest.raises(TypeError, match=r"\[sentence\]"):
        echo().translate("w1 w2")


def test_translate_max_length_zero_is_an_error():
    with pytest.raises(ValueError, match="max_length is 1 or more, got 0"):
        network().translate(["w1"], max_length=0)


def test_translate_unknown_words_are_named_and_counted():
    with pytest.warns(UserWarning, match=r"'unicorn' \(2\), '😀' \(1\)$") as caught:
        found = echo().translate(["w1 unicorn 😀", "unicorn w2"])
    assert found == ["w1 <unk> <unk>", "<unk> w2"]
    assert len(caught) == 1


def test_translate_many_unknown_words_are_cut_to_the_most_frequent():
    text = "a a b b c c d d e e f g w1"
    with pytest.warns(UserWarning, match=r"'a' \(2\).*'e' \(2\) and 2 more"):
        echo().translate([text])


def test_translate_known_words_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert echo().translate(["w1 w2"]) == ["w1 w2"]


@WARN_NOT
@pytest.mark.parametrize("beams", [1, 2])
def test_translate_takes_emoji_and_a_sentence_of_500_words(beams):
    texts = ["😀", sentence(500), "😀 👍🏽 w1", "w1"]
    found = network(batch_size=2).translate(texts, num_beams=beams, max_length=20)
    assert len(found) == 4 and all(isinstance(text, str) for text in found)
    assert len(found[1].split()) <= 20


@pytest.mark.parametrize("beams", [1, 3])
def test_translate_alone_equals_in_a_batch(beams):
    translator = network()
    texts = [pair.source for pair in pairs(6)]
    together = translator.translate(texts, num_beams=beams, max_length=7)
    assert [translator.translate([t], num_beams=beams, max_length=7)[0] for t in texts] == together
    assert len(set(together)) > 2


def test_translate_is_in_evaluation_mode_and_leaves_the_random_state_alone():
    translator = network()
    translator.model.train()
    state = torch.get_rng_state()
    first = translator.translate([sentence(5)])
    assert translator.translate([sentence(5)]) == first
    assert torch.equal(state, torch.get_rng_state())


def test_score_counts_pairs_of_one_source_as_references():
    data = [
        TranslationPair("w1 w2 w3 w4", "w5 w6 w7 w8"),
        TranslationPair("w1 w2 w3 w4", "w1 w2 w3 w4"),
        TranslationPair("w9 w8 w7 w6 w5", "w9 w8 w7 w6 w1"),
    ]
    wanted = bleu(
        [data[0].source, data[2].source], [[p.target for p in data[:2]], [data[2].target]]
    )
    assert echo().score(data) == {"bleu": wanted, "exact": 0.5}
    assert echo().score(data[:2]) == {"bleu": pytest.approx(100.0), "exact": 1.0}


def test_score_of_unknown_words_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert echo().score([TranslationPair("w1 zebra", "w1 zebra")])["exact"] == 0.0


def test_score_passes_the_search_on():
    translator = echo()
    translator.score(pairs(), num_beams=4, max_length=9)
    assert translator.model.calls[0][1] == {"num_beams": 4, "max_length": 9, "length_penalty": 0.0}


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_loss_is_the_mean_over_words_whatever_the_batches(batch_size):
    translator = network(batch_size=batch_size)
    translator.model.double()
    total, count = 0.0, 0
    for pair in pairs():
        source = torch.tensor([translator.source_tokenizer.encode(pair.source)])
        target = [*translator.target_tokenizer.encode(pair.target), 2]
        logits, _ = translator.model.eval()(source, source > 0, torch.tensor([[1, *target[:-1]]]))
        total -= logits[0].log_softmax(-1)[range(len(target)), target].sum().item()
        count += len(target)
    translator.model.train()
    assert translator.loss(pairs()) == pytest.approx(total / count)


def test_loss_and_score_of_no_pairs_are_an_error():
    with pytest.raises(ValueError, match=r"no pairs|nothing to score"):
        network().loss([])
    with pytest.raises(ValueError, match="nothing to score"):
        network().score([])


def test_attention_has_a_row_per_target_word_and_the_end_and_a_column_per_source_word():
    weights = network().attention("W1 w2 w3", "w4, W5")
    assert weights.shape == (4, 3)  # w4 , w5 <eos>
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(4))
    assert not weights.requires_grad


@pytest.mark.parametrize("batch_size", [2, 100])
def test_attentions_of_many_equal_each_alone(batch_size):
    translator = network(batch_size=batch_size)
    for pair, weights in zip(pairs(), translator.attentions(pairs()), strict=True):
        assert weights.shape == (len(pair.target.split()) + 1, len(pair.source.split()))
        torch.testing.assert_close(weights, translator.attention(pair.source, pair.target))


def test_attention_of_a_model_without_is_an_error():
    with pytest.raises(ValueError, match="no attention"):
        network(attention=None, order="luong").attention("w1", "w2")


def transformer():
    sizes = {"source_vocab": 24, "target_vocab": 24, "d_model": 8, "num_heads": 2, "d_ff": 8}
    layers = {"num_encoder_layers": 3, "num_decoder_layers": 2}
    tokenizer = WordTokenizer.train([" ".join(WORDS)])
    model = EncoderDecoder(EncoderDecoderConfig(**sizes, **layers, dropout=0.5))
    return Translator(shake(model), tokenizer, tokenizer)


def test_head_attention_has_the_weights_of_each_layer_and_head():
    found = transformer().head_attention("W1 w2 w3", "w4, W5")  # w4 , w5 <eos>
    assert [tuple(weights.shape) for weights in found] == [
        (3, 2, 3, 3),
        (2, 2, 4, 4),
        (2, 2, 4, 3),
    ]
    for weights in found:
        torch.testing.assert_close(weights.sum(dim=-1), torch.ones(weights.shape[:-1]))
        assert not weights.requires_grad
    assert found.decoder.triu(1).count_nonzero() == 0


def test_head_attention_agrees_with_attention():
    translator = transformer()
    last = translator.head_attention("w1 w2 w3", "w4 w5").cross[-1]
    torch.testing.assert_close(last.mean(dim=0), translator.attention("w1 w2 w3", "w4 w5"))


def test_head_attention_of_a_training_model_is_without_dropout():
    translator = transformer()
    translator.model.train()
    first = translator.head_attention("w1 w2", "w3")
    assert all(map(torch.equal, first, translator.head_attention("w1 w2", "w3")))


def test_head_attention_of_a_model_without_heads_is_an_error():
    with pytest.raises(ValueError, match="no heads to look at; see `attention`"):
        network().head_attention("w1", "w2")


@pytest.mark.parametrize("kind", KINDS)
def test_heads_map_draws_what_head_attention_gives(kind):
    grid = heads_map(transformer().head_attention, "w4 w5", "w1 w2 w3", kind=kind)
    assert grid.shape == (3 if kind == "encoder" else 2, 2)
    plt.close("all")


def test_attention_of_an_empty_source_is_an_error():
    with pytest.raises(ValueError, match="sentence is empty"):
        network().attention(" ", "w2")


def test_encode_pairs_gives_bare_ids_of_both_sides():
    source, target = WordTokenizer.train(["a b"]), CharacterTokenizer.train(["xy"])
    found = encode_pairs([TranslationPair("b z a", "yx")], source, target)
    assert found == [([5, UNK, 4], [5, 4])]


def test_length_batches_hold_every_pair_framed():
    tokenizer = WordTokenizer.train([" ".join(WORDS)])
    batches = length_batches(pairs(), tokenizer, tokenizer, 4, seed=1)
    rows = [
        (s[m].tolist(), t[n].tolist())
        for b in batches
        for s, m, t, n in zip(b.source, b.source_mask, b.target, b.target_mask, strict=True)
    ]
    wanted = [(s, [1, *t, 2]) for s, t in encode_pairs(pairs(), tokenizer, tokenizer)]
    assert sorted(rows) == sorted(wanted)


def test_length_batches_order_depends_on_the_seed():
    tokenizer = WordTokenizer.train([" ".join(WORDS)])
    orders = [
        [b.source.tolist() for b in length_batches(pairs(), tokenizer, tokenizer, 2, seed=seed)]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]
