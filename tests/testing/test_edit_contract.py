"""The contract of edits: right ones keep it, and each promise has an edit that breaks it alone."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import ConfigDict, Field
from torch import Tensor

from headprune import (
    Capture,
    CoefficientEdit,
    Comparable,
    Context,
    Edit,
    Rows,
    Settings,
    one_hot,
    per_head,
    repeated,
    replaced,
    scaled,
)
from headprune.testing import EditContract
from headprune.testing.captures import bundled
from tests.support.contracts import assert_breaks_only, each, outcomes, promises


class Softer(Edit):
    """Head h at half its strength."""

    comparable: ClassVar[Any] = Comparable.ACROSS
    removes: ClassVar[Any] = True

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        s = 1 - one_hot(heads, context.heads) / 2
        return Rows(repeated(capture.residual, len(heads)), scaled(capture, s))


class TestSofter(EditContract):
    @pytest.fixture
    def edit(self) -> Edit:
        return Softer()


class ShareSettings(Settings):
    """`share` of what the others say."""

    share: float = 0.5


class Mixed(Edit):
    """Head h says a mixture of its mean, its donor's output and what it attends to: asks for everything."""

    Settings = ShareSettings
    settings: ShareSettings
    comparable = Comparable.ACROSS
    removes = True
    needs = frozenset({"means", "donors", "attention"})
    neutral: ClassVar[Any] = {"share": 1.0}

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        assert context.means is not None and context.donors is not None and context.attention is not None
        attended = (context.attention.weights @ context.attention.values.float()).transpose(1, 2).flatten(2)
        others = (context.means.to(attended) + context.donors.to(attended)) / 2
        return replaced(
            capture, heads, context.heads, self.settings.share * others + (1 - self.settings.share) * attended
        )


class TestMixed(EditContract):
    @pytest.fixture
    def edit(self) -> Edit:
        return Mixed()


class SofterByCoefficients(CoefficientEdit):
    """The same as `Softer`, by coefficients."""

    comparable = Comparable.ACROSS
    removes = True

    def coefficients(self, heads: Sequence[int], total: int) -> Tensor:
        return 1 - one_hot(heads, total) / 2


class TestSofterByCoefficients(EditContract):
    @pytest.fixture
    def edit(self) -> Edit:
        return SofterByCoefficients()


def test_what_an_edit_does_not_declare_is_left_out() -> None:
    found = outcomes(EditContract, edit=Softer)
    assert {test for test, outcome in found.items() if outcome == "left out"} == {
        "test_coefficients_of_one_change_nothing",
        "test_neutral_settings_change_nothing",
    }
    assert set(outcomes(EditContract, edit=Mixed).values()) == {"kept", "left out"}


class ComparableInWords(Softer):
    """Says where it may be compared in plain text."""

    comparable = "across-layers"


class RemovesPerhaps(Softer):
    """Does not say whether it removes a head."""

    removes = None


class NeedsTheMoon(Softer):
    """Asks for what there is not."""

    needs = frozenset({"moon"})


class NeedsInAList(Softer):
    """Asks by a list, not a set."""

    needs: ClassVar[Any] = ["means"]


class TakesAnything(Softer):
    """Ignores its options."""

    @classmethod
    def configured(cls, options: dict[str, Any]) -> Any:
        return cls()


class EndlessSettings(Settings):
    """A limit that JSON has no word for."""

    limit: float = math.inf


class Endless(Softer):
    """Has an infinite setting."""

    Settings = EndlessSettings


class DtypeSettings(Settings):
    """A dtype of torch's."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    dtype: torch.dtype = torch.float32


class SetsADtype(Softer):
    """Has a setting that is no plain data."""

    Settings = DtypeSettings


class SecretSettings(Settings):
    """A factor that is not written down."""

    factor: float = Field(default_factory=itertools.count().__next__, exclude=True)


class KeepsASecret(Softer):
    """Leaves a setting out of the record."""

    Settings = SecretSettings


class NameSettings(Settings):
    """A name that stands in place of the edit's own."""

    name: str = "softer"


class CallsASettingName(Softer):
    """Has a setting that takes the place of the edit's name in a patch."""

    Settings = NameSettings


class Squeezes(Softer):
    """Drops axes of size one."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        return Rows(rows.residual.squeeze(), rows.heads.squeeze())


class EightHeads(Softer):
    """Knows how many heads the bundled model has."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        return super().variants(replace(capture, heads=per_head(capture.heads, 8).flatten(-2)), heads, context)


class InFullPrecision(Softer):
    """Answers in float32 whatever it is given."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        return Rows(rows.residual, rows.heads.float())


class OfUnitSize(Softer):
    """Divides what a head says by its size, also where that is zero."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        x = per_head(capture.heads, context.heads)
        unit = x / x.norm(dim=(1, 3), keepdim=True)
        return replaced(capture, heads, context.heads, unit.flatten(-2))


class Drifts(Softer):
    """Is a little louder each time."""

    calls = itertools.count()

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        return Rows(rows.residual, rows.heads * (1 + 1e-6 * (next(self.calls) % 7)))


class DrawsItsStrength(Softer):
    """Is of another strength whenever it is made."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.strength = random.random()

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        s = 1 - self.strength * one_hot(heads, context.heads)
        return Rows(repeated(capture.residual, len(heads)), scaled(capture, s))


class SaysTheBatchsMean(Softer):
    """Head h says its mean over the pictures that it is given together."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        return replaced(capture, heads, context.heads, capture.heads.mean(dim=0))


class CountsPictures(Softer):
    """Adds noise that is drawn for the pictures of a batch."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        noise = np.random.default_rng(0).standard_normal(capture.heads.shape, dtype=np.float32)
        others = capture.heads + torch.from_numpy(noise).to(capture.heads)
        return replaced(capture, heads, context.heads, others)


class ByPosition(Softer):
    """Softens the first heads, whichever are asked for."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        return super().variants(capture, range(len(heads)), context)


class SharedAmongHeads(Softer):
    """Softens the less, the more heads are asked for."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        s = 1 - one_hot(heads, context.heads) / len(heads)
        return Rows(repeated(capture.residual, len(heads)), scaled(capture, s))


class SoftensAll(Softer):
    """Softens all heads in every variant."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        return Rows(repeated(capture.residual, len(heads)), repeated(capture.heads / 2, len(heads)))


class SaysThatItKeeps(Softer):
    """Says that it leaves head h as it is."""

    removes = False


class SaysThatItRemoves(Softer):
    """Softens all heads but head h, and says that it removes this one."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        s = (1 + one_hot(heads, context.heads)) / 2
        return Rows(repeated(capture.residual, len(heads)), scaled(capture, s))


class RoundsCoefficients(SofterByCoefficients):
    """Computes in half precision."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(replace(capture, heads=capture.heads.bfloat16()), heads, context)
        return Rows(rows.residual, rows.heads.to(capture.heads.dtype))


class NotQuiteNeutral(Mixed):
    """Declares neutral what halves a head."""

    neutral: ClassVar[Any] = {}

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        return Softer().variants(capture, heads, context)


class MisspeltNeutral(Mixed):
    """Declares neutral what is no setting."""

    neutral: ClassVar[Any] = {"shar": 1.0}


class MovesTheResidual(Mixed):
    """Changes the residual stream, also under neutral settings."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        return Rows(rows.residual * 1.1, rows.heads)


class PeeksAtMeans(Softer):
    """Uses means that it has not asked for."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        return replaced(capture, heads, context.heads, context.means)  # type: ignore[arg-type]


class PeeksIfThere(Softer):
    """Uses donors that it has not asked for, where they are there."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        if context.donors is None:
            return super().variants(capture, heads, context)
        return replaced(capture, heads, context.heads, context.donors)


class ClearsTheOutput(Softer):
    """Overwrites the layer's output, which it has no use for."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        capture.output.zero_()
        return rows


class DoublesTheAttention(Mixed):
    """Doubles the attention that it is given, when it is done."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        assert context.attention is not None
        context.attention.weights.mul_(2)
        return rows


class WantsGradients(Softer):
    """Leaves the capture asking for gradients."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        capture.residual.requires_grad_(True)
        return rows


class HooksTheModel(Softer):
    """Leaves a hook on the model."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        bundled().sites[0].layer.register_forward_hook(lambda *seen: None)
        return rows


class HooksAGradient(Softer):
    """Leaves a hook on the gradient of a weight."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        bundled().sites[0].output.weight.register_hook(lambda gradient: None)
        return rows


class ScalesTheModel(Softer):
    """Doubles a weight of the model."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        bundled().sites[0].output.weight.data.mul_(2)
        return rows


class FreezesTheModel(Softer):
    """Leaves a weight of the model without a gradient."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        bundled().sites[0].output.weight.requires_grad_(False)
        return rows


class Reseeds(Softer):
    """Seeds torch's random numbers."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        torch.manual_seed(0)
        return rows


class DrawsFromNumpy(Softer):
    """Draws from numpy's random numbers."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        np.random.rand()
        return rows


class TurnsGradientsOff(Softer):
    """Leaves gradients off."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        torch.set_grad_enabled(False)
        return rows


class HooksEveryModule(Softer):
    """Leaves a hook on all modules there are."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        rows = super().variants(capture, heads, context)
        torch.nn.modules.module.register_module_forward_hook(lambda *seen: None)
        return rows


class GradientsOffMeanwhile(Softer):
    """Turns gradients off, and back on when all went well."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        before = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        rows = super().variants(capture, heads, context)
        torch.set_grad_enabled(before)
        return rows


class HookMeanwhile(Softer):
    """Takes its hook off the model when all went well."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        handle = bundled().sites[0].layer.register_forward_hook(lambda *seen: None)
        rows = super().variants(capture, heads, context)
        handle.remove()
        return rows


class InPlaceMeanwhile(Softer):
    """Turns what heads say around, and back when all went well."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        capture.heads.neg_()
        rows = super().variants(capture, heads, context)
        capture.heads.neg_()
        return Rows(rows.residual, -rows.heads)


class StaysBusy(Softer):
    """Is not to be asked again after it failed."""

    strength = 0.5

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        strength, self.strength = self.strength, 0.0
        s = 1 - strength * one_hot(heads, context.heads)
        rows = Rows(repeated(capture.residual, len(heads)), scaled(capture, s))
        self.strength = strength
        return rows


class Prints(Softer):
    """Tells how many heads there are."""

    def variants(self, capture: Capture, heads: Sequence[int], context: Context) -> Rows:
        print("heads:", len(heads))
        return super().variants(capture, heads, context)


WRONG: dict[str, tuple[type[Edit], ...]] = {
    "test_says_what_it_is": (ComparableInWords, RemovesPerhaps, NeedsTheMoon, NeedsInAList),
    "test_unknown_option_is_refused": (TakesAnything,),
    "test_a_patch_records_its_settings": (Endless, SetsADtype, KeepsASecret, CallsASettingName),
    "test_rows_fit_any_layer": (Squeezes, EightHeads),
    "test_rows_keep_the_dtype": (InFullPrecision,),
    "test_rows_are_finite": (OfUnitSize,),
    "test_deterministic": (Drifts, DrawsItsStrength),
    "test_pictures_do_not_depend_on_one_another": (SaysTheBatchsMean, CountsPictures),
    "test_heads_do_not_depend_on_one_another": (ByPosition, SharedAmongHeads),
    "test_each_head_has_its_own_variant": (SoftensAll,),
    "test_removes_what_it_says": (SaysThatItKeeps, SaysThatItRemoves),
    "test_coefficients_of_one_change_nothing": (RoundsCoefficients,),
    "test_neutral_settings_change_nothing": (NotQuiteNeutral, MisspeltNeutral, MovesTheResidual),
    "test_needs_are_declared": (PeeksAtMeans, PeeksIfThere),
    "test_leaves_its_arguments_alone": (ClearsTheOutput, DoublesTheAttention, WantsGradients),
    "test_leaves_the_model_alone": (HooksTheModel, HooksAGradient, ScalesTheModel, FreezesTheModel),
    "test_leaves_the_process_alone": (Reseeds, DrawsFromNumpy, TurnsGradientsOff, HooksEveryModule),
    "test_leaves_nothing_behind_when_memory_runs_out": (
        *(GradientsOffMeanwhile, HookMeanwhile, InPlaceMeanwhile, StaysBusy),
    ),
    "test_prints_nothing": (Prints,),
}


@pytest.mark.parametrize(("promise", "culprit"), each(WRONG))
def test_a_broken_promise_fails_its_test_and_no_other(promise: str, culprit: type[Edit]) -> None:
    assert_breaks_only(promise, EditContract, edit=culprit)


def test_each_promise_has_an_edit_that_breaks_it() -> None:
    assert promises(EditContract) == WRONG.keys()
