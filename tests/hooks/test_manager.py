"""Plugins one by one: a good one counts, and a broken one harms nobody but itself."""

from __future__ import annotations

import pytest

from headprune.errors import ExitCode, PluginError
from headprune.hooks.catalogue import catalogue, make_scorer
from headprune.hooks.manager import Plugin, installed_plugins
from headprune.hooks.specs import ScorerSpec

GOOD = """
import headprune

@headprune.hookimpl
def headprune_scorers():
    return [headprune.ScorerSpec("fine", "good:Fine", "a constant")]

class Fine(headprune.Scorer):
    def score(self, batch):
        return [0.5 for _ in batch]
"""


def hook(body: str, name: str = "headprune_scorers()") -> str:
    return f"import headprune\n@headprune.hookimpl\ndef {name}: {body}\n"


SPEC = "return [headprune.ScorerSpec('bad', 'bad:Bad', 'none', {})]"
BROKEN = {
    "import": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module' at bad.py line 1"),
    "syntax": ("def (", "at bad.py line 1"),
    "exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "misspelt hook": (
        hook("return []", "headprune_scorer()"),
        "no hook headprune_scorer (bad.py line 2): did you mean headprune_scorers?",
    ),
    "unknown argument": (hook("return []", "headprune_scorers(config)"), "asks for config (bad.py line 2)"),
    "raises": (hook("return 1 / 0"), "ZeroDivisionError: division by zero at bad.py line 3"),
    "no list": (
        hook("return 'cider'"),
        "headprune_scorers must return a list of ScorerSpec, not 'cider' (bad.py line 2)",
    ),
    "nothing": (hook("pass"), "headprune_scorers must return a list of ScorerSpec, not None"),
    "another kind": (hook("return [headprune.EditSpec('bad', 'bad:Bad', 'none')]"), "must return a list of ScorerSpec"),
    "no mark": (
        "def headprune_scorers(): return []",
        "headprune_scorers is not marked (bad.py line 1): put @headprune.hookimpl above it",
    ),
    "no hook": ("import headprune", "no hook at all"),
    "newer hooks": ("HEADPRUNE_HOOKS = 2\n" + hook("return []"), "pip install --upgrade headprune"),
    "older hooks": ("HEADPRUNE_HOOKS = 0\n" + hook("return []"), "upgrade that package"),
    "requirement": (hook(SPEC.format("('torch >> 2',)")), "InvalidRequirement"),
    "requires as text": (hook(SPEC.format("('torch')")), "requires of 'bad' must be a tuple of requirements"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_plugin_says_why_and_the_others_work(install, case):
    source, reason = BROKEN[case]
    before = {plugin.name: plugin for plugin in installed_plugins()}
    install("good", GOOD)
    install("bad", source)
    plugins = {plugin.name: plugin for plugin in installed_plugins()}
    assert reason in plugins.pop("bad").broken
    assert plugins.pop("good") == Plugin(
        "good", "good-package", "1.5", (ScorerSpec("fine", "good:Fine", "a constant"),)
    )
    assert plugins == before and not any(plugin.broken for plugin in before.values())
    assert make_scorer("fine", {}).score([1, 2]) == [0.5, 0.5]


def test_naming_a_broken_plugin_is_refused_with_its_reason(install):
    install("bad", "import no_such_module")
    with pytest.raises(PluginError, match=r"plugin 'bad' is broken: .*no_such_module") as caught:
        make_scorer("bad", {})
    assert caught.value.exit_code == ExitCode.PLUGIN
    assert caught.value.hint


def test_a_class_that_does_not_import_is_the_plugins_fault(install):
    install("good", GOOD.replace("good:Fine", "good:Missing"))
    with pytest.raises(PluginError, match=r"good:Missing: AttributeError"):
        make_scorer("fine", {})


def test_a_class_of_another_kind_is_refused(install):
    install("good", GOOD.replace("(headprune.Scorer)", ""))
    with pytest.raises(PluginError, match=r"no subclass of headprune\.Scorer"):
        make_scorer("fine", {})


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (GOOD.replace("def score", "def scores"), "abstract"),
        (GOOD + "    def __init__(self, settings=None):\n        raise KeyError('weights')\n", "KeyError: 'weights'"),
    ],
)
def test_a_class_that_cannot_be_made_is_the_plugins_fault(install, source, reason):
    install("good", source)
    with pytest.raises(PluginError, match=rf"scorer 'fine' failed at good.py line \d+: .*{reason}") as caught:
        make_scorer("fine", {})
    assert caught.value.__cause__ is not None


def test_two_plugins_with_one_name_are_refused_and_neither_wins(install):
    install("good", GOOD)
    install("twin", GOOD)
    with pytest.raises(PluginError, match=r"scorer 'fine' is offered by 2 plugins") as caught:
        make_scorer("fine", {})
    assert "uninstall" in caught.value.hint
    assert catalogue().names("scorer").count("fine") == 2


@pytest.mark.parametrize("requirement", ["no-such-package>=2", "numpy>=1000"])
def test_unmet_requirements_are_named_before_the_import(install, requirement):
    install("good", GOOD.replace('"a constant"', f'"a constant", ("pluggy", "{requirement}")'))
    with pytest.raises(PluginError, match=f"needs {requirement}") as caught:
        make_scorer("fine", {})
    assert caught.value.hint == f"pip install '{requirement}'"


def test_met_requirements_are_no_hindrance(install):
    install("good", GOOD.replace('"a constant"', '"a constant", ("pluggy>=1", "numpy")'))
    assert make_scorer("fine", {}).score([1]) == [0.5]
