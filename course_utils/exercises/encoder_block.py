"""Check of the exercise on the encoder's block: what lies around attention and feed-forward.

Axis letters: B batch, T length, D model width. In the mistakes f is a sub-layer and n its norm.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.exercises import transformer_solutions as solutions
from course_utils.exercises.checking import Exercise, Hint
from course_utils.exercises.comparing import Comparison, Inputs, Outputs, key_mask, normal
from course_utils.exercises.dot_product import pair_mask
from course_utils.exercises.random_layers import drawn_once, layer_norm, linear, projections
from course_utils.exercises.variants import two_at_once, variants


class _Attention:
    """Several heads, `attention(query, key, value, mask)`, that say what is wrong with shapes."""

    def __init__(self, layers: Any, num_heads: int, shape: tuple[int, ...]) -> None:
        self.layers, self.num_heads, self.shape = layers, num_heads, shape

    def __call__(self, query: Any, key: Any, value: Any, mask: Any = None) -> Tensor:
        if mask is None:
            mask = torch.ones(1, 1, self.shape[1], dtype=torch.bool, device="cpu")
        for name, x in (("query", query), ("key", key), ("value", value)):
            if not isinstance(x, Tensor) or x.shape != self.shape:
                got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
                raise Hint(
                    f"layers.attention takes the {name} as {self.shape}, B T D; it got {got}: "
                    "which four things does it take, in which order?"
                )
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise Hint(f"layers.attention takes a boolean mask, it got {got}: which one is yours?")
        if mask.ndim != 3:
            raise Hint(
                f"layers.attention takes the mask as it is, B 1 T or B T T; it got "
                f"{tuple(mask.shape)}: what changed it?"
            )
        if not mask.any(-1).all():
            raise Hint(
                "layers.attention gets a mask that hides everything from some word: is it "
                "inverted? True means *may attend*, and yours comes with that meaning"
            )
        return solutions.multi_head(query, key, value, self.layers, self.num_heads, mask)


@drawn_once
def _cases() -> list[Inputs]:
    generator = torch.Generator().manual_seed(24)
    rand = partial(normal, generator)
    everywhere = torch.ones(3, 4, 4, dtype=torch.bool, device="cpu")
    masks = [everywhere, everywhere, key_mask(5, 2, 3), pair_mask(generator, 2, 3, 3), key_mask(2)]
    cases = []
    for mask, d, norm in zip(masks, (8, 8, 6, 4, 4), ("post", "pre", "post", "pre"), strict=False):
        shape = len(mask), mask.shape[2], d
        layers = SimpleNamespace(
            attention=_Attention(projections(rand, d), 2, shape),
            feed_forward=nn.Sequential(linear(rand, d, 3 * d), nn.ReLU(), linear(rand, 3 * d, d)),
            norm1=layer_norm(rand, d),
            norm2=layer_norm(rand, d),
        )
        cases.append((rand(*shape), mask, layers, norm))
    return cases


# ---- the right answer, with parts to exchange

# What may lie around a sub-layer f with the norm n; `x` goes past it, `y` goes into it.
AROUND: dict[str, Callable[..., Tensor]] = {
    "post": lambda x, y, f, n: n(x + f(y)),
    "pre": lambda x, y, f, n: x + f(n(y)),
    "inside": lambda x, y, f, n: x + n(f(y)),
    "twice": lambda x, y, f, n: n(x + f(n(y))),
    "normed": lambda x, y, f, n: n(x) + f(n(y)),
    "apart": lambda x, y, f, n: n(x) + f(y),
    "bare": lambda x, y, f, n: x + f(y),
    "post alone": lambda x, y, f, n: n(f(y)),
    "pre alone": lambda x, y, f, n: f(n(y)),
    "none": lambda x, y, f, n: f(y),
}


def _block(
    x: Tensor,
    mask: Tensor,
    layers: Any,
    norm: str,
    *,
    place: Callable = lambda norm: norm,
    first: Callable = lambda kind: kind,
    second: Callable = lambda kind: kind,
    norms: tuple[str, str] = ("norm1", "norm2"),
    seen: Callable | None = None,
    asked: Callable = lambda x, y: (y, y, y),
    read: Callable = lambda x, h: h,
    past: Callable = lambda x, h: h,
    turned: bool = False,
    after: str = "",
) -> Tensor:
    """The right block, but for the parts that are given.

    `place` gives the key of `AROUND` for both sub-layers, `first` and `second` change it for one;
    `read` and `past` give what the second sub-layer reads and what goes past it.
    """
    mask = seen(mask) if seen else mask
    one, two = first(place(norm)), second(place(norm))
    norm1, norm2 = (getattr(layers, name) for name in norms)

    steps = [
        (lambda y: layers.attention(*asked(x, y), mask), norm1, one),
        (layers.feed_forward, norm2, two),
    ]
    (f1, n1, one), (f2, n2, two) = reversed(steps) if turned else steps
    h = AROUND[one](x, x, f1, n1)
    out = AROUND[two](past(x, h), read(x, h), f2, n2)
    return getattr(layers, after)(out) if after else out


def only(kind: str, instead: str) -> Callable[[str], str]:
    """Changes one of the two orders, and leaves the other."""
    return lambda norm: instead if norm == kind else norm


def _alone(kind: str) -> str:
    return f"{kind} alone" if kind in ("post", "pre") else kind


SIDE = (
    "the norm is on the wrong side of the residual: {}. "
    "In which of the two orders does it read the sum?"
)
_MISTAKES = variants(
    _block,
    (
        'norm is ignored: you always write post-norm. What changes when norm == "pre"?',
        {"place": lambda norm: "post"},
    ),
    (
        SIDE.format('for norm == "post" you normalise what the sub-layer reads, that is pre-norm'),
        {"place": lambda norm: "pre"},
    ),
    (
        "post and pre are exchanged: post-norm, the paper's, is norm(x + sublayer(x)). "
        "What does the word *post* say about the norm and the sum?",
        {"place": {"post": "pre", "pre": "post"}.get},
    ),
    (
        SIDE.format("you have x + norm(sublayer(x)), and post-norm is norm(x + sublayer(x))"),
        {"place": only("post", "inside")},
        {"place": lambda norm: "inside"},
    ),
    (
        SIDE.format('for norm == "pre" you have x + norm(sublayer(x)), not x + sublayer(norm(x))'),
        {"place": only("pre", "inside")},
    ),
    (
        "there is a norm on both sides of the sub-layer: each sub-layer has one only. "
        "Which of them belongs to which order?",
        {"place": lambda norm: "twice"},
        {"place": only("post", "twice")},
        {"place": only("pre", "twice")},
    ),
    (
        "the residual takes norm(x) past the sub-layer: in pre-norm x itself goes past, untouched. "
        "Do you still have x when you add?",
        {"place": only("pre", "normed")},
    ),
    (
        "you normalise x and then add: norm(x) + sublayer(x). Post-norm takes the norm of the "
        "sum. Where does the bracket close?",
        {"place": only("post", "apart")},
        {"place": lambda norm: "apart"},
    ),
    ("there are no norms: where do norm1 and norm2 come in?", {"place": lambda norm: "bare"}),
    (
        "the first norm is forgotten: attention has norm1. Where is it?",
        {"first": lambda kind: "bare"},
    ),
    (
        "the second norm is forgotten: the feed-forward network has norm2. Where is it?",
        {"second": lambda kind: "bare"},
    ),
    (
        "both residuals are forgotten: x goes past each sub-layer and is added to what it gives. "
        "Where is x + in your lines?",
        {"place": _alone},
    ),
    (
        "the first residual is forgotten, the one around attention: what is added to what "
        "attention gives?",
        {"first": _alone},
    ),
    (
        "one residual goes around both sub-layers: each has its own. "
        "What is added after attention, and what after the feed-forward network?",
        {"first": _alone, "past": lambda x, h: x},
        {
            "first": lambda kind: "none" if kind == "post" else _alone(kind),
            "past": lambda x, h: x,
        },
    ),
    (
        "the second residual is forgotten, the one around the feed-forward network: what is added "
        "to what it gives?",
        {"second": _alone},
    ),
    (
        "the feed-forward network reads x: the two sub-layers stand one after the other. "
        "What came out of the first one?",
        {"read": lambda x, h: x},
    ),
    (
        "the second residual adds x, the block's input: what goes past the feed-forward network "
        "is what came out of the first half. Which name holds that?",
        {"past": lambda x, h: x},
    ),
    (
        "the second half starts from x again: attention leaves no trace. "
        "What does the feed-forward network read, and what goes past it?",
        {"read": lambda x, h: x, "past": lambda x, h: x},
    ),
    (
        "norm1 and norm2 are exchanged: norm1 belongs to attention. Which one do you call first?",
        {"norms": ("norm2", "norm1")},
    ),
    ("norm1 is used twice: which one has the feed-forward network?", {"norms": ("norm1",) * 2}),
    ("norm2 is used twice: which one has attention?", {"norms": ("norm2",) * 2}),
    (
        "the feed-forward network comes first: in the paper's block attention does. "
        "Which of the two mixes the words, and which reads the mixture?",
        {"turned": True},
        {"turned": True, "norms": ("norm2", "norm1")},
    ),
    (
        "the mask is not handed on: words attend to padding. What is the fourth thing that "
        "layers.attention takes?",
        {"seen": torch.ones_like},
    ),
    (
        "in pre-norm attention asks with norm(x) and looks at x: queries, keys and values are all "
        "read through the norm. Which of your three is not?",
        {"asked": lambda x, y: (y, x, x)},
        {"asked": lambda x, y: (y, y, x)},
        {"asked": lambda x, y: (x, y, y)},
    ),
    (
        "there is a norm too many at the end: a pre-norm block ends with a sum. "
        "Who normalises the output of the whole stack?",
        {"after": "norm2"},
        {"after": "norm1"},
    ),
)


def not_normalised(output: Tensor, norm: Any) -> bool:
    """Is this something that cannot come out of the norm?"""
    before = (output - norm.bias.double()) / norm.weight.double()
    spread = before.var(-1, unbiased=False)
    return bool((before.mean(-1).abs() > 1e-2).any() or ((spread - 1).abs() > 5e-2).any())


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    _, _, layers, norm = inputs
    got, right = outputs[0], expected[0]
    if got.shape != right.shape or got.isnan().any():
        return None
    if norm == "post" and not_normalised(got, layers.norm2):
        return (
            "your result does not come out of norm2: in post-norm each half ends with its norm. "
            "What is your last step?"
        )
    return (
        f'with norm == "{norm}" some number differs: do you have, twice, a sub-layer, a residual '
        "around it and a norm of its own, and does the second half read the first?"
    )


ENCODER_BLOCK = Exercise(
    name="02.4",
    title="The encoder's block",
    judge=Comparison(
        parameters=("x", "mask", "layers", "norm"),
        outputs={"output": "B T D"},
        solution=solutions.encoder_block,
        cases=_cases,
        diagnose=two_at_once(_MISTAKES, otherwise=_diagnose),
        tips=(
            (
                r"no attribute|not subscriptable|positional argument",
                "layers has attention(query, key, value, mask), feed_forward(x), norm1(x) and "
                "norm2(x): is a name misspelt, or is an argument missing?",
            ),
            (r"unpack", "layers.attention gives the output alone: do you take two things from it?"),
        ),
    ),
    mistakes=_MISTAKES,
)
