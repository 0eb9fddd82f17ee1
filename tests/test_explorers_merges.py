"""Texts cut into pieces, the merges that cut them, and the picture of lesson 3."""

import importlib.util
import re
from itertools import pairwise

import pytest
from conftest import ROOT

from course_utils.explorers.merges import (
    MOST_DISTINCT,
    MOST_WORDS,
    merge_stepper,
    merge_table,
    tokenizer_explorer,
)
from course_utils.explorers.pieces import (
    INK,
    PAPER,
    box,
    plain,
    segments_picture,
    tint,
    visible,
)
from course_utils.tokenizers.naive import TOY_CORPUS, merge_steps, segment, split_symbols

STEPS = merge_steps(TOY_CORPUS, 20)
MIXED = "I like 東京 and Москва 😀"


class Whole:
    """A tokenizer that cuts at spaces."""

    def tokens(self, text):
        if "\ud83d" in text:
            raise ValueError("half a character <")
        return re.findall(r" ?\S+", text)


class Bytes:
    """A tokenizer that gives pairs of bytes."""

    def tokens(self, text):
        data = text.encode()
        return [data[k : k + 2] for k in range(0, len(data), 2)]


def boxes_of(html):
    """The text of each box, as a reader sees it without colours, new pieces in stars."""
    found = re.findall(r"<code[^>]*>(.*?)</code>", html)
    return [piece.replace("<b>", "*").replace("</b>", "*") for piece in found]


def shades_of(html):
    return re.findall(r"<code[^>]*background-color:(#\w+)", html)


def without_looks(html):
    """What GitHub leaves, as text: no styles, and tags are not shown."""
    return re.sub(r"<[^>]*>", "", html)


def contrast(one, other):
    """Ratio of two colours' luminance, as WCAG 2 defines it."""

    def luminance(shade):
        parts = [int(shade[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(
    ("piece", "shown"),
    [
        (" the", "␣the"),
        (b" the", "␣the"),
        ("東京", "東京"),
        ("Москва".encode(), "Москва"),
        ("п".encode()[:1], "<D0>"),
        ("п".encode()[1:], "<BF>"),
        ("п".encode() + "п".encode()[:1], "п<D0>"),
        ("😀".encode()[:3], "<F0><9F><98>"),
        (b"\xff\x00", "<FF><U+0000>"),
        ("\ud83d", "<U+D83D>"),
        ("\udc90", "<U+DC90>"),  # a half character of a text, not a byte
        ("\ud83d".encode("utf-8", "surrogatepass"), "<ED><A0><BD>"),
        ("a\n\t", "a↵⇥"),
        ("\u200d\ufe0f\u3000\xa0", "<U+200D><U+FE0F><U+3000><U+00A0>"),
        ("\u0301x", "◌\u0301x"),
        ("e\u0301", "e\u0301"),
        ("##ly", "##ly"),
        ("", ""),
    ],
)
def test_visible_shows_what_cannot_be_seen(piece, shown):
    assert visible(piece) == shown


def test_segments_picture_text_has_bars_and_counts():
    rows = {"words": Whole().tokens("the cats"), "letters": "cat", "bytes": "п".encode()}
    text = repr(segments_picture(rows, title="cuts", unit="tokens"))
    assert text.splitlines() == [
        "cuts",
        "words    2 tokens: the | ␣cats",
        "letters  3 tokens: c | a | t",
        "bytes    2 tokens: <D0> | <BF>",
    ]


def test_segments_picture_html_has_the_same_pieces_and_needs_no_colours():
    rows = {"words": Whole().tokens(MIXED), "bytes": Bytes().tokens(MIXED)}
    picture = segments_picture(rows)
    html = picture._repr_html_()
    expected = [visible(piece) for pieces in rows.values() for piece in pieces]
    unescaped = [b.replace("&lt;", "<").replace("&gt;", ">") for b in boxes_of(html)]
    assert unescaped == expected
    assert "I | ␣like | ␣東京 | ␣and | ␣Москва | ␣😀" in without_looks(html)
    assert "I | ␣like | ␣東京 | ␣and | ␣Москва | ␣😀" in repr(picture)
    assert html.encode().decode() == html, "what a notebook stores has no half characters"


def test_segments_picture_escapes_what_it_shows():
    row = {"<i>": ["<script>", b"&"]}
    html = segments_picture(row, title="<u>", unit="<s>")._repr_html_()
    assert not re.search(r"<(script|i|u|s)>", html)
    assert boxes_of(html) == ["&lt;script&gt;", "&amp;"]


def test_segments_picture_neighbours_differ_in_colour_and_stand_apart():
    html = segments_picture({"row": ["same"] * 50})._repr_html_()
    shades = shades_of(html)
    assert len(shades) == 50
    assert all(one != other for one, other in pairwise(shades))
    assert html.count("margin:2px") == html.count("border:1px solid") == 50


def test_colours_of_boxes_have_contrast():
    shades = [tint(k) for k in range(6)]
    assert len({*shades, *PAPER}) == 8
    assert min(contrast(INK, shade) for shade in [*shades, *PAPER]) >= 4.5
    assert contrast("#FFFFFF", "#000000") == pytest.approx(21)
    assert f"color:{INK}" in box("a", tint(0)), "the page's own colour may be white"


def test_segments_picture_long_text_rows_wrap_between_pieces():
    pieces = ["un", "friend-", "ly"] * 40
    lines = repr(segments_picture({"word": pieces, "b": []})).splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) > 8
    assert lines[-1] == "b     0 pieces:"
    joined = " ".join(line.strip() for line in lines[:-1])
    assert joined == "word  120 pieces: " + plain(pieces)
    long = "x" * 300
    assert long in repr(segments_picture({"word": ["a", long]})), "a piece is never cut"


def test_segments_picture_without_rows_is_an_error():
    with pytest.raises(ValueError, match="at least one row"):
        segments_picture({})


def test_segments_picture_of_ids_is_an_error():
    with pytest.raises(TypeError, match=r"pieces of 'gpt' are str or bytes, got 17.*tokens"):
        segments_picture({"gpt": [17, 4]})


def test_merge_table_text_shows_each_step():
    lines = repr(merge_table(STEPS, TOY_CORPUS, title="toy")).splitlines()
    assert lines[0] == "toy"
    assert re.split(r"  +", lines[1])[:5] == ["merge", "pair", "times", "ties", "cat ×4"]
    assert len(lines) == 3 + len(STEPS)
    cells = [re.split(r"  +", line) for line in lines[2:]]
    assert cells[0][:4] == ["0", "letters", "c | a | t", "m | a | t"]
    assert cells[4][:5] == ["4", "at+e", "3", "mat+e", "cat"]
    for number, (step, row) in enumerate(zip(STEPS, cells[1:], strict=True), start=1):
        assert row[0] == str(number)
        assert row[2] == str(step.count)
        assert row[-6:] == [plain(step.words[word]) for word in TOY_CORPUS]


def test_merge_table_html_shows_each_step_and_marks_what_is_new():
    html = merge_table(STEPS[:2], {"mats": 2, "cat": 4})._repr_html_()
    rows = [boxes_of(row) for row in html.split("<tr>")[2:]]
    assert rows == [
        ["m", "a", "t", "s", "c", "a", "t"],
        ["a+t", "m", "*at*", "s", "c", "*at*"],
        ["m+at", "*mat*", "s", "c", "at"],
    ]
    assert "ties" not in html, "there is no tie in these two steps"
    assert "m | at | s" in without_looks(html)


def test_merge_table_piece_has_the_colour_of_its_merge_everywhere():
    html = merge_table(STEPS, TOY_CORPUS)._repr_html_()
    names = [text.strip("*").replace("+", "") for text in boxes_of(html)]
    colours = {}
    for name, shade in zip(names, shades_of(html), strict=True):
        colours.setdefault(name, set()).add(shade)
    letters = {name for name in colours if len(name) == 1}
    assert set().union(*(colours[name] for name in letters)) == set(PAPER)
    merged = {name: shades for name, shades in colours.items() if name not in letters}
    assert merged == {"".join(step.pair): {tint(k)} for k, step in enumerate(STEPS)}


def test_merge_table_of_bytes():
    counts = {"пп".encode(): 2}
    text = repr(merge_table(merge_steps(counts, 1), counts))
    assert "<D0>+<BF>" in text
    assert "пп ×2" in text


def test_merge_table_and_stepper_do_not_list_ties_without_end():
    counts = {"ab": 1, "cd": 1, "ef": 1, "gh": 1, "ij": 1, "kl": 1}
    steps = merge_steps(counts, 1)
    assert len(steps[0].ties) == 6
    said = "c+d, e+f, g+h and 2 more"
    assert said in repr(merge_table(steps, counts))
    _, slider, picture = merge_stepper(counts).children
    slider.value = 1
    assert f"Just as frequent: {said}." in picture.value


def test_merge_table_with_too_many_words_is_an_error():
    counts = {f"w{k}": 1 for k in range(MOST_WORDS + 1)}
    with pytest.raises(ValueError, match="room for 12 words, got 13"):
        merge_table(merge_steps(counts, 1), counts)


def test_merge_table_of_a_foreign_word_is_an_error():
    with pytest.raises(ValueError, match="without the word 'dog'"):
        merge_table(STEPS, {"cat": 4, "dog": 1})


def test_merge_stepper_slider_changes_the_pieces():
    _, slider, picture = merge_stepper(TOY_CORPUS).children
    assert (slider.value, slider.max) == (0, len(STEPS))
    assert boxes_of(picture.value) == [x for word in TOY_CORPUS for x in word]
    assert "single letters" in picture.value
    seen = [picture.value]
    for number, step in enumerate(STEPS, start=1):
        slider.value = number
        assert picture.value not in seen
        seen.append(picture.value)
        new = "".join(step.pair)
        words = [piece for word in TOY_CORPUS for piece in step.words[word]]
        learned = ["+".join(earlier.pair) for earlier in STEPS[:number]]
        expected = [f"*{piece}*" if piece == new else piece for piece in words] + learned
        assert boxes_of(picture.value) == expected
        assert f"Merge {number} of 7: {'+'.join(step.pair)}, {step.count} times." in picture.value
        assert ("Just as frequent" in picture.value) == (len(step.ties) > 1)


def test_merge_stepper_counts_the_pieces_and_says_ties():
    _, slider, picture = merge_stepper(TOY_CORPUS).children
    slider.value = 4
    assert "Just as frequent: mat+e." in picture.value
    assert "6 letters + 4 merges = 10 pieces" in picture.value
    length = sum(len(STEPS[3].words[word]) * count for word, count in TOY_CORPUS.items())
    letters = sum(len(word) * count for word, count in TOY_CORPUS.items())
    assert f"The text: {length} pieces ({letters} letters)" in picture.value


def test_merge_stepper_takes_a_typed_text_with_counts():
    field, slider, picture = merge_stepper("low:5 low lower").children
    assert "×6" in picture.value and "×1" in picture.value
    slider.value = slider.max
    field.value = "Москва Москва:2"
    assert slider.max == 5, "six letters, one word"
    slider.value = 5
    assert boxes_of(picture.value)[0] == "*Москва*"
    assert "×3" in picture.value
    field.value = "ab"
    assert (slider.max, slider.value) == (1, 1)
    assert boxes_of(picture.value)[0] == "*ab*"


def test_merge_stepper_says_what_is_wrong_and_goes_on():
    field, slider, picture = merge_stepper("cat:2 mat").children
    field.value = "   "
    assert "no words" in picture.value
    assert boxes_of(picture.value) == []
    field.value = "cat:0"
    assert "once or more, got 0 for &#x27;cat&#x27;" in picture.value
    field.value = " ".join(f"w{k}" for k in range(MOST_DISTINCT + 1))
    assert "takes 1000 different words, got 1001" in picture.value
    field.value = "ate ate"
    slider.value = 1
    assert boxes_of(picture.value)[:2] == ["*at*", "e"]


@pytest.mark.parametrize(("words", "merges"), [("", 5), ({}, 5), ("cat", -1)])
def test_merge_stepper_wrong_start_is_an_error(words, merges):
    with pytest.raises(ValueError, match=r"no words|0 or more"):
        merge_stepper(words, num_merges=merges)


def test_merge_stepper_num_merges_is_the_most():
    assert merge_stepper(TOY_CORPUS, num_merges=3).children[1].max == 3


def test_tokenizer_explorer_typed_text_changes_the_pieces():
    field, picture = tokenizer_explorer({"words": Whole(), "bytes": Bytes()}, "a b").children
    assert boxes_of(picture.value) == ["a", "␣b", "a␣", "b"]
    field.value = "Я сплю"
    assert boxes_of(picture.value)[:2] == ["Я", "␣сплю"]
    for name, tokenizer in (("words", Whole()), ("bytes", Bytes())):
        count = len(tokenizer.tokens("Я сплю"))
        assert re.search(rf">{name}</th><td[^>]*>{count}</td>", picture.value)


def test_tokenizer_explorer_says_what_is_wrong_and_goes_on():
    field, picture = tokenizer_explorer({"words": Whole()}, "a b").children
    field.value = "\ud83d"
    assert picture.value == "half a character &lt;"
    field.value = "c"
    assert boxes_of(picture.value) == ["c"]


def test_tokenizer_explorer_wrong_tokenizers_are_an_error():
    with pytest.raises(TypeError, match=r"'x' needs a method `tokens\(text\)`.*got dict"):
        tokenizer_explorer({"x": {}}, "a")
    with pytest.raises(ValueError, match="at least one row"):
        tokenizer_explorer({}, "a")


# The lesson's title picture.


@pytest.fixture(scope="module")
def draw():
    spec = importlib.util.spec_from_file_location("draw_bpe", ROOT / "img" / "03_bpe" / "draw.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts_of(svg):
    """What matplotlib wrote, in order: it keeps each text as a comment."""
    return re.findall(r"<!-- (.*?) -->", svg.read_text(encoding="utf-8"))


def test_title_picture_is_what_its_source_draws(draw, tmp_path):
    import matplotlib.pyplot as plt

    for number in range(2):
        (tmp_path / str(number)).mkdir()
        draw.save(tmp_path / str(number))
    plt.close("all")
    drawn = [tmp_path / str(number) / "pieces.svg" for number in range(2)]
    assert drawn[0].read_bytes() == drawn[1].read_bytes()
    stored = texts_of(ROOT / "img" / "03_bpe" / "pieces.svg")
    assert texts_of(drawn[0]) == stored, "run python img/03_bpe/draw.py"
    assert "mates" in stored and stored.count("&lt;unk&gt;") == len(draw.NEW)


def test_title_picture_tree_is_the_one_of_the_merges(draw):
    for word in [*draw.GROWN, *draw.NEW, "atat", "matmate"]:
        tops = draw.grow(word, STEPS)
        assert [top[2] for top in tops] == [*segment(word, [step.pair for step in STEPS])]
        leaves, queue = [], [*tops]
        while queue:
            _, height, text, number, below = node = queue.pop(0)
            queue = [*below, *queue]
            if not below:
                leaves.append(node)
                continue
            assert (below[0][2], below[1][2]) == STEPS[number - 1].pair
            assert text == below[0][2] + below[1][2]
            assert height > max(child[1] for child in below)
        assert tuple(leaf[2] for leaf in leaves) == split_symbols(word)


def test_title_picture_shows_only_new_words_as_new(draw):
    assert not set(draw.NEW) & set(TOY_CORPUS)
    assert set(draw.GROWN) <= set(TOY_CORPUS)
    assert set("".join(draw.NEW)) <= set("".join(TOY_CORPUS)), "their letters are known"
