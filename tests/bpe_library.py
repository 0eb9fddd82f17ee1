"""The library that our byte-pair encoding is compared with, and texts to compare on."""

from __future__ import annotations

import inspect
import json
import random
import sys
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from course_utils.files import data_path
from course_utils.tokenizers.pretokens import from_symbols

SPECIALS = ("<|endoftext|>", "<pad>")


def library_bpe(texts: Iterable[str], vocab_size: int, specials: Iterable[str] = ()) -> Tokenizer:
    """`tokenizers`' ByteLevel BPE, trained."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokens_of(tokenizer: Tokenizer, specials: Iterable[str] = ()) -> list[bytes]:
    """The library's tokens in the order of their ids, without the special ones."""
    ids = json.loads(tokenizer.to_str())["model"]["vocab"]
    return [from_symbols(token) for token in sorted(ids, key=ids.get) if token not in specials]


def merges_of(tokenizer: Tokenizer) -> list[tuple[bytes, bytes]]:
    """The library's merges in the order learned."""
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(from_symbols(left), from_symbols(right)) for left, right in merges]


@lru_cache(maxsize=1)
def corpora() -> dict[str, list[str]]:
    """Texts that every machine has: prose, code, Russian and English."""
    from pydoc_data.topics import topics

    phrases = sorted(data_path("phrases").glob("*.tsv"))
    modules = ("argparse", "ast", "datetime", "inspect", "pathlib", "typing", "unittest.mock")
    for name in modules:
        __import__(name)
    return {
        "prose": list(topics.values()),
        "code": [inspect.getsource(sys.modules[name]) for name in modules],
        "phrases": [line for file in phrases for line in file.read_text("utf-8").splitlines()],
    }


# Characters by kind, so that a random text has long words, and not only single strange signs.
KINDS = (
    "abcdeTHE'sd",
    "0123456789²½٣",
    " ",
    " \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u2003\u2028\u3000",
    ".,!?-_<>|()#'\"",
    "абвё\u0301й",
    "日本語のトークン",
    "😀👍🏽👩\u200d👩\u200d👧🇸🇪\ufe0f",
)


def random_text(rng: random.Random) -> str:
    """A random text; one character in ten is any that this Python's Unicode tables know."""
    pieces = []
    for _ in range(rng.randrange(12)):
        if rng.random() < 0.1:
            pieces.append(any_character(rng))
        elif rng.random() < 0.1:
            pieces.append(rng.choice(SPECIALS))
        else:
            kind = rng.choice(KINDS)
            pieces += [rng.choice(kind) for _ in range(rng.randint(1, 5))]
    return "".join(pieces)


def any_character(rng: random.Random) -> str:
    """A random assigned character, no surrogate."""
    while True:
        character = chr(rng.randrange(0x110000))
        if unicodedata.category(character) not in ("Cn", "Cs"):
            return character


@lru_cache(maxsize=1)
def mixed_text() -> str:
    """A million characters of prose, code, Russian, and random signs."""
    rng = random.Random(0)
    texts = [text for part in corpora().values() for text in part]
    rng.shuffle(texts)
    texts = [text + random_text(rng) for text in texts]
    assert sum(map(len, texts)) > 1_000_000
    return "".join(texts)[:1_000_000]
