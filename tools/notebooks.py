"""Run the lessons without a screen, to read them (`run`) or to store their outputs (`rewrite`).

    python tools/notebooks.py run [--force] [--set NAME=VALUE ...] [LESSON]
    python tools/notebooks.py rewrite [--force] [LESSON]

LESSON is the beginning of a file name, such as 01. A lesson whose text, code, data and settings
are those of its last good run is not run again, unless --force is given.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import zmq
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
CELL_SECONDS = 3600

# nbconvert's page leaves out the alternative text of pictures that cells draw.
PAGE = """{%- extends 'lab/index.html.j2' -%}
{% block data_png scoped %}
{%- set alt = output.metadata.get('image/png', {}).get('alt') or cell.metadata.get('alt')
    or output.data.get('text/plain', '') -%}
<div class="jp-RenderedImage jp-OutputArea-output">
<img src="data:image/png;base64,{{ output.data['image/png'] }}" alt="{{ alt | escape_html }}">
</div>
{%- endblock data_png %}
"""


class LessonError(Exception):
    """A lesson did not run to its end; the message is one line for the reader."""


def lessons(folder: Path, beginning: str = "") -> list[Path]:
    """The notebooks of the course in order, or those whose names begin so."""
    found = sorted(path for path in folder.glob("*.ipynb") if path.name.startswith(beginning))
    if not found:
        raise LessonError(f"no lesson begins with '{beginning}' in {folder.name}/")
    return found


def digest(path: Path, settings: dict[str, str]) -> str:
    """A digest of all that decides what a lesson's run gives, its stored outputs left out."""
    state = hashlib.sha256()
    for cell in nbformat.read(path, as_version=4).cells:
        state.update(repr((cell.cell_type, cell.source, sorted(cell.metadata.items()))).encode())
    for file in sorted([*ROOT.glob("course_utils/**/*.py"), *ROOT.glob("data/**/*")]):
        if file.is_file():
            state.update(file.relative_to(ROOT).as_posix().encode() + file.read_bytes())
    state.update((ROOT / "requirements-tested.txt").read_bytes())
    chosen = {name: value for name, value in os.environ.items() if name.startswith("COURSE_")}
    state.update(repr((sys.version, sorted(chosen.items()), sorted(settings.items()))).encode())
    return state.hexdigest()


def assigned_names(source: str) -> set[str]:
    """The names that a cell gives values to."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def set_parameters(book: NotebookNode, settings: dict[str, str]) -> None:
    """Add a cell after the one tagged `parameters` that gives other values, as papermill does."""
    if not settings:
        return
    tagged = [k for k, c in enumerate(book.cells) if "parameters" in c.metadata.get("tags", [])]
    if not tagged:
        raise LessonError("it has no cell tagged 'parameters', so nothing can be set")
    known = assigned_names(book.cells[tagged[0]].source)
    if unknown := sorted(set(settings) - known):
        raise LessonError(f"it has no parameter {', '.join(unknown)}; it has {sorted(known)}")
    source = "\n".join(f"{name} = {literal(value)}" for name, value in settings.items())
    cell = nbformat.v4.new_code_cell(source, id="injected", metadata={"tags": ["injected"]})
    book.cells.insert(tagged[0] + 1, cell)


def literal(text: str) -> str:
    """The text as Python: a number, True, a list ... as it is, anything else as a string."""
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return repr(text)
    return text


def peak_memory(client: NotebookClient) -> int:
    """The most memory in MB that the kernel has held so far (on Linux), or holds now."""
    import psutil

    process = client.km.provisioner.process.pid if client.km else 0
    status = Path(f"/proc/{process}/status")
    try:
        if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
            return int(found[1]) // 1000
        return psutil.Process(process).memory_info().rss // 1_000_000
    except (OSError, psutil.Error):
        return 0


async def keep_awake(client: NotebookClient) -> None:
    """Look every now and then whether the kernel has answered.

    nbclient answers widgets through the socket that it waits at. A socket tells of new messages
    once, and sending can swallow that (zmq_getsockopt(3), ZMQ_FD): then it would wait for ever.
    """
    while client.kc is not None:
        for channel in (client.kc.shell_channel, client.kc.iopub_channel):
            channel.socket.get(zmq.EVENTS)  # wakes whoever waits, when there is something
        await asyncio.sleep(0.5)


def execute(path: Path, settings: dict[str, str]) -> tuple[NotebookNode, int]:
    """Run one lesson from top to bottom in a fresh kernel; the notebook and the peak memory in MB.

    Raises LessonError with the notebook as run so far in its `book`.
    """
    book = nbformat.read(path, as_version=4)
    set_parameters(book, settings)
    book.metadata["kernelspec"] = KERNEL
    memory, watches = [0], []

    def watch(**_: object) -> None:
        if not watches:
            watches.append(asyncio.get_running_loop().create_task(keep_awake(client)))

    client = NotebookClient(
        book,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=watch,
        on_cell_executed=lambda **_: memory.append(max(memory[-1], peak_memory(client))),
    )
    try:
        client.execute()
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        failure = LessonError(describe(error, book))
        failure.book = book
        raise failure from None
    return book, memory[-1]


def describe(error: Exception, book: NotebookNode) -> str:
    """One line: in which cell a lesson stopped and why."""
    ran = [k for k, c in enumerate(book.cells) if c.cell_type == "code" and c.execution_count]
    place = f"cell {ran[-1] + 1 if ran else 1} of {len(book.cells)}"
    if isinstance(error, CellExecutionError):
        first = COLOURS.sub("", error.evalue).strip().splitlines()[:1]
        return f"{place}: {error.ename}: {first[0] if first else ''}"
    return f"{place}: {type(error).__name__}: {str(error).splitlines()[0]}"


def tidy(book: NotebookNode) -> NotebookNode:
    """Take out what differs between two runs or does not belong in a stored notebook."""
    book.metadata = NotebookNode(
        kernelspec=KERNEL, language_info={"name": "python", "file_extension": ".py"}
    )
    number = 0
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        cell.metadata.pop("ExecuteTime", None)
        if cell.cell_type != "code":
            continue
        cell.outputs = [out for out in cell.outputs if WIDGET not in out.get("data", {})]
        if cell.source.strip():
            number += 1
        cell.execution_count = number if cell.source.strip() else None
        for out in cell.outputs:
            if out.output_type == "execute_result":
                out.execution_count = cell.execution_count
            # An update's place-holder name is new in each run.
            out.get("transient", {}).clear()
    return book


def write(path: Path, text: str) -> None:
    """Replace a file's text, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)


def page(book: NotebookNode, title: str) -> str:
    """A lesson as one HTML page with its pictures inside."""
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"lesson.html.j2": PAGE})], template_file="lesson.html.j2"
    )
    exporter.embed_images = True
    place = {"metadata": {"name": title, "path": str(ROOT / "notebooks")}}
    return exporter.from_notebook_node(book, resources=place)[0]


def run_one(path: Path, settings: dict[str, str]) -> str:
    """Run a lesson and write its page; what to say about it."""
    target = ROOT / "build" / f"{path.stem}.html"
    try:
        book, memory = execute(path, settings)
    except LessonError as error:
        if hasattr(error, "book"):
            write(target, page(error.book, path.stem))
        raise
    write(target, page(book, path.stem))
    return f"{memory} MB, build/{target.name}"


def rewrite_one(path: Path, settings: dict[str, str]) -> str:
    """Run a lesson and store its outputs in the notebook; what to say about it."""
    before = path.read_text(encoding="utf-8")
    book, _ = execute(path, settings)
    after = nbformat.writes(tidy(book), version=nbformat.NO_CONVERT, indent=1)
    after = after.rstrip("\n") + "\n"
    if after == before:
        return "unchanged"
    write(path, after)
    return "stored"


def report(action: str, paths: list[Path], settings: dict[str, str], force: bool) -> Iterator[bool]:
    """Do the action for each lesson and print its line; yields whether it went well."""
    work = {"run": run_one, "rewrite": rewrite_one}[action]
    for number, path in enumerate(paths, 1):
        print(f"[{number}/{len(paths)}] {path.stem} ", end="", flush=True)
        stamp = ROOT / "build" / ".stamps" / f"{path.stem}.{action}"
        if not force and stamp.exists() and stamp.read_text() == digest(path, settings):
            print(" nothing to do: it was run and has not changed since (FORCE=1 runs it)")
            yield True
            continue
        begin = time.perf_counter()
        try:
            told = work(path, settings)
        except LessonError as error:
            stamp.unlink(missing_ok=True)
            print(f" FAILED after {time.perf_counter() - begin:.1f} s: {error}", flush=True)
            yield False
            continue
        print(f" {time.perf_counter() - begin:.1f} s, {told}", flush=True)
        write(stamp, digest(path, settings))
        yield True


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=["run", "rewrite"])
    parser.add_argument("lesson", nargs="?", default="", help="the beginning of a file name: 01")
    parser.add_argument("--force", action="store_true", help="run what has not changed, too")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    chosen = parser.parse_args(words)
    settings = dict(pair.split("=", 1) for pair in chosen.set if "=" in pair)
    if len(settings) != len(chosen.set) or (settings and chosen.action != "run"):
        parser.error("--set takes NAME=VALUE, each name once, and belongs to run")
    try:
        paths = lessons(ROOT / "notebooks", chosen.lesson)
    except LessonError as error:
        print(error, file=sys.stderr)
        return 1
    return 0 if all(list(report(chosen.action, paths, settings, chosen.force))) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
