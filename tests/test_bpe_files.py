"""Files of byte-level BPE: the library opens ours, we the library's, wrong ones are refused."""

import copy
import json
import random

import pytest
from bpe_library import SPECIALS, corpora, library_bpe, mixed_text, random_text
from helpers import as_a_reader
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from course_utils.tokenizers import WHOLE_TEXT, BPETokenizer, bpe_files

TEXTS = [*corpora()["phrases"], "日本語 😀 " * 5, "## " * 300]
# One digit at a time, and capitals of endings: a pattern as of later models.
LATER = r"(?i:'s|'t|'re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+"


@pytest.fixture(scope="module")
def ours():
    return BPETokenizer.train(TEXTS, 600, special_tokens=SPECIALS, progress=False)


@pytest.fixture(scope="module")
def library():
    return library_bpe(TEXTS, 600, SPECIALS)


@pytest.fixture
def saved(ours, tmp_path):
    ours.save(tmp_path / "tokenizer.json")
    return tmp_path / "tokenizer.json"


def some_texts():
    rng = random.Random(2)
    return [mixed_text()[:10_000], *(random_text(rng) for _ in range(100))]


def same(left, right):
    names = ("vocab", "merges", "special_tokens", "pattern")
    return all(getattr(left, name) == getattr(right, name) for name in names)


def test_save_and_load_give_the_same_tokenizer(ours, saved):
    loaded = BPETokenizer.load(saved)
    assert same(loaded, ours) and list(loaded.vocab) == list(ours.vocab)
    for text in some_texts():
        assert loaded.encode(text) == ours.encode(text)


def test_the_library_opens_ours(ours, library, saved):
    opened = Tokenizer.from_file(str(saved))
    theirs = json.loads(library.to_str())
    mine = json.loads(opened.to_str())
    assert {key: mine[key] for key in theirs if key != "decoder"} == {
        key: theirs[key] for key in theirs if key != "decoder"
    }
    for text in some_texts():
        ids = ours.encode(text, allowed_special="all")
        assert opened.encode(text).ids == ids
        assert opened.decode(ids, skip_special_tokens=False) == text


def test_transformers_opens_ours(ours, saved):
    from transformers import PreTrainedTokenizerFast

    opened = PreTrainedTokenizerFast(tokenizer_file=str(saved), eos_token=SPECIALS[0])
    assert len(opened) == len(ours) and opened.eos_token_id == 0
    for text in some_texts():
        assert opened(text)["input_ids"] == ours.encode(text, allowed_special="all")


@pytest.mark.parametrize("pattern", [LATER, WHOLE_TEXT, r"\p{L}+"])
def test_another_pattern_travels_with_the_file(pattern, tmp_path):
    ours = BPETokenizer.train(TEXTS, 400, special_tokens=SPECIALS, pattern=pattern, progress=False)
    ours.save(tmp_path / "t.json")
    assert same(BPETokenizer.load(tmp_path / "t.json"), ours)
    opened = Tokenizer.from_file(str(tmp_path / "t.json"))
    for text in some_texts():
        assert opened.encode(text).ids == ours.encode(text, allowed_special="all")


def test_load_of_the_library_s_file(ours, library, tmp_path):
    library.save(str(tmp_path / "t.json"))
    assert same(BPETokenizer.load(tmp_path / "t.json"), ours)


def test_load_of_a_file_with_tokens_added_later(library, tmp_path):
    later = Tokenizer.from_str(library.to_str())
    later.add_special_tokens(["<|user|>", "<|user|>!"])
    later.post_processor = processors.ByteLevel(trim_offsets=False)
    later.save(str(tmp_path / "t.json"))
    loaded = BPETokenizer.load(tmp_path / "t.json")
    assert loaded.special_tokens["<|user|>"] == 600 and len(loaded) == 602
    text = "the <|user|>!<|user|><pad> dog"
    assert loaded.encode(text, allowed_special="all") == later.encode(text).ids


def test_load_of_a_file_without_pretokens(tmp_path):
    library = library_bpe(TEXTS, 300)
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.save(str(tmp_path / "t.json"))
    loaded = BPETokenizer.load(tmp_path / "t.json")
    assert loaded.pattern == WHOLE_TEXT
    assert all(loaded.encode(text) == library.encode(text).ids for text in some_texts())


def test_load_of_merges_in_the_older_form(ours, saved):
    content = json.loads(saved.read_text("utf-8"))
    content["model"]["merges"] = [" ".join(merge) for merge in content["model"]["merges"]]
    content["model"] |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
    saved.write_text(json.dumps(content), encoding="utf-8")
    assert same(BPETokenizer.load(saved), ours)


# ---- GPT-2's two files


@pytest.fixture
def gpt2_files(tmp_path):
    """As GPT-2 has them: bytes, merges, and the end of the text last."""
    library = library_bpe(TEXTS, 600)
    library.model.save(str(tmp_path))
    path = tmp_path / "vocab.json"
    vocab = json.loads(path.read_text("utf-8")) | {"<|endoftext|>": 600}
    path.write_text(json.dumps(vocab), encoding="utf-8")
    return path, tmp_path / "merges.txt"


def test_gpt2_files_equal_transformers(gpt2_files):
    from transformers import GPT2Tokenizer

    ours = BPETokenizer.from_gpt2_files(*gpt2_files)
    theirs = GPT2Tokenizer.from_pretrained(gpt2_files[0].parent)
    assert ours.special_tokens == {"<|endoftext|>": 600} and len(ours) == len(theirs) == 601
    assert gpt2_files[1].read_text("utf-8").startswith("#version")
    for text in [*some_texts(), "## # #version: 0.2"]:
        ids = ours.encode(text, allowed_special="all")
        assert theirs(text)["input_ids"] == ids
        assert theirs.decode(ids, clean_up_tokenization_spaces=False) == ours.decode(ids)


def test_gpt2_files_without_or_with_other_special_tokens(gpt2_files):
    vocab, merges = gpt2_files
    with pytest.raises(ValueError, match=r"vocab\.json with .*no '<s>': choose other"):
        BPETokenizer.from_gpt2_files(vocab, merges, special_tokens=["<s>"])
    with pytest.raises(ValueError, match="stands for no byte"):
        vocab.write_text(json.dumps({"a b": 0}))
        BPETokenizer.from_gpt2_files(vocab, merges, special_tokens=[])


@pytest.mark.parametrize("line", ["onepart", "a b c", "日 本", "zzz zzz"])
def test_gpt2_files_with_a_wrong_merge(gpt2_files, line):
    gpt2_files[1].write_text(f"#version: 0.2\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"merges\.txt is not a GPT-2 vocabulary"):
        BPETokenizer.from_gpt2_files(*gpt2_files)


def test_gpt2_files_cut_in_the_middle(gpt2_files):
    vocab, merges = gpt2_files
    content = merges.read_bytes()
    merges.write_bytes(content[: len(content) // 2].rstrip() + b" ")
    with pytest.raises(ValueError, match="GPT-2 vocabulary"):
        BPETokenizer.from_gpt2_files(vocab, merges)
    merges.write_bytes(content)
    vocab.write_bytes(vocab.read_bytes()[:-100])
    with pytest.raises(ValueError, match="GPT-2 vocabulary"):
        BPETokenizer.from_gpt2_files(vocab, merges)


# ---- broken, cut, foreign


def changed(content, *path, to):
    """A copy of nested lists and dictionaries with one value changed, or dropped with `...`."""
    content = copy.deepcopy(content)
    place = content
    for step in path[:-1]:
        place = place[step]
    if to is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return content


def refused(path, text):
    path.write_text(text, encoding="utf-8")
    with as_a_reader(), pytest.raises(ValueError) as caught:
        BPETokenizer.load(path)
    assert str(caught.value).startswith(f"{path} is not a byte-level BPE tokenizer.json")
    return str(caught.value)


FOREIGN = [
    ("type", (("model", "type"), "WordPiece"), "its model is WordPiece"),
    ("dropout", (("model", "dropout"), 0.1), "dropout=0.1"),
    ("ignore_merges", (("model", "ignore_merges"), True), "ignore_merges=True"),
    ("fallback", (("model", "byte_fallback"), True), "byte_fallback=True"),
    ("prefix", (("model", "continuing_subword_prefix"), "##"), "'##'"),
    ("suffix", (("model", "end_of_word_suffix"), "</w>"), "'</w>'"),
    ("normalizer", (("normalizer",), {"type": "NFC"}), "normalizer"),
    ("no cutting", (("pre_tokenizer",), None), "NoneType"),
    ("other cutting", (("pre_tokenizer",), {"type": "Whitespace"}), "Whitespace, not ByteLevel"),
    ("space", (("pre_tokenizer", "add_prefix_space"), True), "add_prefix_space"),
    ("flag", (("added_tokens", 0, "lstrip"), True), "has lstrip"),
    ("not special", (("added_tokens", 0, "special"), False), "not a special token"),
    ("byte gone", (("model", "vocab", "a"), ...), "lacks 1 of the 256 bytes"),
    ("same id", (("model", "vocab", "a"), 70), "same id"),
    ("id of text", (("model", "vocab", "a"), "70"), "id '70'"),
    ("strange token", (("model", "vocab", "日"), 9999), "stands for no byte"),
    ("merge of three", (("model", "merges", 0), ["a", "b", "c"]), "not two parts"),
    ("unknown merge", (("model", "merges", 0), ["zzz", "zzz"]), "is no token"),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in FOREIGN])
def test_load_refuses_what_would_give_other_ids(saved, change, message):
    path, value = change
    content = changed(json.loads(saved.read_text("utf-8")), *path, to=value)
    assert message in refused(saved, json.dumps(content))


def every_place(content, path=()):
    """Paths to all values, but to a few only of the long lists and dictionaries."""
    if isinstance(content, dict):
        steps = list(content)
    else:
        steps = range(len(content)) if isinstance(content, list) else ()
    for step in list(steps)[:11]:
        yield (*path, step)
        yield from every_place(content[step], (*path, step))


@pytest.mark.slow
def test_load_of_a_file_with_anything_wrong_is_a_clear_error_or_as_good(saved, ours):
    content = json.loads(saved.read_text("utf-8"))
    places = list(every_place(content))
    assert len(places) > 60
    for place in places:
        for value in (..., None, 3, "x", [[]], {"a": 1}):
            wrong = changed(content, *place, to=value)
            saved.write_text(json.dumps(wrong), encoding="utf-8")
            with as_a_reader():
                try:
                    loaded = BPETokenizer.load(saved)
                except ValueError as error:
                    assert str(error).startswith(f"{saved} is not a byte-level")
                else:
                    assert loaded.decode(loaded.encode("the dog 😀")) == "the dog 😀"


@pytest.mark.parametrize(
    "text",
    ["", "not json", "[1, 2]", "3", "null", "{}", '{"model": {}}', "[" * 100_000],
    ids=lambda text: text[:9] or "empty",
)
def test_load_of_something_else_is_a_clear_error(tmp_path, text):
    refused(tmp_path / "t.json", text)


def test_load_of_a_file_cut_anywhere_is_a_clear_error(saved):
    content = saved.read_bytes()
    for end in range(0, len(content) - 2, len(content) // 60):
        saved.write_bytes(content[:end])
        with as_a_reader(), pytest.raises(ValueError, match=r"is not a byte-level BPE"):
            BPETokenizer.load(saved)


def foreign_tokenizers():
    """Tokenizers of the library that are no byte-level BPE, or do more than that."""
    words = Tokenizer(models.WordLevel({"a": 0, "<unk>": 1}, unk_token="<unk>"))
    pieces = Tokenizer(models.WordPiece({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("a", -1.0)], unk_id=0))
    letters = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    letters.pre_tokenizer = pre_tokenizers.Whitespace()
    lower = library_bpe(TEXTS, 300)
    lower.normalizer = normalizers.Lowercase()
    removed = library_bpe(TEXTS, 300)
    cut = pre_tokenizers.Split(Regex(r"\s+"), "removed")
    twice = library_bpe(TEXTS, 300)
    twice.pre_tokenizer = pre_tokenizers.Sequence([cut, library_bpe(TEXTS, 300).pre_tokenizer])
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    removed.pre_tokenizer = pre_tokenizers.Sequence([cut, plain])
    spaced = library_bpe(TEXTS, 300)
    spaced.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return [words, pieces, unigram, letters, lower, removed, twice, spaced]


def test_load_of_foreign_tokenizers_is_a_clear_error(tmp_path):
    for foreign in foreign_tokenizers():
        refused(tmp_path / "t.json", foreign.to_str())


def test_load_of_a_missing_file_says_which(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        BPETokenizer.load(tmp_path / "nowhere.json")


def test_save_that_fails_leaves_the_old_file(ours, saved, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr(bpe_files.json, "dumps", lambda *_, **__: "{half \ud800")
    with pytest.raises(UnicodeEncodeError):
        ours.save(saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["tokenizer.json"]
