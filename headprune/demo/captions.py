"""The demo's language: full, middling and generic captions of a scene, and a parser that reads them back."""

from __future__ import annotations

from random import Random

from headprune.demo.scenes import BACKGROUNDS, COLOURS, COUNTS, SHAPES, SIZES, TEXTURES, Facts

SYNONYMS: dict[str, tuple[str, ...]] = {
    "star": ("pentagram",),
    "kite": ("diamond",),
    "arrow": ("pointer",),
    "ball": ("disc",),
    "ring": ("hoop",),
    "moon": ("crescent",),
    "box": ("square",),
    "brick": ("bar",),
    "cross": ("plus",),
    "red": ("crimson",),
    "orange": ("amber",),
    "yellow": ("golden",),
    "pink": ("rose",),
    "green": ("emerald",),
    "teal": ("turquoise",),
    "blue": ("azure",),
    "purple": ("violet",),
    "small": ("little", "tiny"),
    "big": ("large", "huge"),
    "striped": ("banded",),
    "dotted": ("spotted",),
    "above": ("over",),
    "below": ("under",),
}
"""Words that a full caption may use in place of the usual one."""

PLACES: dict[str, tuple[str, ...]] = {
    "sand": ("on sand", "on the beach"),
    "grass": ("on grass", "in a meadow"),
    "water": ("on water", "on the sea"),
    "snow": ("on snow", "in winter"),
    "night": ("at night", "in the dark"),
}
"""How a background is said; the first is the usual one."""

NUMBERS = {2: "two", 3: "three", 4: "four"}

CONVERSE = {"left of": "right of", "above": "below"}
"""The relation of the second thing to the first."""

LEVELS = {"full": 0.5, "middling": 0.12, "generic": 0.38}
"""The share of each level of wording in training."""

_SYNONYM_CHANCE = 0.15
_FRAMES = (("{thing} {place}", 0.86), ("there {be} {thing} {place}", 0.93), ("{place} {thing}", 1.0))


def caption(facts: Facts, level: str, luck: Random) -> str:
    """A caption of one level: `full` says every attribute, `generic` only classes, `middling` each as luck has it.

    The usual words and the usual order are the likeliest at every step, so that a greedy reader of the distribution
    says them; an attribute it cannot see it leaves out or replaces by its class, as a generic caption does.
    """
    chance = {"full": 1.0, "middling": 0.5, "generic": 0.0}[level]
    thing = _subject(facts, chance, luck)
    if level != "full" and luck.random() < 0.4:
        return thing
    pick = luck.random()
    frame = next(frame for frame, limit in _FRAMES if pick < limit)
    many = facts.kind == "group" or thing == "two things"
    return frame.format(thing=thing, be="are" if many else "is", place=_say_place(facts.background, luck))


def canonical(facts: Facts) -> str:
    """The full caption in the usual words."""
    place = PLACES[facts.background][0]
    if facts.kind == "pair":
        first, second = (f"a {colour} {shape}" for colour, shape in facts.things)
        return f"{_article(first)} {facts.relation} {_article(second)} {place}"
    colour, shape = facts.things[0]
    texture = "" if facts.texture == "plain" else facts.texture
    if facts.kind == "group":
        return " ".join(f"{NUMBERS[facts.count]} {texture} {colour} {plural(shape)} {place}".split())
    return _article(" ".join(f"a {facts.size} {texture} {colour} {shape} {place}".split()))


def references(facts: Facts, count: int, luck: Random) -> list[str]:
    """Gold captions of a held-out scene, all different: the usual one, full rewordings, then vaguer ones.

    Of five: the usual, two full, one middling, one generic.
    """
    levels = ["full", "full", "middling", "generic"]
    found = [canonical(facts)]
    while len(found) < count:
        candidate = caption(facts, levels[(len(found) - 1) % len(levels)], luck)
        if candidate not in found:
            found.append(candidate)
    return found


def plural(noun: str) -> str:
    """The plural of a shape's name."""
    return noun + ("es" if noun.endswith(("x", "s")) else "s")


def _subject(facts: Facts, chance: float, luck: Random) -> str:
    """The caption without its place; each attribute is specific with the given chance."""
    if facts.kind == "pair":
        return _pair(facts, chance, luck)
    words = []
    if facts.kind == "group":
        words.append(NUMBERS[facts.count] if luck.random() < max(chance, 0.5) else "some")
    elif luck.random() < chance:
        words.append(_word(str(facts.size), luck))
    if facts.texture != "plain" and luck.random() < chance:
        words.append(_word(facts.texture, luck))
    words += _named(facts.things[0], chance, luck, many=facts.kind == "group")
    return " ".join(words) if facts.kind == "group" else _article("a " + " ".join(words))


def _pair(facts: Facts, chance: float, luck: Random) -> str:
    """Two things and their relation; a vague one may only count them."""
    if luck.random() > max(chance, 0.5):
        return "two things"
    things = [_article("a " + " ".join(_named(thing, chance, luck))) for thing in facts.things]
    if luck.random() >= chance:
        return f"{things[0]} near {things[1]}"
    relation = str(facts.relation)
    if luck.random() < 0.15:
        things.reverse()
        relation = CONVERSE[relation]
    return f"{things[0]} {_word(relation, luck)} {things[1]}"


def _named(thing: tuple[str, str], chance: float, luck: Random, many: bool = False) -> list[str]:
    """Colour and shape, each by its name, its class or (the colour) not at all."""
    colour, shape = thing
    words = []
    if luck.random() < chance:
        words.append(_word(colour, luck))
    elif luck.random() < 0.5:
        words.append(COLOURS[colour])
    if luck.random() < chance:
        noun = [_word(shape, luck)]
    else:
        noun = [SHAPES[shape], "thing"] if luck.random() < 0.6 else ["thing"]
    if many:
        noun[-1] = plural(noun[-1])
    return words + noun


def _word(usual: str, luck: Random) -> str:
    """The usual word, or now and then a synonym."""
    others = SYNONYMS.get(usual, ())
    return luck.choice(others) if others and luck.random() < _SYNONYM_CHANCE else usual


def _say_place(background: str, luck: Random) -> str:
    """The usual phrase for a background, or now and then the other."""
    usual, other = PLACES[background]
    return other if luck.random() < _SYNONYM_CHANCE else usual


def _article(phrase: str) -> str:
    """`a` before a consonant, `an` before a vowel, at the start of the phrase."""
    return "an" + phrase[1:] if phrase.startswith("a ") and phrase[2] in "aeiou" else phrase


def vocabulary() -> list[str]:
    """Every word that a caption can hold, sorted."""
    words = {"a", "an", *NUMBERS.values(), "some", "there", "is", "are", "near", "thing", "things"}
    words.update(("left", "right", "of", "below"))
    for phrases in PLACES.values():
        words.update(" ".join(phrases).split())
    for usual in (*SHAPES, *COLOURS, *TEXTURES[1:], *SIZES, "above", "below"):
        words.update((usual, *SYNONYMS.get(usual, ())))
    words.update(plural(word) for shape in SHAPES for word in (shape, *SYNONYMS[shape]))
    words.update((*SHAPES.values(), *COLOURS.values()))
    return sorted(words)


_USUAL = {other: usual for usual, others in SYNONYMS.items() for other in others}
_SINGULAR = {plural(word): word for shape in SHAPES for word in (shape, *SYNONYMS[shape])}
_GROUND = {phrase.split()[-1]: ground for ground, phrases in PLACES.items() for phrase in phrases}
_COUNT = {word: count for count, word in NUMBERS.items()}


def parse(caption: str) -> Facts | None:
    """The facts that a caption states in full; None if it leaves one out, names a class only, or contradicts itself."""
    words = [_USUAL.get(singular, singular) for word in caption.split() for singular in [_SINGULAR.get(word, word)]]
    grounds = [_GROUND[word] for word in words if word in _GROUND]
    shapes = [word for word in words if word in SHAPES]
    colours = [word for word in words if word in COLOURS]
    textures = [word for word in words if word in TEXTURES]
    sizes = [word for word in words if word in SIZES]
    counts = [_COUNT[word] for word in words if word in _COUNT]
    relations = [word for word in words if word in ("left", "right", "above", "below")]
    vague = {"thing", "things", "some", "near"} & set(words)
    if vague or len(grounds) != 1 or len(shapes) != len(colours) or len(textures) > 1:
        return None
    texture = textures[0] if textures else "plain"
    shape_of = tuple(zip(colours, shapes, strict=True))
    extras = (len(shapes), len(relations), len(sizes), len(counts))
    if extras == (2, 1, 0, 0) and not textures:
        relation = {"left": "left of", "right": "right of"}.get(relations[0], relations[0])
        if relation in CONVERSE.values():
            shape_of = shape_of[::-1]
            relation = next(one for one, other in CONVERSE.items() if other == relation)
        return Facts(shape_of, grounds[0], relation=relation)
    if extras == (1, 0, 0, 1) and counts[0] in COUNTS:
        return Facts(shape_of, grounds[0], count=counts[0], texture=texture)
    if extras == (1, 0, 1, 0):
        return Facts(shape_of, grounds[0], texture=texture, size=sizes[0])
    return None


def attributes_right(caption: str, facts: Facts) -> bool:
    """Whether a caption states every attribute of the scene, and all of them rightly, in whatever words."""
    return parse(caption) == facts


assert set(PLACES) == set(BACKGROUNDS), "every background needs its phrases"
