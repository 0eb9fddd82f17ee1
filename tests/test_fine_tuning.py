"""Fine-tuning: what a model reads, loss and scores, features, the three ways, label curves."""

import copy
import random

import helpers
import pytest
import torch
from helpers import shake
from torch import nn

from course_utils import fine_tuning
from course_utils.datasets import LabelledData, LabelledExample
from course_utils.fine_tuning import (
    UNLABELLED,
    LabelledBatches,
    encode_examples,
    label_f1,
    label_loss,
    linear_probe,
    predict_labels,
    score_labels,
    text_features,
    three_ways,
    train_on_labels,
)
from course_utils.label_curves import confidence_interval, draw_label_curve, label_curve
from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.bert_heads import BERTForSequences, BERTForTokens
from course_utils.tokenizers import WORDPIECE_SPECIALS, WordPieceTokenizer

one_thread = helpers.one_thread
PAD, UNK, CLS, SEP, MASK = range(5)
WORDS = ["sun", "rain", "tree", "cat", "sea", "moon", "##s", "##ed"]
TOKENIZER = WordPieceTokenizer([*WORDPIECE_SPECIALS, *WORDS])
SIZES = {"vocab_size": len(TOKENIZER), "block_size": 16, "num_layers": 1, "num_heads": 2}


def make_bert(seed=0, std=0.3, dropout=0.0):
    return shake(BERT(BERTConfig(**SIZES, d_model=8, dropout=dropout)), seed, std=std).eval()


def draw_examples(kind, count, seed=0):
    """Texts whose class is their only "sun" or "rain"; words that are "sun"; pairs that agree."""
    draws, other = random.Random(seed), WORDS[2:6]
    examples = []
    for k in range(count):
        words = draws.choices(other, k=draws.randint(2, 6))
        if kind == "words":
            words[draws.randrange(len(words))] = "sun"
            marks = tuple(int(word == "sun") for word in words)
            examples.append(LabelledExample(tuple(words), marks))
            continue
        words[draws.randrange(len(words))] = WORDS[k % 2]
        if kind == "texts":
            examples.append(LabelledExample(" ".join(words), k % 2))
        else:
            second = " ".join(draws.choices(other, k=draws.randint(1, 4)))
            examples.append(LabelledExample(" ".join(words), k % 2, second))
    return examples


def make_data(kind, train=60, test=30):
    parts = {"train": draw_examples(kind, train), "test": draw_examples(kind, test, 1)}
    return LabelledData(**parts, label_names=("no", "yes"), name=kind, origin="made up")


def batches_of(kind, count=20, batch_size=6, seed=None):
    encoded = encode_examples(TOKENIZER, draw_examples(kind, count), 16)
    return LabelledBatches(encoded, batch_size, PAD, seed)


every_kind = pytest.mark.parametrize("kind", ["texts", "words", "pairs"])


def make_head(kind, seed=0, **choices):
    head = BERTForTokens if kind == "words" else BERTForSequences
    model = shake(head(make_bert(**choices), 2), seed, std=1.0).eval()
    nn.init.zeros_(model.classifier.bias)  # or else it says the same of everything
    return model


# ---- what a model reads


def test_texts_and_pairs_are_encoded_as_the_library_does(tmp_path):
    from tokenizers import Tokenizer
    from tokenizers.processors import BertProcessing

    TOKENIZER.save(tmp_path / "tokenizer.json")
    library = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    library.post_processor = BertProcessing(("[SEP]", SEP), ("[CLS]", CLS))
    examples = draw_examples("texts", 8) + draw_examples("pairs", 8)
    for example, found in zip(examples, encode_examples(TOKENIZER, examples, 16), strict=True):
        wanted = library.encode(example.text, example.pair)
        assert (found.ids, found.segments) == (wanted.ids, wanted.type_ids)
        assert found.label == example.label


def test_a_word_s_label_stands_at_its_first_piece():
    [found] = encode_examples(TOKENIZER, [LabelledExample(("suns", "sea", "rained"), (1, 0, 1))], 9)
    assert TOKENIZER.decode(found.ids) == "suns sea rained"
    assert found.label == [UNLABELLED, 1, UNLABELLED, 0, 1, UNLABELLED, UNLABELLED]
    assert found.segments == [0] * 7
    [empty] = encode_examples(TOKENIZER, [LabelledExample(("sea", " ", "sun"), (0, 1, 1))], 9)
    assert empty.label == [UNLABELLED, 0, 1, UNLABELLED]


def test_long_examples_are_cut():
    long, short = "sun " * 20, "rain " * 3
    texts = [LabelledExample(long, 0), LabelledExample(long, 0, short)]
    texts += [LabelledExample(short, 0, long), LabelledExample(("sun",) * 20, (1,) * 20)]
    found = encode_examples(TOKENIZER, texts, 10)
    assert all(len(e.ids) == len(e.segments) == 10 and e.ids[-1] == SEP for e in found)
    assert found[1].ids == [CLS, *[5] * 4, SEP, *[6] * 3, SEP]
    assert found[2].ids == [CLS, *[6] * 3, SEP, *[5] * 4, SEP]
    assert found[2].segments == [0] * 5 + [1] * 5
    assert found[3].label == [UNLABELLED, *[1] * 8, UNLABELLED]


@every_kind
def test_batches_hold_each_example_once(kind):
    for seed in (None, 3):
        batches = batches_of(kind, seed=seed)
        rows = []
        for batch in batches:
            for ids, segments, mask, target in zip(*batch, strict=True):
                assert (mask == (ids != PAD)).all()
                labels = target[mask].tolist() if kind == "words" else target.item()
                assert kind != "words" or (target[~mask] == UNLABELLED).all()
                rows.append((ids[mask].tolist(), segments[mask].tolist(), labels))
        assert len(batches) == 4 == sum(1 for _ in batches)
        assert sorted(rows, key=str) == sorted(map(tuple, batches.examples), key=str)


def test_order_is_by_length_or_by_seed_and_epoch():
    lengths = [batch.ids.shape[1] for batch in batches_of("texts")]
    assert lengths == sorted(lengths)
    orders = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0)):
        batches = batches_of("texts", seed=seed)
        batches.set_epoch(epoch)
        orders.append(torch.cat([batch.target for batch in batches]).tolist())
    assert orders[0] == orders[3]
    assert orders[0] != orders[1] != orders[2] != orders[0]


@pytest.mark.parametrize(("count", "size"), [(0, 4), (3, 0)])
def test_no_examples_or_no_batch_is_an_error(count, size):
    encoded = encode_examples(TOKENIZER, draw_examples("texts", count), 16)
    with pytest.raises(ValueError, match=rf"1 or more, got {count} and {size}"):
        LabelledBatches(encoded, size, PAD)


# ---- loss and scores


@every_kind
def test_loss_and_predictions_are_those_of_each_example_alone(kind):
    model, batches = make_head(kind, 3, dropout=0.5), batches_of(kind)
    losses, said = [], []
    for example in (batches.examples[k] for k in batches.by_length):
        ids, segments = torch.tensor([example.ids]), torch.tensor([example.segments])
        logits = model(ids, segments)[0].detach()
        rows = logits if kind == "words" else logits[None]
        labels = example.label if kind == "words" else [example.label]
        for row, label in zip(rows, labels, strict=True):
            if label != UNLABELLED:
                losses.append((label, -row.log_softmax(-1)[label].item()))
                said.append(row.argmax().item())
    predicted, target = predict_labels(model.train(), batches)
    assert predicted.tolist() == said
    assert target.tolist() == [label for label, _ in losses]
    assert len(set(said)) == 2
    [everything] = LabelledBatches(batches.examples, 100, PAD)
    wanted = sum(loss for _, loss in losses) / len(losses)
    assert label_loss(model.eval(), everything).item() == pytest.approx(wanted, abs=1e-5)
    right = sum(a == b for a, b in zip(said, target.tolist(), strict=True)) / len(said)
    wanted = label_f1(predicted, target) if kind == "words" else right
    assert score_labels(model, batches) == pytest.approx(wanted)
    assert kind != "words" or abs(wanted - right) > 0.01


def test_f1_is_that_of_scikit_learn():
    from sklearn.metrics import f1_score

    generator = torch.Generator().manual_seed(0)
    for share in (0.1, 0.5, 0.9):
        predicted, target = (torch.rand(2, 50, generator=generator) < share).long()
        wanted = f1_score(target.numpy(), predicted.numpy())
        assert label_f1(predicted, target) == pytest.approx(wanted)
    assert label_f1(torch.zeros(3).long(), torch.zeros(3).long()) == 0.0


@pytest.mark.parametrize("kind", ["texts", "words"])
def test_training_learns_the_labels(kind):
    torch.manual_seed(0)
    head = BERTForTokens if kind == "words" else BERTForSequences
    model = head(BERT(BERTConfig(**SIZES, d_model=16, dropout=0.0)), 2)
    history = train_on_labels(model, batches_of(kind, 64, 16, seed=0), learning_rate=1e-2)
    assert len(history.losses) == 60
    assert score_labels(model, batches_of(kind, 100)) > 0.9


def test_length_and_learning_rate_of_a_training():
    model = make_head("texts")
    batches = batches_of("texts", 20, 2, seed=0)
    history = train_on_labels(model, batches, epochs=3, least_steps=20, learning_rate=0.1)
    assert len(history.losses) == 30
    rates = history.learning_rates
    assert rates[:3] == pytest.approx([0.1 / 3, 0.2 / 3, 0.1])
    assert rates[3] == pytest.approx(0.1)
    assert rates[-1] == pytest.approx(0.1 / 27)


# ---- frozen


class Looks(nn.Module):
    """An encoder whose vectors are (id, 1)."""

    def forward(self, ids, segment_ids, padding_mask):
        return torch.stack([ids.float(), torch.ones(ids.shape)], dim=-1)


def test_features_are_means_over_real_tokens():
    texts = [LabelledExample("sun", 0), LabelledExample("sun rain tree", 1)]
    batches = LabelledBatches(encode_examples(TOKENIZER, texts, 16), 2, PAD)
    features, target = text_features(Looks(), batches)
    wanted = [[(CLS + 5 + SEP) / 3, 1], [(CLS + 5 + 6 + 7 + SEP) / 5, 1]]
    assert torch.allclose(features, torch.tensor(wanted))
    assert target.tolist() == [0, 1]


def test_features_of_pairs_are_both_their_distance_and_their_product():
    texts = [LabelledExample("sun", 0, "rain"), LabelledExample("sun", 0, "rain tree")]
    batches = LabelledBatches(encode_examples(TOKENIZER, texts, 16), 2, PAD)
    features, _ = text_features(Looks(), batches)
    u, v, w = (CLS + 5 + SEP) / 3, (6 + SEP) / 2, (6 + 7 + SEP) / 3
    wanted = [[u, 1, x, 1, abs(u - x), 0, u * x, 1] for x in (v, w)]
    assert torch.allclose(features, torch.tensor(wanted))


def test_features_of_words_are_those_of_their_first_pieces():
    texts = [LabelledExample(("suns", "sea"), (1, 0)), LabelledExample(("rain",), (1,))]
    batches = LabelledBatches(encode_examples(TOKENIZER, texts, 16), 2, PAD)
    features, target = text_features(Looks(), batches)
    assert features[:, 0].tolist() == [6, 5, 9]
    assert target.tolist() == [1, 1, 0]


def test_features_come_from_a_model_in_evaluation_mode_and_one_by_one():
    bert, batches = make_bert(dropout=0.5).train(), batches_of("pairs")
    features, _ = text_features(bert.encoder, batches)
    single = LabelledBatches([batches.examples[batches.by_length[-1]]], 1, PAD)
    assert torch.allclose(text_features(bert.encoder, single)[0], features[-1:], atol=1e-5)


def test_probe_learns_a_line_whatever_the_scale():
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(300, 2, generator=draws) * torch.tensor([1000.0, 0.001]) + 5
    y = (x[:, 0] / 1000 + x[:, 1] * 1000 > 5000 + 0.005).long()
    predicted = linear_probe((x[:200], y[:200]), (x[200:], y[200:]), strength=1.0)
    assert (predicted == y[200:]).float().mean() > 0.95


# ---- three ways


@every_kind
def test_three_ways_leave_the_model_and_repeat_themselves(kind):
    bert, data = make_bert(dropout=0.1), make_data(kind)
    before = copy.deepcopy(bert.state_dict())
    ways = three_ways(bert, TOKENIZER, data, test_size=20, least_steps=4, epochs=1)
    assert list(ways) == ["from scratch", "frozen", "pre-trained"]
    scores = {name: way(10, 1) for name, way in ways.items()}
    state = torch.get_rng_state()
    assert {name: way(10, 1) for name, way in ways.items()} == scores
    assert torch.equal(torch.get_rng_state(), state)
    assert all(0 <= found <= 1 for found in scores.values())
    for name, value in bert.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_all_ways_get_the_same_examples_of_a_draw_and_the_first_of_the_test(monkeypatch):
    data, drawn = make_data("texts"), []
    draw = LabelledData.draw
    monkeypatch.setattr(
        LabelledData, "draw", lambda self, *args: drawn.append(args) or draw(self, *args)
    )
    for way in three_ways(make_bert(), TOKENIZER, data, test_size=7, least_steps=1).values():
        assert (way(10, 3) * 7) % 1 == pytest.approx(0, abs=1e-6)
    assert drawn == [(10, 3)] * 3


def test_ways_begin_with_their_weights_and_have_their_rates(monkeypatch):
    begun = []
    monkeypatch.setattr(
        fine_tuning,
        "train_on_labels",
        lambda model, batches, **recipe: begun.append((copy.deepcopy(model), recipe)),
    )
    bert = make_bert()
    recipe = {"learning_rate": 1e-4, "scratch_rate": 0.2, "epochs": 7}
    ways = three_ways(bert, TOKENIZER, make_data("texts"), **recipe)
    for name in ("from scratch", "pre-trained"):
        for seed in (0, 1):
            ways[name](10, seed)
    for model, recipe in begun[:2]:
        assert 0.01 < model.encoder.words.weight.std().item() < 0.03
        assert recipe["learning_rate"] == 0.2
        assert recipe["epochs"] == 7
    for model, recipe in begun[2:]:
        assert model.config == bert.config
        for name, value in bert.encoder.state_dict().items():
            assert torch.equal(model.encoder.state_dict()[name], value), name
        assert torch.equal(model.pooler.weight, bert.pooler.weight)
        assert recipe["learning_rate"] == 1e-4
    for one, other in ((0, 1), (2, 3)):
        a, b = (begun[k][0].classifier.weight for k in (one, other))
        assert not torch.equal(a, b)
    assert [recipe["seed"] for _, recipe in begun] == [0, 1, 0, 1]
    assert not torch.equal(*(model.encoder.words.weight for model, _ in begun[:2]))


# ---- label curves


def test_curve_has_each_way_size_and_draw_once():
    calls = []
    ways = {
        name: lambda size, seed, name=name: calls.append((name, size, seed)) or seed
        for name in ("a", "b")
    }
    points = label_curve(ways, [5, 50], 4)
    assert [(point.way, point.size) for point in points] == [
        ("a", 5),
        ("a", 50),
        ("b", 5),
        ("b", 50),
    ]
    assert calls == [(w, n, seed) for w in "ab" for n in (5, 50) for seed in range(4)]
    assert all(point.scores == (0, 1, 2, 3) and point.mean == 1.5 for point in points)


def test_interval_is_that_of_student():
    from scipy.stats import sem, t

    for values in ([0.2, 0.9], [1.0, 2.0, 4.0], [0.5, 0.5, 0.5]):
        mean, low, high = confidence_interval(values)
        assert mean == pytest.approx(sum(values) / len(values))
        if low < high:
            wanted = t.interval(0.95, len(values) - 1, loc=mean, scale=sem(values))
            assert (low, high) == pytest.approx(wanted)
        else:
            assert low == high == mean


def test_interval_of_one_draw_is_an_error():
    with pytest.raises(ValueError, match="an interval takes 2 draws or more, got 1"):
        label_curve({"a": lambda size, seed: 0.0}, [5], 1)


def test_picture_has_a_line_and_its_interval_for_each_way():
    from matplotlib.colors import to_rgb

    ways = {"a": lambda size, seed: size / 100 + seed / 10, "b": lambda size, seed: 0.5 + seed / 50}
    points = label_curve(ways, [5, 50], 3)
    ax = draw_label_curve(points, y_label="accuracy")
    assert [line.get_label() for line in ax.lines] == ["a", "b"]
    assert ax.lines[1].get_xydata().flatten().tolist() == pytest.approx([5, 0.52, 50, 0.52])
    for line, band, first in zip(ax.lines, ax.collections, (points[0], points[2]), strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        assert {first.low, first.high} <= set(heights)
        assert tuple(band.get_facecolor()[0][:3]) == pytest.approx(to_rgb(line.get_color()))
    assert ax.get_xscale() == "log"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["5", "50"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("labelled examples", "accuracy")
