"""Names of an official ACE-Step 1.5 checkpoint, written out by hand, with the tensor of the
diffusers pipeline that holds the same weights. Independent of the converter on purpose."""

ATTENTION = {
    "q_proj.weight": "to_q.weight",
    "k_proj.weight": "to_k.weight",
    "v_proj.weight": "to_v.weight",
    "o_proj.weight": "to_out.0.weight",
    "q_norm.weight": "norm_q.weight",
    "k_norm.weight": "norm_k.weight",
}
DIT_LAYER = {
    **{
        f"self_attn.{official}": f"self_attn.{diffusers}"
        for official, diffusers in ATTENTION.items()
    },
    **{
        f"cross_attn.{official}": f"cross_attn.{diffusers}"
        for official, diffusers in ATTENTION.items()
    },
    "self_attn_norm.weight": "self_attn_norm.weight",
    "cross_attn_norm.weight": "cross_attn_norm.weight",
    "mlp_norm.weight": "mlp_norm.weight",
    "mlp.gate_proj.weight": "mlp.gate_proj.weight",
    "mlp.up_proj.weight": "mlp.up_proj.weight",
    "mlp.down_proj.weight": "mlp.down_proj.weight",
    "scale_shift_table": "scale_shift_table",
}
ENCODER_LAYER = {
    **{
        f"self_attn.{official}": f"self_attn.{diffusers}"
        for official, diffusers in ATTENTION.items()
    },
    "input_layernorm.weight": "input_layernorm.weight",
    "post_attention_layernorm.weight": "post_attention_layernorm.weight",
    "mlp.gate_proj.weight": "mlp.gate_proj.weight",
    "mlp.up_proj.weight": "mlp.up_proj.weight",
    "mlp.down_proj.weight": "mlp.down_proj.weight",
}
DIT = {
    "decoder.proj_in.1.weight": "proj_in_conv.weight",
    "decoder.proj_in.1.bias": "proj_in_conv.bias",
    "decoder.proj_out.1.weight": "proj_out_conv.weight",
    "decoder.proj_out.1.bias": "proj_out_conv.bias",
    "decoder.time_embed.linear_1.weight": "time_embed.linear_1.weight",
    "decoder.time_embed.linear_1.bias": "time_embed.linear_1.bias",
    "decoder.time_embed.linear_2.weight": "time_embed.linear_2.weight",
    "decoder.time_embed.linear_2.bias": "time_embed.linear_2.bias",
    "decoder.time_embed.time_proj.weight": "time_embed.time_proj.weight",
    "decoder.time_embed.time_proj.bias": "time_embed.time_proj.bias",
    "decoder.time_embed_r.linear_1.weight": "time_embed_r.linear_1.weight",
    "decoder.time_embed_r.linear_1.bias": "time_embed_r.linear_1.bias",
    "decoder.time_embed_r.linear_2.weight": "time_embed_r.linear_2.weight",
    "decoder.time_embed_r.linear_2.bias": "time_embed_r.linear_2.bias",
    "decoder.time_embed_r.time_proj.weight": "time_embed_r.time_proj.weight",
    "decoder.time_embed_r.time_proj.bias": "time_embed_r.time_proj.bias",
    "decoder.condition_embedder.weight": "condition_embedder.weight",
    "decoder.condition_embedder.bias": "condition_embedder.bias",
    "decoder.norm_out.weight": "norm_out.weight",
    "decoder.scale_shift_table": "scale_shift_table",
}
CONDITION = {
    "encoder.text_projector.weight": "text_projector.weight",
    "encoder.lyric_encoder.embed_tokens.weight": "lyric_encoder.embed_tokens.weight",
    "encoder.lyric_encoder.embed_tokens.bias": "lyric_encoder.embed_tokens.bias",
    "encoder.lyric_encoder.norm.weight": "lyric_encoder.norm.weight",
    "encoder.timbre_encoder.embed_tokens.weight": "timbre_encoder.embed_tokens.weight",
    "encoder.timbre_encoder.embed_tokens.bias": "timbre_encoder.embed_tokens.bias",
    "encoder.timbre_encoder.norm.weight": "timbre_encoder.norm.weight",
    "encoder.timbre_encoder.special_token": "timbre_encoder.special_token",
    "null_condition_emb": "null_condition_emb",
}
TOKENIZER = {
    "tokenizer.audio_acoustic_proj.weight": "audio_acoustic_proj.weight",
    "tokenizer.audio_acoustic_proj.bias": "audio_acoustic_proj.bias",
    "tokenizer.attention_pooler.embed_tokens.weight": "attention_pooler.embed_tokens.weight",
    "tokenizer.attention_pooler.embed_tokens.bias": "attention_pooler.embed_tokens.bias",
    "tokenizer.attention_pooler.norm.weight": "attention_pooler.norm.weight",
    "tokenizer.attention_pooler.special_token": "attention_pooler.special_token",
    "tokenizer.quantizer.project_in.weight": "quantizer.project_in.weight",
    "tokenizer.quantizer.project_in.bias": "quantizer.project_in.bias",
    "tokenizer.quantizer.project_out.weight": "quantizer.project_out.weight",
    "tokenizer.quantizer.project_out.bias": "quantizer.project_out.bias",
}
DETOKENIZER = {
    "detokenizer.embed_tokens.weight": "embed_tokens.weight",
    "detokenizer.embed_tokens.bias": "embed_tokens.bias",
    "detokenizer.norm.weight": "norm.weight",
    "detokenizer.special_tokens": "special_tokens",
    "detokenizer.proj_out.weight": "proj_out.weight",
    "detokenizer.proj_out.bias": "proj_out.bias",
}


def inventory(dit: int, lyric: int, timbre: int, pooler: int) -> dict[str, tuple[str, str]]:
    """Return official name -> (component, name official_key), for the given numbers of layers."""
    tables = [
        ("transformer", DIT | _layers("decoder.layers", "layers", dit, DIT_LAYER)),
        (
            "condition_encoder",
            CONDITION
            | _layers("encoder.lyric_encoder.layers", "lyric_encoder.layers", lyric, ENCODER_LAYER)
            | _layers(
                "encoder.timbre_encoder.layers", "timbre_encoder.layers", timbre, ENCODER_LAYER
            ),
        ),
        (
            "audio_tokenizer",
            TOKENIZER
            | _layers(
                "tokenizer.attention_pooler.layers",
                "attention_pooler.layers",
                pooler,
                ENCODER_LAYER,
            ),
        ),
        (
            "audio_token_detokenizer",
            DETOKENIZER | _layers("detokenizer.layers", "layers", pooler, ENCODER_LAYER),
        ),
    ]
    return {
        official: (part, diffusers)
        for part, table in tables
        for official, diffusers in table.items()
    }


def _layers(official: str, diffusers: str, count: int, table: dict[str, str]) -> dict[str, str]:
    return {
        f"{official}.{i}.{official_key}": f"{diffusers}.{i}.{diffusers_key}"
        for i in range(count)
        for official_key, diffusers_key in table.items()
    }
