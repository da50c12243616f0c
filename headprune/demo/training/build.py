"""The untrained demo model and its processor: an ordinary BLIP-2, only small."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import nn
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    BlipImageProcessorPil,
    GenerationConfig,
    PreTrainedTokenizerFast,
    T5Config,
)

from headprune.demo.captions import vocabulary
from headprune.demo.drawing import SIDE

WIDTH = 96
LAYERS = 8
HEADS = 8
PATCH = 10
QUERIES = 4

PIXEL_MEAN = (0.5, 0.5, 0.5)
PIXEL_STD = (0.25, 0.25, 0.25)

PAD, EOS, UNKNOWN, IMAGE = "<pad>", "</s>", "<unk>", "<image>"


def processor() -> Blip2Processor:
    """A BLIP-2 processor with a word-level tokenizer over the demo's vocabulary.

    `</s>` ends every text, and begins it too, as in BLIP-2 over Flan-T5: `text=""` and no text mean the same.
    """
    words = [PAD, EOS, UNKNOWN, IMAGE, *vocabulary()]
    core = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, words.index(EOS))])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        model_max_length=64,
    )
    images = BlipImageProcessorPil(
        size={"height": SIDE, "width": SIDE}, image_mean=list(PIXEL_MEAN), image_std=list(PIXEL_STD)
    )
    return Blip2Processor(images, tokenizer, num_query_tokens=QUERIES)


def model(tokenizer: PreTrainedTokenizerFast, seed: int) -> Blip2ForConditionalGeneration:
    """The untrained model, its weights drawn from the seed.

    What transformers leaves at (nearly) nothing for checkpoints to fill in is drawn anew: the vision tower's weights,
    whose default deviation is 1e-10, and the query tokens, which start at 0.
    """
    torch.manual_seed(seed)
    special = {
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.pad_token_id,
    }
    config = Blip2Config(
        vision_config=Blip2VisionConfig(
            hidden_size=WIDTH,
            intermediate_size=2 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            image_size=SIDE,
            patch_size=PATCH,
            initializer_range=0.02,
            qkv_bias=True,
        ),
        qformer_config=Blip2QFormerConfig(
            vocab_size=1,
            hidden_size=WIDTH,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=2 * WIDTH,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            max_position_embeddings=QUERIES,
            cross_attention_frequency=1,
        ),
        text_config=T5Config(
            vocab_size=len(tokenizer),
            d_model=WIDTH,
            d_kv=16,
            d_ff=2 * WIDTH,
            num_layers=2,
            num_decoder_layers=2,
            num_heads=6,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            tie_word_embeddings=True,
            **special,
        ),
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
    )
    built = Blip2ForConditionalGeneration(config)
    for name, weight in built.named_parameters():
        if "language_model" in name or weight.ndim < 2:
            continue
        fan_in = weight[0].numel()
        table = name.endswith(("position_embedding", "class_embedding"))
        nn.init.trunc_normal_(weight, std=0.02 if table else min(fan_in**-0.5, 0.08))
    nn.init.normal_(built.query_tokens, std=0.5)
    settings = GenerationConfig(do_sample=False, num_beams=1, max_new_tokens=30, **special)
    built.generation_config = settings
    built.language_model.generation_config = settings
    return built
