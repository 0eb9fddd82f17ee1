"""The page of HTML that explores attention: its numbers, its safety, its use by keyboard."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy
import pytest
import torch
from browser import Visit, open_page
from conftest import load_tool

from course_utils.explorers import AttentionExample, attention_page
from course_utils.explorers.pages import SCALE

KEYS = ["the", "cat", "sat", "the"]
HOSTILE = ["</script><script>window.hit=1</script>", "<img src=http://192.0.2.1/x onerror=hit=1>"]
HOSTILE += ["@DATA@", "\"'`${1}\\n", "&lt;", "<!--", "𝕏👩\u200d🚀", "שלום", "مرحبا", "", "\u2028"]


def weights_of(layers=2, heads=3, queries=4, keys=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(layers, heads, queries, keys, generator=generator)).softmax(dim=-1)


def data_of(page):
    """What the page's script reads."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def one(weights, keys=KEYS, queries=None, **more):
    return attention_page([AttentionExample(weights, keys, queries, **more)])


# What the file holds.


@pytest.mark.parametrize("form", [torch.Tensor.clone, torch.Tensor.numpy, torch.Tensor.tolist])
def test_page_holds_each_weight_in_its_place(form):
    weights = weights_of(queries=2)
    (example,) = data_of(one(form(weights), queries=["a", "b"]))["examples"]
    found = numpy.array(example["weights"]) / SCALE
    assert found.shape == (2, 3, 2, 4)
    assert abs(found - weights.numpy()).max() <= 0.5 / SCALE + 1e-9
    assert (example["keys"], example["queries"]) == (KEYS, ["a", "b"])


def test_page_takes_weights_of_a_model_in_half_precision():
    weights = weights_of().bfloat16().requires_grad_()
    (example,) = data_of(one(weights))["examples"]
    wanted = weights.detach().float().numpy()
    assert abs(numpy.array(example["weights"]) / SCALE - wanted).max() < 1e-4


def test_page_queries_are_the_keys_when_only_these_are_given():
    (example,) = data_of(one(weights_of()))["examples"]
    assert example["queries"] == example["keys"] == KEYS


def test_page_keeps_the_order_and_the_names_of_the_examples():
    both = (
        AttentionExample(weights_of(), KEYS, name="<b>", caption="look"),
        AttentionExample(weights_of(1, 1, 1, 2), ["a", "b"], ["c"]),
    )
    first, second = data_of(attention_page(both, title="<T>"))["examples"]
    assert (first["name"], first["caption"]) == ("<b>", "look")
    assert (second["name"], second["keys"], second["queries"]) == ("example 1", ["a", "b"], ["c"])


def test_page_colours_are_those_of_the_heat_maps():
    from course_utils.plotting import heatmap

    colours = data_of(one(weights_of()))["colours"]
    image = heatmap(torch.tensor([[0.0, 1.0]]), columns="ab", rows="c").images[0]
    ends = [tuple(round(255 * part) for part in image.to_rgba(end)[:3]) for end in (0.0, 1.0)]
    assert [colours[0], colours[-1]] == ["#{:02x}{:02x}{:02x}".format(*end) for end in ends]


def test_page_shows_what_cannot_be_seen():
    (example,) = data_of(one(weights_of(keys=4), [" a", b"\xd0", "", "\n"], list("wxyz")))[
        "examples"
    ]
    assert example["keys"] == ["␣a", "<D0>", "∅", "↵"]


def test_page_data_and_title_are_never_html():
    count = len(HOSTILE)
    example = AttentionExample(weights_of(1, 1, count, count), HOSTILE, name=HOSTILE[0])
    page = attention_page([example], title=HOSTILE[1] + HOSTILE[2])
    plain = one(weights_of())
    for tag in ("<script", "</script", "<img", "<!--"):
        assert page.count(tag) == plain.count(tag), tag
    assert page.count('{"examples"') == 1, "no mark of the template in the title or a token counts"
    assert data_of(page)["examples"][0]["name"] == HOSTILE[0]


def test_page_names_no_other_place():
    page = one(weights_of())
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|src\s*=|@import|url\(", page)


def test_page_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "page.html"
    page = attention_page([AttentionExample(weights_of(), KEYS)], path=path)
    assert path.read_bytes() == page.encode()
    with pytest.raises(ValueError, match="at least one example"):
        attention_page([], path=path)
    assert path.read_bytes() == page.encode()
    with pytest.raises(IsADirectoryError, match="give a file in it"):
        attention_page([AttentionExample(weights_of(), KEYS)], path=tmp_path)


ROW = [0.5, 0.5]
WRONG = {
    "matrix": ([[0.5, 0.5]], ["a", "b"], r"got shape \(1, 2\); .* weights\[None, None\]"),
    "batch": (weights_of()[None], KEYS, r"got shape \(1, 2, 3, 4, 4\); of a batch take one"),
    "empty": (weights_of(heads=0), KEYS, r"none of them empty, got shape \(2, 0, 4, 4\)"),
    "tokens": (weights_of(), KEYS[1:], r"3 queries and 3 keys do not fit .*\(2, 3, 4, 4\)"),
    "nan": (weights_of() * float("nan"), KEYS, "not finite"),
    "negative": ([[[[1.5, -0.5], ROW]]], ["a", "b"], "negative: give them after the softmax"),
    "sum": ([[[ROW, ROW], [ROW, [0.5, 0.25]]]], ["a", "b"], "head 1, query 1 sum to 0.75, not"),
    "text": (weights_of(), "abcd", "tokens are a list, got one text, 'abcd': split it"),
    "ids": (weights_of(), [3, 4, 5, 6], "a token is text, got 3: decode the ids"),
    "large": (weights_of(8, 12, 60, 60), ["a"] * 60, r"would have \d\.\d MB, at most 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_page_refuses(case, tmp_path):
    weights, keys, words = WRONG[case]
    with pytest.raises(ValueError, match=words):
        attention_page([AttentionExample(weights, keys)], path=tmp_path / "page.html")
    assert not any(tmp_path.iterdir())


def test_page_says_which_example_is_wrong():
    good = AttentionExample(weights_of(), KEYS)
    with pytest.raises(ValueError, match=r"^example 1: "):
        attention_page([good, AttentionExample(weights_of(), KEYS[1:])])


# What its reader does.


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A browser; skips where there is none."""
    with open_page(tmp_path_factory.mktemp("browser")) as visit:
        yield visit


@pytest.fixture
def visit(opened):
    """The same browser, as if it were new."""
    opened.page.goto("about:blank")
    opened.page.emulate_media(color_scheme="light")
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    opened.page.mouse.move(0, 0)
    opened.foreign.clear()
    opened.errors.clear()
    return opened


def show(visit: Visit, folder: Path, *examples: AttentionExample) -> None:
    file = folder / "page.html"
    attention_page(examples, title="A page", path=file)
    visit.page.goto(file.as_uri())


def said(visit):
    return visit.page.locator("#said").inner_text()


def press(visit, *keys):
    for key in keys:
        visit.page.keyboard.press(key)
    return said(visit)


def expected(weights, row, column=None, keys=KEYS, queries=KEYS):
    """The sentence about one weight, or about the best one of a row."""
    key = int(weights[row].argmax()) if column is None else column
    most = " most" if column is None else ""
    number = f"{float(weights[row, key]):.2f}"
    return f"token {row} “{queries[row]}” looks{most} at token {key} “{keys[key]}” {number}"


@pytest.mark.slow
def test_page_is_used_by_keyboard_alone(visit, tmp_path):
    weights = weights_of(queries=3)
    queries = ["le", "chat", "dort"]
    names = {"queries": queries}
    other = AttentionExample(weights_of(1, 1, 2, 2, seed=5), ["x", "y"], caption="the other")
    show(visit, tmp_path, AttentionExample(weights, KEYS, queries), other)
    mean = weights[0].mean(dim=0)
    assert press(visit, "Tab", "Tab", "Tab", "Tab") == expected(mean, 0, **names)
    assert press(visit, "ArrowRight") == expected(mean, 0, 0, **names)
    assert press(visit, "ArrowDown", "ArrowRight") == expected(mean, 1, 1, **names)
    assert press(visit, "End") == expected(mean, 1, 3, **names)
    assert press(visit, "ArrowRight", "ArrowDown", "ArrowDown") == expected(mean, 2, 3, **names)
    assert press(visit, "Control+Home", "ArrowUp", "ArrowLeft") == expected(mean, 0, **names)
    assert press(visit, "Control+End", "Home", "ArrowUp") == expected(mean, 1, **names)
    # Back to the head, then to the layer: the place in the map stays.
    assert press(visit, "Shift+Tab", "End") == expected(weights[0, 2], 1, **names)
    assert press(visit, "Shift+Tab", "End") == expected(weights[1, 2], 1, **names)
    assert press(visit, "Shift+Tab", "ArrowDown").startswith("token 0 “x” looks most")
    assert visit.page.locator("#caption").inner_text() == "the other"
    assert (visit.foreign, visit.errors) == ([], [])


@pytest.mark.slow
def test_page_shows_the_numbers_of_the_row_beside_the_map(visit, tmp_path):
    weights = weights_of(1, 1)
    show(visit, tmp_path, AttentionExample(weights, KEYS))
    visit.page.locator("#map tbody tr").nth(2).locator("td").nth(1).hover()
    assert said(visit) == expected(weights[0, 0], 2, 1)
    numbers = [f"{weight:.2f}" for weight in weights[0, 0, 2].tolist()]
    rows = visit.page.locator("#bars tbody tr")
    assert rows.locator("td").all_inner_texts() == numbers
    assert rows.locator("th").all_inner_texts() == KEYS
    widths = rows.locator("i").evaluate_all("all => all.map(bar => bar.clientWidth)")
    ratio = [
        width / weight for width, weight in zip(widths, weights[0, 0, 2].tolist(), strict=True)
    ]
    assert max(ratio) == pytest.approx(min(ratio), rel=0.15)
    # The map is its own table of numbers: a screen reader reads each.
    told = visit.page.locator("#map td[aria-label]").evaluate_all("a => a.map(b => b.ariaLabel)")
    assert told == [f"{weight:.2f}" for weight in weights.flatten().tolist()]


@pytest.mark.slow
def test_page_colours_grow_with_the_weight(visit, tmp_path):
    weights = torch.tensor([[[[0.1, 0.3, 0.6]]], [[[0.0, 0.0, 1.0]]]])
    show(visit, tmp_path, AttentionExample(weights, ["a", "b", "c"], ["q"]))
    colours = data_of((tmp_path / "page.html").read_text("utf-8"))["colours"]
    cells = visit.page.locator("#map td[aria-label]")
    found = cells.evaluate_all("all => all.map(cell => getComputedStyle(cell).backgroundColor)")
    shades = [colours[round(weight * (len(colours) - 1))] for weight in (0.1, 0.3, 0.6)]
    wanted = [tuple(int(shade[k : k + 2], 16) for k in (1, 3, 5)) for shade in shades]
    # All but the chosen one, which is inside a frame.
    assert found == [f"rgb{rgb}" for rgb in wanted]


@pytest.mark.slow
def test_page_every_control_has_a_name_and_a_visible_focus(visit, tmp_path):
    show(visit, tmp_path, AttentionExample(weights_of(), KEYS))
    page = visit.page
    for name in ("text", "layer", "head"):
        assert page.get_by_label(name, exact=True).count() == 1
    assert page.get_by_role("grid", name="attention weights").count() == 1
    assert page.get_by_role("rowheader", name="cat").count() >= 1
    assert page.get_by_role("columnheader", name="sat").count() == 1
    assert page.get_by_role("gridcell", name=re.compile(r"^0\.\d\d$")).count() == 16
    assert page.get_by_role("status").inner_text() == said(visit) != ""
    stops = set()
    for _ in range(4):
        page.keyboard.press("Tab")
        place, outline = page.evaluate("""() => [document.activeElement.id,
            getComputedStyle(document.activeElement).outline]""")
        assert "3px" in outline and "solid" in outline, place
        stops.add(place)
    assert stops == {"example", "layer", "head", ""}
    assert page.evaluate("document.querySelectorAll('#map [tabindex=\"0\"]').length") == 1


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [6, 20, 48])
@pytest.mark.parametrize("width", [360, 640])
def test_page_needs_no_sideways_scroll(visit, tmp_path, width, tokens):
    words = [f"a_rather_long_word_{k}" * (1 + k % 3) for k in range(tokens)]
    long = AttentionExample(weights_of(1, 2, tokens, tokens), words, name="name " * 40)
    visit.page.set_viewport_size({"width": width, "height": 640})
    show(visit, tmp_path, long)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    press(visit, "Tab", "Tab", "Tab", "Tab", "Control+End")
    # The map may scroll inside its frame; then the focus is scrolled into view.
    left, right = visit.page.evaluate("""() => {
        const box = document.activeElement.getBoundingClientRect();
        return [box.left, box.right];
    }""")
    assert 0 <= left < right <= width
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_page_of_hostile_tokens_shows_them_and_runs_nothing(visit, tmp_path):
    count = len(HOSTILE)
    weights = weights_of(1, 1, count, count)
    show(visit, tmp_path, AttentionExample(weights, HOSTILE, name=HOSTILE[0], caption=HOSTILE[1]))
    rows = visit.page.locator("#map tbody th").all_inner_texts()
    assert rows[:6] == [token.replace(" ", "␣") for token in HOSTILE[:6]] and rows[7:] == [
        "שלום",
        "مرحبا",
        "∅",
        "<U+2028>",
    ]
    assert press(visit, "Tab", "Tab", "Tab", "Tab").startswith(f"token 0 “{HOSTILE[0]}” looks")
    assert visit.page.evaluate("window.hit") is None
    assert visit.page.locator("img, iframe, main script").count() == 0
    assert (visit.foreign, visit.errors) == ([], [])


def luminance(rgb):
    """Relative luminance (WCAG 2.2) of "rgb(r, g, b)"."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", rgb)[:3]]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, two):
    dark, light = sorted([luminance(one), luminance(two)])
    return (light + 0.05) / (dark + 0.05)


COLOURS = """() => {
    const of = (place, name) => getComputedStyle(document.querySelector(place))[name];
    return {paper: of('body', 'backgroundColor'), bar: of('#bars i', 'backgroundColor'),
        chosen: of('#bars .chosen', 'backgroundColor'), edge: of('select', 'borderTopColor'),
        ring: of('#map .row', 'outlineColor'),
        texts: ['p', 'th', '#said', '.soft', 'select', 'h1'].map(place => of(place, 'color'))};
}"""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_has_contrast_by_day_and_by_night(visit, tmp_path, scheme):
    visit.page.emulate_media(color_scheme=scheme)
    show(visit, tmp_path, AttentionExample(weights_of(), KEYS))
    found = visit.page.evaluate(COLOURS)
    assert (luminance(found["paper"]) < 0.05) == (scheme == "dark")
    for text in found["texts"]:
        assert contrast(text, found["paper"]) >= 4.5  # WCAG 2.2, 1.4.3
        assert contrast(text, found["chosen"]) >= 4.5
    for part in ("bar", "edge", "ring"):
        assert contrast(found[part], found["paper"]) >= 3  # 1.4.11
    assert contrast(found["bar"], found["chosen"]) >= 3


# The page that the site shows.


@pytest.mark.slow
def test_demonstration_shows_what_its_captions_say(tmp_path):
    page = load_tool("attention_demo").write(tmp_path / "demo.html")
    assert (tmp_path / "demo.html").read_text("utf-8") == page and len(page) < 200_000
    bert, _, gpt, copying = data_of(page)["examples"]
    weights = {e["name"]: numpy.array(e["weights"]) / SCALE for e in (bert, gpt, copying)}
    near = weights[bert["name"]]
    for head, step in enumerate([-1, 1, -2, 2, -3]):
        assert numpy.diagonal(near[0, head], step).mean() > 0.6
    assert bert["queries"][-1] == "[SEP]" and near[2, :, :, -1].mean(axis=-1).min() > 0.7
    assert numpy.triu(weights[gpt["name"]], 1).max() == 0
    for head in (1, 2):
        best = int(weights[copying["name"]][3, head, -1].argmax())
        assert [copying["keys"][k].strip("␣") for k in (best - 1, best)] == ["line", "is"]
