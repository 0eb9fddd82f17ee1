"""Files of byte-level BPE tokenizers: `tokenizer.json`, and GPT-2's `vocab.json` with `merges.txt`.

`tokenizer.json` is the file of the library `tokenizers`: pre-tokenizer, vocabulary, merges and
special tokens in one JSON object. Tokens are written with one printable sign for each byte
(`pretokens.BYTE_SYMBOLS`). The format is documented by its examples only; what is written here is
what the library writes for its own ByteLevel BPE. Reading is strict: a setting that would give
other ids than ours is refused with its name, so that no file is silently read as something else.
Two things are left aside, because they do not change how a text is cut: what a post-processor adds
around the ids (begin, end), and truncation and padding.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from course_utils.files import atomic_write
from course_utils.tokenizers.pretokens import (
    GPT2_PATTERN,
    WHOLE_TEXT,
    from_symbols,
    to_symbols,
)

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
# Settings of the BPE model that byte-level BPE leaves off; older files write "" for null.
PLAIN = {
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "fuse_unk": False,
    "byte_fallback": False,
    "ignore_merges": False,
}
HARMLESS = {"unk_token", "fuse_unk"}  # with all 256 bytes nothing is unknown


@contextmanager
def naming(path: str | Path, kind: str) -> Iterator[None]:
    """Say which file was wrong, and what was expected, whatever is wrong in it.

    Raises
    ------
    ValueError
        In the place of the errors that wrong contents cause.
    """
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} is not {kind}, or not one that we read: {reason}") from error


def write_tokenizer_json(
    path: str | Path,
    vocab: Mapping[int, bytes],
    merges: Iterable[tuple[bytes, bytes]],
    special_tokens: Mapping[str, int],
    pattern: str,
) -> None:
    """Write a tokenizer; a crash in the middle leaves the old file."""
    symbols = {index: to_symbols(token) for index, token in vocab.items()}
    symbols |= {index: text for text, index in special_tokens.items()}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added_token(text, k) for text, k in special_tokens.items()],
        "normalizer": None,
        "pre_tokenizer": _pre_tokenizer(pattern),
        "post_processor": None,
        "decoder": BYTE_LEVEL | {"use_regex": True},
        "model": {
            "type": "BPE",
            **PLAIN,
            "vocab": {symbols[index]: index for index in sorted(symbols)},
            "merges": [[to_symbols(left), to_symbols(right)] for left, right in merges],
        },
    }
    with atomic_write(path) as temporary:
        text = json.dumps(content, ensure_ascii=False, indent=1)
        temporary.write_text(text, encoding="utf-8")


def _added_token(text: str, index: int) -> dict:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": index, "content": text, **flags, "special": True}


def _pre_tokenizer(pattern: str) -> dict:
    """ByteLevel cuts by GPT-2's pattern; any other one is a step of its own before it."""
    if pattern == GPT2_PATTERN:
        return BYTE_LEVEL | {"use_regex": True}
    cut = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [cut, BYTE_LEVEL | {"use_regex": False}]}


def read_tokenizer_json(path: str | Path) -> dict:
    """The arguments of `BPETokenizer` from a file; use it inside `naming`."""
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    model = content["model"]
    _refuse(model["type"] != "BPE", f"its model is {model['type']}, not BPE")
    for name, value in PLAIN.items():
        other = (model.get(name) or value) != value and name not in HARMLESS
        _refuse(other, f"{name}={model.get(name)!r} would give other ids")
    _refuse(content.get("normalizer"), "it changes the text before it cuts it (normalizer)")
    specials = dict(_special_token(token) for token in content.get("added_tokens") or [])
    vocab = {token: k for token, k in model["vocab"].items() if specials.get(token) != k}
    return {
        "vocab": _by_id(vocab),
        "merges": [_merge(merge) for merge in model["merges"]],
        "special_tokens": specials,
        "pattern": _pattern(content["pre_tokenizer"]),
    }


def _refuse(wrong: object, why: str) -> None:
    if wrong:
        raise ValueError(why)


def _by_id(vocab: Mapping[str, int]) -> dict[int, bytes]:
    """Tokens by their ids."""
    tokens = {index: from_symbols(symbols) for symbols, index in vocab.items()}
    _refuse(len(tokens) < len(vocab), "two of its tokens have the same id")
    return tokens


def _merge(merge: str | list[str]) -> tuple[bytes, bytes]:
    """Two tokens; older files write them as one text with a space between."""
    parts = merge.split(" ") if isinstance(merge, str) else merge
    _refuse(len(parts) != 2, f"the merge {merge!r} has not two parts")
    return from_symbols(parts[0]), from_symbols(parts[1])


def _special_token(token: Mapping) -> tuple[str, int]:
    """Text and id of a special token that is found in a text exactly as it stands."""
    text, index = token["content"], token["id"]
    for flag in ("single_word", "lstrip", "rstrip"):
        _refuse(token.get(flag), f"its special token {text!r} has {flag}")
    _refuse(not token["special"], f"it cuts out {text!r}, which is not a special token")
    _refuse(type(index) is not int, f"the id of {text!r} is {index!r}")
    return text, index


def _pattern(pre_tokenizer: Mapping) -> str:
    """The pattern that cuts a text into pre-tokens."""
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    *cuts, last = steps
    _refuse(last["type"] != "ByteLevel", f"its pre-tokenizer is {last['type']}, not ByteLevel")
    _refuse(last["add_prefix_space"], "it puts a space before each text (add_prefix_space)")
    by_itself = last.get("use_regex", True)
    if not cuts:
        return GPT2_PATTERN if by_itself else WHOLE_TEXT
    _refuse(len(cuts) > 1 or by_itself, "its pre-tokenizers are not one Split, then ByteLevel")
    (cut,) = cuts
    usual = (cut["type"], cut["behavior"], cut["invert"]) == ("Split", "Isolated", False)
    _refuse(not usual, f"its pre-tokenizer {cut} is not a Split with Isolated")
    return cut["pattern"]["Regex"]


def read_gpt2_files(
    vocab_json: str | Path, merges_txt: str | Path, special_tokens: Iterable[str]
) -> dict:
    """The arguments of `BPETokenizer` from GPT-2's two files; use it inside `naming`."""
    vocab = json.loads(Path(vocab_json).read_text(encoding="utf-8"))
    specials = {}
    for text in special_tokens:
        _refuse(text not in vocab, f"the vocabulary has no {text!r}: choose other special_tokens")
        specials[text] = vocab.pop(text)
    lines = Path(merges_txt).read_text(encoding="utf-8").split("\n")
    merges = [_merge(line) for line in lines if line and not line.startswith("#version")]
    return {"vocab": _by_id(vocab), "merges": merges, "special_tokens": specials}
