"""Labelled examples: the three tasks out of docstrings, draws, folders, errors."""

import csv
import sysconfig
from collections import Counter
from itertools import pairwise

import pytest
from helpers import as_a_reader

from course_utils.datasets import LabelledData, LabelledExample, labelled, load_labelled
from course_utils.datasets.documentation import labelled_sentences, stable_hash
from course_utils.datasets.labelled import LIBRARIES
from course_utils.datasets.texts import HELD_OUT

TASKS = ("library", "code words", "names")
every_task = pytest.mark.parametrize("task", TASKS)


@pytest.fixture(scope="module")
def loaded():
    """The real examples; reading takes some seconds, once."""
    return {task: load_labelled(task) for task in TASKS}


@pytest.fixture
def fresh():
    """Nothing that was read before is remembered, nor what is read here."""
    for remembered in (labelled._definitions, labelled._sentences):
        remembered.cache_clear()
    yield
    for remembered in (labelled._definitions, labelled._sentences):
        remembered.cache_clear()


@pytest.fixture
def library(tmp_path, monkeypatch, fresh):
    """Write modules into a standard library of our own, which is all there is."""
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(labelled, "PACKAGES", ("python", "not_installed"))

    def write(held_out, *docstrings):
        names = (f"m{k}" for k in range(10_000))
        part = (0, 2 * HELD_OUT) if held_out else (2 * HELD_OUT, labelled.READ)
        name = next(
            n
            for n in names
            if part[0] <= stable_hash(n) < part[1] and not (tmp_path / f"{n}.py").exists()
        )
        text = "\n".join(f'def {name}():\n    """{text}"""' for name, text in docstrings)
        (tmp_path / f"{name}.py").write_text(text + "\n", encoding="utf-8")

    return write


# ---- sentences and their code


def test_words_that_are_set_as_code_are_marked():
    docstring = """Sort the ``values`` by `axis`, as :func:`~torch.sort` does (or by
    :class:`the key`).

    Plain words stay here. Let [`Trainer`] run for `one_epoch()` before you stop it.

    >>> code_is(left_out)
    """
    assert list(labelled_sentences(docstring)) == [
        "Sort the valuesqzq by axisqzq, as sortqzq does (or by theqzq keyqzq).",
        "Plain words stay here.",
        "Let Trainerqzq run for one_epochqzq before you stop it.",
    ]


@pytest.mark.parametrize(
    ("sentence", "words", "labels"),
    [
        ("Use axisqzq, or (keyqzq).", "Use axis , or ( key ) .", "0 1 0 0 0 1 0 0"),
        ("Let x.yqzq be 'it'!", "Let x.y be ' it ' !", "0 1 0 0 0 0 0"),
    ],
)
def test_sentence_is_cut_into_words_and_marks(sentence, words, labels):
    found = labelled._tagged(sentence)
    assert (" ".join(found[0]), " ".join(map(str, found[1]))) == (words, labels)


@pytest.mark.parametrize(
    "sentence", ["The aqzq/bqzq is.", "Take 'myqzq it'qzq out.", "A -1qzq is."]
)
def test_sentence_with_other_code_than_words_is_left_out(sentence):
    assert labelled._tagged(sentence) is None


def test_code_words_are_those_of_the_docstring(library):
    library(True, ("f", "Give the ``size`` of all boxes that stand in the ``cellar``."))
    library(False, ("g", "Nobody knows the ``depth`` of a lake that is frozen in winter."))
    library(False, ("h", "This sentence has no code in it, so it is no example."))
    data = load_labelled("code words")
    [test], [train] = data.test, data.train
    assert " ".join(test.text) == "Give the size of all boxes that stand in the cellar ."
    assert [w for w, label in zip(test.text, test.label, strict=True) if label] == [
        "size",
        "cellar",
    ]
    assert [w for w, label in zip(train.text, train.label, strict=True) if label] == ["depth"]
    assert data.label_names == ("O", "CODE")
    assert data.labels_words


# ---- what every task's examples are like


@every_task
def test_there_are_enough_examples_and_classes_are_equally_frequent(loaded, task):
    data = loaded[task]
    assert len(data.train) >= 600
    assert len(data.test) >= 700
    if task != "code words":
        for part in (data.train, data.test):
            counts = Counter(example.label for example in part)
            assert len(set(counts.values())) == 1
            assert set(counts) == set(range(len(data.label_names)))
    assert data.name == task
    assert "installed packages" in data.origin


@every_task
def test_no_example_twice_and_lengths_as_asked(loaded, task):
    data = loaded[task]
    texts = [(example.text, example.pair) for example in data.train + data.test]
    assert len(set(texts)) == len(texts)
    for example in data.train + data.test:
        words = example.text if isinstance(example.text, str) else " ".join(example.text)
        assert len((example.pair or words).split()) <= 40 + 20 * (task == "code words")
    short = load_labelled(task, max_words=12)
    assert 0 < len(short.test) < len(data.test)
    if task == "library":
        assert all(8 <= len(e.text.split()) <= 12 for e in short.train + short.test)


def test_library_is_not_named(loaded):
    data = loaded["library"]
    for example in data.train + data.test:
        assert not any(name in example.text.lower() for name in LIBRARIES)
        assert "dataframe" not in example.text.lower()
    assert data.label_names == LIBRARIES


@every_task
def test_examples_come_from_the_modules_of_their_part(loaded, task):
    held_out = {True: set(), False: set()}
    for _, part, _, docstring in labelled._definitions():
        held_out[part].add(docstring)
    words = {part: " ".join(" ".join(texts).split()) for part, texts in held_out.items()}
    plain = [e for e in loaded[task].test if isinstance(e.text, str)]
    found = [(e.pair or e.text) in words[True] for e in plain]
    assert sum(found) >= 0.6 * len(plain)  # the others had markup
    if task == "library":
        assert sum(e.text in words[False] for e in plain) < 0.05 * len(plain)


def test_held_out_is_what_texts_hold_out(library):
    for held_out in (True, False, True, False):
        library(held_out, ("f", f"Held out is {held_out} here."))
    from course_utils.datasets.texts import _part

    found = labelled._definitions()
    assert [held_out for _, held_out, _, _ in found] == [True, True, False, False]
    assert all(f"is {held_out} here" in text for _, held_out, _, text in found)
    for share in (0.0, 0.049, 0.051, 0.099, 0.101, 0.2):
        key = next(str(k) for k in range(10**6) if abs(stable_hash(str(k)) - share) < 1e-3)
        assert (_part(key) != "train") == (stable_hash(key) < 2 * HELD_OUT)


def test_sentence_that_says_nearly_the_same_is_left_out(library):
    text = "Give the ``size`` of all the boxes that stand in the ``{}``."
    library(True, ("f", text.format("cellar")))
    library(False, ("g", text.format("kitchen")))
    library(False, ("h", "Nobody knows the ``depth`` of a lake that is frozen in winter."))
    assert len(load_labelled("code words").train) == 1


# ---- names


def test_names_are_cut_into_words():
    names = ("sort_values", "SortValues", "HTTPServer", "run", "_hidden_thing", "conv2d_same")
    found = [labelled._words_of(name) for name in names]
    assert found == ["sort values", "sort values", "http server", "", "", ""]


def test_names_have_their_own_summary_or_another_function_s(loaded):
    data = loaded["names"]
    own = {example.text: set() for example in data.train + data.test}
    for _, _, name, docstring in labelled._definitions():
        if (words := labelled._words_of(name)) in own:
            sentences = labelled_sentences(docstring.strip().partition("\n\n")[0])
            own[words] |= {sentence.replace("qzq", "") for sentence in sentences}
    for example in data.train + data.test:
        assert (example.pair in own[example.text]) == bool(example.label), example
    for values in ("text", "pair"):
        found = [getattr(e, values) for e in data.train + data.test]
        assert len(set(found)) == len(found)


def test_pairs_of_few_names_never_have_their_own_summary_by_accident():
    about = [(f"name {k}", f"summary {k}") for k in range(5)]
    for count, unlike in ((1, 0), (2, 0), (3, 2), (5, 3)):
        pairs = [*labelled._pairs(about[:count])]
        assert [pair.label for pair in pairs].count(0) == unlike
        assert all((p.text[-1] == p.pair[-1]) == bool(p.label) for p in pairs)


# ---- draws


def example_data(classes, count=20, words=False):
    train = [
        LabelledExample(f"text {c} {k}", (c, 0) if words else c)
        for c in range(classes)
        for k in range(count)
    ]
    names = tuple("abcdefgh"[:classes])
    return LabelledData(train=train, test=train[:1], label_names=names, name="n", origin="o")


@pytest.mark.parametrize(("classes", "count"), [(2, 10), (3, 10), (5, 3), (4, 80), (6, 1)])
def test_draw_has_as_many_of_each_class(classes, count):
    data = example_data(classes)
    drawn = data.draw(count, 3)
    counts = Counter(example.label for example in drawn)
    assert len(drawn) == count == len(set(drawn))
    assert max(counts.values()) - min(counts[c] for c in range(classes)) <= 1
    assert drawn == data.draw(count, 3)
    assert count == 80 or drawn != data.draw(count, 4)


def test_draws_are_even_over_examples_and_their_order():
    data = example_data(2, 4)
    counts = Counter(example for seed in range(400) for example in data.draw(4, seed))
    assert all(abs(counts[example] - 200) < 60 for example in data.train)
    first = Counter(data.draw(4, seed)[0].label for seed in range(400))
    assert abs(first[0] - 200) < 60
    labels = [example.label for example in example_data(2).draw(40)]
    assert sum(a != b for a, b in pairwise(labels)) > 5  # the classes are mixed
    more = Counter(Counter(e.label for e in data.draw(3, seed))[0] for seed in range(400))
    assert abs(more[1] - 200) < 60


def test_texts_whose_words_have_labels_are_drawn_evenly():
    data = example_data(2, 4, words=True)
    counts = Counter(example for seed in range(400) for example in data.draw(2, seed))
    assert len(counts) == 8
    assert all(abs(count - 100) < 45 for count in counts.values())


@pytest.mark.parametrize("count", [0, -1, 41])
def test_draw_of_too_few_or_too_many_is_an_error(count):
    with pytest.raises(ValueError, match=rf"{count} examples are asked for.*'[ab]'.*there are 20"):
        example_data(2).draw(count)


# ---- folders and errors


def write_table(file, header, *rows):
    with file.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines).writerows([header, *rows])


def test_folder_of_texts_is_read(tmp_path):
    write_table(tmp_path / "train.csv", ("label", "text"), ("pos", "Good, indeed"), ("neg", "bad"))
    write_table(tmp_path / "test.csv", ("text", "label"), ("so bad", "neg"), ("a b c d", "pos"))
    data = load_labelled(source=tmp_path, max_words=3)
    assert data.label_names == ("neg", "pos")
    assert data.train == [LabelledExample("Good, indeed", 1), LabelledExample("bad", 0)]
    assert data.test == [LabelledExample("so bad", 0)]
    assert tmp_path.name in data.origin


def test_folder_of_pairs_and_of_words_is_read(tmp_path):
    for part in ("train", "test"):
        write_table(tmp_path / f"{part}.csv", ("text", "pair", "label"), ("a", "b", "yes"))
    assert load_labelled(source=str(tmp_path)).test == [LabelledExample("a", 0, "b")]
    for part in ("train", "test"):
        write_table(tmp_path / f"{part}.csv", ("text", "labels"), ("a b c", "O X O"))
    data = load_labelled(source=str(tmp_path))
    assert data.test == [LabelledExample(("a", "b", "c"), (0, 1, 0))]
    assert data.labels_words


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (("text", "class"), ("a", "b"), r"test.csv has the columns \['text', 'class'\], expected"),
        (("text", "labels"), ("a b", "O"), r"test.csv, row 2: 2 words and 1 labels"),
        (("text", "label"), ("a", "new"), r"test.csv has labels that train.csv lacks: \['new'\]"),
        (("text", "label"), ("a b c d", "old"), r"test.csv has no example of 3 words at most"),
    ],
)
def test_wrong_table_is_named(tmp_path, header, row, message):
    write_table(tmp_path / "train.csv", ("text", "label"), ("a", "old"))
    write_table(tmp_path / "test.csv", header, row)
    with pytest.raises(ValueError, match=message):
        load_labelled(source=tmp_path, max_words=3)


def test_missing_folder_and_wrong_arguments_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train.csv .looked for from.*source='embedded'"):
        load_labelled(source=tmp_path / "nowhere")
    with pytest.raises(
        ValueError, match="task is one of 'library', 'code words', 'names', got 'x'"
    ):
        load_labelled("x")
    with (
        as_a_reader(),
        pytest.raises(TypeError, match="source must be 'embedded' or a folder, got 3"),
    ):
        load_labelled(source=3)


@every_task
def test_no_documentation_is_an_error(library, task):
    with pytest.raises(ValueError, match=rf"no example of '{task}' with max_words=9 .*give a fold"):
        load_labelled(task, max_words=9)
