"""Hostile inputs for every file that the command line reads: valid ones bent by mutation, others made by a grammar."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tests.faults.harness import PATCH, STORE, flipped

NUMBERS = (b"0", b"-1", b"1e999", b"NaN", b"99999999999999999999", b"-Infinity", b"1.5", b"true", b"null", b"[]", b"{}")
TEXTS = (
    "",
    "\0",
    "../../../../etc/passwd",
    "/etc/passwd",
    "\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    "\u202e\u200b",
    "a" * 100_000,
    "[bold red]markup[/]",
    "\x1b[31mred\x1b[0m",
    "%s%n{}{0.__class__}",
    "<script>alert(1)</script>",
    "p00.png\n",
    "con",
    "~",
    "file:///etc/passwd",
    "http://127.0.0.1:9/x.png",
)
RECIPE = """
model = "demo"
data = "pictures"
samples = 2
seed = 0
layers = "2,3"
scorer = "bertscore"
edit = "isolate"
decode_at = "layer"
schedule = "oneshot"
temperature = 1.0
[generation]
num_beams = 1
max_new_tokens = 30
[scorer_options]
num_layers = 6
"""


def mutated(data: bytes, chance: random.Random) -> bytes:
    """`data` bent somewhere, one to four times."""
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = chance.choice(MUTATIONS)(data or b"x", chance)
    return data


def _cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def _without(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + data[start + chance.randrange(1, 64) :]


def _twice(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    part = data[start : start + chance.randrange(1, 256)]
    return data[:start] + part * chance.choice((2, 2, 50)) + data[start:]


def _noise(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    return data[:start] + chance.randbytes(chance.randrange(1, 16)) + data[start:]


def _number(data: bytes, chance: random.Random) -> bytes:
    """Another number in the place of one."""
    places = [at for at, letter in enumerate(data) if letter in b"0123456789"]
    if not places:
        return data
    at = chance.choice(places)
    return data[:at] + chance.choice(NUMBERS) + data[at + 1 :]


def _text(data: bytes, chance: random.Random) -> bytes:
    """Another text behind a quotation mark."""
    parts = data.split(b'"')
    parts[chance.randrange(len(parts))] = chance.choice(TEXTS).encode("utf-8", "replace")
    return b'"'.join(parts)


def _length(data: bytes, chance: random.Random) -> bytes:
    """Another length in front, as safetensors has one."""
    return struct.pack("<Q", chance.choice((0, 1, 2**31, 2**40, 2**63, len(data), len(data) * 2))) + data[8:]


def _larger(data: bytes, chance: random.Random) -> bytes:
    """Four bytes that may be a size, as large as can be."""
    at = chance.randrange(max(1, len(data) - 4))
    return data[:at] + chance.choice((b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4))) + data[at + 4 :]


MUTATIONS: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    flipped,
    *(_cut, _without, _twice, _noise, _number, _number, _text, _text, _length, _larger),
)


def value(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON value."""
    kind = chance.randrange(8 if depth < 4 else 5)
    if kind == 7:
        deep: Any = []
        for _ in range(chance.choice((3, 200, 5000))):
            deep = [deep]
        return deep
    if kind == 6:
        return {chance.choice(("file_name", "captions", "id", "", *TEXTS)): value(chance, depth + 1) for _ in range(3)}
    if kind == 5:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return (
        None,
        chance.choice((True, False)),
        chance.choice((0, -1, 10**400, 2**64, 3)),
        1.5e300,
        chance.choice(TEXTS),
    )[kind]


def _dumped(found: Any) -> bytes:
    try:
        return json.dumps(found).encode()
    except RecursionError:
        return b"[" * 100_000


@dataclass(frozen=True)
class Hostile:
    """A command that reads something hostile, in a folder where that lies."""

    words: tuple[object, ...]
    what: str


Maker = Callable[[Path, random.Random, "Good"], Hostile]


@dataclass(frozen=True)
class Good:
    """Valid inputs: a folder of pictures and a finished run of two of them."""

    pictures: Path
    run: Path


def a_patch(place: Path, chance: random.Random, good: Good) -> Hostile:
    data = (good.run / PATCH).read_bytes()
    if chance.random() < 0.3:
        # Well-formed on the outside: the header is read, and what it tells is odd.
        (length,) = struct.unpack("<Q", data[:8])
        head = mutated(data[8 : 8 + length], chance) if chance.random() < 0.7 else _dumped(value(chance))
        (place / PATCH).write_bytes(struct.pack("<Q", len(head)) + head + data[8 + length :])
    else:
        (place / PATCH).write_bytes(mutated(data, chance))
    shutil.copy(good.run / PATCH, place / "good.safetensors")
    out = ("--out", "out.safetensors")
    words = chance.choice(
        (
            ("patch", "show", PATCH, *chance.choice(((), ("--json",)))),
            ("patch", "diff", PATCH, "good.safetensors"),
            ("patch", "stack", "good.safetensors", PATCH, *out),
            ("patch", "blend", PATCH, "--weight", "0.5", *out),
            ("apply", "demo", PATCH, "--out", "applied"),
        )
    )
    return Hostile(words, "patch")


def a_recipe(place: Path, chance: random.Random, good: Good) -> Hostile:
    if chance.random() < 0.25:
        lines = [f"{chance.choice(('model', 'data', 'samples', 'layers', 'a.b'))} = {_toml(chance)}" for _ in range(4)]
        (place / "r.toml").write_bytes("\n".join(lines).encode("utf-8", "replace"))
    else:
        (place / "r.toml").write_bytes(mutated(RECIPE.encode(), chance))
    shutil.copytree(good.pictures, place / "pictures")
    words = (("recipe", "check", "r.toml"), ("score", "--recipe", "r.toml", "--dry-run"))
    return Hostile(chance.choice(words), "recipe")


def _toml(chance: random.Random) -> str:
    return chance.choice(
        ('"""', "[[[[", "1e400", "2026-13-40", "{a=1", json.dumps(chance.choice(TEXTS)), "[" * 3000, "0x")
    )


def a_jsonl(place: Path, chance: random.Random, good: Good) -> Hostile:
    rows = [{"file_name": f"p{number:02d}.png", "captions": ["a red ball", "a ball"]} for number in range(4)]
    data = b"\n".join(json.dumps(row).encode() for row in rows)
    if chance.random() < 0.3:
        made = [_dumped({"file_name": f"p{n:02d}.png", "captions": value(chance)}) for n in range(3)]
        data = b"\n".join([*made, _dumped(value(chance))])
    else:
        data = mutated(data, chance)
    return _dataset(place, chance, good, "metadata.jsonl", data)


def a_csv(place: Path, chance: random.Random, good: Good) -> Hostile:
    data = b"file_name,caption\n" + b"".join(b'p%02d.png,"a red ball, ""big"""\n' % number for number in range(4))
    if chance.random() < 0.3:
        data = b"\n".join(
            chance.choice((b'"', b",,,", b"file_name", b"\0", b"caption,text", b"p00.png")) for _ in range(6)
        )
    else:
        data = mutated(data, chance)
    return _dataset(place, chance, good, "metadata.csv", data)


def _dataset(place: Path, chance: random.Random, good: Good, name: str, data: bytes) -> Hostile:
    shutil.copytree(good.pictures, place / "pictures")
    (place / "pictures" / name).write_bytes(data)
    return Hostile(_scoring("pictures", chance), name)


def _scoring(data: str, chance: random.Random) -> tuple[object, ...]:
    words = (
        "score",
        "demo",
        "--data",
        data,
        "--samples",
        2,
        "--layers",
        "3",
        "--scorer",
        "exact",
        "--max-new-tokens",
        3,
    )
    return (*words, *chance.choice((("--dry-run",), ("--dry-run",), ("--out", "run"))))


def a_coco(place: Path, chance: random.Random, good: Good) -> Hostile:
    document = {
        "images": [{"id": number, "file_name": f"p{number:02d}.png"} for number in range(4)],
        "annotations": [{"id": n, "image_id": n // 2, "caption": "a red ball"} for n in range(8)],
    }
    if chance.random() < 0.3:
        key = chance.choice(("images", "annotations"))
        document[key] = chance.choice((value(chance), [value(chance) for _ in range(3)]))  # type: ignore[assignment]
        data = _dumped(document)
    else:
        data = mutated(json.dumps(document).encode(), chance)
    (place / "c.json").write_bytes(data)
    shutil.copytree(good.pictures, place / "pictures")
    return Hostile(_scoring("coco:c.json:pictures/", chance), "COCO")


def a_picture(place: Path, chance: random.Random, good: Good) -> Hostile:
    form = chance.choice(("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"))
    buffer = io.BytesIO()
    Image.open(good.pictures / "p00.png").convert("RGB").save(buffer, form)
    data = mutated(buffer.getvalue(), chance)
    if chance.random() < 0.2:
        # A bomb: a picture that says it has 4 thousand million pixels.
        data = bytearray(bomb())
        data[16:24] = struct.pack(">II", chance.choice((65535, 2**31 - 1, 0)), chance.choice((65535, 2**31 - 1)))
    (place / "p.png").write_bytes(bytes(data))
    return Hostile(("caption", "demo", "p.png"), f"picture ({form})")


def bomb() -> bytes:
    """A large picture in a small file."""
    buffer = io.BytesIO()
    Image.new("1", (2000, 2000)).save(buffer, "PNG")
    return buffer.getvalue()


def a_run(place: Path, chance: random.Random, good: Good) -> Hostile:
    shutil.copytree(good.run, place / "run")
    name = chance.choice((STORE, STORE, STORE, PATCH, "recipe.toml"))
    (place / "run" / name).write_bytes(mutated((good.run / name).read_bytes(), chance))
    return Hostile(chance.choice(RUN_COMMANDS), f"run folder ({name})")


RUN_COMMANDS: list[tuple[object, ...]] = [
    ("report", "run", "--out", "page.html"),
    ("runs", "list", "."),
    ("runs", "show", "run"),
    ("runs", "resume", "run"),
    ("runs", "export", "run", "--out", "rows.csv"),
    ("runs", "export", "run", "--out", "rows.parquet", "--table", "importances"),
    ("score", "demo", "--data", "demo", "--samples", 2, "--layers", 3, "--out", "run"),
]
MAKERS: tuple[Maker, ...] = (a_patch, a_patch, a_recipe, a_recipe, a_jsonl, a_csv, a_coco, a_picture, a_run, a_run)


def hostile(count: int, place: Path, good: Good) -> Iterator[tuple[Path, Hostile]]:
    """That many, each in a folder of its own, which the caller removes; the same each time."""
    for number in range(count):
        folder = place / f"{number:03d}"
        folder.mkdir()
        yield folder, MAKERS[number % len(MAKERS)](folder, random.Random(number), good)
