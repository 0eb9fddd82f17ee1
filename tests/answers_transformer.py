"""Answers to the exercises of lesson 2, right and wrong, as readers may write them."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import attention, embeddings
from course_utils.exercises import transformer_solutions as solutions

SOLUTIONS = {
    "02.1": solutions.attention,
    "02.2": solutions.positions,
    "02.3": solutions.multi_head,
    "02.4": solutions.encoder_block,
    "02.5": solutions.decoder_layer,
}


# ---- right, written in other ways


def attention_einsum(query, key, value, mask):
    scores = torch.einsum("bqd,bkd->bqk", query, key) * query.size(2) ** -0.5
    weights = F.softmax(torch.where(mask, scores, torch.tensor(-1e9)), dim=2)
    return torch.einsum("bqk,bkv->bqv", weights, value), weights


def attention_fused(query, key, value, mask):
    """The output from torch; the weights as the output on an identity matrix."""
    mask = mask.expand(-1, query.shape[1], -1)
    eye = torch.eye(key.shape[1]).expand(len(key), -1, -1)
    fused = F.scaled_dot_product_attention
    return fused(query, key, value, attn_mask=mask), fused(query, key, eye, attn_mask=mask)


def attention_row_by_row(query, key, value, mask):
    mask = mask.expand(-1, query.shape[1], -1)
    output, weights = torch.zeros(*query.shape[:2], value.shape[2]), torch.zeros(mask.shape)
    for b in range(len(query)):
        for q in range(query.shape[1]):
            seen = mask[b, q]
            score = key[b, seen] @ query[b, q] / math.sqrt(query.shape[2])
            weights[b, q, seen] = score.softmax(0)
            output[b, q] = weights[b, q] @ value[b]
    return output, weights


def positions_by_exponential(length, d_model):
    table = torch.zeros(length, d_model)
    position = torch.arange(0, length, dtype=torch.float).unsqueeze(1)
    speed = torch.exp(torch.arange(0, d_model, 2).float() * (-math.log(10000.0) / d_model))
    table[:, 0::2] = torch.sin(position * speed)
    table[:, 1::2] = torch.cos(position * speed)
    return table


def positions_in_loops(length, d_model):
    def entry(t, column):
        angle = t / 10000 ** ((column - column % 2) / d_model)
        return math.cos(angle) if column % 2 else math.sin(angle)

    return torch.tensor([[entry(t, c) for c in range(d_model)] for t in range(length)])


def positions_in_numpy(length, d_model):
    column = np.arange(d_model)
    angle = np.arange(length)[:, None] / np.power(10000, 2 * (column // 2) / d_model)
    return torch.from_numpy(np.where(column % 2 == 0, np.sin(angle), np.cos(angle)))


def heads_by_chunks(query, key, value, layers, num_heads, mask):
    parts = zip(
        layers.query(query).chunk(num_heads, -1),
        layers.key(key).chunk(num_heads, -1),
        layers.value(value).chunk(num_heads, -1),
        strict=True,
    )
    return layers.output(torch.cat([attention_einsum(q, k, v, mask)[0] for q, k, v in parts], -1))


def heads_fused(query, key, value, layers, num_heads, mask):
    def split(x):
        return x.reshape(len(x), x.shape[1], num_heads, -1).permute(0, 2, 1, 3)

    three = split(layers.query(query)), split(layers.key(key)), split(layers.value(value))
    mixed = F.scaled_dot_product_attention(*three, attn_mask=mask[:, None])
    return layers.output(mixed.permute(0, 2, 1, 3).reshape(query.shape))


def heads_einsum(query, key, value, layers, num_heads, mask):
    b, tq, d = query.shape
    q = layers.query(query).view(b, tq, num_heads, -1)
    k = layers.key(key).view(b, -1, num_heads, d // num_heads)
    v = layers.value(value).view(b, -1, num_heads, d // num_heads)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(d / num_heads)
    weights = torch.softmax(scores + (~mask).unsqueeze(1) * -1e9, -1)
    return layers.output(torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2))


def block_in_one_loop(x, mask, layers, norm):
    def attend(y):
        return layers.attention(query=y, key=y, value=y, mask=mask)

    for sublayer, normalise in ((attend, layers.norm1), (layers.feed_forward, layers.norm2)):
        x = normalise(x + sublayer(x)) if norm == "post" else x + sublayer(normalise(x))
    return x


def block_written_out(x, mask, layers, norm):
    if norm == "pre":
        normed = layers.norm1(x)
        h = layers.attention(normed, normed, normed, mask) + x
        return layers.feed_forward(layers.norm2(h)) + h
    h = layers.norm1(layers.attention(x, x, x, mask) + x)
    return layers.norm2(layers.feed_forward(h) + h)


class BlockModule(nn.Module):
    def forward(self, x, mask, layers, norm):
        return block_in_one_loop(x, mask, layers, norm)


def parts(layers, name):
    return [getattr(layers, f"{name}_{kind}") for kind in ("query", "key", "value", "output")]


def layer_with(
    heads=heads_fused,
    causal=lambda t: torch.ones(t, t, dtype=torch.bool).tril(),
    memory_mask_used=True,
    look=lambda x, memory: (x, memory, memory),
    norm="post",
    between=torch.relu,
    steps="scf",
    use=("self", "cross"),
):
    """A decoder layer in another style than the package's, with places to go wrong."""

    def decoder_layer(x, memory, memory_mask, layers, num_heads):
        def own(y):
            mask = causal(y.shape[1]).expand(len(y), -1, -1)
            return heads(y, y, y, Four(layers, use[0]), num_heads, mask)

        def cross(y):
            mask = memory_mask if memory_mask_used else torch.ones_like(memory_mask)
            return heads(*look(y, memory), Four(layers, use[1]), num_heads, mask)

        def feed(y):
            return layers.outer(between(layers.inner(y)))

        sublayers = {
            "s": (own, layers.norm1),
            "c": (cross, layers.norm2),
            "f": (feed, layers.norm3),
        }
        for step in steps:
            sublayer, normalise = sublayers[step]
            if norm == "post":
                x = normalise(x + sublayer(x))
            elif norm == "pre":
                x = x + sublayer(normalise(x))
            else:
                x = x + normalise(sublayer(x))
        return x

    return decoder_layer


class Four:
    """Layers `self_query` and so on under the names of 02.3."""

    def __init__(self, layers, name):
        self.query, self.key, self.value, self.output = parts(layers, name)


def layer_by_torch(x, memory, memory_mask, layers, num_heads):
    """Two times torch's own attention."""

    def attend(name, query, key, **masks):
        q, k, v, out = parts(layers, name)
        return F.multi_head_attention_forward(
            *(y.transpose(0, 1) for y in (query, key, key)),
            embed_dim_to_check=x.shape[-1],
            num_heads=num_heads,
            in_proj_weight=torch.cat([q.weight, k.weight, v.weight]),
            in_proj_bias=torch.cat([q.bias, k.bias, v.bias]),
            bias_k=None,
            bias_v=None,
            add_zero_attn=False,
            dropout_p=0.0,
            out_proj_weight=out.weight,
            out_proj_bias=out.bias,
            need_weights=False,
            **masks,
        )[0].transpose(0, 1)

    future = torch.full((x.shape[1], x.shape[1]), -torch.inf).triu(1)
    x = layers.norm1(x + attend("self", x, x, attn_mask=future))
    x = layers.norm2(x + attend("cross", x, memory, key_padding_mask=~memory_mask[:, 0]))
    return layers.norm3(x + layers.outer(F.relu(layers.inner(x))))


RIGHT = [
    ("02.1", attention_einsum),
    ("02.1", attention_fused),
    ("02.1", attention_row_by_row),
    ("02.1", attention.scaled_dot_product),
    ("02.2", positions_by_exponential),
    ("02.2", positions_in_loops),
    ("02.2", positions_in_numpy),
    ("02.2", embeddings.sinusoidal_table),
    ("02.3", heads_by_chunks),
    ("02.3", heads_fused),
    ("02.3", heads_einsum),
    ("02.4", block_in_one_loop),
    ("02.4", block_written_out),
    ("02.4", BlockModule()),
    ("02.5", layer_with()),
    ("02.5", layer_with(heads=heads_by_chunks)),
    ("02.5", layer_with(heads=heads_einsum)),
    ("02.5", layer_by_torch),
]


# ---- wrong, written without looking at the known mistakes


def scaled(by=lambda q, k, v: math.sqrt(q.shape[-1]), fill=-math.inf, dim=-1, mask_of=None):
    def attend(query, key, value, mask):
        mask = mask_of(mask) if mask_of else mask
        scores = torch.matmul(query, key.transpose(1, 2)) / by(query, key, value)
        weights = torch.softmax(scores.masked_fill(mask == 0, fill), dim=dim)
        return torch.bmm(weights, value), weights

    return attend


def masked_late(query, key, value, mask):
    weights = torch.softmax(torch.bmm(query, key.mT) / query.shape[-1] ** 0.5, -1)
    weights = weights.masked_fill(~mask, 0.0)
    return weights @ value, weights


def own_softmax(query, key, value, mask):
    powers = torch.exp(query @ key.mT / math.sqrt(key.shape[-1])) * mask
    weights = powers / powers.sum(-1, keepdim=True)
    return weights @ value, weights


def sigmoid_weights(query, key, value, mask):
    weights = torch.sigmoid(query @ key.mT / math.sqrt(key.shape[-1])) * mask
    return weights @ value, weights


def scaled_before_fused(query, key, value, mask):
    mask = mask.expand(-1, query.shape[1], -1)
    query = query / math.sqrt(query.shape[-1])
    eye = torch.eye(key.shape[1]).expand(len(key), -1, -1)
    fused = F.scaled_dot_product_attention
    return fused(query, key, value, attn_mask=mask), fused(query, key, eye, attn_mask=mask)


def no_root_and_inverted(query, key, value, mask):
    weights = torch.softmax((query @ key.mT).masked_fill(mask, -1e9), -1)
    return weights @ value, weights


def in_place(query, key, value, mask):
    query /= math.sqrt(query.shape[-1])
    weights = (query @ key.mT).masked_fill(~mask, -torch.inf).softmax(-1)
    return weights @ value, weights


def sinusoid(power, halves=False, start=0, swap=False):
    def positions(length, d_model):
        t = torch.arange(start, start + length).unsqueeze(1).double()
        angle = t / power(torch.arange(d_model // 2).double(), d_model)
        pair = [torch.sin(angle), torch.cos(angle)]
        pair = pair[::-1] if swap else pair
        return torch.cat(pair, 1) if halves else torch.stack(pair, 2).reshape(length, d_model)

    return positions


def paper(i, d):
    return 10000 ** (2 * i / d)


def degrees(length, d_model):
    table = positions_in_loops(length, d_model)
    angle = torch.tensor(
        [[t / 10000 ** (2 * (c // 2) / d_model) for c in range(d_model)] for t in range(length)]
    )
    table[:, 0::2] = torch.sin(angle[:, 0::2] * math.pi / 180)
    table[:, 1::2] = torch.cos(angle[:, 1::2] * math.pi / 180)
    return table


def own_exponents(length, d_model):
    angle = torch.arange(length).unsqueeze(1) / 10000 ** (torch.arange(d_model) / d_model)
    table = angle.sin()
    table[:, 1::2] = angle.cos()[:, 1::2]
    return table


def heads_with(
    take=lambda x, b, h, w: x.view(b, -1, h, w).transpose(1, 2),
    give=lambda x, b, t, d: x.transpose(1, 2).reshape(b, t, d),
    root=lambda d, h: math.sqrt(d // h),
    dim=-1,
    wide=lambda mask: mask.unsqueeze(1),
    fill=-1e9,
    late=False,
    names=("query", "key", "value"),
    out=True,
):
    def my_heads(query, key, value, layers, num_heads, mask):
        b, t, d = query.shape
        q, k, v = (
            take(getattr(layers, name)(x), b, num_heads, d // num_heads)
            for name, x in zip(names, (query, key, value), strict=True)
        )
        scores = q @ k.transpose(-1, -2) / root(d, num_heads)
        if not late:
            scores = scores.masked_fill(wide(mask).logical_not(), fill)
        weights = scores.softmax(dim)
        if late:
            weights = weights * wide(mask)
        y = give(weights @ v, b, t, d)
        return layers.output(y) if out else y

    return my_heads


def view_alone(x, b, h, w):
    return x.view(b, h, -1, w)


def view_back(x, b, t, d):
    return x.reshape(b, t, d)


def block_with(kind):
    def post(x, mask, layers, norm, attention, feed, norm1, norm2):
        if kind == "shared residual":
            return norm2(x + feed(norm1(attention(x))))
        if kind == "inside":
            x = x + norm1(attention(x))
            return x + norm2(feed(x))
        if kind == "first residual":
            x = norm1(attention(x))
            return norm2(x + feed(x))
        if kind == "second residual":
            return norm2(feed(norm1(x + attention(x))))
        if kind == "feed reads x":
            h = norm1(x + attention(x))
            return norm2(h + feed(x))
        if kind == "norms":
            h = norm2(x + attention(x))
            return norm1(h + feed(h))
        if kind == "feed first":
            h = norm1(x + feed(x))
            return norm2(h + attention(h))
        h = norm1(x + attention(x))
        return h + feed(h) if kind == "no second norm" else norm2(h + feed(h))

    def pre(x, mask, layers, norm, attention, feed, norm1, norm2):
        if kind == "keeps normed":
            x = norm1(x)
            x = x + attention(x)
            x = norm2(x)
            return x + feed(x)
        if kind == "query only":
            x = x + layers.attention(norm1(x), x, x, mask)
        else:
            x = x + attention(norm1(x))
        x = x + feed(norm2(x))
        return norm2(x) if kind == "last norm" else x

    def block(x, mask, layers, norm):
        def attend(y):
            return layers.attention(y, y, y, *([] if kind == "no mask" else [mask]))

        given = x, mask, layers, norm, attend, layers.feed_forward, layers.norm1, layers.norm2
        if kind == "always post" or (norm == "post") != (kind == "exchanged"):
            return post(*given)
        return pre(*given)

    return block


def block_unpacks(x, mask, layers, norm):
    y, _ = layers.attention(x, x, x, mask)
    return layers.norm1(x + y)


def no_residuals(x, memory, memory_mask, layers, num_heads):
    causal = torch.ones(1, x.shape[1], x.shape[1], dtype=torch.bool).tril()
    x = layers.norm1(heads_fused(x, x, x, Four(layers, "self"), num_heads, causal))
    x = layers.norm2(heads_fused(x, memory, memory, Four(layers, "cross"), num_heads, memory_mask))
    return layers.norm3(layers.outer(layers.inner(x).relu()))


def mask_by_multiplication(x, memory, memory_mask, layers, num_heads):
    def heads(query, key, value, four, num_heads, mask):
        if mask.shape[1] > 1 or len(mask[0]) == query.shape[1] == 1:
            return heads_with(late=True)(query, key, value, four, num_heads, mask)
        return heads_fused(query, key, value, four, num_heads, mask)

    return layer_with(heads=heads)(x, memory, memory_mask, layers, num_heads)


def future_first(t):
    return torch.ones(t, t, dtype=torch.bool).triu()


def everything(t):
    return torch.ones(t, t, dtype=torch.bool)


WRONG = [
    ("02.1", scaled(by=lambda q, k, v: 1), "not divided by the root of D"),
    ("02.1", scaled(by=lambda q, k, v: q.shape[-1]), "you divide by D, not by its root"),
    ("02.1", scaled(by=lambda q, k, v: k.shape[1] ** 0.5), "root of the number of keys"),
    ("02.1", scaled(by=lambda q, k, v: q.shape[-1] ** -0.5), "you multiply by the root of D"),
    ("02.1", scaled_before_fused, "twice by the root"),
    ("02.1", scaled(dim=1), "the softmax runs over the queries"),
    ("02.1", scaled(dim=0, fill=-1e9), "the softmax runs over the batch"),
    ("02.1", scaled(mask_of=torch.logical_not), "Is a mask inverted"),
    ("02.1", scaled(mask_of=torch.logical_not, fill=-1e4), "the mask is inverted"),
    ("02.1", scaled(mask_of=torch.ones_like), "the mask is ignored"),
    ("02.1", scaled(fill=0), "a score of 0 does not hide a key"),
    ("02.1", scaled(fill=-5), "a hidden key still has the weight"),
    ("02.1", scaled(fill=1e9), "large positive number"),
    ("02.1", masked_late, "you mask after the softmax"),
    ("02.1", own_softmax, "your weights hold NaN"),
    ("02.1", sigmoid_weights, "a row of your weights sums to"),
    ("02.1", lambda *x: scaled()(*x)[::-1], "their order is not: return output, weights"),
    ("02.1", lambda *x: scaled()(*x)[0], "one Tensor came back"),
    ("02.1", lambda q, k, v, m: scaled()(q, k, k, m), "a sum of keys, not of values"),
    ("02.1", lambda q, k, v, m: scaled()(k, q, v, m), "queries and keys have changed places"),
    ("02.1", scaled(by=lambda q, k, v: 1.7), "have the right order, but are too sharp"),
    ("02.1", scaled(by=lambda q, k, v: 3), "have the right order, but are too even"),
    ("02.1", lambda *x: (scaled()(*x)[0] * 2, scaled()(*x)[1]), "your output is not"),
    ("02.1", no_root_and_inverted, "the mask is inverted"),
    ("02.1", in_place, "changes its input query in place"),
    ("02.2", sinusoid(paper, halves=True), "all sines stand in the first half"),
    ("02.2", sinusoid(paper, swap=True), "sine and cosine have changed places"),
    ("02.2", sinusoid(paper, start=1), "your positions start from 1"),
    ("02.2", sinusoid(lambda i, d: 10000 ** (i / d)), "the exponent is i/D, not 2i/D"),
    ("02.2", sinusoid(lambda i, d: 10000 ** (4 * i / d)), "the factor 2 is there twice"),
    ("02.2", sinusoid(lambda i, d: 1000 ** (2 * i / d)), "the base is 1000"),
    ("02.2", sinusoid(lambda i, d: 1 + 0 * i), "there is no base"),
    ("02.2", sinusoid(lambda i, d: 10000 ** (2 * i) / d), "Where do the brackets go"),
    ("02.2", sinusoid(lambda i, d: 10000 ** (2 * i)), "exponent is not divided by D"),
    ("02.2", sinusoid(lambda i, d: 10000 ** (-2 * i / d)), "multiplied, not divided"),
    ("02.2", sinusoid(lambda i, d: torch.exp(2 * i / d)), "the base is e"),
    ("02.2", sinusoid(lambda i, d: 1 + 3 * i), "the others turn at another speed"),
    ("02.2", degrees, "degrees"),
    ("02.2", own_exponents, "each column has an exponent of its own"),
    ("02.2", lambda t, d: 2 * positions_in_loops(t, d), "above 1 or below -1"),
    ("02.2", lambda t, d: positions_in_loops(t, d).T, "rows and columns are exchanged"),
    ("02.2", lambda t, d: positions_in_loops(t, d)[None], "an axis too many"),
    (
        "02.2",
        sinusoid(lambda i, d: 1000 ** (2 * i / d), halves=True),
        "two things at once. First: all sines stand in the first half",
    ),
    ("02.3", heads_with(take=view_alone, give=view_back), "split by view or reshape alone"),
    ("02.3", heads_with(take=view_alone), "split by view or reshape alone"),
    ("02.3", heads_with(give=view_back), "without transposing back"),
    ("02.3", heads_with(root=lambda d, h: d**0.5), "the width of the whole model"),
    ("02.3", heads_with(root=lambda d, h: 1), "not divided by the root of D/H"),
    ("02.3", heads_with(root=lambda d, h: h**0.5), "by the root of H, the number of heads"),
    ("02.3", heads_with(root=lambda d, h: d / h), "you divide by D/H, not by its root"),
    ("02.3", heads_with(dim=2), "the softmax runs over the queries"),
    ("02.3", heads_with(dim=1), "the softmax runs over the heads"),
    ("02.3", heads_with(wide=lambda mask: mask), "different keys from different heads"),
    ("02.3", heads_with(wide=lambda mask: mask.unsqueeze(2)), "stands on the wrong place"),
    ("02.3", heads_with(wide=lambda mask: ~mask[:, None]), "the mask is inverted"),
    ("02.3", heads_with(wide=lambda m: ~m[:, None], fill=-math.inf), "Is a mask inverted"),
    ("02.3", heads_with(late=True), "you mask after the softmax"),
    ("02.3", heads_with(fill=0), "a score of 0 does not hide"),
    ("02.3", heads_with(out=False), "the output layer is forgotten"),
    ("02.3", heads_with(names=("query", "value", "key")), "keys and values are exchanged"),
    ("02.3", heads_with(names=("key", "query", "value")), "queries and keys are exchanged"),
    ("02.3", lambda q, k, v, *rest: heads_with()(q, v, k, *rest), "keys and values are exchanged"),
    (
        "02.3",
        heads_with(give=lambda x, b, t, d: x.mean(1), out=False),
        "the heads are averaged",
    ),
    ("02.3", heads_with(give=lambda x, b, t, d: x.mean(1)), "not averaged and not apart"),
    ("02.3", heads_with(names=("query", "keys", "value")), "is the name misspelt"),
    ("02.3", lambda q, k, v, ls, h, m: heads_with()(q, k, v, ls, 1, m), "num_heads is not used"),
    (
        "02.3",
        heads_with(give=view_back, root=lambda d, h: 1),
        "two things at once. First: the heads are put together without",
    ),
    ("02.4", block_with("inside"), "wrong side of the residual: you have x + norm(sublayer(x))"),
    ("02.4", block_with("exchanged"), "post and pre are exchanged"),
    ("02.4", block_with("always post"), "norm is ignored"),
    ("02.4", block_with("shared residual"), "one residual goes around both"),
    ("02.4", block_with("first residual"), "the first residual is forgotten"),
    ("02.4", block_with("second residual"), "the second residual is forgotten"),
    ("02.4", block_with("feed reads x"), "the feed-forward network reads x"),
    ("02.4", block_with("norms"), "norm1 and norm2 are exchanged"),
    ("02.4", block_with("feed first"), "the feed-forward network comes first"),
    ("02.4", block_with("no second norm"), "the second norm is forgotten"),
    ("02.4", block_with("no mask"), "the mask is not handed on"),
    ("02.4", block_with("keeps normed"), "takes norm(x) past the sub-layer"),
    ("02.4", block_with("query only"), "queries, keys and values are all"),
    ("02.4", block_with("last norm"), "a norm too many at the end"),
    ("02.4", lambda x, mask, *rest: block_in_one_loop(x, ~mask, *rest), "is it inverted?"),
    ("02.4", block_unpacks, "do you take two things from it?"),
    (
        "02.4",
        lambda x, mask, layers, norm: layers.attention(x.mT, x.mT, x.mT, mask),
        "layers.attention takes the query as (3, 4, 8)",
    ),
    (
        "02.4",
        lambda x, mask, layers, norm: layers.attention(x, x, x, mask.float()),
        "takes a boolean mask, it got torch.float32",
    ),
    (
        "02.4",
        lambda x, mask, layers, norm: layers.attention(x, x, x, mask[:, None]),
        "takes the mask as it is",
    ),
    (
        "02.4",
        lambda x, mask, layers, norm: layers.attention(x, x, mask, x),
        "layers.attention takes the value as (3, 4, 8), B T D; it got (3, 4, 4)",
    ),
    ("02.4", lambda x, mask, layers, norm: x, "does not come out of norm2"),
    ("02.5", layer_with(causal=future_first), "the causal mask is upside down"),
    ("02.5", layer_with(causal=lambda t: ~everything(t).tril()), "upside down"),
    ("02.5", layer_with(heads_with(), lambda t: ~everything(t).tril()), "upside down"),
    ("02.5", layer_with(heads_with(fill=-math.inf), lambda t: ~everything(t).tril()), "upside"),
    ("02.5", layer_with(causal=lambda t: everything(t).tril(-1)), "does not see itself"),
    ("02.5", layer_with(causal=everything), "there is no causal mask"),
    ("02.5", layer_with(heads_with(), lambda t: everything(t).tril(-1)), "does not see itself"),
    ("02.5", layer_with(causal=lambda t: everything(t).tril(1)), "one word too many"),
    ("02.5", mask_by_multiplication, "the causal mask is applied after the softmax"),
    ("02.5", layer_with(heads_with(late=True)), "the causal mask is applied after the softmax"),
    ("02.5", layer_with(heads_with(fill=0)), "a score of 0 does not hide a key"),
    ("02.5", layer_with(heads_with(root=lambda d, h: 1)), "not divided by the root of D/H"),
    ("02.5", layer_with(heads_with(root=lambda d, h: d**0.5)), "the width of the whole model"),
    ("02.5", layer_with(heads_with(dim=2)), "the softmax runs over the queries"),
    ("02.5", layer_with(heads_with(dim=1)), "the softmax runs over the heads"),
    ("02.5", layer_with(heads_with(take=view_alone, give=view_back)), "view or reshape alone"),
    ("02.5", layer_with(heads_with(take=view_alone)), "view or reshape alone"),
    ("02.5", layer_with(heads_with(give=view_back)), "without transposing back"),
    ("02.5", layer_with(heads_with(out=False)), "the output layer is forgotten"),
    ("02.5", layer_with(norm="pre"), "wrong side of the residual: you have x + sublayer(norm(x))"),
    ("02.5", layer_with(norm="inside"), "wrong side of the residual: you have x + norm(sublayer"),
    ("02.5", layer_with(look=lambda x, m: (x, x, m)), "takes its keys from the decoder"),
    ("02.5", layer_with(look=lambda x, m: (x, m, x)), "takes its values from the decoder"),
    ("02.5", layer_with(look=lambda x, m: (x, x, x)), "takes its keys and values from the decoder"),
    ("02.5", layer_with(look=lambda x, m: (m, x, x)), "queries of cross-attention come from the"),
    ("02.5", layer_with(memory_mask_used=False), "the memory's mask is forgotten"),
    ("02.5", layer_with(heads_with(wide=lambda m: ~m[:, None])), "both masks are inverted"),
    ("02.5", layer_with(between=lambda x: x), "the feed-forward network has no relu"),
    ("02.5", layer_with(between=F.gelu), "the relu is another function"),
    ("02.5", layer_with(steps="csf"), "cross-attention comes before self-attention"),
    ("02.5", layer_with(steps="sfc"), "the feed-forward network is not the last step"),
    ("02.5", layer_with(steps="sc"), "the feed-forward network is forgotten"),
    ("02.5", layer_with(steps="sf"), "cross-attention is missing"),
    ("02.5", layer_with(use=("self", "self")), "which names begin with cross_"),
    ("02.5", layer_with(use=("cross", "self")), "layers of the two attentions are exchanged"),
    ("02.5", no_residuals, "all residuals are forgotten"),
    ("02.5", lambda x, memory, mask, layers, h: x, "does not come out of norm3"),
    (
        "02.5",
        lambda x, memory, mask, layers, h: layers.norm3(x + layers.inner(x)),
        "already the first word differs",
    ),
    (
        "02.5",
        layer_with(heads_with(root=lambda d, h: 1.5), lambda t: everything(t).tril()),
        "already the first word differs",
    ),
    (
        "02.5",
        layer_with(heads_with(root=lambda d, h: 1), causal=future_first),
        "two things at once. First: the causal mask is upside down",
    ),
]
