"""From sentences to sentences: a translation model together with its two tokenizers.

Works with any model that has `forward(source, source_mask, target_input) -> (logits, weights)`,
with `need_weights=True` where its attention is looked at, and
`generate(source, source_mask, max_length=, num_beams=, length_penalty=)`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_utils.batching import LengthBatches, PairBatch, pair_batch
from course_utils.metrics import bleu, exact_match
from course_utils.tokenizers import BOS, EOS, PAD, WordTokenizer, normalize


@runtime_checkable
class Pair(Protocol):
    """A sentence and its translation."""

    source: str
    target: str


class Translator:
    """A model and the tokenizers that it was trained with.

    Parameters
    ----------
    model : nn.Module
        See the module's header.
    source_tokenizer, target_tokenizer : WordTokenizer

    batch_size : int
        Sentences that are translated at once.
    """

    def __init__(
        self,
        model: nn.Module,
        source_tokenizer: WordTokenizer,
        target_tokenizer: WordTokenizer,
        *,
        batch_size: int = 256,
    ) -> None:
        self.model, self.batch_size = model, batch_size
        self.source_tokenizer, self.target_tokenizer = source_tokenizer, target_tokenizer

    def batch(self, pairs: Sequence[Pair]) -> PairBatch:
        """One batch of pairs, on the model's device."""
        encoded = encode_pairs(pairs, self.source_tokenizer, self.target_tokenizer)
        batch = pair_batch(encoded, bos_id=BOS, eos_id=EOS, pad_id=PAD)
        return batch.to(next(self.model.parameters()).device)

    def translate(
        self,
        sentences: Sequence[str],
        *,
        num_beams: int = 1,
        length_penalty: float = 0.0,
        max_length: int | None = None,
    ) -> list[str]:
        """Translate sentences.

        Parameters
        ----------
        sentences : sequence of str
            Any text; it is normalised first.
        num_beams, length_penalty
            See `course_utils.decoding.beam_search`.
        max_length : int, optional
            Most tokens of a translation; by default 10 more than twice its source.

        Raises
        ------
        ValueError
            When a sentence is empty; the message says which.

        Warns
        -----
        UserWarning
            When words are not in the vocabulary: it names and counts them.
        """
        if isinstance(sentences, str):
            raise TypeError("give a list of sentences: [sentence]")
        sentences = [normalize(sentence) for sentence in sentences]
        if empty := [number for number, sentence in enumerate(sentences) if not sentence]:
            raise ValueError(f"sentence {empty[0]} is empty: there is nothing to translate")
        self._warn_of_unknown(sentences)
        order = sorted(range(len(sentences)), key=lambda index: len(sentences[index].split()))
        found: dict[int, str] = {}
        self.model.eval()
        for first in range(0, len(order), self.batch_size):
            rows = order[first : first + self.batch_size]
            batch = self.batch([_Source(sentences[row]) for row in rows])
            limits = [2 * len(sentences[row].split()) + 10 for row in rows]
            limits = limits if max_length is None else [max_length] * len(rows)
            best = self.model.generate(
                batch.source,
                batch.source_mask,
                max_length=max(limits),
                num_beams=num_beams,
                length_penalty=length_penalty,
            )
            for row, ids, limit in zip(rows, best.ids, limits, strict=True):
                # Cut at the sentence's own limit: the same alone and beside longer ones.
                found[row] = self.target_tokenizer.decode(ids[:limit])
        return [found[row] for row in range(len(sentences))]

    def _warn_of_unknown(self, sentences: Sequence[str]) -> None:
        if unknown := self.source_tokenizer.unknown(sentences):
            words = ", ".join(f"{word!r} ({count})" for word, count in unknown.most_common(5))
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            warnings.warn(f"not in the vocabulary, read as <unk>: {words}{more}", stacklevel=3)

    def score(self, pairs: Sequence[Pair], **search) -> dict[str, float]:
        """Translate the sources and compare with the targets.

        Pairs with the same source count as one sentence with several references.

        Returns
        -------
        dict
            "bleu" (0 to 100) and "exact" (share of sentences that equal a reference, 0 to 1).
        """
        references: dict[str, list[str]] = {}
        for pair in pairs:
            references.setdefault(pair.source, []).append(pair.target)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # unknown words of a test set are part of its score
            found = self.translate(list(references), **search)
        several = list(references.values())
        return {"bleu": bleu(found, several), "exact": exact_match(found, several)}

    @torch.no_grad()
    def loss(self, pairs: Sequence[Pair]) -> float:
        """Mean cross-entropy of the right next word under teacher forcing, nats per token.

        Raises
        ------
        ValueError
            When there are no pairs.
        """
        if not pairs:
            raise ValueError("there are no pairs to take the loss of")
        total, count = 0.0, 0
        for batch, logits, _ in self._teacher_forced(pairs):
            mask = batch.output_mask
            total += nn.functional.cross_entropy(
                logits[mask], batch.target_output[mask], reduction="sum"
            ).item()
            count += int(mask.sum())
        return total / count

    @torch.no_grad()
    def attentions(self, pairs: Sequence[Pair]) -> list[Tensor]:
        """Attention of pairs under teacher forcing.

        Returns
        -------
        list of Float "T S"
            For each pair one row per word of the target and one for the end token, one column
            per word of the source.

        Raises
        ------
        ValueError
            When the model has no attention.
        """
        found: list[Tensor] = []
        for batch, _, weights in self._teacher_forced(pairs, need_weights=True):
            if weights is None:
                raise ValueError("this model has no attention to look at")
            sizes = zip(
                batch.output_mask.sum(1).tolist(), batch.source_mask.sum(1).tolist(), strict=True
            )
            found += [row[:t, :s].cpu() for row, (t, s) in zip(weights, sizes, strict=True)]
        return found

    def _teacher_forced(
        self, pairs: Sequence[Pair], **options: bool
    ) -> Iterator[tuple[PairBatch, Tensor, Tensor | None]]:
        """Each batch of pairs with the logits and the attention that the model gives it."""
        self.model.eval()
        for first in range(0, len(pairs), self.batch_size):
            batch = self.batch(pairs[first : first + self.batch_size])
            yield batch, *self.model(batch.source, batch.source_mask, batch.target_input, **options)

    def attention(self, source: str, target: str) -> Float[Tensor, "T S"]:
        """Attention of one pair of texts; see `attentions`."""
        return self.attentions([_Source(normalize(source), normalize(target))])[0]

    @torch.no_grad()
    def head_attention(self, source: str, target: str) -> tuple[Float[Tensor, "L H Q K"], ...]:
        """Attention of every layer and head, for one pair of texts.

        Returns
        -------
        named tuple of Float "L H Q K"
            What the model's `attentions` gives, without the batch's axis. A row of the decoder
            stands for the word that is written next, the last one for the end token; a column of
            its self-attention for a word that was read, the first one for the begin token.

        Raises
        ------
        ValueError
            When the model has no heads.
        """
        if not hasattr(self.model, "attentions"):
            raise ValueError("this model has no heads to look at; see `attention`")
        self.model.eval()
        batch = self.batch([_Source(normalize(source), normalize(target))])
        found = self.model.attentions(batch.source, batch.source_mask, batch.target_input)
        return type(found)(*(weights[0].cpu() for weights in found))


class _Source:
    """A pair, or a sentence that has no translation yet."""

    def __init__(self, source: str, target: str = "") -> None:
        self.source, self.target = source, target


def encode_pairs(
    pairs: Sequence[Pair], source_tokenizer: WordTokenizer, target_tokenizer: WordTokenizer
) -> list[tuple[list[int], list[int]]]:
    """Ids of both sides of pairs, without begin and end."""
    return [
        (source_tokenizer.encode(pair.source), target_tokenizer.encode(pair.target))
        for pair in pairs
    ]


def length_batches(
    pairs: Sequence[Pair],
    source_tokenizer: WordTokenizer,
    target_tokenizer: WordTokenizer,
    batch_size: int,
    *,
    seed: int = 0,
) -> LengthBatches:
    """Training batches of pairs, by source length."""
    encoded = encode_pairs(pairs, source_tokenizer, target_tokenizer)
    return LengthBatches(encoded, batch_size, seed=seed, bos_id=BOS, eos_id=EOS, pad_id=PAD)
