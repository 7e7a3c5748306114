"""Weights packed as AutoGPTQ, AutoAWQ and the FP8 recipes of DeepSeek, Qwen and vLLM store them, each with the float32 numbers that it stands for.

torch 2.13.0 and safetensors: make_packed_weights.py FILE. Packing is written from the sources' words, number by number, and torch reads E4M3.
"""
import sys

import torch
from safetensors.torch import save_file

N, K, GROUP = 16, 64, 16
tensors = {}
draw = torch.Generator().manual_seed(5)
q = torch.randint(0, 16, (K, N), generator=draw)
zeros = torch.randint(0, 16, (K // GROUP, N), generator=draw)
scales = (torch.rand((K // GROUP, N), generator=draw) * 0.02 + 1e-3).half()
order = torch.randperm(K, generator=draw)


def words(codes, dim, places=range(8)):
    """Eight codes along `dim` in one int32; the i-th from the low bits up is the one at places[i]."""
    codes = codes.movedim(dim, 0)
    packed = torch.zeros((codes.shape[0] // 8, *codes.shape[1:]), dtype=torch.int64)
    for i, place in enumerate(places):
        packed |= codes[place::8] << (4 * i)
    packed = torch.where(packed >= 2**31, packed - 2**32, packed).to(torch.int32)
    return packed.movedim(0, dim).contiguous()


def numbers(groups):
    return ((q - zeros[groups]).float() * scales.float()[groups]).T.contiguous()


plain = torch.arange(K) // GROUP
mixed = torch.empty(K, dtype=torch.int64)
mixed[order] = plain  # desc_act: rows of one group lie anywhere
awq = (0, 2, 4, 6, 1, 3, 5, 7)
for name, stored_zeros, groups in [("gptq", zeros - 1 & 15, plain), ("gptq_act", zeros - 1 & 15, mixed), ("gptq_v2", zeros, plain)]:
    tensors |= {f"{name}.qweight": words(q, 0), f"{name}.qzeros": words(stored_zeros, 1), f"{name}.scales": scales.clone()}
    tensors |= {f"{name}.g_idx": groups.to(torch.int32), f"{name}.expected": numbers(groups)}
tensors |= {"awq.qweight": words(q, 1, awq), "awq.qzeros": words(zeros, 1, awq), "awq.scales": scales.clone(), "awq.expected": numbers(plain)}

codes = (torch.randn((20, 40), generator=draw) * 60).to(torch.float8_e4m3fn)
blocks = torch.rand((3, 3), generator=draw) * 0.01  # of 8 x 16
tensors |= {"block.weight": codes, "block.weight_scale_inv": blocks}
tensors["block.expected"] = codes.float() * blocks.repeat_interleave(8, 0)[:20].repeat_interleave(16, 1)[:, :40]
rows = (torch.rand((20, 1), generator=draw) * 0.01).bfloat16()
tensors |= {"row.weight": codes.clone(), "row.weight_scale": rows, "row.expected": codes.float() * rows.float()}
one = torch.tensor(0.0123)
tensors |= {"one.weight": codes.clone(), "one.weight_scale": one, "one.expected": codes.float() * one}
every = torch.arange(256, dtype=torch.uint8)
tensors["e4m3"] = every.view(torch.float8_e4m3fn).float()
save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, sys.argv[1])
