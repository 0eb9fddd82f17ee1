"""Byte-level BPE: ids equal the library's, every text comes back, special tokens keep out."""

import pickle
import random
import unicodedata
from itertools import pairwise

import pytest
import torch
from bpe_library import SPECIALS, corpora, library_bpe, mixed_text, random_text
from helpers import as_a_reader
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from course_utils.tokenizers import GPT2_PATTERN, WHOLE_TEXT, BPETokenizer
from course_utils.tokenizers import bpe as bpe_module
from course_utils.tokenizers.merging import apply_merges
from course_utils.tokenizers.pretokens import (
    BYTE_SYMBOLS,
    BYTE_TOKENS,
    from_symbols,
    pretokenize,
    to_symbols,
)

fast = settings(max_examples=100, deadline=None, database=None, derandomize=True)
# Unassigned code points are letters or not, depending on the version of Unicode.
assigned = st.characters(exclude_categories=["Cs", "Cn"])
texts = st.text(alphabet=assigned, max_size=40) | st.lists(
    st.sampled_from([*SPECIALS, " ", "  ", "\n", "the", " world", "'s", "12", "ё", "😀"])
    | st.text(alphabet=assigned, max_size=3),
    max_size=12,
).map("".join)


@pytest.fixture(scope="module")
def both():
    """Ours and the library's, trained on the same mixed texts."""
    corpus = [text for part in corpora().values() for text in part]
    with as_a_reader():
        ours = BPETokenizer.train(corpus, 2000, special_tokens=SPECIALS, progress=False)
    return ours, library_bpe(corpus, 2000, SPECIALS)


@pytest.fixture(scope="module")
def ours(both):
    return both[0]


# ---- pre-tokens and bytes


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("We'll pay 20  euros!", ["We", "'ll", " pay", " 20", " ", " euros", "!"]),
        ("don't it's I'd they're", ["don", "'t", " it", "'s", " I", "'d", " they", "'re"]),
        ("it'S", ["it", "'", "S"]),  # capitals are forgotten by the rule
        ("x  \n\ny  ", ["x", "  \n", "\n", "y", "  "]),
        ("a,b_c 1½!?", ["a", ",", "b", "_", "c", " 1½", "!?"]),
        ("привет мир2", ["привет", " мир", "2"]),
        ("e\u0301", ["e", "\u0301"]),  # an accent by itself is no letter
        ("", []),
    ],
)
def test_pretokenize_hand_worked(text, pieces):
    assert pretokenize(text) == pieces


PATTERNS = [GPT2_PATTERN, WHOLE_TEXT, r"\p{L}+", r"x*", r"\p{N}{1,3}|\s+|\w+", r"(?i:'s)|\w+"]


@fast
@given(texts, st.sampled_from(PATTERNS))
def test_pretokens_joined_are_the_text(text, pattern):
    pieces = pretokenize(text, pattern)
    assert "".join(pieces) == text
    assert all(pieces)


def kind_of(pieces):
    """Letter, number, space or other: which neighbours a character stayed together with."""
    return {
        (2, 1, 1, 1): "letter",
        (1, 3, 1): "number",
        (1, 1, 1, 2): "other",
        (1, 1, 1, 1, 1): "space",
        (1, 2, 2): "blank",
    }[tuple(map(len, pieces))]


# All planes that hold characters, and a sample of the others: unassigned and private use.
CODE_POINTS = [*range(0xD800), *range(0xE000, 0x40000), *range(0x40000, 0x110000, 101)]


@pytest.mark.slow
def test_every_character_is_of_the_library_s_kind():
    cut = pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    differ = []
    with as_a_reader():
        for code in CODE_POINTS:
            text = f"a{chr(code)}1{chr(code)}!"
            theirs = [text[start:end] for _, (start, end) in cut(text)]
            if theirs != (mine := pretokenize(text)):
                differ.append((code, kind_of(theirs), kind_of(mine)))
    # One of the two has a newer Unicode, in which some unassigned ones became letters or numbers.
    for code, theirs, mine in differ:
        assert {theirs, mine} in ({"other", "letter"}, {"other", "number"}), f"U+{code:04X}"
        assert unicodedata.category(chr(code)) == "Cn", f"U+{code:04X}"
    assert len(differ) < 20_000


def test_byte_symbols_are_the_library_s_and_printable():
    assert set(BYTE_SYMBOLS) == set(pre_tokenizers.ByteLevel.alphabet())
    assert all(symbol.isprintable() and not symbol.isspace() for symbol in BYTE_SYMBOLS)
    assert BYTE_SYMBOLS[ord("a")] == "a" and BYTE_SYMBOLS[ord(" ")] == "Ġ"
    assert sorted(BYTE_TOKENS) == [bytes([byte]) for byte in range(256)]


@fast
@given(st.binary(max_size=20))
def test_symbols_there_and_back(token):
    assert from_symbols(to_symbols(token)) == token


def test_symbols_that_stand_for_no_byte_are_an_error():
    with pytest.raises(ValueError, match=r"'a b' has the character ' '"):
        from_symbols("a b")


# ---- ids


def assert_same_ids(both, text):
    """With the special tokens of the text allowed, and taken as ordinary text."""
    ours, library = both
    for allowed in ("all", ()):
        library.encode_special_tokens = not allowed
        with as_a_reader():
            assert ours.encode(text, allowed_special=allowed) == library.encode(text).ids


@pytest.mark.slow
def test_ids_of_a_million_characters_equal_the_library_s(both):
    text = mixed_text()
    assert len(text) == 1_000_000
    assert_same_ids(both, text)
    assert both[0].decode(both[0].encode(text)) == text


def test_ids_of_a_long_mixed_text_equal_the_library_s(both):
    assert_same_ids(both, mixed_text()[:50_000])


@pytest.mark.parametrize("number", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_ids_of_random_texts_equal_the_library_s(both, number):
    rng = random.Random(1)
    for _ in range(number):
        assert_same_ids(both, random_text(rng))


@fast
@given(texts)
def test_ids_of_any_text_equal_the_library_s_and_come_back(both, text):
    assert_same_ids(both, text)
    for options in ({}, {"allowed_special": "all"}):
        assert both[0].decode(both[0].encode(text, **options)) == text


@pytest.mark.slow
@settings(parent=fast, max_examples=1500)
@given(texts)
def test_ids_of_more_hypothesis_texts_equal_the_library_s(both, text):
    assert_same_ids(both, text)


@pytest.mark.parametrize(
    ("merges", "word", "pieces"),
    [
        (["a b", "b c", "ab c"], "abc", ["abc"]),
        (["b c", "a b"], "abc", ["a", "bc"]),  # what was learned first goes first
        (["a a"], "aaaaa", ["aa", "aa", "a"]),
        (["a a", "aa a"], "aaaaa", ["aa", "aaa"]),
        (["a a", "aa aa"], "a" * 7, ["aaaa", "aa", "a"]),
        (["b c", "a bc", "a b"], "abcab", ["abc", "ab"]),
        ([], "abc", ["a", "b", "c"]),
    ],
)
def test_merges_are_applied_in_the_order_learned(merges, word, pieces):
    assert by_merges(merges).tokens(word) == [piece.encode() for piece in pieces]


def by_merges(merges):
    """A tokenizer of merges written with a space between."""
    pairs = [tuple(part.encode() for part in merge.split()) for merge in merges]
    tokens = [*BYTE_TOKENS, *(left + right for left, right in pairs)]
    return BPETokenizer(dict(enumerate(tokens)), pairs)


@fast
@given(st.text(alphabet="ab", max_size=30), st.permutations(range(6)))
def test_merges_equal_the_plain_algorithm_in_any_order(word, order):
    # (a, a), (a, b), (aa, b), (ab, a) ...: an order that no training gives, as files may have
    pairs = [(0, 0), (0, 1), (2, 1), (3, 0), (3, 3), (1, 0)]
    merges = {pair: (order[k], k + 2) for k, pair in enumerate(pairs)}
    ids = plain = ["ab".index(letter) for letter in word]
    while True:
        found = [(merges[pair][0], at) for at, pair in enumerate(pairwise(plain)) if pair in merges]
        if not found:
            break
        _, at = min(found)
        plain = [*plain[:at], merges[plain[at], plain[at + 1]][1], *plain[at + 2 :]]
    assert apply_merges(ids, merges) == plain


def test_a_long_piece_without_spaces_is_quick_and_equal(both):
    text = "abc" * 5_000 + " " * 5_000 + "日本語" * 1_000
    assert_same_ids(both, text)


def test_tokens_are_the_bytes_of_the_ids(ours):
    text = "the function returns 😀"
    assert b"".join(ours.tokens(text)) == text.encode()
    assert ours.tokens(text) == [ours.vocab[k] for k in ours.encode(text)]
    assert ours.tokens("<pad>", allowed_special="all") == [b"<pad>"]


def test_remembered_pieces_are_bounded_and_not_handed_out(monkeypatch, ours):
    tokenizer = pickle.loads(pickle.dumps(ours))
    monkeypatch.setattr(bpe_module, "CACHED_PIECES", 5)
    tokenizer._cache.clear()
    ids = tokenizer.encode("one two three four five six seven")
    assert len(tokenizer._cache) == 5
    ids.append(-1)
    tokenizer.encode("one").append(-1)
    assert tokenizer.encode("one two three four five six seven") == ids[:-1]
    tokenizer._cache.clear()
    tokenizer.encode("a" * 1000)
    assert not tokenizer._cache


# ---- text and back


@pytest.mark.parametrize("text", ["", "\x00", "\ufeff", "\U0010ffff", "\ufffd", "a\r\nb\u2028c"])
def test_round_trip_of_strange_texts(ours, text):
    assert ours.decode(ours.encode(text)) == text


@fast
@given(st.text(max_size=30))
def test_round_trip_of_every_text(ours, text):
    assert ours.decode(ours.encode(text)) == text


@pytest.mark.parametrize("text", ["\ud800", "good \udfff bad", "<pad>\udc00"])
def test_half_a_character_is_a_clear_error(ours, text):
    with pytest.raises(ValueError, match=r"U\+D[8CF][0F]{2}, half of a character"):
        ours.encode(text, allowed_special="all")


@fast
@given(st.lists(st.integers(0, 1999), max_size=30))
def test_decode_of_any_ids_equals_the_library_s(both, ids):
    ours, library = both
    assert ours.decode(ids) == library.decode(ids, skip_special_tokens=False)


@fast
@given(st.binary(max_size=30))
def test_decode_of_any_bytes_never_raises(both, content):
    ours, library = both
    ids = [ours._byte_ids[byte] for byte in content]
    assert ours.decode(ids) == library.decode(ids)
    assert ours.decode(ids) == content.decode("utf-8", "replace")


def test_half_a_character_decodes_to_a_mark_or_strictly_to_an_error(ours):
    ids = [ours._byte_ids[byte] for byte in "😀".encode()]
    assert ours.decode(ids) == "😀"
    assert ours.decode(ids[:2]) == "\ufffd" and ours.decode(ids[:2], errors="ignore") == ""
    with pytest.raises(ValueError, match="unexpected end of data"):
        ours.decode(ids[:2], errors="strict")


def test_encode_of_decode_is_the_ids_that_encode_makes(ours):
    ids = ours.encode("the value")
    by_bytes = [ours._byte_ids[byte] for byte in b"the value"]
    assert ours.encode(ours.decode(ids)) == ids
    assert ours.encode(ours.decode(by_bytes)) == ids != by_bytes


def test_decode_takes_tensors_and_arrays(ours):
    ids = ours.encode("the value")
    assert ours.decode(torch.tensor(ids)) == "the value"
    assert ours.decode(torch.tensor(ids).numpy()) == "the value"


@pytest.mark.parametrize("index", [-1, 2000])
def test_decode_of_an_id_outside_the_vocabulary_is_an_error(ours, index):
    with pytest.raises(ValueError, match=f"id {index} is outside the vocabulary of 2000"):
        ours.decode([5, index])


# ---- special tokens


def test_text_cannot_make_a_special_token_unless_allowed(ours):
    text = "a<|endoftext|>b<pad>"
    assert not set(ours.encode(text)) & {0, 1}
    assert ours.encode(text, allowed_special=["<pad>"]) == [
        *ours.encode("a<|endoftext|>b"),
        ours.special_tokens["<pad>"],
    ]
    ids = ours.encode(text, allowed_special="all")
    assert ids == [*ours.encode("a"), 0, *ours.encode("b"), 1]
    assert ours.decode(ids) == text


def test_longest_special_token_wins_and_signs_are_not_patterns():
    specials = ["<a>", "<a><b>", "[.*]"]
    tokenizer = BPETokenizer.train(["x"], 259, special_tokens=specials)
    ids = tokenizer.encode("<a><b><a>[.*]", allowed_special=specials)
    assert ids == [1, 0, 2]
    assert len(tokenizer.encode("[xx]", allowed_special="all")) == 4


@pytest.mark.parametrize(
    ("allowed", "message"),
    [(["<eos>"], "'<eos>' is no special token here"), ("<pad>", "one string: give a list")],
)
def test_allowed_special_is_checked(ours, allowed, message):
    with pytest.raises(ValueError, match=message):
        ours.encode("a", allowed_special=allowed)


# ---- dropout


def test_dropout_0_is_usual_and_1_gives_bytes(ours):
    text = "the function returns a value 😀"
    rng = random.Random(0)
    assert ours.encode(text, dropout=0.0, rng=rng) == ours.encode(text)
    assert ours.tokens(text, dropout=1.0, rng=rng) == [bytes([byte]) for byte in text.encode()]


def test_dropout_repeats_with_its_seed_and_spells_the_same_text(ours):
    text = "the function returns a value " * 5
    first, again, other = (
        ours.encode(text, dropout=0.3, rng=random.Random(seed)) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert ours.decode(first) == ours.decode(other) == text
    assert len(first) > len(ours.encode(text))
    assert ours.encode(text) == ours.encode(text)  # nothing dropped is remembered


def test_dropout_leaves_out_each_merge_with_its_chance():
    # "abc" by a+b, then ab+c: stays a b c with p, becomes ab c with (1 - p) p.
    tokenizer, rng, p = by_merges(["a b", "ab c"]), random.Random(0), 0.3
    counts = {1: 0, 2: 0, 3: 0}
    with as_a_reader():
        for _ in range(5000):
            counts[len(tokenizer.encode("abc", dropout=p, rng=rng))] += 1
    for length, chance in {3: p, 2: (1 - p) * p, 1: (1 - p) ** 2}.items():
        assert counts[length] / 5000 == pytest.approx(chance, abs=0.025)


def test_dropout_gives_a_merge_another_chance_at_the_next_step():
    # In "ab.cd" a+b comes first. It is dropped with p = 1/2, then c+d goes, then a+b may go still:
    # both 1/2 * 1/2 + 1/2 * 1/2 * 1/2 = 3/8, not 1/4.
    tokenizer, rng = by_merges(["a b", "c d"]), random.Random(0)
    tokenizer.pattern = WHOLE_TEXT
    with as_a_reader():
        tries = [len(tokenizer.encode("ab.cd", dropout=0.5, rng=rng)) for _ in range(5000)]
    both_merged = tries.count(3)
    assert both_merged / 5000 == pytest.approx(3 / 8, abs=0.025)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dropout": -0.1, "rng": random.Random(0)}, "from 0 to 1"),
        ({"dropout": 1.1, "rng": random.Random(0)}, "from 0 to 1"),
        ({"dropout": float("nan"), "rng": random.Random(0)}, "from 0 to 1"),
        ({"dropout": 0.1}, "needs rng"),
    ],
)
def test_dropout_is_checked(ours, options, message):
    with pytest.raises(ValueError, match=message):
        ours.encode("a", **options)


# ---- parts that do not fit together

BYTES = dict(enumerate(BYTE_TOKENS))


@pytest.mark.parametrize(
    ("vocab", "options", "message"),
    [
        ({0: b"a"}, {}, "lacks 255 of the 256 bytes"),
        (BYTES | {256: b"a"}, {}, "b'a' has two ids"),
        (BYTES | {-1: b"ab"}, {}, "id -1 of the token b'ab'"),
        (BYTES | {"256": b"ab"}, {}, "id '256' of the token b'ab'"),
        (BYTES, {"merges": [(b"a", b"b")]}, "merge 0 joins b'a' and b'b', but b'ab' is no token"),
        (BYTES, {"merges": [(b"ab", b"b")]}, "but b'abb' is no token"),
        (BYTES, {"special_tokens": {"<a>": 0}}, "id is taken"),
        (BYTES, {"special_tokens": {"<a>": 256, "<b>": 256}}, "id is taken"),
        (BYTES, {"special_tokens": {"": 256}}, "empty"),
        (BYTES, {"special_tokens": {"Ġ": 256}}, "ordinary token, too"),
        (BYTES, {"special_tokens": {"<\ud800>": 256}}, "half of a character"),
    ],
)
def test_parts_that_do_not_fit_are_an_error(vocab, options, message):
    with pytest.raises(ValueError, match=message):
        BPETokenizer(vocab, **{"merges": []} | options)


def test_ids_need_not_be_without_gaps():
    vocab = {3 * index: token for index, token in BYTES.items()} | {1000: b"ab"}
    tokenizer = BPETokenizer(vocab, [(b"a", b"b")], special_tokens={"<end>": 5000})
    assert tokenizer.encode("ab<end>", allowed_special="all") == [1000, 5000]
    assert tokenizer.decode([1000, 5000]) == "ab<end>" and len(tokenizer) == 258


def test_smaller_is_the_training_that_stopped_earlier():
    texts = corpora()["phrases"]
    options = {"special_tokens": ["<end>", "<pad>"], "progress": False}
    large = BPETokenizer.train(texts, 600, **options)
    for size in (258, 259, 400, 600):
        small, early = large.smaller(size), BPETokenizer.train(texts, size, **options)
        assert (small.merges, small.vocab) == (early.merges, early.vocab)
        assert small.special_tokens == early.special_tokens
        assert small.encode("the end<end>", allowed_special="all") == early.encode(
            "the end<end>", allowed_special="all"
        )


@pytest.mark.parametrize("size", [0, 257, 601])
def test_smaller_outside_the_vocabulary_is_an_error(size):
    texts = corpora()["phrases"]
    large = BPETokenizer.train(texts, 600, special_tokens=["<a>", "<b>"], progress=False)
    with pytest.raises(ValueError, match=f"from 258 to 600 here, got {size}"):
        large.smaller(size)
