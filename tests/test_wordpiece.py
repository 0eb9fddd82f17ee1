"""WordPiece: hand-worked scores, the library's cuts and words, files."""

import json
import os
import unicodedata
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from course_utils.tokenizers.naive import TOY_CORPUS
from course_utils.tokenizers.wordpiece import (
    LONGEST_WORD,
    WORDPIECE_SPECIALS,
    WordPieceTokenizer,
    learn_pieces,
    split_words,
)

fast = settings(max_examples=60, deadline=None, database=None, derandomize=True)
CORPORA = st.dictionaries(st.text("abcd", min_size=1, max_size=9), st.integers(1, 5), min_size=1)
# The corpus of the Hugging Face course, chapter 6.
HUGS = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}
TEXTS = [
    "The cat sat on the mat; the cats' mats were flat!",
    "Маша читает книгу, а кот спит. Он спит?",
    "Größe, naïve façade — «quotes» and … dots\u00a0here",
    "x = f(a_1)**2 + $5.00 ~ `code` <tag> #1 @you 50% a^b|c\\d",
    "\ttabs\n\nlines\r\n  spaces\u3000wide\u2028line  ",
    "日本語のテキスト、です。😀👍🏽 e\u0301",
    "",
]


@pytest.fixture(scope="module")
def trained():
    return WordPieceTokenizer.train(TEXTS, 190, lower_case=True)


def library(tokenizer):
    """The library's model with the same vocabulary."""
    return models.WordPiece(tokenizer.ids, unk_token="[UNK]")


# Words.


def test_split_words_hand_worked():
    text = "  It's $5,\tor_6!? ΟΔΟΣ"
    wanted = ["it", "'", "s", "$", "5", ",", "or", "_", "6", "!", "?", "οδοσ"]
    assert split_words(text, lower_case=True) == wanted
    assert split_words(text)[0] == "It" and split_words(text)[-1] == "ΟΔΟΣ"


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:9])
def test_split_words_equals_the_library(text):
    words = [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)]
    assert split_words(text) == words
    lower = normalizers.Lowercase().normalize_str(text)
    assert split_words(text, lower_case=True) == split_words(lower)


def test_split_words_equals_the_library_for_each_character():
    # Python and the library know different versions of Unicode: those of the first are in both.
    old = unicodedata.ucd_3_2_0.category
    # Four control characters, and a mark that was once called punctuation.
    differ = {*"\x1c\x1d\x1e\x1f", "\u166d"}
    both = [c for c in map(chr, range(0x110000)) if old(c) not in ("Cn", "Cs") and c not in differ]
    splitter, lower = pre_tokenizers.BertPreTokenizer(), normalizers.Lowercase()
    assert len(both) > 90_000
    for k in range(0, len(both), 500):
        text = " ".join(f"a{c}B" for c in both[k : k + 500])
        assert split_words(text) == [word for word, _ in splitter.pre_tokenize_str(text)]
        small = split_words(lower.normalize_str(text))
        assert split_words(text, lower_case=True) == small


# Training.


def test_learn_pieces_by_the_score_hand_worked():
    # ##s: 5, ##g: 20, ##gs: 5; u stands in all 36 words, so hu has 15 / (15 * 36) = 1 / 36, as
    # bu and pu: b is first. Then b is gone; bu 4, ##n 16: 4 / (4 * 16).
    learned = learn_pieces(HUGS, 3)
    assert learned == [("##gs", 5 / (20 * 5)), ("bu", 1 / 36), ("bun", 4 / (4 * 16))]


def test_criteria_choose_differently():
    # at: 16 times inside "mat", "cat" ..., and t is never without an a; yet m has an a always, too.
    assert learn_pieces(TOY_CORPUS, 1, criterion="count") == [("##at", 16)]
    # c4 m10 a3 e2 begin words, ##a 16, ##t 19, ##e 6, ##s 2 continue them.
    scores = {"ca": 4 / (4 * 16), "ma": 10 / (10 * 16), "##at": 16 / (16 * 19), "at": 3 / (3 * 19)}
    scores |= {"##te": 6 / (19 * 6), "##ts": 2 / (19 * 2), "ea": 2 / (2 * 16)}
    assert max(scores.values()) == 1 / 16
    assert learn_pieces(TOY_CORPUS, 1) == [("ca", 1 / 16)]  # c is older than e and m
    # Two rare letters that are always together, against two frequent ones that often are.
    words = {"qx": 1, "th": 50, "ta": 30, "oh": 30}
    assert learn_pieces(words, 1) == [("qx", 1.0)]
    assert learn_pieces(words, 1, criterion="count") == [("th", 50)]
    assert learn_pieces(words, 1, min_count=2)[0] == ("oh", 30 / (30 * 80))  # as "ta"


def slow_pieces(word_counts, number, criterion, min_count):
    """The pieces, all counted again after each merge, with the marks in the symbols."""
    words = {word: [word[0], *("##" + c for c in word[1:])] for word in word_counts}
    order = sorted({s for w in words.values() for s in w}, key=lambda s: (s.startswith("##"), s))
    learned = []
    while len(learned) < number:
        single, pairs = Counter(), Counter()
        for word, symbols in words.items():
            for k, symbol in enumerate(symbols):
                single[symbol] += word_counts[word]
                if k:
                    pairs[symbols[k - 1], symbol] += word_counts[word]
        worth = {
            (a, b): n / (single[a] * single[b]) if criterion == "score" else n
            for (a, b), n in pairs.items()
            if n >= min_count
        }
        if not worth:
            break
        a, b = max(worth, key=lambda p: (worth[p], -order.index(p[0]), -order.index(p[1])))
        for symbols in words.values():
            k = 0
            while k < len(symbols) - 1:
                if symbols[k] == a and symbols[k + 1] == b:
                    symbols[k : k + 2] = [a + b[2:]]
                k += 1
        order.append(a + b[2:])
        learned.append((a + b[2:], worth[a, b]))
    return learned


@pytest.mark.parametrize("criterion", ["score", "count"])
@pytest.mark.parametrize("min_count", [1, 4])
@fast
@given(CORPORA)
def test_learn_pieces_equals_counting_all_again(criterion, min_count, word_counts):
    wanted = slow_pieces(word_counts, 30, criterion, min_count)
    assert learn_pieces(word_counts, 30, criterion=criterion, min_count=min_count) == wanted


def test_library_trains_by_count_not_by_score():
    # Without ties: the library's order of equal pairs differs from run to run.
    word_counts = {"hug": 50, "hugs": 31, "pug": 7, "pun": 17, "bun": 4}
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(vocab_size=16, show_progress=False)
    texts = (" ".join([word] * count) for word, count in word_counts.items())
    tokenizer.train_from_iterator(texts, trainer)
    by_id = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    by_count = learn_pieces(word_counts, 5, criterion="count")
    assert [piece for piece, _ in by_count] == by_id[-5:] == ["##ug", "hug", "hugs", "##un", "pun"]
    assert [piece for piece, _ in learn_pieces(word_counts, 5)] != by_id[-5:]


def test_train_orders_the_vocabulary():
    tokenizer = WordPieceTokenizer.train(["hug hug pug", "hugs"], 18)
    letters = sorted("hugps")
    wanted = [*WORDPIECE_SPECIALS, *letters, *("##" + c for c in letters)]
    assert list(tokenizer.vocab.values())[:15] == wanted and len(tokenizer) == 18
    learned = learn_pieces({"hug": 2, "pug": 1, "hugs": 1}, 3)
    assert list(tokenizer.vocab.values())[15:] == [piece for piece, _ in learned]
    assert tokenizer.special_tokens == dict(zip(WORDPIECE_SPECIALS, range(5), strict=True))


@pytest.mark.parametrize(
    "options", [{"criterion": "count"}, {"min_count": 6}, {"lower_case": True}]
)
def test_train_passes_its_options_on(options):
    texts = ["Hug hug hug pug pun PUN bun hugs"] * 3
    plain = WordPieceTokenizer.train(texts, 28)
    assert WordPieceTokenizer.train(texts, 28, **options).vocab != plain.vocab


@pytest.mark.parametrize(
    ("texts", "size", "options", "message"),
    [
        ([], 100, {}, "no word to learn from"),
        (["", " \n"], 100, {}, "no word to learn from"),
        (["ab ba"], 8, {}, "vocab_size 8 is too small.*2 characters.*take 9"),
        (["ab ba"], 12, {}, "the texts give 11 pieces, not 12"),
        (["ab ba ba"], 11, {"min_count": 2}, "the texts give 10 pieces, not 11"),
        (["ab ba"], 9, {"criterion": "pmi"}, "criterion is one of .*score.*count.*got 'pmi'"),
    ],
)
def test_train_with_wrong_arguments_is_an_error(texts, size, options, message):
    with pytest.raises(ValueError, match=message):
        WordPieceTokenizer.train(texts, size, **options)


# Cutting.


def test_segment_hand_worked():
    pieces = [*WORDPIECE_SPECIALS, "un", "##friend", "##ly", "##l", "f", "##f", "unf", "##r"]
    tokenizer = WordPieceTokenizer(pieces)
    assert tokenizer.segment("unly") == ["un", "##ly"]
    # The longest piece first, and no way back: un ##friend ##ly would have been possible.
    assert tokenizer.segment("unfriendly") == ["[UNK]"]
    assert tokenizer.segment("unfr") == ["unf", "##r"]
    assert tokenizer.segment("ly") == ["[UNK]"] and tokenizer.segment("") == []


@fast
@given(st.lists(st.text("abc", min_size=1, max_size=4), max_size=12), st.text("abcxé", max_size=20))
def test_segment_equals_the_library(pieces, word):
    pieces = dict.fromkeys([*WORDPIECE_SPECIALS, *pieces, *("##" + p[::-1] for p in pieces)])
    tokenizer = WordPieceTokenizer(pieces)
    assert tokenizer.segment(word) == [t.value for t in library(tokenizer).tokenize(word)]


@pytest.mark.parametrize("length", [1, LONGEST_WORD - 1, LONGEST_WORD, LONGEST_WORD + 1, 1000])
@pytest.mark.parametrize("letter", ["a", "й", "😀"])
def test_segment_of_long_words_equals_the_library(letter, length):
    tokenizer = WordPieceTokenizer([*WORDPIECE_SPECIALS, letter, "##" + letter])
    found = tokenizer.segment(letter * length)
    assert found == [t.value for t in library(tokenizer).tokenize(letter * length)]
    assert (found == ["[UNK]"]) == (length > 100)


def test_segment_of_known_characters_is_never_unknown(trained):
    letters = {p for p in trained.vocab.values() if len(p) == 1}
    assert {"##" + letter for letter in letters} <= set(trained.ids)
    assert "[UNK]" not in trained.segment("".join(sorted(letters)))


# There and back.


@pytest.mark.parametrize("text", [*TEXTS, "unknown Ж中 wörds " + "a" * 101])
def test_encode_and_decode_equal_the_library(trained, text, tmp_path):
    trained.save(tmp_path / "tokenizer.json")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    found = theirs.encode(text, add_special_tokens=False)
    ids = trained.encode(text)
    assert ids == found.ids and trained.tokens(text) == found.tokens
    assert trained.decode(ids) == theirs.decode(ids, skip_special_tokens=False)


def test_decode_gives_the_words_back(trained):
    text = TEXTS[0]
    assert trained.decode(trained.encode(text)) == " ".join(split_words(text, lower_case=True))


def test_decode_leaves_out_what_frames_a_text(trained):
    pad, unk, cls, sep, mask = range(5)
    the = trained.encode("the cats")
    assert trained.decode([cls, *the, unk, mask, sep, pad, pad]) == "the cats [UNK] [MASK]"
    assert trained.decode([]) == "" and trained.decode(the[-1:]) != ""


@pytest.mark.parametrize("index", [-1, 190])
def test_decode_of_an_id_outside_the_vocabulary_is_an_error(trained, index):
    with pytest.raises(ValueError, match=f"id {index} is outside the vocabulary of 190"):
        trained.decode([5, index])


@pytest.mark.parametrize("special", WORDPIECE_SPECIALS)
def test_text_names_a_special_token_only_where_it_may(trained, special):
    text = f"the {special}cat"
    assert special not in trained.tokens(text) or special == "[UNK]"
    the, cat = trained.encode("the"), trained.encode("cat")
    allowed = [*the, trained.special_tokens[special], *cat]
    assert trained.encode(text, allowed_special=[special]) == allowed
    assert trained.encode(text, allowed_special="all") == allowed
    others = [token for token in WORDPIECE_SPECIALS if token != special]
    assert trained.encode(text, allowed_special=others) == trained.encode(text)


def test_allowing_what_is_no_special_token_is_an_error(trained):
    with pytest.raises(ValueError, match=r"no special tokens: \['<mask>'\]; there are \['\[PAD\]'"):
        trained.encode("a", allowed_special=["[MASK]", "<mask>"])


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([*WORDPIECE_SPECIALS, "a", "b", "a"], r"twice: \['a'\]"),
        (["[PAD]", "[CLS]", "[SEP]", "a"], r"lacks the special tokens \['\[UNK\]', '\[MASK\]'\]"),
    ],
)
def test_wrong_vocabulary_is_an_error(pieces, message):
    with pytest.raises(ValueError, match=message):
        WordPieceTokenizer(pieces)


# Files.


@pytest.mark.parametrize("lower_case", [True, False])
def test_save_and_load_give_the_same_tokenizer(lower_case, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer = WordPieceTokenizer.train(TEXTS, 220, lower_case=lower_case)
    tokenizer.save(path)
    loaded = WordPieceTokenizer.load(path)
    assert loaded.vocab == tokenizer.vocab and loaded.lower_case is lower_case
    Tokenizer.from_file(str(path)).save(str(path))  # as the library writes it
    assert WordPieceTokenizer.load(path).vocab == tokenizer.vocab
    assert loaded.encode(TEXTS[0]) == tokenizer.encode(TEXTS[0])


def test_library_reads_special_tokens_from_text_as_when_all_are_allowed(trained, tmp_path):
    trained.save(tmp_path / "tokenizer.json")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    text = "[CLS]the [MASK] sat on[SEP] [mask] [PAD]x"
    assert trained.encode(text, allowed_special="all") == theirs.encode(text).ids


def broken(change):
    """The content of a saved tokenizer with a change in it."""
    content = WordPieceTokenizer([*WORDPIECE_SPECIALS, "a"])._content()
    change(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "JSON"),
        (b"[1]", "TypeError"),
        (b"{}", "model"),
        (b"\xff\xfe", "Unicode"),
        (broken(lambda c: None)[:-30], "JSON"),
        (broken(lambda c: c["model"].update(type="BPE")), "its model is not that"),
        (broken(lambda c: c["model"].update(max_input_chars_per_word=50)), "its model is not that"),
        (broken(lambda c: c["model"]["vocab"].update(a=7)), "its model is not that"),
        (broken(lambda c: c["model"]["vocab"].update(a="x")), "TypeError"),
        (broken(lambda c: c["model"]["vocab"].pop("[UNK]")), "lacks the special tokens"),
        (broken(lambda c: c["model"].update(vocab=["a"])), "AttributeError"),
        (broken(lambda c: c.update(normalizer={"type": "NFC"})), "its normalizer is not that"),
        (broken(lambda c: c.update(pre_tokenizer=None)), "its pre_tokenizer is not that"),
        (broken(lambda c: c.update(post_processor={})), "its post_processor is not that"),
        (broken(lambda c: c["added_tokens"].pop()), "its added_tokens is not that"),
    ],
)
def test_load_of_a_wrong_file_is_a_clear_error(content, message, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"tokenizer.json is no saved WordPiece.*{message}"):
        WordPieceTokenizer.load(path)


def test_save_that_fails_leaves_the_old_file(trained, tmp_path, monkeypatch):
    trained.save(tmp_path / "t.json")
    before = (tmp_path / "t.json").read_bytes()
    monkeypatch.setattr(json, "dumps", lambda *_, **__: "\ud800")  # cannot be encoded
    with pytest.raises(UnicodeEncodeError):
        WordPieceTokenizer(WORDPIECE_SPECIALS).save(tmp_path / "t.json")
    assert (tmp_path / "t.json").read_bytes() == before and os.listdir(tmp_path) == ["t.json"]
