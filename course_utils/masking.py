"""Gaps in a text, for a model that learns to fill them: BERT's masked words.

Of the ordinary tokens 15 % are chosen. The model has to say which tokens stood there; it reads
[MASK] in the place of 80 % of them, another token in the place of 10 %, and the rest as they are.
With pairs it has to say, too, whether the second part follows the first one in its document.
Source: Devlin et al. 2019, BERT, section 3.1 and appendix A.1; windows of running text, with a
separator between documents, as in Liu et al. 2019, RoBERTa, section 4.2 (FULL-SENTENCES).

Axis letters: B batch, T length, N tokens of a text.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn import functional as F

from course_utils.batching import TokenWindows, pad
from course_utils.masks import padding_mask
from course_utils.sentences import SentencePair, Sentences, sentence_pairs


def mask_tokens(
    ids: Int[Tensor, "*N"],
    *,
    mask_id: int,
    vocab_size: int,
    special_ids: Iterable[int],
    share: float = 0.15,
    mask_share: float = 0.8,
    random_share: float = 0.1,
    generator: torch.Generator | None = None,
) -> tuple[Int[Tensor, "*N"], Bool[Tensor, "*N"]]:
    """Hide tokens: each ordinary one with the probability `share`, whatever the others do.

    Parameters
    ----------
    ids : Int, any shape
        Left as they are.
    mask_id : int
        [MASK].
    vocab_size : int
        V; ids are 0 to V - 1.
    special_ids : iterable of int
        Tokens that are never chosen: [CLS], [SEP], [PAD] ... They never come in for another one.
    share : float
        Above 0 to 1: chosen ones among the ordinary tokens.
    mask_share, random_share : float
        Of the chosen ones: those that become [MASK], and those that become an ordinary token, each
        with equal probability (BERT's own code draws special tokens, too). The others stay.
    generator : torch.Generator, optional
        Seeds the choice.

    Returns
    -------
    masked : Int, as `ids`
        What the model reads.
    places : Bool, as `ids`
        True = chosen; `ids[places]` are the answers. If chance chooses none, one is chosen evenly.

    Raises
    ------
    ValueError
        When a share is out of range, an id is not in the vocabulary, or no token is ordinary.

    Examples
    --------
    >>> ids = torch.tensor([[2, 7, 8, 9, 3]])
    >>> choices = {"mask_id": 4, "vocab_size": 10, "special_ids": range(5)}
    >>> masked, places = mask_tokens(ids, **choices, share=1.0, mask_share=1.0, random_share=0.0)
    >>> masked.tolist(), ids[places].tolist()
    ([[2, 4, 4, 4, 3]], [7, 8, 9])
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is above 0 and 1 at most, got {share}")
    if min(mask_share, random_share) < 0 or mask_share + random_share > 1:
        raise ValueError(
            "mask_share and random_share are 0 or more and 1 together at most, "
            f"got {mask_share} and {random_share}"
        )
    flat, ordinary = (
        ids.flatten(),
        _ordinary_ids(vocab_size, {*special_ids, mask_id}).to(ids.device),
    )
    _check_ids(flat, vocab_size)
    draw = {"generator": generator, "device": ids.device}
    # One number a token decides everything: below `share` it is chosen, and how far, what comes.
    chance = torch.rand(len(flat), **draw)
    chosen = (chance < share).nonzero().flatten()
    chosen = chosen[ordinary[flat[chosen]]]
    if not len(chosen):
        candidates = ordinary[flat].nonzero().flatten()
        if not len(candidates):
            raise ValueError(f"there is no ordinary token to hide among {len(flat)} tokens")
        chosen = candidates[torch.randint(len(candidates), (1,), **draw)]
        chance[chosen] = share * torch.rand(1, **draw)
    way, words = chance[chosen] / share, ordinary.nonzero().flatten()
    other = words[torch.randint(len(words), way.shape, **draw)].to(ids.dtype)
    read = torch.where(way < mask_share + random_share, other, flat[chosen])
    masked, places = flat.clone(), torch.zeros_like(flat, dtype=torch.bool)
    masked[chosen], places[chosen] = read.masked_fill(way < mask_share, mask_id), True
    return masked.view(ids.shape), places.view(ids.shape)


def _ordinary_ids(vocab_size: int, special_ids: set[int]) -> Bool[Tensor, " V"]:
    if wrong := [index for index in special_ids if not 0 <= index < vocab_size]:
        raise ValueError(f"special ids are 0 to {vocab_size - 1}, as all ids, got {wrong[0]}")
    ordinary = torch.ones(vocab_size, dtype=torch.bool)
    ordinary[list(special_ids)] = False
    return ordinary


def _check_ids(ids: Tensor, vocab_size: int) -> None:
    low, high = ids.aminmax() if len(ids) else (0, 0)
    if low < 0 or high >= vocab_size:
        raise ValueError(f"ids are 0 to {vocab_size - 1}, got {int(low)} to {int(high)}")


class MaskedBatch(NamedTuple):
    """Texts with gaps, and what stood there.

    Attributes
    ----------
    ids : Int "B T"
        What the model reads.
    places : Bool "B T"
        True = the model is asked which token stood here.
    target : Int "B T"
        The texts without gaps.
    segment_ids : Int "B T", optional
        For pairs of sentences: 0 for the first, 1 for the second.
    padding_mask : Bool "B T", optional
        True = a real token; None where there is no padding.
    unrelated : Int "B", optional
        For pairs: 0 where the second sentence follows the first, 1 where it comes from elsewhere.
    """

    ids: Int[Tensor, "B T"]
    places: Bool[Tensor, "B T"]
    target: Int[Tensor, "B T"]
    segment_ids: Int[Tensor, "B T"] | None = None
    padding_mask: Bool[Tensor, "B T"] | None = None
    unrelated: Int[Tensor, " B"] | None = None


class MaskedWindows:
    """Batches of windows of a long text, [CLS] ... [SEP], cut and masked anew in each epoch.

    The windows are those of `batching.TokenWindows`, two tokens shorter: no padding, every position
    is used. Order and masks depend on `seed` and on the epoch only.

    Parameters
    ----------
    ids : Int "N"
        The text; `batching.join_documents(documents, sep_id)` puts [SEP] between documents.
    block_size : int
        T, tokens of a window with its [CLS] and [SEP], 3 or more.
    batch_size : int
        B, windows in a batch.
    cls_id, sep_id : int
        [CLS] and [SEP].
    seed : int
        Seeds order and masks.
    **masking
        As in `mask_tokens`: `mask_id`, `vocab_size`, `special_ids` (with `cls_id` and `sep_id`,
        which are never masked), and the shares.

    Raises
    ------
    ValueError
        When a size is too small, the text too short for one batch, or as in `mask_tokens`.

    Examples
    --------
    >>> choices = {"mask_id": 4, "vocab_size": 40, "special_ids": range(5)}
    >>> batches = MaskedWindows(torch.arange(5, 40), 6, 2, cls_id=2, sep_id=3, **choices)
    >>> batch = next(iter(batches))
    >>> len(batches), batch.target[0].tolist(), bool(batch.places.any())
    (4, [2, 37, 38, 39, 5, 3], True)
    """

    def __init__(
        self,
        ids: Int[Tensor, " N"],
        block_size: int,
        batch_size: int,
        *,
        cls_id: int,
        sep_id: int,
        seed: int = 0,
        **masking: Any,
    ) -> None:
        if block_size < 3:
            raise ValueError(f"a window has [CLS], [SEP] and a token: 3 or more, got {block_size}")
        self.windows = TokenWindows(ids, block_size - 2, batch_size, seed=seed)
        masking["special_ids"] = {*masking.get("special_ids", ()), cls_id, sep_id}
        mask_tokens(ids, **masking, generator=torch.Generator())  # errors come now
        self.cls_id, self.sep_id, self.seed, self.masking = cls_id, sep_id, seed, masking

    def set_epoch(self, epoch: int) -> None:
        """Choose order and masks of the next pass."""
        self.windows.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.windows)

    def __iter__(self) -> Iterator[MaskedBatch]:
        generator = _random_numbers(self.seed, self.windows.epoch)
        for window in self.windows:
            target = F.pad(
                F.pad(window[:, :-1], (1, 0), value=self.cls_id), (0, 1), value=self.sep_id
            )
            ids, places = mask_tokens(target, **self.masking, generator=generator)
            yield MaskedBatch(ids, places, target)


def _random_numbers(seed: int, epoch: int) -> torch.Generator:
    """For the masks of one pass: other numbers than those of the order."""
    return torch.Generator().manual_seed((1 << 40) + seed * 1_000_003 + epoch)


class MaskedPairs:
    """Batches of pairs, [CLS] ... [SEP] ... [SEP], built, masked and ordered anew in each epoch.

    Parameters
    ----------
    documents : sequence of sequences of sentences
        As in `sentence_pairs`.
    block_size : int
        T at most, with [CLS] and twice [SEP]; 5 or more.
    batch_size : int
        B; the last batch may be smaller.
    cls_id, sep_id, pad_id : int
    seed : int
        Seeds everything, together with the epoch.
    **masking
        As in `MaskedWindows`.

    Raises
    ------
    ValueError
        As in `sentence_pairs` and in `mask_tokens`, and when the batch size is below 1.

    References
    ----------
    Devlin et al. 2019, section 3.1.
    """

    def __init__(
        self,
        documents: Sequence[Sentences],
        block_size: int,
        batch_size: int,
        *,
        cls_id: int,
        sep_id: int,
        pad_id: int,
        seed: int = 0,
        **masking: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is 1 or more, got {batch_size}")
        self.documents, self.max_tokens, self.batch_size = documents, block_size - 3, batch_size
        self.cls_id, self.sep_id, self.pad_id, self.seed = cls_id, sep_id, pad_id, seed
        masking["special_ids"] = {*masking.get("special_ids", ()), cls_id, sep_id, pad_id}
        self.masking, self.epoch = masking, 0
        # Their number is the same in each epoch. Errors come now.
        self.count = len(sentence_pairs(documents, self.max_tokens, random.Random(0)))
        every = torch.tensor([index for text in documents for part in text for index in part])
        mask_tokens(every, **masking, generator=torch.Generator())

    def set_epoch(self, epoch: int) -> None:
        """Choose pairs, order and masks of the next pass."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-self.count // self.batch_size)

    def __iter__(self) -> Iterator[MaskedBatch]:
        numbers = random.Random(self.seed * 1_000_003 + self.epoch)
        generator = _random_numbers(self.seed, self.epoch)
        pairs = sentence_pairs(self.documents, self.max_tokens, numbers)
        numbers.shuffle(pairs)
        for begin in range(0, len(pairs), self.batch_size):
            yield self._batch(pairs[begin : begin + self.batch_size], generator)

    def _batch(self, pairs: list[SentencePair], generator: torch.Generator) -> MaskedBatch:
        firsts = [[self.cls_id, *pair.first, self.sep_id] for pair in pairs]
        rows = [[*a, *pair.second, self.sep_id] for a, pair in zip(firsts, pairs, strict=True)]
        target, lengths = pad(rows, self.pad_id)
        mask = padding_mask(lengths)
        ids, places = mask_tokens(target, **self.masking, generator=generator)
        segments = mask & ~padding_mask(torch.tensor([*map(len, firsts)]), target.shape[1])
        unrelated = torch.tensor([int(pair.unrelated) for pair in pairs])
        return MaskedBatch(ids, places, target, segments.long(), mask, unrelated)
