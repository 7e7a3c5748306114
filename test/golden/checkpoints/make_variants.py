"""variants.json: golden checkpoints rewritten in one place, and what transformers makes of each.

    TRANSFORMERS_VERBOSITY=error python test/golden/checkpoints/make_variants.py

A variant is a family of ../models, `set` and `unset` fields of config.json, and changes of the tensors, in order:
    ["rename", from, to]    every name that begins with `from` begins with `to` instead
    ["drop", prefix]        names that begin with prefix
    ["copy", from, to]      one tensor
    ["scale", name, x]      times x
    ["zeros", name, shape]  a new float32 tensor
    ["bf16", prefix]        float32 cut to bfloat16
    ["shards", n]           tensor i of the sorted names into shard i % n, with an index
Written beside each: `logits`, the first eight of the last position of `ids` in float32, or `error`, the exception; `missing` when
transformers made up weights for tensors that are not there (the logits mean nothing then).
"""
import json
import os
import shutil
import sys
import tempfile

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "..", "models")
IDS = [(37 * i + 11) % 263 for i in range(40)]
HEAD, EMBED = "lm_head.weight", "model.embed_tokens.weight"
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
BARE = ["rename", "model.", ""]

variants = []


def variant(name, family, set=None, unset=(), tensors=()):
    variants.append({"name": name, "family": family, "set": set or {}, "unset": list(unset), "tensors": [list(t) for t in tensors]})


# The head and the embedding.
variant("untouched", "llama")
for family in ("qwen2", "qwen3", "llama3-rope"):
    variant(f"{family}: tied by config, another head stored", family, tensors=[("copy", EMBED, HEAD), ("scale", HEAD, -0.5)])
    variant(f"{family}: tied by config, the same head stored", family, tensors=[("copy", EMBED, HEAD)])
    variant(f"{family}: tied by config, only the head stored", family, tensors=[("rename", EMBED, HEAD)])
variant("tied by config, the head differs in one shard of three", "qwen2", tensors=[("copy", EMBED, HEAD), ("scale", HEAD, 2.0), ("shards", 3)])
variant("tied by config, the same head in another type", "qwen2", tensors=[("bf16", EMBED), ("copy", EMBED, HEAD)])
variant("tied by config, head in float32, embedding in bfloat16", "qwen2", tensors=[("copy", EMBED, HEAD), ("bf16", EMBED)])
variant("untied by default, only the embedding stored", "qwen2", unset=["tie_word_embeddings"])
variant("untied by config, only the embedding stored", "llama", tensors=[("drop", HEAD)])
variant("untied by config, only the head stored", "llama", tensors=[("drop", EMBED)])
variant("tied by config over two tables", "llama", {"tie_word_embeddings": True})
variant("tie_word_embeddings absent, both stored", "llama", unset=["tie_word_embeddings"])
variant("tie_word_embeddings null, both stored", "llama", {"tie_word_embeddings": None})
variant("tied, neither stored", "qwen2", tensors=[("drop", EMBED)])

# Names.
for family in ("llama", "mistral", "qwen2", "qwen3"):
    variant(f"{family}: names of the bare decoder", family, tensors=[BARE])
variant("bare names, the head under the decoder's prefix", "llama", tensors=[BARE, ("rename", "lm_head", "model.lm_head")])
variant("bare names, tied, in shards", "llama3-rope", tensors=[BARE, ("shards", 3)])
variant("bare names, tied, another head", "qwen2", tensors=[("copy", EMBED, HEAD), ("scale", HEAD, 0.25), BARE])
variant("bare names, tied, only the head", "qwen2", tensors=[("rename", EMBED, HEAD), BARE])
variant("the prefix twice", "llama", tensors=[("rename", "model.", "model.model.")])
variant("half of the layers bare", "llama", tensors=[("rename", "model.layers.1.", "layers.1.")])
variant("another prefix", "llama", tensors=[("rename", "", "language_model.")])
variant("the prefix of data parallel training", "llama", tensors=[("rename", "", "module.")])
variant("the prefix of torch.compile", "llama", tensors=[("rename", "", "_orig_mod.")])
variant("both spellings of a tensor", "llama", tensors=[("copy", "model.norm.weight", "norm.weight"), ("scale", "norm.weight", 3.0)])

# Tensors beside those of the model, and tensors that lack.
variant("rotary buffers of old checkpoints", "llama", tensors=[("zeros", f"model.layers.{i}.self_attn.rotary_emb.inv_freq", [16]) for i in (0, 1)])
variant("biases that the config does not know", "llama", tensors=[("zeros", "model.layers.0.self_attn.q_proj.bias", [128]), ("zeros", "lm_head.bias", [263])])
variant("another head beside the model's", "llama", tensors=[("zeros", "score.weight", [2, 128]), ("zeros", "value_head.weight", [1, 128])])
variant("layers beyond those of the config", "llama", {"num_hidden_layers": 1})
variant("fewer layers than the config has", "llama", {"num_hidden_layers": 3})
variant("a norm lacks", "llama", tensors=[("drop", "model.layers.1.input_layernorm")])
variant("biases lack", "llama", {"attention_bias": True})
variant("the biases of qwen2 lack", "qwen2", tensors=[("drop", "model.layers.0.self_attn.q_proj.bias")])
variant("a table of more rows than vocab_size", "llama", {"vocab_size": 200})
variant("a classifier's architecture", "qwen2", {"architectures": ["Qwen2ForSequenceClassification"]}, tensors=[("zeros", "score.weight", [2, 128])])
variant("a classifier's architecture, untied", "llama", {"architectures": ["LlamaForSequenceClassification"]}, tensors=[("drop", HEAD), ("zeros", "score.weight", [2, 128])])
variant("norms in float32, the rest in bfloat16", "llama", tensors=[("bf16", "model.layers.0.mlp"), ("bf16", "model.layers.1"), ("bf16", "lm_head")])
variant("seven shards", "qwen3", tensors=[("shards", 7)])

# Rotary embeddings, in every spelling.
linear = {"rope_type": "linear", "factor": 4.0}
variant("rope_scaling beside rope_parameters", "llama", {"rope_scaling": linear})
variant("rope_scaling by type beside rope_parameters", "qwen2", {"rope_scaling": {"type": "linear", "factor": 2.0}})
variant("rope_scaling beside rope_parameters and rope_theta", "qwen3", {"rope_scaling": linear, "rope_theta": 5000.0})
variant("rope_scaling with its own rope_theta, others beside it", "qwen3", {"rope_scaling": {**linear, "rope_theta": 777.0}, "rope_theta": 5000.0})
variant("rope_scaling default beside linear rope_parameters", "llama", {"rope_parameters": {**linear, "rope_theta": 300.0}, "rope_scaling": {"rope_type": "default"}})
variant("empty rope_scaling beside rope_parameters", "llama", {"rope_parameters": {**linear, "rope_theta": 300.0}, "rope_scaling": {}})
variant("null rope_scaling beside rope_parameters", "llama", {"rope_parameters": {**linear, "rope_theta": 300.0}, "rope_scaling": None})
variant("yarn beside rope_parameters", "llama", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}})
variant("dynamic beside rope_parameters", "llama", {"rope_scaling": {"type": "dynamic", "factor": 4.0}})
variant("longrope", "llama", {"rope_parameters": {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 16, "long_factor": [2.0] * 16, "original_max_position_embeddings": 64, "factor": 4.0}})
variant("a rope type nobody knows", "llama", {"rope_scaling": {"type": "spiral", "factor": 2.0}})
variant("mrope", "qwen2", {"rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]}})
variant("rope_type before type", "llama", {"rope_parameters": {"rope_type": "linear", "type": "default", "factor": 4.0, "rope_theta": 1e4}})
variant("type before nothing", "llama", {"rope_parameters": {"type": "linear", "factor": 4.0, "rope_theta": 1e4}})
variant("rope_type null beside type", "llama", {"rope_parameters": {"rope_type": None, "type": "linear", "factor": 4.0, "rope_theta": 1e4}})
variant("rope_theta in both places", "llama", {"rope_theta": 500.0})
variant("rope_theta only outside", "llama", {"rope_theta": 500, "rope_parameters": {"rope_type": "default"}})
variant("rope_theta of the old spelling", "mistral", {"rope_theta": 500, "rope_scaling": None}, unset=["rope_parameters"])
variant("rope_theta nowhere", "mistral", unset=["rope_parameters"])
variant("rope_theta nowhere, qwen3", "qwen3", unset=["rope_parameters"])
variant("rope_theta null inside", "llama", {"rope_theta": 500.0, "rope_parameters": {"rope_type": "default", "rope_theta": None}})
variant("rope_parameters null", "qwen2", {"rope_parameters": None, "rope_theta": 123.0})
variant("rope_parameters empty", "qwen2", {"rope_parameters": {}, "rope_theta": 123.0})
variant("old spelling, theta outside, linear inside", "qwen2", {"rope_theta": 5e3, "rope_scaling": {"type": "linear", "factor": 3}}, unset=["rope_parameters"])
variant("llama3 in rope_scaling", "llama", {"rope_theta": 5e5, "rope_scaling": LLAMA3}, unset=["rope_parameters"])
variant("llama3 by type", "llama", {"rope_theta": 5e5, "rope_scaling": {**{k: v for k, v in LLAMA3.items() if k != "rope_type"}, "type": "llama3"}}, unset=["rope_parameters"])
no_context = {k: v for k, v in LLAMA3.items() if k != "original_max_position_embeddings"}
variant("llama3 without its original context", "llama", {"rope_theta": 5e5, "rope_scaling": no_context, "max_position_embeddings": 48}, unset=["rope_parameters"])
variant("llama3, the original context outside", "llama", {"rope_theta": 5e5, "rope_scaling": no_context, "original_max_position_embeddings": 16, "max_position_embeddings": 48}, unset=["rope_parameters"])
variant("llama3, the original context inside and outside", "llama", {"rope_theta": 5e5, "rope_scaling": LLAMA3, "original_max_position_embeddings": 16}, unset=["rope_parameters"])
variant("llama3 without a factor", "llama", {"rope_scaling": {k: v for k, v in LLAMA3.items() if k != "factor"}})
variant("linear without a factor", "llama", {"rope_scaling": {"type": "linear"}})
variant("linear below one", "llama", {"rope_scaling": {"type": "linear", "factor": 0.5}})
variant("partial_rotary_factor of one", "llama", {"partial_rotary_factor": 1.0})
variant("partial_rotary_factor of a half", "llama", {"partial_rotary_factor": 0.5})
variant("rope by layer type", "qwen2", {"rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 100.0}}})
variant("rope by layer type without layer types", "llama", {"rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 100.0}}})

# Sizes and defaults.
variant("head_dim null", "llama", {"head_dim": None})
variant("head_dim absent", "mistral", unset=["head_dim"])
variant("head_dim null, qwen2", "qwen2", {"head_dim": None})
variant("head_dim given, qwen2", "qwen2", {"head_dim": 32})
variant("head_dim null, qwen3", "qwen3", {"head_dim": None})
variant("num_key_value_heads absent", "llama", unset=["num_key_value_heads"])
variant("num_key_value_heads null", "llama", {"num_key_value_heads": None})
variant("num_key_value_heads absent, qwen2", "qwen2", unset=["num_key_value_heads"])
variant("rms_norm_eps absent", "llama", unset=["rms_norm_eps"])
variant("rms_norm_eps an integer", "llama", {"rms_norm_eps": 1})
variant("max_position_embeddings absent", "llama", unset=["max_position_embeddings"])
variant("hidden_act absent", "llama", unset=["hidden_act"])
variant("hidden_act swish", "llama", {"hidden_act": "swish"})
variant("hidden_act gelu", "llama", {"hidden_act": "gelu"})
variant("initializer_range absent, use_cache false", "llama", {"use_cache": False}, unset=["initializer_range", "pretraining_tp"])
variant("pretraining_tp", "llama", {"pretraining_tp": 2})
variant("attention_bias beside a family without it", "mistral", {"attention_bias": True})
variant("mlp_bias without the tensors", "llama", {"mlp_bias": True})
variant("mlp_bias beside a family without it", "qwen3", {"mlp_bias": True})
variant("a config per layer", "llama", {"per_layer_config": {"1": {"intermediate_size": 192}}})
variant("model_type absent", "llama", unset=["model_type"])
variant("model_type of another family", "llama", {"model_type": "falcon"})
variant("code of the repository's own", "llama", {"auto_map": {"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"}})

# Windows.
variant("sliding_window null", "mistral", {"sliding_window": None})
variant("sliding_window absent", "mistral", unset=["sliding_window"])
variant("sliding_window 3", "mistral", {"sliding_window": 3})
variant("use_sliding_window false", "mistral", {"use_sliding_window": False})
variant("layer_types beside mistral", "mistral", {"layer_types": ["full_attention", "sliding_attention"]})
variant("sliding_window of a family without windows", "llama", {"sliding_window": 4})
window = {"use_sliding_window": True, "sliding_window": 5}
variant("windows from a layer on", "qwen2", {**window, "max_window_layers": 1}, unset=["layer_types"])
variant("windows from a layer on, qwen3", "qwen3", {**window, "max_window_layers": 0}, unset=["layer_types"])
variant("max_window_layers absent", "qwen2", window, unset=["layer_types", "max_window_layers"])
variant("layer_types before max_window_layers", "qwen2", {**window, "max_window_layers": 0, "layer_types": ["full_attention", "sliding_attention"]})
variant("windows not used, layer_types sliding", "qwen2", {"use_sliding_window": False, "sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"]})
variant("windows not used", "qwen3", {"use_sliding_window": False, "sliding_window": 5, "max_window_layers": 0}, unset=["layer_types"])
variant("sliding_window absent, windows used", "qwen2", {"use_sliding_window": True, "max_window_layers": 0}, unset=["layer_types", "sliding_window"])
variant("layer_types of another length", "qwen2", {"layer_types": ["full_attention"]})
variant("layer_types of the old name", "qwen2", {"layer_types": ["attention", "full_attention"]})
variant("layer_types nobody knows", "qwen2", {"layer_types": ["linear_attention", "full_attention"]})

# Token ids.
variant("pad_token_id -1", "llama", {"pad_token_id": -1})
variant("pad_token_id -1, qwen2", "qwen2", {"pad_token_id": -1, "bos_token_id": -1})
variant("pad_token_id null", "llama", {"pad_token_id": None})
variant("pad_token_id beyond the vocabulary", "llama", {"pad_token_id": 263})
variant("bos_token_id beyond the vocabulary", "llama", {"bos_token_id": 128000})
variant("eos_token_id -1", "llama", {"eos_token_id": -1})
variant("eos_token_id a list", "llama", {"eos_token_id": [2, 7]})
variant("eos_token_id a list with -1", "llama", {"eos_token_id": [2, -1]})
variant("no token ids", "llama", unset=["bos_token_id", "eos_token_id", "pad_token_id"])

# Types and quantisation.
variant("torch_dtype", "llama", {"torch_dtype": "float32"}, unset=["dtype"])
variant("dtype before torch_dtype", "llama", {"torch_dtype": "float16", "dtype": "float32"})
variant("dtype null beside torch_dtype", "llama", {"dtype": None, "torch_dtype": "float32"})
variant("no dtype", "llama", unset=["dtype"])
variant("dtype float64", "llama", {"dtype": "float64"})
variant("quantization_config null", "llama", {"quantization_config": None})
for method, more in [("gptq", {"bits": 4}), ("awq", {"bits": 4}), ("fp8", {}), ("fbgemm_fp8", {}), ("compressed-tensors", {}), ("hqq", {}), ("eetq", {}), ("aqlm", {}), ("quanto", {}), ("torchao", {}), ("mxfp4", {})]:
    variant(f"quantised by {method}", "llama", {"quantization_config": {"quant_method": method, **more}})
variant("quantised by no name", "llama", {"quantization_config": {"bits": 4}})


def change(tensors, op):
    kind, *rest = op
    if kind == "rename":
        return {rest[1] + k[len(rest[0]):] if k.startswith(rest[0]) else k: v for k, v in tensors.items()}
    if kind == "drop":
        return {k: v for k, v in tensors.items() if not k.startswith(rest[0])}
    if kind == "copy":
        tensors[rest[1]] = tensors[rest[0]].clone()
    elif kind == "scale":
        tensors[rest[0]] = tensors[rest[0]] * rest[1]
    elif kind == "zeros":
        tensors[rest[0]] = torch.zeros(rest[1])
    elif kind == "bf16":
        for k in tensors:
            if k.startswith(rest[0]):
                tensors[k] = (tensors[k].view(torch.int32) >> 16 << 16).view(torch.float32).to(torch.bfloat16)
    return tensors


def write(folder, one):
    source = os.path.join(MODELS, one["family"])
    with open(os.path.join(source, "config.json")) as file:
        config = {**json.load(file), **one["set"]}
    for field in one["unset"]:
        config.pop(field, None)
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)
    tensors = load_file(os.path.join(source, "model.safetensors"))
    shards = 1
    for op in one["tensors"]:
        if op[0] == "shards":
            shards = op[1]
        else:
            tensors = change(tensors, op)
    if shards == 1:
        save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        return
    names, where = sorted(tensors), {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        own = {n: tensors[n] for i, n in enumerate(names) if i % shards == shard}
        where.update({n: file for n in own})
        save_file(own, os.path.join(folder, file), metadata={"format": "pt"})
    with open(os.path.join(folder, "model.safetensors.index.json"), "w") as file:
        json.dump({"metadata": {}, "weight_map": where}, file)


def judge(one):
    folder = tempfile.mkdtemp()
    try:
        write(folder, one)
        model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        if info["missing_keys"]:
            return {"missing": sorted(info["missing_keys"])}
        with torch.no_grad():
            return {"logits": [float(f"{x:.7g}") for x in model.eval()(torch.tensor([IDS])).logits[0, -1, :8].tolist()]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}".split("\n")[0][:120].replace(folder, "…")}
    finally:
        shutil.rmtree(folder)


def main():
    only = sys.argv[1:]
    for one in variants:
        if not only or any(word in one["name"] for word in only):
            one.update(judge(one))
            print(one["name"], "→", one.get("logits", one.get("error", one.get("missing")))if only else "", flush=True)
    if only:
        return
    rows = ",\n    ".join(json.dumps(one) for one in variants)
    with open(os.path.join(HERE, "variants.json"), "w") as file:
        file.write(f'{{\n  "transformers": "{transformers.__version__}",\n  "ids": {json.dumps(IDS)},\n  "variants": [\n    {rows}\n  ]\n}}\n')


main()
