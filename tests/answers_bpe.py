"""Answers to the exercises of lesson 3, right and wrong, as readers may write them."""

from __future__ import annotations

import codecs
import re
from collections import Counter, OrderedDict, defaultdict
from functools import reduce
from itertools import pairwise

from course_utils.exercises import byte_pair_encoding_solutions as solutions
from course_utils.tokenizers import naive

SOLUTIONS = {
    "03.1": solutions.pair_counts,
    "03.2": solutions.merge,
    "03.3": solutions.train,
    "03.4": solutions.encode,
    "03.5": solutions.stream,
}


# ---- right, written in other ways


def counts_by_index(words):
    counts = defaultdict(int)
    for word in words:
        for i in range(len(word) - 1):
            counts[word[i], word[i + 1]] += words[word]
    return counts


def counts_by_get(words):
    counts = {}
    for word, n in words.items():
        for pair in pairwise(word):
            counts[pair] = counts.get(pair, 0) + n
    return OrderedDict(sorted(counts.items()))


def counts_of_repeated_words(words):
    return Counter(pair for word, n in words.items() for _ in range(n) for pair in pairwise(word))


def merge_by_looking_back(symbols, pair):
    merged, fresh = [], False
    for symbol in symbols:
        if merged and not fresh and (merged[-1], symbol) == pair:
            merged[-1] += symbol
            fresh = True
        else:
            merged.append(symbol)
            fresh = False
    return merged


def merge_by_recursion(symbols, pair):
    if len(symbols) < 2:
        return symbols
    if symbols[:2] == pair:
        return ("".join(pair), *merge_by_recursion(symbols[2:], pair))
    return symbols[:1] + merge_by_recursion(symbols[1:], pair)


def merge_as_in_the_paper(symbols, pair):
    bigram = re.escape(" ".join(pair))
    return re.sub(rf"(?<!\S){bigram}(?!\S)", "".join(pair), " ".join(symbols)).split()


def merge_in_a_list(symbols, pair):
    symbols, i = list(symbols), 0
    while i < len(symbols) - 1:
        if symbols[i] == pair[0] and symbols[i + 1] == pair[1]:
            symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]
        i += 1
    return symbols


def train_by_sorting(word_counts, num_merges):
    corpus = [[list(word), n] for word, n in word_counts.items()]
    order = sorted(set("".join(word_counts)))
    merges = []
    for _ in range(num_merges):
        counts = Counter()
        for pieces, n in corpus:
            for pair in pairwise(pieces):
                counts[pair] += n
        if not counts:
            break
        ranked = sorted(counts, key=lambda pair: [order.index(symbol) for symbol in pair])
        best = max(ranked, key=lambda pair: counts[pair])
        merges += [list(best)]
        order += ["".join(best)]
        for entry in corpus:
            entry[0] = merge_in_a_list(entry[0], best)
    return tuple(merges)


def train_with_ids(word_counts, num_merges):
    tokens = sorted({letter for word in word_counts for letter in word})
    words = [([tokens.index(letter) for letter in word], n) for word, n in word_counts.items()]
    merges = []
    while len(merges) < num_merges:
        counts = Counter()
        for ids, n in words:
            counts.update({pair: 0 for pair in pairwise(ids)})
            for pair in pairwise(ids):
                counts[pair] += n
        if len(counts) == 0:
            return merges
        most = max(counts.values())
        left, right = min(pair for pair, n in counts.items() if n == most)
        merges.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
        for ids, _ in words:
            i = 0
            while i + 1 < len(ids):
                if (ids[i], ids[i + 1]) == (left, right):
                    ids[i : i + 2] = [len(tokens) - 1]
                i += 1
    return merges


def train_of_the_package(word_counts, num_merges):
    if not word_counts:
        return []
    return [step.pair for step in naive.merge_steps(word_counts, num_merges)]


def encode_in_order(word, merges):
    return reduce(merge_by_looking_back, merges, tuple(word))


def encode_one_at_a_time(word, merges):
    pieces = list(word)
    while True:
        ranked = [
            (merges.index(pair), i) for i, pair in enumerate(pairwise(pieces)) if pair in merges
        ]
        if not ranked:
            return pieces
        _, i = min(ranked)
        pieces = [*pieces[:i], pieces[i] + pieces[i + 1], *pieces[i + 2 :]]


def stream_by_iterdecode(tokens):
    return codecs.iterdecode(tokens, "utf-8", errors="replace")


def stream_by_error(tokens):
    """Looks into the error: are the bytes broken, or only not whole?"""
    kept = b""
    for token in tokens:
        kept, text = kept + token, ""
        while kept:
            try:
                text, kept = text + kept.decode(), b""
            except UnicodeDecodeError as error:
                text, kept = text + kept[: error.start].decode(), kept[error.start :]
                if error.reason == "unexpected end of data":
                    break
                text += "\ufffd"
                kept = kept[error.end - error.start :]
        if text:
            yield text
    if kept:
        yield "\ufffd"


def stream_letter_by_letter(tokens):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in tokens:
        for byte in token:
            yield decoder.decode(bytes([byte]))
    yield from decoder.decode(b"", True)


def stream_as_list(tokens):
    decoder, pieces = codecs.getincrementaldecoder("utf-8")("replace"), []
    for token in tokens:
        pieces.append(decoder.decode(token))
    return [*pieces, decoder.decode(b"", True)]


def stream_as_list_without_empty_ones(tokens):
    return [piece for piece in stream_by_error(tokens) if piece]


def stream_by_length(tokens):
    """Reads from the first byte of a character how many belong to it."""
    kept = bytearray()
    for token in tokens:
        for byte in token:
            if kept and byte & 0xC0 != 0x80:
                yield "\ufffd"
                kept.clear()
            kept.append(byte)
            length = 1 + (kept[0] >= 0xC0) + (kept[0] >= 0xE0) + (kept[0] >= 0xF0)
            if len(kept) == length:
                yield kept.decode(errors="replace")
                kept.clear()
    if kept:
        yield "\ufffd" * len(kept)


RIGHT = [
    ("03.1", counts_by_index),
    ("03.1", counts_by_get),
    ("03.1", counts_of_repeated_words),
    ("03.1", naive.count_pairs),
    ("03.2", merge_by_looking_back),
    ("03.2", merge_by_recursion),
    ("03.2", merge_as_in_the_paper),
    ("03.2", merge_in_a_list),
    ("03.2", naive.merge_pair),
    ("03.3", train_by_sorting),
    ("03.3", train_with_ids),
    ("03.3", train_of_the_package),
    ("03.4", encode_in_order),
    ("03.4", encode_one_at_a_time),
    ("03.4", naive.segment),
    ("03.5", stream_by_iterdecode),
    ("03.5", stream_by_error),
    ("03.5", stream_letter_by_letter),
    ("03.5", stream_as_list),
    ("03.5", stream_as_list_without_empty_ones),
    ("03.5", stream_by_length),
]


# ---- wrong, written without looking at the known mistakes


def count_with(pairs, put=lambda counts, pair, n: counts.update([pair] * n), back=lambda c: c):
    def pair_counts(words):
        counts = Counter()
        for word, n in words.items():
            for pair in pairs(word):
                put(counts, pair, n)
        return back(counts)

    return pair_counts


def neighbours(word):
    return [(word[i], word[i + 1]) for i in range(len(word) - 1)]


def overwrite(counts, pair, n):
    counts[pair] = n


def of_all_together(words):
    row = [symbol for word in words for symbol in word]
    return Counter(pairwise(row))


def triples(word):
    return [word[i : i + 3] for i in range(len(word) - 2)]


def counts_half(words):
    return {pair: n / 2 for pair, n in counts_by_get(words).items()}


def counts_popping(words):
    counts = Counter()
    while words:
        word, n = words.popitem()
        for pair in neighbours(word):
            counts[pair] += n
    return counts


def merging(step=2, until=None, at=lambda s, i, pair: (s[i], s[i + 1]) == pair, new="".join):
    def merge(symbols, pair):
        out, i = [], 0
        while i < len(symbols):
            if i + 1 < len(symbols) and at(symbols, i, pair):
                out.append(new(pair))
                if until == "first":
                    return [*out, *symbols[i + 2 :]]
                i += step
            else:
                out.append(symbols[i])
                i += 1
        return out

    return merge


def merge_out_of_range(symbols, pair):
    out = []
    for i in range(len(symbols)):
        if (symbols[i], symbols[i + 1]) == pair:
            out.append(symbols[i] + symbols[i + 1])
    return out


def merge_without_the_end(symbols, pair):
    out, i = [], 0
    while i < len(symbols) - 1:
        hit = symbols[i : i + 2] == pair
        out.append("".join(pair) if hit else symbols[i])
        i += 2 if hit else 1
    return out


def merge_by_replace(symbols, pair):
    return tuple(" ".join(symbols).replace(" ".join(pair), "".join(pair)).split(" "))


def merge_from_the_right(symbols, pair):
    out = list(symbols)
    for i in range(len(out) - 2, -1, -1):
        if tuple(out[i : i + 2]) == pair:
            out[i : i + 2] = ["".join(pair)]
    return out


def merge_into_the_tuple(symbols, pair):
    i = symbols.index(pair[0])
    symbols[i] = "".join(pair)
    return symbols


def merge_upper(symbols, pair):
    return [s.upper() for s in solutions.merge(symbols, pair)]


def training(
    best=None, once=False, weigh=True, extra=0, least=1, merge=solutions.merge, back=None, start=()
):
    def train(word_counts, num_merges):
        words = {tuple(word): n if weigh else 1 for word, n in word_counts.items()}
        order, merges = sorted(set("".join(word_counts))), list(start)
        for _ in range(num_merges + extra):
            counts = Counter()
            for word, n in words.items():
                for pair in set(neighbours(word)) if once else neighbours(word):
                    counts[pair] += n
            if not counts or max(counts.values()) < least:
                break
            choose = best or (lambda c, o: min(c, key=lambda p: (-c[p], *map(o.index, p))))
            pair = choose(counts, order)
            merges.append(pair)
            order += [] if "".join(pair) in order else ["".join(pair)]
            words = {merge(word, pair): n for word, n in words.items()}
        return back(merges) if back else merges

    return train


def train_without_end(word_counts, num_merges):
    words = {tuple(word): n for word, n in word_counts.items()}
    order, merges = sorted(set("".join(word_counts))), []
    for _ in range(num_merges):
        counts = counts_by_get(words)
        pair = max(counts, key=lambda p: (counts[p], *(-order.index(s) for s in p)))
        merges.append(pair)
        order.append("".join(pair))
        words = {solutions.merge(word, pair): n for word, n in words.items()}
    return merges


def most_common_at_once(word_counts, num_merges):
    counts = counts_by_get({tuple(word): n for word, n in word_counts.items()})
    order = sorted(counts, key=lambda pair: (-counts[pair], pair))
    return order[:num_merges]


def first_place(symbols, pair):
    return tuple(merging(until="first")(symbols, pair))


def by_weight_of_letters(counts, order):
    return max(sorted(counts), key=lambda pair: counts[pair] * len("".join(pair)))


def encoding(pick=min, rounds=999, merge=solutions.merge):
    def encode(word, merges):
        pieces = tuple(word)
        for _ in range(rounds):
            ranks = [merges.index(pair) for pair in neighbours(pieces) if pair in merges]
            if not ranks:
                break
            pieces = merge(pieces, merges[pick(ranks)])
        return pieces

    return encode


def longest_match(word, merges):
    vocabulary, pieces, start = {a + b for a, b in merges}, [], 0
    while start < len(word):
        end = len(word)
        while end > start + 1 and word[start:end] not in vocabulary:
            end -= 1
        pieces.append(word[start:end])
        start = end
    return pieces


def from_the_left(word, merges):
    pieces, i = list(word), 0
    while i < len(pieces) - 1:
        if (pieces[i], pieces[i + 1]) in merges:
            pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
            i = 0
        else:
            i += 1
    return pieces


def letters_only(word, merges):
    rank = {pair: i for i, pair in enumerate(merges)}
    found = sorted((p for p in neighbours(word) if p in rank), key=rank.get)
    return reduce(solutions.merge, found, tuple(word))


def each_merge_once(word, merges):
    return reduce(first_place, merges, tuple(word))


def known_letters_only(word, merges):
    letters = set("".join(a + b for a, b in merges))
    return solutions.encode("".join(c for c in word if c in letters or not merges), merges)


def key_error(word, merges):
    rank = {pair: i for i, pair in enumerate(merges)}
    pieces = tuple(word)
    while len(pieces) > 1:
        pieces = solutions.merge(pieces, min(neighbours(pieces), key=lambda p: rank[p]))
    return pieces


def without_middle(word, merges):
    pieces = solutions.encode(word, merges)
    return pieces[:1] + pieces[2:]


def two_halves(word, merges):
    return (
        [word[: len(word) // 2], word[len(word) // 2 :]]
        if len(word) > 5
        else encode_in_order(word, merges)
    )


def each_alone(errors):
    def stream(tokens):
        for token in tokens:
            yield token.decode(errors=errors)

    return stream


def at_the_end(tokens):
    yield b"".join(tokens).decode(errors="replace")


def stream_with(errors="replace", final=True):
    def stream(tokens):
        decoder = codecs.getincrementaldecoder("utf-8")(errors)
        for token in tokens:
            yield decoder.decode(token)
        if final:
            yield decoder.decode(b"", final=True)

    return stream


def keep_trying(tokens):
    kept = b""
    for token in tokens:
        kept += token
        try:
            yield kept.decode()
            kept = b""
        except UnicodeDecodeError:
            pass
    if kept:
        yield kept.decode(errors="replace")


def up_to_the_error(tokens):
    kept = b""
    for token in tokens:
        kept += token
        try:
            text, kept = kept.decode(), b""
        except UnicodeDecodeError as error:
            text, kept = kept[: error.start].decode(), kept[error.start :]
        if text:
            yield text
    yield kept.decode(errors="replace")


def without_the_sign_at_the_end(tokens):
    done, kept = 0, b""
    for token in tokens:
        kept += token
        text = kept.decode(errors="replace")
        if text.endswith("\ufffd"):
            continue
        yield text[done:]
        done = len(text)
    yield kept.decode(errors="replace")[done:]


def everything_again(tokens):
    kept = b""
    for token in tokens:
        kept += token
        yield kept.decode(errors="ignore")


def one_behind(tokens):
    decoder, last = codecs.getincrementaldecoder("utf-8")("replace"), ""
    for token in tokens:
        yield last
        last = decoder.decode(token)
    yield last + decoder.decode(b"", True)


def endless(tokens):
    yield from stream_by_iterdecode(tokens)
    while True:
        yield ""


def by_index(tokens):
    return [tokens[i].decode(errors="replace") for i in range(3)]


def doubled(tokens):
    for text in stream_by_iterdecode(tokens):
        yield text + text


def never_the_third(tokens):
    for number, text in enumerate(stream_by_iterdecode(tokens)):
        if number != 2:
            yield text


def stops_when_nothing_new(tokens):
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in tokens:
        if not (text := decoder.decode(token)):
            return
        yield text


def once_more(before):
    """Gives the last characters of the stream only together with the end."""

    def stream(tokens):
        waiting = ""
        for text in before(tokens):
            waiting += text
            if len(waiting) > 2:
                yield waiting
                waiting = ""
        yield waiting

    return stream


WRONG = [
    (
        "03.1",
        lambda words: Counter(p for word in words for p in neighbours(word)),
        "word counts on",
    ),
    ("03.1", count_with(lambda word: set(neighbours(word))), "it may stand in a word twice"),
    ("03.1", count_with(lambda word: neighbours(word)[::2]), "in steps of two"),
    ("03.1", count_with(lambda word: neighbours(word)[:-1]), "the last pair of each word"),
    ("03.1", count_with(lambda word: neighbours(word)[1:]), "the first pair of each word"),
    (
        "03.1",
        count_with(lambda word: [(word[i - 1], word[i]) for i in range(len(word))]),
        "index -1 is the last one",
    ),
    ("03.1", count_with(neighbours, overwrite), "overwrites the count"),
    ("03.1", count_with(lambda w: map(tuple, map(sorted, neighbours(w)))), "(a, t) and (t, a)"),
    ("03.1", count_with(lambda word: neighbours("".join(word))), "pairs of characters"),
    ("03.1", of_all_together, "reach across the end"),
    ("03.1", count_with(lambda word: neighbours(word[::-1])), "left and right are exchanged"),
    ("03.1", counts_half, "how often does each word occur?"),
    ("03.1", count_with(triples), "Does your loop get there?"),
    ("03.1", count_with(lambda word: word), "a key of your dict is 'a'"),
    ("03.1", count_with(lambda w: [a + b for a, b in neighbours(w)]), "a key of your dict is 'at'"),
    ("03.1", count_with(neighbours, back=Counter.most_common), "one list came back, expected"),
    (
        "03.1",
        count_with(neighbours, back=lambda c: dict.fromkeys(c, "1")),
        "every count one number",
    ),
    ("03.1", lambda words: {("a", "t"): 1}, "for words = {('a', 't'): 3} you give {('a', 't'): 1}"),
    ("03.1", lambda words: {("x", "y"): 1}, "stand side by side in a word?"),
    ("03.1", lambda words: {}, "you give {}, expected {('a', 't'): 1}"),
    ("03.1", counts_popping, "changes its input words in place"),
    ("03.1", lambda words: {list(word): n for word, n in words.items()}, "do you know tuple(...)?"),
    (
        "03.1",
        lambda words: [words.pop(word) for word in words],
        "you change a dict while you go over it",
    ),
    ("03.2", merging(until="first"), "only the first occurrence"),
    ("03.2", merging(step=1), "a symbol is used twice"),
    ("03.2", merge_from_the_right, "from right to left"),
    ("03.2", merge_without_the_end, "the last symbol gets lost"),
    ("03.2", merge_by_replace, "you search in the spelling"),
    ("03.2", merging(new=" ".join), "a space or another sign"),
    ("03.2", merging(new=lambda pair: pair[0]), "only one half is left"),
    ("03.2", merging(new=lambda pair: pair), "a pair still: which operator"),
    ("03.2", merging(at=lambda s, i, p: s[i] + s[i + 1] == p[0] + p[1]), "spell the same"),
    ("03.2", merging(at=lambda s, i, p: {s[i], s[i + 1]} == set(p)), "in either order"),
    ("03.2", merging(at=lambda s, i, p: s[i] == p[0]), "at the left symbol only"),
    ("03.2", lambda symbols, pair: symbols, "nothing is merged"),
    ("03.2", lambda symbols, pair: "".join(symbols), "can you return a list?"),
    ("03.2", lambda symbols, pair: {*symbols}, "one set came back"),
    ("03.2", lambda symbols, pair: [1], "symbol 0 of your result is 1"),
    ("03.2", merge_upper, "you give ['AT'], expected ['at']: put together"),
    (
        "03.2",
        lambda symbols, pair: ["", *solutions.merge(symbols, pair)],
        "where does '' come from",
    ),
    ("03.2", merge_out_of_range, "how far does your loop run?"),
    ("03.2", merge_into_the_tuple, "can you put together a new list instead?"),
    (
        "03.2",
        merging(until="first", new=lambda pair: pair[1] + pair[0]),
        "two things at once. First: only the first occurrence",
    ),
    ("03.2", merging(new=lambda pair: pair[1] + pair[0]), "put together in the wrong order"),
    ("03.3", training(weigh=False), "each word counts once"),
    ("03.3", training(lambda c, o: max(c, key=c.get)), "the one that you met first"),
    ("03.3", training(lambda c, o: c.most_common(1)[0][0]), "the one that you met first"),
    ("03.3", training(lambda c, o: max(c, key=lambda p: (c[p], p))), "the one that comes last in"),
    ("03.3", training(lambda c, o: min(c, key=lambda p: (-c[p], p))), "bc after c"),
    (
        "03.3",
        training(lambda c, o: min(c, key=lambda p: (-c[p], o.index(p[1]), o.index(p[0])))),
        "the smaller right symbol",
    ),
    ("03.3", training(lambda c, o: min(c, key=c.get)), "the rarest pair comes first"),
    ("03.3", training(once=True), "once for each word"),
    ("03.3", training(extra=1), "one merge too many"),
    ("03.3", training(extra=-1), "one merge too few"),
    ("03.3", training(least=2), "you stop at pairs that occur once"),
    ("03.3", training(merge=lambda word, pair: word), "your words do not change"),
    ("03.3", training(merge=first_place), "only the first occurrence of the pair"),
    ("03.3", most_common_at_once, "you count once"),
    ("03.3", lambda w, n: solutions.train({"".join(w): 1}, n), "Before it the words are"),
    ("03.3", training(by_weight_of_letters), "longer pairs go first"),
    ("03.3", train_without_end, "when should your loop end?"),
    ("03.3", training(back=lambda m: ["".join(p) for p in m]), "where do its two symbols get lost"),
    ("03.3", training(back=lambda m: [" ".join(p) for p in m]), "merge 0 of your list is 'a t'"),
    ("03.3", training(back=lambda m: dict.fromkeys(m, 1)), "one dict came back"),
    ("03.3", training(back=lambda m: [*m, ("x", "y")]), "all there is. When should your loop end?"),
    ("03.3", training(back=lambda m: m[:2]), "yours are right, but end after 2"),
    (
        "03.3",
        lambda w, n: [("x", "y")] * n,
        "The count of ('a', 't') is 1, that of ('x', 'y') is 0.",
    ),
    (
        "03.3",
        training(lambda c, o: max(c, key=c.get), weigh=False),
        "two things at once. First: each word counts once",
    ),
    ("03.4", longest_match, "you take the longest piece"),
    ("03.4", from_the_left, "you merge from left to right"),
    ("03.4", encoding(max), "learned last goes first"),
    ("03.4", encoding(rounds=1), "you stop too early"),
    ("03.4", letters_only, "side by side still"),
    ("03.4", each_merge_once, "at one place of the word only"),
    ("03.4", known_letters_only, "must stay as it is"),
    ("03.4", lambda word, merges: encode_in_order(word, merges[::-1]), "learned last goes first"),
    ("03.4", lambda word, merges: encode_in_order(word, sorted(merges)), "order of the alphabet"),
    ("03.4", lambda word, merges: encode_in_order(word, merges[:-1]), "the last merge of the list"),
    ("03.4", lambda word, merges: list(word), "side by side still"),
    ("03.4", lambda word, merges: [word], "no merge makes 'cat'"),
    ("03.4", lambda word, merges: set(encode_in_order(word, merges)), "one set came back"),
    ("03.4", without_middle, "spell 'c'. What gets lost"),
    ("03.4", two_halves, "no merge makes 'team'"),
    ("03.4", lambda word, merges: word, "can you return a list?"),
    ("03.4", key_error, "Easier inputs went well: what is new"),
    ("03.5", each_alone("replace"), "half a character is decoded, and becomes U+FFFD"),
    ("03.5", each_alone("ignore"), "half a character is decoded, and gets lost"),
    ("03.5", each_alone("strict"), "can they wait, or become U+FFFD?"),
    ("03.5", at_the_end, "you wait till the end"),
    ("03.5", lambda tokens: [*at_the_end(tokens)], "you wait till the end"),
    ("03.5", stream_with("ignore"), "broken bytes disappear"),
    ("03.5", stream_with(final=False), "a half character at the end gets lost"),
    ("03.5", stream_with("strict"), "can they wait, or become U+FFFD?"),
    ("03.5", keep_trying, "a whole character waits"),
    ("03.5", without_the_sign_at_the_end, "a whole character waits"),
    ("03.5", up_to_the_error, "one broken byte holds up"),
    ("03.5", everything_again, "given out again"),
    ("03.5", one_behind, "one token late"),
    ("03.5", endless, "where does your loop end?"),
    ("03.5", by_index, "for token in tokens"),
    ("03.5", lambda tokens: [len(tokens)], "for token in tokens"),
    ("03.5", lambda tokens: b"".join(tokens).decode(), "do you know yield"),
    ("03.5", lambda tokens: 3, "one int came back"),
    ("03.5", lambda tokens: (token for token in tokens), "you give out b'a', expected a str"),
    ("03.5", lambda tokens: (str(token) for token in tokens), "gives out too much"),
    ("03.5", lambda tokens: "".join(tokens), "which line mixes them?"),
    ("03.5", doubled, "gives out too much"),
    ("03.5", never_the_third, "throws bytes away"),
    ("03.5", stops_when_nothing_new, "throws bytes away"),
    ("03.5", once_more(stream_by_iterdecode), "was whole before you gave it out?"),
]
