/** Models: options, logits, generation, quantised folders, estimates, life and death of objects. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { linearModules } from '../../src/model/config.js'
import { loadModel } from '../../src/model/load.js'
import { quantizeModel } from '../../src/model/quantize.js'
import { native, openNative } from '../../src/native/load.js'
import { estimate } from '../../src/training/estimate.js'
import { families, goldenFolder, goldenRoot, maxError, rowsOf } from '../support/golden-model.js'
import { GoldenFile } from '../support/safetensors.js'
import { bytesOf, temporaryFolder } from '../support/train.js'

const reference = { quantization: 'none', compute: 'f32', threads: 2 } as const
const demoModel = 'assets/gsm-3m'

t.test('the engine has the linear layers that the description lists', async (t) => {
  for (const family of families) {
    using model = await loadModel(goldenFolder(family), { ...reference, quantization: 'int8' })
    const linears = model.handle.use('linears').linears()
    t.same(
      linears.map(({ module, shape }) => ({ module, shape })),
      linearModules(model.config.description),
    )
    t.ok(linears.every(({ format }) => format === 'int8'))
  }
})

t.test('logits: rows of any lengths, where each begins', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const { data, rows, vocab } = await model.logits({ inputIds: [[1, 2, 3], Int32Array.of(4), [5, 6]] })
  t.equal(vocab, 263)
  t.same(rows, [
    { offset: 0, length: 3 },
    { offset: 3 * 263, length: 1 },
    { offset: 4 * 263, length: 2 },
  ])
  t.equal(data.length, 6 * 263)
  await t.rejects(model.logits({ inputIds: [[263]] }), { code: 'E_ARGUMENT' })
  await t.rejects(model.logits({ inputIds: [[1]] }, { adaptor: 1 } as object), {
    code: 'E_CONFIG',
    message: /did you mean "adapter"/,
  })
  using other = await loadModel(goldenFolder('llama'), reference)
  using foreign = other.createAdapter({ rank: 2 })
  await t.rejects(model.logits({ inputIds: [[1]] }, { adapter: foreign }), {
    code: 'E_ARGUMENT',
    message: /another model/,
  })
})

t.test('memory by kind; progress; quantising makes it smaller', async (t) => {
  const seen: number[] = []
  using plain = await loadModel(goldenFolder('llama'), {
    ...reference,
    onProgress: ({ loaded, total }) => seen.push(loaded / total),
  })
  using small = await loadModel(goldenFolder('llama'), { quantization: 'nf4', doubleQuantization: true })
  t.equal(seen.at(-1), 1)
  const { linears, embedding, head, norms, ropes, total } = plain.memory
  t.equal(linears + embedding + head + norms + ropes, total)
  t.ok(small.memory.linears * 6 < linears, `${small.memory.linears} of ${linears}`)
})

t.test('options are checked', async (t) => {
  const bad = (options: object, message: RegExp) =>
    t.rejects(loadModel(goldenFolder('llama'), options), { code: 'E_CONFIG', message })
  await bad({ quantization: 'nf5' }, /quantization: got "nf5"/)
  await bad({ quantize: 'nf4' }, /did you mean "quantization"/)
  await bad({ blockSize: 32 }, /blockSize: got 32/)
  await bad({ quantization: 'int8', doubleQuantization: true }, /doubleQuantization/)
  await bad({ threads: 0 }, /threads/)
  await t.rejects(loadModel('/nowhere/at/all'), { code: 'E_MISSING' })
})

t.test('broken model folders', async (t) => {
  const folder = temporaryFolder('broken')
  cpSync(goldenFolder('llama'), folder, { recursive: true })
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
  const weights = readFileSync(join(folder, 'model.safetensors'))
  const withConfig = (changes: object) =>
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, ...changes }))
  withConfig({ num_hidden_layers: 3 })
  await t.rejects(loadModel(folder), { code: 'E_MISSING', message: /model\.layers\.2/ })
  withConfig({ intermediate_size: 193 })
  await t.rejects(loadModel(folder), { code: 'E_SHAPE', message: /gate_proj|up_proj|down_proj/ })
  withConfig({ attention_bias: true })
  await t.rejects(loadModel(folder), { code: 'E_MISSING', message: /q_proj\.bias/ })
  withConfig({})
  writeFileSync(join(folder, 'model.safetensors'), weights.subarray(0, weights.length - 1000))
  await t.rejects(loadModel(folder), { code: 'E_FORMAT' })
  const poisoned = Buffer.from(weights)
  poisoned.writeFloatLE(Number.NaN, poisoned.length - 4)
  writeFileSync(join(folder, 'model.safetensors'), poisoned)
  await t.rejects(loadModel(folder), { code: 'E_NONFINITE' })
  writeFileSync(join(folder, 'config.json'), '{"model_type": "llama",')
  await t.rejects(loadModel(folder), { code: 'E_FORMAT' })
  rmSync(folder, { recursive: true })
})

t.test('use after dispose, disposing twice, adapters of a model that is gone', async (t) => {
  const model = await loadModel(goldenFolder('llama'), reference)
  const adapter = model.createAdapter({ rank: 2 })
  const pending = model.logits({ inputIds: [[1, 2, 3]] }, { adapter })
  model.dispose()
  model.dispose()
  t.ok(model.disposed)
  t.equal((await pending).rows.length, 1, 'a call under way ends well')
  await t.rejects(model.logits({ inputIds: [[1]] }), { code: 'E_DISPOSED', message: /the model was disposed/ })
  t.throws(() => model.createAdapter(), { code: 'E_DISPOSED' })
  await t.rejects(adapter.gradients({ inputIds: [[1, 2]], labels: [[1, 2]] }), { code: 'E_DISPOSED' })
  t.equal(adapter.vector().length, adapter.length, 'its values remain')
  adapter.dispose()
  adapter.dispose()
  t.throws(() => adapter.tensors(), { code: 'E_DISPOSED' })
  await t.rejects(adapter.save('/tmp/never'), { code: 'E_DISPOSED' })
})

t.test('native failures keep their code and get the stack of the caller', async (t) => {
  function whoCalled() {
    native().decodeUpdate(new Uint8Array(3))
  }
  try {
    whoCalled()
    t.fail('no error')
  } catch (error) {
    t.match(error, { name: 'FedloraError', code: /E_FORMAT|E_CHECKSUM/ })
    t.match((error as Error).stack, /whoCalled/)
  }
  t.throws(() => openNative('/nowhere'), {
    code: 'E_LOAD',
    message: /Looked in:[\s\S]*brings no binary[\s\S]*npx fedlora build/,
  })
})

t.test('a quantised folder loads again with the logits of quantising while loading', async (t) => {
  const rows = rowsOf(new GoldenFile(join(goldenRoot, 'qwen2', 'golden.safetensors')))
  for (const [quantization, doubleQuantization, blockSize] of [
    ['nf4', true, 64],
    ['nf4', false, 128],
    ['fp4', false, 64],
    ['int8', false, 64],
  ] as const) {
    const folder = temporaryFolder('quantised')
    const result = await quantizeModel(goldenFolder('qwen2'), folder, { quantization, doubleQuantization, blockSize })
    t.match(result, { quantized: 14, folder })
    t.ok(result.bytesAfter < result.bytesBefore)
    using stored = await loadModel(folder, reference)
    using loaded = await loadModel(goldenFolder('qwen2'), { ...reference, quantization, doubleQuantization, blockSize })
    const [a, b] = await Promise.all([stored, loaded].map((model) => model.logits({ inputIds: rows.inputIds })))
    t.ok(bytesOf(a!.data).equals(bytesOf(b!.data)), `${quantization} ${doubleQuantization} ${blockSize}`)
    t.equal(stored.config.storedQuantization?.format, quantization)
    await t.rejects(quantizeModel(folder, temporaryFolder('twice'), {}), {
      code: 'E_UNSUPPORTED',
      message: /already quantised/,
    })
    rmSync(folder, { recursive: true })
  }
  await t.rejects(quantizeModel(goldenFolder('qwen2'), goldenFolder('qwen2'), {}), { code: 'E_ARGUMENT' })
})

t.test("the quantised config is transformers' own", async (t) => {
  for (const quantization of ['nf4', 'int8'] as const) {
    const folder = temporaryFolder('config')
    await quantizeModel(goldenFolder('llama'), folder, { quantization, doubleQuantization: quantization === 'nf4' })
    const read = (path: string) => JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'))
    t.same(read(folder), read(join(goldenRoot, `llama-bnb-${quantization}`)))
    const theirs = new GoldenFile(join(goldenRoot, `llama-bnb-${quantization}`, 'model.safetensors'))
    const ours = new GoldenFile(join(folder, 'model.safetensors'))
    t.same(ours.names().sort(), theirs.names().sort())
    rmSync(folder, { recursive: true })
  }
})

t.test('an estimate is the plan of the loaded model', async (t) => {
  const adapter = { rank: 8, targetModules: ['q_proj', 'down_proj'] }
  const options = { quantization: 'nf4', compute: 'bf16', threads: 2 } as const
  const planned = await estimate({ model: goldenFolder('llama'), ...options, adapter, batchSize: 4, maxLength: 32 })
  using model = await loadModel(goldenFolder('llama'), options)
  using real = model.createAdapter(adapter)
  t.equal(planned.trainable, real.length)
  t.equal(planned.weights + planned.adapter + planned.saved + planned.workspace + planned.loss, planned.total)
  t.ok(
    Math.abs(planned.weights - model.memory.total) <= 0.05 * model.memory.total,
    `${planned.weights}, ${model.memory.total}`,
  )
  const { none, 'gate-up': partly, all } = planned.alternatives
  t.ok(none > partly && partly > all)
  t.equal(none, planned.total)
  await t.rejects(estimate({ model: goldenFolder('llama'), batchsize: 2 } as never), { code: 'E_CONFIG' })
})

t.test('an estimate knows the moments of the optimiser, and how many tokens share a pass', async (t) => {
  const plan = (options: object) => estimate({ model: goldenFolder('llama'), quantization: 'nf4', ...options })
  const [adamw, sgd] = [await plan({ optimizer: 'adamw' }), await plan({ optimizer: 'sgd' })]
  t.ok(adamw.adapter - sgd.adapter >= 4 * adamw.trainable, 'a float32 more for each value')
  const [rows, plain] = [await plan({ batchSize: 4, privateRows: true }), await plan({ batchSize: 4 })]
  t.equal(rows.adapter - plain.adapter, 4 * 4 * plain.trainable, 'a gradient for each of four rows')
  const { saved, loss } = await plan({ batchSize: 2, maxLength: 512 })
  t.match(await plan({ maxLength: 512, concurrency: 8 }), { saved, loss }, 'eight adapters at once: 1,024 tokens')
  t.match(await plan({ maxLength: 256, concurrency: 4 }), { loss }, 'four')
  t.ok((await plan({ maxLength: 512 })).saved < saved, 'canary: one')
})

t.test('generation: text in pieces, stop strings, seeds, end tokens', async (t) => {
  using model = await loadModel(demoModel, { quantization: 'nf4', compute: 'bf16', threads: 2 })
  const prompt = 'Question: Tom has 3 apples and buys 4 more. How many apples does he have?\nAnswer: '
  const text = async (options: object) => {
    let out = ''
    for await (const piece of model.generate(prompt, { maxTokens: 24, ...options })) out += piece
    return out
  }
  const greedy = await text({})
  t.ok(greedy.length > 0)
  t.equal(await text({}), greedy)
  t.equal(await text({ temperature: 1, topK: 1 }), greedy, 'the most probable of one')
  const drawn = await text({ temperature: 2, seed: 1 })
  t.equal(await text({ temperature: 2, seed: 1 }), drawn)
  t.not(await text({ temperature: 2, seed: 2 }), drawn, 'canary: another seed')
  const stop = greedy.slice(5, 8)
  t.equal(await text({ stop }), greedy.slice(0, greedy.indexOf(stop)))
  const ids: number[] = []
  for await (const id of model.generateTokens(prompt, { maxTokens: 5 })) ids.push(id)
  t.equal(ids.length, 5)
  const ended: number[] = []
  for await (const id of model.generateTokens(prompt, { maxTokens: 24, endTokens: [ids[2]!] })) ended.push(id)
  t.same(ended, ids.slice(0, ids.indexOf(ids[2]!) + 1))
  for await (const _ of model.generate(prompt, { maxTokens: 200 })) break
  const controller = new AbortController()
  await t.rejects(
    async () => {
      for await (const _ of model.generate(prompt, { maxTokens: 200, endTokens: [], signal: controller.signal }))
        controller.abort()
    },
    { name: 'AbortError' },
  )
  await t.rejects(text({ maxTokens: 0 }), { code: 'E_CONFIG' })
  await t.rejects(text({ topp: 0.5 }), { code: 'E_CONFIG', message: /did you mean "topP"/ })
})

t.test('a folder without a tokenizer generates tokens, and refuses text', async (t) => {
  using model = await loadModel(goldenFolder('llama'), reference)
  const ids: number[] = []
  for await (const id of model.generateTokens([5, 6, 7], { maxTokens: 6, endTokens: [] })) ids.push(id)
  t.equal(ids.length, 6)
  const { data, vocab } = await model.logits({ inputIds: [[5, 6, 7]] })
  const last = data.subarray(2 * vocab)
  t.equal(ids[0], last.indexOf(Math.max(...last)))
  t.ok(maxError(data, data) === 0)
  await t.rejects(model.generate('text').next(), { code: 'E_TOKENIZER' })
  await t.rejects(model.generateTokens([]).next(), { code: 'E_ARGUMENT' })
})

t.test('FEDLORA_PROFILE: operators with calls and seconds, the same numbers, nothing without it', async (t) => {
  using plain = await loadModel(goldenFolder('llama'), reference)
  t.same(plain.profile(), [])
  process.env.FEDLORA_PROFILE = '1'
  t.teardown(() => delete process.env.FEDLORA_PROFILE)
  using model = await loadModel(goldenFolder('llama'), reference)
  const rows = { inputIds: [[1, 2, 3]] }
  t.same((await model.logits(rows)).data, (await plain.logits(rows)).data)
  const entries = model.profile()
  const linear = entries.find(({ op }) => op === 'lora_linear_forward')
  t.equal(linear?.calls, 4 * model.config.description.layers.length, 'q k v, o, gate up, down')
  t.ok(entries.every(({ seconds }) => seconds >= 0))
  model.dispose()
  t.throws(() => model.profile(), { code: 'E_DISPOSED' })
})
