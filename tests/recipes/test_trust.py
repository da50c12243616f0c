"""A recipe may come from anybody: what it may not do until its user says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from headprune.errors import UsageError
from headprune.recipes import read, resolve

JUDGE = 'model = "m"\nscorer = "judge"\n[scorer_options]\n'


def _file(folder: Path, text: str) -> Path:
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return folder / "recipe.toml"


@pytest.mark.parametrize(
    ("text", "option", "typed"),
    [
        (
            JUDGE + 'base_url = "https://evil.example/v1"',
            "scorer_options.base_url",
            {"scorer_options": {"base_url": "x"}},
        ),
        (JUDGE + 'api_key_env = "AWS_SECRET"', "scorer_options.api_key_env", {"scorer_options": {"api_key_env": "x"}}),
        (JUDGE + 'cache = "/home/me/notes.sqlite"', "scorer_options.cache", {"scorer_options": {"cache": "x"}}),
        (
            'model = "m"\nlistener = "jsonl"\n[listener_options]\npath = "~/.bashrc"',
            "listener_options.path",
            {"listener_options": {"path": "x"}},
        ),
        (
            'model = "m"\nlistener = "mlflow"\n[listener_options]\ntracking_uri = "https://evil.example"',
            "listener_options.tracking_uri",
            {"listener_options": {"tracking_uri": "x"}},
        ),
        (
            'model = "m"\nlistener = "wandb"\n[listener_options]\ndir = "/etc"',
            "listener_options.dir",
            {"listener": "jsonl"},
        ),
        (
            'model = "m"\n[evaluate]\nscorer = "judge"\nscorer_options = {base_url = "https://evil.example"}',
            "evaluate.scorer_options.base_url",
            {"evaluate": {"scorer_options": {"base_url": "x"}}},
        ),
        (
            'model = "m"\n[evaluate]\nconvergence_scorer = "judge"\nconvergence_options = {cache = "/x"}',
            "evaluate.convergence_options.cache",
            {"evaluate": {"convergence_scorer": "bertscore"}},
        ),
    ],
)
def test_where_things_go_is_for_the_command_line(
    tmp_path: Path, text: str, option: str, typed: dict[str, object]
) -> None:
    file = _file(tmp_path, text)
    for reading in (lambda: read(file), lambda: resolve(file, {})):
        with pytest.raises(UsageError, match=rf"{option} says where \w+ writes, whom it talks to") as caught:
            reading()
    assert "trust the recipe: --allow-local-plugins" in caught.value.hint
    name = option.rpartition(".")[2]
    assert f"-option {name}=" in caught.value.hint or "convergence" in option
    resolve(file, typed)
    resolve(file, {}, allow_local_plugins=True)


def test_a_cluster_is_for_the_command_line(tmp_path: Path) -> None:
    file = _file(tmp_path, 'model = "m"\nengine = "ray"\n[ray]\naddress = "evil.example:6379"\n')
    for reading in (lambda: read(file), lambda: resolve(file, {})):
        with pytest.raises(UsageError, match=r"ray\.address says whose cluster gets your pictures") as caught:
            reading()
        assert caught.value.hint.startswith("--address evil.example:6379, or trust the recipe: --allow-local-plugins")
    assert resolve(file, {"ray": {"address": "mine:1"}}).recipe.ray.address == "mine:1"
    assert resolve(file, {}, allow_local_plugins=True).recipe.ray.address == "evil.example:6379"
    assert resolve(file, {"engine": "local"}).recipe.ray.address == "evil.example:6379"
    near = 'model = "m"\nengine = "ray"\n[ray]\naddress = "auto"\n'
    assert resolve(_file(tmp_path, near), {}).recipe.ray.address == "auto"


def test_the_options_are_a_plugins_own(tmp_path: Path) -> None:
    text = 'model = "m"\n[scorer_options]\nbase_url = "https://evil.example"\ncache = "x"\n'
    assert resolve(_file(tmp_path, text), {}).recipe.scorer == "bertscore"  # which refuses what it does not know
    with pytest.raises(UsageError, match=r"scorer_options\.base_url"):
        resolve(_file(tmp_path, text.replace("[", 'scorer = "judge"\n[', 1)), {})


def test_a_file_to_write_is_not_taken_for_a_server(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"scorer_options\.cache"):
        resolve(_file(tmp_path, f'{JUDGE}cache = "http://localhost/../../notes.sqlite"\n'), {})


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:1", "[::1]:8000"])
def test_a_server_on_this_machine_may_be_named(tmp_path: Path, host: str) -> None:
    file = _file(tmp_path, f'{JUDGE}base_url = "http://{host}/v1"\n')
    assert resolve(file, {}).recipe.scorer_options == {"base_url": f"http://{host}/v1"}


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost.evil.example/v1",
        "http://localhost@evil.example/v1",
        "http://127.0.0.1@evil.example",
        "//localhost/v1",
        "file://localhost/etc",
        "http://[::1/v1",
        "http://2130706433/v1",
        "http://0x7f.1/v1",
        "http://evil.example\\\\@localhost/v1",
        "http://localhost\\\\@evil.example/v1",
        "http://localhost/v1#@evil.example",
        "http://localhost:80:evil.example",
        "http://localhost/v1\\n",
    ],
)
def test_a_server_that_only_looks_like_it_may_not(tmp_path: Path, url: str) -> None:
    with pytest.raises(UsageError, match=r"scorer_options\.base_url"):
        resolve(_file(tmp_path, f'{JUDGE}base_url = "{url}"\n'), {})
