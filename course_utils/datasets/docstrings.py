"""The docstrings in the source files of the installed packages, read with `ast`.

No file is imported. What functions do is left out before parsing, because that takes the most time.
"""

from __future__ import annotations

import ast
import os
import sysconfig
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import no_type_check

# Tests, copies of other packages, and the models of transformers, which repeat each other.
SKIPPED = {
    "test", "tests", "testing", "idlelib", "lib2to3", "ensurepip", "site-packages",
    "dist-packages", "_vendor", "externals", "encodings", "models", "conftest.py",
}  # fmt: skip
# Reading takes time, so a file is left out when a smaller share of its bytes than this stands
# between triple quotation marks. The chapters of Python's manual stand between single ones.
DOCUMENTED = 0.25
MANUAL = "pydoc_data.topics"


def source_files(package: str) -> Iterator[tuple[str, Path]]:
    """Find the names and files of a package's modules; none if it is not installed."""
    if package == "python":
        root, prefix = Path(sysconfig.get_path("stdlib")), ()
    else:
        found = find_spec(package)
        if found is None or found.origin is None:
            return
        root, prefix = Path(found.origin).parent, (package,)
    for folder, inner, names in os.walk(root):
        inner[:] = set(inner) - SKIPPED
        for name in set(names) - SKIPPED:
            if name.endswith(".py"):
                file = Path(folder, name)
                parts = file.relative_to(root).with_suffix("").parts
                yield ".".join(prefix + parts).removesuffix(".__init__"), file


def read_docstrings(module: str, file: Path) -> Iterator[tuple[str, list[str]]]:
    """Read the docstrings of a file, by function or class; a class has its methods' as well."""
    tree = _tree(module, file)
    if tree is None:
        return
    if module == MANUAL:
        yield from _chapters(tree)
    yield "", _own(tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, list(_inside(node))
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            yield _added(node.value)


def read_definitions(module: str, file: Path) -> Iterator[tuple[str, str]]:
    """Read each docstring of a file by itself, with the name of what it is about."""
    tree = _tree(module, file)
    if tree is None:
        return
    if module == MANUAL:
        yield from (("", text) for _, texts in _chapters(tree) for text in texts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from ((getattr(node, "name", ""), text) for text in _own(node))


def _tree(module: str, file: Path) -> ast.Module | None:
    """The syntax tree of a file that has documentation; None if it has little or is broken."""
    try:
        source = file.read_bytes()
        quoted = sum(map(len, source.split(b'"' * 3)[1::2]))
        if quoted < DOCUMENTED * len(source) and module != MANUAL:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd escapes in other people's strings
            return _parse(source)
    except (OSError, SyntaxError, ValueError):  # a broken link, a template, another Python's file
        return None


def _parse(source: bytes) -> ast.Module:
    """The syntax tree without what functions do, which takes most of the time of parsing."""
    try:
        return ast.parse(_outline(source))
    except SyntaxError:  # the outline goes by the look of lines, and some files look odd
        return ast.parse(source)


@no_type_check
def _outline(source: bytes) -> bytes:
    """The source without the bodies of functions; their docstrings stay."""
    kept, quotes = [], b""  # quotes: what ends the string that the line stands in
    place, margin = "outside", 0  # of a function: outside, head, start, docstring, body
    for line in source.split(b"\n"):
        if quotes:
            quotes = b"" if line.count(quotes) % 2 else quotes
        elif (text := line.strip()) and not text.startswith(b"#"):
            indent = len(line) - len(line.lstrip())
            if place == "start":
                place = "docstring" if text.lstrip(b"rRuU").startswith((b'"', b"'")) else "body"
                if place == "body":
                    kept.append(b" " * indent + b"pass")
            elif place in ("docstring", "body"):
                place = "body" if indent > margin else "outside"
            if place in ("outside", "head"):
                if text.startswith((b"def ", b"async def ")):
                    place, margin = "head", indent
                if place == "head" and text.endswith(b":"):
                    place = "start"
            if b'"""' in text or b"'''" in text:
                bare = text.replace(b'\'"""\'', b"").replace(b"\"'''\"", b"")  # a string of marks
                odd = [mark for mark in (b'"""', b"'''") if bare.count(mark) % 2]
                quotes = odd[0] if len(odd) == 1 else b""
        if place != "body":
            kept.append(line)
    return source if quotes else b"\n".join(kept)


@no_type_check
def _own(node: ast.AST) -> list[str]:
    text = ast.get_docstring(node, clean=False)
    return [text] if text else []


@no_type_check
def _inside(node: ast.AST) -> Iterator[str]:
    yield from _own(node)
    if isinstance(node, ast.ClassDef):
        for part in node.body:
            if isinstance(part, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from _inside(part)


def _added(call: ast.Call) -> tuple[str, list[str]]:
    """What `add_docstr(torch.abs, "...")` and its like say of functions that are written in C."""
    if not call.args or "doc" not in ast.unparse(call.func):
        return "", []
    values = (node.value for node in ast.walk(call) if isinstance(node, ast.Constant))
    return " ".join(map(ast.unparse, call.args[:-1])), [v for v in values if isinstance(v, str)]


def _chapters(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    """Python's own manual: the values of one dictionary."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for name, text in ast.literal_eval(node.value).items():
                yield name, [text]
