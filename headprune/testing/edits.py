"""What every edit promises, as tests that a plugin author inherits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import combinations
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from headprune.edits.edit import NEEDS, Comparable, Edit, Rows, per_head, repeated, variants_of
from headprune.edits.heads import CoefficientEdit
from headprune.testing.captures import (
    LAYER,
    PICTURES,
    Seen,
    as_its_own_stand_in,
    bundled,
    in_half_precision,
    of_one_head,
    one_by_one,
    together,
    with_silent_heads,
)
from headprune.testing.contract import Contract, assert_nothing_printed, assert_unknown_option_is_refused
from headprune.testing.leavings import RunsOut, differences, restored, state_of, state_of_process
from headprune.towers.replay import replay

_RECORDED = frozenset({"name", "sha256", "package"})
_PLACES = 50  # operations, at most, that memory runs out at


class EditContract(Contract):
    """Subclass it as `Test...` and override the fixture `edit`. It is given real layers: the bundled model's.

    Attributes:
        tolerance: by how much two numbers that ought to be equal may differ, as part of the largest.
    """

    tolerance: ClassVar[float] = 1e-4

    @pytest.fixture
    def edit(self) -> Edit:
        """The edit under test, new, with settings by which it changes something."""
        raise NotImplementedError("override the fixture `edit`")

    @pytest.fixture(autouse=True)
    def _as_before(self) -> Iterator[None]:
        """What the edit leaves behind in one test is no matter of the next."""
        before = state_of(bundled().model)
        with restored():
            yield
        if differences(before, state_of(bundled().model)):
            bundled.cache_clear()

    def test_says_what_it_is(self, edit: Edit) -> None:
        """`comparable` is a `headprune.Comparable`, `removes` a bool, `needs` a set of what there is to ask for."""
        comparable, removes = (getattr(edit, name, None) for name in ("comparable", "removes"))
        assert isinstance(comparable, Comparable), f"`comparable` is {comparable!r}, no headprune.Comparable"
        assert isinstance(removes, bool), f"`removes` is {removes!r}, neither True nor False"
        known = isinstance(edit.needs, set | frozenset) and edit.needs <= NEEDS
        assert known, f"`needs` is {edit.needs!r}, and may name {', '.join(sorted(NEEDS))}"

    def test_unknown_option_is_refused(self, edit: Edit) -> None:
        """An option that the edit does not know ends in a usage error, not in silence."""
        assert_unknown_option_is_refused(type(edit))

    def test_a_patch_records_its_settings(self, edit: Edit) -> None:
        """Settings can be written as JSON, and say all that there is to say: read again, they are the same."""
        try:
            written = json.dumps(edit.settings.model_dump(mode="json"), allow_nan=False)
        except ValueError as error:
            raise AssertionError(f"the settings are no plain JSON: {error}") from error
        again = type(edit).configured(json.loads(written)).settings
        assert again == edit.settings, f"written and read again, {edit.settings!r} is {again!r}"
        taken = sorted(_RECORDED & type(edit.settings).model_fields.keys())
        assert not taken, f"a patch records the edit itself as {taken[0]!r}: call the setting something else"

    def test_rows_fit_any_layer(self, edit: Edit) -> None:
        """A row per head and picture, also where there is one head, one picture or one head asked for."""
        for seen, heads in ((together(), [2, 5]), (one_by_one()[0], [3]), (of_one_head(), [0])):
            _variants(edit, seen, heads)

    def test_rows_keep_the_dtype(self, edit: Edit) -> None:
        """A layer in half precision has variants in half precision."""
        _variants(edit, in_half_precision())

    def test_rows_are_finite(self, edit: Edit) -> None:
        """No number is infinite or none, not even where heads say nothing but zeros."""
        _variants(edit, with_silent_heads())

    def test_deterministic(self, edit: Edit) -> None:
        """Asked again, or made anew with the same settings, it gives the same rows bit for bit."""
        first, again, anew = (_variants(some, together()) for some in (edit, edit, type(edit)(edit.settings)))
        assert _are_equal(first, again), "asked again, the same edit gives other rows"
        assert _are_equal(first, anew), "another edit with the same settings gives other rows"

    def test_pictures_do_not_depend_on_one_another(self, edit: Edit) -> None:
        """A picture's variants are the same alone and beside others."""
        whole = _variants(edit, together())
        for picture, seen in enumerate(one_by_one()):
            alone, beside = _variants(edit, seen), _part(whole, picture)
            self._assert_close(beside, alone, f"of picture {picture} differ beside others (row v*B + b is picture b)")

    def test_heads_do_not_depend_on_one_another(self, edit: Edit) -> None:
        """A head's variant is the same whichever others are asked for, and in which order."""
        whole, all_ = _variants(edit, together()), together().heads
        for heads in (*([head] for head in all_), all_[::-1]):
            found = _variants(edit, together(), heads)
            rows = torch.cat([torch.arange(head * PICTURES, (head + 1) * PICTURES) for head in heads])
            wanted = Rows(whole.residual[rows], whole.heads[rows])
            self._assert_close(found, wanted, f"of head {heads[0]} differ when others are asked for")

    def test_each_head_has_its_own_variant(self, edit: Edit) -> None:
        """No two heads have the same variant."""
        seen = together()
        rows = _variants(edit, seen)
        said = torch.cat([rows.residual, rows.heads], dim=-1).chunk(len(seen.heads))
        alike = [pair for pair in combinations(seen.heads, 2) if self._are_close(*(said[head] for head in pair))]
        assert not alike, f"the variants of heads {alike[0][0]} and {alike[0][1]} are the same"

    def test_removes_what_it_says(self, edit: Edit) -> None:
        """A variant changes what its own head says where `removes` is True, and keeps it where it is False."""
        seen = together()
        own = per_head(seen.capture.heads, len(seen.heads))
        said = per_head(_variants(edit, seen).heads, len(seen.heads)).chunk(len(seen.heads))
        for head in seen.heads:
            kept = self._are_close(said[head][..., head, :], own[..., head, :])
            found = f"the variant of head {head} {'keeps' if kept else 'changes'} what this head says"
            assert kept != edit.removes, f"{found}, and `removes` is {edit.removes}"

    def test_coefficients_of_one_change_nothing(self, edit: Edit) -> None:
        """An edit by coefficients, all of them 1, leaves what heads say as it is, bit for bit."""
        if not isinstance(edit, CoefficientEdit):
            pytest.skip("it is no edit by coefficients")
        ones = type("Ones", (type(edit),), {"coefficients": lambda self, heads, total: torch.ones(len(heads), total)})
        seen = together()
        found = _variants(ones(edit.settings), seen).heads
        wanted = repeated(seen.capture.heads, len(seen.heads))
        assert torch.equal(found, wanted), f"what heads say differs by up to {float((found - wanted).abs().max())}"

    def test_neutral_settings_change_nothing(self, edit: Edit) -> None:
        """Under the settings that it declares `neutral`, with means and donors that say what the heads say, the layer's
        output stays."""
        if edit.neutral is None:
            pytest.skip("it declares no neutral settings")
        neutral = type(edit).configured(dict(edit.neutral))
        for seen in map(as_its_own_stand_in, one_by_one()):
            rows = _variants(neutral, seen)
            output = replay(bundled().sites[LAYER], seen.capture, rows.residual, rows.heads)
            self._assert_near(output, repeated(seen.capture.output, len(seen.heads)), "the layer's output differs")

    def test_needs_are_declared(self, edit: Edit) -> None:
        """What `needs` does not name is not used: rows are the same where it is not there."""
        whole, seen = _variants(edit, together()), together()
        undeclared: dict[str, Any] = dict.fromkeys(NEEDS.difference(edit.needs))
        found = _variants(edit, Seen(seen.capture, replace(seen.context, **undeclared)))
        self._assert_close(found, whole, "differ where it is not told what `needs` does not name")

    def test_leaves_its_arguments_alone(self, edit: Edit) -> None:
        """Neither the capture nor the context is changed in place."""
        seen = together()
        _variants(edit, seen)
        changed = _changed(seen)
        assert not changed, f"changed in place: {', '.join(changed)}"

    def test_leaves_the_model_alone(self, edit: Edit) -> None:
        """No weight of the model changes, and no hook, gradient or forward stays on it."""
        before = state_of(bundled().model)
        _variants(edit, together())
        left = differences(before, state_of(bundled().model))
        assert not left, f"changed or left behind: {', '.join(left)}"

    @pytest.mark.parametrize("gradients", [True, False], ids=["with gradients", "without gradients"])
    def test_leaves_the_process_alone(self, edit: Edit, gradients: bool) -> None:
        """Gradients stay on or off; settings, random numbers and hooks of torch, numpy and Python stay as they are."""
        seen = together()
        with torch.set_grad_enabled(gradients):
            before = state_of_process()
            _variants(edit, seen)
            left = differences(before, state_of_process())
        assert not left, f"changed or left behind: {', '.join(left)}"

    def test_leaves_nothing_behind_when_memory_runs_out(self, edit: Edit) -> None:
        """Wherever it fails, no hook, gradient, setting or changed number stays; asked again, it gives the same."""
        wanted = _variants(edit, together())
        seen = together()
        with RunsOut() as counted:
            edit.variants(seen.capture, range(2), seen.context)
        model = bundled().model
        before = {**state_of(model), **state_of_process()}
        for at in _spread(counted.operations):
            seen = together()
            # An edit may also find a way out, and answer.
            with suppress(Exception), RunsOut(at):
                edit.variants(seen.capture, range(2), seen.context)
            left = differences(before, {**state_of(model), **state_of_process()}) + _changed(seen)
            where = f"memory ran out at operation {at + 1} of {counted.operations}"
            assert not left, f"changed or left behind when {where}: {', '.join(left)}"
        self._assert_close(_variants(edit, together()), wanted, "differ after memory ran out")

    def test_prints_nothing(self, edit: Edit, capfd: pytest.CaptureFixture[str]) -> None:
        """It prints nothing to stdout, where results go."""
        seen = together()
        edit.variants(seen.capture, seen.heads, seen.context)
        assert_nothing_printed(capfd)

    def _assert_close(self, found: Rows, wanted: Rows, what: str) -> None:
        for part in _PARTS:
            self._assert_near(getattr(found, part), getattr(wanted, part), f"`{part}` {what}")

    def _assert_near(self, found: Tensor, wanted: Tensor, what: str) -> None:
        assert self._are_close(found, wanted), f"{what}, by up to {float((found - wanted).abs().max())}"

    def _are_close(self, one: Tensor, other: Tensor) -> bool:
        return float((one - other).abs().max()) <= self.tolerance * max(1e-30, float(other.abs().max()))


_PARTS = ("residual", "heads")


def _variants(edit: Edit, seen: Seen, heads: Sequence[int] = ()) -> Rows:
    """Of these heads, or of all."""
    return variants_of(edit, seen.capture, heads or seen.heads, seen.context)


def _part(rows: Rows, picture: int) -> Rows:
    """One picture's rows."""
    return Rows(rows.residual[picture::PICTURES], rows.heads[picture::PICTURES])


def _are_equal(one: Rows, other: Rows) -> bool:
    return all(torch.equal(getattr(one, part), getattr(other, part)) for part in _PARTS)


def _changed(seen: Seen) -> list[str]:
    """Which of its tensors are not as they were captured, without gradients."""
    untouched = together().tensors()
    return [
        name
        for name, tensor in seen.tensors().items()
        if tensor.requires_grad or not torch.equal(tensor, untouched[name])
    ]


def _spread(operations: int) -> Sequence[int]:
    """Which of so many operations fail: all, or some of them, first to last."""
    if operations <= _PLACES:
        return range(operations)
    return [place * operations // _PLACES for place in range(_PLACES)]
