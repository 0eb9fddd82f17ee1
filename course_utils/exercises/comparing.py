"""Judging an answer by comparison: with the right answer first, then with known mistakes.

The answer runs on several inputs, the easy ones first. On the first input where it goes wrong
the hint is looked for in this order: the known mistake that gives the same numbers, outputs in
another order, what the exercise itself can say about the numbers, a wrong shape, NaN, and at last
the first place where yours and the expected number differ.
"""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, ClassVar

import torch
from torch import Tensor

from course_utils.exercises.checking import Hint, Mistake
from course_utils.masks import padding_mask

Inputs = tuple[Any, ...]
Outputs = tuple[Any, ...]  # tensors here, plain values in `values`

# What an error's name and message often mean: pattern -> question.
TIPS = (
    (r"NoneType", "a line before gave None: does each of your functions end with return?"),
    (r"is not defined", "is the name misspelt, or made in a cell that has not run?"),
)
TENSOR_TIPS = (
    (r"shape of the mask", "indexing with a mask does not broadcast: do you know masked_fill?"),
    (
        r"size|shape|mat1|dimension",
        "two shapes do not fit: which shape has each tensor in that line?",
    ),
    (r"not implemented for|bool|dtype|expected scalar type", "which dtype has each tensor there?"),
)


@dataclass(frozen=True)
class Run:
    """One call of an answer: its outputs or its error, and the inputs that it changed."""

    inputs: Inputs
    outputs: Outputs | None
    error: Exception | None
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A judge that compares an answer with the right one.

    Parameters
    ----------
    parameters : tuple of str
        Names of the inputs, for the messages.
    outputs : dict of str to str
        Names of the outputs in their order, with their axes: {"scores": "B Tq Tk"}.
    solution : callable
        The right answer.
    cases : callable
        Gives a fresh list of inputs at each call, always the same ones, the telling ones first:
        where axes have equal lengths, so that a wrong answer runs and shows what it does.
    diagnose : callable, optional
        `diagnose(inputs, outputs, expected)` gives a hint for wrong numbers, or None.
    audit : callable, optional
        `audit(inputs)` gives a hint for how the inputs were used, or None.
    read : callable, optional
        `read(result, inputs)` turns what came back into tensors, or raises Hint.
    tips : tuple of (str, str)
        As `TIPS`, looked at before.
    """

    common_tips: ClassVar[tuple[tuple[str, str], ...]] = TIPS + TENSOR_TIPS
    harder: ClassVar[str] = "does a line count on axes of equal length?"

    parameters: tuple[str, ...]
    outputs: dict[str, str]
    solution: Callable[..., Any]
    cases: Callable[[], Sequence[Inputs]]
    diagnose: Callable[[Inputs, Outputs, Outputs], str | None] | None = None
    audit: Callable[[Inputs], str | None] | None = None
    read: Callable[[Any, Inputs], Outputs] | None = None
    tips: tuple[tuple[str, str], ...] = ()
    # What the known mistakes give in each case: the same at every check, so worked out once.
    _known: dict[tuple[Callable[..., Any], int], Outputs | None] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __call__(self, answer: Callable[..., Any], mistakes: tuple[Mistake, ...]) -> str | None:
        """None when the answer is right, else a hint."""
        self._check_signature(answer)
        expected = [run.outputs for run in self._run_all(self.solution)]
        runs = self._run_all(answer)
        for number, run in enumerate(runs):
            if run.error is not None:
                return self._explain(answer, run, number)
            hint = self.audit(run.inputs) if self.audit else None
            if hint is None and not same(run.outputs, expected[number]):
                hint = self._known_mistake(mistakes, runs, expected, number)
                hint = hint or self._difference(run, expected[number])
            if hint is not None:
                return hint
        changed = next((run.changed for run in runs if run.changed), None)
        return changed and _IN_PLACE.format(changed[0])

    def _check_signature(self, answer: Callable[..., Any]) -> None:
        try:
            signature = inspect.signature(answer)
        except (TypeError, ValueError):  # some built-in callables have none
            return
        try:
            signature.bind(*self.parameters)
        except TypeError:
            raise Hint(
                f"your function takes {signature}, but the exercise calls it with "
                f"({', '.join(self.parameters)}): are these its parameters, in this order?"
            ) from None

    def _run_all(self, answer: Callable[..., Any]) -> list[Run]:
        return [self._run(answer, inputs) for inputs in self.cases()]

    def _run(self, answer: Callable[..., Any], inputs: Inputs) -> Run:
        before = [copied(x) if isinstance(x, Tensor | dict) else None for x in inputs]
        try:
            result = answer(*inputs)
        except Exception as error:
            # PyTorch raises NotImplementedError for a missing kernel; that one is not the stub's.
            if isinstance(error, NotImplementedError) and "implemented for" not in str(error):
                raise
            return Run(inputs, None, error)
        try:
            outputs = (self.read or self._read)(result, inputs)
        except Hint as hint:
            return Run(inputs, None, hint)
        except Exception as error:  # a meta tensor, say
            return Run(inputs, None, Hint(f"the check cannot read what came back: {error}"))
        named = zip(self.parameters, inputs, before, strict=True)
        changed = [name for name, x, old in named if old is not None and not _equal(x, old)]
        return Run(inputs, outputs, None, tuple(changed))

    def _read(self, result: Any, inputs: Inputs) -> Outputs:
        wanted = ", ".join(self.outputs)
        if result is None:
            raise Hint(f"your function returned nothing: does it end with `return {wanted}`?")
        if len(self.outputs) == 1:
            result = (result,)
        if not isinstance(result, tuple | list):
            raise Hint(
                f"one {type(result).__name__} came back: does it end with `return {wanted}`?"
            )
        if len(result) != len(self.outputs):
            raise Hint(f"{len(result)} things came back, expected {len(self.outputs)}: {wanted}")
        return tuple(map(real, self.outputs, result))

    def _explain(self, answer: Callable[..., Any], run: Run, number: int) -> str:
        """A sentence or two about an error in the answer."""
        if isinstance(run.error, Hint):
            return str(run.error)
        message = " ".join(str(run.error).split())[:240]
        line = _line_of(answer, run.error)
        kind = type(run.error).__name__
        hint = f"your function raised {kind}{line}: {message}"
        tips = self.tips + self.common_tips
        tips = (tip for pattern, tip in tips if re.search(pattern, f"{kind}: {message}"))
        hint += (
            f" - {next(tips, 'what does that line get?')} The inputs were {self._describe(run)}."
        )
        if number:
            hint += f" Easier inputs went well: {self.harder}"
        return hint

    def _describe(self, run: Run) -> str:
        named = []
        for name, x in zip(self.parameters, run.inputs, strict=True):
            inside = {f"{name}[{k!r}]": y for k, y in x.items()} if isinstance(x, dict) else {}
            named += (inside or {name: x}).items()
        shapes = [f"{name} {tuple(x.shape)}" for name, x in named if isinstance(x, Tensor)]
        plain = [f"{name} {x}" for name, x in named if isinstance(x, int | float | str)]
        return ", ".join(shapes + plain)

    def _known_mistake(
        self, mistakes: tuple[Mistake, ...], runs: list[Run], expected: list[Outputs], number: int
    ) -> str | None:
        """The hint of the mistake that gives the answer's numbers, in as many runs as possible."""
        theirs = [run.outputs for run in runs]
        wrong = [self._if_alike(mistake.answer, theirs[number], number) for mistake in mistakes]
        # All outputs together, then each alone: two mistakes at once should not hide each other.
        # A part may be equal by chance, so it counts only if it is in all cases.
        parts = [slice(k, k + 1) for k in range(len(self.outputs))]
        for part in [slice(None), *parts]:
            fits = [[same(a, b, part) for a, b in zip(theirs, w, strict=True)] for w in wrong]
            found = [
                (sum(fit), -order)
                for order, (fit, those) in enumerate(zip(fits, wrong, strict=True))
                if fit[number]
                and not same(those[number], expected[number], part)
                and (part == slice(None) or sum(fit) == sum(w is not None for w in those))
            ]
            if found:
                return mistakes[-max(found)[1]].hint
        return None

    def _if_alike(
        self, answer: Callable[..., Any], theirs: Outputs, number: int
    ) -> list[Outputs | None]:
        """The answer's outputs in all cases; None where in this one no output equals theirs."""
        cases = self.cases()
        first = self._once(answer, cases[number], number)
        if first is None or not any(map(close, first, theirs)):
            return [None] * len(cases)
        return [self._once(answer, inputs, k) for k, inputs in enumerate(cases)]

    def _once(self, answer: Callable[..., Any], inputs: Inputs, number: int) -> Outputs | None:
        """The outputs of a known mistake in one case."""
        key = (answer, number)
        if key not in self._known:
            self._known[key] = self._run(answer, inputs).outputs
        return self._known[key]

    def _difference(self, run: Run, expected: Outputs) -> str:
        names = list(self.outputs)
        for order in permutations(range(len(names))):
            if order != tuple(range(len(names))) and same(
                tuple(run.outputs[k] for k in order), expected
            ):
                return f"the numbers are right, their order is not: return {', '.join(names)}"
        hint = self.diagnose(run.inputs, run.outputs, expected) if self.diagnose else None
        if hint is None:
            parts = zip(names, run.outputs, expected, strict=True)
            name, got, right = next(part for part in parts if not close(*part[1:]))
            hint = _first_difference(name, self.outputs[name], got, right)
            hint += f" (the inputs were {self._describe(run)})"
        return hint


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Numbers for a case, from a generator of its own: a check leaves the global one alone."""
    return torch.randn(*shape, generator=generator, dtype=torch.float32, device="cpu")


def key_mask(*lengths: int) -> Tensor:
    """Bool "B 1 S" for a case: True at the first positions of each row."""
    return padding_mask(torch.tensor(lengths, device="cpu"))[:, None]


_IN_PLACE = (
    "the result is right, but your function changes its input {} in place, and the caller still "
    "needs it: which of your lines writes into it (x[...] =, pop, a name that ends with _)?"
)


def real(name: str, output: Any) -> Tensor:
    """A tensor of real numbers, as it is compared; `name` stands in the hint.

    Raises
    ------
    Hint
        When it is something else.
    """
    if not isinstance(output, Tensor):
        raise Hint(f"{name} is a {type(output).__name__}, expected a tensor: torch.stack, perhaps?")
    if output.dtype not in (torch.float32, torch.float64):
        raise Hint(f"{name} has the dtype {output.dtype}, expected torch.float32: what made it so?")
    output = output.to_dense() if output.layout != torch.strided else output
    return output.detach().cpu().double()


def copied(x: Any) -> Any:
    """A copy of a tensor, or of a dict with all its tensors; anything else as it is."""
    if isinstance(x, dict):
        return {name: copied(value) for name, value in x.items()}
    return x.clone() if isinstance(x, Tensor) else x


def _equal(x: Any, old: Any) -> bool:
    if isinstance(old, dict):
        return x.keys() == old.keys() and all(_equal(x[k], old[k]) for k in old)
    if isinstance(old, Tensor):
        return isinstance(x, Tensor) and torch.equal(x, old)
    return x == old


def close(a: Any, b: Any) -> bool:
    """Equal; tensors in shape and, to what float32 can promise, in every number."""
    if not isinstance(a, Tensor):
        return a == b
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True)


def same(a: Outputs | None, b: Outputs | None, part: slice = slice(None)) -> bool:
    """Is each output close to the other's? Never where there are none."""
    if a is None or b is None:
        return False
    return all(close(x, y) for x, y in zip(a[part], b[part], strict=True))


def _line_of(answer: Callable[..., Any], error: Exception) -> str:
    """The line of the answer's own source where the error came up, if it is known."""
    code = getattr(answer, "__code__", None)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.line for frame in frames if code and frame.filename == code.co_filename]
    return f" in the line `{lines[-1]}`" if lines and lines[-1] else ""


def _first_difference(name: str, axes: str, got: Tensor, right: Tensor) -> str:
    if got.shape != right.shape:
        hint = f"{name} has the shape {tuple(got.shape)}, expected {tuple(right.shape)}, {axes}"
        if got.squeeze().shape == right.squeeze().shape and got.ndim < right.ndim:
            return f"{hint}: did a squeeze take away an axis that only happens to have length 1?"
        if got.squeeze().shape == right.squeeze().shape:
            return f"{hint}: which axis of length 1 is left over?"
        return f"{hint}: over which axis did you sum, and which two did you exchange?"
    if got.isnan().any():
        return f"{name} holds NaN: where do you divide by zero, or take inf from inf?"
    place = tuple((got - right).abs().gt(1e-4 * right.abs() + 1e-5).nonzero()[0].tolist())
    return (
        f"{name}{list(place)} ({axes}) is {float(got[place]):.4g}, expected "
        f"{float(right[place]):.4g}: can you work this one number out by hand?"
    )
