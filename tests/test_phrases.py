"""The embedded sentences: the same everywhere, no leak, gold alignment, good Russian."""

import hashlib
import random
import re
from collections import Counter
from itertools import combinations, pairwise

import pytest

from course_utils.datasets import phrases
from course_utils.datasets.grammar_base import year_word
from course_utils.datasets.grammar_words import DETERMINERS
from course_utils.datasets.lexicon import adjectives_of, noun_phrase, nouns_with, table
from course_utils.datasets.phrases import Grammar, _held_out, _Parts, gloss, load_phrases
from course_utils.files import data_path

DIGEST = "721d32d487998e4e17b78eab477712b61fb0f7484a1cac384238738c9e019626"

# Checked by hand: source, target, links of words.
CHECKED = [
    ("у папы нет собаки .", "dad does not have a dog .", "0-1 0-3 1-0 2-1 2-2 2-3 3-4 3-5 4-6"),
    ("у тебя есть новая книга .", "you have a new book .", "0-1 1-0 2-1 3-3 4-2 4-4 5-5"),
    ("у нас не было гитары .", "we did not have a guitar .", "0-1 0-3 1-0 2-2 3-1 3-3 4-4 4-5 5-6"),
    ("у ивана два кота .", "ivan has two cats .", "0-1 1-0 2-2 3-3 4-4"),
    ("у нас две сестры .", "we have two sisters .", "0-1 1-0 2-2 3-3 4-4"),
    ("у лены пять рубашек .", "lena has five shirts .", "0-1 1-0 2-2 3-3 4-4"),
    ("ему двадцать один год .", "he is twenty one years old .", "0-0 1-2 2-3 3-1 3-4 3-5 4-6"),
    ("тебе двадцать два года .", "you are twenty two years old .", "0-0 1-2 2-3 3-1 3-4 3-5 4-6"),
    ("ане двадцать лет .", "anya is twenty years old .", "0-0 1-2 2-1 2-3 2-4 3-5"),
    ("ей было одиннадцать лет .", "she was eleven years old .", "0-0 1-1 2-2 3-3 3-4 4-5"),
    ("мне скучно .", "i am bored .", "0-0 1-1 1-2 2-3"),
    ("бабушке было плохо .", "grandma felt bad .", "0-0 1-1 2-1 2-2 3-3"),
    ("вчера бабушке было плохо .", "grandma felt bad yesterday .", "0-3 1-0 2-1 3-1 3-2 4-4"),
    (
        "эту книгу написал друг миши .",
        "misha 's friend wrote this book .",
        "0-4 1-5 2-3 3-2 4-0 4-1 5-6",
    ),
    ("эта песня мне нравится .", "i like this song .", "0-2 1-3 2-0 3-1 4-4"),
    ("им понравилась эта шапка .", "they liked this hat .", "0-0 1-1 2-2 3-3 4-4"),
    ("на кровати лежит книга .", "there is a book on the bed .", "0-4 1-5 1-6 2-0 2-1 3-2 3-3 4-7"),
    ("ключ лежит на стуле .", "the key is on the chair .", "0-0 0-1 1-2 2-3 3-4 3-5 4-6"),
    ("у миши болит горло .", "misha 's throat hurts .", "0-0 0-1 1-0 1-1 2-3 3-2 4-4"),
    ("сколько ей лет ?", "how old is she ?", "0-0 1-3 2-1 2-2 3-4"),
    ("ты любишь музыку ?", "do you like music ?", "0-1 1-0 1-2 2-3 3-4"),
    ("чей это словарь ?", "whose dictionary is this ?", "0-0 1-2 1-3 2-1 3-4"),
    ("меня нет дома .", "i am not at home .", "0-0 1-1 1-2 2-3 2-4 3-5"),
    ("папа играет на гитаре .", "dad is playing the guitar .", "0-0 1-1 1-2 2-3 3-4 4-5"),
    ("папа учит русский язык .", "dad is learning russian .", "0-0 1-1 1-2 2-3 3-3 4-4"),
    ("миша увидел своего брата .", "misha saw his brother .", "0-0 1-1 2-2 3-3 4-4"),
    (
        "дедушка говорит со своей сестрой .",
        "grandpa is talking to his sister .",
        "0-0 1-1 1-2 2-3 3-4 4-5 5-6",
    ),
    ("на улице тепло .", "it is warm outside .", "0-3 1-3 2-0 2-1 2-2 3-4"),
    ("ивану нужна куртка .", "ivan needs a jacket .", "0-0 1-1 2-2 2-3 3-4"),
    ("вчера маша купила воду .", "masha bought water yesterday .", "0-3 1-0 2-1 3-2 4-4"),
    ("каждый день я смотрю фильмы .", "i watch movies every day .", "0-3 1-4 2-0 3-1 4-2 5-5"),
    (
        "сейчас антон обедает на работе .",
        "anton is having lunch at work now .",
        "0-6 1-0 2-1 2-2 2-3 3-4 4-5 5-7",
    ),
    ("маша старше его .", "masha is older than him .", "0-0 1-1 1-2 1-3 2-4 3-5"),
    ("это машина ивана .", "this is ivan 's car .", "0-0 0-1 1-4 2-2 2-3 3-5"),
    ("это мой любимый мультфильм .", "this is my favorite cartoon .", "0-0 0-1 1-2 2-3 3-4 4-5"),
    ("борис видит собаку .", "boris sees a dog .", "0-0 1-1 2-2 2-3 3-4"),
    (
        "лена была дома , когда позвонила мама .",
        "lena was at home when mom called .",
        "0-0 1-1 2-2 2-3 3-4 4-4 5-6 6-5 7-7",
    ),
    (
        "миши нет дома , потому что он болен .",
        "misha is not at home because he is ill .",
        "0-0 1-1 1-2 2-3 2-4 3-5 4-5 5-5 6-6 7-7 7-8 8-9",
    ),
    ("маша должна продать дом .", "masha has to sell the house .", "0-0 1-1 1-2 2-3 3-4 3-5 4-6"),
    ("папа не ест хлеб .", "dad does not eat bread .", "0-0 1-2 2-1 2-3 3-4 4-5"),
    ("он будет спать .", "he will sleep .", "0-0 1-1 2-2 3-3"),
    (
        "аня слушала музыку и танцевала .",
        "anya was listening to music and dancing .",
        "0-0 1-1 1-2 1-3 2-4 3-5 4-6 5-7",
    ),
    (
        "борис был дома , но ему было скучно .",
        "boris was at home , but he was bored .",
        "0-0 1-1 2-2 2-3 3-4 4-5 5-6 6-7 7-8 8-9",
    ),
    (
        "я люблю музыку , но не люблю рыбу .",
        "i like music , but do not like fish .",
        "0-0 1-1 2-2 3-3 4-4 5-6 6-5 6-7 7-8 8-9",
    ),
    ("он подарил бабушке шапку .", "he gave grandma a hat .", "0-0 1-1 2-2 3-3 3-4 4-5"),
]


@pytest.fixture(scope="module")
def data():
    return load_phrases()


def parts(data):
    return {
        "train": data.train,
        "validation": data.validation,
        "test": data.test,
        "compositional": data.compositional,
        **{f"clauses {k}": v for k, v in data.clauses.items()},
    }


def digest(data):
    found = hashlib.sha256()
    for name, pairs in parts(data).items():
        found.update((name.removeprefix("clauses ") + "\n").encode())
        for pair in pairs:
            links = " ".join(f"{s}-{t}" for s, t in pair.alignment)
            found.update(f"{pair.source}\t{pair.target}\t{links}\n".encode())
    return found.hexdigest()


def everything(data):
    return [pair for pairs in parts(data).values() for pair in pairs]


def test_phrases_are_the_same_everywhere(data):
    assert digest(data) == DIGEST


def test_phrases_of_a_seed_are_always_the_same_and_of_another_seed_are_not():
    def drawn(seed):
        return [s.pair() for pool in _Parts(seed).singles(300, 20) for s in pool]

    assert drawn(0) == drawn(0) != drawn(1)


def test_phrases_pass_their_seed_on(monkeypatch):
    asked = []
    empty = {name: [] for name in phrases.SIZES} | {"clauses": {}}
    monkeypatch.setattr(phrases, "_draw", lambda seed: asked.append(seed) or empty)
    load_phrases(seed=7)
    assert asked == [7]


def test_phrases_sizes_are_as_documented(data):
    assert {name: len(pairs) for name, pairs in parts(data).items()} == {
        "train": 20_000,
        "validation": 1_000,
        "test": 1_000,
        "compositional": 1_000,
        **{f"clauses {k}": 200 for k in range(1, 6)},
    }
    assert data.languages == ("ru", "en") and data.origin


def test_phrases_share_no_sentence_between_parts_or_within_one(data):
    for side in ("source", "target"):
        sentences = [getattr(pair, side) for pair in everything(data)]
        assert len(set(sentences)) == len(sentences) == 24_000


def test_phrases_test_clauses_stand_in_no_joined_training_sentence(data):
    unseen = {p.source.rsplit(" ", 1)[0] for p in data.test + data.compositional}
    for pair in data.train:
        clauses = re.split(r" , (?:а|но|когда|потому что) ", pair.source.rsplit(" ", 1)[0])
        assert len(clauses) == 1 or not unseen & set(clauses)


def test_phrases_translation_is_a_function_of_the_russian_sentence():
    grammar, seen = Grammar(random.Random(5).random), {}
    for k in range(12_000):
        source, target = (grammar.joined(2 + k % 3) if k % 6 == 0 else grammar.single()).text
        assert seen.setdefault(source, target) == target


def test_phrases_are_normalised_text(data):
    for pair in everything(data):
        for text in (pair.source, pair.target):
            assert text == " ".join(text.split()) and text == text.lower()
            assert text[-2:] in (" .", " ?")
        assert re.fullmatch(r"[а-я ,.?]+", pair.source)  # no "ё"
        assert re.fullmatch(r"[a-z ,.?']+", pair.target)
        assert "n't" not in pair.target


def test_phrases_words_of_every_part_stand_in_train_often_enough(data):
    counts = Counter(w for p in data.train for w in f"{p.source} {p.target}".split())
    for name, pairs in parts(data).items():
        if name not in ("train", "validation"):
            words = {w for p in pairs for w in f"{p.source} {p.target}".split()}
            assert min(counts[w] for w in words) >= 5, name
    first = Counter(w for p in data.train[:10_000] for w in p.source.split())
    assert sum(first[w] == 0 for p in data.test for w in p.source.split()) == 0


def test_phrases_vocabulary_is_small(data):
    russian = {w for p in data.train for w in p.source.split()}
    english = {w for p in data.train for w in p.target.split()}
    assert 700 <= len(russian) <= 1000 and 350 <= len(english) <= 450


def test_phrases_alignment_covers_every_word_of_both_sides(data):
    for pair in everything(data):
        source, target = len(pair.source.split()), len(pair.target.split())
        assert {s for s, _ in pair.alignment} == set(range(source))
        assert {t for _, t in pair.alignment} == set(range(target))
        assert len(set(pair.alignment)) == len(pair.alignment)
        assert (source - 1, target - 1) in pair.alignment


def test_phrases_alignment_is_often_not_monotonic(data):
    def crosses(pair):
        return any((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in combinations(pair.alignment, 2))

    assert sum(map(crosses, data.test)) / len(data.test) > 0.5


def _combinations(pair):
    """Adjective + noun side by side or at the end, verb + noun (English lemmas) of a clause."""
    words = [LEMMAS.get(word, (None, word)) for word in pair.source.split()]
    found = {(a, b) for (x, a), (y, b) in pairwise(words) if (x, y) == ("adjective", "noun")}
    if words[-2:] and words[-2][0] == "adjective":  # "эта книга новая ."
        found |= {(words[-2][1], noun) for kind, noun in words if kind == "noun"}
    verbs = [word for kind, word in words if kind == "verb"]
    return found | {(v, n) for v in verbs for kind, n in words if kind == "noun"}


def _lemmas():
    found = {}
    for kind, name in (("noun", "nouns"), ("adjective", "adjectives"), ("verb", "verbs")):
        for row in table(name):
            for key, cell in vars(row).items():
                if key in ("gender", "aspect", "frame", "style", "tags", "article"):
                    continue
                for form in re.findall("[а-я]+", cell):
                    found[form] = (kind, row.base if kind == "verb" else row.english)
    return found


LEMMAS = _lemmas()
for _form in ("нравится", "нравятся", "понравился", "понравилась", "понравилось", "понравились"):
    LEMMAS[_form] = ("verb", "like")


def test_phrases_compositional_pairs_show_a_combination_never_seen(data):
    seen = set()
    for pair in data.train + data.validation + data.test:
        for clause in re.split(" , | и ", pair.source):
            seen |= _combinations(type(pair)(clause.removesuffix(" .") + " .", ""))
    for pair in data.compositional:
        assert _combinations(pair) - seen, pair.source
    assert not {p.source for p in data.compositional} & {p.source for p in data.train}


def test_phrases_held_out_combinations_are_only_in_the_compositional_part():
    drawn = _Parts(3)
    plain, held = drawn.singles(300, 50)
    joined = drawn.joined(3, 50)
    assert all(drawn.held & set(s.combos()) for s in held)
    assert not any(drawn.held & set(s.combos()) for s in plain + joined)


@pytest.mark.parametrize(("source", "target", "links"), CHECKED)
def test_phrases_checked_by_hand_are_generated(data, source, target, links):
    found = {pair.source: pair for pair in everything(data)}[source]
    assert found.target == target
    assert " ".join(f"{s}-{t}" for s, t in found.alignment) == links


@pytest.mark.parametrize(
    ("years", "word"),
    [
        (1, "год"),
        (2, "года"),
        (4, "года"),
        (5, "лет"),
        (10, "лет"),
        (11, "лет"),
        (12, "лет"),
        (14, "лет"),
        (19, "лет"),
        (20, "лет"),
        (21, "год"),
        (22, "года"),
        (25, "лет"),
        (51, "год"),
    ],
)
def test_year_word_agrees_with_the_number(years, word):
    assert year_word(years) == word


@pytest.mark.parametrize(
    ("noun", "adjective", "case", "plural", "expected"),
    [
        ("книга", "new", "nom", False, "новая книга"),
        ("книга", "new", "acc", False, "новую книгу"),
        ("книга", "new", "gen", False, "новой книги"),
        ("стол", "new", "acc", False, "новый стол"),
        ("кот", "old", "acc", False, "старого кота"),
        ("собака", "big", "acc", False, "большую собаку"),
        ("письмо", "long", "gen", False, "длинного письма"),
        ("платье", "blue", "acc", False, "синее платье"),
        ("яблоко", "sweet", "acc", True, "сладкие яблоки"),
    ],
)
def test_noun_phrase_agrees_in_gender_number_and_case(noun, adjective, case, plural, expected):
    row = next(r for r in table("nouns") if r.nom == noun)
    word = next(r for r in table("adjectives") if r.english == adjective)
    russian, _ = noun_phrase(row, case, adjective=word, plural=plural)
    assert " ".join(w for w, _ in russian) == expected


def test_noun_phrase_chooses_the_english_article():
    rows = {r.english: r for r in table("nouns")}
    old = next(a for a in adjectives_of("wear") if a.english == "old")

    def english(noun, **options):
        return " ".join(w for w, _ in noun_phrase(rows[noun], "acc", **options)[1])

    assert english("apple") == "an apple" and english("hat") == "a hat"
    assert english("hat", adjective=old) == "an old hat"
    assert english("tea") == "tea" and english("tea", article="the") == "the tea"
    assert english("book", owner=DETERMINERS["this"]) == "this book"
    assert english("book", owner=DETERMINERS["this"], plural=True) == "these books"
    assert nouns_with("pet")


def test_phrases_swapped_languages_are_the_same_pairs_turned_round(data):
    turned = load_phrases(("en", "ru"))
    assert turned.languages == ("en", "ru")
    for a, b in zip(everything(data), everything(turned), strict=True):
        assert (b.source, b.target) == (a.target, a.source)
        assert set(b.alignment) == {(t, s) for s, t in a.alignment}
        assert b.alignment == tuple(sorted(b.alignment))


@pytest.mark.parametrize("languages", [("ru", "de"), ("ru", "ru"), ("ru", "")])
def test_phrases_unknown_languages_are_an_error(languages):
    with pytest.raises(ValueError, match="languages must be"):
        load_phrases(languages)


def test_gloss_says_every_word_and_leaves_unknown_ones(data):
    assert gloss("у меня нет моей книги .") == ["at", "me", "not-have", "my", "book", "."]
    assert gloss("мне нравится эта песня , xyz") == ["to-me", "pleases", "this", "song", ",", "xyz"]
    words = {w for p in everything(data) for w in p.source.split() if w.isalpha()}
    assert all(re.fullmatch("[a-z-]+", gloss(word)[0]) for word in words)


def test_lexicon_files_have_the_sums_of_the_readme():
    readme = data_path("phrases", "README.md").read_text(encoding="utf-8")
    sums = dict(
        line.split("  ")[::-1]
        for line in readme.splitlines()
        if re.fullmatch(r"[0-9a-f]{64}  \w+\.tsv", line)
    )
    files = sorted(data_path("phrases").glob("*.tsv"))
    assert sorted(sums) == [f.name for f in files]
    for file in files:
        content = file.read_bytes()
        assert hashlib.sha256(content).hexdigest() == sums[file.name], file.name
        assert "ё" not in content.decode("utf-8") and b"\r" not in content


def test_held_out_words_keep_other_partners():
    pairs = (*((a, n) for a in "abcdefg" for n in "uvwxyz"), ("only", "u"))
    held = _held_out(pairs, lambda _: True)
    assert held == set(), "when everything is held out, no word keeps a partner"
    odd = iter([True] + [False] * len(pairs))
    assert _held_out(pairs, lambda _: next(odd)) == {("a", "u")}
    last = iter([False] * (len(pairs) - 1) + [True])
    assert _held_out(pairs, lambda _: next(last)) == set(), "its word has no other partner"
