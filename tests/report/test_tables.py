"""Tables of runs: their numbers, and CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
import math

import numpy as np
import pytest

from headprune.perspectives.run import load_run
from headprune.report.tables import Table, csv_text, tables, told
from tests.support.runs import Runs


def read(table: Table) -> list[list[str]]:
    return [*csv.reader(io.StringIO(csv_text(table), newline=""))]


def found(run) -> dict[str, Table]:
    return {table.name: table for table in tables(load_run(run))}


@pytest.mark.parametrize("formula", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\uff1d1", "-"])
def test_text_that_a_spreadsheet_would_run_is_led_by_an_apostrophe(formula):
    rows = read(Table("t", "t", (formula, "x"), ((formula, -1.5), ("fine = so", -2)), 1))
    assert rows[0][0][0] == rows[1][0][0] == "'"
    assert rows[1][1] == "-1.5", "a number is a number"
    assert rows[2] == ["fine = so", "-2"]


def test_commas_quotes_and_lines_stay_in_their_cell():
    text = 'a, "b"; c'
    assert read(Table("t", "t", ("x", "y"), ((text, "l\nm"),), 1))[1] == [text, "l\N{REPLACEMENT CHARACTER}m"]


def test_no_number_is_an_empty_cell():
    assert read(Table("t", "t", ("x", "y", "z"), ((None, math.nan, 0.5),), 1))[1] == ["", "", "0.5"]


def test_captions_and_changes_of_layers(tmp_path):
    runs = Runs(tmp_path)
    layers = runs.layers_found()
    made = found(runs.save("layers", "layers", layers))
    assert made["change"].rows == tuple((layer, one.mean, one.low, one.high) for layer, one in enumerate(layers.change))
    said = made["captions"]
    assert said.columns == ("sample", "layer", "caption", "dS")
    assert said.rows[4] == ("p1.png", 1, "caption before 1.1", layers.scores[1, 1])
    assert (made["change"].long, said.long) == (False, True)


def test_both_sides_stand_in_one_table(tmp_path):
    runs = Runs(tmp_path)
    made = found(runs.save("layers", "layers", runs.layers_found(), runs.layers_found("after")))["captions"]
    assert made.columns[0] == "model"
    assert [row[0] for row in made.rows] == ["as it is"] * 6 + ["with the patch"] * 6
    assert made.rows[6][3] == "caption after 0.0"


def test_heatmaps_and_their_outliers(tmp_path):
    runs = Runs(tmp_path)
    heatmap = runs.heatmap_found()
    made = found(runs.save("heatmap", "heatmap", heatmap))
    first = heatmap.mean_attention[0]
    assert made["attention"].rows[0][:4] == (0, first.mean, first.low, first.high)
    assert made["pictures"].rows[5][:3] == ("p1.png", 2, heatmap.attention[1, 2])
    assert made["outliers"].rows == (("p0.png", 0, 1, 2, 9.5), ("p1.png", 0, 1, 2, 9.5))


def test_heads_and_the_layer_that_they_are_of(tmp_path):
    runs = Runs(tmp_path)
    made = found(runs.save("heads", "heads", runs.heads_found((2,))))["captions"]
    assert made.rows[:3] == (
        ("p0.png", 2, None, "caption whole 0.2"),
        ("p0.png", 2, 0, "caption before 0.2.0"),
        ("p0.png", 2, 1, "caption before 0.2.1"),
    )


def test_a_table_is_told_curve_by_curve():
    rows = (("a", 0, 0.5), ("a", 1, 0.25), ("a", 2, 0.75), ("b", 0, np.nan), ("b", 1, 1.0), ("b", 2, None))
    words = told(Table("t", "t", ("lesion", "layer", "mean"), rows, 2))
    assert words == (
        "lesion a: 0.5 at layer 0, 0.75 at layer 2; lowest 0.25 at 1, highest 0.75 at 2. lesion b: 1 at layer 1."
    )
