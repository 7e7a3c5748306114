"""What transformers, PEFT and bitsandbytes make of folders that were written by the library under test.

usage: read_back.py weights MODEL OUT                  every parameter of a plain model, as stored
       read_back.py dequantized MODEL OUT              the weights of the layers that bitsandbytes holds
       read_back.py logits MODEL CASE_FOLDER ADAPTER OUT       float32 logits of the rows of CASE_FOLDER with a PEFT folder
       read_back.py quantized-logits MODEL CASE_FOLDER ADAPTER OUT     the same over a quantised folder: `logits` over the
                       dequantised weights; `kernels` by bitsandbytes' own CPU kernels (in bfloat16), where they
                       take these shapes
       read_back.py merged MERGED BASE ADAPTER OUT     how far W + s·B·A in the merged folder is from the exact value, in units of
                                                       what rounding a float32 sum once to the stored type allows (at most 1)
"""
import sys

import torch
from safetensors.torch import load_file

import common


def with_adapter(loaded, folder, adapter):
    from peft import PeftModel
    with torch.no_grad():
        rows = common.unpack(load_file(f'{folder}/reference.safetensors'), 'rows.')
        return common.mean_loss(PeftModel.from_pretrained(loaded, adapter), rows)[1].float()


def logits(model, folder, adapter, out):
    common.write(out, {'logits': with_adapter(common.load(model), folder, adapter)})


def quantized_logits(model, folder, adapter, out):
    loaded = common.load(model, device_map='cpu')
    weights = common.dequantized(loaded)
    plain = common.load(f'{folder}/model')
    common.replace_weights(plain, weights)
    found = {'logits': with_adapter(plain, folder, adapter)}
    states = [module.weight.quant_state for module in loaded.modules() if hasattr(getattr(module, 'weight', None), 'quant_state')]
    if states and all(state.shape[0] % 64 == 0 and state.shape[1] % state.blocksize == 0 for state in states):
        found['kernels'] = with_adapter(loaded, folder, adapter)
    common.write(out, found)


def merged(model, base, adapter, out):
    from peft import PeftModel
    exact = PeftModel.from_pretrained(common.load(base).double(), adapter).double()
    ours = dict(common.load(model, 'auto').named_parameters())
    worst, adapted = 0.0, 0
    for name, module in exact.named_modules():
        if not hasattr(module, 'lora_A') or 'default' not in module.lora_A:
            continue
        adapted += 1
        weight, scaling = module.base_layer.weight, module.scaling['default']
        a, b = module.lora_A['default'].weight, module.lora_B['default'].weight
        got = ours[name.removeprefix('base_model.model.') + '.weight']
        added, most = scaling * b @ a, abs(scaling) * b.abs() @ a.abs()
        if module.fan_in_fan_out:  # Conv1D: [in, out]
            added, most = added.T, most.T
        want = weight + added
        half_step = torch.finfo(got.dtype).eps / 2 * want.abs() + torch.finfo(got.dtype).smallest_normal * torch.finfo(got.dtype).eps
        sums = torch.finfo(torch.float32).eps * (a.shape[0] + 2) * (weight.abs() + most)
        worst = max(worst, ((got.double() - want).abs() / (half_step * 1.001 + sums)).max().item())
    common.write(out, {'worst': torch.tensor([worst], dtype=torch.float64), 'adapted': torch.tensor([adapted]).int()})


def weights(model, out):
    loaded = common.load(model, 'auto')
    head = {'gpt_neox': 'embed_out.weight'}.get(loaded.config.model_type, 'lm_head.weight')  # transformers 5 renames it while it loads
    common.write(out, {head if name == 'lm_head.weight' else name: parameter for name, parameter in loaded.named_parameters()})


def dequantized(model, out):
    common.write(out, common.dequantized(common.load(model, device_map='cpu')))


if __name__ == '__main__':
    jobs = {'weights': weights, 'dequantized': dequantized, 'logits': logits, 'quantized-logits': quantized_logits, 'merged': merged}
    jobs[sys.argv[1]](*sys.argv[2:])
