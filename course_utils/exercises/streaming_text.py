"""Check of the exercise on decoding a stream, never half a character.

An answer may be a generator, or give a list. What it gave out is brought into one form: a list
with the text after each token, and what was added at the end. U+FFFD may come any time before the
next whole character, and once or several times for one damaged place.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from typing import Any

from course_utils.exercises import byte_pair_encoding_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint, Mistake
from course_utils.exercises.comparing import Inputs, Outputs
from course_utils.exercises.values import ValueComparison, shown, up_to_most
from course_utils.exercises.variants import variants

BROKEN = "\ufffd"


def _cases() -> list[Inputs]:
    one_by_one = [bytes([byte]) for byte in "日本 naïve 🙂!".encode()]
    cases = [
        [b"a"],
        [b"caf", b"e"],
        ["\u00e9t\u00e9".encode()],
        [b"\xc3", b"\xa9"],
        [b"caf", b"\xc3", b"\xa9", b"s"],
        [b"caf\xc3", b"\xa9s"],
        [b"\xf0\x9f", b"\x99", b"\x82"],
        one_by_one,
        [b"a", b"\xc3"],
        [b"a\xe6\x97"],
        [b"a", b"\xff", b"b", b"c"],
        [b"\xe6", b"a", b"b"],
        [b"a", b"", b"b"],
        [],
    ]
    return [(tokens,) for tokens in cases]


class Stream:
    """Tokens that can be taken one at a time, and counts how many were."""

    def __init__(self, tokens: list[bytes]) -> None:
        self.tokens, self.taken = tokens, 0

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self.taken == len(self.tokens):
            raise StopIteration
        self.taken += 1
        return self.tokens[self.taken - 1]


def _settled(slots: list[str]) -> list[str]:
    """U+FFFD goes to the next whole character; at the end it gets a slot of its own."""
    settled, waiting = [], ""
    for slot in slots:
        text = re.sub(f"{BROKEN}+", BROKEN, waiting + slot)
        waiting = BROKEN if text.endswith(BROKEN) else ""
        settled.append(text.removesuffix(BROKEN))
    return [*settled, waiting]


def _slots(times: list[int], pieces: list[str], number: int) -> list[str]:
    slots = [""] * max(number, 1)
    for time, piece in zip(times, pieces, strict=True):
        slots[min(max(time - 1, 0), len(slots) - 1)] += piece
    return _settled(slots)


def _pieces(result: Any) -> list[str]:
    """A list of str, or a hint."""
    kind = type(result).__name__
    if isinstance(result, str | bytes):
        raise Hint(f"one {kind} came back, at the end: do you know yield, which gives a part out?")
    if not isinstance(result, list | tuple):
        raise Hint(f"one {kind} came back: do you know yield, which gives out one str at a time?")
    return [_piece(piece) for piece in result]


def _piece(piece: Any) -> str:
    if not isinstance(piece, str):
        raise Hint(f"you give out {shown(piece)}, expected a str: how do bytes become one?")
    return piece


def _timed(result: Any, given: Inputs) -> list[str] | None:
    """What the answer gave out, in one form.

    A list has one str for each token and may have one more for the end, or it has no empty ones.
    """
    if result is None:
        return None
    stream = given[0]
    number = len(stream.tokens)
    if isinstance(result, Iterator):
        timed = up_to_most((stream.taken, _piece(piece)) for piece in result)
        return _slots([time for time, _ in timed], [piece for _, piece in timed], number)
    pieces = _pieces(result)
    fresh = Stream(stream.tokens)
    right = _timed(solutions.stream(fresh), (fresh,))
    if [*filter(None, _settled(pieces))] == [*filter(None, right)]:
        return right
    each = len(pieces) in (number, number + 1)
    return _slots([*range(1, len(pieces) + 1)] if each else [number] * len(pieces), pieces, number)


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    got, right = "".join(outputs[0]), "".join(expected[0])
    text = "this is the text after each token, and what is added at the end. "
    if got == right:
        return f"{text}Which character was whole before you gave it out?"
    if BROKEN in got and BROKEN not in right:
        return f"{text}Where do you decode half a character, and where does its half wait?"
    if len(got) < len(right):
        return f"{text}Some of it gets lost. Which line throws bytes away?"
    return f"{text}Which line gives out too much, or the wrong thing?"


# ---- known mistakes: a decoder with parts to exchange, and others


def _decode(
    tokens: Iterator[bytes],
    *,
    errors: str = "replace",
    coding: str = "utf-8",
    last: Callable[[str], str] = lambda text: text,
    give: Callable[[list[str]], Iterator[str]] = iter,
    late: bool = False,
    whole: bool = False,
    repeat: bool = False,
) -> Iterator[str]:
    """The right stream, but for the parts that are given."""
    decoder, waiting, so_far = codecs.getincrementaldecoder(coding)(errors=errors), "", ""
    for token in tokens:
        text = decoder.decode(token)
        if late:
            waiting, text = text, waiting
        if whole:
            waiting, text = waiting + text, ""
        so_far += text
        yield so_far if repeat else text
    yield waiting + last(decoder.decode(b"", final=True))


def _alone(tokens: Iterator[bytes], *, errors: str, coding: str = "utf-8") -> Iterator[str]:
    for token in tokens:
        yield token.decode(coding, errors=errors)


def _until_it_decodes(
    tokens: Iterator[bytes], *, forget: bool = False, rest: str = "replace"
) -> Iterator[str]:
    """Waits until all that is kept can be decoded at once; `forget`: keeps one token only."""
    kept = b""
    for token in tokens:
        kept = token if forget else kept + token
        try:
            text = kept.decode()
        except UnicodeDecodeError:
            continue
        kept = b""
        yield text
    yield kept.decode(errors=rest)


def _until_broken(tokens: Iterator[bytes], *, rest: str = "replace") -> Iterator[str]:
    """Gives out what stands before the first bytes that do not decode, and keeps the others."""
    kept = b""
    for token in tokens:
        kept += token
        try:
            end = len(kept.decode().encode())
        except UnicodeDecodeError as error:
            end = error.start
        yield kept[:end].decode()
        kept = kept[end:]
    yield kept.decode(errors=rest)


def _until_no_sign(tokens: Iterator[bytes]) -> Iterator[str]:
    """Decodes everything so far, and waits as long as U+FFFD stands at the end."""
    kept, given = b"", ""
    for token in tokens:
        kept += token
        text = kept.decode(errors="replace")
        if not text.endswith(BROKEN):
            yield text[len(given) :]
            given = text
    yield kept.decode(errors="replace")[len(given) :]


def _so_far(tokens: Iterator[bytes]) -> Iterator[str]:
    """Decodes everything so far, and gives out what is longer than before."""
    kept, given = b"", ""
    for token in tokens:
        kept += token
        text = kept.decode(errors="replace")
        yield text[len(given) :]
        given = text


_HALVES = (
    "half a character is decoded, and {}: a token may end inside a character. "
    "Where can the half wait for the next token?"
)
_BROKEN_LOST = (
    "broken bytes disappear: the reader should see that something was there. "
    "Which value of errors puts U+FFFD in their place?"
)
_REST_LOST = (
    "a half character at the end gets lost: it becomes U+FFFD when no token is left. "
    "What does your function do after the loop?"
)
_WAITS = (
    "you wait till the end: the reader wants each character as soon as it is whole. "
    "Where in your loop is the yield, or do you collect all tokens (list, join) before it begins?"
)
_BLOCKED = (
    "one broken byte holds up all that follows: it never becomes a character, whatever comes. "
    "How can you tell it from half a character?"
)
_WHOLE_WAIT = (
    "a whole character waits, because half a character stands behind it in the same token: "
    "which part of your bytes can be given out already?"
)


_MISTAKES = (
    *variants(
        _alone,
        (_HALVES.format("becomes U+FFFD"), {"errors": "replace"}),
        (_HALVES.format("gets lost"), {"errors": "ignore"}),
        (
            "your bytes are read as latin-1, one byte one character: e with an accent becomes two "
            "letters. Which coding do the tokens have?",
            {"errors": "strict", "coding": "latin-1"},
            {"errors": "replace", "coding": "cp1252"},
        ),
        (
            "what is not ASCII is no character here: which coding do the tokens have?",
            {"errors": "replace", "coding": "ascii"},
            {"errors": "ignore", "coding": "ascii"},
        ),
    ),
    *variants(
        _decode,
        (_WAITS, {"whole": True}, {"whole": True, "errors": "ignore"}),
        (_BROKEN_LOST, {"errors": "ignore"}),
        (_REST_LOST, {"last": lambda text: ""}),
        (
            "broken bytes come out as \\x..: which value of errors puts U+FFFD in their place?",
            {"errors": "backslashreplace"},
        ),
        (
            "each piece comes one token late: do you give out the text of this token, or of the "
            "one before?",
            {"late": True},
        ),
        (
            "all text so far is given out again with each token: how much of it is new?",
            {"repeat": True},
        ),
        (
            "a ? stands where U+FFFD should stand: which character is '\\ufffd'?",
            {"last": lambda text: text.replace(BROKEN, "?")},
        ),
    ),
    *variants(
        _until_it_decodes,
        (_WHOLE_WAIT, {}),
        (
            "the first half of a character is forgotten: where does it wait for the second one?",
            {"forget": True},
            {"forget": True, "rest": "ignore"},
        ),
        (_WHOLE_WAIT, {"rest": "ignore"}),
    ),
    *variants(_until_broken, (_BLOCKED, {}, {"rest": "ignore"})),
    Mistake(_WHOLE_WAIT, _until_no_sign),
    Mistake(_HALVES.format("becomes U+FFFD"), _so_far),
)

STREAM = Exercise(
    name="03.5",
    title="Text from a stream of tokens",
    judge=ValueComparison(
        parameters=("tokens",),
        outputs={"pieces": "list"},
        solution=solutions.stream,
        cases=_cases,
        value=lambda slots: slots,
        give=lambda tokens: (Stream(tokens),),
        collect=_timed,
        diagnose=_diagnose,
        tips=(
            (
                r"UnicodeDecodeError",
                "these bytes are half a character, or broken: can they wait, or become U+FFFD?",
            ),
            (
                r"has no len|not subscriptable|not reversible",
                "the end of a stream is not known yet: can you take one token after the other, "
                "with `for token in tokens`?",
            ),
            (
                r"bytes|not str",
                "tokens are bytes, what you give out is str: which line mixes them?",
            ),
        ),
    ),
    mistakes=_MISTAKES,
)
