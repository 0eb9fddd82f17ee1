"""Words that sentence patterns of the embedded data name one by one: verbs by use, numbers ..."""

from __future__ import annotations

from types import SimpleNamespace

from course_utils.datasets.lexicon import table

TENSES = (("present", 45), ("past", 40), ("future", 15))
PLAIN = ("new", "old", "big", "expensive", "hot", "long", "red", "white", "blue")
NUMBERS = {int(row.value): row for row in table("numbers")}
DETERMINERS = {row.english: row for row in table("determiners")}
FAVORITE = next(row for row in table("adjectives") if row.english == "favorite")
LIE = {
    "present": ("лежит", "лежит", "лежит", "лежат"),
    "past": ("лежал", "лежала", "лежало", "лежали"),
}
STAND = {
    "present": ("стоит", "стоит", "стоит", "стоят"),
    "past": ("стоял", "стояла", "стояло", "стояли"),
}


def _verb(infinitive: str, **changes):
    row = next(r for r in table("verbs") if r.infinitive == infinitive)
    return SimpleNamespace(**{**vars(row), **changes})


def _stative(base: str, third: str, past: str, present: str = "", russian_past: str = ""):
    return SimpleNamespace(
        base=base,
        third=third,
        simple_past=past,
        ing="",
        style="stat",
        aspect="i",
        present=present,
        past=russian_past,
    )


def _usable(tense: str):
    """Verbs with forms for this tense; people's own tense is never drawn for "любить"."""
    if tense == "present":
        return [v for v in table("verbs") if v.aspect == "i" and v.present != "-"]
    if tense == "past":
        return [v for v in table("verbs") if v.past != "-"]
    return [
        v
        for v in table("verbs")
        if v.style != "stat"
        and v.infinitive != "покупать"
        and (v.aspect == "i" or v.present != "-")
        and v.infinitive not in ("ехать", "плакать")
    ]


VERBS = {tense: _usable(tense) for tense, _ in TENSES}
LIKE, HAVE = _stative("like", "likes", "liked"), _stative("have", "has", "had")
NEED, FEEL = _stative("need", "needs", "needed"), _stative("feel", "feels", "felt")
WANT = _stative("want", "wants", "wanted", "хочу хочешь хочет хотим хотят", "хотел хотела хотели")
PLAY = _verb("играть")
LEARN = SimpleNamespace(
    base="learn",
    third="learns",
    ing="learning",
    simple_past="learned",
    style="prog",
    aspect="i",
    present="учу учишь учит учим учат",
    past="учил учила учили",
)
OBJECT_FIRST = [_verb(v) for v in ("написать", "купить", "нарисовать", "приготовить")]
INFINITIVES = [
    _verb(v)
    for v in (
        "прочитать",
        "написать",
        "посмотреть",
        "приготовить",
        "купить",
        "нарисовать",
        "продать",
        "позвонить",
        "помочь",
        "поехать",
        "подарить",
    )
]
INFINITIVES += [_verb("съесть", article="a"), _verb("выпить", article="a")]
DUTIES = [
    _verb(v)
    for v in (
        "прочитать",
        "написать",
        "приготовить",
        "купить",
        "продать",
        "позвонить",
        "помочь",
        "поехать",
    )
]
UNWANTED = [
    _verb(v)
    for v in (
        "читать",
        "писать",
        "смотреть",
        "слушать",
        "готовить",
        "пить",
        "помогать",
        "говорить",
        "ехать",
        "гулять",
        "работать",
        "танцевать",
        "спать",
        "отдыхать",
    )
]
