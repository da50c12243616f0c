"""A hub model is loaded from one commit, and that commit is recorded."""

from __future__ import annotations

import pytest

from headprune import demo, load_model
from tests.support.hub import COMMIT, downloaded, offline

CODE = """
import headprune
from headprune.towers.load import outline_model
from headprune_transformers import backend

asked = []
read = backend._reading

def reading(request, *others, **more):
    asked.append(getattr(request.revision, "resolved", None))
    return read(request, *others, **more)

backend._reading = reading
request = headprune.LoadRequest("", revision={revision!r})
print(headprune.load_model("own/demo", request).ref.revision, *sorted({{*map(str, asked)}}), len(asked) > 2)
print(outline_model("own/demo", request).geometry)
"""


@pytest.mark.parametrize("revision", [None, "main", COMMIT])
def test_the_commit_that_a_revision_stands_for_is_loaded_and_recorded(tmp_path, revision):
    downloaded(demo.model_path(), "own/demo", tmp_path)
    loaded, outlined = offline(CODE.format(revision=revision), tmp_path).splitlines()
    assert loaded == f"{COMMIT} {COMMIT} True" and "8 layers x 8 heads" in outlined


def test_a_folder_has_none():
    assert load_model("demo").ref.revision is None
