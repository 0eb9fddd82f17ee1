"""The file of a WordPiece tokenizer: `tokenizer.json` of the library `tokenizers`.

What we write is read again, and so is what the library writes for BERT. Reading is strict: a
setting that would give other ids is refused with its name. Left aside is what does not change how
a text is cut: what the post-processor adds around the ids, if it is BERT's [CLS] and [SEP];
truncation and padding; the spaces that the decoder takes away (`cleanup`).
"""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import repr as short
from typing import Any

from course_utils.tokenizers.bert_text import BertText

PREFIX = "##"
LONGEST_WORD = 100  # characters; a longer word is unknown, as in BERT


def tokenizer_json(
    ids: Mapping[str, int],
    special_tokens: Mapping[str, int],
    *,
    lower_case: bool,
    clean: BertText | None,
) -> dict[str, Any]:
    """The content of the file."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": index, "content": token, **flags, "special": True}
            for token, index in sorted(special_tokens.items(), key=lambda item: item[1])
        ],
        "normalizer": _normalizer(lower_case, clean),
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": PREFIX, "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": PREFIX,
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": ids,
        },
    }


def _normalizer(lower_case: bool, clean: BertText | None) -> dict[str, Any] | None:
    if clean is None:
        return {"type": "Lowercase"} if lower_case else None
    return {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": clean.split_chinese,
        "strip_accents": clean.strip_accents,
        "lowercase": lower_case,
    }


def normalizer_options(normalizer: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments `lower_case` and `clean` of a tokenizer."""
    if normalizer is None or normalizer["type"] != "BertNormalizer":
        return {"lower_case": normalizer is not None}
    found = _with_accents(normalizer)
    accents, chinese = found["strip_accents"] is True, found["handle_chinese_chars"] is True
    return {
        "lower_case": found["lowercase"] is True,
        "clean": BertText(strip_accents=accents, split_chinese=chinese),
    }


def _with_accents(normalizer: Mapping[str, Any]) -> dict[str, Any]:
    """Where a BertNormalizer leaves it open, accents go together with capitals."""
    open_ = normalizer["type"] == "BertNormalizer" and normalizer["strip_accents"] is None
    return {**normalizer, **({"strip_accents": normalizer["lowercase"]} if open_ else {})}


def check_content(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse a file that would give other ids than a tokenizer with the content `wanted`.

    Raises
    ------
    ValueError
        With the name of the setting.
    """
    found = {**found, "truncation": None, "padding": None}
    found["model"] = {"type": "WordPiece", **found["model"]}  # old files do not name it
    if found.get("normalizer"):
        found["normalizer"] = _with_accents(found["normalizer"])
    if found.get("post_processor") in _frames(wanted["model"]["vocab"]):
        found["post_processor"] = None
    if found.get("decoder"):
        found["decoder"] = {**found["decoder"], "cleanup": False}
    for name, value in wanted.items():
        if (got := found.get(name)) != value:
            detail = _difference(got, value)
            raise ValueError(f"its {name} is not that of a WordPieceTokenizer: {detail}")


def _frames(ids: Mapping[str, int]) -> list[dict[str, Any]]:
    """The two ways in which the library writes [CLS] a [SEP] and [CLS] a [SEP] b [SEP]."""

    def special(token: str, segment: int = 0) -> dict[str, Any]:
        return {"SpecialToken": {"id": token, "type_id": segment}}

    first, second = ({"Sequence": {"id": text, "type_id": k}} for k, text in enumerate("AB"))
    single = [special("[CLS]"), first, special("[SEP]")]
    known = {t: {"id": t, "ids": [ids[t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")}
    return [
        {"type": "BertProcessing", "sep": ["[SEP]", ids["[SEP]"]], "cls": ["[CLS]", ids["[CLS]"]]},
        {
            "type": "TemplateProcessing",
            "single": single,
            "pair": [*single, second, special("[SEP]", 1)],
            "special_tokens": known,
        },
    ]


def _difference(found: Any, wanted: Any) -> str:
    """The first setting, or the first token, that differs."""
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        name = next(n for n in {**wanted, **found} if found.get(n) != wanted.get(n))
        got, value = found.get(name), wanted.get(name)
        deeper = isinstance(got, Mapping) and isinstance(value, Mapping)
        return (
            f"{name}: {_difference(got, value)}"
            if deeper
            else (f"{name} is {short(got)}, not {short(value)}")
        )
    if isinstance(found, list) and isinstance(wanted, list):
        odd = [x for x in [*found, *wanted] if x not in found or x not in wanted]
        if odd:
            return f"there is {'' if odd[0] in found else 'no '}{odd[0]}"
    return f"it is {short(found)}, not {short(wanted)}"
