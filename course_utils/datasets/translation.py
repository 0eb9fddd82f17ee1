"""Sentence pairs to learn translation from, out of three sources behind one call.

- `"embedded"`: pairs from our own grammar, with gold word alignment (`phrases.py`); no network.
- `"hub"`: real pairs through `datasets.load_dataset`: OPUS-100 (Zhang et al., 2020,
  "Improving Massively Multilingual Neural Machine Translation and Zero-Shot Translation") and
  Multi30k (Elliott et al., 2016, "Multi30K: Multilingual English-German Image Descriptions").
- a folder: the same files on disk, and those that ManyThings/Tatoeba ships (`folder.py`).

Whatever the source: normalised text, no empty sentence, no pair twice, no source sentence in two
parts, and the same data for the same seed. A source that fails says so; no other takes its place.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

from course_utils.datasets.folder import PART_NAMES, complete, find_parts, pick, read_pairs
from course_utils.datasets.pairs import TranslationData, TranslationPair
from course_utils.hub import from_hub
from course_utils.tokenizers import normalize

OPUS_100 = "Helsinki-NLP/opus-100"
MULTI30K = "bentrevett/multi30k"


def load_translation(
    source: str | Path = "embedded",
    languages: tuple[str, str] = ("ru", "en"),
    *,
    name: str | None = None,
    max_pairs: int | None = None,
    max_words: int | None = None,
    seed: int = 0,
) -> TranslationData:
    """Load sentence pairs, split into training, validation and test.

    Parameters
    ----------
    source : str or Path
        "embedded", "hub", or the path of a folder or file. A folder holds `train`, `test` and
        perhaps `validation` files, or one single file of pairs; that one is split at random by
        distinct source sentence, 80/10/10. A missing validation part is taken out of the training
        part in the same way (5 %, at most 1,000 distinct sources).
    languages : (str, str)
        Codes of the source and the target language. Files whose columns are called `source` and
        `target` are read as they are; in text without a header the first column is English.
    name : str, optional
        Repository on the hub, as "owner/name" or "owner/name/configuration". By default Multi30k
        for English and German, else OPUS-100.
    max_pairs : int, optional
        Keep only the first pairs of `train` (those that `max_words` lets through). The hub's files
        are fetched whole and kept in its cache; only so many rows of them are read.
    max_words : int, optional
        Keep only pairs with at most so many words, punctuation included, on either side.
    seed : int
        Of the grammar and of random splits.

    Returns
    -------
    TranslationData
        `origin` says where the pairs come from and how many were left out.

    Raises
    ------
    ValueError, FileNotFoundError, PermissionError
        When an argument or a file is wrong; the message names the file and the line.
    ConnectionError
        When the hub did not deliver; the message says how to go on without it.

    Examples
    --------
    >>> data = load_translation("embedded", ("ru", "en"), max_pairs=100, max_words=8)
    >>> len(data.train)
    100
    """
    languages = _checked(languages, source, name, max_pairs, max_words)
    if source == "embedded":
        from course_utils.datasets.phrases import load_phrases

        return _limited(load_phrases(languages, seed=seed), max_pairs, max_words)
    if source == "hub":
        rows, origin = _hub_rows(languages, name)
    else:
        path = Path(source).expanduser()
        files = find_parts(path)
        reader = partial(read_pairs, languages=languages)
        rows = {part: chain.from_iterable(map(reader, files[part])) for part in files}
        origin = (
            f"{path.resolve().name}: {', '.join(f.name for part in files.values() for f in part)}"
        )
    if "all" in rows:
        parts, how = _split(rows["all"], seed, origin)
    else:
        parts, how = _kept_apart(rows, seed, origin, max_pairs, max_words)
    data = TranslationData(**parts, languages=languages, origin=origin + how)
    return _limited(data, max_pairs, max_words)


def references_by_source(pairs: Iterable[TranslationPair]) -> tuple[list[str], list[list[str]]]:
    """Group the translations of the same source, as scoring against several references needs.

    Parameters
    ----------
    pairs : iterable of TranslationPair
        Usually `data.test`.

    Returns
    -------
    sources : list of str
        The distinct sources, as first seen.
    references : list of list of str
        For each of them its distinct targets, as first seen.

    Examples
    --------
    >>> pairs = [TranslationPair("va !", "go !"), TranslationPair("va !", "leave !")]
    >>> references_by_source(pairs)
    (['va !'], [['go !', 'leave !']])
    """
    grouped: dict[str, dict[str, None]] = {}
    for pair in pairs:
        grouped.setdefault(pair.source, {})[pair.target] = None
    return list(grouped), [list(targets) for targets in grouped.values()]


def _checked(
    languages: Any, source: Any, name: str | None, max_pairs: Any, max_words: Any
) -> tuple[str, str]:
    if not isinstance(source, str | Path) or not str(source):
        raise TypeError(f"source must be 'embedded', 'hub' or a path, got {source!r}")
    codes = () if isinstance(languages, str) else tuple(languages)
    if len(set(codes)) != 2 or not all(isinstance(code, str) and code for code in codes):
        raise ValueError(
            f"languages must be two different codes such as ('ru', 'en'), got {languages!r}"
        )
    if name is not None and source != "hub":
        raise ValueError(f"name={name!r} is a repository of source='hub', but source={source!r}")
    for argument, value in (("max_pairs", max_pairs), ("max_words", max_words)):
        if value is not None and (not isinstance(value, int) or value < 1):
            raise ValueError(f"{argument} must be None or a whole number from 1, got {value!r}")
    return codes


def _short(pairs: Iterable[TranslationPair], max_words: int | None) -> Iterator[TranslationPair]:
    for pair in pairs:
        if max_words is None or all(
            len(text.split()) <= max_words for text in (pair.source, pair.target)
        ):
            yield pair


def _limited(
    data: TranslationData, max_pairs: int | None, max_words: int | None
) -> TranslationData:
    parts = ("train", "validation", "test", "compositional")
    short = {part: list(_short(getattr(data, part), max_words)) for part in parts}
    short["train"] = short["train"][:max_pairs]
    clauses = {count: list(_short(pairs, max_words)) for count, pairs in data.clauses.items()}
    for part in ("train", "validation", "test"):
        if not short[part]:
            raise ValueError(
                f"no {part} pairs are left of {data.origin} (max_words={max_words}): "
                "allow more words or give more pairs"
            )
    return replace(data, **short, clauses=clauses)


def _split(
    rows: Iterable[tuple[str, str]], seed: int, origin: str
) -> tuple[dict[str, list[TranslationPair]], str]:
    """Make all three parts of one, and say so."""
    train = list(_clean(rows))
    tenth = len({pair.source for pair in train}) // 10
    test, train = _hold_out(train, tenth, seed, origin)
    validation, train = _hold_out(train, tenth, seed, origin)
    parts = {"train": train, "validation": validation, "test": test}
    return parts, ", split at random by source sentence"


def _kept_apart(
    rows: dict[str, Iterable[tuple[str, str]]],
    seed: int,
    origin: str,
    max_pairs: int | None,
    max_words: int | None,
) -> tuple[dict[str, list[TranslationPair]], str]:
    """Keep the parts that there are free of each other's sources, and say what that took."""
    how, left_out = "", []
    test = list(_clean(rows["test"]))
    held = {pair.source for pair in test}
    validation = list(_clean(rows.get("validation", ()), held, left_out))
    held |= {pair.source for pair in validation}
    train = _clean(rows["train"], held, left_out)
    if "validation" in rows:
        train = list(islice(_short(train, max_words), max_pairs))
    else:
        train = list(train)
        count = min(len({pair.source for pair in train}) // 20, 1000)
        validation, train = _hold_out(train, count, seed, origin)
        how = ", validation taken out of train at random by source sentence"
    if left_out:
        how += f", without {len(left_out)} pairs whose source is also held out"
    return {"train": train, "validation": validation, "test": test}, how


def _clean(
    rows: Iterable[tuple[str, str]],
    held: Collection[str] = (),
    left_out: list[str] | None = None,
) -> Iterator[TranslationPair]:
    """Normalise; drop what is empty or seen before, and note which sources are held elsewhere."""
    seen = set()
    for row in rows:
        pair = TranslationPair(*map(normalize, row))
        if not pair.source or not pair.target or pair in seen:
            continue
        seen.add(pair)
        if pair.source in held:
            left_out.append(pair.source)
        else:
            yield pair


def _hold_out(
    pairs: list[TranslationPair], count: int, seed: int, origin: str
) -> tuple[list[TranslationPair], list[TranslationPair]]:
    """Take all pairs of `count` (at least one) random distinct sources out of `pairs`."""
    sources, count = list(dict.fromkeys(pair.source for pair in pairs)), max(1, count)
    if len(sources) <= count:
        raise ValueError(f"{origin}: too few different source sentences to split: give more pairs")
    # Only `random()` is promised to draw the same numbers in every version of Python.
    draws = random.Random(seed)
    keys = [draws.random() for _ in sources]
    held = {sources[i] for i in sorted(range(len(sources)), key=keys.__getitem__)[:count]}
    return (
        [pair for pair in pairs if pair.source in held],
        [pair for pair in pairs if pair.source not in held],
    )


def _hub_rows(
    languages: tuple[str, str], name: str | None
) -> tuple[dict[str, Iterator[tuple[str, str]]], str]:
    repository, configuration = _repository(languages, name)
    origin = f"{repository}{f' ({configuration})' if configuration else ''} on the hub"
    loaded = _ask_hub(repository, configuration)
    parts = {
        PART_NAMES[split]: _picked(loaded[split], languages, f"{origin}, {split}")
        for split in loaded
        if split in PART_NAMES
    }
    return complete(parts, origin), origin


def _picked(
    rows: Iterable[Any], languages: tuple[str, str], where: str
) -> Iterator[tuple[str, str]]:
    for number, row in enumerate(rows, 1):
        yield pick(row, languages, f"{where}, row {number}")


def _repository(languages: tuple[str, str], name: str | None) -> tuple[str, str | None]:
    if name is None:
        name = MULTI30K if set(languages) == {"de", "en"} else OPUS_100
    owner, _, rest = name.partition("/")
    title, _, configuration = rest.partition("/")
    if not owner or not title:
        raise ValueError(f"name must be 'owner/name' or 'owner/name/configuration', got {name!r}")
    repository = f"{owner}/{title}"
    if repository == OPUS_100 and not configuration:
        if "en" not in languages:
            raise ValueError(f"{OPUS_100} pairs every language with 'en' only, got {languages}")
        configuration = "-".join(sorted(languages))
    return repository, configuration or None


def _ask_hub(repository: str, configuration: str | None) -> dict[str, Any]:
    """Fetch a data set into the hub's cache.

    The whole files, not a stream: they stay in the cache, so the next run needs no network.
    """
    import datasets

    return from_hub(
        lambda: datasets.load_dataset(repository, configuration),
        wanted=" ".join(filter(None, ("the data set", repository, configuration))),
        instead="go on without it by source='embedded', or give a folder that has its files",
    )
