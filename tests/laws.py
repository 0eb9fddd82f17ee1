"""The registry of models that must obey the common laws; a model joins by one line.

Those that write join in `WRITERS`, those that only read in `READERS`, those that look at
pictures in `VIEWERS`.

A case knows how its kind of model is fed. Rows are plain lists of ids, so that a law can say "the
same row, alone, or in a batch, or with junk in its padding" without knowing the model.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from helpers import shake
from torch import Tensor, nn

import course_utils.models
from course_utils.batching import pad
from course_utils.decoding import Hypotheses
from course_utils.masks import padding_mask
from course_utils.models.bert import BERT, BERTConfig
from course_utils.models.bert_heads import BERTForSequences, BERTForTokens
from course_utils.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from course_utils.models.gpt import GPT, GPTConfig
from course_utils.models.seq2seq import Seq2Seq, Seq2SeqConfig
from course_utils.models.vit import ViT, ViTConfig

VOCAB = 11
LONGEST_TABLE = 12  # of positions
GPT_BLOCK = 15  # source, begin token and what is written
Row = tuple[list[int], list[int]]  # source ids, target ids that begin with the begin token
ROWS: list[Row] = [
    ([4, 5, 6, 7, 8], [1, 5, 4]),
    ([9], [1, 10, 3, 3, 6, 7]),
    ([5, 5, 10], [1]),
    ([8, 3, 4, 9], [1, 9, 8, 7]),
]


@dataclass(frozen=True)
class TranslatorCase:
    """A model with `encode`, `decode`, `forward(source, source_mask, target_input)`, `generate`."""

    model_class: type[nn.Module]
    make: Callable[[float], nn.Module]  # dropout -> a small model
    need_weights: bool = True  # look at the attention too

    def model(self, seed: int = 0, dropout: float = 0.0) -> nn.Module:
        """A random model, its terms all of one size, in evaluation mode and double precision."""
        return shake(self.make(dropout), seed, std=1.0).double().eval()

    def inputs(
        self, rows: list[Row], *, extra: int = 0, junk: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Source, mask and target input with `extra` more padding; `junk` stands in all padding."""
        source, lengths = pad([source for source, _ in rows], junk)
        target, _ = pad([target for _, target in rows], junk)
        source, target = (
            nn.functional.pad(ids, (0, extra), value=junk) for ids in (source, target)
        )
        return source, padding_mask(lengths, source.shape[1]), target

    def unread(self, parameter: str) -> set[int]:
        """Rows of a parameter that `ROWS` cannot reach: source words that do not occur."""
        seen = {word for source, _ in ROWS for word in source}
        return set(range(VOCAB)) - seen if parameter == "source_embedding.weight" else set()

    def run(self, model: nn.Module, rows: list[Row], **padding: int) -> list[tuple[Tensor, ...]]:
        """For each row the logits, and the attention where there is one, of its real positions."""
        logits, weights = model(*self.inputs(rows, **padding), need_weights=self.need_weights)
        found = []
        for index, (source, target) in enumerate(rows):
            row = (logits[index, : len(target)],)
            if weights is not None:
                assert not weights[index, :, len(source) :].any(), "padding is attended to"
                row += (weights[index, : len(target), : len(source)],)
            found.append(row)
        return found

    def generate(
        self, model: nn.Module, rows: list[Row], *, extra=0, junk=0, **search
    ) -> Hypotheses:
        """What the model writes for the sources of rows."""
        source, mask, _ = self.inputs(rows, extra=extra, junk=junk)
        return model.generate(source, mask, **search)

    def run_stepwise(self, model: nn.Module, rows: list[Row]) -> list[tuple[Tensor, ...]]:
        """As `run`, one target word at a time, with the state carried along."""
        source, mask, target = self.inputs(rows)
        memory, state = model.encode(source, mask)
        steps = []
        for word in target.unbind(dim=1):
            logits, state, weights = model.decode(word[:, None], state, memory)
            steps.append((logits,) if weights is None else (logits, weights))
        parts = [torch.cat(part, dim=1) for part in zip(*steps, strict=True)]
        widths = [[None, len(source)] for source, _ in rows]
        return [
            tuple(p[i, : len(rows[i][1]), :w] for p, w in zip(parts, widths[i], strict=False))
            for i in range(len(rows))
        ]


class TransformerCase(TranslatorCase):
    """An `EncoderDecoder`, whose state is a cache."""

    def unread(self, parameter: str) -> set[int]:
        """Also positions behind the longest row, and target words that are only read.

        A key's bias adds the same to all scores of a query, which the softmax takes away again.
        """
        if parameter.endswith("key.bias"):
            return set(range(VOCAB))
        if parameter in ("source_positions.weight", "target_positions.weight"):
            side = parameter.startswith("target")
            return set(range(max(len(row[side]) for row in ROWS), LONGEST_TABLE))
        if parameter == "target_embedding.weight" and self.make(0.0).config.tie is None:
            return set(range(VOCAB)) - {word for _, target in ROWS for word in target}
        return super().unread(parameter)

    def run_stepwise(self, model: nn.Module, rows: list[Row]) -> list[tuple[Tensor, ...]]:
        """As `run`, one target word at a time, with the cache carried along."""
        source, mask, target = self.inputs(rows)
        memory, cache, options = model.encode(source, mask), model.new_cache(), {}
        options["need_weights"] = self.need_weights
        steps = [model.decode(word, memory, cache, **options) for word in target.split(1, dim=1)]
        found = []
        for index, (source, target) in enumerate(rows):
            logits = torch.cat([logits for logits, _ in steps], dim=1)
            row = (logits[index, : len(target)],)
            if self.need_weights:
                weights = torch.cat([weights for _, weights in steps], dim=1)
                row += (weights[index, : len(target), : len(source)],)
            found.append(row)
        return found


@dataclass(frozen=True)
class GPTCase(TranslatorCase):
    """A `GPT`, for which a source is the beginning of its text, and the target what comes next."""

    left: bool = False  # the side of the padding

    def inputs(self, rows: list[Row], *, extra: int = 0, junk: int = 0) -> tuple[Tensor, Tensor]:
        """Ids and mask of source and target behind each other."""
        texts = [source + target for source, target in rows]
        ids, lengths = pad([text[::-1] if self.left else text for text in texts], junk)
        ids = nn.functional.pad(ids, (0, extra), value=junk)
        mask = padding_mask(lengths, ids.shape[1])
        return (ids.flip(1), mask.flip(1)) if self.left else (ids, mask)

    def unread(self, parameter: str) -> set[int]:
        """As of a transformer; every word's vector is read, for it is the output layer, too."""
        if parameter.endswith("key.bias"):
            return set(range(VOCAB))
        longest = max(len(source + target) for source, target in ROWS)
        return set(range(longest, GPT_BLOCK)) if parameter == "positions.weight" else set()

    def pick(self, parts: list[Tensor], rows: list[Row], mask: Tensor) -> list[tuple[Tensor, ...]]:
        """For each row the logits of its target's positions."""
        return [
            (logits[real][-len(target) :],)
            for logits, real, (_, target) in zip(parts, mask, rows, strict=True)
        ]

    def run(self, model: nn.Module, rows: list[Row], **padding: int) -> list[tuple[Tensor, ...]]:
        """For each row the logits of its target's positions."""
        ids, mask = self.inputs(rows, **padding)
        return self.pick(model(ids, mask=mask), rows, mask)

    def run_stepwise(self, model: nn.Module, rows: list[Row]) -> list[tuple[Tensor, ...]]:
        """As `run`, one token at a time, with the cache carried along."""
        (ids, mask), cache = self.inputs(rows), model.new_cache()
        steps = [
            model(ids[:, t : t + 1], mask=mask[:, : t + 1], cache=cache)
            for t in range(ids.shape[1])
        ]
        return self.pick(torch.cat(steps, dim=1), rows, mask)

    def generate(
        self, model: nn.Module, rows: list[Row], *, extra=0, junk=0, max_length, **search
    ) -> Hypotheses:
        """What the model writes after the source and the begin token."""
        beginnings = [(source, [1]) for source, _ in rows]
        ids, mask = self.inputs(beginnings, extra=extra, junk=junk)
        return model.generate(ids, max_length, mask=mask, eos_id=2, **search)


@dataclass(frozen=True)
class BERTCase:
    """A `BERT`, or a part of it, which reads source and target as a pair of sentences."""

    model_class: type[nn.Module]
    make: Callable[[float], nn.Module]  # dropout -> a small model
    model = TranslatorCase.model

    def unread(self, parameter: str) -> set[int]:
        """Keys' biases, as of a transformer; words and positions that do not occur."""
        if parameter.endswith("key.bias"):
            return set(range(VOCAB))
        if parameter == "encoder.words.weight" and self.model_class is BERT:
            return set()  # it is the output layer, too
        if parameter.endswith("words.weight"):
            return set(range(VOCAB)) - {word for row in ROWS for part in row for word in part}
        longest = max(len(source + target) for source, target in ROWS)
        return set(range(longest, GPT_BLOCK)) if parameter.endswith("positions.weight") else set()

    def run(
        self, model: nn.Module, rows: list[Row], *, extra: int = 0, junk: int = 0
    ) -> list[tuple[Tensor, ...]]:
        """For each row what is said of its tokens, or of the whole, and the attention."""
        ids, lengths = pad([source + target for source, target in rows], junk)
        ids = nn.functional.pad(ids, (0, extra), value=junk)
        mask = padding_mask(lengths, ids.shape[1])
        after_source = torch.arange(ids.shape[1]) >= torch.tensor([[len(s)] for s, _ in rows])
        inputs = ids, after_source.long() if junk else (after_source & mask).long(), mask
        said = model(*inputs)
        if self.model_class is BERT:  # each token's word, and beside it what is said of the pair
            pairs = said.nsp_logits[:, None].expand(-1, ids.shape[1], -1)
            said = torch.cat([said.mlm_logits, pairs], dim=-1)
        if said.ndim == 2:
            return [(row[None],) for row in said]
        weights = getattr(model, "encoder", model).attentions(*inputs)
        found = []
        for row, weight, n in zip(said, weights, lengths.tolist(), strict=True):
            assert not weight[..., n:].any(), "padding is attended to"
            found.append((row[:n], weight[..., :n, :n].flatten(0, 2)))
        return found


@dataclass(frozen=True)
class ViTCase:
    """A `ViT`, for which a row is a grey picture: the source above, the target below."""

    model_class: type[nn.Module]
    make: Callable[[float], nn.Module]  # dropout -> a small model
    model = TranslatorCase.model

    def unread(self, parameter: str) -> set[int]:
        """Keys' biases, as of a transformer."""
        return set(range(VOCAB)) if parameter.endswith("key.bias") else set()

    def run(self, model: nn.Module, rows: list[Row], *, extra: int = 0) -> list[tuple[Tensor, ...]]:
        """For each row the logits, and the attention. A picture has no padding: `extra` is none."""
        pictures = torch.zeros(len(rows), 2, 8, dtype=torch.float64)
        for picture, row in zip(pictures, rows, strict=True):
            for half, ids in zip(picture, row, strict=True):
                half[: len(ids)] = torch.tensor(ids) / VOCAB
        pictures = pictures.view(-1, 1, 4, 4)
        both = zip(model(pictures), model.attentions(pictures), strict=True)
        return [(logits[None], weights.flatten(0, 2)) for logits, weights in both]


def vit(**choices: Any) -> ViTCase:
    """A case of `ViT` with these choices."""
    sizes = {"image_size": 4, "patch_size": 2, "channels": 1, "num_classes": VOCAB}
    config = sizes | {"num_layers": 2, "num_heads": 2, "d_model": 8, "d_ff": 10} | choices
    return ViTCase(ViT, lambda dropout: ViT(ViTConfig(**config, dropout=dropout)))


def bert(head: Callable[[BERT], nn.Module] = lambda model: model, **choices: Any) -> BERTCase:
    """A case of `BERT` with these choices, or of what `head` makes of one."""
    sizes = {"vocab_size": VOCAB, "block_size": GPT_BLOCK, "num_layers": 2, "num_heads": 2}
    config = sizes | {"d_model": 8, "d_ff": 10} | choices

    def make(dropout: float) -> nn.Module:
        return head(BERT(BERTConfig(**config, dropout=dropout)))

    return BERTCase(type(make(0.0)), make)


def gpt(*, left: bool, **choices: Any) -> GPTCase:
    """A case of `GPT` with these choices, padded on the left or on the right."""
    sizes = {"vocab_size": VOCAB, "block_size": GPT_BLOCK, "num_layers": 2, "num_heads": 2}
    config = sizes | {"d_model": 8, "d_ff": 10} | choices
    return GPTCase(GPT, lambda dropout: GPT(GPTConfig(**config, dropout=dropout)), left=left)


def transformer(*, need_weights: bool = True, **choices: Any) -> TransformerCase:
    """A case of `EncoderDecoder` with these choices."""
    sizes = {"source_vocab": VOCAB, "target_vocab": VOCAB, "d_model": 8, "num_heads": 2, "d_ff": 10}
    # A ReLU that is never awake would get no gradient.
    config = sizes | {"max_length": LONGEST_TABLE, "activation": "gelu"} | choices
    return TransformerCase(
        EncoderDecoder,
        lambda dropout: EncoderDecoder(EncoderDecoderConfig(**config, dropout=dropout)),
        need_weights,
    )


def seq2seq(**choices: Any) -> TranslatorCase:
    """A case of `Seq2Seq` with these choices."""
    sizes = {"source_vocab": VOCAB, "target_vocab": VOCAB, "d_embedding": 5, "d_encoder": 3}
    config = sizes | {"d_hidden": 6} | choices
    return TranslatorCase(
        Seq2Seq, lambda dropout: Seq2Seq(Seq2SeqConfig(**config, dropout=dropout))
    )


WRITERS: dict[str, TranslatorCase] = {
    "seq2seq bahdanau additive": seq2seq(order="bahdanau", attention="additive"),
    "seq2seq bahdanau bilinear": seq2seq(order="bahdanau", attention="bilinear"),
    "seq2seq bahdanau dot": seq2seq(order="bahdanau", attention="dot"),
    "seq2seq luong additive": seq2seq(order="luong", attention="additive"),
    "seq2seq luong bilinear": seq2seq(order="luong", attention="bilinear"),
    "seq2seq luong dot": seq2seq(order="luong", attention="dot"),
    "seq2seq without attention": seq2seq(order="luong", attention=None),
    "transformer pre": transformer(norm="pre"),
    "transformer post": transformer(norm="post"),
    "transformer pre, learned, fused": transformer(positions="learned", need_weights=False),
    "transformer post, learned, tied": transformer(norm="post", positions="learned", tie="all"),
    "transformer gelu, untied, deep": transformer(
        activation="gelu", tie=None, num_encoder_layers=3
    ),
    "gpt, padded left": gpt(left=True),
    "gpt, padded right, deep": gpt(left=False, num_layers=3, num_heads=4),
}
READERS: dict[str, BERTCase] = {
    "bert": bert(),
    "bert, rotary, deep": bert(positions="rotary", num_layers=3),
    "bert without heads": bert(lambda model: model.encoder),
    "bert for sequences": bert(lambda model: BERTForSequences(model, VOCAB)),
    "bert for tokens": bert(lambda model: BERTForTokens(model, VOCAB)),
}
VIEWERS: dict[str, ViTCase] = {
    "vit": vit(),
    "vit, mean of patches of one pixel, deep": vit(pool="mean", patch_size=1, num_layers=3),
    "deit": vit(distilled=True),
}
PADDED: dict[str, TranslatorCase | BERTCase] = WRITERS | READERS
MODELS: dict[str, TranslatorCase | BERTCase | ViTCase] = PADDED | VIEWERS


def package_models() -> set[type[nn.Module]]:
    """Every public module class that a file of `course_utils.models` defines."""
    found = set()
    for info in pkgutil.iter_modules(course_utils.models.__path__):
        module = importlib.import_module(f"course_utils.models.{info.name}")
        for name, thing in vars(module).items():
            own = isinstance(thing, type) and thing.__module__ == module.__name__
            if own and issubclass(thing, nn.Module) and not name.startswith("_"):
                found.add(thing)
    return found


def unregistered(classes: set[type[nn.Module]]) -> set[str]:
    """Names of those classes that no case in `MODELS` stands for."""
    return {c.__name__ for c in classes - {case.model_class for case in MODELS.values()}}
