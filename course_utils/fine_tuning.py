"""Fine-tuning: a model that knows a language learns a task from a few labelled examples.

Three ways to use the same examples are compared: "from scratch" learns everything from them;
"frozen" takes the vectors of a pre-trained model as they are, and learns one linear layer;
"pre-trained" begins with the pre-trained weights and trains all of them. `label_curves.label_curve`
says how good each way is with few examples and with many.

Sources: Devlin et al. 2019, BERT, section 4 and appendix A.3; Mosbach et al. 2021, On the Stability
of Fine-tuning BERT (small sets take many passes, and a warm-up); Conneau et al. 2017, Supervised
Learning of Universal Sentence Representations (features of two sentences: u, v, |u - v|, u * v).

Axis letters: B batch, T length, N examples, D model width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from course_utils.batching import pad
from course_utils.history import History
from course_utils.label_curves import linear_probe
from course_utils.masks import padding_mask
from course_utils.models.bert import BERT
from course_utils.models.bert_heads import BERTForSequences, BERTForTokens
from course_utils.training import fit

UNLABELLED = -100  # label of tokens that are not asked about; PyTorch's losses leave it out


class EncodedExample(NamedTuple):
    """A labelled example as a model reads it.

    Attributes
    ----------
    ids : list of int
        [CLS] text [SEP], or [CLS] text [SEP] pair [SEP].
    segments : list of int
        0 for the first text, 1 for the second.
    label : int or list of int
        A class; or one for each token: that of a word at its first piece, else `UNLABELLED`.
    """

    ids: list[int]
    segments: list[int]
    label: int | list[int]


class LabelledBatch(NamedTuple):
    """Examples side by side.

    Attributes
    ----------
    ids, segment_ids : Int "B T"
    padding_mask : Bool "B T"
        True = a real token.
    target : Int "B" or "B T"
        Classes of the texts, or of their tokens.
    """

    ids: Int[Tensor, "B T"]
    segment_ids: Int[Tensor, "B T"]
    padding_mask: Bool[Tensor, "B T"]
    target: Tensor


def encode_examples(
    tokenizer: Any, examples: Sequence[Any], max_tokens: int
) -> list[EncodedExample]:
    """Turn labelled examples into ids.

    Parameters
    ----------
    tokenizer : WordPieceTokenizer
        Has `encode` and `special_tokens`.
    examples : sequence of LabelledExample
        Have `text`, `label` and `pair`.
    max_tokens : int
        What is longer is cut at its end; of a pair the longer text is cut first.

    Examples
    --------
    >>> from course_utils.datasets import LabelledExample
    >>> from course_utils.tokenizers import WORDPIECE_SPECIALS, WordPieceTokenizer
    >>> tokenizer = WordPieceTokenizer([*WORDPIECE_SPECIALS, "the", "cat", "##s"])
    >>> encode_examples(tokenizer, [LabelledExample(("the", "cats"), (0, 1))], 16)[0]
    EncodedExample(ids=[2, 5, 6, 7, 3], segments=[0, 0, 0, 0, 0], label=[-100, 0, 1, -100, -100])
    """
    cls_id, sep_id = (tokenizer.special_tokens[token] for token in ("[CLS]", "[SEP]"))
    encoded = []
    for text, label, pair in ((e.text, e.label, e.pair) for e in examples):
        if isinstance(text, str):
            first, second = tokenizer.encode(text), tokenizer.encode(pair) if pair else []
            room = max_tokens - (3 if pair else 2)
            while len(first) + len(second) > room:
                (first if len(first) > len(second) else second).pop()
            ids = [cls_id, *first, sep_id, *second, *([sep_id] if pair else [])]
            segments = [0] * (len(first) + 2) + [1] * (len(ids) - len(first) - 2)
            encoded.append(EncodedExample(ids, segments, label))
            continue
        words = [tokenizer.encode(word) for word in text]
        ids = [index for word in words for index in word][: max_tokens - 2]
        marks = [
            mark
            for word, mark_of_word in zip(words, label, strict=True)
            for mark in [mark_of_word, *[UNLABELLED] * (len(word) - 1)][: len(word)]
        ][: max_tokens - 2]
        ids, marks = [cls_id, *ids, sep_id], [UNLABELLED, *marks, UNLABELLED]
        encoded.append(EncodedExample(ids, [0] * len(ids), marks))
    return encoded


class LabelledBatches:
    """Batches of encoded examples.

    Parameters
    ----------
    examples : sequence of EncodedExample
    batch_size : int
        B; the last batch of a pass may be smaller.
    pad_id : int
        [PAD].
    seed : int, optional
        Seeds the order, another one in each epoch. None: from short to long, which is the fastest.

    Raises
    ------
    ValueError
        When there is no example, or the batch size is below 1.
    """

    def __init__(
        self,
        examples: Sequence[EncodedExample],
        batch_size: int,
        pad_id: int,
        seed: int | None = None,
    ) -> None:
        if not examples or batch_size < 1:
            raise ValueError(
                f"batches take an example or more and a batch_size of 1 or more, got "
                f"{len(examples)} and {batch_size}"
            )
        self.examples, self.batch_size, self.pad_id = list(examples), batch_size, pad_id
        self.seed, self.epoch = seed, 0
        self.by_length = sorted(range(len(examples)), key=lambda k: len(examples[k].ids))

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.examples) // self.batch_size)

    def __iter__(self) -> Iterator[LabelledBatch]:
        order = self.by_length
        if self.seed is not None:
            numbers = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
            order = torch.randperm(len(order), generator=numbers).tolist()
        for begin in range(0, len(order), self.batch_size):
            yield self._batch([self.examples[k] for k in order[begin : begin + self.batch_size]])

    def _batch(self, examples: list[EncodedExample]) -> LabelledBatch:
        ids, lengths = pad([e.ids for e in examples], self.pad_id)
        segments, _ = pad([e.segments for e in examples], 0)
        labels = [e.label for e in examples]
        if isinstance(labels[0], list):
            target, _ = pad(labels, UNLABELLED)
        else:
            target = torch.tensor(labels)
        return LabelledBatch(ids, segments, padding_mask(lengths), target)


def label_loss(model: nn.Module, batch: LabelledBatch) -> Tensor:
    """Mean cross-entropy of the labels, in nats; tokens without a label do not count."""
    logits = model(batch.ids, batch.segment_ids, batch.padding_mask)
    return nn.functional.cross_entropy(
        logits.flatten(0, -2), batch.target.flatten(), ignore_index=UNLABELLED
    )


@torch.no_grad()
def predict_labels(model: nn.Module, batches: LabelledBatches) -> tuple[Tensor, Tensor]:
    """What a model says and what is right, for all labels; in evaluation mode.

    Returns
    -------
    predicted, target : Int "N"
        In the order of the batches; tokens without a label are left out.
    """
    model.eval()
    said, right = [], []
    for batch in batches:
        asked = batch.target != UNLABELLED
        logits = model(batch.ids, batch.segment_ids, batch.padding_mask)
        said.append(logits.argmax(-1)[asked])
        right.append(batch.target[asked])
    return torch.cat(said), torch.cat(right)


def label_accuracy(predicted: Int[Tensor, " N"], target: Int[Tensor, " N"]) -> float:
    """Share of labels that are right."""
    return (predicted == target).float().mean().item()


def label_f1(predicted: Int[Tensor, " N"], target: Int[Tensor, " N"], label: int = 1) -> float:
    """Harmonic mean of precision and recall of one label; 0 when it is never found.

    Examples
    --------
    >>> label_f1(torch.tensor([1, 1, 0, 0]), torch.tensor([1, 0, 1, 0]))
    0.5
    """
    both = ((predicted == label) & (target == label)).sum().item()
    found = (predicted == label).sum().item() + (target == label).sum().item()
    return 2 * both / found if found else 0.0


def score_labels(model: nn.Module, batches: LabelledBatches) -> float:
    """How good a model is: the accuracy of texts; where words have labels, the F1 of label 1."""
    return _score(*predict_labels(model, batches), isinstance(batches.examples[0].label, list))


def _score(predicted: Tensor, target: Tensor, labels_words: bool) -> float:
    return label_f1(predicted, target) if labels_words else label_accuracy(predicted, target)


def train_on_labels(
    model: nn.Module,
    batches: LabelledBatches,
    *,
    epochs: int = 4,
    least_steps: int = 60,
    learning_rate: float = 1e-3,
    seed: int = 0,
    **options: Any,
) -> History:
    """Train all layers of a model on labelled examples.

    The learning rate rises over a tenth of the steps, and goes straight down to 0.

    Parameters
    ----------
    model : BERTForSequences or BERTForTokens
        Trained in place.
    batches : LabelledBatches
    epochs, least_steps : int
        How long: so many passes, or so many steps if that is more.
    learning_rate : float
        Peak, of AdamW. The smaller the model, the larger: BERT base takes 2e-5 to 5e-5.
    seed : int
        Seeds dropout.
    **options
        Others of `fit`.
    """
    steps = max(least_steps, epochs * len(batches))
    usual = {"schedule": "linear", "warmup_steps": steps // 10, "weight_decay": 0.01}
    usual |= {"progress": False, "description": "fine-tuning"}
    rate = {"steps": steps, "learning_rate": learning_rate, "seed": seed}
    return fit(model, batches, label_loss, **rate, **(usual | options))


# ---- frozen: the vectors of a model as they are, and one linear layer


@torch.no_grad()
def text_features(encoder: nn.Module, batches: LabelledBatches) -> tuple[Tensor, Tensor]:
    """Vectors of the last layer, and labels: of each text, or of each word that has a label.

    A text's vector is the mean over its tokens, which says more than that of [CLS] as long as
    nothing has trained [CLS]. A pair has four: u, v, |u - v| and u * v (Conneau et al. 2017).

    Returns
    -------
    features : Float "N D" or "N 4D"
    target : Int "N"
    """
    encoder.eval()
    features, targets = [], []
    for batch in batches:
        hidden = encoder(batch.ids, batch.segment_ids, batch.padding_mask)
        if batch.target.ndim == 2:
            asked = batch.target != UNLABELLED
            features.append(hidden[asked])
            targets.append(batch.target[asked])
            continue
        second = batch.segment_ids.bool()
        u = _mean(hidden, batch.padding_mask & ~second)
        if second.any():
            v = _mean(hidden, second)
            u = torch.cat([u, v, (u - v).abs(), u * v], dim=1)
        features.append(u)
        targets.append(batch.target)
    return torch.cat(features), torch.cat(targets)


def _mean(hidden: Tensor, mask: Tensor) -> Tensor:
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)


# ---- three ways, and how good they are with few examples


def three_ways(
    bert: BERT, tokenizer: Any, data: Any, *, test_size: int = 400, batch_size: int = 16,
    scratch_rate: float = 1e-3, **recipe: Any,
) -> dict[str, Callable[[int, int], float]]:  # fmt: skip
    """From scratch, frozen, and pre-trained: `train_and_score(size, seed)` of each.

    Parameters
    ----------
    bert : BERT
        Pre-trained; it stays as it is. "from scratch" has its sizes and new weights.
    tokenizer : WordPieceTokenizer
    data : LabelledData
        `draw(size, seed)` gives the training examples: the same ones for each way.
    test_size : int
        The first so many examples of `data.test` are scored.
    batch_size : int
    scratch_rate : float
        Peak learning rate of "from scratch".
    **recipe
        Of `train_on_labels`.
    """
    pad_id, longest = tokenizer.special_tokens["[PAD]"], bert.config.block_size
    head = BERTForTokens if data.labels_words else BERTForSequences

    def batches(examples: Sequence[Any], seed: int | None = None) -> LabelledBatches:
        encoded = encode_examples(tokenizer, examples, longest)
        return LabelledBatches(encoded, batch_size if seed is not None else 64, pad_id, seed)

    test = batches(data.test[:test_size])
    kept: list[Any] = []  # features of the test examples: the same for every draw

    def frozen(size: int, seed: int) -> float:
        if not kept:
            kept.append(text_features(bert.encoder, test))
        train = text_features(bert.encoder, batches(data.draw(size, seed)))
        return _score(linear_probe(train, kept[0]), kept[0][1], data.labels_words)

    def trained(size: int, seed: int, *, scratch: bool) -> float:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            start = BERT(bert.config) if scratch else copy.deepcopy(bert)
            model = head(start, len(data.label_names))
        rate = {"learning_rate": scratch_rate} if scratch else {}
        train_on_labels(model, batches(data.draw(size, seed), seed), seed=seed, **(recipe | rate))
        return score_labels(model, test)

    return {
        "from scratch": lambda size, seed: trained(size, seed, scratch=True),
        "frozen": frozen,
        "pre-trained": lambda size, seed: trained(size, seed, scratch=False),
    }
