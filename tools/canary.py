"""Try the newest versions of everything, in an environment of their own: `make canary`.

    python tools/canary.py [--fast] [--keep torch==2.13.0] [--pre] [--jobs 2]

Installs the newest version of all that requirements.txt names into `build/canary/.venv`, runs the
tests there with the network cut off, and writes `build/canary/report.md`: which version each
package has now, and which tests failed, by the library that the failure comes from. The exit
status is 0 when all passed, and 1 when something broke or the newest could not be installed.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import setup_venv
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
CANARY = ROOT / "build" / "canary"
COURSE = "the course itself"
# They stand in every traceback of a test and are seldom the cause.
HARNESS = {"_pytest", "pytest", "pluggy", "xdist", "nbval", "hypothesis", "beartype", "jaxtyping"}
NEVER = HARNESS | {"course_utils", "tests"}
# Run in the new environment: the version of each package, and whose each import name is.
ASK = """
import importlib.metadata as m, json
versions = {d.metadata["Name"]: d.version for d in m.distributions()}
print(json.dumps([versions, {k: v[0] for k, v in m.packages_distributions().items()}]))
"""


class Failure(NamedTuple):
    """A test that did not pass: its name, the first line of the error, the library behind it."""

    test: str
    message: str
    package: str


def arguments(words: list[str]) -> argparse.Namespace:
    """The options; ends with one line when they are wrong."""
    parser = argparse.ArgumentParser(prog="make canary", description=__doc__.splitlines()[0])
    parser.add_argument("--fast", action="store_true", help="only the tests of `make test-fast`")
    parser.add_argument("--pre", action="store_true", help="take pre-releases, too")
    parser.add_argument("--jobs", default="auto", help="how many tests at once (auto)")
    parser.add_argument(
        "--keep", action="append", default=[], metavar="NAME==VERSION", help="keep this version"
    )
    options = parser.parse_args(words)
    for text in options.keep:
        try:
            well = len(Requirement(text).specifier) > 0
        except InvalidRequirement:
            well = False
        if not well:
            parser.error(f"--keep needs a name and a version, such as torch==2.13.0, not {text!r}")
    return options


def pins(text: str) -> dict[str, str]:
    """The packages of a requirements file that this Python needs, with their versions.

    >>> pins('# a comment\\nA_b==1.0\\nc==2 ; python_version < "3.0"\\n')
    {'a-b': '1.0'}
    """
    found = {}
    for line in text.splitlines():
        if line.strip() and not line.startswith(("#", "-")):
            wanted = Requirement(line)
            if wanted.marker is None or wanted.marker.evaluate():
                found[canonicalize_name(wanted.name)] = "".join(s.version for s in wanted.specifier)
    return found


def wanted(names: Iterable[str], keep: list[str]) -> list[str]:
    """What pip is asked for: names without versions, but for those that are kept.

    >>> wanted(["numpy", "torch"], ["Torch==2.13.0"])
    ['numpy', 'Torch==2.13.0']
    """
    kept = {canonicalize_name(Requirement(text).name): text for text in keep}
    return [kept.get(name, name) for name in names] + [kept[n] for n in kept if n not in names]


def compare(old: str, new: str) -> str:
    """How a version changed; a build's own mark such as +cpu does not count.

    >>> compare("2.13.0", "2.13.0+cpu"), compare("2.9", "2.10"), compare("2.0", "1.9")
    ('same', 'newer', 'older')
    """
    before, after = (Version(Version(text).public) for text in (old, new))
    return "same" if before == after else "newer" if after > before else "older"


def origin(text: str, owners: dict[str, str]) -> str:
    """The package that a failure comes from: the last in the traceback, or one that is named."""
    folders = re.findall(r"site-packages[\\/]+(\w+)", text)
    for folder in reversed(folders):
        if folder in owners and folder not in HARNESS:
            return canonicalize_name(owners[folder])
    # Where the traceback ends in the course, the error may name a library: 'torch' or torch.cat.
    lines = "\n".join(re.findall(r"^(?:E  |\w*(?:Error|Warning)).*", text, re.M))
    for quoted, dotted in re.findall(r"['\"`](\w+)['\"`.]|(?<![\w./])(\w+)\.\w", lines):
        name = quoted or dotted
        if name in owners and name not in NEVER | set(sys.stdlib_module_names):
            return canonicalize_name(owners[name])
    return COURSE


def failures(xml: str, owners: dict[str, str]) -> tuple[int, list[Failure]]:
    """How many tests JUnit's file tells of, and those that failed."""
    found, cases = [], list(ElementTree.fromstring(xml).iter("testcase"))
    for case in cases:
        for kind in ("failure", "error"):
            for bad in case.findall(kind):
                text = re.sub(r"(\x1b|#x1B)\[[\d;]*m", "", f"{bad.get('message', '')}\n{bad.text}")
                name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
                found.append(Failure(name, error_line(text), origin(text, owners)))
    return len(cases), found


def error_line(text: str) -> str:
    """The line that says what went wrong, short enough for a list."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"(E +)?[\w.]*(Error|Warning|Exception)\b", line)]
    line = re.sub(r"^E +", "", (named or lines or ["no message"])[0])
    return line if len(line) <= 160 else line[:157] + "..."


def version_table(
    tested: dict[str, str], now: dict[str, str], direct: Iterable[str], bad: list[Failure]
) -> str:
    """The packages that requirements.txt names, then those that came along and changed."""
    rows = ["| package | pinned | newest | | tests that fail |", "|---|---|---|---|---|"]
    direct = sorted(set(direct))
    others = sorted(name for name in now if name not in direct)
    for name in direct + others:
        old, new = tested.get(name), now.get(name)
        change = compare(old, new) if old and new else "not in the pins" if new else "missing"
        count = sum(failure.package == name for failure in bad)
        if name in direct or count or change in ("newer", "older"):
            told = "" if change == "same" else change
            rows.append(f"| {name} | {old or ''} | {new or ''} | {told} | {count or ''} |")
    return "\n".join(rows)


def report(table: str, tests: int, bad: list[Failure], about: str) -> str:
    """The whole report, in Markdown."""
    verdict = f"{len(bad)} of {tests} tests failed." if bad else f"All {tests} tests passed."
    parts = ["# The newest versions", f"{verdict} {about}", table]
    groups: dict[str, list[Failure]] = {}
    for failure in bad:
        groups.setdefault(failure.package, []).append(failure)
    for package, group in sorted(groups.items(), key=lambda item: -len(item[1])):
        parts.append(f"## {package}: {len(group)}")
        parts.append("\n".join(f"- `{f.test}`: {f.message}" for f in group))
    return "\n\n".join(parts) + "\n"


def install(options: argparse.Namespace, names: list[str]) -> Path:
    """Make the environment; its interpreter."""
    print(f"Installing the newest versions into {CANARY} ...", flush=True)
    CANARY.mkdir(parents=True)
    setup_venv.make_venv(str(CANARY))
    more = ["--pre"] if options.pre else []
    setup_venv.pip(str(CANARY), "--upgrade", *more, *wanted(names, options.keep))
    setup_venv.pip(str(CANARY), "--no-deps", "--no-build-isolation", "-e", str(ROOT))
    setup_venv.quiet_notebooks(str(CANARY))
    return Path(setup_venv.venv_python(str(CANARY / ".venv")))


def run_tests(python: Path, options: argparse.Namespace) -> int:
    """Run the suite as `make test` does; pytest's exit status."""
    words = [str(python), "tools/offline.py", str(python), "-m", "pytest", "-n", options.jobs]
    words += [f"--junitxml={CANARY / 'tests.xml'}", "-q", "-p", "no:cacheprovider"]
    words += ["--continue-on-collection-errors"]  # else one broken import hides all the rest
    words += ["-m", "not slow"] if options.fast else []
    words += ["tests", "course_utils"]  # the lessons are among the tests
    return subprocess.call(words, cwd=ROOT, env=setup_venv.environment())


def write_report(text: str) -> None:
    """Store the report, whole or not at all."""
    part = CANARY / "report.part"
    part.write_text(text, encoding="utf-8", newline="\n")
    part.replace(CANARY / "report.md")


def fly(options: argparse.Namespace) -> int:
    """Install, test and report; the exit status."""
    begin = time.monotonic()
    shutil.rmtree(CANARY, ignore_errors=True)
    direct = pins((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    tested = pins((ROOT / "requirements-tested.txt").read_text(encoding="utf-8")) | direct
    python = install(options, list(direct))
    asked = subprocess.run([str(python), "-c", ASK], capture_output=True, check=True, text=True)
    versions, owners = json.loads(asked.stdout)
    now = {canonicalize_name(name): version for name, version in versions.items()}
    status = run_tests(python, options)
    results = CANARY / "tests.xml"
    if not results.exists():
        raise setup_venv.SetupError(
            f"pytest ended with status {status} before any test: its lines above say why."
        )
    count, bad = failures(results.read_text(encoding="utf-8"), owners)
    suite = "The fast tests" if options.fast else "All tests"
    about = f"{suite}, Python {sys.version.split()[0]}, {time.monotonic() - begin:.0f} s."
    text = report(version_table(tested, now, direct, bad), count, bad, about)
    write_report(text)
    print(f"\n{text}\nThis is in {CANARY / 'report.md'}.")
    return 1 if status else 0


def main(words: list[str]) -> int:
    """The command line; the exit status."""
    options = arguments(words)
    try:
        return fly(options)
    except setup_venv.SetupError as error:
        print(f"\n{error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped: there is no report. The next run begins anew.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
