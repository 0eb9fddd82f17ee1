"""Labelled examples for a task of one's own, which need neither a download nor an annotator.

The documentation inside the installed packages (`documentation.py`) carries labels with it:

- "library": which package a sentence comes from;
- "code words": which words of a sentence its author set as code, the markup taken away;
- "names": whether a summary belongs to a function of this name, or to another one.

Test examples come from the modules that `load_texts` holds out: a model that was pre-trained on its
training part has never seen them. Or the examples are one's own: a folder with two tables.
"""

from __future__ import annotations

import csv
import functools
import inspect
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from course_utils.datasets.docstrings import read_definitions, source_files
from course_utils.datasets.documentation import (
    CODE,
    PACKAGES,
    labelled_sentences,
    says_the_same,
    stable_hash,
)
from course_utils.datasets.texts import HELD_OUT

READ = 0.25  # share of the modules that are read; the first 2 * HELD_OUT of them are held out
TRAIN, TEST = 3_000, 1_200  # examples at most
LIBRARIES = ("python", "torch", "transformers", "pandas", "sklearn", "scipy")
# Words that name a library, or a thing that only one of them has.
_GIVEAWAY = re.compile(
    r"python|torch|transformer|hugging|pandas|sklearn|scikit|scipy|numpy|matplotlib|"
    r"data ?frame|\bseries\b|ndarray|\bonnx\b|\bcuda\b|\bfx\b|aten|autograd",
    re.I,
)


@dataclass(frozen=True)
class LabelledExample:
    """A text and what is to be said of it.

    Parameters
    ----------
    text : str or tuple of str
        A text, or words of which each has a label.
    label : int or tuple of int
        Index into `LabelledData.label_names`; or one for each word.
    pair : str, optional
        The second text, where the label is about two.
    """

    text: str | tuple[str, ...]
    label: int | tuple[int, ...]
    pair: str | None = None


@dataclass(frozen=True, kw_only=True)
class LabelledData:
    """A data set of labelled examples.

    Parameters
    ----------
    train, test : list of LabelledExample
    label_names : tuple of str
    name : str
        Short: "library", the name of the folder.
    origin : str
        One sentence that says where the examples come from.
    """

    train: list[LabelledExample]
    test: list[LabelledExample]
    label_names: tuple[str, ...]
    name: str
    origin: str

    @property
    def labels_words(self) -> bool:
        """Whether each word has a label, and not each text."""
        return isinstance(self.train[0].label, tuple)

    def draw(self, count: int, seed: int = 0) -> list[LabelledExample]:
        """Draw training examples at random, of each class the same number or one more.

        Where words have labels, texts are drawn evenly.

        Raises
        ------
        ValueError
            When there are not so many.

        Examples
        --------
        >>> one, other = LabelledExample("good", 1), LabelledExample("bad", 0)
        >>> names = {"label_names": ("bad", "good"), "name": "taste", "origin": "made up"}
        >>> data = LabelledData(train=[one, other, other], test=[one], **names)
        >>> sorted(example.text for example in data.draw(2))
        ['bad', 'good']
        """
        classes = [None] if self.labels_words else range(len(self.label_names))
        groups = {c: [e for e in self.train if c in (None, e.label)] for c in classes}
        draws = random.Random(seed)
        order = _shuffled(classes, draws)  # which classes get one more
        drawn: list[LabelledExample] = []
        for place, c in enumerate(order):
            wanted = count // len(order) + (place < count % len(order))
            if count < 1 or wanted > len(groups[c]):
                what = "" if c is None else f" of {self.label_names[c]!r}"
                raise ValueError(
                    f"{count} examples are asked for, so {wanted}{what}, and there are "
                    f"{len(groups[c])}: ask for 1 or more, and for fewer than there are"
                )
            drawn += _shuffled(groups[c], draws)[:wanted]
        return _shuffled(drawn, draws)


def load_labelled(
    task: str = "library", source: str | Path = "embedded", *, max_words: int = 40
) -> LabelledData:
    r"""Load labelled examples of a task.

    Parameters
    ----------
    task : str
        "library", "code words" or "names"; of a folder it is not looked at.
    source : str or Path
        "embedded", or a folder with `train.csv` and `test.csv`. Their columns are `text` and
        `label`, and `pair` where the label is about two texts; or `text` and `labels`: words with
        spaces between them, and a label for each.
    max_words : int
        Longer texts are left out; the embedded ones of sentences have 8 words or more.

    Returns
    -------
    LabelledData
        The same each time. Embedded classes are equally frequent, in training and in test.

    Raises
    ------
    TypeError, ValueError, FileNotFoundError
        When an argument or a file is wrong; the message names it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for part in ("train", "test"):
    ...     _ = (folder / f"{part}.csv").write_text("text,label\nso good,1\ntoo bad,0\n")
    >>> load_labelled(source=folder).test[0]
    LabelledExample(text='so good', label=1, pair=None)
    """
    if not isinstance(source, str | Path) or not str(source):
        raise TypeError(f"source must be 'embedded' or a folder, got {source!r}")
    if source != "embedded":
        return _from_folder(Path(source).expanduser(), max_words)
    if task not in _TASKS:
        raise ValueError(f"task is one of {', '.join(map(repr, _TASKS))}, got {task!r}")
    find, label_names = _TASKS[task]
    parts = find(max_words)
    if not parts[False] or not parts[True]:
        raise ValueError(
            f"there is no example of {task!r} with max_words={max_words} in the documentation of "
            f"the installed packages ({', '.join(PACKAGES)}): allow more words, or give a folder"
        )
    origin = "documentation inside the installed packages"
    parts = {"train": parts[False][:TRAIN], "test": parts[True][:TEST]}
    return LabelledData(**parts, label_names=label_names, name=task, origin=origin)


# ---- embedded: each task gives examples by whether they are held out


@functools.cache
def _definitions() -> list[tuple[str, bool, str, str]]:
    """Package, whether it is held out, name and docstring: what is held out stands first."""
    files = [(p, module, file) for p in PACKAGES for module, file in source_files(p)]
    found = []
    for share, package, module, file in sorted((stable_hash(f[1]), *f) for f in files):
        if share > READ:
            break
        held_out = share < 2 * HELD_OUT
        found += [(package, held_out, *about) for about in read_definitions(module, file)]
    return found


@functools.cache
def _sentences() -> list[tuple[str, bool, str]]:
    """Package, whether it is held out, and sentence; none says nearly the same as another."""
    seen: set[int] = set()
    return [
        (package, held_out, sentence)
        for package, held_out, _, docstring in _definitions()
        for sentence in labelled_sentences(docstring)
        if sentence.count(" ") + 1 >= 8 and not says_the_same(sentence.replace(CODE, ""), seen)
    ]


def _short(text: str, max_words: int) -> bool:
    return text.count(" ") < max_words


def _library(max_words: int) -> dict[bool, list[LabelledExample]]:
    parts: dict[bool, list] = {False: [], True: []}
    for package, held_out, sentence in _sentences():
        text = sentence.replace(CODE, "")
        known = package in LIBRARIES and not _GIVEAWAY.search(text)
        if known and _short(text, max_words):
            parts[held_out].append(LabelledExample(text, LIBRARIES.index(package)))
    return {part: _balanced(found) for part, found in parts.items()}


def _balanced(examples: list[LabelledExample]) -> list[LabelledExample]:
    """As many of each class, in turn."""
    groups = defaultdict(list)
    for example in _shuffled(examples, random.Random(0)):
        groups[example.label].append(example)
    return [
        example for row in zip(*map(groups.get, sorted(groups)), strict=False) for example in row
    ]


_WORD = re.compile(r"([\"'(]*)([A-Za-z_](?:[\w.'/-]*\w)?)([\"').,:;!?]*)", re.A)

_IDENTIFIER = re.compile(r"[A-Za-z_](?:[\w.]*\w)?", re.A)


def _code_words(max_words: int) -> dict[bool, list[LabelledExample]]:
    parts: dict[bool, list] = {False: [], True: []}
    for _, held_out, sentence in _sentences():
        cut = _tagged(sentence) if CODE in sentence and _short(sentence, max_words) else None
        if cut and not all(cut[1]):
            parts[held_out].append(LabelledExample(*cut))
    return {part: _shuffled(found, random.Random(0)) for part, found in parts.items()}


def _tagged(sentence: str) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Words and marks of a sentence, and which are code; None if a word is of no plain kind."""
    words, labels = [], []
    for chunk in sentence.split(" "):
        found = _WORD.fullmatch(chunk)
        if not found:
            return None
        before, word, after = found.groups()
        bare = word.removesuffix(CODE)
        if CODE in bare or (bare != word and not _IDENTIFIER.fullmatch(bare)):
            return None
        words += [*before, bare, *after]
        labels += [0] * len(before) + [int(bare != word)] + [0] * len(after)
    return tuple(words), tuple(labels)


def _names(max_words: int) -> dict[bool, list[LabelledExample]]:
    groups: dict[tuple[bool, str], list[tuple[str, str]]] = defaultdict(list)
    seen: set[int] = set()
    names: set[str] = set()
    for package, held_out, name, docstring in _definitions():
        words = _words_of(name)
        first_lines = inspect.cleandoc(docstring).partition("\n\n")[0]
        summary = next(labelled_sentences(first_lines), "").replace(CODE, "")
        if not words or words in names or not summary or not _short(summary, max_words):
            continue
        if not says_the_same(summary, seen):
            names.add(words)
            groups[held_out, package].append((words, summary))
    parts: dict[bool, list] = {False: [], True: []}
    for (held_out, _), about in sorted(groups.items()):
        parts[held_out] += _pairs(about)
    return {part: _balanced(found) for part, found in parts.items()}


def _words_of(name: str) -> str:
    """The words of a name, if it has two or more: "sort_values" and "SortValues" have."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)
    good = len(parts) > 1 and not name.startswith("_") and not re.search(r"\d", name)
    return " ".join(parts).lower() if good else ""


def _pairs(about: list[tuple[str, str]]) -> Iterator[LabelledExample]:
    """Half of the names with their own summaries; the others in a ring, with the next one's."""
    about = _shuffled(about, random.Random(0))
    half = len(about) // 2
    yield from (LabelledExample(name, 1, summary) for name, summary in about[:half])
    others = about[half:] if len(about) - half > 1 else []  # one alone has none
    for (name, _), (_, summary) in zip(others, others[1:] + others[:1], strict=True):
        yield LabelledExample(name, 0, summary)


_TASKS = {
    "library": (_library, LIBRARIES),
    "code words": (_code_words, ("O", "CODE")),
    "names": (_names, ("another", "its own")),
}


def _shuffled(items: Iterable, draws: random.Random) -> list:
    """In random order. Only `random()` draws the same numbers in every version of Python."""
    keyed = [(draws.random(), place, item) for place, item in enumerate(items)]
    return [item for *_, item in sorted(keyed, key=lambda entry: entry[:2])]


# ---- a folder


def _from_folder(path: Path, max_words: int) -> LabelledData:
    rows = {part: list(_rows(path / f"{part}.csv")) for part in ("train", "test")}
    found = {word for _, label, _ in rows["train"] for word in _as_words(label)}
    label_names = tuple(sorted(found))
    index = {name: place for place, name in enumerate(label_names)}
    parts = {}
    for part, texts in rows.items():
        if unknown := {w for _, label, _ in texts for w in _as_words(label)} - found:
            raise ValueError(
                f"{path / part}.csv has labels that train.csv lacks: {sorted(unknown)}"
            )
        parts[part] = [
            LabelledExample(
                text, index[label] if isinstance(label, str) else tuple(map(index.get, label)), pair
            )
            for text, label, pair in texts
            if len(text.split() if isinstance(text, str) else text) <= max_words
        ]
        if not parts[part]:
            raise ValueError(f"{path / part}.csv has no example of {max_words} words at most")
    name = path.resolve().name
    return LabelledData(**parts, label_names=label_names, name=name, origin=f"the folder {name}")


def _as_words(label: str | Sequence[str]) -> Sequence[str]:
    return [label] if isinstance(label, str) else label


def _rows(file: Path) -> Iterator[tuple]:
    """Text, label and second text; or words and labels."""
    if not file.is_file():
        raise FileNotFoundError(
            f"there is no {file} (looked for from {Path.cwd()}): a folder has train.csv and "
            "test.csv with the columns text and label; source='embedded' needs no files"
        )
    with file.open(encoding="utf-8-sig", newline="") as lines:
        table = csv.DictReader(lines)
        columns = table.fieldnames or []
        if "text" not in columns or ("label" in columns) == ("labels" in columns):
            raise ValueError(
                f"{file} has the columns {columns}, expected text and label (or labels)"
            )
        for number, row in enumerate(table, 2):
            if "label" in columns:
                yield row["text"], row["label"], row.get("pair") or None
                continue
            words, labels = tuple(row["text"].split()), tuple((row["labels"] or "").split())
            if len(words) != len(labels):
                raise ValueError(
                    f"{file}, row {number}: {len(words)} words and {len(labels)} labels"
                )
            yield words, labels, None
