"""What the programs of this folder share: models, rows of tokens, losses, weights as bitsandbytes holds them.

Everything random comes from a seed. Rows have lengths of their own and are passed one by one, so that no padding is involved."""
import json
import os

import torch
import torch.nn.functional as functional
from safetensors.torch import save_file

DTYPES = {'float32': torch.float32, 'float16': torch.float16, 'bfloat16': torch.bfloat16}
SHARED = dict(vocab_size=501, num_hidden_layers=3, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
              pad_token_id=0, attention_dropout=0.0)
IGNORED = -100


def cases():
    with open(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'cases.json')) as file:
        return json.load(file)


def generator(seed, name):
    return torch.Generator().manual_seed(seed * 1000003 + sum(ord(letter) * (i + 1) for i, letter in enumerate(name)))


def load(folder, dtype=torch.float32, **options):
    from transformers import AutoModelForCausalLM
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation='eager', **options).eval()


def fill(model, random):
    """Weights and biases large enough that a wrong index, sign or missing term shows in the logits."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=random)
            if parameter.dim() == 2:
                parameter.copy_(noise * 0.8 / parameter.shape[1] ** 0.5)
            else:
                parameter.copy_(1 + 0.25 * noise if ('norm' in name or 'ln_' in name) and name.endswith('weight') else 0.15 * noise)


def draw_rows(count, longest, vocabulary, random):
    rows = []
    for _ in range(count):
        length = int(torch.randint(longest // 3, longest + 1, (1,), generator=random))
        ids = torch.randint(3, vocabulary, (length,), generator=random)
        labels = ids.clone()
        labels[:int(torch.randint(1, length // 2, (1,), generator=random))] = IGNORED
        rows.append((ids, labels))
    return rows


def mean_loss(model, rows):
    """Mean cross-entropy over the supervised tokens of all rows, and the logits of each row."""
    total, count, logits = 0, 0, []
    for ids, labels in rows:
        out = model(input_ids=ids[None]).logits[0]
        logits.append(out.detach())
        total = total + functional.cross_entropy(out[:-1].to(torch.promote_types(out.dtype, torch.float32)), labels[1:],
                                                 ignore_index=IGNORED, reduction='sum')
        count += int((labels[1:] != IGNORED).sum())
    return total / count, torch.cat(logits)


def pack(rows, prefix):
    return {f'{prefix}ids': torch.cat([ids for ids, _ in rows]).int(), f'{prefix}labels': torch.cat([labels for _, labels in rows]).int(),
            f'{prefix}lengths': torch.tensor([len(ids) for ids, _ in rows]).int()}


def unpack(tensors, prefix):
    lengths = tensors[f'{prefix}lengths'].tolist()
    return list(zip(tensors[f'{prefix}ids'].long().split(lengths), tensors[f'{prefix}labels'].long().split(lengths)))


def factors(wrapped):
    """The trainable tensors of a PEFT model by the names that its files use."""
    return {name.replace('.default', ''): parameter for name, parameter in wrapped.named_parameters() if 'lora_' in name}


def four_bits(module):
    """A 4-bit layer in float32, by the formula: code[i] * absmax[i / block]. bitsandbytes' own CPU routine (0.50) is not asked: it
    is wrong where in_features is no multiple of the block."""
    state = module.weight.quant_state
    packed = module.weight.data.flatten()
    codes = torch.stack([packed >> 4, packed & 15], 1).flatten()[:state.shape.numel()].long()
    scales = state.absmax
    if state.nested:
        groups = state.state2.absmax.repeat_interleave(state.state2.blocksize)[:scales.numel()]
        scales = state.state2.code[scales.long()] * groups + state.offset
    return (state.code[codes] * scales.float().repeat_interleave(state.blocksize)[:codes.numel()]).reshape(state.shape)


def dequantized(model):
    """The float32 weights of every layer that bitsandbytes holds."""
    import bitsandbytes
    weights = {}
    for name, module in model.named_modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weights[f'{name}.weight'] = four_bits(module)
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            scale = module.weight.SCB if getattr(module.weight, 'SCB', None) is not None else module.state.SCB
            weights[f'{name}.weight'] = module.weight.data.float() * scale.float()[:, None] / 127.0
    return weights


def replace_weights(model, weights):
    with torch.no_grad():
        for name, weight in weights.items():
            model.get_parameter(name).copy_(weight)


def write(path, tensors, **metadata):
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, path,
              metadata={key: str(value) for key, value in metadata.items()})
