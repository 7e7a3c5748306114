"""Adapter configs, and the modules that PEFT puts an adapter on, with the rank and alpha of each.

    python test/golden/regex/make_targets.py

Written: fields of LoraConfig; "error" when PEFT refuses them, else rows [module, rank, alpha] in forward order over the modules of a Llama
of three layers, the head and the embedding among them.
"""
import itertools
import json
import os
import warnings

import peft
from peft import LoraConfig
from peft.tuners.tuners_utils import _ExcludedModule, check_target_module_exists
from peft.utils.other import get_pattern_key

warnings.simplefilter("ignore")

PARTS = [f"self_attn.{p}_proj" for p in "qkvo"] + [f"mlp.{p}_proj" for p in ("gate", "up", "down")]
MODULES = ["model.embed_tokens"] + [f"model.layers.{i}.{p}" for i in range(3) for p in PARTS] + ["lm_head"]

TARGETS = [
    ["q_proj"], ["q_proj", "v_proj"], ["self_attn.q_proj", "down_proj"], ["model.layers.1.mlp.up_proj"], ["layers.1.mlp.up_proj", "o_proj"],
    ["proj"], ["model.layers.0.self_attn.q_proj", "v_proj"], ["lm_head"], ["q_proj", "lm_head"], ["q_proj", "embed_tokens"], [".q_proj"], [],
    "q_proj", ".*q_proj", r".*\.q_proj\Z", r"(?i).*Q_PROJ", r"model\.layers\.(?P<n>[12])\..*_proj", r".*layers\.\d{,1}\..*[]q]_proj", ".*",
    r".*(?P<a>q|v)_proj", r".*(?:self_attn|mlp)\.(?!gate).*", "(?<n>a)", r".*\.(0|2)\.mlp.*", r"model.layers.0.mlp.up_proj|.*1.*o_proj", "lm_head|.*q_proj",
]
EXCLUDES = [None, ["layers.0.self_attn.q_proj"], ["lm_head", "embed_tokens"], ["q_proj"], ["proj"], r".*layers\.0\..*", r".*(?P<b>layers\.1)\..*", "lm_head", r".*q_proj\Z|lm_head|.*embed.*", "[", ""]
LAYERS = [None, [0], [1, 2], 2, [], [7]]
PATTERNS = [None, "layers", ["layers"], ["h", "layers"], "h", [], "", "lay.*", r"model\.layers", "l(ayer)s"]
KEYS = [{}, {"q_proj": 4}, {"layers.1.mlp.up_proj": 3, "up_proj": 5}, {r".*\.0\..*": 2, "q_proj": 7}, {"q|v_proj": 6}, {r"self_attn\.(?P<x>q|v)_proj\Z": 6}, {"(?i:Q)_proj": 9}, {"(?i)q_proj": 9}, {"model": 3, "": 2}, {r"(?:up|down)_proj$": 11}, {r"(l)ayers\.\d\.mlp\.\w+": 12}, {"q_pro": 3}]


def configs():
    for target, exclude in itertools.product(TARGETS, EXCLUDES):
        yield {"target_modules": target, "exclude_modules": exclude}
    for target, layers, pattern in itertools.product([["q_proj", "up_proj"], ["model.layers.0.mlp.up_proj", "q_proj"], ".*q_proj", ["q_proj", "lm_head"]], LAYERS, PATTERNS):
        yield {"target_modules": target, "layers_to_transform": layers, "layers_pattern": pattern}
    for rank, alpha in itertools.product(KEYS, [{}, {"q_proj": 32}, {r".*[qv]_proj": 1}]):
        yield {"target_modules": PARTS, "rank_pattern": rank, "alpha_pattern": alpha}


def judge(fields):
    try:
        config = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, **fields)
        rows = []
        for key in MODULES:
            found = check_target_module_exists(config, key)
            if not found or isinstance(found, _ExcludedModule):
                continue
            rank = config.rank_pattern.get(get_pattern_key(config.rank_pattern.keys(), key), config.r)
            rows.append([key, rank, config.alpha_pattern.get(get_pattern_key(config.alpha_pattern.keys(), key), config.lora_alpha)])
        return rows or "error"
    except Exception:
        return "error"


here = os.path.dirname(os.path.abspath(__file__))
rows = ",\n    ".join(json.dumps([c, judge(c)]) for c in configs())
with open(os.path.join(here, "targets.json"), "w") as file:
    file.write(f'{{\n  "peft": "{peft.__version__}",\n  "modules": {json.dumps(MODULES)},\n  "configs": [\n    {rows}\n  ]\n}}\n')
