/**
 * Random checkpoints of other dimensions than the golden ones, beside PyTorch, transformers, PEFT and bitsandbytes. Bounds are those
 * of the golden tests: ten times the distance between PyTorch's own float32 run and float64, measured by the program that made them.
 */
import { readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { loadDataset } from '../../src/data/load-dataset.js'
import type { Adapter } from '../../src/model/adapter.js'
import { loadModel } from '../../src/model/load.js'
import type { Model } from '../../src/model/model.js'
import { type QuantizeOptions, quantizeModel } from '../../src/model/quantize.js'
import { native } from '../../src/native/load.js'
import { train } from '../../src/training/train.js'
import { maxError, relativeError } from '../support/golden-model.js'
import { largest, parity, runPython, scratch, seed, Tensors } from '../support/parity.js'
import { bytesOf } from '../support/train.js'

t.setTimeout(3_600_000)

interface Case {
  name: string
  stored: string
}

const cases: Case[] = JSON.parse(readFileSync(resolve('test/parity/cases.json'), 'utf8'))
const reference = { quantization: 'none', compute: 'f32', threads: 2 } as const
const recipe = {
  epochs: 1,
  batchSize: 4,
  shuffle: false,
  learningRate: 4e-3,
  schedule: 'cosine',
  warmupSteps: 3,
  betas: [0.9, 0.99] as [number, number],
  epsilon: 1e-8,
  weightDecay: 0.02,
  maxGradNorm: 0.7,
} as const
const show = (value: number) => value.toExponential(2)

const folder = (name: string, ...rest: string[]) => join(scratch, name, ...rest)
const golden = (name: string) => new Tensors(folder(name, 'reference.safetensors'))
/** Two for each linear layer that PEFT adapts. */
const factorsOf = (golden: Tensors) => golden.names().filter((name) => name.startsWith('grad.')).length

async function logitsOf(model: Model, golden: Tensors, adapter?: Adapter): Promise<Float32Array> {
  const { inputIds } = golden.rows('rows.')
  return (await model.logits({ inputIds }, adapter === undefined ? {} : { adapter })).data
}

/** Ours and theirs within 1e-4 × max(1, max|logit|): the bar for adapters that travel between the libraries. */
function near(t: Test, ours: Float32Array, theirs: Float32Array, what: string) {
  const bound = 1e-4 * Math.max(1, largest(theirs))
  const error = maxError(ours, theirs)
  t.ok(error <= bound, `${what}: ${show(error)} of ${show(bound)}`)
}

/** Asks test/parity/python/read_back.py; see there for the words. */
async function readBack(...words: string[]): Promise<Tensors> {
  const out = join(scratch, 'read-back.safetensors')
  await runPython('read_back.py', ...words, out)
  return new Tensors(out)
}

parity('PyTorch makes the checkpoints and the references', async (t) => {
  await runPython('make_checkpoints.py', scratch, seed)
  for (const { name, stored } of cases) {
    const { metadata } = golden(name)
    t.ok(factorsOf(golden(name)) >= 24, `${name} (${stored}): ${JSON.stringify(metadata)}`)
  }
})

for (const { name } of cases) {
  parity(`${name}: logits, loss and gradients in f32`, async (t) => {
    const want = golden(name)
    using model = await loadModel(folder(name, 'model'), reference)
    using adapter = await model.loadAdapter(folder(name, 'adapter'))
    const bound = 10 * want.bound('f32.logits')
    const base = maxError(await logitsOf(model, want), want.f32('base'))
    t.ok(base <= bound, `without the adapter: ${show(base)} of ${show(bound)}`)
    const error = maxError(await logitsOf(model, want, adapter), want.f32('logits'))
    t.ok(error <= bound, `with it: ${show(error)} of ${show(bound)}`)
    t.notOk(maxError(want.f32('base'), want.f32('logits')) <= bound, 'canary: without is not with')
    const { loss, gradients } = await adapter.gradients(want.rows('rows.'))
    const exact = want.f64('loss')[0]!
    const lossBound = Math.max(10 * want.bound('f32.loss'), 2e-6 * exact)
    t.ok(Math.abs(loss - exact) <= lossBound, `loss: ${show(Math.abs(loss - exact))} of ${show(lossBound)}`)
    const gradientBound = 10 * want.bound('f32.gradient')
    let worst = 0
    for (const [factor, gradient] of gradients) {
      const difference = relativeError(gradient, want.f32(`grad.${factor}`))
      if (!(difference <= worst)) worst = difference
    }
    t.equal(gradients.size, factorsOf(want))
    t.ok(worst <= gradientBound, `gradients: ${show(worst)} of ${show(gradientBound)}`)
  })

  parity(`${name}: bf16 stays as near as PyTorch's bf16`, async (t) => {
    const want = golden(name)
    using model = await loadModel(folder(name, 'model'), { quantization: 'bf16', compute: 'bf16', threads: 2 })
    using adapter = await model.loadAdapter(folder(name, 'adapter'))
    const bound = 1.5 * want.bound('bf16.logits')
    const error = relativeError(await logitsOf(model, want, adapter), want.f32('logits'))
    t.ok(error <= bound, `logits: ${show(error)} of ${show(bound)}`)
    const { loss, gradients } = await adapter.gradients(want.rows('rows.'))
    t.ok(Math.abs(loss - want.f64('loss')[0]!) <= 0.05, `loss: ${show(loss - want.f64('loss')[0]!)}`)
    let worst = 0
    for (const [factor, gradient] of gradients) {
      const difference = relativeError(gradient, want.f32(`grad.${factor}`))
      if (!(difference <= worst)) worst = difference
    }
    const gradientBound = 1.5 * want.bound('bf16.gradient')
    t.ok(worst <= gradientBound, `gradients: ${show(worst)} of ${show(gradientBound)}`)
  })

  parity(`${name}: the losses of 20 steps; the adapter travels to PEFT and back; merging`, async (t) => {
    const want = golden(name)
    using model = await loadModel(folder(name, 'model'), reference)
    using adapter = await model.loadAdapter(folder(name, 'adapter'))
    const rows = want.rows('curve.')
    const list = rows.inputIds.map((input_ids, i) => ({ input_ids, labels: rows.labels[i]! }))
    const losses: number[] = []
    const rates: number[] = []
    for await (const event of train(adapter, await loadDataset(list, { format: 'tokens' }), recipe)) {
      if (event.type !== 'step') continue
      losses.push(event.loss)
      rates.push(event.learningRate)
    }
    const curve = want.f64('curve.loss')
    t.ok(maxError(rates, want.f64('curve.rate')) <= 1e-18, 'the same rates')
    const bound = Math.max(10 * want.bound('f32.curve'), 1e-5)
    const worst = losses.reduce((most, loss, i) => Math.max(most, Math.abs(loss - curve[i]!) / curve[i]!), 0)
    t.equal(losses.length, 20)
    t.ok(worst <= bound, `curve: ${show(worst)} of ${show(bound)}`)

    const constant = losses.reduce((most, loss) => Math.max(most, Math.abs(loss - curve[0]!) / curve[0]!), 0)
    t.notOk(constant <= bound, 'canary: the losses move')

    const saved = folder(name, 'ours')
    await adapter.save(saved)
    const ours = await logitsOf(model, want, adapter)
    const peft = await readBack('logits', folder(name, 'model'), folder(name), saved)
    near(t, ours, peft.f32('logits'), 'our adapter in PEFT')
    using theirs = await model.loadAdapter(folder(name, 'trained'))
    near(t, await logitsOf(model, want, theirs), want.f32('trained'), "PEFT's adapter here")
    near(t, ours, want.f32('trained'), 'both trainings end in the same logits')

    const merged = folder(name, 'merged')
    await adapter.merge(merged)
    const judged = await readBack('merged', merged, folder(name, 'model'), saved)
    t.equal(judged.i32('adapted')[0], factorsOf(want) / 2)
    t.ok(
      judged.f64('worst')[0]! <= 1,
      `merged weights: ${judged.f64('worst')[0]!.toFixed(3)} of what rounding once allows`,
    )
    const weights = await readBack('weights', merged)
    const written = new Tensors(join(merged, 'model.safetensors'))
    const same = written.names().filter((tensor) => written.raw(tensor).bytes.equals(weights.raw(tensor).bytes))
    t.same(same, written.names(), 'transformers loads the merged folder with equal weights')
  })
}

const formats: [string, QuantizeOptions][] = [
  ['nf4', { quantization: 'nf4' }],
  ['nf4-double', { quantization: 'nf4', doubleQuantization: true }],
  ['fp4', { quantization: 'fp4' }],
  ['fp4-double', { quantization: 'fp4', doubleQuantization: true }],
  ['nf4-double-128', { quantization: 'nf4', doubleQuantization: true, blockSize: 128 }],
  ['fp4-128', { quantization: 'fp4', blockSize: 128 }],
  ['int8', { quantization: 'int8' }],
]

/** Every dequantised layer of the folder, as we read it, is what bitsandbytes makes of it. */
function sameWeights(t: Test, path: string, theirs: Tensors, prefix = '') {
  const checkpoint = native().openCheckpoint([join(path, 'model.safetensors')])
  let different = 0
  const names = theirs.names().filter((tensor) => tensor.startsWith(prefix) && tensor.endsWith('_proj.weight'))
  for (const tensor of names) {
    const { data } = checkpoint.readWeight(tensor.slice(prefix.length).replace(/\.weight$/, ''))
    if (!bytesOf(data).equals(theirs.raw(tensor).bytes)) different++
  }
  checkpoint.dispose()
  t.equal(names.length, 21)
  t.equal(different, 0, 'every dequantised weight, bit for bit')
}

const quantised = ['llama-96-biases', 'mistral-320-window', 'qwen3-320', 'llama-192-even']
for (const [at, name] of quantised.entries()) {
  for (const [format, options] of formats.filter((_, i) => i % 4 === at || (at === 3 && i < 4))) {
    parity(`${name} quantised here to ${format}: transformers and bitsandbytes load it`, async (t) => {
      const path = folder(name, `quantised-${format}`)
      await quantizeModel(folder(name, 'model'), path, options)
      sameWeights(t, path, await readBack('dequantized', path))
      using model = await loadModel(path, reference)
      using adapter = await model.loadAdapter(folder(name, 'ours'))
      const ours = await logitsOf(model, golden(name), adapter)
      const theirs = await readBack('quantized-logits', path, folder(name), folder(name, 'ours'))
      near(t, ours, theirs.f32('logits'), 'our adapter over it in PEFT')
      const four = options.quantization !== 'int8' && options.blockSize !== 128
      t.equal(theirs.has('kernels'), four && name === 'llama-192-even', 'their kernels take few shapes')
      if (!theirs.has('kernels')) return
      const bound = 1.5 * golden(name).bound('bf16.logits')
      const error = relativeError(theirs.f32('kernels'), ours)
      t.ok(error <= bound, `bitsandbytes' bf16 kernels: ${show(error)} of ${show(bound)}`)
    })
  }
}

for (const [name, format] of [
  ['llama-160-llama3-rope', 'nf4-double'],
  ['llama-96-linear-rope', 'fp4'],
  ['qwen2-160-windows', 'int8'],
  ['qwen3-320', 'fp4-double'],
  ['mistral-320-window', 'nf4'],
] as const) {
  parity(`${name} quantised by bitsandbytes to ${format} loads here`, async (t) => {
    const path = folder(name, `theirs-${format}`)
    await runPython('save_quantized.py', folder(name), format, path)
    const theirs = new Tensors(join(path, 'reference.safetensors'))
    sameWeights(t, path, theirs, 'weights.')
    using model = await loadModel(path, reference)
    t.equal(model.config.storedQuantization?.format, format.slice(0, format === 'int8' ? 4 : 3))
    const bound = 10 * golden(name).bound('f32.logits')
    const ours = await logitsOf(model, golden(name))
    const error = maxError(ours, theirs.f32('logits'))
    t.ok(error <= bound, `logits: ${show(error)} of ${show(bound)}`)
    t.notOk(maxError(ours, golden(name).f32('base')) <= bound, 'canary: quantising changed the model')
  })
}

parity('the scratch folder goes', async (t) => {
  rmSync(scratch, { recursive: true })
  t.pass()
})
