#!/usr/bin/env node
// One LoRA training step here and with PyTorch + PEFT (+ bitsandbytes), in turn, on the same machine:
//
//   node bench/peers/compare.mjs --python VENV/bin/python [--shape smollm2-135m] [--tokens 512] [--batch 1] [--pairs 3] [--json FILE]
//
// The environment holds torch, transformers, peft and bitsandbytes (see bench/README.md). Every pair runs ours, PyTorch in bf16 and
// bitsandbytes NF4, each in a process of its own; medians over the pairs are compared, ours against the better of the two.
import { appendFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { lastLine, median } from './program.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    shape: { type: 'string', default: 'smollm2-135m' },
    tokens: { type: 'string', default: '512' },
    batch: { type: 'string', default: '1' },
    pairs: { type: 'string', default: '3' },
    steps: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    supervised: { type: 'string', default: '1' },
    json: { type: 'string' },
  },
})
if (values.python === undefined) {
  console.error(
    'compare: --python is missing: the Python of an environment with torch, transformers, peft and bitsandbytes',
  )
  process.exit(2)
}

const shared = ['tokens', 'batch', 'steps', 'threads', 'supervised'].flatMap((name) => [`--${name}`, values[name]])

function ours() {
  const main = join(here, '..', '..', 'dist', 'cli', 'main.js')
  const words = [main, 'bench', 'step', '--shape', values.shape, '--quantization', 'nf4', '--compute', 'bf16', '--json']
  const { tokensPerSecond, peakRssMiB, shareOfRoof } = lastLine(process.execPath, [...words, ...shared])
  return { rate: tokensPerSecond.median, peakMiB: peakRssMiB, share: shareOfRoof }
}

function peer(mode) {
  const result = lastLine(values.python, [join(here, 'peft_step.py'), values.shape, mode, ...shared])
  return { rate: result.tokens_per_second_median, peakMiB: result.peak_rss_mib }
}

/** @type {Record<string, { rate: number, peakMiB: number, share?: number }[]>} */
const runs = { fedlora: [], 'torch+peft bf16': [], 'torch+peft nf4': [] }
for (let pair = 0; pair < Number(values.pairs); pair++) {
  runs.fedlora.push(ours())
  runs['torch+peft bf16'].push(peer('bf16'))
  runs['torch+peft nf4'].push(peer('nf4'))
}
const rates = Object.fromEntries(
  Object.entries(runs).map(([name, list]) => [name, median(list.map(({ rate }) => rate))]),
)
const best = Math.max(rates['torch+peft bf16'], rates['torch+peft nf4'])
console.log(
  `${values.shape}, ${values.batch} × ${values.tokens} tokens, ${values.threads} threads, ${values.pairs} interleaved pairs`,
)
for (const [name, list] of Object.entries(runs)) {
  const peak = median(list.map(({ peakMiB }) => peakMiB))
  console.log(
    `  ${name.padEnd(16)} ${rates[name].toFixed(0).padStart(6)} tokens/s  peak ${peak.toFixed(0).padStart(5)} MiB`,
  )
}
const share = median(runs.fedlora.map(({ share }) => share))
console.log(
  `  ${(rates.fedlora / best).toFixed(2)} × the better of the two; ${(100 * share).toFixed(1)} % of this machine's bf16 peak`,
)
if (values.json !== undefined) {
  const line = {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model,
    ...values,
    python: undefined,
    json: undefined,
    rates,
    ratio: rates.fedlora / best,
    runs,
  }
  appendFileSync(values.json, `${JSON.stringify(line)}\n`)
}
