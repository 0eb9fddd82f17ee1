"""What a byte-level vocabulary must be, so that every text can be written and none is mistaken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from course_utils.tokenizers.merging import Pair
from course_utils.tokenizers.pretokens import BYTE_TOKENS, to_symbols


def check_vocabulary(vocab: Mapping[int, bytes], ids: Mapping[bytes, int]) -> None:
    """The ids are numbers, no token is there twice, and no byte is missing."""
    if wrong := [index for index in vocab if type(index) is not int or index < 0]:
        raise ValueError(f"the id {wrong[0]!r} of the token {vocab[wrong[0]]!r} is no id")
    if len(ids) < len(vocab):
        twice = next(token for index, token in vocab.items() if ids[token] != index)
        raise ValueError(f"the token {twice!r} has two ids")
    if missing := [token for token in BYTE_TOKENS if token not in ids]:
        raise ValueError(
            f"the vocabulary lacks {len(missing)} of the 256 bytes, such as {missing[0]!r}: some "
            "texts could not be written in it"
        )


def check_special_tokens(specials: Mapping[str, int], vocab: Mapping[int, bytes]) -> None:
    """Ordinary text must not be able to make a special token's id."""
    if len(set(specials.values())) < len(specials) or set(specials.values()) & set(vocab):
        raise ValueError(f"a special token's id is taken by another token: {dict(specials)}")
    ordinary = {to_symbols(token) for token in vocab.values()} if specials else ()
    for text in specials:
        if not text:
            raise ValueError("a special token is empty: give it a text, such as '<end>'")
        if text in ordinary:
            raise ValueError(
                f"the special token {text!r} is an ordinary token, too: any text could hold it. "
                f"Choose one that no word looks like, such as '<|{text}|>'"
            )


def merge_ranks(
    merges: Iterable[tuple[bytes, bytes]], ids: Mapping[bytes, int]
) -> dict[Pair, tuple[int, int]]:
    """Rank and new id for each pair of ids."""
    table = {}
    for rank, (left, right) in enumerate(merges):
        try:
            table[ids[left], ids[right]] = rank, ids[left + right]
        except KeyError as error:
            raise ValueError(
                f"merge {rank} joins {left!r} and {right!r}, but {error.args[0]!r} is no token"
            ) from None
    return table
