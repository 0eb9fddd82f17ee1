"""Answers to the exercises of lesson 4, right and wrong, as readers may write them."""

from __future__ import annotations

import math
import random

import numpy as np
import torch
from torch.nn import functional as F

from course_utils import losses, metrics, sampling
from course_utils.exercises import language_models_solutions as solutions

SOLUTIONS = {
    "04.1": solutions.bits_per_byte,
    "04.2": solutions.next_token_loss,
    "04.3": solutions.top_p,
    "04.4": solutions.generate,
    "04.5": solutions.cached_step,
}


# ---- right, written in other ways


def bits_in_a_loop(log_probs, num_bytes):
    bits = 0
    for log_prob in log_probs:
        bits -= log_prob.item() * math.log2(math.e)
    return bits / num_bytes


def bits_from_the_mean(log_probs, num_bytes):
    per_token = -log_probs.mean() / math.log(2.0)
    return per_token * len(log_probs) / num_bytes


def bits_in_numpy(log_probs, num_bytes):
    return np.float32(-(log_probs.numpy() / np.log(2)).sum() / num_bytes)


def loss_with_ignored_labels(logits, ids, mask):
    labels = ids.masked_fill(~mask, -100)
    return F.cross_entropy(logits[:, :-1].transpose(1, 2), labels[:, 1:])


def loss_by_gathering(logits, ids, mask):
    log_probs = logits.log_softmax(-1)[:, :-1]
    chosen = log_probs.gather(2, ids[:, 1:, None]).squeeze(2)
    real = mask[:, 1:] & mask[:, :-1]
    return -(chosen * real).sum() / real.sum()


def loss_row_by_row(logits, ids, mask):
    terms = []
    for row, tokens, real in zip(logits, ids, mask, strict=True):
        for t in range(1, int(real.sum())):
            terms.append(torch.logsumexp(row[t - 1], 0) - row[t - 1, tokens[t]])
    return torch.stack(terms).mean()


def loss_flattened(logits, ids, mask):
    """The second log_softmax changes nothing."""
    scores = F.log_softmax(logits, -1)[:, :-1].reshape(-1, logits.shape[-1])
    each = F.cross_entropy(scores, ids[:, 1:].reshape(-1), reduction="none")
    weight = mask[:, 1:].reshape(-1).float()
    return (each * weight).sum() / weight.sum()


def loss_of_the_package(logits, ids, mask):
    return losses.masked_cross_entropy(logits[:, :-1], ids[:, 1:], mask[:, 1:])


def nucleus_in_a_loop(probabilities, p):
    kept, total = torch.zeros_like(probabilities), 0.0
    for i in sorted(range(len(probabilities)), key=lambda i: -probabilities[i]):
        if total >= p:
            break
        kept[i] = probabilities[i]
        total += probabilities[i].item()
    return kept / total


def nucleus_as_the_library_does(probabilities, p):
    """From the least probable on, in logits."""
    ascending, order = torch.sort(probabilities)
    remove = ascending.cumsum(0) <= 1 - p
    remove[-1:] = False
    mask = torch.zeros_like(remove)
    mask[order] = remove
    return probabilities.log().masked_fill(mask, -torch.inf).softmax(0)


def nucleus_by_number(probabilities, p):
    ordered, order = torch.sort(probabilities, descending=True)
    number = int((ordered.cumsum(0) >= p).nonzero()[0]) + 1
    chosen = F.one_hot(order[:number], len(ordered)).sum(0)
    return probabilities * chosen / ordered[:number].sum()


def nucleus_by_shifting(probabilities, p):
    ordered, order = probabilities.sort(descending=True)
    remove = ordered.cumsum(-1) >= p
    remove[1:] = remove[:-1].clone()
    remove[0] = False
    kept = probabilities.clone()
    kept[order[remove]] = 0
    return kept / kept.sum()


def nucleus_of_the_package(probabilities, p):
    return sampling.keep_top_p(probabilities.log()[None], p)[0].softmax(-1)


def writing_with_while(next_logits, prompt, max_new_tokens, end):
    ids = [*prompt]
    while len(ids) - len(prompt) < max_new_tokens:
        logits = next_logits(torch.tensor(ids))
        token = logits.tolist().index(max(logits.tolist()))
        ids = [*ids, token]
        if token == end:
            return ids
    return ids


def writing_by_recursion(next_logits, prompt, max_new_tokens, end):
    if max_new_tokens == 0:
        return tuple(prompt)
    token = next_logits(tuple(prompt)).topk(1).indices.item()
    if token == end:
        return (*prompt, end)
    return writing_by_recursion(next_logits, [*prompt, token], max_new_tokens - 1, end)


def writing_in_numpy(next_logits, prompt, max_new_tokens, end):
    new = []
    while len(new) < max_new_tokens and end not in new:
        new.append(np.argmax(next_logits(prompt + new).softmax(-1).numpy()))
    return prompt + new


def step_fused(query, key, value, cache):
    new = {
        "keys": torch.cat((cache["keys"], key), 1),
        "values": torch.cat((cache["values"], value), 1),
    }
    return F.scaled_dot_product_attention(query, new["keys"], new["values"]), new


def step_einsum(query, key, value, cache):
    keys, values = torch.hstack([cache["keys"], key]), torch.hstack([cache["values"], value])
    scores = torch.einsum("bqd,btd->bt", query, keys) * key.size(-1) ** -0.5
    weights = F.softmax(scores, dim=1)
    output = torch.einsum("bt,btd->bd", weights, values)
    return [output.unsqueeze(1), dict(cache, keys=keys, values=values)]


def step_as_the_last_row(query, key, value, cache):
    """Full causal attention; the earlier queries do not matter."""
    keys = torch.cat([cache["keys"], key], dim=-2)
    values = torch.cat([cache["values"], value], dim=-2)
    queries = torch.cat([torch.zeros_like(cache["keys"]), query], dim=-2)
    every = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    return every[:, -1:], {"keys": keys, "values": values}


def step_row_by_row(query, key, value, cache):
    copy = {"keys": [], "values": []}
    outputs = []
    for b in range(len(query)):
        k = torch.vstack([cache["keys"][b], key[b]])
        v = torch.vstack([cache["values"][b], value[b]])
        weights = (k @ query[b, 0] / math.sqrt(k.shape[1])).softmax(0)
        outputs.append((weights @ v)[None])
        copy["keys"].append(k)
        copy["values"].append(v)
    return torch.stack(outputs), {name: torch.stack(rows) for name, rows in copy.items()}


RIGHT = [
    ("04.1", bits_in_a_loop),
    ("04.1", bits_from_the_mean),
    ("04.1", bits_in_numpy),
    ("04.1", metrics.bits_per_byte),
    ("04.2", loss_with_ignored_labels),
    ("04.2", loss_by_gathering),
    ("04.2", loss_row_by_row),
    ("04.2", loss_flattened),
    ("04.2", loss_of_the_package),
    ("04.3", nucleus_in_a_loop),
    ("04.3", nucleus_as_the_library_does),
    ("04.3", nucleus_by_number),
    ("04.3", nucleus_by_shifting),
    ("04.3", nucleus_of_the_package),
    ("04.4", writing_with_while),
    ("04.4", writing_by_recursion),
    ("04.4", writing_in_numpy),
    ("04.5", step_fused),
    ("04.5", step_einsum),
    ("04.5", step_as_the_last_row),
    ("04.5", step_row_by_row),
]


# ---- wrong, written without looking at the known mistakes


def log2_of_exp(log_probs, num_bytes):
    return -torch.log2(torch.exp(log_probs)).sum() / num_bytes


def log2_of_the_product(log_probs, num_bytes):
    return -math.log2(math.prod(log_probs.exp().tolist()) or 1e-300) / num_bytes


def bits_in_place(log_probs, num_bytes):
    log_probs /= -math.log(2)
    return log_probs.sum().item() / num_bytes


def loss_of(take=lambda x, ids, mask: (x[:, :-1], ids[:, 1:], mask[:, 1:]), score=None, end=None):
    def my_next_token_loss(logits, ids, mask):
        x, y, m = take(logits, ids, mask)
        each = score(x, y) if score else F.cross_entropy(x.permute(0, 2, 1), y, reduction="none")
        return end(each, m, ids) if end else (each * m).sum() / m.sum()

    return my_next_token_loss


def loss_of_row_means(logits, ids, mask):
    rows = []
    for row, tokens, real in zip(logits, ids, mask, strict=True):
        length = int(real.sum())
        if length > 1:
            rows.append(F.cross_entropy(row[: length - 1], tokens[1:length]))
    return torch.stack(rows).mean()


def loss_flat_first(logits, ids, mask):
    scores, labels = logits.view(-1, logits.shape[-1])[:-1], ids.view(-1)[1:]
    return F.cross_entropy(scores, labels.masked_fill(~mask.view(-1)[1:], -100))


def loss_ignoring_zero(logits, ids, mask):
    return F.cross_entropy(logits[:, :-1].mT, ids[:, 1:], ignore_index=0)


def log_of_softmax(x, y):
    return -torch.log(x.softmax(-1)).gather(-1, y.unsqueeze(-1)).squeeze(-1)


def nucleus_with(select, back=None, divide=None):
    def my_top_p(probabilities, p):
        values, places = torch.sort(probabilities, descending=True)
        values = torch.where(select(values, torch.cumsum(values, 0), p), values, 0.0)
        out = (
            back(values, places) if back else torch.zeros_like(values).index_copy(0, places, values)
        )
        return divide(out, p) if divide else out / out.sum()

    return my_top_p


def shifted(remove):
    return torch.cat([torch.tensor([False]), remove[:-1]])


def nucleus_of_unsorted(probabilities, p):
    kept = probabilities.clone()
    kept[1:][torch.cumsum(probabilities, 0)[:-1] >= p] = 0
    return kept / kept.sum()


def nucleus_in_place(probabilities, p):
    order = probabilities.argsort(descending=True)
    before = probabilities[order].cumsum(0) - probabilities[order]
    probabilities[order[before >= p]] = 0.0
    return probabilities / probabilities.sum()


def writer(
    feed=lambda ids, prompt: ids,
    pick=lambda logits: int(logits.argmax()),
    start=lambda prompt: list(prompt),
    most=lambda prompt, n: n,
    stop="after",
    give=lambda ids, prompt, end: ids,
):
    """A loop in another style than the package's, with places to go wrong."""

    def my_generate(next_logits, prompt, max_new_tokens, end):
        ids = start(prompt)
        for _ in range(most(prompt, max_new_tokens)):
            token = pick(next_logits(feed(ids, prompt)))
            if stop == "before" and token == end:
                break
            late = stop == "late" and len(ids) > len(prompt) and ids[-1] == end
            ids.append(token)
            if late or (stop == "after" and token == end):
                break
        return give(ids, prompt, end)

    return my_generate


def while_the_last_is_not_the_end(next_logits, prompt, max_new_tokens, end):
    ids = list(prompt)
    while ids[-1] != end and len(ids) < len(prompt) + max_new_tokens:
        ids.append(int(next_logits(ids).argmax()))
    return ids


def until_the_end_only(next_logits, prompt, max_new_tokens, end):
    ids = list(prompt)
    while True:
        ids.append(int(next_logits(ids[:3]).argmax()))


def draws(next_logits, prompt, max_new_tokens, end):
    draw, ids = random.Random(1), list(prompt)
    for _ in range(max_new_tokens):
        weights = next_logits(ids).softmax(0).tolist()
        ids += draw.choices(range(len(weights)), weights)
    return ids


def cached(
    grow=lambda old, new: torch.cat([old, new], 1),
    factor=lambda q, k: q.shape[-1] ** -0.5,
    dim=-1,
    see=lambda x, old: x,
    store=lambda k, v, cache: {"keys": k, "values": v},
    visible=None,
):
    def my_cached_step(query, key, value, cache):
        k, v = grow(cache["keys"], key), grow(cache["values"], value)
        seen, read = see(k, cache["keys"]), see(v, cache["values"])
        scores = torch.bmm(query, seen.transpose(1, 2)) * factor(query, seen)
        if visible:
            scores = scores.masked_fill(~visible(scores), -torch.inf)
        return torch.bmm(scores.softmax(dim), read), store(k, v, cache)

    return my_cached_step


def cached_in_place(query, key, value, cache):
    cache["keys"] = torch.cat([cache["keys"], key], 1)
    cache["values"] = torch.cat([cache["values"], value], 1)
    return step_fused(query, key[:, :0], value[:, :0], cache)[0], cache


def cached_own_softmax(query, key, value, cache):
    _, new = step_fused(query, key, value, cache)
    powers = (query @ new["keys"].mT / math.sqrt(key.shape[-1])).exp()
    return powers / powers.sum(-1, keepdim=True) @ new["values"], new


def by(take):
    return loss_of(take=take)


def ending(end):
    return loss_of(end=end)


step = solutions.cached_step

WRONG = [
    ("04.1", lambda logs, n: -logs.sum() / n, "your bits are nats"),
    ("04.1", lambda logs, n: -logs.mean() / math.log(2), "you divide by the number of tokens"),
    ("04.1", lambda logs, n: logs.sum().item() / math.log(2) / n, "the sign is wrong"),
    ("04.1", lambda logs, n: float(-(logs / math.log(10)).sum()) / n, "the logarithm of 10"),
    ("04.1", lambda logs, n: -logs.sum() * math.log(2) / n, "you multiply by ln 2"),
    ("04.1", lambda logs, n: -logs.sum() / math.log(2), "the bits of the whole text"),
    ("04.1", lambda logs, n: -logs.mean() / math.log(2) / n, "the mean over the tokens, and then"),
    ("04.1", lambda logs, n: torch.exp(-logs.mean()), "this is a perplexity"),
    ("04.1", lambda logs, n: 2 ** (-logs.sum() / math.log(2) / n), "this is a perplexity"),
    ("04.1", lambda logs, n: -logs.sum() / math.log(2) / (8 * n), "8 times the number of bytes"),
    ("04.1", lambda logs, n: n / (-logs.sum() / math.log(2)), "the fraction is upside down"),
    ("04.1", lambda logs, n: -(logs.exp() * logs / math.log(2)).sum() / n, "that is an entropy"),
    ("04.1", lambda logs, n: -logs.exp().sum().log2() / n, "you add up probabilities"),
    ("04.1", lambda logs, n: -logs.sum().item() / math.log(2) // n, "the fraction is cut off"),
    ("04.1", lambda logs, n: -torch.log2(logs).sum() / n, "your number is NaN"),
    ("04.1", log2_of_exp, "your number is infinite"),
    ("04.1", log2_of_the_product, "for 300 tokens and num_bytes = 1000 you give"),
    ("04.1", lambda logs, n: -logs / math.log(2) / n, "bits has the shape (3,)"),
    ("04.1", lambda logs, n: "1.6", "bits is a str, expected one number"),
    ("04.1", lambda logs, n: -math.log2(logs), "math.log takes one number"),
    ("04.1", bits_in_place, "changes its input log_probs in place"),
    (
        "04.1",
        lambda logs, n: logs.sum() / n,
        "two things at once. First: your bits are nats",
    ),
    (
        "04.1",
        lambda logs, n: 1.0,
        "for log_probs = [-0.6931, -2.0794, -2.7726] and num_bytes = 5 you give 1, expected 1.6",
    ),
    ("04.2", by(lambda x, ids, mask: (x, ids, mask)), "nothing is shifted"),
    ("04.2", by(lambda x, i, m: (x[:, 1:], i[:, :-1], m[:, 1:])), "the shift goes the other way"),
    ("04.2", by(lambda x, i, m: (x[:, 1:], i[:, :-1], m[:, :-1])), "shift goes the other way"),
    ("04.2", by(lambda x, i, m: (x[:, :-2], i[:, 2:], m[:, 2:])), "two tokens ahead"),
    ("04.2", by(lambda x, i, m: (x[:, :-1], i[:, 1:], m[:, :-1])), "the mask is not shifted"),
    ("04.2", by(lambda x, i, m: (x, torch.roll(i, -1, 1), m)), "first token stands behind"),
    ("04.2", loss_flat_first, "the rows touch"),
    ("04.2", lambda x, i, m: F.cross_entropy(x[:, :-1].mT, i[:, 1:]), "padding counts"),
    ("04.2", by(lambda x, i, m: (x[:, :-1], i[:, 1:], ~m[:, 1:])), "the mask is inverted"),
    ("04.2", loss_ignoring_zero, "the token 0 is taken for padding"),
    ("04.2", ending(lambda loss, m, ids: (loss * m).mean()), "but you divide by all positions"),
    (
        "04.2",
        ending(lambda loss, m, ids: (loss * m).sum() / (m.sum() + len(m))),
        "the first token of a row is no target",
    ),
    ("04.2", loss_of_row_means, "a mean of the rows' means"),
    (
        "04.2",
        ending(lambda loss, m, ids: ((loss * m).sum(1) / m.sum(1)).mean()),
        "a mean of the rows' means",
    ),
    ("04.2", ending(lambda loss, m, ids: (loss * m).sum() / len(m)), "by the number of rows"),
    ("04.2", ending(lambda loss, m, ids: loss[m].sum()), "this is the sum over the targets"),
    (
        "04.2",
        loss_of(score=lambda x, y: F.cross_entropy(x.softmax(-1).mT, y, reduction="none")),
        "there is a softmax before cross_entropy",
    ),
    (
        "04.2",
        loss_of(score=lambda x, y: F.cross_entropy(x, y, reduction="none")),
        "the softmax runs over the positions",
    ),
    (
        "04.2",
        loss_of(score=lambda x, y: F.nll_loss(x.mT, y, reduction="none")),
        "there is no softmax",
    ),
    (
        "04.2",
        loss_of(score=lambda x, y: F.nll_loss(x.softmax(-1).mT, y, reduction="none")),
        "probabilities without a logarithm",
    ),
    ("04.2", lambda *given: -solutions.next_token_loss(*given), "the sign is wrong"),
    ("04.2", lambda *given: solutions.next_token_loss(*given).exp(), "this is the perplexity"),
    ("04.2", lambda *given: solutions.next_token_loss(*given) / math.log(2), "is in bits"),
    (
        "04.2",
        lambda x, i, m: F.cross_entropy(x[:, -2], i[:, -1]),
        "There are 4 + 2 + 1 real targets here",
    ),
    ("04.2", loss_of(score=log_of_softmax), "Which function of torch gives the logarithm of a"),
    ("04.2", ending(lambda loss, m, ids: loss), "loss has the shape (3, 4), expected one number"),
    ("04.2", lambda *given: solutions.next_token_loss(*given).item(), "loss is a float, expected"),
    ("04.2", lambda x, i, m: F.cross_entropy(x.flatten(0, 1), i), "logits[mask], makes N V"),
    ("04.2", lambda x, i, m: F.cross_entropy(x, i), "logits N V and targets N"),
    (
        "04.2",
        lambda x, i, m: F.cross_entropy(x.mT, i),
        "two things at once. First: nothing is shifted",
    ),
    ("04.3", nucleus_with(lambda v, c, p: c <= p), "the token that crosses p is dropped"),
    ("04.3", nucleus_with(lambda v, c, p: c < p), "the token that crosses p is dropped"),
    (
        "04.3",
        nucleus_with(lambda v, c, p: (c < p) | (v == v.max())),
        "the token that crosses p is dropped",
    ),
    ("04.3", nucleus_with(lambda v, c, p: ~shifted(c > p)), "a sum of exactly p has reached p"),
    ("04.3", nucleus_with(lambda v, c, p: ~shifted(shifted(c >= p))), "one token too many"),
    (
        "04.3",
        nucleus_with(lambda v, c, p: c - v < p, divide=lambda out, p: out),
        "what is left does not sum to 1",
    ),
    ("04.3", nucleus_with(lambda v, c, p: c - v < p, divide=lambda out, p: out / p), "divide by p"),
    (
        "04.3",
        nucleus_with(lambda v, c, p: c - v < p, divide=lambda out, p: out.softmax(-1)),
        "a softmax normalises logits",
    ),
    ("04.3", nucleus_with(lambda v, c, p: c - v < p, lambda v, i: v), "result is in sorted order"),
    ("04.3", nucleus_with(lambda v, c, p: c - v < p, lambda v, i: v[i]), "kept[order] sorts again"),
    ("04.3", nucleus_with(lambda v, c, p: c - v >= p), "the least probable tokens stay"),
    ("04.3", nucleus_of_unsorted, "your tokens are not sorted"),
    ("04.3", lambda x, p: solutions.top_p(x.softmax(0), p), "are taken for logits"),
    ("04.3", lambda x, p: solutions.top_p(x, max(1 - p, 1e-9)), "p is taken for what goes away"),
    ("04.3", nucleus_with(lambda v, c, p: v >= p * v[0]), "that is min-p"),
    ("04.3", nucleus_with(lambda v, c, p: (v >= p) | (c == v)), "each probability alone with p"),
    (
        "04.3",
        nucleus_with(lambda v, c, p: torch.arange(len(v)) < max(1, int(len(v) * p))),
        "that is top-k",
    ),
    ("04.3", lambda x, p: x, "nothing is left out"),
    ("04.3", lambda x, p: F.one_hot(x.argmax(), len(x)).float(), "that is greedy"),
    ("04.3", nucleus_in_place, "changes its input probabilities in place"),
    ("04.3", lambda x, p: solutions.top_p(x, p).argmax(), "dtype torch.int64"),
    ("04.3", lambda x, p: solutions.top_p(x, p).log(), "are these logarithms?"),
    ("04.3", lambda x, p: solutions.top_p(x, p)[None], "which axis of length 1 is left over"),
    (
        "04.3",
        lambda x, p: solutions.top_p(x, p).sqrt(),
        "the right tokens stay, with other numbers",
    ),
    (
        "04.3",
        nucleus_with(lambda v, c, p: torch.arange(len(v)) < 2),
        "you keep tokens [1, 3], expected [1, 3, 4]. Yours have 0.55 together",
    ),
    ("04.3", lambda x, p: x.softmax(1), "one axis only: which dim"),
    (
        "04.3",
        nucleus_with(lambda v, c, p: c <= p, divide=lambda out, p: out),
        "two things at once. First: the token that crosses p is dropped",
    ),
    ("04.4", writer(feed=lambda ids, prompt: ids[-1:]), "the model sees the last token only"),
    ("04.4", writer(feed=lambda ids, prompt: prompt), "the model sees the prompt only"),
    (
        "04.4",
        writer(feed=lambda ids, prompt: ids[len(prompt) :]),
        "the model does not see the prompt",
    ),
    ("04.4", writer(start=lambda prompt: []), "the model does not see the prompt"),
    (
        "04.4",
        writer(give=lambda ids, prompt, end: ids[len(prompt) :]),
        "the prompt is missing in what you give back",
    ),
    ("04.4", writer(stop="never"), "you write on after end"),
    ("04.4", writer(stop="before"), "end itself is missing"),
    ("04.4", writer(stop="late"), "one token is written after end"),
    ("04.4", while_the_last_is_not_the_end, "because of an end in the prompt"),
    ("04.4", writer(most=lambda prompt, n: n + 1), "one new token too many"),
    ("04.4", writer(most=lambda prompt, n: n - 1), "one new token too few"),
    ("04.4", writer(most=lambda prompt, n: n - len(prompt)), "the prompt's tokens count as new"),
    ("04.4", writer(pick=lambda logits: int(logits.argmin())), "the least probable token"),
    ("04.4", writer(pick=lambda logits: int(logits.argsort()[-2])), "the second most probable"),
    ("04.4", writer(pick=lambda logits: logits.argmax()), "entry 1 of your list is tensor(3)"),
    ("04.4", writer(pick=lambda logits: logits.max().item()), "entry 1 of your list is -0."),
    ("04.4", writer(start=lambda prompt: prompt), "changes its input prompt in place"),
    ("04.4", writer(feed=lambda ids, prompt: [ids]), "is it one flat list?"),
    ("04.4", writer(feed=lambda ids, prompt: ids[-1]), "it got 1: is it one flat list?"),
    ("04.4", writer(feed=lambda ids, prompt: [5, *ids]), "there is no token 5, only 0 to 4"),
    ("04.4", writer(give=lambda ids, prompt, end: torch.tensor(ids)), "do you know tolist?"),
    ("04.4", writer(give=lambda ids, prompt, end: "".join(map(str, ids))), "one str came back"),
    ("04.4", writer(give=lambda ids, prompt, end: [True] * len(ids)), "what should be an int?"),
    ("04.4", until_the_end_only, "stopped at call number 1001 of next_logits"),
    ("04.4", draws, "Is that the place of the largest one"),
    ("04.4", lambda next_logits, prompt, n, end: prompt, "yours are right, but end after 1"),
    ("04.4", lambda next_logits, prompt, n, end: [4, 3], "a token of the prompt has changed"),
    (
        "04.4",
        writer(give=lambda ids, prompt, end: [*ids, *ids]),
        "the first 2 of yours are all there is",
    ),
    (
        "04.4",
        writer(feed=lambda ids, prompt: ids[-2:]),
        "and you write",
    ),
    ("04.4", writer(start=lambda prompt: prompt + 1), "which type stands on each side"),
    (
        "04.4",
        writer(stop="never", give=lambda ids, prompt, end: ids[len(prompt) :]),
        "two things at once. First: the prompt is missing",
    ),
    ("04.5", cached(factor=lambda q, k: 1.0), "the scores are not divided by the root of D"),
    ("04.5", cached(factor=lambda q, k: 1 / q.shape[-1]), "you divide by D, not by its root"),
    ("04.5", cached(factor=lambda q, k: k.shape[1] ** -0.5), "the root of the number of keys"),
    ("04.5", cached(factor=lambda q, k: q.shape[-1] ** 0.5), "you multiply by the root of D"),
    ("04.5", cached(store=lambda k, v, cache: cache), "your cache does not grow"),
    (
        "04.5",
        cached(see=lambda x, old: old),
        "the new position does not see itself",
    ),
    ("04.5", cached(see=lambda x, old: x[:, -1:]), "sees nothing but itself"),
    ("04.5", cached(grow=lambda old, new: torch.cat([new, old], 1)), "first in your cache"),
    (
        "04.5",
        cached(store=lambda k, v, cache: {"keys": k[:, -1:], "values": v[:, -1:]}),
        "your new cache holds the new position only",
    ),
    (
        "04.5",
        cached(store=lambda k, v, cache: {"keys": v, "values": k}),
        "keys and values have changed places",
    ),
    ("04.5", lambda q, k, v, cache: step(q, v, k, cache), "key and value have changed places"),
    ("04.5", lambda q, k, v, cache: step(q, q, v, cache), "the query goes into the cache"),
    ("04.5", lambda q, k, v, cache: step(k, k, v, cache), "the key asks instead of the query"),
    ("04.5", lambda q, k, v, cache: step(q, k, v, step(q, k, v, cache)[1]), "in the cache twice"),
    ("04.5", cached(dim=0), "the softmax runs over the batch"),
    ("04.5", cached(dim=1), "all your weights are 1"),
    (
        "04.5",
        cached(visible=lambda scores: torch.ones_like(scores[0], dtype=torch.bool).tril()),
        "lets the query see the first key only",
    ),
    ("04.5", cached_in_place, "changes its input cache in place"),
    ("04.5", cached_own_softmax, "does the whole softmax, and does the new key take part?"),
    ("04.5", cached(grow=lambda old, new: torch.cat([old, new], 2)), "along the positions"),
    ("04.5", lambda q, k, v, cache: step(q, k, v, cache)[0], "one Tensor came back"),
    ("04.5", lambda *given: step(*given)[::-1], "output and cache have changed places"),
    (
        "04.5",
        lambda *given: (step(*given)[0], tuple(step(*given)[1].values())),
        "your new cache is a tuple",
    ),
    (
        "04.5",
        lambda *given: (step(*given)[0], {"key": 1}),
        "your new cache is a dict with ['key']",
    ),
    ("04.5", lambda q, k, v, cache: cache["key"], 'the cache has the names "keys" and "values"'),
    (
        "04.5",
        lambda *given: (step(*given)[0], {"keys": 1, "values": 2}),
        'cache["keys"] is a int, expected a tensor',
    ),
    (
        "04.5",
        cached(store=lambda k, v, cache: {"keys": k + 1, "values": v}),
        'cache["keys"] is wrong. Its shape was (3, 4, 8) and is (3, 5, 8) now',
    ),
    (
        "04.5",
        lambda *given: (step(*given)[0] * 1.1, step(*given)[1]),
        "your new cache is right, your output is not",
    ),
    ("04.5", lambda *given: (step(*given)[0][:, 0], step(*given)[1]), "did a squeeze take away"),
    (
        "04.5",
        cached(factor=lambda q, k: 1.0, store=lambda k, v, cache: cache),
        "the scores are not divided by the root of D",
    ),
    (
        "04.5",
        cached(factor=lambda q, k: 1.0, dim=0),
        "two things at once. First: the scores are not divided",
    ),
]
