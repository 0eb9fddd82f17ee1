"""Check of the exercise on a whole layer of the decoder.

The right answer is torch's own layer with the same weights.

Axis letters: B batch, T, S length of target and memory, D model width.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.exercises.checking import Exercise
from course_utils.exercises.comparing import Comparison, Inputs, Outputs, key_mask, normal
from course_utils.exercises.dot_product import ALL_NAN, EMPTY
from course_utils.exercises.encoder_block import AROUND, SIDE, not_normalised
from course_utils.exercises.heads import HEADS, multi_head
from course_utils.exercises.random_layers import decoder_layers, drawn_once, torch_layer
from course_utils.exercises.transformer_solutions import four_layers
from course_utils.exercises.variants import two_at_once, variants


@drawn_once
def _cases() -> list[Inputs]:
    rand = partial(normal, torch.Generator().manual_seed(25))
    # Equal axes first, and nothing hidden in the memory, so that nearly every answer runs.
    sizes = [(4, 4, 32, 32, 4), (4, 4, 32, 32, 4), (3, 5, 12, 20, 2), (4, 2, 6, 8, 1)]
    masks = [key_mask(4, 4, 4, 4), key_mask(4, 2, 3, 1), key_mask(5, 2), key_mask(1, 2, 2)]
    return [
        (rand(len(mask), t, d), rand(len(mask), s, d), mask, decoder_layers(rand, d, d_ff), heads)
        for (t, s, d, d_ff, heads), mask in zip(sizes, masks, strict=True)
    ]


# ---- the right answer, with parts to exchange


def _layer(
    x: Tensor,
    memory: Tensor,
    memory_mask: Tensor,
    layers: Any,
    num_heads: int,
    *,
    causal: Callable = torch.tril,
    seen: Callable = lambda memory_mask: memory_mask,
    own_mask: Callable = lambda causal, memory_mask: causal,
    cross: Callable = lambda h, memory: (h, memory, memory),
    weights_of: tuple[str, str] = ("self", "cross"),
    place: tuple[str, ...] = ("post", "post", "post"),
    norms: tuple[str, ...] = ("norm1", "norm2", "norm3"),
    relu: Callable = torch.relu,
    order: tuple[int, ...] = (0, 1, 2),
    own: dict | None = None,
    other: dict | None = None,
    **parts: Any,
) -> Tensor:
    """The right layer; `parts` go to both attentions, `own` and `other` to one of them.

    `order` names the sub-layers, 0 to 2; `place` and `norms` go with the step, not the sub-layer.
    """
    square = torch.ones(1, x.shape[1], x.shape[1], dtype=torch.bool, device="cpu")
    memory_mask, one = seen(memory_mask), own_mask(causal(square), memory_mask)
    mine, its = (four_layers(layers, part) for part in weights_of)

    steps = (
        lambda y: multi_head(y, y, y, mine, num_heads, one, **{**parts, **(own or {})}),
        lambda y: multi_head(
            *cross(y, memory), its, num_heads, memory_mask, **{**parts, **(other or {})}
        ),
        lambda y: layers.outer(relu(layers.inner(y))),
    )
    for number, kind, norm in zip(order, place, norms, strict=False):
        x = AROUND[kind](x, x, steps[number], getattr(layers, norm))
    return x


def _from_decoder(which: str) -> str:
    return (
        f"cross-attention takes its {which} from the decoder: the decoder asks, the memory "
        "answers. Which of query, key and value come from the memory?"
    )


_UPSIDE_DOWN = (
    "the causal mask is upside down: each word sees itself and what comes after it. "
    "Row i is the query; are its True places on the left or on the right, tril or triu?"
)
_NOT_ITSELF = (
    "a word does not see itself: your causal mask leaves out the diagonal, and the first word "
    "sees nothing at all. Which diagonal does tril start from?"
)


def _mask_ways(**parts: Any) -> list[dict]:
    """One wrong mask that leaves nothing to some queries, in three ways."""
    return [parts | empty for empty in EMPTY]


_CAUSAL = (
    (
        _UPSIDE_DOWN,
        {"causal": torch.triu},
        *_mask_ways(causal=partial(torch.triu, diagonal=1)),
    ),
    (_NOT_ITSELF, *_mask_ways(causal=partial(torch.tril, diagonal=-1))),
    (
        "there is no causal mask: a word sees the words after it, which it has to guess in use. "
        "Which of the two attentions hides the future?",
        {"causal": torch.ones_like},
    ),
    (
        "your causal mask shows one word too many, the next one: which diagonal is the last?",
        {"causal": partial(torch.tril, diagonal=1)},
    ),
    (
        "the causal mask is applied after the softmax: what is left sums to less than 1. "
        "Does the mask belong before the softmax?",
        {"after": True},
        {"own": {"after": True}},
    ),
    (
        "a score of 0 does not hide a key: exp(0) is 1, an ordinary weight. "
        "Which score becomes the weight 0 in a softmax?",
        {"fill": 0.0},
        {"own": {"fill": 0.0}},
    ),
)
_MEMORY = (
    (
        "the memory's mask is forgotten: words look at the source's padding. "
        "Which attention takes memory_mask?",
        {"seen": torch.ones_like},
    ),
    (
        "the memory's mask is inverted: words look at padding only. "
        "Does True mean *may attend* or *leave out*?",
        *_mask_ways(seen=torch.logical_not)[1:],
    ),
    (ALL_NAN, {"seen": torch.logical_not}),
    (
        "both masks are inverted: the causal one and that of the memory. "
        "Does True mean *may attend* or *leave out*, and which of the two does masked_fill fill?",
        *_mask_ways(seen=torch.logical_not, causal=partial(torch.triu, diagonal=1))[1:],
    ),
    (
        "the memory's mask hides words of the target: it belongs to cross-attention only. "
        "Which keys does it speak of?",
        {"own_mask": lambda causal, memory_mask: causal & memory_mask},
        {"own_mask": lambda causal, memory_mask: memory_mask},
    ),
    (
        _from_decoder("keys and values"),
        {"cross": lambda h, memory: (h, h, h)},
    ),
    (_from_decoder("keys"), {"cross": lambda h, memory: (h, h, memory)}),
    (_from_decoder("values"), {"cross": lambda h, memory: (h, memory, h)}),
    (
        "the queries of cross-attention come from the memory: the decoder asks, the memory "
        "answers. How many rows has the result, T or S?",
        {"cross": lambda h, memory: (memory, h, h)},
        {"cross": lambda h, memory: (memory, memory, memory)},
        {"cross": lambda h, memory: (memory, h, memory)},
        {"cross": lambda h, memory: (memory, memory, h)},
    ),
)


def _in_one(part: str, name: str) -> list[tuple[Any, ...]]:
    """Mistakes in one of the two attentions only."""
    return [
        (f"in {name}-attention, and only there: {hint}", *({part: w} for w in ways))
        for hint, *ways in HEADS
    ]


_E = ("post", "post", "post")
_MISTAKES = variants(
    _layer,
    *_CAUSAL,
    *_MEMORY,
    *HEADS,
    (
        "the layers of the two attentions are exchanged: self_query and so on belong to the "
        "first one. Which do you hand to which?",
        {"weights_of": ("cross", "self")},
    ),
    (
        "both attentions use the same four layers: which names begin with cross_?",
        {"weights_of": ("self", "self")},
    ),
    (
        "both attentions use the same four layers: which names begin with self_?",
        {"weights_of": ("cross", "cross")},
    ),
    (
        SIDE.format(
            "you have x + sublayer(norm(x)), which is pre-norm; here it is norm(x + sublayer(x))"
        ),
        {"place": ("pre",) * 3},
    ),
    (
        SIDE.format("you have x + norm(sublayer(x)), not norm(x + sublayer(x))"),
        {"place": ("inside",) * 3},
    ),
    (
        SIDE.format("you have norm(x) + sublayer(x), not norm(x + sublayer(x))"),
        {"place": ("apart",) * 3},
        {"place": ("normed",) * 3},
    ),
    ("there are no norms: where do norm1, norm2 and norm3 come in?", {"place": ("bare",) * 3}),
    (
        "all residuals are forgotten: x goes past each sub-layer and is added to what it gives. "
        "Where is x + in your lines?",
        {"place": ("post alone",) * 3},
    ),
    *(
        (
            f"the residual around {name} is forgotten: what is added to what it gives?",
            {"place": (*_E[:k], "post alone", *_E[k + 1 :])},
        )
        for k, name in enumerate(("self-attention", "cross-attention", "the feed-forward network"))
    ),
    *(
        (
            f"norm{k + 1} is forgotten: each sub-layer ends with a norm of its own. "
            "Where is this one?",
            {"place": (*_E[:k], "bare", *_E[k + 1 :])},
        )
        for k in range(3)
    ),
    (
        "the norms are mixed up: norm1 belongs to self-attention, norm2 to cross-attention, norm3 "
        "to the feed-forward network. Which one do you call where?",
        {"norms": ("norm2", "norm1", "norm3")},
        {"norms": ("norm1", "norm3", "norm2")},
        {"norms": ("norm3", "norm2", "norm1")},
        {"norms": ("norm1",) * 3},
    ),
    (
        "the feed-forward network has no relu: without it two linear layers are no more than one. "
        "What stands between inner and outer?",
        {"relu": lambda x: x},
    ),
    (
        "the relu is another function: the paper's feed-forward network has max(0, x). "
        "Which one is yours?",
        {"relu": nn.functional.gelu},
        {"relu": torch.tanh},
        {"relu": nn.functional.silu},
    ),
    (
        "the feed-forward network is forgotten: what comes after cross-attention?",
        {"order": (0, 1)},
    ),
    (
        "cross-attention comes before self-attention: in the paper a word looks at its own "
        "sentence first. Which of the two is the first step?",
        {"order": (1, 0, 2)},
        {"order": (1, 0, 2), "norms": ("norm2", "norm1", "norm3")},
    ),
    (
        "the feed-forward network is not the last step: which three steps are there, in which "
        "order?",
        {"order": (0, 2, 1)},
        {"order": (2, 0, 1)},
        {"order": (0, 2, 1), "norms": ("norm1", "norm3", "norm2")},
        {"order": (2, 0, 1), "norms": ("norm3", "norm1", "norm2")},
    ),
    (
        "cross-attention is missing: where does the memory come in?",
        {"order": (0, 2), "norms": ("norm1", "norm3")},
        {"order": (0, 2), "norms": ("norm1", "norm2")},
    ),
    (
        "self-attention is missing: where do the words of the target look at each other?",
        {"order": (1, 2), "norms": ("norm2", "norm3")},
        {"order": (1, 2), "norms": ("norm1", "norm2")},
    ),
)
_IN_ONE = variants(_layer, *_in_one("own", "self"), *_in_one("other", "cross"))


def _diagnose(inputs: Inputs, outputs: Outputs, expected: Outputs) -> str | None:
    got, right, layers = outputs[0], expected[0], inputs[3]
    if got.shape != right.shape or got.isnan().any():
        return None
    if not_normalised(got, layers.norm3):
        return (
            "your result does not come out of norm3: each of the three steps is "
            "norm(x + sublayer(x)). What is your last line?"
        )
    if torch.allclose(got[:, 0], right[:, 0], rtol=1e-4, atol=1e-5):
        return (
            "the first word is right, later ones are not: it sees only itself, so cross-attention, "
            "feed-forward network and norms are in order. In self-attention, what do you do to the "
            "scores: the root, the causal mask, the softmax over the keys?"
        )
    return (
        "already the first word differs, which sees only itself: take one sentence of one word "
        "and a memory of one word. Then every weight is 1; what should each step give?"
    )


DECODER_LAYER = Exercise(
    name="02.5",
    title="A layer of the decoder",
    judge=Comparison(
        parameters=("x", "memory", "memory_mask", "layers", "num_heads"),
        outputs={"output": "B T D"},
        solution=torch_layer,
        cases=_cases,
        diagnose=two_at_once(_MISTAKES, otherwise=_diagnose),
        tips=(
            (
                r"no attribute|not subscriptable",
                "layers has self_query, self_key, self_value, self_output, the same with cross_, "
                "inner, outer, norm1, norm2 and norm3: is a name misspelt?",
            ),
            (
                r"size of tensor|expand|broadcast|shape of the mask",
                "scores are B H T T in self-attention and B H T S in cross-attention: which shape "
                "has each mask, and is there an axis for the heads?",
            ),
            (r"view size", "after a transpose view needs contiguous memory: do you know reshape?"),
        ),
    ),
    mistakes=_MISTAKES + _IN_ONE,
)
