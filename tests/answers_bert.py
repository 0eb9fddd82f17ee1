"""Answers to the exercises of lesson 5, right and wrong, as readers may write them."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import torch
from torch.nn import functional as F

from course_utils import losses
from course_utils.exercises import masked_language_models_solutions as solutions

SOLUTIONS = {
    "05.1": solutions.pair,
    "05.2": solutions.hide,
    "05.3": solutions.masked_loss,
    "05.4": solutions.plateau,
    "05.5": solutions.pseudo_log_likelihood,
}


# ---- right, written in other ways


def pair_by_appending(first, second, cls_id, sep_id):
    ids, segments = [cls_id], [0]
    for number, text in enumerate((first, second)):
        for token in text:
            ids.append(token)
            segments.append(number)
        ids.append(sep_id)
        segments.append(number)
    return [ids, segments]


def pair_by_length(first, second, cls_id, sep_id):
    ids = (cls_id, *first, sep_id, *second, sep_id)
    return ids, tuple(int(k > len(first) + 1) for k in range(len(ids)))


def pair_in_numpy(first, second, cls_id, sep_id):
    ids = [int(x) for x in np.concatenate([[cls_id], first, [sep_id], second, [sep_id]])]
    segments = np.zeros(len(ids), dtype=int)
    segments[len(first) + 2 :] = 1
    return ids, list(segments)


def hide_token_by_token(ids, chance, other, special, mask_id, share):
    read, places = ids.clone(), torch.zeros_like(special)
    for k, c in enumerate(chance.tolist()):
        if special[k] or c >= share:
            continue
        places[k] = True
        if c < 0.8 * share:
            read[k] = mask_id
        elif c < 0.9 * share:
            read[k] = other[k]
    return read, places


def hide_by_index(ids, chance, other, special, mask_id, share):
    places = torch.logical_and(chance < share, torch.logical_not(special))
    chosen = places.nonzero()[:, 0]
    way = chance[chosen] / share
    read = ids.clone()
    read[chosen[way < 0.8]] = mask_id
    replaced = chosen[(way >= 0.8) & (way < 0.9)]
    read[replaced] = other[replaced]
    return [read, places]


def hide_in_two_steps(ids, chance, other, special, mask_id, share):
    """Special tokens get a chance that is never chosen."""
    chance = chance.masked_fill(special, math.inf)
    read = torch.where(chance < 0.9 * share, other, ids)
    read[chance < 0.8 * share] = mask_id
    return read.int(), chance < share


def masked_loss_with_ignored_labels(logits, target, places):
    labels = torch.where(places, target, -100)
    return F.cross_entropy(logits.view(-1, logits.shape[-1]), labels.view(-1))


def masked_loss_by_gathering(logits, target, places):
    log_probs = F.log_softmax(logits, dim=-1)
    chosen = log_probs.gather(2, target.unsqueeze(2)).squeeze(2)
    return -(chosen * places).sum() / places.sum()


def masked_loss_place_by_place(logits, target, places):
    terms = [
        torch.logsumexp(logits[b, t], 0) - logits[b, t, target[b, t]]
        for b, t in places.nonzero().tolist()
    ]
    return sum(terms) / len(terms)


def masked_loss_of_the_package(logits, target, places):
    return losses.masked_cross_entropy(logits, target, places)


def plateau_by_counter(train_ids, held_out_ids, vocab_size):
    counts = Counter(train_ids.tolist())
    total = len(train_ids) + vocab_size
    surprise = [-math.log((counts[token] + 1) / total) for token in held_out_ids.tolist()]
    return sum(surprise) / len(surprise)


def plateau_by_one_hot(train_ids, held_out_ids, vocab_size):
    counts = 1 + F.one_hot(train_ids, vocab_size).sum(0)
    logits = counts.log().expand(len(held_out_ids), -1)
    return F.cross_entropy(logits, held_out_ids)


def plateau_in_numpy(train_ids, held_out_ids, vocab_size):
    p = 1.0 + np.bincount(train_ids.numpy(), minlength=vocab_size)
    q = np.bincount(held_out_ids.numpy(), minlength=vocab_size)
    return np.float64(-(q * np.log(p / p.sum())).sum() / q.sum())


@torch.inference_mode()
def score_with_all_copies(model, ids, mask_id, special):
    """Hides special tokens as well, and leaves them out of the sum."""
    own = torch.eye(len(ids), dtype=torch.bool)
    copies = torch.where(own, mask_id, ids)
    log_probs = model(copies).mlm_logits.log_softmax(-1)
    each = log_probs.diagonal(dim1=0, dim2=1).mT.gather(1, ids[:, None])[:, 0]
    return (each * ~special).sum()


def score_from_rows(model, ids, mask_id, special):
    rows, places = [], [t for t in range(len(ids)) if not special[t]]
    for t in places:
        row = ids.tolist()
        row[t] = mask_id
        rows.append(row)
    with torch.no_grad():
        logits = model(torch.tensor(rows)).mlm_logits
    score = 0.0
    for row, t in zip(logits, places, strict=True):
        score += torch.log_softmax(row[t], 0)[ids[t]].item()
    return score


def score_by_cross_entropy(model, ids, mask_id, special):
    places = torch.where(~special)[0]
    copies = ids.expand(len(places), -1).scatter(1, places[:, None], mask_id)
    with torch.no_grad():
        logits = model(ids=copies).mlm_logits
    return -F.cross_entropy(logits[copies == mask_id], ids[places], reduction="sum")


RIGHT = [
    ("05.1", pair_by_appending),
    ("05.1", pair_by_length),
    ("05.1", pair_in_numpy),
    ("05.2", hide_token_by_token),
    ("05.2", hide_by_index),
    ("05.2", hide_in_two_steps),
    ("05.3", masked_loss_with_ignored_labels),
    ("05.3", masked_loss_by_gathering),
    ("05.3", masked_loss_place_by_place),
    ("05.3", masked_loss_of_the_package),
    ("05.4", plateau_by_counter),
    ("05.4", plateau_by_one_hot),
    ("05.4", plateau_in_numpy),
    ("05.5", score_with_all_copies),
    ("05.5", score_from_rows),
    ("05.5", score_by_cross_entropy),
]


# ---- wrong, written without looking at the known mistakes


def row(ids, segments):
    """Both lists from lambdas of first, second, cls_id and sep_id."""
    return lambda a, b, c, s: (ids(a, b, c, s), segments(len(a), len(b)))


def all_of(a, b, c, s):
    return [c, *a, s, *b, s]


def two(m, n):
    return [0] * (m + 2) + [1] * (n + 1)


def pair_in_place(first, second, cls_id, sep_id):
    first.insert(0, cls_id)
    first.append(sep_id)
    second += [sep_id]
    return first + second, [0] * len(first) + [1] * len(second)


def pair_nested(first, second, cls_id, sep_id):
    ids = [cls_id]
    ids.append(first)
    return [*ids, sep_id, second, sep_id], two(len(first), len(second))


def segments_from_first_separator(first, second, cls_id, sep_id):
    ids = all_of(first, second, cls_id, sep_id)
    place = ids.index(sep_id)
    return ids, [int(k >= place) for k in range(len(ids))]


def segments_after_each_separator(first, second, cls_id, sep_id):
    ids, segments, number = all_of(first, second, cls_id, sep_id), [], 0
    for token in ids:
        number += token == sep_id
        segments.append(int(number))
    return ids, segments


def hider(
    chosen=lambda chance, special, share: (chance < share) & ~special,
    way=lambda chance, share: chance / share,
    masked=lambda way: way < 0.8,
    replaced=lambda way: (way >= 0.8) & (way < 0.9),
    asked=lambda chosen, read, ids, mask_id: chosen,
    in_place=False,
):
    """Writes into a copy by masks, with places to go wrong."""

    def my_hide(ids, chance, other, special, mask_id, share):
        read = ids if in_place else ids.clone()
        places = chosen(chance, special, share)
        w = way(chance, share)
        change = places & replaced(w)
        read[change] = other[change]
        read[places & masked(w)] = mask_id
        return read, asked(places, read, ids, mask_id)

    return my_hide


def hide_and_overwrite(ids, chance, other, special, mask_id, share):
    places = (chance < share) & ~special
    read = ids.masked_fill(places & (chance / share < 0.8), mask_id)
    return torch.where(places & (chance / share < 0.9), other, read), places


def hide_with_own_numbers(ids, chance, other, special, mask_id, share):
    own = torch.rand(ids.shape, generator=torch.Generator().manual_seed(3))
    return solutions.hide(ids, own, other, special, mask_id, share)


def hide_with_one_limit_left_out(ids, chance, other, special, mask_id, share):
    places = (chance < share) & ~special
    read = torch.where(chance / share < 0.9, other, ids)
    return read.masked_fill(places & (chance / share < 0.8), mask_id), places


def hide_in_numpy(ids, chance, other, special, mask_id, share):
    return tuple(x.numpy() for x in solutions.hide(ids, chance, other, special, mask_id, share))


def hide_with_and(ids, chance, other, special, mask_id, share):
    return ids, (chance < share) and not special


def hide_some_others(ids, chance, other, special, mask_id, share):
    places = (chance < share) & ~special
    read = ids.clone()
    read[places & (chance / share > 0.8)] = other
    return read, places


def masked_loss_of(take=None, score=None, end=None):
    def my_masked_loss(logits, target, places):
        x, y, p = take(logits, target, places) if take else (logits, target, places)
        each = score(x, y) if score else F.cross_entropy(x.permute(0, 2, 1), y, reduction="none")
        return end(each, p) if end else (each * p).sum() / p.sum()

    return my_masked_loss


def loss_of_row_means(logits, target, places):
    rows = [
        F.cross_entropy(x[p], y[p])
        for x, y, p in zip(logits, target, places, strict=True)
        if p.any()
    ]
    return torch.stack(rows).mean()


def log_of_softmax(x, y):
    return -torch.log(x.softmax(-1)).gather(-1, y.unsqueeze(-1)).squeeze(-1)


def frequencies(
    count=lambda train, held_out: train,
    plus=lambda counts: counts + 1.0,
    below=lambda counts, n, v: n + v,
    judge=lambda train, held_out: held_out,
    end=lambda logs: -logs.mean(),
    log=torch.log,
):
    def my_plateau(train_ids, held_out_ids, vocab_size):
        counted = count(train_ids, held_out_ids)
        counts = torch.zeros(vocab_size).index_add(0, counted, torch.ones(len(counted)))
        p = plus(counts) / below(counts, len(counted), vocab_size)
        return end(log(p[judge(train_ids, held_out_ids)])).item()

    return my_plateau


def entropy_of_the_training_text(train_ids, held_out_ids, vocab_size):
    p = (torch.bincount(train_ids, minlength=vocab_size) + 1) / (len(train_ids) + vocab_size)
    return -(p * p.log()).sum()


def entropy_of_raw_frequencies(train_ids, held_out_ids, vocab_size):
    shares = [n / len(train_ids) for n in Counter(train_ids.tolist()).values()]
    return -sum(p * math.log(p) for p in shares)


def plateau_without_a_place(train_ids, held_out_ids, vocab_size):
    counts = torch.bincount(train_ids) + 1
    return -(counts / (len(train_ids) + vocab_size)).log()[held_out_ids].mean()


def plateau_in_place(train_ids, held_out_ids, vocab_size):
    result = solutions.plateau(train_ids, held_out_ids, vocab_size)
    held_out_ids.sort()
    train_ids[:] = train_ids.sort().values
    return result


def scorer(
    hidden=lambda t, special: [t],
    visited=lambda special: (~special).nonzero()[:, 0].tolist(),
    number=lambda log_probs, t, ids: log_probs[t, ids[t]],
    log=lambda logits: torch.log_softmax(logits, -1),
    end=sum,
):
    """All copies in one batch, with places to go wrong."""

    def my_score(model, ids, mask_id, special):
        rows, places = [], visited(special)
        for t in places:
            copy = ids.clone()
            copy[torch.tensor(hidden(t, special), dtype=torch.long)] = mask_id
            rows.append(copy)
        with torch.no_grad():
            all_logs = log(model(torch.stack(rows)).mlm_logits)
        return end([number(one, t, ids) for one, t in zip(all_logs, places, strict=True)])

    return my_score


def ordinary(special):
    return (~special).nonzero()[:, 0].tolist()


def score_one_by_one(model, ids, mask_id, special):
    total = 0.0
    for t in ordinary(special):
        copy = ids.clone()
        copy[t] = mask_id
        with torch.no_grad():
            total += model(copy[None]).mlm_logits[0, t].log_softmax(-1)[ids[t]].item()
    return total


def score_with_gradients(model, ids, mask_id, special):
    return solutions.pseudo_log_likelihood.__wrapped__(model, ids, mask_id, special)


def score_that_does_not_put_back(model, ids, mask_id, special):
    rows, copy = [], ids.clone()
    for t in ordinary(special):
        copy[t] = mask_id
        rows.append(copy.clone())
    logs = model(torch.stack(rows)).mlm_logits.log_softmax(-1)
    return sum(logs[k, t, ids[t]] for k, t in enumerate(ordinary(special)))


def score_of_the_text_so_far(model, ids, mask_id, special):
    total = 0.0
    for t in ordinary(special):
        copy = torch.cat([ids[:t], torch.tensor([mask_id])])
        total += model(copy[None]).mlm_logits[0, -1].log_softmax(-1)[ids[t]].item()
    return total


def score_all_at_once(model, ids, mask_id, special):
    logits = model(ids.masked_fill(~special, mask_id)[None]).mlm_logits[0]
    return -F.cross_entropy(logits[~special], ids[~special], reduction="sum")


def score_without_hiding(model, ids, mask_id, special):
    logs = model(ids[None]).mlm_logits[0].log_softmax(-1)
    return logs.gather(-1, ids[:, None])[~special].sum()


def score_without_special(model, ids, mask_id, special):
    words = ids[~special]
    copies = words.repeat(len(words), 1).fill_diagonal_(mask_id)
    logs = model(copies).mlm_logits.log_softmax(-1)
    return sum(logs[k, k, token] for k, token in enumerate(words))


def score_forever(model, ids, mask_id, special):
    while True:
        model(ids[None])


right_score = solutions.pseudo_log_likelihood

WRONG = [
    ("05.1", row(lambda a, b, c, s: [c, *a, s, *b], lambda m, n: two(m, n)[:-1]), "the last [SEP]"),
    (
        "05.1",
        row(lambda a, b, c, s: [c, *a, *b, s], lambda m, n: two(m, n)[1:]),
        "there is no [SEP] between the two texts",
    ),
    (
        "05.1",
        row(all_of, lambda m, n: [0] * (m + 1) + [1] * (n + 2)),
        "the first [SEP] is in segment 1",
    ),
    ("05.1", segments_from_first_separator, "the first [SEP] is in segment 1"),
    (
        "05.1",
        row(all_of, lambda m, n: [0] * (m + 2) + [1] * n + [0]),
        "the last [SEP] is in segment 0",
    ),
    (
        "05.1",
        row(all_of, lambda m, n: [0] + [1] * (m + 1) + [2] * (n + 1)),
        "[CLS] has a segment of its own",
    ),
    ("05.1", row(all_of, lambda m, n: [1, *two(m, n)[1:]]), "[CLS] is in segment 1"),
    ("05.1", segments_after_each_separator, "[SEP] has a segment of its own"),
    ("05.1", row(all_of, lambda m, n: [1 - x for x in two(m, n)]), "segments have changed places"),
    ("05.1", row(all_of, lambda m, n: [1 + x for x in two(m, n)]), "your segments are 1 and 2"),
    ("05.1", row(all_of, lambda m, n: [0] * (m + n + 3)), "all is in one segment"),
    ("05.1", row(all_of, lambda m, n: two(m, n)[1:]), "segment_ids is one shorter than ids"),
    ("05.1", row(all_of, lambda m, n: [0] * m + [1] * n), "the words of the texts only"),
    ("05.1", row(lambda *x: all_of(*x)[1:], lambda m, n: two(m, n)[1:]), "[CLS] is missing"),
    (
        "05.1",
        row(lambda a, b, c, s: [c, *a, s, c, *b, s], lambda m, n: [*two(m, n), 1]),
        "there is a second [CLS]",
    ),
    (
        "05.1",
        row(lambda a, b, c, s: [c, *a, s, s, *b, s], lambda m, n: [*two(m, n), 1]),
        "there are two [SEP] between",
    ),
    ("05.1", lambda a, b, c, s: solutions.pair(a, b, s, c), "[CLS] and [SEP] have changed places"),
    ("05.1", lambda a, b, c, s: solutions.pair(b, a, c, s), "the second text stands first"),
    ("05.1", lambda *x: solutions.pair(*x)[::-1], "the two lists have changed places"),
    ("05.1", lambda *x: solutions.pair(*x)[0], "came back, expected two lists"),
    ("05.1", pair_nested, "entry 1 of ids is [7, 8], a list inside the list"),
    (
        "05.1",
        lambda *x: (all_of(*x), [k > len(x[0]) + 1 for k in range(len(all_of(*x)))]),
        "entry 0 of segment_ids is False: what should be an int?",
    ),
    ("05.1", lambda *x: torch.tensor(solutions.pair(*x)), "one Tensor came back"),
    ("05.1", lambda *x: map(torch.tensor, solutions.pair(*x)), "ids is a tensor, expected a list"),
    ("05.1", lambda *x: (str(all_of(*x)), "0"), "a str: can it be a list of int?"),
    ("05.1", lambda a, b, c, s: (c + a + s + b + s, 0), "does [cls_id] help?"),
    ("05.1", pair_in_place, "changes its input first in place"),
    (
        "05.1",
        row(all_of, lambda m, n: [0, *[1, 0] * (m + n)][: m + n + 3]),
        "where is the one place where they should?",
    ),
    ("05.1", row(all_of, lambda m, n: [*two(m, n), 1, 1]), "ids has 6 entries, segment_ids has 8"),
    (
        "05.1",
        row(lambda a, b, c, s: [c, *a, s, *b, s, s], lambda m, n: [*two(m, n), 1]),
        "you have 3 times [SEP], expected 2",
    ),
    (
        "05.1",
        row(lambda a, b, c, s: [c, *a, s, *b[::-1], s], two),
        "which is the first wrong token?",
    ),
    (
        "05.1",
        row(lambda a, b, c, s: [c, *a, s, *b], lambda m, n: [0] * (m + n + 2)),
        "two things at once. First: the last [SEP] is missing",
    ),
    ("05.2", hider(chosen=lambda c, special, share: c < share), "special tokens are hidden, too"),
    ("05.2", hider(chosen=lambda c, special, s: (c < s) & special), "only special tokens are"),
    ("05.2", hider(chosen=lambda c, special, s: (c > s) & ~special), "is the wrong way round"),
    ("05.2", hider(chosen=lambda c, special, s: (c < 0.15) & ~special), "15 % whatever share says"),
    ("05.2", hider(chosen=lambda c, special, s: ~special), "all ordinary tokens are chosen"),
    (
        "05.2",
        hider(asked=lambda chosen, read, ids, mask_id: read == mask_id),
        "places holds only what reads as [MASK]",
    ),
    (
        "05.2",
        hider(asked=lambda chosen, read, ids, mask_id: read != ids),
        "the tokens that stay as they are do not stand in places",
    ),
    ("05.2", hider(asked=lambda chosen, read, ids, mask_id: ~chosen), "places is inverted"),
    ("05.2", hider(way=lambda c, share: c), "you compare chance itself with 0.8 and 0.9"),
    ("05.2", hider(way=lambda c, share: c * share), "you multiply chance by share"),
    ("05.2", hider(masked=lambda way: way >= 0), "every chosen token becomes [MASK]"),
    ("05.2", hider(replaced=lambda way: way >= 0.8), "no chosen token stays as it is"),
    ("05.2", hider(replaced=lambda way: way < 0), "no chosen token is replaced by another one"),
    ("05.2", hider(replaced=lambda way: way >= 0.9), "the last two cases have changed places"),
    (
        "05.2",
        hider(masked=lambda way: (way >= 0.8) & (way < 0.9), replaced=lambda way: way < 0.8),
        "[MASK] and the other token have changed places",
    ),
    (
        "05.2",
        hider(masked=lambda way: (way > 0.1) & (way < 0.8), replaced=lambda way: way < 0.1),
        "you compare with 0.1 where 0.9 belongs",
    ),
    ("05.2", hider(masked=lambda way: way >= 0.9), "80 % stay as they are"),
    ("05.2", hide_and_overwrite, "one condition writes over the other"),
    (
        "05.2",
        lambda *x: (torch.where(x[3], x[4], solutions.hide(*x)[0]), solutions.hide(*x)[1]),
        "read[0] is 4, expected 2. There ids is 2 (special)",
    ),
    (
        "05.2",
        lambda *x: (solutions.hide(*x)[0] * solutions.hide(*x)[1], solutions.hide(*x)[1]),
        "read is 0 where nothing is hidden",
    ),
    ("05.2", lambda *x: (x[0], solutions.hide(*x)[1]), "nothing is hidden in read"),
    ("05.2", hider(in_place=True), "changes its input ids in place"),
    ("05.2", lambda *x: solutions.hide(*x)[::-1], "read and places have changed places"),
    ("05.2", lambda *x: solutions.hide(*x)[0], "do you `return read, places`?"),
    ("05.2", hide_in_numpy, "read is a ndarray, expected a tensor"),
    (
        "05.2",
        lambda *x: (solutions.hide(*x)[0], solutions.hide(*x)[1].long()),
        "places has the dtype torch.int64, expected torch.bool",
    ),
    (
        "05.2",
        lambda *x: (solutions.hide(*x)[0].float(), solutions.hide(*x)[1]),
        "read has the dtype torch.float32, expected whole numbers",
    ),
    (
        "05.2",
        lambda *x: (solutions.hide(*x)[0][solutions.hide(*x)[1]], solutions.hide(*x)[1]),
        "read has the shape (4,), expected (8,), N",
    ),
    ("05.2", hide_with_own_numbers, "Is it chosen, and what is chance / share?"),
    ("05.2", hide_with_one_limit_left_out, "read[0] is 6, expected 2"),
    ("05.2", hide_with_and, "want one truth value"),
    ("05.2", hide_some_others, "do both sides have [places]?"),
    (
        "05.2",
        hider(chosen=lambda c, special, s: c < s, masked=lambda way: way >= 0),
        "two things at once. First: special tokens are hidden",
    ),
    ("05.3", lambda x, y, p: F.cross_entropy(x.mT, y), "all positions count"),
    ("05.3", lambda x, y, p: F.cross_entropy(x[~p], y[~p]), "your mean is over what is not asked"),
    (
        "05.3",
        masked_loss_of(end=lambda loss, p: (loss * p).mean()),
        "but you divide by all of them",
    ),
    ("05.3", loss_of_row_means, "a mean of the rows' means"),
    (
        "05.3",
        masked_loss_of(end=lambda loss, p: ((loss * p).sum(1) / p.sum(1)).mean()),
        "a mean of the rows' means",
    ),
    (
        "05.3",
        masked_loss_of(end=lambda loss, p: ((loss * p).sum(1) / p.sum(1).clamp(min=1)).mean()),
        "a mean of the rows' means",
    ),
    (
        "05.3",
        masked_loss_of(end=lambda loss, p: loss[p].sum() / len(p)),
        "by the number of rows",
    ),
    ("05.3", masked_loss_of(end=lambda loss, p: loss[p].sum()), "this is the sum over the places"),
    (
        "05.3",
        lambda x, y, p: F.cross_entropy(x.mT, y, ignore_index=0),
        "the token 0 is taken for one that is not asked about",
    ),
    (
        "05.3",
        masked_loss_of(take=lambda x, y, p: (x[:, :-1], y[:, 1:], p[:, 1:])),
        "you shift as a GPT does",
    ),
    (
        "05.3",
        lambda x, y, p: F.cross_entropy((x * p.unsqueeze(-1)).mT, y),
        "the logits of the other positions become 0",
    ),
    (
        "05.3",
        lambda x, y, p: F.cross_entropy(x.mT, y * p),
        "the target becomes 0 at the other positions",
    ),
    ("05.3", lambda x, y, p: F.cross_entropy(x[p], p[p].long()), "your target is places itself"),
    (
        "05.3",
        lambda x, y, p: F.cross_entropy(x[p], x[p].argmax(-1)),
        "the model's own best guess",
    ),
    (
        "05.3",
        lambda x, y, p: F.cross_entropy(x.softmax(-1)[p], y[p]),
        "there is a softmax before cross_entropy",
    ),
    (
        "05.3",
        lambda x, y, p: F.cross_entropy(x, y, reduction="none")[p].mean(),
        "the softmax runs over the positions",
    ),
    ("05.3", lambda x, y, p: F.nll_loss(x[p], y[p]), "there is no softmax"),
    (
        "05.3",
        lambda x, y, p: F.nll_loss(x[p].softmax(-1), y[p]),
        "probabilities without a logarithm",
    ),
    ("05.3", lambda *given: -solutions.masked_loss(*given), "the sign is wrong"),
    ("05.3", lambda *given: solutions.masked_loss(*given).exp(), "this is the perplexity"),
    ("05.3", lambda *given: solutions.masked_loss(*given) / math.log(2), "is in bits"),
    ("05.3", masked_loss_of(score=log_of_softmax), "gives the logarithm of a softmax, and safely"),
    ("05.3", lambda x, y, p: F.cross_entropy(x[0], y[0]), "There are 3 + 1 + 2 places here"),
    ("05.3", lambda *given: solutions.masked_loss(*given).item(), "loss is a float, expected"),
    ("05.3", masked_loss_of(end=lambda loss, p: loss[p]), "loss has the shape (6,), expected one"),
    ("05.3", lambda x, y, p: F.cross_entropy(x[p], y), "logits[places], makes N V of B T V"),
    (
        "05.3",
        lambda x, y, p: -F.cross_entropy(x.mT, y),
        "two things at once. First: all positions count",
    ),
    ("05.4", entropy_of_the_training_text, "this is the entropy of the training text"),
    ("05.4", frequencies(judge=lambda a, b: a), "you judge the training text itself"),
    ("05.4", frequencies(count=lambda a, b: b), "you count in the held-out text"),
    (
        "05.4",
        lambda a, b, v: solutions.plateau(b, a, v),
        "the two texts have changed places",
    ),
    ("05.4", frequencies(count=lambda a, b: torch.cat([b, a])), "you count in both texts"),
    (
        "05.4",
        frequencies(plus=lambda counts: counts, below=lambda counts, n, v: n),
        "the counts are without the plus one",
    ),
    ("05.4", frequencies(below=lambda counts, n, v: n), "you divide by the number of training"),
    ("05.4", frequencies(below=lambda counts, n, v: n + 1), "number of training tokens plus one"),
    ("05.4", frequencies(plus=lambda counts: counts), "V stands below the line"),
    (
        "05.4",
        frequencies(
            plus=lambda counts: torch.where(counts == 0, 1.0, counts),
            below=lambda counts, n, v: n + int((counts == 0).sum()),
        ),
        "only tokens that do not occur get the plus one",
    ),
    (
        "05.4",
        frequencies(below=lambda counts, n, v: n + int((counts > 0).sum())),
        "your V is the number of different tokens that occur",
    ),
    ("05.4", frequencies(log=torch.log2), "your number is in bits"),
    ("05.4", frequencies(log=torch.log10), "your logarithm has the base 10"),
    ("05.4", frequencies(end=lambda logs: (-logs.mean()).exp()), "this is the perplexity"),
    ("05.4", frequencies(end=lambda logs: logs.mean()), "the sign is wrong"),
    ("05.4", frequencies(end=lambda logs: -logs.sum()), "this is the sum over the held-out tokens"),
    ("05.4", frequencies(end=lambda logs: -logs.exp().mean().log()), "a token of mean probability"),
    ("05.4", frequencies(judge=lambda a, b: b.unique()), "counts once, however often"),
    ("05.4", lambda a, b, v: math.log(v), "all tokens are equally likely in yours"),
    ("05.4", frequencies(log=lambda p: -p), "this is a mean probability"),
    (
        "05.4",
        frequencies(end=lambda logs: -(logs.exp() * logs).sum()),
        "each surprise is weighted with its probability",
    ),
    ("05.4", entropy_of_raw_frequencies, "two things at once. First: this is the entropy of the"),
    ("05.4", plateau_without_a_place, "Do you know its minlength?"),
    ("05.4", plateau_in_place, "changes its input train_ids in place"),
    ("05.4", frequencies(end=lambda logs: logs.mean() * math.nan), "your number is NaN"),
    (
        "05.4",
        lambda a, b, v: 1.0,
        "the first held-out token is 1, with the probability 3/14. Is it the same in yours?",
    ),
    ("05.4", lambda a, b, v: (a + b).bincount(), "which shape has each tensor"),
    ("05.4", lambda a, b, v: "1.386", "height is a str, expected one number"),
    (
        "05.4",
        lambda a, b, v: -((torch.bincount(a, minlength=v) + 1) / (len(a) + v)).log()[b],
        "height has the shape (5,), expected one number",
    ),
    ("05.5", score_all_at_once, "all tokens are hidden at once"),
    ("05.5", score_without_hiding, "nothing is hidden"),
    (
        "05.5",
        scorer(hidden=lambda t, special: [k for k in ordinary(special) if k >= t]),
        "only the tokens to the left are visible",
    ),
    ("05.5", score_of_the_text_so_far, "only the tokens to the left are visible"),
    ("05.5", score_that_does_not_put_back, "only the tokens to the right are visible"),
    (
        "05.5",
        scorer(visited=lambda special: range(len(special))),
        "special tokens are scored, too",
    ),
    (
        "05.5",
        scorer(hidden=lambda t, special: [t, *special.nonzero()[:, 0].tolist()]),
        "special tokens are hidden in each copy",
    ),
    ("05.5", score_without_special, "special tokens are cut out of the text"),
    ("05.5", scorer(end=lambda each: sum(each) / len(each)), "this is the mean over the tokens"),
    ("05.5", scorer(end=lambda each: -sum(each)), "the sign is wrong"),
    ("05.5", scorer(end=lambda each: -sum(each) / len(each)), "this is a mean loss"),
    (
        "05.5",
        scorer(log=lambda x: x.softmax(-1), end=lambda each: math.prod(each)),
        "this is a product of probabilities",
    ),
    ("05.5", scorer(log=lambda x: x.softmax(-1)), "you add up probabilities"),
    (
        "05.5",
        scorer(end=lambda each: torch.exp(-sum(each) / len(each))),
        "this is a perplexity",
    ),
    ("05.5", scorer(log=lambda x: x.softmax(-1).log2()), "your score is in bits"),
    ("05.5", scorer(log=lambda x: x), "you add up logits"),
    ("05.5", scorer(log=lambda x: x.log_softmax(1)), "the softmax runs over the positions"),
    ("05.5", scorer(log=lambda x: x.log_softmax(0)), "the softmax runs over the copies"),
    (
        "05.5",
        scorer(number=lambda logs, t, ids: logs[t - 1, ids[t]]),
        "you look at the position beside the gap",
    ),
    ("05.5", scorer(number=lambda logs, t, ids: logs[t].max()), "you take the model's best guess"),
    (
        "05.5",
        scorer(number=lambda logs, t, ids: logs.gather(1, ids[:, None]).sum()),
        "each copy counts with all its tokens",
    ),
    ("05.5", score_one_by_one, "but for 4 tokens you call the model 4 times"),
    ("05.5", score_with_gradients, "Do you know torch.no_grad()?"),
    ("05.5", score_forever, "stopped at call number 101 of model"),
    ("05.5", lambda model, ids, m, special: model(ids), "it got the shape (6,)"),
    ("05.5", lambda model, ids, m, special: model(ids.tolist()), "it got a list: why?"),
    ("05.5", lambda model, ids, m, special: model(ids[None].float()), "the dtype torch.float32"),
    ("05.5", lambda model, ids, m, special: model(ids[None] + m), "the ids 6 to 14, but there are"),
    ("05.5", lambda model, ids, m, special: model(ids.repeat(2)[None]), "which axis is B?"),
    (
        "05.5",
        lambda model, ids, m, special: model(ids[None]).softmax(-1),
        "output.mlm_logits, B T V. What do you take from it?",
    ),
    ("05.5", lambda *given: abs(right_score(*given)) + 1, "is never above 0"),
    ("05.5", lambda *given: math.nan, "your score is NaN"),
    ("05.5", lambda *given: right_score(*given) - 1, "what do you have for it?"),
    (
        "05.5",
        lambda model, ids, m, special: right_score(model, ids, m, special) + 0 * ids.zero_().sum(),
        "changes its input ids in place",
    ),
    (
        "05.5",
        scorer(hidden=lambda t, special: [], end=lambda each: -sum(each)),
        "two things at once. First: nothing is hidden",
    ),
]
