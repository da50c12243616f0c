"""Recipes: what a file may say, what wins, and what is said about it."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headprune import demo
from headprune.errors import ExitCode, UsageError
from headprune.recipes import Recipe, dumps, read, resolve, schema_json, write
from headprune.recipes.toml import LARGEST
from headprune.types import DecodePoint, Generation, Schedule

SHIPPED = sorted((Path(__file__).parents[2] / "recipes").glob("*.toml"))
BERT = {"model_type": str(demo.bert_path()), "num_layers": demo.BERT_LAYERS}


def _file(folder: Path, text: str) -> Path:
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return folder / "recipe.toml"


def test_the_defaults() -> None:
    recipe = resolve(None, {"model": "owner/model"}).recipe
    assert (recipe.samples, recipe.seed, recipe.layers, recipe.temperature) == (100, 0, "all", 1.0)
    assert (recipe.scorer, recipe.edit, recipe.engine) == ("bertscore", "isolate", "local")
    assert (recipe.decode_at, recipe.schedule) == (DecodePoint.LAYER, Schedule.ONESHOT)
    assert (recipe.device, recipe.dtype, recipe.batch_size, recipe.device_map) == ("auto", "auto", "auto", None)
    assert recipe.generation.plain() == Generation(1, 30, None)
    assert (recipe.apply.scale, recipe.apply.prune, recipe.apply.how) == ("mean-one", None, "fold")
    assert (recipe.evaluate.scorer, recipe.evaluate.tau, recipe.evaluate.random) == ("cider", 0.95, 10)


def test_the_command_line_wins_over_the_recipe_over_the_defaults(tmp_path: Path) -> None:
    file = _file(
        tmp_path,
        'model = "owner/model"\nsamples = 40\nseed = 3\ndecode_at = "last"\n'
        "[generation]\nnum_beams = 5\nmax_new_tokens = 20\n",
    )
    overrides = {
        "samples": 12,
        "temperature": None,
        "generation": {"num_beams": 2, "prompt": None},
        "scorer_options": {},
    }
    resolved = resolve(file, overrides)
    recipe, sources = resolved.recipe, resolved.sources
    assert (recipe.samples, recipe.seed, recipe.temperature) == (12, 3, 1.0)
    assert recipe.decode_at is DecodePoint.LAST
    assert recipe.generation.plain() == Generation(2, 20, None)
    told = ("samples", "seed", "temperature", "generation.num_beams", "generation.max_new_tokens", "generation.prompt")
    assert [sources[name] for name in told] == [
        "command line",
        "recipe",
        "default",
        "command line",
        "recipe",
        "default",
    ]
    assert sources["scorer_options"] == "default"
    assert resolved.notes == ()


def test_options_are_merged_key_by_key(tmp_path: Path) -> None:
    file = _file(tmp_path, 'model = "m"\n[scorer_options]\nmodel_type = "a"\nnum_layers = 3\n')
    resolved = resolve(file, {"scorer_options": {"num_layers": "6"}})
    assert resolved.recipe.scorer_options == {"model_type": "a", "num_layers": "6"}
    assert resolved.sources["scorer_options.model_type"] == "recipe"
    assert resolved.sources["scorer_options.num_layers"] == "command line"


def test_options_of_a_scorer_are_not_handed_to_another(tmp_path: Path) -> None:
    text = 'model = "m"\n[scorer_options]\nnum_layers = 3\n[evaluate]\nscorer_options = {df = "x"}\ntau = 0.9\n'
    file = _file(tmp_path, text)
    resolved = resolve(file, {"scorer": "cider", "evaluate": {"scorer": "bleu"}})
    assert resolved.recipe.scorer_options == {}
    assert resolved.recipe.evaluate.scorer_options == {}
    assert resolved.recipe.evaluate.tau == 0.9
    assert resolved.notes == (
        "evaluate.scorer_options of the recipe are for cider, not for bleu: they are not used",
        "scorer_options of the recipe are for bertscore, not for cider: they are not used",
    )
    assert resolve(file, {"scorer": "bertscore"}).recipe.scorer_options == {"num_layers": 3}


def test_a_plugins_file_is_the_same_whichever_path_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = _file(tmp_path, 'model = "demo"\nscorer = "./mine.py:Mine"\n[scorer_options]\nleast = 2\n')
    for typed in ("./mine.py:Mine", str(tmp_path / "mine.py:Mine")):
        resolved = resolve(file, {"scorer": typed})
        assert resolved.recipe.scorer_options == {"least": 2} and resolved.notes == ()
    other = resolve(file, {"scorer": "./other.py:Mine"})
    assert other.recipe.scorer_options == {} and "are not used" in other.notes[0]


@pytest.mark.parametrize("named", [{"model": "demo", "data": "photos"}, {"model": "owner/model", "data": "demo"}])
def test_the_demo_brings_its_encoder_and_says_so(named: dict[str, Any]) -> None:
    resolved = resolve(None, named)
    assert resolved.recipe.scorer_options == BERT
    assert resolved.recipe.evaluate.convergence_options == BERT
    assert resolved.sources["scorer_options.model_type"] == "demo"
    assert resolved.sources["evaluate.convergence_options.num_layers"] == "demo"
    (note,) = resolved.notes
    assert note.startswith("demo: where BERTScore is asked for, it reads the bundled encoder")


def test_the_demo_keeps_out_of_what_the_user_chose(tmp_path: Path) -> None:
    file = _file(tmp_path, 'model = "demo"\n[evaluate.convergence_options]\nmodel_type = "mine"\n')
    chosen = resolve(file, {"scorer_options": {"num_layers": 2}})
    assert chosen.recipe.scorer_options == {"num_layers": 2}
    assert chosen.recipe.evaluate.convergence_options == {"model_type": "mine"}
    assert chosen.notes == ()
    assert resolve(file, {"scorer": "cider"}).recipe.scorer_options == {}
    assert resolve(None, {"model": "owner/demo"}).recipe.scorer_options == {}


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('\nscorrer = "cider"\n', r"line 2: unknown key 'scorrer' in the top table", "did you mean scorer?"),
        ("[generation]\nbeams = 3\n", r"line 2: unknown key 'beams' in \[generation\]", "did you mean num_beams?"),
        ("generation = {xyz = 3}\n", r"unknown key 'xyz' in \[generation\]", "num_beams, max_new_tokens, prompt"),
        ("[evaluate]\n\n  tauu = 1\n", r"line 3: unknown key 'tauu' in \[evaluate\]", "did you mean tau?"),
        ('samples = "100"\n', r"line 1: samples: Input should be a valid integer", "'100'"),
        ("samples = 0\n", r"line 1: samples: Input should be greater than 0", ""),
        ("samples = true\n", r"line 1: samples: Input should be a valid integer", ""),
        ("seed = -1\n", r"line 1: seed: Input should be greater than or equal to 0", ""),
        ("temperature = 0.0\n", r"line 1: temperature: Input should be greater than 0", ""),
        ("temperature = inf\n", r"line 1: temperature: Input should be a finite number", ""),
        ("batch_size = 0\n", r"line 1: batch_size: write auto, or a number from 1", ""),
        ("batch_size = true\n", r"line 1: batch_size: write auto, or a number from 1", ""),
        ('batch_size = "some"\n', r"line 1: batch_size: write auto, or a number from 1", ""),
        ('decode_at = "middle"\n', r"line 1: decode_at: Input should be 'layer' or 'last'", ""),
        ('layers = "first"\n', r"line 1: layers: layers 'first' cannot be read", ""),
        ("layers = 3\n", r"line 1: layers: Input should be a valid string", ""),
        ('[apply]\nscale = "paperr"\n', r"line 2: apply.scale: Input should be 'mean-one', 'paper' or 'none'", ""),
        ('evaluate = "cider"\n', r"line 1: evaluate: Input should be a valid dictionary", ""),
        ("[evaluate]\ntau = 1.5\n", r"line 2: evaluate.tau: Input should be less than or equal to 1", ""),
        ("[scorer_options]\nday = 2024-01-01\n", r"line 1: scorer_options: .*2024.* is neither text", ""),
        ("[scorer_options]\na = [1, {b = nan}]\n", r"line 1: scorer_options: nan is no setting", ""),
        ("trust_remote_code = true\n", r"line 1: trust_remote_code cannot be set from a recipe", "command line"),
        ("[dataset_options]\ntrust_remote_code = false\n", r"line 2: trust_remote_code cannot be set", ""),
        ("samples = \n", r"is no TOML: Invalid value \(at line 1", ""),
        ("samples = 1\nsamples = 2\n", r"is no TOML: ", ""),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, message: str, hint: str) -> None:
    file = _file(tmp_path, text)
    with pytest.raises(UsageError, match=rf"recipe\.toml.*{message}") as caught:
        resolve(file, {"model": "m"})
    assert hint in caught.value.hint
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_mistake_on_the_command_line_is_named_as_one(tmp_path: Path) -> None:
    file = _file(tmp_path, "samples = 5\n")
    with pytest.raises(UsageError, match="command line: samples: Input should be greater than 0"):
        resolve(file, {"model": "m", "samples": -5})
    with pytest.raises(UsageError, match="command line: unknown key 'trust_remote_code' in the top table"):
        resolve(file, {"model": "m", "trust_remote_code": True})
    with pytest.raises(UsageError, match="command line: no model is named"):
        resolve(file, {"data": "photos"})


@pytest.mark.parametrize("where", ["model", "edit_options"])
def test_text_that_no_file_can_hold_is_refused(where: str) -> None:
    broken = "caf\udce9"  # what Python makes of a command line that is not UTF-8
    with pytest.raises(UsageError, match=f"command line: {where}: "):
        resolve(None, {"model": "m"} | {where: {"a": [broken]} if where == "edit_options" else broken})


def test_a_batch_size_of_digits_is_a_number() -> None:
    assert resolve(None, {"model": "m", "batch_size": "8"}).recipe.batch_size == 8


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.toml cannot be read: No such file"):
        read(tmp_path / "gone.toml")
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read(tmp_path)
    (tmp_path / "latin.toml").write_bytes("model = 'grün'".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin\.toml is not UTF-8"):
        read(tmp_path / "latin.toml")


def test_data_has_to_be_named_somewhere() -> None:
    assert resolve(None, {"model": "m", "data": "photos"}).recipe.require_data() == "photos"
    with pytest.raises(UsageError, match="no data is named"):
        resolve(None, {"model": "m"}).recipe.require_data()


@pytest.mark.parametrize(
    ("text", "option"),
    [
        ('scorer = "./mine.py:Mine"', "--scorer {here}/mine.py:Mine"),
        ('edit = "/abs/mine.py:Mine"', "--edit /abs/mine.py:Mine"),
        ('model = "backend.py:load"', "--model backend.py:load"),
        ('[evaluate]\nscorer = "mine.py"', "--scorer {here}/mine.py"),
        ('[evaluate]\nconvergence_scorer = "../mine.py:Mine"', "--convergence-scorer {above}/mine.py:Mine"),
    ],
)
def test_a_recipe_does_not_bring_a_plugin_of_its_own(tmp_path: Path, text: str, option: str) -> None:
    file = _file(tmp_path, text)
    with pytest.raises(UsageError, match="names a file") as caught:
        resolve(file, {"data": "demo"})
    assert option.format(here=tmp_path, above=tmp_path.parent) in caught.value.hint
    with pytest.raises(UsageError, match="names a file"):
        read(file)


def test_a_recipe_may_bring_plugins_when_it_is_trusted_and_they_lie_beside_it(tmp_path: Path) -> None:
    file = _file(tmp_path, 'scorer = "./mine.py:Mine"\nadapter = "../a.py:A"\n[evaluate]\nscorer = "/b.py:B"\n')
    recipe = resolve(file, {"model": "m"}, allow_local_plugins=True).recipe
    named = (recipe.scorer, recipe.adapter, recipe.evaluate.scorer)
    assert named == (f"{tmp_path}/mine.py:Mine", f"{tmp_path.parent}/a.py:A", "/b.py:B")


def test_trust_lets_no_file_stand_for_a_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="model names a file"):
        resolve(_file(tmp_path, 'model = "backend.py:load"'), {}, allow_local_plugins=True)


def test_a_written_recipe_names_plugin_files_wherever_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = resolve(None, {"model": "m", "scorer": "./mine.py:Mine"}).recipe
    assert recipe.scorer == "./mine.py:Mine"
    again = tmp_path / "far" / "recipe.toml"
    again.parent.mkdir()
    again.write_text(dumps(recipe))
    assert resolve(again, {}, allow_local_plugins=True).recipe.scorer == f"{tmp_path}/mine.py:Mine"


def test_a_plugin_file_named_on_the_command_line_stands(tmp_path: Path) -> None:
    file = _file(tmp_path, 'model = "m"\nscorer = "./mine.py:Mine"\n')
    assert resolve(file, {"scorer": "./mine.py:Mine"}).recipe.scorer == "./mine.py:Mine"


def test_dotted_paths_start_at_the_recipe_and_on_the_command_line_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    text = (
        'model = "./model"\ndata = "coco:../c.json:./images"\n[scorer_options]\nmodel_type = "./bert"\nname = "a/b"\n'
    )
    text += '[generation]\nprompt = "./a question"\n[evaluate.scorer_options]\ndf = "../df.json"\n'
    recipe = resolve(_file(home, text), {}).recipe
    assert recipe.model == f"{home}/model"
    assert recipe.data == f"coco:{tmp_path}/c.json:{home}/images"
    assert recipe.scorer_options == {"model_type": f"{home}/bert", "name": "a/b"}
    assert recipe.evaluate.scorer_options == {"df": f"{tmp_path}/df.json"}
    assert recipe.generation.prompt == "./a question"
    typed = resolve(home / "recipe.toml", {"model": "../model", "data": "./photos"}).recipe
    assert (typed.model, typed.data) == (f"{tmp_path}/model", f"{here}/photos")


@pytest.mark.parametrize(
    "name", ["owner/model", "demo", "photos", "transformers:owner/model", "/abs/model", ".hidden/x", ".", "a./b"]
)
def test_other_names_stay_as_typed(name: str) -> None:
    assert resolve(None, {"model": name}).recipe.model == name


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text().map("k".__add__), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(), VALUES, max_size=4), TEXT, st.floats(1e-300, 1e300))
def test_what_is_written_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, options: dict[str, Any], prompt: str, temperature: float
) -> None:
    file = tmp_path_factory.getbasetemp() / "round.toml"
    overrides = {
        "model": "m",
        "temperature": temperature,
        "edit_options": {f"o{key}": value for key, value in options.items()},
        "generation": {"prompt": prompt},
        "batch_size": 7,
        "apply": {"prune": "count=2"},
    }
    recipe = resolve(None, overrides).recipe
    write(recipe, file)
    assert read(file) == recipe


def test_a_written_recipe_is_resolved_as_it_was(tmp_path: Path) -> None:
    recipe = resolve(None, {"model": "demo", "data": "demo", "samples": 7}).recipe
    write(recipe, tmp_path / "run" / "recipe.toml")
    assert resolve(tmp_path / "run" / "recipe.toml", {}).recipe == recipe
    assert "prompt" not in dumps(recipe)


def test_the_identity_is_what_determines_results() -> None:
    def identity(**changes: Any) -> dict[str, Any]:
        return resolve(None, {"model": "m", "data": "d", **changes}).recipe.identity()

    same: list[dict[str, Any]] = [{"batch_size": 3}, {"device": "cpu"}, {"device_map": "auto"}]
    same += [{"apply": {"scale": "none"}}, {"evaluate": {"tau": 0.5}}]
    for change in same:
        assert identity(**change) == identity(), change
    for change in (
        {"samples": 3},
        {"seed": 1},
        {"layers": "0"},
        {"dtype": "float16"},
        {"revision": "abc"},
        {"temperature": 2.0},
        {"generation": {"num_beams": 2}},
        {"dataset_options": {"split": "test"}},
    ):
        assert identity(**change) != identity(), change
    assert json.loads(json.dumps(identity())) == identity()


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_every_shipped_recipe_is_one(file: Path) -> None:
    recipe = resolve(file, {}).recipe
    assert recipe.require_data() in ("demo", "whoops")


def test_every_figure_and_table_of_the_paper_has_a_recipe_and_a_twin_on_the_demo() -> None:
    shipped = {file.stem: read(file) for file in SHIPPED}
    paper = {"table1", *(f"figure{number}" for number in range(1, 7))}
    assert shipped.keys() == paper | {f"demo-{name}" for name in paper}
    for name in paper:
        assert shipped[name].data == "whoops" and "flan-t5-x" in shipped[name].model
        assert (shipped[f"demo-{name}"].model, shipped[f"demo-{name}"].data) == ("demo", "demo")
    assert (shipped["table1"].model, shipped["table1"].samples) == ("Salesforce/blip2-flan-t5-xxl", 100)


def test_where_means_come_from_is_taken_from_the_recipes_folder(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text('model = "demo"\n[lesion]\nmeans_data = "./pictures"\n')
    assert read(tmp_path / "recipe.toml").lesion.means_data == str(tmp_path / "pictures")
    (tmp_path / "recipe.toml").write_text('model = "demo"\n[lesion]\nmeans_data = "./reader.py:Reader"\n')
    with pytest.raises(UsageError, match=r"lesion.means_data names a file"):
        read(tmp_path / "recipe.toml")


def test_the_schema_names_and_describes_every_setting() -> None:
    schema = json.loads(schema_json())
    assert schema["properties"].keys() == Recipe.model_fields.keys()
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["model"]
    assert all("description" in entry or "$ref" in entry for entry in schema["properties"].values())


def test_the_demos_evaluation_by_bertscore_has_the_encoder_too() -> None:
    asked = {"model": "demo", "data": "demo", "evaluate": {"scorer": "bertscore"}}
    assert resolve(None, asked).recipe.evaluate.scorer_options == BERT
    assert resolve(None, {**asked, "evaluate": {"scorer": "cider"}}).recipe.evaluate.scorer_options == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 50_000, "nested too deep"),
        ("a" + ".a" * 50_000 + " = 1", "line 1 has more than 1000 dots"),
        ("x = 1\n[" + '"b" . ' * 1500 + "c]", "line 2 has more than 1000 dots"),
        ("[scorer_options]\na = " + "[" * 20 + "]" * 20, "nested too deep"),
        ("seed = 0x" + "F" * 5000, "a number of more than 1024 bits"),
        ("[scorer_options]\na = [0x1" + "0" * 256 + "]", "a number of more than 1024 bits"),
        ("samples = " + "9" * 5000, "integer string conversion"),
        ('model = "./a\\u0000"', "NUL character"),
        ("#" * (LARGEST + 1), f"larger than {LARGEST:,} bytes"),
        ("a" * 100_000 + " = 1", "unknown key"),
        (" " * 100_000 + '"" = 1', "unknown key"),
        ('layers = "' + "1," * 50_000 + '"', "line 1: layers: layers '1,1"),
        ("dtype = '" + "x" * 100_000 + "'", "Input should be"),
        ('model = "' + "x" * 9000 + '.py"', "names a file"),
        ('"' * 100_000, "is no TOML"),
    ],
)
def test_a_hostile_recipe_is_refused_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        resolve(_file(tmp_path, text), {})
    assert len(str(caught.value)) < 2000


def test_a_recipe_may_come_from_a_pipe_and_never_ends_on_a_device(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor() as threads:
        threads.submit((tmp_path / "pipe").write_text, 'model = "m"')
        assert read(tmp_path / "pipe").model == "m"
    with pytest.raises(UsageError, match="it is larger than"):
        read("/dev/zero")


@pytest.mark.parametrize("value", [3, 0.5, True, ["./a"]])
def test_an_option_called_like_a_path_need_be_none(tmp_path: Path, value: Any) -> None:
    """Found by fuzzing."""
    file = _file(tmp_path, f'model = "m"\n[edit_options]\nmodel = {json.dumps(value)}\n')
    assert resolve(file, {}).recipe.edit_options == {"model": value}


def test_the_home_of_nobody_is_a_folder_like_others(tmp_path: Path) -> None:
    file = _file(tmp_path, 'model = "m"\nscorer = "~nobody-of-that-name/mine.py:Mine"\n')
    with pytest.raises(UsageError, match="names a file"):
        resolve(file, {})
    assert resolve(file, {}, allow_local_plugins=True).recipe.scorer.endswith("/~nobody-of-that-name/mine.py:Mine")
