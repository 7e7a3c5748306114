"""Random checkpoints of ../cases.json and what PyTorch, transformers and PEFT make of them.

usage: make_checkpoints.py OUT SEED

OUT/<case>/model/      the checkpoint, in its stored type, whole or in shards
OUT/<case>/adapter/    a random LoRA, saved by PEFT
OUT/<case>/trained/    the same after 20 steps of AdamW, saved by PEFT
OUT/<case>/reference.safetensors
    rows.{ids,labels,lengths}    rows one after another
    base, logits                 logits of every token without and with the adapter; loss; grad.<PEFT name>: all from float64
    curve.{ids,labels,lengths}   4 rows for each of 20 steps;  curve.loss, curve.rate
    trained                      logits with the trained adapter, by PEFT in float32
    metadata: how far PyTorch's own float32 and bfloat16 runs are from float64
"""
import copy
import math
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM

import common

STEPS, ROWS, WARMUP, PEAK = 20, 4, 3, 4e-3


def rate(step):
    if step < WARMUP:
        return PEAK * step / WARMUP
    return PEAK * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


def train(wrapped, rows):
    parameters = list(common.factors(wrapped).values())
    optimizer = torch.optim.AdamW(parameters, lr=PEAK, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.02)
    optimizer.zero_grad()
    losses = []
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group['lr'] = rate(step)
        loss, _ = common.mean_loss(wrapped, rows[step * ROWS:(step + 1) * ROWS])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.7)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def largest(a, b):
    return (a.double() - b.double()).abs().max().item()


def relative(a, b):
    return ((a.double() - b.double()).norm() / b.double().norm()).item()


def run(wrapped, rows):
    wrapped.zero_grad()
    loss, logits = common.mean_loss(wrapped, rows)
    loss.backward()
    return loss.item(), logits, {name: parameter.grad.clone() for name, parameter in common.factors(wrapped).items()}


def make(case, out, seed):
    random = common.generator(seed, case['name'])
    folder = f"{out}/{case['name']}"
    config = AutoConfig.for_model(case['type'], **common.SHARED, **case['config'])
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    common.fill(model, random)
    model.tie_weights()
    model.to(common.DTYPES[case['stored']]).save_pretrained(f'{folder}/model', max_shard_size='150KB' if case.get('shards') else '5GB')

    recipe = LoraConfig(r=5, lora_alpha=12, lora_dropout=0.0, target_modules='all-linear', task_type='CAUSAL_LM')
    wrapped = get_peft_model(common.load(f'{folder}/model'), recipe)
    for name, parameter in common.factors(wrapped).items():
        parameter.data = torch.randn(parameter.shape, generator=random) * (0.1 if 'lora_A' in name else 0.06)
    wrapped.save_pretrained(f'{folder}/adapter')
    rows = common.draw_rows(5, 40, config.vocab_size, random)
    curve_rows = common.draw_rows(STEPS * ROWS, 24, config.vocab_size, random)

    exact = copy.deepcopy(wrapped).double()
    loss, logits, gradients = run(exact, rows)
    single = run(wrapped, rows)
    half = PeftModel.from_pretrained(common.load(f'{folder}/model', torch.bfloat16), f'{folder}/adapter', is_trainable=True,
                                     autocast_adapter_dtype=True)
    low = run(half, rows)
    with exact.disable_adapter(), torch.no_grad():
        base = common.mean_loss(exact, rows)[1]
    curve = train(exact, curve_rows)
    curve32 = train(wrapped, curve_rows)
    wrapped.save_pretrained(f'{folder}/trained')
    with torch.no_grad():
        trained = common.mean_loss(wrapped, rows)[1]
    errors = {
        'f32.logits': largest(single[1], logits), 'f32.loss': abs(single[0] - loss),
        'f32.gradient': max(relative(single[2][name], gradients[name]) for name in gradients),
        'f32.curve': max(abs(a - b) / b for a, b in zip(curve32, curve)),
        'bf16.logits': relative(low[1], logits), 'bf16.loss': abs(low[0] - loss),
        'bf16.gradient': max(relative(low[2][name], gradients[name]) for name in gradients),
    }
    tensors = {'base': base.float(), 'logits': logits.float(), 'loss': torch.tensor([loss], dtype=torch.float64), 'trained': trained,
               'curve.loss': torch.tensor(curve, dtype=torch.float64), 'curve.rate': torch.tensor([rate(step) for step in range(STEPS)], dtype=torch.float64)}
    tensors.update(common.pack(rows, 'rows.'))
    tensors.update(common.pack(curve_rows, 'curve.'))
    tensors.update({f'grad.{name}': gradient.float() for name, gradient in gradients.items()})
    common.write(f'{folder}/reference.safetensors', tensors, **errors)
    print(case['name'], {key: f'{value:.2e}' for key, value in errors.items()}, flush=True)


if __name__ == '__main__':
    torch.manual_seed(int(sys.argv[2]))
    for one in common.cases():
        make(one, sys.argv[1], int(sys.argv[2]))
