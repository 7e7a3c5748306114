/** Models and adapters as objects: names, ends, and what is given back. */
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadModel, quantizeModel } from '../../src/index.js'
import { native } from '../../src/native/load.js'
import { goldenFolder } from '../support/golden-model.js'
import { temporaryFolder } from '../support/train.js'

const open = (options = {}) => loadModel(goldenFolder('llama'), { threads: 1, ...options })

t.test('what an adapter knows of its model, and a copy of it', async (t) => {
  using model = await open()
  t.same([model.name, model.revision, model.path], ['./llama', null, goldenFolder('llama')])
  using adapter = model.createAdapter({ rank: 2, targetModules: ['q_proj'], seed: 3 })
  t.equal(adapter.model, model)
  t.ok(Object.keys(adapter).includes('model'))
  t.throws(() => Object.assign(adapter, { model: null }), TypeError, 'it stays on its model')
  adapter.promptFormat = { format: 'text', fields: {}, chatTemplateKwargs: {} }
  using copy = adapter.clone()
  t.not(copy, adapter)
  t.same([copy.config, copy.targets, copy.promptFormat], [adapter.config, adapter.targets, adapter.promptFormat])
  t.same(copy.vector(), adapter.vector())
  copy.setVector(copy.vector().fill(1))
  t.not(adapter.vector()[0], 1, 'of its own')
  t.equal((await model.logits({ inputIds: [[1, 2]] }, { adapter: copy })).rows.length, 1)
})

t.test('factors by name, in and out; logits row by row; what is no batch', async (t) => {
  using model = await open()
  using adapter = model.createAdapter({ rank: 1, targetModules: ['q_proj'] })
  const tensors = adapter.tensors()
  t.equal(tensors.size, 4)
  for (const { data } of tensors.values()) data.fill(2)
  adapter.load(tensors)
  t.same(new Set(adapter.vector()), new Set([2]))
  t.throws(() => adapter.load(null as never), { code: 'E_ARGUMENT', message: /^load: got null, expected a Map/ })
  t.throws(() => adapter.setVector([1] as never), {
    code: 'E_SHAPE',
    message: /^setVector: got 1 values, expected a F/,
  })
  const rows = [[1, 2], [3], [4, 5, 6]]
  const all = await model.logits({ inputIds: rows })
  t.equal(all.vocab, model.config.vocabulary)
  t.same(
    all.rows.map(({ length }) => length),
    [2, 1, 3],
  )
  for (const [i, { offset, length }] of all.rows.entries()) {
    const { data } = await model.logits({ inputIds: [rows[i]!] })
    t.same(all.data.slice(offset, offset + length * all.vocab), data, `row ${i} where it is said to lie`)
  }
  await t.rejects(adapter.gradients(null as never), {
    code: 'E_ARGUMENT',
    message: /^gradients: got null, expected \{/,
  })
  await t.rejects(adapter.gradients(7 as never), { code: 'E_ARGUMENT', message: /^gradients: got 7/ })
  await t.rejects(model.logits(null as never), { code: 'E_ARGUMENT', message: /^logits: got null/ })
  await t.rejects(model.logits(7 as never), { code: 'E_ARGUMENT', message: /^logits: got 7/ })
  await t.rejects(adapter.merge(7 as never), { code: 'E_ARGUMENT', message: /^merge: got 7, expected the path/ })
  await t.rejects(adapter.save(''), { code: 'E_ARGUMENT', message: /^save: got "", expected the path/ })
  await t.rejects(model.loadAdapter(''), { code: 'E_ARGUMENT', message: /^loadAdapter: got ""/ })
  await t.rejects(adapter.merge(model.path), { code: 'E_ARGUMENT', message: /^merge: the output folder/ })
  const { loss, tokens, supervised, gradients } = await adapter.gradients({
    inputIds: rows,
    labels: [[1, 2], [-100], [-100, 5, -100]],
  })
  t.ok(loss > 0)
  t.same([tokens, supervised], [6, 2])
  t.same(
    [...gradients].map(([name, { length }]) => [name, length]),
    [...tensors].map(([name, { data }]) => [name, data.length]),
  )
})

t.test('loading: options that do not go together, and a listener that throws', async (t) => {
  await t.rejects(open({ doubleQuantization: true }), {
    code: 'E_CONFIG',
    message: /^model options: doubleQuantization/,
  })
  await t.rejects(loadModel('a\0b'), { code: 'E_ARGUMENT', message: /^loadModel: got/ })
  const addon = native()
  const { loadModel: loadNative } = addon
  t.teardown(() => Object.assign(addon, { loadModel: loadNative }))
  let given = 0
  addon.loadModel = async (options, progress) => {
    const model = await loadNative(options, progress)
    return {
      dispose: () => {
        given++
        model.dispose()
      },
    } as typeof model
  }
  let late = 0
  const onProgress = ({ loaded, total }: { loaded: number; total: number }) => {
    if (loaded < total / 2) return
    late++
    throw new Error('enough')
  }
  await t.rejects(open({ onProgress }), { message: 'enough' })
  t.same([late, given], [1, 1], 'it is not asked again, and what was loaded is given back')
})

t.test('an end is told by what was asked', async (t) => {
  const model = await open()
  const adapter = model.createAdapter({ rank: 1 })
  t.same([model.disposed, adapter.disposed], [false, false])
  adapter.dispose()
  t.same([model.disposed, adapter.disposed], [false, true])
  const gone = (message: string) => ({ code: 'E_DISPOSED', message })
  for (const [doing, call] of [
    ['vector', () => adapter.vector()],
    ['vector', () => adapter.tensors()],
    ['vector', () => adapter.clone()],
    ['setVector', () => adapter.setVector(new Float32Array(adapter.length))],
    ['load', () => adapter.load(new Map())],
  ] as const) {
    t.throws(call, gone(`${doing}: the adapter was disposed`))
  }
  await t.rejects(adapter.save(temporaryFolder('gone')), gone('vector: the adapter was disposed'))
  await t.rejects(adapter.merge(temporaryFolder('gone')), gone('merge: the adapter was disposed'))
  await t.rejects(adapter.gradients({ inputIds: [[1]], labels: [[1]] }), gone('gradients: the adapter was disposed'))
  model.dispose()
  t.equal(model.disposed, true)
  t.throws(() => model.profile(), gone('profile: the model was disposed'))
  t.throws(() => model.createAdapter(), gone('createAdapter: the model was disposed'))
  await t.rejects(model.loadAdapter('/nowhere'), gone('loadAdapter: the model was disposed'))
  await t.rejects(model.logits({ inputIds: [[1]] }), gone('logits: the model was disposed'))
  await t.rejects(model.generate([1]).result, { code: 'E_TOKENIZER' }, 'the folder has none')
  await t.rejects(model.generateTokens([1]).next(), gone('generate: the model was disposed'))
})

t.test('an adapter of another model', async (t) => {
  using model = await open()
  using other = await open()
  using adapter = other.createAdapter({ rank: 1 })
  await t.rejects(model.logits({ inputIds: [[1]] }, { adapter }), {
    code: 'E_ARGUMENT',
    message: `logits: the adapter belongs to another model ('${other.path}')`,
  })
})

t.test('files that were opened are closed, whether an adapter loads or not', async (t) => {
  using model = await open()
  using adapter = model.createAdapter({ rank: 1, targetModules: ['q_proj'] })
  const folder = temporaryFolder('closed')
  adapter.setVector(adapter.vector().map((_, i) => i))
  await adapter.save(folder)
  const addon = native()
  const { openCheckpoint } = addon
  let closed = 0
  t.teardown(() => Object.assign(addon, { openCheckpoint }))
  addon.openCheckpoint = (files) => {
    const checkpoint = openCheckpoint(files)
    return {
      tensors: () => checkpoint.tensors(),
      metadata: () => checkpoint.metadata(),
      read: (name) => checkpoint.read(name),
      readWeight: (module) => checkpoint.readWeight(module),
      dispose: () => {
        closed++
        checkpoint.dispose()
      },
    }
  }
  using again = await model.loadAdapter(folder)
  t.same(again.vector(), adapter.vector())
  t.equal(closed, 1)
  native().writeSafetensors(
    join(folder, 'adapter_model.safetensors'),
    [{ name: 'x', shape: [1], data: new Float32Array(1) }],
    {},
  )
  await t.rejects(model.loadAdapter(folder), {
    code: 'E_UNSUPPORTED',
    message: `'${folder}' holds tensors that LORA does not have: x`,
    details: { foreign: ['x'] },
  })
  t.equal(closed, 2)
})

t.test('a quantised folder: layers and bytes before and after', async (t) => {
  const folder = join(temporaryFolder('sizes'), 'nf4')
  const result = await quantizeModel(goldenFolder('llama'), folder, { threads: 1 })
  t.strictSame(result, {
    folder,
    quantized: 14,
    bytesBefore: statSync(join(goldenFolder('llama'), 'model.safetensors')).size,
    bytesAfter: statSync(join(folder, 'model.safetensors')).size,
  })
  const { quantization_config, ...raw } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
  t.strictSame(raw, JSON.parse(readFileSync(join(goldenFolder('llama'), 'config.json'), 'utf8')))
  t.match(quantization_config, { bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: false })
  await t.rejects(quantizeModel(folder, join(temporaryFolder('sizes'), 'x')), {
    code: 'E_UNSUPPORTED',
    message: `'${folder}' is already quantised (nf4); quantise the original checkpoint instead`,
  })
})
