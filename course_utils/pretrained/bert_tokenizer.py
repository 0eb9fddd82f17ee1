"""The tokenizers that lie beside BERT's checkpoints, in our `WordPieceTokenizer`.

New checkpoints have `tokenizer.json`, which says everything. Older ones have `vocab.txt`, with one
piece in a line, and their settings in `tokenizer_config.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from course_utils.pretrained.files import TOKENIZER, Find, finder, read_config, read_json
from course_utils.tokenizers.bert_text import BertText
from course_utils.tokenizers.wordpiece import WORDPIECE_SPECIALS, WordPieceTokenizer

VOCAB, SETTINGS, ADDED = "vocab.txt", "tokenizer_config.json", "added_tokens.json"
YES_NO = (True, False)
# What a BERT's tokenizer may be and ours is not, or what its settings may be: as in `files`.
FIXED = {
    "tokenizer_class": ((None, "BertTokenizer", "BertTokenizerFast"), None),
    "do_lower_case": (YES_NO, True),
    "strip_accents": ((None, *YES_NO), None),
    "tokenize_chinese_chars": (YES_NO, True),
    "do_basic_tokenize": ((True,), True),
    "never_split": ((None, []), None),
    "word_tokenizer_type": ((None, "basic"), None),  # of Japanese models
    "subword_tokenizer_type": ((None, "wordpiece"), None),
    "additional_special_tokens": ((None, []), None),
    "extra_special_tokens": ((None, [], {}), None),
    **{f"{token[1:-1].lower()}_token": ((token,), token) for token in WORDPIECE_SPECIALS},
}


def load_bert_tokenizer(name_or_path: str | Path) -> WordPieceTokenizer:
    """Open the tokenizer that lies beside a checkpoint of the BERT architecture.

    Its `encode(text, allowed_special="all")` gives the library's ids, without [CLS] and [SEP].
    Its `decode` leaves one space between all words, as in "it ' s".

    Parameters
    ----------
    name_or_path : str or path
        As in `load_bert`; with `tokenizer.json`, or with `vocab.txt` and `tokenizer_config.json`.

    Raises
    ------
    FileNotFoundError
        When there is none of them.
    ConnectionError
        When the hub does not give it.
    ValueError
        When a file is broken, of another kind of tokenizer, or two files contradict each other.

    Examples
    --------
    >>> tokenizer = load_bert_tokenizer("google-bert/bert-base-uncased")  # doctest: +SKIP
    >>> tokenizer.tokens("Déjà vu: unaffable")  # doctest: +SKIP
    ['de', '##ja', 'vu', ':', 'una', '##ffa', '##ble']
    """
    place = str(name_or_path)
    find = finder(place, "load_bert_tokenizer")
    if whole := find(TOKENIZER):
        tokenizer = WordPieceTokenizer.load(whole)
        _check_agreement(tokenizer, find, place)
        return tokenizer
    if (vocab := find(VOCAB)) and find(SETTINGS):
        return _from_vocab(vocab, find, place)
    raise FileNotFoundError(f"{place} has no {TOKENIZER}, nor {VOCAB} with {SETTINGS}")


def _check_agreement(tokenizer: WordPieceTokenizer, find: Find, place: str) -> None:
    """The library's `BertTokenizer` goes by the settings, its `Tokenizer` by the other file."""
    settings = read_json(file, place) if (file := find(SETTINGS)) else {}
    ours: dict[str, Any] = {"do_lower_case": tokenizer.lower_case}
    if clean := tokenizer.clean:
        ours["strip_accents"] = clean.strip_accents
        ours["tokenize_chinese_chars"] = clean.split_chinese
    for name, value in ours.items():
        if settings.get(name) not in (None, value):
            raise ValueError(
                f"{place} contradicts itself: {name} is {value} in its {TOKENIZER} and "
                f"{settings[name]!r} in its {SETTINGS}. Edit the one that is wrong"
            )


def _from_vocab(vocab: Path, find: Find, place: str) -> WordPieceTokenizer:
    what = "BERT tokenizer as WordPieceTokenizer cuts"
    settings = read_config(find, place, what, FIXED, name=SETTINGS)
    added = {*(read_json(file, place) if (file := find(ADDED)) else ())}
    added |= {token["content"] for token in settings.get("added_tokens_decoder", {}).values()}
    if others := sorted(added - {*WORDPIECE_SPECIALS}):
        raise ValueError(f"{place} is no {what}: it adds the tokens {others[:5]}")
    lower = settings.get("do_lower_case", True)
    accents = settings.get("strip_accents")
    clean = BertText(
        strip_accents=lower if accents is None else accents,
        split_chinese=settings.get("tokenize_chinese_chars", True),
    )
    try:
        pieces = vocab.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        return WordPieceTokenizer(pieces, lower_case=lower, clean=clean)
    except ValueError as error:
        raise ValueError(f"{VOCAB} of {place} is not BERT's: {error}") from error
