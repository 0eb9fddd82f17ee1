"""The house rules of `course_utils`, read from its source: see CONTRIBUTING.md.

Each rule is a function from a package folder to a list of complaints. It is applied to the package,
and to a small wrong package, so that it is seen to fail.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "course_utils"

# From the cellar up. A module imports only from floors below its own.
FLOORS = (
    {"files", "masks"},
    {
        "batching",
        "cache",
        "checkpoints",
        "decoding",
        "embeddings",
        "hub",
        "interrupts",
        "losses",
        "metrics",
        "optimizers",
        "pictures",
        "plotting",
        "reproducibility",
        "rollout",
        "sampling",
        "schedules",
        "sentences",
        "show",
        "tokenizers",
    },
    {"attention", "distributed", "history", "label_curves", "masking", "prompts"},
    {"recurrent", "blocks"},
    {"models"},
    {"training", "translator", "pretrained", "datasets", "explorers", "exercises"},
    {"fine_tuning", "picture_tuning"},
    {"pretrain"},
)
# Their `__init__.py` says what they export; those of all others are empty.
EXPORTING = {"datasets", "exercises", "explorers", "pretrain", "pretrained", "tokenizers"}
# Inside these the modules may import each other.
ROOMS_WITH_DOORS = {"models", *EXPORTING}
HEAVY = {
    "IPython",
    "accelerate",
    "datasets",
    "evaluate",
    "ipywidgets",
    "matplotlib",
    "pandas",
    "sacrebleu",
    "scipy",
    "sklearn",
    "transformers",
}
LONGEST_MODULE = 320
# May cost more than importing torch and 0.3 seconds.
SLOW_TO_IMPORT = {"explorers", "pretrained"}
IMPORT_SECONDS = 0.3


def floor_of(room: str) -> int | None:
    """The number of the floor on which a module or sub-package lies."""
    return next((k for k, rooms in enumerate(FLOORS) if room in rooms), None)


def modules(package: Path) -> Iterator[tuple[tuple[str, ...], ast.Module]]:
    """Each module's path inside the package, without its name's ending, and its syntax tree."""
    for file in sorted(package.rglob("*.py")):
        parts = file.relative_to(package).with_suffix("").parts
        yield parts, ast.parse(file.read_text(encoding="utf-8"))


def imports(tree: ast.AST, parts: tuple[str, ...]) -> Iterator[str]:
    """The dotted names that a module imports anywhere, relative ones made absolute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            here = ("course_utils", *parts)
            base = here[: len(here) - node.level] if node.level else ()
            name = ".".join([*base, *filter(None, [node.module])])
            # `from course_utils import masks` imports course_utils.masks.
            bare = name == "course_utils"
            yield from (f"{name}.{alias.name}" for alias in node.names) if bare else (name,)


def floors_rule(package: Path) -> list[str]:
    """Imports go down only; every module is on the list of floors."""
    wrong = []
    for parts, tree in modules(package):
        room = parts[0]
        if room == "__init__":
            continue
        if floor_of(room) is None:
            wrong.append(f"{room}: not on the list of floors")
            continue
        for name in imports(tree, parts):
            head, _, rest = name.partition(".")
            target = rest.split(".")[0]
            if head != "course_utils" or (target == room and room in ROOMS_WITH_DOORS):
                continue
            below = floor_of(target)
            if below is None or below >= floor_of(room):
                arrow = "sideways" if below == floor_of(room) else "up"
                wrong.append(f"{'.'.join(parts)}: imports {name}, which goes {arrow}")
    return wrong


# Each has names of its own.
SCOPES = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
COMPREHENSIONS = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def top_level(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that run on import: everything outside functions and comprehensions."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, SCOPES | COMPREHENSIONS):
            yield node
            yield from top_level(node)


def heavy_rule(package: Path) -> list[str]:
    """Heavy libraries are imported inside the function that needs them."""
    wrong = []
    for parts, tree in modules(package):
        for node in top_level(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = {name.split(".")[0] for name in imports(node_as_tree(node), parts)} & HEAVY
                wrong += [f"{'.'.join(parts)}: imports {name} at the top" for name in sorted(found)]
    return wrong


def node_as_tree(node: ast.stmt) -> ast.Module:
    """A module with this one statement."""
    return ast.Module(body=[node], type_ignores=[])


def size_rule(package: Path) -> list[str]:
    """Modules stay short enough to read in one sitting, and say what they are for."""
    wrong = []
    for parts, tree in modules(package):
        file = package.joinpath(*parts).with_suffix(".py")
        text = file.read_text(encoding="utf-8")
        lines = sum(bool(line.strip()) for line in text.splitlines())  # blank ones are free
        if lines >= LONGEST_MODULE:
            wrong.append(f"{'.'.join(parts)}: {lines} lines, the limit is {LONGEST_MODULE}")
        if parts[-1] != "__init__" and not ast.get_docstring(tree):
            wrong.append(f"{'.'.join(parts)}: has no docstring at its top")
    return wrong


def init_rule(package: Path) -> list[str]:
    """`__init__.py` is empty, or re-exports a few names of its own sub-package."""
    wrong = []
    for parts, tree in modules(package):
        if parts[-1] != "__init__":
            continue
        room = ".".join(["course_utils", *parts[:-1]])
        may_export = parts[0] in EXPORTING
        for node in tree.body:
            docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            own = isinstance(node, ast.ImportFrom) and (node.module or "").startswith(room)
            names = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            if not (docstring or (may_export and (own or names))):
                wrong.append(f"{room}: holds `{ast.unparse(node).splitlines()[0]}`")
    return wrong


@pytest.mark.parametrize("rule", [floors_rule, heavy_rule, size_rule, init_rule])
def test_package_keeps(rule: Callable[[Path], list[str]]) -> None:
    assert list(modules(PACKAGE)), "no modules were found"
    wrong = rule(PACKAGE)
    assert not wrong, "\n".join(wrong)


WRONG = {
    "up": (floors_rule, "masks.py", "from course_utils.attention import attend", "goes up"),
    "up, bare": (floors_rule, "masks.py", "from course_utils import training", "goes up"),
    "up, relative": (floors_rule, "models/gpt.py", "from ..training import fit", "goes up"),
    "up, late": (
        floors_rule,
        "attention.py",
        "def f():\n    import course_utils.models",
        "goes up",
    ),
    "sideways": (floors_rule, "metrics.py", "import course_utils.tokenizers", "goes sideways"),
    "circle": (floors_rule, "training.py", "from course_utils.datasets import x", "goes sideways"),
    "unknown": (floors_rule, "utilities.py", "", "not on the list of floors"),
    "unknown target": (floors_rule, "training.py", "import course_utils.misc", "goes up"),
    "heavy": (heavy_rule, "plotting.py", "import matplotlib.pyplot as plt", "imports matplotlib"),
    "heavy, from": (heavy_rule, "metrics.py", "from sacrebleu.metrics import BLEU", "sacrebleu"),
    "heavy, tried": (heavy_rule, "show.py", "try:\n    import pandas\nfinally:\n    1", "pandas"),
    "heavy, class": (heavy_rule, "show.py", "class A:\n    import IPython", "imports IPython"),
    "long": (size_rule, "masks.py", '"""Masks."""\n' + "x = 1\n" * LONGEST_MODULE, "lines"),
    "silent": (size_rule, "masks.py", "x = 1", "no docstring"),
    "init": (init_rule, "__init__.py", "from course_utils.masks import causal_mask", "holds"),
    "init, models": (init_rule, "models/__init__.py", "from .gpt import GPT", "holds"),
    "init, code": (init_rule, "datasets/__init__.py", "print('hello')", "holds"),
}


@pytest.mark.parametrize("case", WRONG)
def test_rule_rejects(case: str, tmp_path: Path) -> None:
    rule, name, text, complaint = WRONG[case]
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert any(complaint in line for line in rule(tmp_path)), rule(tmp_path)


RIGHT = {
    "down": (floors_rule, "attention.py", "from course_utils.masks import causal_mask"),
    "door": (floors_rule, "datasets/a.py", "from course_utils.datasets.pairs import b"),
    "library": (floors_rule, "masks.py", "import torch"),
    "late": (heavy_rule, "metrics.py", "def f():\n    from sacrebleu.metrics import BLEU"),
    "init": (init_rule, "datasets/__init__.py", '"""D."""\nfrom course_utils.datasets.a import b'),
    "empty": (init_rule, "__init__.py", ""),
}


@pytest.mark.parametrize("case", RIGHT)
def test_rule_accepts(case: str, tmp_path: Path) -> None:
    rule, name, text = RIGHT[case]
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    assert rule(tmp_path) == []


# Runs in a fresh interpreter: torch is imported once, then each module in a forked copy, so that
# the module's own cost on top of torch's is measured: processor time. What takes too long may try
# four times more, and its best try counts, so that other work on the machine counts little.
MEASURE = """
import contextlib, io, importlib, json, os, sys, time, warnings
import torch
heavy, names, limit = json.loads(sys.argv[1])
warnings.simplefilter("error")

def cost(name):
    before, seed = set(sys.modules), torch.random.get_rng_state()
    printed = io.StringIO()
    begin = time.process_time()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        importlib.import_module(name)
    seconds = time.process_time() - begin
    loaded = {module.split(".")[0] for module in set(sys.modules) - before} & set(heavy)
    return {"seconds": seconds, "heavy": sorted(loaded), "printed": printed.getvalue(),
            "seeded": not torch.equal(seed, torch.random.get_rng_state())}

def in_a_copy(name):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            result = cost(name)
        except BaseException as error:
            result = {"error": repr(error)}
        os.write(writing, json.dumps(result).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text)

def best(name):
    if sys.platform != "linux":
        return cost(name)
    results = [in_a_copy(name)]
    while results[-1].get("seconds", 0) > limit and len(results) < 5:
        results.append(in_a_copy(name))
    return min(results, key=lambda result: result.get("seconds", 0))

print(json.dumps({name: best(name) for name in names}))
"""


def measure_imports(names: list[str], folder: Path) -> dict[str, dict]:
    """What importing each module costs and does in a fresh interpreter that has torch."""
    # Where forking is unsafe or missing, each module gets an interpreter of its own.
    groups = [names] if sys.platform == "linux" else [[name] for name in names]
    # Bytecode is kept, as it is for a user: the best try is one that did not compile.
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": ""}
    found: dict[str, dict] = {}
    for group in groups:
        words = [sys.executable, "-c", MEASURE, json.dumps([sorted(HEAVY), group, IMPORT_SECONDS])]
        run = subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stderr
        found |= json.loads(run.stdout)
    return found


def import_complaints(costs: dict[str, dict]) -> list[str]:
    """What is wrong with the imports that were measured."""
    wrong = []
    for name, cost in costs.items():
        if "error" in cost:
            wrong.append(f"{name}: {cost['error']}")
            continue
        if cost["printed"] or cost["seeded"]:
            wrong.append(f"{name}: prints or seeds when it is imported")
        if name.split(".")[1] in SLOW_TO_IMPORT:
            continue
        if cost["heavy"]:
            wrong.append(f"{name}: imports {', '.join(cost['heavy'])}")
        if cost["seconds"] > IMPORT_SECONDS:
            wrong.append(
                f"{name}: {cost['seconds']:.2f} s more than torch, at most {IMPORT_SECONDS}"
            )
    return wrong


@pytest.mark.slow
def test_import_costs_little_more_than_torch() -> None:
    paths = [parts[:-1] if parts[-1] == "__init__" else parts for parts, _ in modules(PACKAGE)]
    names = [".".join(["course_utils", *parts]) for parts in paths if parts]
    costs = measure_imports(names, ROOT)
    assert set(costs) == set(names)
    wrong = import_complaints(costs)
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
def test_import_measurement_rejects(tmp_path: Path) -> None:
    package = tmp_path / "planted"
    package.mkdir()
    (package / "slow.py").write_text(
        "from time import process_time as t\nend = t() + 0.5\nwhile t() < end:\n    pass\n"
    )
    (package / "loud.py").write_text("print('hello')\n")
    (package / "seeds.py").write_text("import torch\ntorch.manual_seed(3)\n")
    (package / "heavy.py").write_text("from planted import inner\n")
    (package / "inner.py").write_text("import matplotlib\n")
    (package / "broken.py").write_text("1 / 0\n")
    (package / "good.py").write_text("import torch\n")
    names = [f"planted.{file.stem}" for file in sorted(package.glob("*.py"))]
    wrong = "\n".join(import_complaints(measure_imports(names, tmp_path)))
    for name, complaint in {
        "slow": "more than torch",
        "loud": "prints or seeds",
        "seeds": "prints or seeds",
        "heavy": "imports matplotlib",
        "broken": "ZeroDivisionError",
    }.items():
        assert any(f"planted.{name}: " in li and complaint in li for li in wrong.splitlines()), (
            wrong
        )
    assert "planted.good" not in wrong


def public_names(package: Path) -> dict[str, str]:
    """What the package exports, and where: each public name that a module defines at its top.

    Of datasets/ and exercises/ only what their `__init__.py` exports counts: the rest is inside.
    """
    found = {}
    for parts, tree in modules(package):
        names: set[str] = set()
        if parts[0] not in EXPORTING:
            names = set().union(*map(defined_names, tree.body))
        elif parts[1:] == ("__init__",):
            aliases = [a for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names]
            names = {alias.asname or alias.name for alias in aliases}
        for name in names:
            if not name.startswith("_"):
                found[name] = ".".join(["course_utils", *parts])
    return found


def defined_names(node: ast.stmt) -> set[str]:
    """The names to which a statement outside functions gives a meaning, imports left out."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    stored = {
        inner.id
        for inner in [node, *top_level(node)]
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
    }
    inside = (part for part in ast.iter_child_nodes(node) if isinstance(part, ast.stmt))
    return stored.union(*(defined_names(part) for part in inside))


def cell_trees(book: dict) -> Iterator[tuple[int, ast.Module]]:
    """Each code cell's number and syntax tree, lines of magic left out."""
    from IPython.core.inputtransformer2 import TransformerManager

    for number, cell in enumerate(book["cells"]):
        if cell["cell_type"] == "code":
            text = TransformerManager().transform_cell("".join(cell["source"]))
            yield number, ast.parse(text)


def shadow_rule(book: dict, exported: dict[str, str]) -> list[str]:
    """No lesson defines a name that the package exports: there is one source of truth."""
    wrong = []
    for number, tree in cell_trees(book):
        for node in tree.body:
            for name in sorted(defined_names(node) & set(exported)):
                wrong.append(f"cell {number} defines {name}, which {exported[name]} exports")
            wrong += [
                f"cell {number} imports something as {alias.asname}"
                for alias in getattr(node, "names", [])
                if isinstance(node, ast.Import | ast.ImportFrom)
                and alias.asname in exported
                and not (getattr(node, "module", None) or alias.name).startswith("course_utils")
            ]
    return wrong


def plain_text(cell: dict) -> str:
    """All text that a cell's outputs show, as it was stored."""
    texts = []
    for output in cell.get("outputs", []):
        texts.append("".join(output.get("data", {}).get("text/plain", "")))
        texts.append("".join(output.get("data", {}).get("text/markdown", "")))
    return "\n".join(texts)


def shown_rule(book: dict, source_of: Callable) -> list[str]:
    """What `show_source` showed when the lesson was stored is today's source."""
    wrong, names = [], {}
    for number, tree in cell_trees(book):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom) and "course_utils" in ast.unparse(
                node
            ):
                exec(ast.unparse(node), names)
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and "show_source" in ast.unparse(node.func)):
                continue
            for argument in node.args:
                shown = source_of(eval(ast.unparse(argument), dict(names)))
                if shown not in plain_text(book["cells"][number]):
                    what = ast.unparse(argument)
                    wrong.append(f"cell {number} shows an old source of {what}: make notebooks")
    return wrong


def read_book(file: Path) -> dict:
    """A notebook as stored."""
    return json.loads(file.read_text(encoding="utf-8"))


LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("file", LESSONS, ids=lambda file: file.stem)
def test_lesson_defines_no_name_of_the_package(file: Path) -> None:
    exported = public_names(PACKAGE)
    assert "causal_mask" in exported
    wrong = shadow_rule(read_book(file), exported)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("file", LESSONS, ids=lambda file: file.stem)
def test_lesson_shows_current_source(file: Path) -> None:
    from course_utils.show import source_of

    wrong = shown_rule(read_book(file), source_of)
    assert not wrong, "\n".join(wrong)


def a_book(*sources: str, output: str = "") -> dict:
    """A notebook of code cells, the last of which has an output."""
    cells = [{"cell_type": "code", "source": text, "outputs": []} for text in sources]
    cells[-1]["outputs"] = [{"output_type": "display_data", "data": {"text/plain": output}}]
    return {"cells": cells}


@pytest.mark.parametrize(
    "source",
    [
        "def causal_mask(n):\n    return n",
        "class causal_mask:\n    pass",
        "causal_mask = 3",
        "a, (causal_mask, b) = 1, (2, 3)",
        "causal_mask: int = 3",
        "for causal_mask in range(3):\n    pass",
        "if True:\n    def causal_mask():\n        pass",
        "with open('x') as causal_mask:\n    pass",
        "%matplotlib inline\ncausal_mask = 3",
        "import numpy as causal_mask",
        "from torch import triu as causal_mask",
    ],
)
def test_shadow_rule_rejects(source: str) -> None:
    wrong = shadow_rule(a_book(source), {"causal_mask": "course_utils.masks"})
    assert len(wrong) == 1
    assert "causal_mask" in wrong[0]


@pytest.mark.parametrize(
    "source",
    [
        "from course_utils.masks import causal_mask",
        "causal_mask_by_hand = 3",
        "def by_hand():\n    causal_mask = 3\n    return causal_mask",
        "[causal_mask for _ in range(3)]",
    ],
)
def test_shadow_rule_accepts(source: str) -> None:
    assert shadow_rule(a_book(source), {"causal_mask": "course_utils.masks"}) == []


def test_public_names_are_found(tmp_path: Path) -> None:
    text = """
        from x import imported
        LIMIT: int = 3
        A, B = 1, 2
        _private = 3
        def act(): inner = 1
        class Thing:
            attribute = 1
        """
    (tmp_path / "masks.py").write_text(textwrap.dedent(text))
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets" / "__init__.py").write_text("from course_utils.datasets.a import load\n")
    (tmp_path / "datasets" / "a.py").write_text("def load(): pass\ndef t(): pass\n")
    assert set(public_names(tmp_path)) == {"LIMIT", "A", "B", "act", "Thing", "load"}


SHOW = (
    "from course_utils.masks import causal_mask\nfrom course_utils import masks",
    "show_source(causal_mask)",
)


def test_shown_rule_rejects_old_source() -> None:
    from course_utils.masks import causal_mask
    from course_utils.show import source_of

    today = source_of(causal_mask)
    assert "def causal_mask" in today
    assert shown_rule(a_book(*SHOW, output=today), source_of) == []
    assert shown_rule(a_book(SHOW[0], "show.show_source(masks.causal_mask)", output=""), source_of)
    old = today.replace("return", "return  #")
    assert "old source of causal_mask" in shown_rule(a_book(*SHOW, output=old), source_of)[0]


def test_contributing_lists_the_same_floors() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?:\d|cellar) \| (.*) \|$", text, re.M)
    assert [set(re.findall(r"`([a-z_]+)/?`", names)) for names in reversed(rows)] == list(FLOORS)
