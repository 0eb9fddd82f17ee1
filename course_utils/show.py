"""What a notebook shows: the source of a function, tables, a progress bar."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

MAX_UPDATES = 200  # redraws of a notebook's bar over a whole training


def source_of(thing: Callable | type) -> str:
    """Today's source of a function or class, without its docstrings.

    Examples
    --------
    >>> from course_utils.attention import LearnedScore
    >>> print(source_of(LearnedScore).splitlines()[0])
    class LearnedScore(DotScore):
    """
    import ast
    import textwrap

    text = textwrap.dedent(inspect.getsource(thing))
    lines: list[str | None] = [*text.splitlines()]
    documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, documented) or ast.get_docstring(node) is None:
            continue
        start, end = node.body[0].lineno - 1, node.body[0].end_lineno
        alone = len(node.body) == 1
        while not alone and not lines[end]:  # a class begins with an empty line: leave it out too
            end += 1
        lines[start:end] = [None] * (end - start)
        if alone:  # something has to stay for Python to read it
            lines[start] = " " * node.body[0].col_offset + "..."
    return "\n".join(line for line in lines if line is not None).rstrip()


def show_source(*things: Callable | type) -> None:
    """Display the package's own source in a notebook, without docstrings."""
    from IPython.display import display

    for thing in things:
        source = source_of(thing)
        fenced = f"```python\n{source}\n```"  # coloured by JupyterLab, GitHub and the pages alike
        display({"text/plain": source, "text/markdown": fenced}, raw=True)


def table(rows: Sequence[dict[str, Any]], *, digits: int = 3, caption: str = "") -> Any:
    """A table for a notebook (HTML) and a terminal (text), numbers rounded.

    Parameters
    ----------
    rows : sequence of dict
        One dict per row, all with the same keys.
    digits : int
        Places after the point of floats.
    caption : str
        Shown above.

    Raises
    ------
    ValueError
        When there are no rows or their keys differ.

    Examples
    --------
    >>> table([{"model": "gru", "bleu": 49.01234}])
    model    bleu
    gru    49.012
    """
    if not rows:
        raise ValueError("a table needs at least one row")
    names = list(rows[0])
    if not names:
        raise ValueError("a table needs at least one column")
    if odd := [list(row) for row in rows if list(row) != names]:
        raise ValueError(f"all rows need the columns {names}, got {odd[0]}")
    cells = [[_cell(row[name], digits) for name in names] for row in rows]
    numeric = [all(isinstance(row[name], int | float) for row in rows) for name in names]
    return Table(names, cells, numeric, caption)


class Table:
    """Text and HTML of a table; made by `table`."""

    def __init__(
        self, names: list[str], cells: list[list[str]], numeric: list[bool], caption: str
    ) -> None:
        self.names, self.cells, self.numeric, self.caption = names, cells, numeric, caption

    def __repr__(self) -> str:
        rows = [self.names, *self.cells]
        widths = [max(len(row[k]) for row in rows) for k in range(len(self.names))]
        lines = [self.caption] if self.caption else []
        for row in rows:
            aligned = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, self.numeric, strict=True)
            ]
            lines.append("  ".join(aligned).rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from html import escape

        sides = ["right" if right else "left" for right in self.numeric]

        def line(tag: str, row: list[str]) -> str:
            parts = zip(row, sides, strict=True)
            return "".join(
                f'<{tag} style="text-align:{side}">{escape(c)}</{tag}>' for c, side in parts
            )

        caption = f"<caption>{escape(self.caption)}</caption>" if self.caption else ""
        body = "".join(f"<tr>{line('td', row)}</tr>" for row in self.cells)
        return f"<table>{caption}<tr>{line('th', self.names)}</tr>{body}</table>"


def _cell(value: Any, digits: int) -> str:
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def progress_bar(total: int, description: str, *, enabled: bool = True) -> ProgressBar:
    """A bar for notebooks, terminals and logs.

    In a notebook it redraws one output, which ends as a line without timings; in a terminal it is
    tqdm's; where nobody watches (a log, a test) it is silent.
    """
    return ProgressBar(total, description, enabled=enabled)


class ProgressBar:
    """Counts steps; made by `progress_bar`, used as a context manager."""

    def __init__(self, total: int, description: str, *, enabled: bool) -> None:
        self.total, self.description, self.done, self.value = total, description, 0, float("nan")
        self._bar = self._handle = None
        if enabled and _in_notebook():
            from IPython.display import display

            self._handle = display(self._plain(), raw=True, display_id=True)
        elif enabled:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=description, disable=None, leave=True)

    def advance(self, steps: int, value: float) -> None:
        """Count steps and show a number, the loss as a rule."""
        before, self.done, self.value = self.done, self.done + steps, value
        if self._bar is not None:
            self._bar.update(steps)
            self._bar.set_postfix_str(f"loss {value:.3f}", refresh=False)
        if self._handle is not None:
            stride = max(1, self.total // MAX_UPDATES)
            if self.done // stride != before // stride:
                self._handle.update(self._plain(), raw=True)

    def _plain(self) -> dict[str, str]:
        from html import escape

        text = f"{self.description}: {self.done}/{self.total} steps"
        text += "" if self.value != self.value else f", loss {self.value:.3f}"
        bar = f'<progress value="{self.done}" max="{self.total}"></progress> {escape(text)}'
        return {"text/plain": text, "text/html": bar}

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._handle is not None:
            self._handle.update(self._plain(), raw=True)


def _in_notebook() -> bool:
    import sys

    shell = sys.modules.get("IPython")
    shell = shell.get_ipython() if shell else None
    return shell is not None and type(shell).__name__ != "TerminalInteractiveShell"
