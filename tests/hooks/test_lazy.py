"""What loads when: no torch before it is needed, and every public name in the end."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import headprune
from headprune import save_patch
from headprune.errors import DataError
from headprune.runs import RunFolder
from tests.support.patches import patch_of

HEAVY = ("torch", "transformers", "datasets", "bert_score", "nltk", "mlflow", "wandb")
FOR_RESULTS = ("rich", "numpy")
WATCHED = """
import sys
sys.argv = ["headprune", *sys.argv[1:]]
from headprune.cli.app import main
try:
    main()
finally:
    loaded = [name for name in {heavy!r} if name in sys.modules]
    print("loaded", *loaded, file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--help"], "evaluate"),
        (["score", "--help"], "--scorer-option"),
        (["plugins", "list"], "bertscore"),
        (["patch", "show", "patch.safetensors"], "isolate"),
        (["recipe", "schema"], "decode_at"),
        (["runs", "list"], "finished"),
        (["runs", "show", "run"], "a cat on a mat is gone"),
        (["runs", "export", "run", "--out", "results.csv"], "1 row"),
    ],
)
def test_light_commands_load_no_torch(tmp_path: Path, words: list[str], shown: str):
    save_patch(patch_of([[0.1, 0.2], [0.3, 0.4]]), tmp_path / "patch.safetensors")
    with RunFolder.claim(tmp_path / "run", {"model": "demo"}, "") as run:
        run.store.add_captions(run.store.context({}), {("a", 0, 0): "a cat"})
        run.store.log.error(DataError("a cat on a mat is gone"))
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(heavy=HEAVY), *words],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "loaded"), done.stderr
    assert shown in done.stdout


def test_help_starts_without_what_only_results_need():
    done = subprocess.run(
        [sys.executable, "-c", WATCHED.format(heavy=(*HEAVY, *FOR_RESULTS)), "--help"],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "loaded"), done.stderr


def test_importing_headprune_loads_no_torch():
    code = f"import sys, headprune; dir(headprune); print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", headprune.__all__)
def test_every_public_name_resolves(name: str):
    assert getattr(headprune, name) is not None
    assert name in dir(headprune)


def test_the_names_for_type_checkers_are_the_public_names():
    tree = ast.parse(Path(headprune.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    homes = {
        (alias.asname, node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert sorted(name for name, _ in homes) == headprune.__all__
    assert {headprune._HOME_OF[name] for name in headprune.__all__} == {home for _, home in homes}
    assert all(headprune._HOME_OF[name] == home for name, home in homes)


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        headprune.nosuch  # noqa: B018
