"""English prose without a download: the documentation inside the installed Python packages.

Python and its libraries carry their manuals with them, as docstrings (`docstrings.py`). Of each
only whole sentences stay: code, tables, lists of parameters, formulas and markup (reStructuredText,
Markdown, numpydoc) go. A paragraph that says nearly the same as an earlier one goes, too.

The text depends on the versions that are installed. Its authors are those of the packages; it is
read in place and is no part of this course.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, no_type_check

from course_utils.datasets.docstrings import read_docstrings, source_files

PACKAGES = (
    "python",
    "torch",
    "transformers",
    "pandas",
    "sklearn",
    "scipy",
    "matplotlib",
    "numpy",
    "datasets",
)
SHORT = 200  # characters; shorter documents of a module are put together
SHINGLE = 5  # words
SEEN = 0.5  # a paragraph of which so large a share of shingles was seen before is a repetition


class Document(NamedTuple):
    """What one function, class or chapter says.

    Parameters
    ----------
    package, module, name : str
        Where it comes from, such as "torch", "torch.nn.modules.linear", "Linear". A document
        without a name is made of a module's short ones.
    text : str
        Whole sentences, one paragraph a line.
    """

    package: str
    module: str
    name: str
    text: str


def read_documentation() -> Iterator[Document]:
    """Read the prose of the installed packages, file by file; what is not installed is left out.

    Yields
    ------
    Document
        By the hash of their modules: a random order that hardly changes with the versions. No
        paragraph says nearly the same as an earlier one.

    Examples
    --------
    >>> next(read_documentation()).text.endswith((".", "!", "?", ")", '"'))
    True
    """
    seen: set[int] = set()
    sentences = functools.cache(_sentences)  # many paragraphs stand in several docstrings
    files = [(p, module, file) for p in PACKAGES for module, file in source_files(p)]
    for package, module, file in sorted(files, key=lambda found: stable_hash(found[1])):
        with _no_collection():
            documents = [
                (name, [p for text in docstrings for p in map(sentences, _blocks(text)) if p])
                for name, docstrings in read_docstrings(module, file)
            ]
        short = []
        for name, paragraphs in documents:
            text = "\n".join(p for p in paragraphs if not says_the_same(p, seen))
            if len(text) >= SHORT:
                yield Document(package, module, name, text)
            elif text:
                short.append(text)
        if short:
            yield Document(package, module, "", "\n".join(short))


@contextmanager
def _no_collection() -> Iterator[None]:
    """Syntax trees have no cycles, and looking for some doubles the time."""
    usual = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if usual:
            gc.enable()


@no_type_check
def stable_hash(text: str) -> float:
    """A number from 0 to 1 that looks random and is the same on every machine."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


@no_type_check
def says_the_same(paragraph: str, seen: set[int]) -> bool:
    """Whether most runs of five words were seen before; notes those of this paragraph."""
    words = re.findall(r"\w+", paragraph.lower())
    from_each = (words[k:] for k in range(SHINGLE))
    runs = set(map(hash, zip(*from_each, strict=False))) or {hash(tuple(words))}
    known = len(runs & seen)
    seen |= runs
    return known >= SEEN * len(runs)


# ---- from a docstring to sentences

_DIRECTIVE = re.compile(r"\.\. +([\w:-]+?)::(.*)")
_NOTES = {"note", "warning", "tip", "important", "hint", "caution", "danger", "attention"}
_VERSIONS = {"versionadded", "versionchanged", "deprecated", "versionremoved"}
_FIELD = re.compile(r":[\w ]+(?: [^:]*)?:(?: |$)|@\w+|\.\.(?: |$)")
_BULLET = re.compile(r"(?:[-*+•]|\(?(?:\d{1,2}|[a-z])[.)]) +")
_UNDERLINE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}")
_TABLE = re.compile(r"(?:[=-]{2,} +)+[=-]{2,}|[|+].*")
_CODE = re.compile(r">>>|\.\.\. |\$ |% ")
# "name : type" above the lines that describe it; "name (type): Description."
_ENTRY = re.compile(r"[\w*`'., ]+ : ?.*")
_NAMED = re.compile(
    r"[\w*`.\\-]+(?:, [\w*`.]+)*(?: ?\([^()]*(?:\([^()]*\)[^()]*)*\))?:(?: +(.*)|$)"
)


@no_type_check
def prose(docstring: str) -> list[str]:
    """The paragraphs of whole sentences in a docstring.

    Examples
    --------
    >>> prose('''Turn *each* pancake once.
    ...
    ...     Parameters
    ...     ----------
    ...     pan : Pan
    ...         The pan, which :class:`.Pan` must have heated before.
    ...
    ...     >>> turn(pan)
    ...     3
    ...     ''')
    ['Turn each pancake once.', 'The pan, which Pan must have heated before.']
    """
    return [p for p in map(_sentences, _blocks(docstring)) if p]


CODE = "qzq"  # ends each word that a docstring sets as code, where that is asked for


def labelled_sentences(docstring: str) -> Iterator[str]:
    """The whole sentences of a docstring, one by one; words that were set as code end in `CODE`.

    Examples
    --------
    >>> list(labelled_sentences("The ``pan`` must be hot. Heat :func:`the stove` first."))
    ['The panqzq must be hot.', 'Heat theqzq stoveqzq first.']
    """
    for block in _blocks(docstring):
        marked = _SPAN.sub(_marked, _IN_BRACKETS.sub(r"\1\2", block)) if "`" in block else block
        if text := _sentences(marked):
            yield from _END.split(text)


@no_type_check
def _marked(span: re.Match) -> str:
    return " ".join(word.removesuffix("()") + CODE for word in _without_role(span).split())


@no_type_check
def _blocks(docstring: str) -> Iterator[str]:
    """Lines that belong together, without code, tables and headings."""
    block, depth = [], 0
    hanging = False  # the block began with a marker, and its next lines may be indented
    below = None  # lines indented deeper than this are code, a table or a picture
    fenced = quiet = False  # between two ``` lines; in code or a table, until the next empty line
    elsewhere = False  # in a section of references
    for line in [*inspect.cleandoc(docstring).split("\n"), ""]:
        text = line.strip()
        if text.startswith(("```", "~~~")):
            fenced, text = not fenced, ""
        if not text or fenced:
            if block:
                yield " ".join(block)
            block, hanging, quiet = [], False, False
            continue
        indent = len(line) - len(line.lstrip())
        if below is not None and indent > below:
            continue
        below = None
        if not text[0].isalpha():
            quiet = quiet or bool(_CODE.match(text) or _TABLE.fullmatch(text))
            if quiet or _UNDERLINE.fullmatch(text):
                elsewhere = "".join(block).lower() in ("references", "see also")
                block = []  # the line above was a heading
                continue
        if quiet or elsewhere:
            continue
        rest = _without_marker(text, indent > 0 or not block)
        if rest != text or (indent < depth if hanging else indent != depth):
            if block:
                yield " ".join(block)
            block, hanging = [], rest != text
        depth = indent
        if rest is None or rest.endswith("::"):
            below = indent
        if rest:
            block.append(rest)


@no_type_check
def _without_marker(text: str, new: bool) -> str | None:
    """A line without the marker of a list or note; None if it and what is below it is no prose."""
    if text[0] in ".:@":
        directive = _DIRECTIVE.match(text)
        if directive and directive[1] in _VERSIONS:
            return re.sub(r"^v?[\d.]+\s*", "", directive[2].strip())
        if directive and directive[1] in _NOTES:
            return directive[2].strip()
        if directive or _FIELD.match(text):
            return None
    bullet = _BULLET.match(text)
    if bullet:
        text = text[bullet.end() :]
    if " : " in text and _ENTRY.fullmatch(text):
        return ""
    if (new or bullet) and ":" in text:
        named = _NAMED.fullmatch(text)
        return (named[1] or "") if named else text
    return text


_SPAN = re.compile(r"(?::([\w:+-]+):)?(``?)([^`]+)\2_{0,2}")
_IN_BRACKETS = re.compile(r"\[(`[^`]+`)\](?:\([^)]*\))?|\[([^\]`]+)\]\([^)]*\)")
_CITED = re.compile(r"(\b(?:in|see|by|of|and|from|to|at|on|with) )?\s?\[[\w.-]+\]_")
_STRONG = re.compile(r"(?<![\w*])(\*\*?)([^*\s][^*]*)\1(?![\w*])")
_REFERENCE = re.compile(r"(?<=[A-Za-z])_(?!\w)")
_SPACE = re.compile(r" (?=[.,;:!?)](?: |$))")
_TYPED = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "…": "...", "–": "-", "\xa0": " "})
FORMULA = "="  # no sentence has this sign

_END = re.compile(  # begins with a space, so that the search goes from space to space
    r" (?:(?<=[.!?] )|(?<=[.!?][\"')] ))(?<!e\.g\. )(?<!i\.e\. )(?<! vs\. )(?<! cf\. )"
    r"(?=[\"'(]?[A-Z])"
)
_SENTENCE = re.compile(r"[\"'(]?[A-Z](?!\w*: )[\w \-,.:;!?'\"()/%&]*[.!?][\"')]*", re.A)
_RESIDUE = (
    "//", "::", "%(", "%s", ",.", "( ", " )", "(c)", "copyright", "todo", "fixme", "xxx",
    "sphx_glr",
)  # fmt: skip
_ROLE = re.compile(r" :\w")
_WORD = re.compile(r"[\"'(]*[A-Za-z][a-z]*(?:[-'/][A-Za-z]+)*[\"').,:;!?]*")
_is_word = functools.cache(_WORD.fullmatch)


@no_type_check
def _sentences(text: str) -> str:
    """The whole sentences of a paragraph; nothing if too much of it is something else."""
    if len(text) < 12 or not ("." in text or "!" in text or "?" in text):
        return ""
    if "]" in text:
        text = _IN_BRACKETS.sub(lambda found: found[1] or found[2], text)
        text = _CITED.sub(lambda found: FORMULA if found[1] else "", text)
    if "`" in text:
        text = _SPAN.sub(_without_role, text)
    if "*" in text:
        text = _STRONG.sub(r"\2", text)
    if not text.isascii():
        text = text.translate(_TYPED)
    if "_" in text:
        text = _REFERENCE.sub("", text)
    text = _SPACE.sub("", " ".join(text.split()))
    kept = " ".join(sentence for sentence in _END.split(text) if _is_sentence(sentence))
    return kept if len(kept) > 0.6 * len(text) else ""


@no_type_check
def _without_role(span: re.Match) -> str:
    """What a reader sees of :role:`text <target>` or `text`."""
    role, _, text = span.groups()
    if role in ("math", "eq"):
        return text if len(text) == 1 else FORMULA
    if text.endswith(">") and " <" in text:
        text = text[: text.index(" <")]
    return text.rsplit(".", 1)[-1] if text.startswith("~") else text.lstrip(".!")


@no_type_check
def _is_sentence(text: str) -> bool:
    small = text.lower()
    if not _SENTENCE.fullmatch(text) or _ROLE.search(text) or any(r in small for r in _RESIDUE):
        return False
    words = text.count(" ") + 1
    plain = sum(map(bool, map(_is_word, text.split(" "))))
    listed = 3 * text.count(",") > words + 3
    balanced = text.count("(") == text.count(")") and text.count('"') % 2 == 0
    return 4 <= words <= 100 and plain >= 0.75 * words and balanced and not listed
