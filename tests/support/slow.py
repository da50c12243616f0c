"""Slow, obvious twins for tiny models and the demo, from METHOD.md: plain hooks and the model's own generate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headprune import Adapter, Generation, Sample, ScoreItem, Scorer
from headprune.testing.slow import hooked, stopped_after


def vanilla_captions(adapter: Adapter, pixels: Tensor, generation: Generation) -> list[str]:
    """What the model says by its own generate, as its documentation shows."""
    return vanilla_answers(adapter, pixels, generation)[0]


def vanilla_answers(adapter: Adapter, pixels: Tensor, generation: Generation) -> tuple[list[str], Tensor]:
    """Captions, and the language model's logits [steps, B, V] on the way to them."""
    from PIL import Image

    prompt = generation.prompt if generation.prompt is not None else adapter.family.prompt  # type: ignore[attr-defined]
    text = {}
    if prompt is not None:
        blank = [Image.new("RGB", (32, 32))] * len(pixels)
        text = dict(adapter.processor(images=blank, text=[prompt] * len(pixels), return_tensors="pt"))  # type: ignore[attr-defined]
        del text["pixel_values"]
    made = adapter.model.generate(  # type: ignore[operator]
        pixel_values=pixels,
        **text,
        num_beams=generation.num_beams,
        max_new_tokens=generation.max_new_tokens,
        return_dict_in_generate=True,
        output_logits=True,
    )
    tokens = made.sequences
    if text and not adapter.model.config.text_config.is_encoder_decoder:  # type: ignore[union-attr]
        tokens = tokens[:, text["input_ids"].shape[1] :]
    said = adapter.processor.batch_decode(tokens, skip_special_tokens=True)  # type: ignore[attr-defined]
    return [caption.strip() for caption in said], torch.stack(made.logits)


def next_tokens(adapter: Adapter, pixels: Tensor, caption: str, generation: Generation) -> tuple[Tensor, Tensor]:
    """(log-probabilities [S, V], tokens [S]) of one picture's caption by the model's own forward, its words looked up
    one by one."""
    model: Any = adapter.model
    tokens = adapter.processor.tokenizer.convert_tokens_to_ids(caption.split())  # type: ignore[attr-defined]
    if len(tokens) < generation.max_new_tokens:
        tokens.append(model.config.text_config.eos_token_id)
    prompt = generation.prompt if generation.prompt is not None else adapter.family.prompt  # type: ignore[attr-defined]
    if prompt is None:
        queries = [model.config.image_token_index] * model.config.num_query_tokens
        text = {"input_ids": torch.tensor([[*queries, model.config.text_config.bos_token_id]])}
    else:
        from PIL import Image

        text = dict(adapter.processor(images=Image.new("RGB", (32, 32)), text=prompt, return_tensors="pt"))  # type: ignore[attr-defined]
        del text["pixel_values"]
        text.pop("attention_mask")
    if model.config.text_config.is_encoder_decoder:
        logits = model(pixel_values=pixels, **text, labels=torch.tensor([tokens])).logits[0]
    else:
        text["input_ids"] = torch.cat([text["input_ids"], torch.tensor([tokens])], dim=1)
        logits = model(pixel_values=pixels, **text).logits[0, -len(tokens) - 1 : -1]
    return logits.log_softmax(-1), torch.tensor(tokens)


def caption_loss(adapter: Adapter, pixels: Tensor, caption: str, generation: Generation) -> Tensor:
    """Mean negative log-likelihood of a token of one picture's caption."""
    log_probs, tokens = next_tokens(adapter, pixels, caption, generation)
    return -torch.stack([log_probs[place, token] for place, token in enumerate(tokens)]).mean()


def mean_heads(adapter: Adapter, pixels: Tensor, layer: int) -> Tensor:
    """[T, H*dh], averaged over the pictures."""
    seen: list[Tensor] = []
    projection = adapter.sites[layer].output
    handle = projection.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        for picture in pixels:
            adapter.model.vision_model(picture[None])  # type: ignore[operator]
    handle.remove()
    return torch.cat(seen).double().mean(dim=0).float()


def variant(
    adapter: Adapter,
    edit: str,
    pixels: Tensor,
    layer: int,
    head: int,
    last: bool,
    generation: Generation,
) -> list[str]:
    """Captions of one head's variant, all pictures at once."""
    one_hot = torch.zeros(adapter.geometry.heads_in[layer])
    one_hot[head] = 1
    s = {"isolate": one_hot, "isolate-direct": one_hot, "scale": 1 - 0.5 * one_hot}.get(edit, 1 - one_hot)
    with ExitStack() as stack:
        if edit == "mean-ablate":
            mean = mean_heads(adapter, pixels, layer)
            stack.enter_context(_saying(adapter, layer, head, mean))
        else:
            stack.enter_context(hooked(adapter, layer, s))
        if edit == "isolate-direct":
            stack.enter_context(_without_residual(adapter, layer))
        if not last:
            stack.enter_context(stopped_after(adapter, layer))
        return vanilla_captions(adapter, pixels, generation)


@contextmanager
def _saying(adapter: Adapter, layer: int, head: int, mean: Tensor) -> Iterator[None]:
    """A head of `layer` says its part of `mean`, [T, H*dh]."""
    dh = adapter.geometry.head_width
    columns = slice(head * dh, (head + 1) * dh)

    def say(module: Any, args: tuple[Tensor]) -> tuple[Tensor]:
        x = args[0].clone()
        x.view(-1, *mean.shape)[..., columns] = mean[:, columns]
        return (x,)

    handle = adapter.sites[layer].output.register_forward_pre_hook(say)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _without_residual(adapter: Adapter, layer: int) -> Iterator[None]:
    """A layer of a tiny model or the demo leaves the residual stream out."""
    site = adapter.sites[layer]
    block: Any = site.layer
    attended: list[Tensor] = []

    def without(module: Any, args: Any, output: Tensor) -> Tensor:
        middle = attended.pop()
        return middle + block.mlp(block.layer_norm2(middle))

    handles = [
        site.attention.register_forward_hook(lambda module, args, out: attended.append(out[0])),
        block.register_forward_hook(without),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def importances(
    adapter: Adapter, samples: Sequence[Sample], edit: str, last: bool, scorer: Scorer, generation: Generation
) -> np.ndarray:
    """[m, L, H] from METHOD.md: one hooked forward a head, one score a pair; NaN where a layer has no such head."""
    pixels = adapter.prepare([sample.load() for sample in samples])
    geometry = adapter.geometry
    values = np.full((len(samples), geometry.layers, geometry.heads), np.nan)
    for layer in range(geometry.layers):
        with stopped_after(adapter, geometry.layers - 1 if last else layer):
            unchanged = vanilla_captions(adapter, pixels, generation)
        for head in range(geometry.heads_in[layer]):
            said = variant(adapter, edit, pixels, layer, head, last, generation)
            for row, sample in enumerate(samples):
                (score,) = scorer.score([ScoreItem(said[row], unchanged[row], sample.captions)])
                if edit == "isolate":
                    values[row, layer, head] = score
                elif "gold" in scorer.needs:
                    (before,) = scorer.score([ScoreItem(unchanged[row], unchanged[row], sample.captions)])
                    values[row, layer, head] = before - score
                else:
                    values[row, layer, head] = 1 - score
    return values


@contextmanager
def lesioned(adapter: Adapter, name: str, means: dict[int, Tensor]) -> Iterator[None]:
    """Layers of a tiny model or the demo whose attention (mean-input) or residual (confuse) is a mean.

    Args:
        means: layer -> [T, d] or [1, d], of every layer that is lesioned.
    """
    real: dict[int, Tensor] = {}
    handles = []
    for layer, mean in means.items():
        block: Any = adapter.sites[layer].layer

        def enter(module: Any, args: Any, kwargs: Any, layer: int = layer, mean: Tensor = mean) -> Any:
            real[layer] = args[0] if args else kwargs["hidden_states"]
            if name == "mean-input":
                return None
            stream = mean.expand_as(real[layer])
            return ((stream, *args[1:]), kwargs) if args else ((), {**kwargs, "hidden_states": stream})

        def norm(module: Any, args: Any, layer: int = layer, mean: Tensor = mean) -> Any:
            return (mean.expand_as(args[0]) if name == "mean-input" else real[layer],)

        handles.append(block.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(block.layer_norm1.register_forward_pre_hook(norm))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def layer_inputs(adapter: Adapter, pixels: Tensor) -> list[Tensor]:
    """[L][B, T, d], what each layer reads, by the model's own account."""
    states = adapter.model.vision_model(pixels, output_hidden_states=True).hidden_states  # type: ignore[operator]
    return list(states[:-1])
