"""What notebooks show: today's source, tables, a bar that knows where it is."""

import ast
import importlib
import inspect
import io
import pkgutil
import sys
import textwrap

import pytest

import course_utils
from course_utils import show
from course_utils.show import progress_bar, show_source, source_of, table


def public_things():
    """Every public function and class that a file of the package defines."""
    for info in pkgutil.walk_packages(course_utils.__path__, "course_utils."):
        module = importlib.import_module(info.name)
        for name, thing in vars(module).items():
            own = getattr(thing, "__module__", None) == module.__name__
            if (
                own
                and not name.startswith("_")
                and (inspect.isfunction(thing) or inspect.isclass(thing))
            ):
                yield pytest.param(thing, id=f"{info.name}.{name}")


def without_docstrings(tree):
    """The syntax tree with all docstrings taken out, by another way than the package's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Expr(ast.Constant(...))]
    return ast.dump(tree)


@pytest.mark.parametrize("thing", public_things())
def test_source_of_is_the_code_without_docstrings_and_compiles(thing):
    shown, whole = source_of(thing), inspect.getsource(thing)
    assert '"""' not in shown
    assert without_docstrings(ast.parse(shown)) == without_docstrings(
        ast.parse(textwrap.dedent(whole))
    )
    assert f"{thing.__name__}" in shown.split(":")[0] or shown.startswith("@")
    assert shown == shown.strip()


class Documented:
    """A class with nothing but this text."""


def with_text_only():
    """Nothing else."""


class Several:
    """A docstring
    of two lines."""

    size = 3

    def first(self):
        """Only a docstring, in a method."""

    def second(self):  # a comment stays
        """One line."""
        text = """kept, with its empty line:

        of three lines"""

        return text


def test_source_of_a_thing_that_is_only_documented_still_compiles():
    for thing in (Documented, with_text_only, Several):
        shown = source_of(thing)
        compile(shown, "shown", "exec")
        assert "docstring" not in shown and "nothing but" not in shown.lower()


def test_source_of_keeps_comments_and_strings_that_are_no_docstrings():
    shown = source_of(Several)
    assert "# a comment stays" in shown and "size = 3" in shown
    space = {}
    exec(shown, space)
    assert space["Several"]().second() == Several().second()


def test_source_of_a_method_is_moved_to_the_left():
    assert source_of(Several.second).startswith("def second(self):")


def test_show_source_displays_python_code(monkeypatch):
    import IPython.display

    seen = []
    monkeypatch.setattr(IPython.display, "display", lambda bundle, raw: seen.append(bundle))
    show_source(source_of, table)
    assert [code["text/plain"] for code in seen] == [source_of(source_of), source_of(table)]
    for code in seen:
        assert code["text/markdown"] == f"```python\n{code['text/plain']}\n```"


ROWS = [
    {"model": "gru", "BLEU": 49.01234, "seconds": 7, "note": "a<b"},
    {"model": "with attention", "BLEU": 57.5, "seconds": 1234, "note": None},
]


def test_table_text_hand_worked():
    assert repr(table(ROWS, digits=1, caption="Both")).splitlines() == [
        "Both",
        "model           BLEU  seconds  note",
        "gru             49.0        7  a<b",
        "with attention  57.5     1234  None",
    ]


def test_table_html_has_every_cell_and_escapes_it():
    html = table(ROWS, digits=2, caption="<Both>")._repr_html_()
    assert html.count("<tr>") == 3 and html.count("<th ") == 4 and html.count("<td ") == 8
    assert "49.01<" in html and "a&lt;b" in html and "&lt;Both&gt;" in html
    assert html.count("text-align:right") == 6  # two columns of numbers, three rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one row"),
        ([{"a": 1}, {"b": 1}], r"columns \['a'\], got \['b'\]"),
        ([{"a": 1, "b": 2}, {"a": 1}], r"got \['a'\]"),
        ([{"a": 1}, {}], r"got \[\]"),
        ([{}], "at least one column"),
    ],
)
def test_table_wrong_rows_are_an_error(rows, message):
    with pytest.raises(ValueError, match=message):
        table(rows)


def test_progress_bar_is_silent_where_nobody_watches(capsys):
    with progress_bar(5, "training") as bar:
        for _ in range(5):
            bar.advance(1, 0.5)
    assert capsys.readouterr() == ("", "") and bar.done == 5


def test_progress_bar_speaks_in_a_terminal_unless_switched_off(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for enabled in (True, False):
        terminal = Terminal()
        monkeypatch.setattr(sys, "stderr", terminal)
        with progress_bar(5, "learning words", enabled=enabled) as bar:
            bar.advance(5, 0.25)
        assert ("learning words" in terminal.getvalue()) == enabled


class Handle:
    """Stands for the output of a notebook's cell."""

    def __init__(self):
        self.shown = []

    def update(self, content, raw):
        assert raw
        self.shown.append(content)


def test_progress_bar_in_a_notebook_redraws_one_output_a_few_times(monkeypatch, capsys):
    import IPython.display

    handle, first = Handle(), []

    def display(content, **_):
        first.append(content)
        return handle

    monkeypatch.setattr(show, "_in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", display)
    with progress_bar(10_000, "a <b>") as bar:
        for _ in range(10_000):
            bar.advance(1, 0.5)
    assert len(first) == 1 and first[0]["text/plain"] == "a <b>: 0/10000 steps"
    assert 10 < len(handle.shown) <= show.MAX_UPDATES + 1
    assert handle.shown[-1]["text/plain"] == "a <b>: 10000/10000 steps, loss 0.500"
    assert "a &lt;b&gt;" in handle.shown[-1]["text/html"]
    assert capsys.readouterr() == ("", "")


def test_progress_bar_is_closed_by_an_error(monkeypatch):
    import IPython.display

    handle = Handle()
    monkeypatch.setattr(show, "_in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: handle)
    with pytest.raises(KeyboardInterrupt), progress_bar(1000, "t") as bar:
        bar.advance(3, 0.5)
        raise KeyboardInterrupt
    assert handle.shown[-1]["text/plain"] == "t: 3/1000 steps, loss 0.500"
