"""Sentence pairs from every source: what is read, how it is split, what is refused."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_server import HubServer

from course_utils.datasets import TranslationData, TranslationPair, load_translation
from course_utils.datasets.translation import references_by_source

ROOT = Path(__file__).resolve().parents[1]
PYTHONPATH = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
FRENCH = ("fr", "en")
WORDS = ["chat", "été", "œuf", "garçon", "maïs", "forêt", "lit", "sac"]


def lines(count: int, start: int = 0) -> list[str]:
    """English first, as ManyThings ships it."""
    return [
        f"I see {n} cats.\tJe vois {n} {WORDS[n % len(WORDS)]}."
        for n in range(start, start + count)
    ]


def write(path: Path, rows: list[str], header: str | None = None, end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = rows if header is None else [header, *rows]
    data = "".join(row + end for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def sources(pairs: list[TranslationPair]) -> set[str]:
    return {pair.source for pair in pairs}


def assert_apart(data: TranslationData) -> None:
    parts = [sources(part) for part in (data.train, data.validation, data.test)]
    assert all(parts)
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


@pytest.fixture
def shared_data() -> Path:
    if "COURSE_DATA_DIR" not in os.environ:
        pytest.skip("COURSE_DATA_DIR is not set: no real sentence pairs to check with")
    return Path(os.environ["COURSE_DATA_DIR"]) / "tatoeba_eng_fra"


# ---- embedded


@pytest.fixture(scope="module")
def embedded() -> TranslationData:
    return load_translation()


def test_embedded_parts_are_apart(embedded):
    assert embedded.languages == ("ru", "en") and embedded.origin
    assert_apart(embedded)


def test_embedded_limits_keep_first_short_pairs_and_repeat(embedded):
    data = load_translation("embedded", ("ru", "en"), max_pairs=50, max_words=5)
    short = [p for p in embedded.train if max(map(len, map(str.split, (p.source, p.target)))) <= 5]
    assert data.train == short[:50] and len(data.train) == 50
    held = [data.validation, data.test, data.compositional, *data.clauses.values()]
    assert all(len(p.target.split()) <= 5 for part in held for p in part)
    assert set(data.clauses) == set(embedded.clauses)


# ---- a folder


def test_max_words_counts_both_sides(tmp_path):
    rows = [f"One {n}.\tUn {n}." for n in range(40)]
    rows += [f"One and two {n}.\tDeux {n}." for n in range(20)]
    rows += [f"Two {n}.\tUn et un {n}." for n in range(20)]
    data = load_translation(write(tmp_path / "fra.txt", rows), FRENCH, max_words=3)
    pairs = data.train + data.validation + data.test
    assert sorted(pair.source for pair in pairs) == sorted(f"un {n} ." for n in range(40))


def test_single_file_is_split_by_source(tmp_path):
    rows = [*lines(200), "I see you.\tJe vois 7 garçon.", "I spot 7 cats.\tJe vois 7 sac."]
    data = load_translation(write(tmp_path / "fra.txt", rows), FRENCH)
    assert_apart(data)
    assert [len(sources(part)) for part in (data.train, data.validation, data.test)] == [
        161,
        20,
        20,
    ]
    assert sum(map(len, (data.train, data.validation, data.test))) == 202
    assert data.train[0].source.startswith("je vois") and data.languages == FRENCH
    assert str(tmp_path) not in data.origin and "fra.txt" in data.origin


def test_split_is_the_same_everywhere(tmp_path):
    file = write(tmp_path / "fra.txt", lines(20))
    data = load_translation(file, FRENCH)
    # The two smallest of 20 draws of `random.Random(0).random()` have the indices 15 and 3, then
    # those of 18 draws, for the 18 sentences that are left, belong to 17 and 4.
    assert [pair.target for pair in data.test] == ["i see 3 cats .", "i see 15 cats ."]
    assert [pair.target for pair in data.validation] == ["i see 4 cats .", "i see 17 cats ."]
    assert load_translation(str(file), FRENCH, seed=1).test != data.test


def test_no_header_takes_english_from_the_first_column(tmp_path):
    write(tmp_path / "rus-eng" / "_about.txt", ["a licence"])
    write(tmp_path / "rus-eng" / "rus.txt", [f"Go {n}!\tИди {n}!\tCC-BY 2.0" for n in range(30)])
    to_english = load_translation(tmp_path / "rus-eng", ("ru", "en"))
    from_english = load_translation(tmp_path / "rus-eng", ("en", "ru"))
    assert to_english.train[0].source.startswith("иди") and to_english.train[0].target[:2] == "go"
    assert from_english.train[0].source.startswith("go")
    with pytest.raises(ValueError, match=r"rus\.txt, line 1.*first column is English.*source<TAB>"):
        load_translation(tmp_path / "rus-eng", ("ru", "fr"))


@pytest.mark.parametrize("ending", [".tsv", ".txt", ".tsv.gz", ".txt.gz"])
def test_source_and_target_columns_are_read_as_they_are(tmp_path, ending):
    rows = [f"{n}\tje vois {n}\ti see {n}\t{n}" for n in range(60)]
    write(tmp_path / f"train{ending}", rows, "en\tsource\ttarget\tru")
    write(tmp_path / f"test{ending}", [f"ru {row}" for row in rows[:5]], "ru\tsource\ttarget\ten")
    write(tmp_path / "readme.txt", ["not data"])
    data = load_translation(tmp_path, ("ru", "en"))
    assert data.test[0] == TranslationPair("je vois 0", "i see 0")
    assert len(data.test) == 5 and len(data.train) + len(data.validation) == 55
    assert "without 5 pairs" in data.origin
    assert_apart(data)


@pytest.mark.parametrize("valid", ["validation", "valid", "dev", "val"])
def test_language_columns_and_validation_names(tmp_path, valid):
    for part, start in (("train", 0), (valid, 40), ("test", 48)):
        write(tmp_path / f"{part}.tsv", lines(10 if start else 45, start), "en\tfr")
    data = load_translation(tmp_path, FRENCH)
    # 40 to 47 are validation's, 48 and 49 test's: a later part keeps what two parts have.
    assert [len(data.train), len(data.validation), len(data.test)] == [40, 8, 10]
    assert "without 7 pairs" in data.origin
    assert data.test[0].source == "je vois 48 chat ."


def test_language_columns_only_once_named(tmp_path):
    write(tmp_path / "pairs.tsv", lines(30), "en\tde")
    with pytest.raises(ValueError, match=r"pairs\.tsv, line 1.*'en', 'de'.*'fr'"):
        load_translation(tmp_path, FRENCH)
    write(tmp_path / "pairs.tsv", lines(30), "English\tFrench")
    with pytest.raises(ValueError, match=r"line 1.*'English', 'French'"):
        load_translation(tmp_path, FRENCH)


@pytest.mark.parametrize("kind", ["struct", "languages", "source", "shards"])
def test_parquet_layouts_read_alike(tmp_path, kind):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    english, french = zip(*(line.split("\t") for line in lines(40)), strict=True)
    tables = {
        "struct": {
            "translation": [{"en": e, "fr": f} for e, f in zip(english, french, strict=True)]
        },
        "languages": {"id": list(range(40)), "fr": french, "en": english},
        "source": {"target": english, "source": french},
    }
    table = pa.table(tables.get(kind, tables["struct"]))
    parquet.write_table(table.slice(30), tmp_path / "test.parquet")
    pieces = ["train-00000-of-00002", "train-00001-of-00002"] if kind == "shards" else ["train"]
    for index, name in enumerate(pieces):
        piece = table.slice(index * 15, 30 // len(pieces))
        parquet.write_table(piece, tmp_path / f"{name}.parquet")
    data = load_translation(tmp_path, FRENCH)
    everything = sources(data.train) | sources(data.validation) | sources(data.test)
    assert len(everything) == 40 and len(data.test) == 10
    assert data.test[0] == TranslationPair("je vois 30 lit .", "i see 30 cats .")


def test_json_lines_read_as_multi30k_ships_them(tmp_path):
    for part, count in (("train", 20), ("val", 4), ("test", 5)):
        rows = [{"en": f"A {part} {n}.", "de": f"Ein {part} {n}."} for n in range(count)]
        write(tmp_path / f"{part}.jsonl", [json.dumps(row) for row in rows])
    data = load_translation(tmp_path, ("en", "de"))
    assert [len(data.train), len(data.validation), len(data.test)] == [20, 4, 5]
    assert data.test[0] == TranslationPair("a test 0 .", "ein test 0 .")


def test_validation_is_carved_by_source(tmp_path):
    write(tmp_path / "train.tsv", lines(400) + [f"Once more.\tJe vois {n} sac." for n in range(9)])
    write(tmp_path / "test.tsv", lines(10, 1000))
    data = load_translation(tmp_path, FRENCH)
    assert_apart(data)
    assert len(sources(data.validation)) == (400 + 8) // 20
    assert data == load_translation(tmp_path, FRENCH) != load_translation(tmp_path, FRENCH, seed=3)
    assert load_translation(tmp_path, FRENCH, max_pairs=7).train == data.train[:7]


def test_carved_validation_has_at_most_a_thousand_sources(tmp_path):
    write(tmp_path / "train.tsv", lines(21_000))
    write(tmp_path / "test.tsv", lines(10, 50_000))
    assert len(sources(load_translation(tmp_path, FRENCH).validation)) == 1000


def test_duplicates_and_empty_sides_are_dropped(tmp_path):
    extra = ["I see 1 cats.\tJE VOIS 1  été .", "\tVide.", "Empty.\t ", "", "\t"]
    write(tmp_path / "train.tsv", lines(50) + extra)
    write(tmp_path / "test.tsv", lines(3, 90))
    data = load_translation(tmp_path, FRENCH)
    assert len(data.train) + len(data.validation) == 50


def test_several_targets_stay_as_references(tmp_path):
    write(tmp_path / "train.tsv", lines(50))
    rows = ["Go!\tVa !", "Leave!\tVa !", "Run!\tCours !", "GO !\tva !"]
    write(tmp_path / "test.tsv", rows)
    found, references = references_by_source(load_translation(tmp_path, FRENCH).test)
    assert found == ["va !", "cours !"]
    assert references == [["go !", "leave !"], ["run !"]]


def test_line_ends_and_byte_order_mark_change_nothing(tmp_path):
    plain = "\n".join(lines(60)).encode()
    forms = {
        "plain": plain + b"\n",
        "no_end": plain,
        "bom": b"\xef\xbb\xbf" + plain,
        "crlf": plain.replace(b"\n", b"\r\n") + b"\r\n",
        "all": b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"),
        "mac": plain.replace(b"\n", b"\r"),
    }
    found = []
    for name, data in forms.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "fra.txt").write_bytes(data)
        loaded = load_translation(tmp_path / name, FRENCH)
        found.append((loaded.train, loaded.validation, loaded.test))
    assert all(other == found[0] for other in found)
    header = b"\xef\xbb\xbfsource\ttarget\r\n" + plain.replace(b"\n", b"\r\n")
    (tmp_path / "fra.txt").write_bytes(header)
    assert load_translation(tmp_path / "fra.txt", FRENCH).train[0].source.startswith("i see")


def test_unicode_is_kept_and_lines_end_only_at_line_ends(tmp_path):
    rows = [f"One\u2028two\x0b three\x85 {n}.\tЁлка – э́то œuvre déjà {n} 😀" for n in range(10)]
    data = load_translation(write(tmp_path / "rus.txt", rows), ("ru", "en"))
    assert len(data.train) == 8
    assert "ёлка" in data.train[0].source and "œuvre déjà" in data.train[0].source
    assert "😀" in data.train[0].source and data.train[0].target.startswith("one two three")


def test_folder_is_left_as_it_was(tmp_path):
    write(tmp_path / "train.tsv.gz", lines(50))
    write(tmp_path / "test.tsv", lines(5, 90))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path, *tmp_path.rglob("*"))}
    load_translation(tmp_path, FRENCH)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path, *tmp_path.rglob("*"))}


# ---- what is refused


GOOD = "Go.\tVa.\n" * 2
CASES = {
    "one column": (".tsv", (GOOD + "Run!\n").encode(), r"line 3: 1 of 2 columns in 'Run!'"),
    "line ends": (".tsv", b"Go.\tVa.\r\nGo.\tVa.\r\nRun!\r\n", r"line 3: 1 of 2 columns"),
    "no tabs": (".txt", b"Go. Va.\n", r"line 1: 1 of 2 columns.*tab"),
    "no source": (".tsv", b"source\tother\na\tb\n", r"line 1.*'source', 'other'.*'target'"),
    "cp1251": (".tsv", GOOD.encode() + "Go.\tИди.".encode("cp1251"), r"line 3: byte 0xc8.*cp1251"),
    "utf-16": (".txt", GOOD.encode("utf-16"), r"is UTF-16, not UTF-8"),
    "utf-16 without mark": (".txt", GOOD.encode("utf-16-le"), r"line 1: a NUL byte"),
    "nul": (".tsv", GOOD.encode() + b"A\0B\tC\n", r"line 3: a NUL byte"),
    "zero lines": (".tsv", b"", r"no sentence pairs"),
    "blank lines": (".txt", b"\n\n \n", r"no sentence pairs"),
    "header only": (".tsv", b"source\ttarget\n", r"no sentence pairs"),
    "cut gzip": (".txt.gz", gzip.compress(GOOD.encode() * 99)[:-9], r"cut short or is not gzip"),
    "no gzip": (".tsv.gz", GOOD.encode(), r"cut short or is not gzip"),
    "wrong sum": (".tsv.gz", gzip.compress(GOOD.encode())[:-8] + bytes(8), r"is not gzip \(CRC"),
    "no json": (".jsonl", b'{"en": "a", "fr": "b"}\n{"en"\n', r"line 2 is not JSON"),
    "json list": (".jsonl", b'["a", "b"]\n', r"line 1: expected named columns, got \['a'"),
    "json key": (".jsonl", b'{"en": "a", "ru": "b"}\n', r"line 1.*'en', 'ru'.*'fr'"),
    "json number": (".jsonl", b'{"en": "a", "fr": 5}\n', r"line 1: expected two sentences"),
    "no parquet": (".parquet", GOOD.encode(), r"cut short or is not Parquet"),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_file_is_named_with_its_line(tmp_path, case):
    ending, data, message = CASES[case]
    write(tmp_path / "test.tsv", lines(5))
    (tmp_path / f"train{ending}").write_bytes(data)
    with pytest.raises(ValueError, match=rf"train{ending}.*{message}"):
        load_translation(tmp_path, FRENCH)


def test_bad_parquet_columns_are_named(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pa.table({"text": ["a"], "label": [1]}), tmp_path / "pairs.parquet")
    with pytest.raises(ValueError, match=r"pairs\.parquet: .*'text', 'label'.*'source'"):
        load_translation(tmp_path, FRENCH)
    whole = (tmp_path / "pairs.parquet").read_bytes()
    (tmp_path / "pairs.parquet").write_bytes(whole[:-20])
    with pytest.raises(ValueError, match=r"pairs\.parquet is cut short"):
        load_translation(tmp_path, FRENCH)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"it holds nothing.*expected train, test"),
        (["data.xlsx", "readme.txt"], r"it holds data\.xlsx, readme\.txt.*\.tsv"),
        (["fra.txt", "deu.txt"], r"several files \(deu\.txt, fra\.txt\)"),
        (["train.tsv", "valid.tsv"], r"no test part \(found: train, validation\)"),
        (["test.tsv"], r"no train part \(found: test\)"),
        (
            ["train.tsv", "train.txt", "test.tsv"],
            r"one whole file for train.*train\.tsv, train\.txt",
        ),
        (["valid.tsv", "dev.tsv", "train.tsv", "test.tsv"], r"validation.*dev\.tsv, valid\.tsv"),
        (["train-00000-of-00002.tsv", "test.tsv"], r"one whole file for train.*00000-of-00002"),
    ],
)
def test_folder_without_clear_parts_is_refused(tmp_path, names, message):
    for name in names:
        write(tmp_path / name, lines(9))
    with pytest.raises(ValueError, match=message):
        load_translation(tmp_path, FRENCH)


def test_missing_folder_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file or folder .*nowhere.*source='embedded'"):
        load_translation(tmp_path / "nowhere", FRENCH)
    with pytest.raises(FileNotFoundError, match="embeded"):
        load_translation("embeded")
    with pytest.raises(ValueError, match=r"pairs\.csv is of no known kind.*\.tsv"):
        load_translation(write(tmp_path / "pairs.csv", ["a,b"]), FRENCH)


@pytest.mark.parametrize("method", ["iterdir", "read_bytes"])
def test_unreadable_folder_or_file_says_what_to_do(tmp_path, monkeypatch, method):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    write(tmp_path / "fra.txt", lines(20))
    monkeypatch.setattr(Path, method, refuse)  # file modes do not stop the superuser
    with pytest.raises(PermissionError, match=r"must not be read: change its permissions"):
        load_translation(tmp_path, FRENCH)


def test_too_few_pairs_are_refused(tmp_path):
    file = write(tmp_path / "fra.txt", ["Go.\tVa.", "Leave.\tVa.", "Run.\tCours."])
    with pytest.raises(ValueError, match=r"too few different source sentences"):
        load_translation(file, FRENCH)
    write(file, lines(50))
    with pytest.raises(ValueError, match=r"no train pairs are left.*max_words=2"):
        load_translation(file, FRENCH, max_words=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"languages": ("en", "en")}, "two different codes"),
        ({"max_pairs": 0}, "max_pairs must be None or a whole number from 1, got 0"),
        ({"max_words": -1}, "max_words must be"),
        ({"name": "a/b"}, "source='hub'"),
        ({"source": "hub", "name": "opus"}, "owner/name"),
        ({"source": "hub", "languages": ("fr", "ru")}, "with 'en' only"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load_translation(**arguments)


# ---- the hub


def hub_rows(part: str, count: int, languages: tuple[str, str], nested: bool) -> list[dict]:
    rows = [{code: f"{code} {part} {n}." for code in languages} for n in range(count)]
    return [{"translation": row} for row in rows] if nested else rows


def answer_at_once(monkeypatch) -> None:
    """Let the hub seem to be there, whether there is a network or not."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("course_utils.hub._knock", lambda endpoint: 200)


def fake_hub(monkeypatch, **parts: list[dict]) -> list[tuple]:
    """Put data sets of the real class where the hub's would come from; return what was asked."""
    datasets = pytest.importorskip("datasets")
    answer_at_once(monkeypatch)
    asked = []

    def load_dataset(*wanted):
        asked.append(wanted)
        return datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in parts.items()})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked


def test_hub_opus_100_is_asked_for_sorted_languages(monkeypatch):
    counts = {"train": 30, "validation": 5, "test": 6}
    parts = {part: hub_rows(part, count, ("en", "ru"), True) for part, count in counts.items()}
    asked = fake_hub(monkeypatch, **parts)
    data = load_translation("hub", ("ru", "en"), max_pairs=12)
    assert asked == [("Helsinki-NLP/opus-100", "en-ru")]
    assert [len(data.train), len(data.validation), len(data.test)] == [12, 5, 6]
    assert data.train[0] == TranslationPair("ru train 0 .", "en train 0 .")
    assert "opus-100 (en-ru)" in data.origin


def test_hub_multi30k_is_the_default_for_german(monkeypatch):
    counts = {"train": 30, "validation": 5, "test": 6}
    parts = {part: hub_rows(part, count, ("de", "en"), False) for part, count in counts.items()}
    asked = fake_hub(monkeypatch, **parts)
    data = load_translation("hub", ("en", "de"))
    assert asked == [("bentrevett/multi30k", None)] and len(data.train) == 30
    assert data.test[0] == TranslationPair("en test 0 .", "de test 0 .")
    with pytest.raises(ValueError, match=r"multi30k.*row 1.*'ru'"):
        load_translation("hub", ("ru", "en"), name="bentrevett/multi30k")


def test_hub_single_part_is_split(monkeypatch):
    asked = fake_hub(monkeypatch, train=hub_rows("train", 50, ("en", "fr"), True))
    data = load_translation("hub", FRENCH, name="Helsinki-NLP/opus_books/en-fr")
    assert asked == [("Helsinki-NLP/opus_books", "en-fr")]
    assert_apart(data)
    assert [len(data.train), len(data.validation), len(data.test)] == [40, 5, 5]
    fake_hub(monkeypatch, test=hub_rows("test", 5, ("en", "fr"), True))
    with pytest.raises(ValueError, match=r"no train part \(found: test\)"):
        load_translation("hub", FRENCH)


def test_hub_rows_are_read_only_as_far_as_needed(monkeypatch):
    datasets = pytest.importorskip("datasets")
    answer_at_once(monkeypatch)
    read = []

    def rows(part, count):
        for row in hub_rows(part, count, ("en", "fr"), True):
            read.append(part)
            yield row

    parts = {"train": rows("train", 500), "validation": rows("v", 3), "test": rows("t", 3)}
    monkeypatch.setattr(datasets, "load_dataset", lambda *wanted: parts)
    assert len(load_translation("hub", FRENCH, max_pairs=20).train) == 20
    assert read.count("train") == 20


def test_hub_failure_says_how_to_go_on_without_it(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def load_dataset(*wanted):
        raise ValueError("there is no such configuration\nand a page of details")

    answer_at_once(monkeypatch)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(ConnectionError) as caught:
        load_translation("hub", ("ru", "en"))
    message = str(caught.value)
    assert "\n" not in message and isinstance(caught.value.__cause__, ValueError)
    for part in ("opus-100 en-ru", "http", "no such conf", "source='embedded'", "give a folder"):
        assert part in message


LOAD = """
import sys
from course_utils.datasets import load_translation
try:
    data = load_translation("hub", tuple(sys.argv[1].split("-")), max_pairs=10)
    print(len(data.train), len(data.validation), len(data.test), data.train[0].source)
except ConnectionError as error:
    print(error)
"""


def ask(url: str, cache: Path, languages: str) -> str:
    online = {"HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "no_proxy": "127.0.0.1"}
    settings = {"HF_ENDPOINT": url, "HF_HOME": str(cache), "PYTHONPATH": PYTHONPATH}
    environment = {**os.environ, **online, **settings, "PYTHONIOENCODING": "utf-8"}
    for variable in ("HF_DATASETS_CACHE", "HF_HUB_CACHE", "HF_TOKEN"):
        environment.pop(variable, None)
    command = [sys.executable, "-c", LOAD, languages]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


def make_hub(root: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    opus, multi30k = root / "Helsinki-NLP" / "opus-100", root / "bentrevett" / "multi30k"
    (opus / "en-ru").mkdir(parents=True)
    card = ["---", "configs:", "- config_name: en-ru", "  data_files:"]
    for part, short, count in (
        ("train", "train", 50),
        ("validation", "val", 5),
        ("test", "test", 6),
    ):
        rows = pa.Table.from_pylist(hub_rows(part, count, ("en", "ru"), True))
        parquet.write_table(rows, opus / "en-ru" / f"{part}-00000-of-00001.parquet")
        card += [f"  - split: {part}", f"    path: en-ru/{part}-*"]
        rows = [json.dumps(row) for row in hub_rows(part, count, ("de", "en"), False)]
        write(multi30k / f"{short}.jsonl", rows)
    write(opus / "README.md", [*card, "---"])


@pytest.mark.slow
def test_hub_stand_in_serves_both_data_sets(tmp_path):
    pytest.importorskip("datasets")
    make_hub(tmp_path / "hub")
    with HubServer(tmp_path / "hub") as hub:
        assert ask(hub.url, tmp_path / "cache", "ru-en") == "10 5 6 ru train 0 ."
        assert ask(hub.url, tmp_path / "cache", "en-de") == "10 5 6 en train 0 ."
        message = ask(hub.url, tmp_path / "cache", "en-xx")
        assert "opus-100 en-xx" in message and hub.url in message and "embedded" in message
        assert any("train-00000-of-00001.parquet" in line for line in hub.requests)
    # What was fetched is there when the hub is gone; what was not is asked for in vain.
    assert ask(hub.url, tmp_path / "cache", "ru-en") == "10 5 6 ru train 0 ."
    assert ask(hub.url, tmp_path / "cache", "en-de") == "10 5 6 en train 0 ."
    message = ask(hub.url, tmp_path / "empty", "ru-en")
    assert "could not load" in message and len(message.splitlines()) == 1


# ---- real pairs


@pytest.mark.data
def test_statement_task_has_the_known_sizes(shared_data):
    data = load_translation(shared_data / "statement_task", FRENCH)
    # 10,632 training pairs in the file, seven of them written twice.
    assert len(data.train) + len(data.validation) == 10_632 - 7
    assert len(sources(data.train)) + len(sources(data.validation)) == 9_952
    assert len(sources(data.validation)) == 497 and len(data.test) == 1_190
    found, references = references_by_source(data.test)
    assert len(found) == 1_105 and sum(map(len, references)) == 1_190
    assert_apart(data)


@pytest.mark.slow
@pytest.mark.data
def test_tatoeba_file_loads_whole(shared_data):
    data = load_translation(shared_data / "eng-fra.txt.gz", FRENCH)
    assert_apart(data)
    pairs = data.train + data.validation + data.test
    assert 142_000 < len(pairs) <= 142_787 and len(set(pairs)) == len(pairs)
    assert any("œ" in pair.source for pair in pairs) and "\u2019" not in pairs[0].source
