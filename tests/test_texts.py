"""Running text from every source: what is read, how it is cleaned and split, what is refused."""

from __future__ import annotations

import gc
import gzip
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from helpers import as_a_reader
from hub_server import HubServer

from course_utils.datasets import TextData, docstrings, documentation, load_texts
from course_utils.datasets.documentation import Document, prose, read_documentation, stable_hash
from course_utils.datasets.texts import cut_documents

ROOT = Path(__file__).resolve().parents[1]
PYTHONPATH = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
PARTS = ("train", "validation", "test")


def parts_of(data: TextData) -> list[list[str]]:
    return [getattr(data, part) for part in PARTS]


def assert_apart(data: TextData) -> None:
    train, validation, test = map(set, parts_of(data))
    assert train and validation and test
    assert not train & validation and not train & test and not validation & test


def size(documents: list[str]) -> int:
    return sum(len(document.encode()) for document in documents)


# ---- from a docstring to sentences

RST = """
    Mix two :class:`~paint.Colour` objects, see `the guide <https://x.org>`_.

    The *first* one is :attr:`kept`, as in ``mix(a, b)``; the second
    is thrown away [1]_. This follows :math:`x^2`, which is gone. It works well in practice.

    .. versionadded:: 1.2
    .. versionchanged:: 1.3
       Colours may be names.
    .. code-block:: python

       Mixed = "This line is code."

    .. note:: Paint is not water.

    The result is used like this::

        Dip the brush into it.

    ===== ====
    Name  Size
    ===== ====
    A red house is in this table.
    ===== ====

    Parameters
    ----------
    first, second : Colour or "none"
        The colours that are mixed here.
    lowercase : bool
        whether this is no sentence.

    Returns
    -------
    Colour
        The colour that comes of it.

    See Also
    --------
    stir : Stir a colour with a spoon.

    Examples
    --------
    The following shows it all.

    >>> mix("red", "blue")
    This is what comes out.
    It is long enough to be most of this paragraph, and each of its sentences is whole.

    References
    ----------
    .. [1] Somebody. The book that nobody reads.
    Another book by the same author.
    """


def test_prose_takes_the_sentences_of_restructured_text():
    assert prose(RST) == [
        "Mix two Colour objects, see the guide.",
        "The first one is kept, as in mix(a, b); the second is thrown away. "
        "It works well in practice.",
        "Colours may be names.",
        "Paint is not water.",
        "The colours that are mixed here.",
        "The colour that comes of it.",
        "The following shows it all.",
    ]


def test_prose_takes_the_sentences_of_markdown_and_google_style():
    text = """
        Mix [`Colour`] objects as the [manual](https://x.org/y) says.

        ```text
        This line is part of the code.

        So is this line after an empty one.
        ```

        Args:
            first (`Colour`, *optional*, defaults to `None`):
                The colour that is kept until the end.
            second (list[int]): The colour that is thrown
                away after that.
        - Every item of a list is one sentence.
        """
    assert prose(text) == [
        "Mix Colour objects as the manual says.",
        "The colour that is kept until the end.",
        "The colour that is thrown away after that.",
        "Every item of a list is one sentence.",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Too short.",
        "This sentence does not end",
        "this sentence begins with a small letter.",
        "Set x = 3 before you call it.",
        "Call it with {name} in the format.",
        "The template says %(klass)s of this thing.",
        "See https://docs.python.org for all the rest.",
        "A parenthesis (that is never closed stands here.",
        "Valid names: background, bd, bg, class, colormap, cursor, height, width, menu.",
        "Uses a1 b2 c3 d4 e5 f6 as names.",
        "This is described in [1]_.",
        "The value of :math:`ab` is taken as it is.",
        "One sentence is whole. Set a = b, then c = d, then e = f, and last of all g = h or i.",
    ],
)
def test_prose_leaves_out(text):
    assert prose(text) == []


def test_prose_leaves_a_heading_out():
    sentence = "What stands below it is a sentence."
    assert prose(f"Notes\n-----\n{sentence}") == [sentence]


def test_prose_keeps_sentences_that_look_odd():
    text = "End with print(x), as Python's own \"dis\" (or n_jobs) does. It's 3.5 times as fast!"
    assert prose(text) == [text]


# ---- embedded


@pytest.fixture
def library(tmp_path, monkeypatch) -> Path:
    """A standard library of our own, without any other package."""
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(documentation, "PACKAGES", ("python", "not_installed"))
    return tmp_path


def chapter(k: int) -> str:
    """Sentences that share few runs of words with those of another `k`."""
    words = [
        "amber",
        "birch",
        "cedar",
        "delta",
        "ember",
        "fjord",
        "grove",
        "heath",
        "inlet",
        "jetty",
    ]
    a, b, c = (words[k // 10**n % 10] for n in range(3))
    return f"The {a} {b} {c} stood there. Beside the {c} {a} {b} we {b} {c} the {a} all day long."


def write_module(library: Path, name: str, text: str) -> None:
    file = library / f"{name}.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def test_documentation_is_read_from_modules_classes_and_functions(library, monkeypatch):
    monkeypatch.setattr(documentation, "SHORT", 30)
    write_module(
        library,
        "inner/__init__",
        '''"""The module says something at its beginning."""
raise RuntimeError("nothing is imported")
class Box:
    """The box holds all that there is."""
    async def open(self):
        """Opening takes quite a while here."""
        def hidden():
            """Functions inside of functions do not count."""
add_docstr(torch.abs, r"""abs(x) -> Tensor

Functions in C have their text added later.""")
setup("""Other calls say nothing to the reader.""")
def tiny(): """Short ones go together."""
def small(): """Also this short one."""
''',
    )
    write_module(library, "tests/test_inner", '"""Tests are not what we want to read."""')
    write_module(library, "broken", '"""A file that cannot be parsed is left out."""\n1 +')
    write_module(library, "code", '"""Mostly code is in this file here."""\n' + "x = 1\n" * 100)
    (library / "link.py").symlink_to(library / "nowhere.py")
    assert list(read_documentation()) == [
        Document("python", "inner", "", "The module says something at its beginning."),
        Document(
            "python",
            "inner",
            "Box",
            "The box holds all that there is.\nOpening takes quite a while here.",
        ),
        Document("python", "inner", "torch.abs", "Functions in C have their text added later."),
        Document("python", "inner", "", "Short ones go together.\nAlso this short one."),
    ]


# What the outline of a source must not lose or take for something else.
ODD_SOURCES = {
    "heads": """def a(): "One line."; b = 1
def c(x: dict = {1: 2},
      y=":",
) -> int:  # a remark
    # another
    "The text."
    if x:
        return y
async def d(
    x,
):

    r'''Two
lines.'''
    return x
def e(x): return x
class F: "Last."
""",
    "bodies": """class A:
    "The class."
    x = 1
    def b(self):
        x = [
    1,  # at the margin of the head
        ]
# a remark at the left
        def hidden():
            "Not read."
        class Hidden:
            "Not read."
        return x
    @property
    def c(self):
        x = '''
    def no_function(self):
        "Not read."
'''
        return x

    def d(self):
        "Read."
    class E:
        def f(self): "Read, too."
if A:
    def g():
        "Not at the top."
""",
    "strings": """class A:
    '''Like this:

    def b(self):
        return 1
    The text goes on.'''
    def b(self):
        return "'''"
    def c(self):
        "Read."
def d():
    return ["'''", '\"\"\"']
def e():
    "Read."
""",
}


def docstrings_with(outline, source: str, folder: Path, monkeypatch) -> list:
    monkeypatch.setattr(docstrings, "_outline", outline)
    monkeypatch.setattr(docstrings, "DOCUMENTED", 0.0)
    write_module(folder, "m", source)
    return list(docstrings.read_docstrings("m", folder / "m.py"))


@pytest.mark.parametrize("name", ODD_SOURCES)
def test_outline_has_the_docstrings_of_the_source(name, tmp_path, monkeypatch):
    source = ODD_SOURCES[name]
    found = docstrings_with(docstrings._outline, source, tmp_path, monkeypatch)
    assert found == docstrings_with(bytes, source, tmp_path, monkeypatch)
    assert sum(len(texts) for _, texts in found) >= 3


def test_outline_leaves_bodies_out():
    body = "    for k in range(9):\n        print(k)\n    return 1\n"
    source = f"class A:\n    x = 1\ndef f(a,\n      b):\n    'Text.'\n{body}def g():\n{body}y = 2\n"
    wanted = "class A:\n    x = 1\ndef f(a,\n      b):\n    'Text.'\ndef g():\n    pass\ny = 2\n"
    assert docstrings._outline(source.encode()).decode() == wanted


@pytest.mark.slow
def test_outline_has_the_docstrings_of_the_standard_library(monkeypatch):
    modules = list(docstrings.source_files("python"))
    found = [list(docstrings.read_docstrings(*module)) for module in modules]
    monkeypatch.setattr(docstrings, "_outline", bytes)
    for module, texts in zip(modules, found, strict=True):
        assert texts == list(docstrings.read_docstrings(*module)), module
    assert sum(map(bool, found)) > 100


def test_documentation_has_the_chapters_of_the_manual(library, monkeypatch):
    monkeypatch.setattr(documentation, "SHORT", 30)
    text = "topics = {'if': 'The \"if\" statement is used for choices.\\n', 'b': 'No prose'}"
    write_module(library, "pydoc_data/topics", text)
    expected = 'The "if" statement is used for choices.'
    assert list(read_documentation()) == [Document("python", "pydoc_data.topics", "if", expected)]


def test_documentation_says_nothing_nearly_twice(library):
    for k, colour in enumerate(("red", "green", "blue")):
        text = f"The painter puts one thin coat of {colour} paint on the old door before lunch."
        write_module(library, f"m{k}", f'"""{text}"""\ndef f():\n    """{chapter(k)}"""\n')
    lines = [line for document in read_documentation() for line in document.text.split("\n")]
    assert sum(line.startswith("The painter") for line in lines) == 1 and len(lines) == 4


def embedded_modules(library: Path, numbers: range) -> TextData:
    for k in numbers:
        write_module(library, f"m{k}", f'"""{chapter(k)}"""')
    return load_texts()


def test_embedded_split_does_not_move_when_modules_come(library):
    before = embedded_modules(library, range(300))
    assert_apart(before)
    after = embedded_modules(library, range(300, 420))
    for old, new in zip(parts_of(before), parts_of(after), strict=True):
        # What may go is a paragraph that a new module, which is read earlier, also has.
        assert len(set(old) - set(new)) <= 0.02 * len(old) and len(new) > len(old)
    counts = [len(part) for part in parts_of(after)]
    assert counts[0] > 0.8 * sum(counts) and min(counts) > 0.02 * sum(counts)


def test_embedded_limit_reads_no_further_than_it_must(library, monkeypatch):
    whole = embedded_modules(library, range(200))
    parsed = []
    read = documentation.read_docstrings
    monkeypatch.setattr(
        documentation, "read_docstrings", lambda *file: parsed.append(file) or read(*file)
    )
    some = load_texts(max_bytes=2_000)
    assert some.train == whole.train[: len(some.train)]
    assert 2_000 - 200 < size(some.train) <= 2_000
    assert (some.validation, some.test) == (whole.validation, whole.test)
    assert len(parsed) < 80
    cut = whole.first(2_000)
    assert (cut.train, cut.validation, cut.test) == (some.train, some.validation, some.test)
    assert whole.first(None) == whole
    with pytest.raises(ValueError, match=r"max_bytes=3 leaves no training text.*give at least \d+"):
        load_texts(max_bytes=3)


def test_split_is_the_same_on_every_machine():
    assert round(stable_hash("torch.nn"), 6) == 0.462075


def test_embedded_modules_are_not_torn_apart(library, monkeypatch):
    monkeypatch.setattr(documentation, "SHORT", 30)
    for k in range(60):
        functions = [f'def f{n}():\n    """{chapter(10 * k + n)}\n"""\n' for n in range(3)]
        write_module(library, f"m{k}", "".join(functions))
    part_of = {document: part for part in PARTS for document in getattr(load_texts(), part)}
    parts_of_module: dict[str, set[str]] = {}
    for document in read_documentation():
        parts_of_module.setdefault(document.module, set()).add(part_of[document.text])
    assert len(part_of) > 120 and len(parts_of_module) == 60
    assert all(len(parts) == 1 for parts in parts_of_module.values())


def test_documentation_leaves_the_garbage_collector_on():
    assert gc.isenabled()
    next(read_documentation())
    assert gc.isenabled()


def test_embedded_says_when_python_has_no_source(library):
    with pytest.raises(FileNotFoundError, match=r"no documentation in .*source='hub' or give a fo"):
        load_texts()


@pytest.fixture(scope="module")
def some() -> TextData:
    """Real documentation: the held-out parts and the beginning of the training part."""
    return load_texts(max_bytes=400_000)


@pytest.mark.slow
def test_embedded_text_is_clean(some):
    documents = [document for part in parts_of(some) for document in part]
    lines = [line for document in documents for line in document.split("\n")]
    assert len(lines) == len(set(lines)) > 5_000
    for pattern in (r"[`*\\{}<>|=~^@#$\[\]+]", r"::|//|>>>", r"\s\s|\s[.,] ", r":\w+:`"):
        assert not [line for line in lines if re.search(pattern, line)], pattern
    assert all(re.fullmatch(r"[\"'(]?[A-Z].* .* .*[.!?][\"')]*", line) for line in lines)
    assert all(line.isascii() for line in lines)
    common = sum(line.lower().split().count("the") for line in lines)
    words = sum(len(line.split()) for line in lines)
    assert 0.05 < common / words < 0.11, "as much of it is 'the' as of other English prose"


@pytest.mark.slow
def test_embedded_text_comes_from_several_packages(some):
    assert_apart(some)
    assert some.name == "embedded"
    for package in ("python", "torch", "numpy", "sklearn", "matplotlib", "transformers"):
        assert package in some.origin
    assert 300_000 < size(some.train) <= 400_000
    # The whole has 90/5/5: about 4.8, 0.3 and 0.3 million bytes.
    assert all(100_000 < size(part) < 600_000 for part in (some.validation, some.test))


@pytest.mark.slow
def test_embedded_parts_share_hardly_any_run_of_eight_words(some):
    def runs(part):
        return {
            " ".join(words[k : k + 8])
            for document in part
            for words in [document.lower().split()]
            for k in range(len(words) - 7)
        }

    train, validation, test = map(runs, parts_of(some))
    for held in (validation, test):
        assert len(held & train) < 0.01 * len(held)


# ---- a folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def articles(count: int, start: int = 0) -> str:
    return "".join(
        f" \n = Title {k} = \n \n Wörds of <unk> {k} .\n \n = = Part = = \n \n x = y = z\n"
        for k in range(start, start + count)
    )


@pytest.mark.parametrize("ending", [".txt", ".txt.gz"])
@pytest.mark.parametrize("valid", ["valid", "validation", "dev", "val"])
def test_folder_has_its_parts(tmp_path, ending, valid):
    write(tmp_path / f"train{ending}", articles(5))
    write(tmp_path / f"{valid}{ending}", articles(2, 5))
    write(tmp_path / f"test{ending}", articles(3, 7))
    write(tmp_path / "LICENCE.txt", "No data.")
    data = load_texts(tmp_path)
    assert [len(part) for part in parts_of(data)] == [5, 2, 3]
    assert data.train[0].startswith(" = Title 0 = \n \n Wörds of <unk> 0 .")
    assert data.name == tmp_path.name and f"train{ending}" in data.origin
    assert "LICENCE" not in data.origin and str(tmp_path) not in data.origin
    limit = size(data.train[:2])
    assert load_texts(str(tmp_path), max_bytes=limit).train == data.train[:2]
    assert load_texts(tmp_path, max_bytes=limit - 1).train == data.train[:1]
    assert limit > len("".join(data.train[:2])), "bytes, not characters"


def test_cut_documents_changes_no_line():
    for text in (articles(4), "one\n\ntwo\n" * 900, "word\n" * 9_000, "  \n\n"):
        lines = text.split("\n")
        cut = list(cut_documents(lines))
        assert "\n".join(cut).split() == text.split()
        assert all(document.strip() for document in cut)
        assert all(len(document) < 8_100 for document in cut)
        assert set("\n".join(cut).split("\n")) <= set(lines)


def test_cut_documents_takes_only_titles_for_titles():
    text = " = A = \n\n a\n = no title = \n b\n\n = = Section = = \n\n = B = \n\n b\n"
    assert [d.split("\n")[0] for d in cut_documents(text.split("\n"))] == [" = A = ", " = B = "]


def story(paragraphs: int) -> str:
    return "\n".join(f"Paragraph {k} goes on. {'And on. ' * 300}\n" for k in range(paragraphs))


def test_any_texts_are_split_the_same_way_each_time(tmp_path):
    first, second = story(60), story(90)[len(story(60)) :]
    write(tmp_path / "a" / "one.txt", first)
    write(tmp_path / "a" / "two.txt.gz", second)
    data = load_texts(tmp_path / "a")
    assert_apart(data)
    assert sum(map(len, parts_of(data))) == 90 and len(data.train) > 70
    assert "split by hash" in data.origin and data == load_texts(tmp_path / "a")
    write(tmp_path / "b" / "all.txt", first)
    fewer = load_texts(tmp_path / "b" / "all.txt")
    kept = [set(part) for part in parts_of(data)]
    assert all(set(part) <= whole for part, whole in zip(parts_of(fewer), kept, strict=True))
    write(tmp_path / "c" / "1.txt", second)
    write(tmp_path / "c" / "2.txt", first)
    assert [set(part) for part in parts_of(load_texts(tmp_path / "c"))] == kept, "any order"


def test_a_short_text_has_all_parts(tmp_path):
    data = load_texts(write(tmp_path / "short.txt", story(3)))
    assert [len(part) for part in parts_of(data)] == [1, 1, 1]
    with pytest.raises(ValueError, match=r"too short to split \(documents found: 2\): give more"):
        load_texts(write(tmp_path / "short.txt", story(2)))


def test_a_missing_validation_part_is_taken_out_of_train(tmp_path):
    write(tmp_path / "train.txt", articles(100))
    write(tmp_path / "test.txt", articles(3, 100))
    data = load_texts(tmp_path)
    assert_apart(data)
    assert len(data.train) + len(data.validation) == 100 and len(data.test) == 3
    assert 1 <= len(data.validation) <= 15 and "validation taken out of train" in data.origin


WRONG = {
    "nothing": ({}, FileNotFoundError, "no file or folder .*source='embedded'"),
    "no text": ({"a.pdf": "x"}, ValueError, r"holds none \(found: a.pdf\): expected train"),
    "no test": ({"train.txt": "x", "dev.txt": "y"}, ValueError, "no test part"),
    "twice": ({"train.txt": "x", "train.txt.gz": "x"}, ValueError, "one file for train.*txt.gz"),
    "empty": ({"train.txt": "x", "test.txt": " \n"}, ValueError, "no text in its test part"),
    "not utf-8": ({"train.txt": "x", "test.txt": b"\xff\x01"}, ValueError, "test.txt, line 1"),
    "cut": ({"train.txt": "x", "test.txt.gz": b"\x1f\x8b\x08"}, ValueError, "cut short"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_folder_is_refused(tmp_path, case):
    files, error, message = WRONG[case]
    for name, content in files.items():
        if isinstance(content, bytes):
            (tmp_path / "texts").mkdir(exist_ok=True)
            (tmp_path / "texts" / name).write_bytes(content)
        else:
            write(tmp_path / "texts" / name, content)
    with pytest.raises(error, match=message) as caught:
        load_texts(tmp_path / "texts")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"source": 3}, TypeError, "'embedded', 'hub' or a path, got 3"),
        ({"source": ""}, TypeError, "got ''"),
        ({"max_bytes": 0}, ValueError, "whole number from 1, got 0"),
        ({"max_bytes": 1.5}, ValueError, "got 1.5"),
        ({"name": "a/b"}, ValueError, "source='hub'"),
        ({"source": "hub", "name": "wikitext"}, ValueError, "owner/name"),
    ],
)
def test_bad_arguments_are_refused(arguments, error, message):
    with as_a_reader(), pytest.raises(error, match=message):
        load_texts(**arguments)


# ---- the hub

LOAD = """
import sys
import sysconfig
from course_utils.datasets import load_texts
try:
    data = load_texts("hub", name=sys.argv[1] or None, max_bytes=600)
    print(len(data.train), len(data.validation), len(data.test), data.name, data.train[0][:12])
except (ConnectionError, ValueError) as error:
    print(error)
"""


def ask(url: str, cache: Path, name: str = "") -> str:
    online = {"HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "no_proxy": "127.0.0.1"}
    settings = {"HF_ENDPOINT": url, "HF_HOME": str(cache), "PYTHONPATH": PYTHONPATH}
    environment = {**os.environ, **online, **settings, "PYTHONIOENCODING": "utf-8"}
    for variable in ("HF_DATASETS_CACHE", "HF_HUB_CACHE", "HF_TOKEN"):
        environment.pop(variable, None)
    words = [sys.executable, "-c", LOAD, name]
    run = subprocess.run(words, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def make_hub(root: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    folder = root / "Salesforce" / "wikitext" / "wikitext-2-raw-v1"
    folder.mkdir(parents=True)
    card = ["---", "configs:", "- config_name: wikitext-2-raw-v1", "  data_files:"]
    for part, count in (("train", 30), ("validation", 4), ("test", 5)):
        lines = articles(count).splitlines(keepends=True)
        rows = pa.Table.from_pylist([{"text": "" if line == " \n" else line} for line in lines])
        parquet.write_table(rows, folder / f"{part}-00000-of-00001.parquet")
        card += [f"  - split: {part}", f"    path: wikitext-2-raw-v1/{part}-*"]
    write(folder.parent / "README.md", "\n".join([*card, "---", ""]))
    stories = "".join(f'{{"text": "Once upon a time {k}.\\nThe end."}}\n' for k in range(50))
    write(root / "some" / "stories" / "train.jsonl", stories)
    write(root / "some" / "pairs" / "train.jsonl", '{"en": "x"}\n')


@pytest.mark.slow
def test_hub_stand_in_serves_wikitext_and_stories(tmp_path):
    pytest.importorskip("datasets")
    make_hub(tmp_path / "hub")
    wikitext = "9 4 5 wikitext-2-raw-v1  = Title 0 ="
    with HubServer(tmp_path / "hub") as hub:
        assert ask(hub.url, tmp_path / "cache") == wikitext
        found = ask(hub.url, tmp_path / "cache", "some/stories").split()
        assert found[3:] == ["stories", "Once", "upon", "a"] and min(map(int, found[:3])) > 0
        message = ask(hub.url, tmp_path / "cache", "some/pairs")
        assert (
            "some/pairs on the hub, train: the columns found are 'en'; expected 'text'" in message
        )
    # What was fetched is there when the hub is gone; what was not is asked for in vain.
    assert ask(hub.url, tmp_path / "cache") == wikitext
    message = ask(hub.url, tmp_path / "empty")
    assert "could not load the data set Salesforce/wikitext wikitext-2-raw-v1" in message
    assert len(message.splitlines()) == 1


# ---- the real thing


@pytest.mark.data
def test_wikitext_2_has_the_known_sizes(data_dir):
    data = load_texts(data_dir / "wikitext-2")
    assert [len(part) for part in parts_of(data)] == [600, 60, 60]
    file = data_dir / "wikitext-2" / "train.txt.gz"
    assert "\n".join(data.train) == gzip.decompress(file.read_bytes()).decode().removeprefix(" \n")
