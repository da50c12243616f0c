"""headprune recipe: check and schema."""

from __future__ import annotations

import json


def test_check_shows_every_setting_and_its_source(place):
    (place / "recipe.toml").write_text('model = "model"\nsamples = 7\n[generation]\nnum_beams = 3\n')
    document = place.document("recipe", "check", "recipe.toml")
    assert (document["recipe"]["samples"], document["recipe"]["generation"]["num_beams"]) == (7, 3)
    sources = document["sources"]
    assert (sources["samples"], sources["generation.num_beams"], sources["seed"]) == ("recipe", "recipe", "default")
    table = place.run("recipe", "check", "recipe.toml")
    rows = [line.split() for line in table.stdout.splitlines()]
    assert (table.exit_code, table.stderr) == (0, "")
    assert ["samples", "7", "recipe"] in rows and ["layers", "all", "default"] in rows


def test_check_refuses_what_a_run_would(place):
    (place / "recipe.toml").write_text('model = "model"\nscorer = "cidre"\n')
    assert "did you mean 'cider'" in place.refuses(3, "recipe", "check", "recipe.toml")
    assert "cannot be read" in place.refuses(2, "recipe", "check", "none.toml")


def test_schema_is_a_json_schema(place):
    result = place.run("recipe", "schema")
    schema = json.loads(result.stdout)
    assert result.exit_code == 0 and schema["type"] == "object"
    assert {"model", "samples", "scorer", "generation", "evaluate"} <= schema["properties"].keys()
    assert schema["additionalProperties"] is False
