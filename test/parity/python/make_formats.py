"""Random weights and what bitsandbytes makes of them.

usage: make_formats.py OUT SEED

OUT/weights.safetensors     <case>.weight, in float32, float16 or bfloat16
OUT/encoded.safetensors     <case>.<format>.<block>.{packed,absmax} and <case>.<format>.<block>.nested.{absmax,scale,offset};
                            <case>.int8.{codes,scale};  <format> is nf4 or fp4
"""
import sys

import bitsandbytes.functional as bnb
import torch

import common

SHAPES = [(1, 64), (3, 1000), (7, 33), (96, 501), (160, 232), (501, 96), (48, 320), (320, 300), (2, 2), (37, 129), (130, 130)]


def draw(index, shape, random):
    weight = torch.randn(shape, generator=random)
    kind = index % 4
    if kind == 0:
        weight = weight * 0.05
    elif kind == 1:  # rows of very different size
        weight = weight * torch.exp(2 * torch.randn(shape[0], 1, generator=random))
    elif kind == 2:  # few large values among many small ones, some rows of zeros
        weight = weight * 0.01 + (torch.rand(shape, generator=random) > 0.99) * 5.0
        weight[shape[0] // 2] = 0
    else:  # heavy tails
        weight = 0.02 * weight / (torch.rand(shape, generator=random) + 0.05)
    return weight.clamp(-30000, 30000).to([torch.float32, torch.bfloat16, torch.float16][index % 3])


def main(out, seed):
    random = common.generator(seed, 'formats')
    weights, encoded = {}, {}
    for index, shape in enumerate(shape for shape in SHAPES for _ in range(3)):
        name = f'case{index}'
        weight = draw(index, shape, random)
        weights[f'{name}.weight'] = weight
        for kind in ('nf4', 'fp4'):
            for block in (64, 128):
                key = f'{name}.{kind}.{block}'
                packed, state = bnb.quantize_4bit(weight, blocksize=block, quant_type=kind, compress_statistics=False)
                nested = bnb.quantize_4bit(weight, blocksize=block, quant_type=kind, compress_statistics=True)[1]
                encoded[f'{key}.packed'] = packed.flatten()
                encoded[f'{key}.absmax'] = state.absmax.float()
                encoded[f'{key}.nested.absmax'] = nested.absmax
                encoded[f'{key}.nested.scale'] = nested.state2.absmax.float()
                encoded[f'{key}.nested.offset'] = nested.offset.float().reshape(1)
        codes, scale, _ = bnb.int8_vectorwise_quant(weight.half())
        encoded[f'{name}.int8.codes'], encoded[f'{name}.int8.scale'] = codes, scale.float()
    common.write(f'{out}/weights.safetensors', weights)
    common.write(f'{out}/encoded.safetensors', encoded)


if __name__ == '__main__':
    main(sys.argv[1], int(sys.argv[2]))
