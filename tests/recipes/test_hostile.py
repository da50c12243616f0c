"""Any text is a recipe that is written and read again equal, or is refused in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headprune.errors import UsageError
from headprune.recipes import Recipe, dumps, read, resolve
from tests.fuzz.recipe import fuzzed

PIECES = [
    *('model = "m"\n', 'model = "./m"\n', "samples = 3\n", "seed = -1\n", 'layers = "last:2"\n', "temperature = nan\n"),
    *(
        'scorer = "judge"\n',
        'scorer = "./a.py:A"\n',
        "[scorer_options]\n",
        "[evaluate]\n",
        "[evaluate.scorer_options]\n",
    ),
    *(
        'base_url = "https://x"\n',
        "trust_remote_code = true\n",
        "[[lesion]]\n",
        'together = ["0-1"]\n',
        "a = 1979-05-27\n",
    ),
    *(
        "[generation]\n",
        "prompt = '''\n",
        "'''",
        '"""',
        "a.b.c = {d = [1, 2.5]}\n",
        "[",
        "]",
        "{",
        "}",
        "=",
        '"',
        ".",
        "#",
    ),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("recipe")


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=12))
def test_any_text(folder: Path, pieces: list[str]) -> None:
    fuzzed("".join(pieces).encode(), folder)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(folder: Path, content: bytes) -> None:
    fuzzed(content, folder)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OPTIONS = st.dictionaries(TEXT, VALUES, max_size=2)
COUNTS, SHARES = st.integers(1, 2**40), st.floats(0, 1, exclude_min=True)
LAYERS = st.sampled_from(["all", "last:4", "24-28", "3,7", "-1"])
OPTIONAL: dict[str, Any] = {
    "data": TEXT, "dataset": TEXT, "adapter": TEXT, "scorer": TEXT, "edit": TEXT, "listener": TEXT, "device": TEXT,
    "engine": st.sampled_from(["local", "ray"]), "patience": st.floats(0, 1e300),
    "revision": TEXT, "device_map": TEXT, "samples": COUNTS, "seed": st.integers(0, 2**63 - 1),
    "layers": LAYERS, "temperature": st.floats(1e-300, 1e300), "decode_at": st.sampled_from(["layer", "last"]),
    "schedule": st.sampled_from(["oneshot", "sequential"]), "batch_size": st.just("auto") | COUNTS,
    "dtype": st.sampled_from(["auto", "float32"]), "scorer_options": OPTIONS, "edit_options": OPTIONS,
    "listener_options": OPTIONS, "dataset_options": OPTIONS,
    "generation": st.fixed_dictionaries({}, optional={"num_beams": COUNTS, "max_new_tokens": COUNTS, "prompt": TEXT}),
    "apply": st.fixed_dictionaries({}, optional={"prune": TEXT, "max_drop": SHARES}),
    "evaluate": st.fixed_dictionaries({}, optional={"scorer": TEXT, "scorer_options": OPTIONS, "tau": SHARES}),
    "ray": st.fixed_dictionaries({}, optional={"address": st.just("auto"), "workers": COUNTS, "gpus": st.floats(0, 9)}),
    "dataflow": st.fixed_dictionaries({}, optional={"token": TEXT}),
    "heatmap": st.fixed_dictionaries({}, optional={"outliers": st.floats(0, 1e300)}),
    "lesion": st.fixed_dictionaries({}, optional={"together": st.lists(LAYERS, max_size=2), "means_options": OPTIONS}),
}  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(st.fixed_dictionaries({"model": TEXT}, optional=OPTIONAL))
def test_every_setting_reads_back_equal(folder: Path, values: dict[str, Any]) -> None:
    recipe = Recipe.model_validate(values)
    (folder / "round.toml").write_text(dumps(recipe), encoding="utf-8")
    try:
        again = resolve(folder / "round.toml", {}, allow_local_plugins=True).recipe
    except UsageError as error:
        # Of what can stand in one there is more than a recipe may say: a file of Python's in the place of data.
        assert "names a file" in error.message, error
        return
    # Of a path that begins with a dot the folder is another one.
    if "./" not in str(values) and ".py" not in str(values) and "demo" not in (values["model"], values.get("data")):
        assert again == recipe and resolve(folder / "round.toml", {"samples": recipe.samples}, True).recipe == recipe
        assert read(folder / "round.toml") == recipe
