"""The page about sources, docs/sources.md: each row of its tables runs, by the lessons' own calls.

Rows with the hub load from a stand-in server (`hub_server.py`), which has small data and models of
the same form, and then from a copy of the cache, when the server is gone. Rows with a folder load
the same files from there.
"""

from __future__ import annotations

import json
import re
import shutil
from functools import cache
from pathlib import Path

import nbformat
import pytest
import test_bert_tokenizer
import test_labelled_pictures
import test_pretrained
import test_pretrained_bert
import test_pretrained_vit
import test_texts
import test_translation
from conftest import ROOT, load_tool
from hub_server import HubServer
from test_hub import answers, start

PAGE = (ROOT / "docs" / "sources.md").read_text(encoding="utf-8")
HUB, FOLDERS = "From the hub", "Without a network: folders"
MODELS = {
    "gpt": "openai-community/gpt2",
    "rugpt": "ai-forever/rugpt3small_based_on_gpt2",
    "bert": "google-bert/bert-base-uncased",
    "rubert": "cointegrated/rubert-tiny2",
    "vit": "facebook/deit-tiny-patch16-224",
}

# What loads, word for word as in the lesson, by the parameter that says from where.
PAIRS = {"SOURCE": ["datasets.load_translation(SOURCE, LANGUAGES, max_pairs=MAX_PAIRS)"]}
TEXTS = {"SOURCE": ["datasets.load_texts(SOURCE)"]}
FEW_TEXTS = {"SOURCE": ["datasets.load_texts(SOURCE, max_bytes=MAX_BYTES)"]}
GPT = ["load_gpt2(place)", "load_gpt2_tokenizer(place)"]
BERT = ["load_bert(place, new_heads=True)", "load_bert_tokenizer(place)"]
CALLS = {
    "01": PAIRS,
    "02": PAIRS,
    "03": FEW_TEXTS | {"GPT2": ["gpt2_files(GPT2)"]},
    "04": TEXTS | {"CHECKPOINT": GPT},
    "05": TEXTS | {"CHECKPOINT": BERT},
    "06": {"SOURCE": ["datasets.load_pictures(SOURCE)"], "CHECKPOINT": ["load_vit(CHECKPOINT)"]},
}

# A row, as (lesson, SET), and what `tell` says of the things that it loads.
MERGES, PIECES = ["vocab.json", "merges.txt"], len(test_bert_tokenizer.some_pieces())
RUNS = {
    HUB: {
        ("01, 02", "SOURCE=hub"): ["Helsinki-NLP/opus-100 (en-ru) on the hub"],
        ("01, 02", "SOURCE=hub LANGUAGES=('de','en')"): ["bentrevett/multi30k on the hub"],
        ("03, 04, 05", "SOURCE=hub"): ["Salesforce/wikitext/wikitext-2-raw-v1 on the hub"],
        ("03", "GPT2=hub"): [MERGES],
        ("04", "CHECKPOINT=openai-community/gpt2"): ["GPT, width 8", 270],
        ("04", "CHECKPOINT=ai-forever/rugpt3small_based_on_gpt2"): ["GPT, width 4", 270],
        ("05", "CHECKPOINT=google-bert/bert-base-uncased"): ["BERT, width 8", PIECES],
        ("05", "CHECKPOINT=cointegrated/rubert-tiny2"): ["BERT, width 4", PIECES],
        ("06", "SOURCE=hub"): ["uoft-cs/cifar10 on the hub"],
        ("06", "CHECKPOINT=facebook/deit-tiny-patch16-224"): ["ViT, width 8"],
    },
    FOLDERS: {
        ("01, 02", "SOURCE=$PWD/pairs LANGUAGES=('fr','en')"): ["pairs: fra.txt"],
        ("03, 04, 05", "SOURCE=$PWD/texts"): ["texts: test.txt"],
        ("03", "GPT2=$PWD/gpt2"): [MERGES],
        ("04", "CHECKPOINT=$PWD/gpt"): ["GPT, width 8", 270],
        ("05", "CHECKPOINT=$PWD/bert"): ["BERT, width 8", PIECES],
        ("06", "SOURCE=$PWD/pictures"): ["pictures: cat"],
        ("06", "CHECKPOINT=$PWD/vit"): ["ViT, width 8"],
    },
}

LOAD = """
from pathlib import Path
from course_utils import datasets
from course_utils.pretrained import (
    load_bert, load_bert_tokenizer, load_gpt2, load_gpt2_tokenizer, load_vit
)

def tell(value):
    if hasattr(value, "origin"):
        return value.origin.split(",")[0]
    if hasattr(value, "config"):
        return f"{type(value).__name__}, width {value.config.d_model}"
    return [Path(file).name for file in value] if isinstance(value, list) else len(value)

for name, code, *calls in map(json.loads, sys.argv[1:]):
    names = globals() | {}
    exec(code, names)
    names["place"] = names.get("CHECKPOINT")
    print(json.dumps([name, [tell(eval(call, names)) for call in calls], 0.0]), flush=True)
"""


def table(heading: str) -> dict[tuple[str, str], str]:
    """The rows under a heading of the page: (lesson, SET) -> the whole row."""
    text = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.split("|")] for line in lines]
    assert len(cells) == len({(row[1], row[2]) for row in cells}), "a row stands there twice"
    return {(row[1], row[2].strip("`")): line for row, line in zip(cells, lines, strict=True)}


@cache
def lesson(number: str) -> nbformat.NotebookNode:
    """A lesson's notebook."""
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    return nbformat.read(path, as_version=4)


def settings_of(text: str, folder: Path = ROOT) -> dict[str, str]:
    """What stands behind SET=, as `make` hands it on."""
    return dict(pair.split("=", 1) for pair in text.replace("$PWD", folder.as_posix()).split())


def parameters(number: str, settings: dict[str, str]) -> str:
    """The lesson's cell of parameters and the cell that `make run` adds; wrong names raise."""
    book = nbformat.v4.new_notebook(cells=[*lesson(number).cells])
    load_tool("notebooks").set_parameters(book, settings)
    kinds = ("parameters", "injected")
    return "\n".join(c.source for c in book.cells if {*c.metadata.get("tags", ())} & {*kinds})


def code_of(number: str, call: str) -> str:
    """The cell that defines the function of a call, where the lesson does so itself."""
    sources = [cell.source for cell in lesson(number).cells if cell.cell_type == "code"]
    assert any(call in source for source in sources), f"lesson {number} does not call {call}"
    return "\n".join(source for source in sources if f"def {call.split('(')[0]}(" in source)


def cases(heading: str, folder: Path) -> list[list[str]]:
    """For each row and lesson: a name, the code before, and the calls."""
    found = []
    for numbers, text in RUNS[heading]:
        settings = settings_of(text, folder)
        for number in numbers.split(", "):
            calls = [call for name in CALLS[number] if name in settings
                     for call in CALLS[number][name]]  # fmt: skip
            code = [parameters(number, settings), *(code_of(number, call) for call in calls)]
            found.append([f"{number} {text}", "\n".join(code), *calls])
    return found


def make_models(folders: dict[str, Path]) -> None:
    """Small models, with what has to stand beside them."""
    for folder in folders.values():
        folder.mkdir(parents=True)
    for name, width in (("gpt", 8), ("rugpt", 4)):
        test_pretrained.save_tokenizer(folders[name], "vocab.json", "merges.txt")
        test_pretrained.save_small(folders[name], d_model=width)
    for name, width in (("bert", 8), ("rubert", 4)):
        test_bert_tokenizer.write_vocab(folders[name], do_lower_case=True)
        test_pretrained_bert.save_small(folders[name], d_model=width)
    test_pretrained_vit.save_small(folders["vit"], distilled=True)


def make_hub(root: Path) -> None:
    """All that the page names, small."""
    test_translation.make_hub(root)
    test_texts.make_hub(root)
    pictures = root / "uoft-cs" / "cifar10"
    pictures.mkdir(parents=True)
    for part, count in (("train", 6), ("test", 4)):
        rows = test_labelled_pictures.hub_rows(count)
        rows.to_parquet(pictures / f"{part}-00000-of-00001.parquet")
    make_models({kind: root / name for kind, name in MODELS.items()})


def check(heading: str, found: dict[str, tuple[list, float]]) -> None:
    """Every row came to what is expected, in each of its lessons."""
    for (numbers, text), wanted in RUNS[heading].items():
        for name in (f"{number} {text}" for number in numbers.split(", ")):
            assert (name, found[name][0]) == (name, wanted)


@pytest.mark.parametrize("heading", RUNS)
def test_page_and_runs_have_the_same_rows(heading):
    assert set(table(heading)) == set(RUNS[heading])


def test_page_s_commands_are_settings_of_the_lessons():
    commands = re.findall(r"^.*?\bmake run LESSON=(\d\d) SET=\"(.+)\"$", PAGE, re.MULTILINE)
    assert len(commands) >= 4 and len(commands) == PAGE.count("make run")
    for number, text in commands:
        assert parameters(number, settings_of(text))


@pytest.mark.slow
def test_hub_rows_load_and_need_no_network_afterwards(tmp_path):
    make_hub(tmp_path / "hub")
    todo = [json.dumps(case) for case in cases(HUB, tmp_path)]
    with HubServer(tmp_path / "hub") as server:
        check(HUB, answers(start(LOAD, server.url, tmp_path / "cache", *todo)))
        asked = " ".join(server.requests)
    named = set(re.findall(r"[`=]([\w-]+/[\w.-]+)`", "\n".join(table(HUB).values())))
    known = {f"{p.parent.name}/{p.name}" for p in (tmp_path / "hub").glob("*/*")}
    assert named == {name for name in known if f"/{name}/" in asked}
    # Another machine, without a network, with a copy of the cache.
    shutil.copytree(tmp_path / "cache", tmp_path / "copied", symlinks=True)
    shutil.rmtree(tmp_path / "cache")
    offline = start(LOAD, server.url, tmp_path / "copied", *todo, HF_HUB_OFFLINE="1")
    check(HUB, answers(offline))


@pytest.mark.slow
def test_folders_rows_load(tmp_path):
    make_models({kind: tmp_path / kind for kind in MODELS})
    shutil.copytree(tmp_path / "gpt", tmp_path / "gpt2")
    test_translation.write(tmp_path / "pairs" / "fra.txt", test_translation.lines(50))
    for part in ("train", "test"):
        test_texts.write(tmp_path / "texts" / f"{part}.txt", test_texts.articles(30))
    test_labelled_pictures.make_folder(tmp_path / "pictures", count=10)
    todo = [json.dumps(case) for case in cases(FOLDERS, tmp_path)]
    check(FOLDERS, answers(start(LOAD, "http://127.0.0.1:9", tmp_path / "cache", *todo)))
