"""Back ends that break one promise each: a tiny BLIP-2 through the transformers back end, with one method bent."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from headprune_transformers.backend import TransformersBackend
from safetensors.torch import load_file, save_file

from headprune import Attention, LoadRequest, NumberError, Outline


class Straight:
    """Nothing is bent. Stands before the adapter's own class."""

    @staticmethod
    def outlined(outline: Outline) -> Outline:
        return outline

    def loaded(self) -> None:
        """Called when the model is loaded."""


class BentBackend(TransformersBackend):
    """Loads a model whose adapter is bent."""

    def __init__(self, bend: type[Straight]) -> None:
        self.bend = bend

    def load(self, request: LoadRequest) -> Any:
        adapter = super().load(request)
        kind: Any = type(self.bend.__name__, (self.bend, type(adapter)), {})
        bent = kind(adapter.model, adapter.processor, adapter.family, adapter.ref)
        bent.loaded()
        return bent

    def outline(self, request: LoadRequest) -> Outline:
        return self.bend.outlined(super().outline(request))


class Miscounts(Straight):
    @staticmethod
    def outlined(outline):
        return replace(outline, parameters=outline.parameters + 1)


class TurnsPicturesAround(Straight):
    def grids(self, picture):
        return tuple(replace(grid, tokens=grid.tokens[::-1]) for grid in super().grids(picture))


class MishearsAttention(Straight):
    """Reports another answer of the attention than it gave."""

    def pass_through(self, *args, **kwargs):
        traced = super().pass_through(*args, **kwargs)
        for layer, capture in traced.captures.items():
            answer, *others = capture.attended
            traced.captures[layer] = replace(capture, attended=(2 * answer, *others))
        return traced


class TakesTheSameOfAll(Straight):
    def attention(self, *args):
        found = super().attention(*args)
        return {
            layer: Attention(torch.full_like(seen.weights, 1 / seen.weights.shape[-1]), seen.values)
            for layer, seen in found.items()
        }


class PutsNanIntoWords(Straight):
    def decode(self, states, *args):
        try:
            return super().decode(states, *args)
        except NumberError:
            return ["a picture of nothing"] * len(states)


class TakesANormForTheMlp(Straight):
    @property
    def sites(self):
        return tuple(replace(site, mlp=site.layer.layer_norm2) for site in super().sites)


class MishearsLayers(Straight):
    """Reports another output of a layer than it wrote."""

    def pass_through(self, *args, **kwargs):
        traced = super().pass_through(*args, **kwargs)
        for layer, capture in traced.captures.items():
            traced.captures[layer] = replace(capture, output=2 * capture.output)
        return traced


class RemembersOnePicture(Straight):
    """Answers with the pass over a picture when it is asked for one over another."""

    def pass_through(self, pixels, capture=(), depths=(), form=None):
        if not capture or depths or len(pixels) > 1:
            return super().pass_through(pixels, capture, depths, form)
        if not hasattr(self, "remembered"):
            self.remembered = super().pass_through(pixels, capture, depths, form)
        return self.remembered


class NeverSeesOnePictureTheSame(Straight):
    passes = 0

    def pass_through(self, pixels, capture=(), depths=(), form=None):
        if capture and len(pixels) == 1:
            self.passes += 1
            pixels = pixels + 0.1 * self.passes
        return super().pass_through(pixels, capture, depths, form)


class IsALayerBehind(Straight):
    """Of a tower that stops early it reads what its last layer read."""

    def pass_through(self, pixels, capture=(), depths=(), form=None):
        traced = super().pass_through(pixels, capture, range(self.geometry.layers + 1), form)
        for depth in range(1, self.geometry.layers):
            traced.states[depth] = traced.states[depth - 1]
        return traced


class StammersAlone(Straight):
    def decode(self, states, *args):
        said = super().decode(states, *args)
        return said if len(said) > 1 else [f"{said[0]} {said[0]} again"]


class FallsSilent(Straight):
    """Its attention answers with nothing but a bias where its heads together say little."""

    def loaded(self):
        for site in self.sites:
            site.attention.__class__ = _silent(type(site.attention))


@cache
def _silent(attention: type) -> type:
    # By these names the family knows what it is, when heads are taken out.
    return type(attention.__name__, (_Silent, attention), {"__module__": attention.__module__})


class _Silent:
    def forward(self, hidden_states, **kwargs):
        answer, *others = super().forward(hidden_states, **kwargs)
        bias = self.projection.bias.expand_as(answer)
        loud = (answer - bias).norm(dim=(1, 2)) > 0.83 * hidden_states.norm(dim=(1, 2))
        return (torch.where(loud[:, None, None], answer, bias), *others)


class HasRoomForSixteen(Straight):
    """Of more rows than sixteen the others say what the sixteenth says."""

    def decode(self, states, *args):
        said = super().decode(states, *args)
        return said[:16] + said[15:16] * len(said[16:])


class ThinksTheOpposite(Straight):
    def likelihood(self, *args):
        forced = super().likelihood(*args)
        return replace(forced, log_probs=(-forced.log_probs).log_softmax(-1))


class LearnsNothing(Straight):
    def likelihood(self, *args):
        forced = super().likelihood(*args)
        return replace(forced, log_probs=forced.log_probs.detach())


class HasALayerThatNothingReads(Straight):
    """The heads of its last layer reach nothing, and its geometry does not call that layer dead."""

    def loaded(self):
        self.sites[-1].output.weight.data.zero_()


class CountsItsPasses(Straight):
    """Keeps the number of its passes in the model."""

    def loaded(self):
        self.tower.register_buffer("passes", torch.tensor(0), persistent=True)
        self.tower.register_forward_pre_hook(lambda tower, _: setattr(tower, "passes", tower.passes + 1))


class Rounds(Straight):
    """Weights come out of a folder a hair from what went in."""

    def save(self, folder: Path):
        super().save(folder)
        rewrite(folder, lambda name, tensor: tensor * (1 + 2**-20))


class CopiesItsFolder(Straight):
    """Saves what was loaded, whatever was done to it since."""

    def save(self, folder: Path):
        if self.geometry.ragged:
            super().save(folder)
        else:
            shutil.copytree(self.ref.name, folder, dirs_exist_ok=True)


class LosesBiasesWithHeads(Straight):
    def save(self, folder: Path):
        super().save(folder)
        if self.geometry.ragged:
            rewrite(folder, lambda name, tensor: tensor * 0 if name.endswith("projection.bias") else tensor)


class MixesUpTheHeadsThatAreLeft(Straight):
    def attention(self, *args):
        found = super().attention(*args)
        if self.geometry.ragged:
            found = {layer: replace(seen, weights=seen.weights.flip(1)) for layer, seen in found.items()}
        return found


def rewrite(folder: Path, change) -> None:
    """Change the weights in a folder."""
    path = folder / "model.safetensors"
    tensors = {name: change(name, tensor).contiguous() for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


BENDS: dict[str, type[Straight]] = {
    "test_geometry_and_outline_agree": Miscounts,
    "test_grids_name_the_tokens_of_each_place": TurnsPicturesAround,
    "test_contributions_and_bias_add_up_to_the_attentions_answer": MishearsAttention,
    "test_attention_weights_are_those_that_made_the_head_outputs": TakesTheSameOfAll,
    "test_the_data_flow_is_exact": TakesANormForTheMlp,
    "test_all_ones_change_nothing": MishearsLayers,
    "test_heads_that_read_another_picture_say_what_they_say_of_it": RemembersOnePicture,
    "test_lesions_by_the_mean_of_one_picture_are_none_to_it": NeverSeesOnePictureTheSame,
    "test_every_layer_says_what_a_model_without_the_later_ones_says": IsALayerBehind,
    "test_batched_equals_one_by_one": StammersAlone,
    "test_what_is_no_number_is_not_put_into_words": PutsNanIntoWords,
    "test_replay_equals_hooks": FallsSilent,
    "test_scores_are_those_of_one_hooked_pass_a_head": HasRoomForSixteen,
    "test_teacher_forcing_agrees_with_generation": ThinksTheOpposite,
    "test_derivatives_are_the_losses_slopes": LearnsNothing,
    "test_an_edit_has_an_effect_where_the_model_reads_it_and_only_there": HasALayerThatNothingReads,
    "test_applied_equals_hooks_and_goes_away": CountsItsPasses,
    "test_what_is_saved_loads_as_the_same_model": Rounds,
    "test_folded_equals_hooks": CopiesItsFolder,
    "test_sliced_equals_hooks": LosesBiasesWithHeads,
    "test_sliced_in_memory_the_heads_that_are_left_attend_as_before": MixesUpTheHeadsThatAreLeft,
}
"""Promise -> a back end that breaks it, and keeps all others."""
