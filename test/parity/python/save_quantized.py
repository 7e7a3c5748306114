"""Folders that transformers + bitsandbytes save, and what they mean.

usage: save_quantized.py CASE_FOLDER KIND TARGET          KIND: nf4, nf4-double, fp4, fp4-double, int8

TARGET/                         the quantised model of CASE_FOLDER/model
TARGET/reference.safetensors    weights.<name>: the dequantised layers; logits: base model over them, rows of CASE_FOLDER, from float64
"""
import sys

import torch
from safetensors.torch import load_file
from transformers import BitsAndBytesConfig

import common


def main(folder, kind, target):
    if kind == 'int8':
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind[:3], bnb_4bit_use_double_quant=kind.endswith('double'),
                                    bnb_4bit_compute_dtype=torch.float32)
    quantized = common.load(f'{folder}/model', quantization_config=config, device_map='cpu')
    quantized.save_pretrained(target)
    weights = common.dequantized(quantized)
    assert len(weights) == 21, len(weights)
    plain = common.load(f'{folder}/model').double()
    common.replace_weights(plain, weights)
    with torch.no_grad():
        rows = common.unpack(load_file(f'{folder}/reference.safetensors'), 'rows.')
        logits = common.mean_loss(plain, rows)[1]
    tensors = {f'weights.{name}': weight for name, weight in weights.items()}
    common.write(f'{target}/reference.safetensors', {**tensors, 'logits': logits.float()})


if __name__ == '__main__':
    main(*sys.argv[1:])
