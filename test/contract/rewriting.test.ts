/** Models written by merge and quantize: what the weights may hold, under which names, into which folders. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Adapter, loadModel, type Model, quantizeModel } from '../../src/index.js'
import { maxError } from '../support/golden-model.js'
import { temporaryFolder } from '../support/train.js'
import { assembleTensors, changed, readTensors, variantFolder } from '../support/variant-folder.js'

const plain = { family: 'llama', set: {}, unset: [], tensors: [] }
const bare = { ...plain, tensors: [['rename', 'model.', '']] as ['rename', string, string][] }
const names = (folder: string) => [...readTensors(join(folder, 'model.safetensors')).keys()].sort()

async function logits(model: Model, adapter?: Adapter): Promise<Float32Array> {
  return (await model.logits({ inputIds: [[1, 5, 9, 30, 200]] }, adapter && { adapter })).data
}

/** An adapter whose product is about `size` everywhere. */
function filled(model: Model, size: number): Adapter {
  const adapter = model.createAdapter({ rank: 1, alpha: 1, targetModules: ['v_proj'] })
  adapter.setVector(adapter.vector().fill(Math.sqrt(size)))
  return adapter
}

/** The golden llama in another float type; the values are multiples of 2⁻⁸ so that it holds them all. */
function typed(dtype: 'F16' | 'BF16' | 'F32'): string {
  const folder = variantFolder(plain)
  const file = join(folder, 'model.safetensors')
  const tensors = [...readTensors(file)].map(([name, tensor]): [string, typeof tensor] => {
    if (dtype === 'F32') return [name, tensor]
    if (dtype === 'BF16') return [...changed(new Map([[name, tensor]]), ['bf16', ''])][0]!
    return [name, { ...tensor, dtype, data: Buffer.alloc(tensor.data.length / 2, Buffer.from([0x00, 0x1c])) }]
  })
  writeFileSync(file, assembleTensors(tensors))
  return folder
}

t.test('a merge beyond the stored type is refused, and nothing is left', async (t) => {
  for (const [dtype, size, fits] of [
    ['F16', 65600, 60000],
    ['BF16', 3.4e38, 1e38],
    ['F32', 3.4028234e38, 1e38],
  ] as const) {
    using model = await loadModel(typed(dtype), { threads: 1 })
    const parent = temporaryFolder('merge')
    using large = filled(model, dtype === 'F32' ? 3.4028235e38 : size)
    if (dtype === 'F32') large.setVector(large.vector().fill(2e19)) // the product itself is infinite
    await t.rejects(
      large.merge(join(parent, 'a', 'b')),
      {
        code: 'E_NONFINITE',
        message: new RegExp(`model\\.layers\\.0\\.self_attn\\.v_proj\\.weight is .* at \\[0, 0\\].*${dtype}.*alpha`),
      },
      dtype,
    )
    t.same(readdirSync(parent), [], 'no folder is left')
    mkdirSync(join(parent, 'mine'))
    await t.rejects(large.merge(join(parent, 'mine')), { code: 'E_NONFINITE' })
    t.same(readdirSync(join(parent, 'mine')), [], 'an empty folder stays')
    using small = filled(model, fits)
    await small.merge(join(parent, 'mine'))
    using merged = await loadModel(join(parent, 'mine'), { threads: 1 })
    t.equal(merged.linears.length, 14, `canary: ${fits} fits into ${dtype}`)
  }
})

t.test('bare names are written as the model has them', async (t) => {
  using model = await loadModel(variantFolder(bare), { threads: 1 })
  using adapter = filled(model, 1e-3)
  const merged = join(temporaryFolder('bare'), 'merged')
  await adapter.merge(merged)
  t.same(names(merged), names(variantFolder(plain)))
  using again = await loadModel(merged, { threads: 1 })
  t.ok(maxError(await logits(again), await logits(model, adapter)) <= 2e-5)
  const quantised = join(temporaryFolder('bare'), 'quantised')
  const whole = join(temporaryFolder('bare'), 'whole')
  await quantizeModel(variantFolder(bare), quantised, { threads: 1 })
  await quantizeModel(variantFolder(plain), whole, { threads: 1 })
  t.same(names(quantised), names(whole))
  t.ok(names(whole).includes('model.layers.0.self_attn.q_proj.weight.absmax'), 'canary: it is quantised')
  const folder = variantFolder(plain)
  const stripped = changed(readTensors(join(quantised, 'model.safetensors')), ['rename', 'model.', ''])
  writeFileSync(join(folder, 'model.safetensors'), assembleTensors(stripped))
  cpSync(join(quantised, 'config.json'), join(folder, 'config.json'))
  using one = await loadModel(folder, { threads: 1 })
  using other = await loadModel(whole, { threads: 1 })
  t.same(await logits(one), await logits(other), 'the parts of quantised weights are found by bare names too')
})

t.test('tables stored as codes are refused by name', async (t) => {
  const folder = join(temporaryFolder('head'), 'm')
  await quantizeModel(variantFolder(plain), folder, { threads: 1 })
  const file = join(folder, 'model.safetensors')
  const good = readTensors(file)
  for (const table of ['lm_head', 'model.embed_tokens']) {
    let tensors = changed(good, ['drop', `${table}.weight`])
    for (const part of ['', '.absmax', '.quant_map', '.quant_state.bitsandbytes__nf4']) {
      tensors = changed(tensors, ['copy', `model.layers.0.mlp.up_proj.weight${part}`, `${table}.weight${part}`])
    }
    writeFileSync(file, assembleTensors(tensors))
    const message = new RegExp(`${table}\\.weight is stored as bitsandbytes codes \\(nf4\\).*llm_int8_skip_modules`)
    await t.rejects(loadModel(folder), { code: 'E_UNSUPPORTED', message }, table)
  }
  const int8 = changed(changed(changed(good, ['drop', 'lm_head.weight']), ['zeros', 'lm_head.SCB', [263]]), [
    'copy',
    'model.embed_tokens.weight',
    'lm_head.weight',
  ])
  writeFileSync(file, assembleTensors(int8))
  await t.rejects(loadModel(folder), { code: 'E_UNSUPPORTED', message: /lm_head\.weight.*\(int8\)/ })
  writeFileSync(file, assembleTensors(good))
  using model = await loadModel(folder)
  t.equal(model.linears.length, 14, 'canary: mended, it loads')
})

/** The rules of an output folder, for one way of writing to it. */
async function outputRules(t: Test, write: (folder: string, overwrite?: boolean) => Promise<unknown>) {
  const parent = temporaryFolder('output')
  const folder = join(parent, 'new', 'model')
  const entry = (name: string) => join(folder, name)
  const refused = async (pattern: RegExp, overwrite?: boolean) => {
    const before = existsSync(folder) && readdirSync(folder).map((name) => readFileSync(entry(name)))
    await t.rejects(write(folder, overwrite), { code: 'E_ARGUMENT', message: pattern }, String(pattern))
    if (before)
      t.same(
        readdirSync(folder).map((name) => readFileSync(entry(name))),
        before,
        'nothing is changed',
      )
  }
  await write(folder)
  const files = readdirSync(folder).sort()
  t.same(files, ['config.json', 'fedlora-files.json', 'generation_config.json', 'model.safetensors'])
  await refused(/holds a model written before.*--overwrite/)
  await write(folder, true)
  t.same(readdirSync(folder).sort(), files, 'its own files are replaced')

  writeFileSync(entry('notes.txt'), 'mine')
  await refused(/did not write: notes\.txt/, true)
  await refused(/holds a model written before/)
  t.equal(readFileSync(entry('notes.txt'), 'utf8'), 'mine')
  writeFileSync(entry('notes.txt'), '')

  const edited = join(parent, 'edited')
  await write(edited)
  writeFileSync(join(edited, 'generation_config.json'), '{}')
  await t.rejects(write(edited, true), { code: 'E_ARGUMENT', message: /generation_config\.json \(changed since\)/ })

  const used = join(parent, 'used')
  mkdirSync(used)
  writeFileSync(join(used, 'config.json'), '{"model":"a run"}')
  for (const overwrite of [false, true]) {
    await t.rejects(write(used, overwrite), { code: 'E_ARGUMENT', message: /not empty \(config\.json\)/ })
  }
  t.equal(readFileSync(join(used, 'config.json'), 'utf8'), '{"model":"a run"}')
  writeFileSync(join(parent, 'file'), '')
  await t.rejects(write(join(parent, 'file')), { code: 'E_ARGUMENT', message: /is a file/ })
}

t.test('merge writes to new folders only', async (t) => {
  using model = await loadModel(variantFolder(plain), { threads: 1 })
  cpSync('test/golden/models/llama/generation_config.json', join(model.path, 'generation_config.json'))
  using adapter = filled(model, 1e-3)
  await outputRules(t, (folder, overwrite) => adapter.merge(folder, overwrite === undefined ? {} : { overwrite }))
  await t.rejects(adapter.merge(model.path, { overwrite: true }), { code: 'E_ARGUMENT', message: /own folder/ })
  await t.rejects(adapter.merge('x', { force: true } as never), { code: 'E_CONFIG', message: /force/ })
})

t.test('quantize writes to new folders only', async (t) => {
  const source = variantFolder(plain)
  cpSync('test/golden/models/llama/generation_config.json', join(source, 'generation_config.json'))
  await outputRules(t, (folder, overwrite) =>
    quantizeModel(source, folder, { threads: 1, ...(overwrite === undefined ? {} : { overwrite }) }),
  )
  await t.rejects(quantizeModel(source, source, { overwrite: true }), { code: 'E_ARGUMENT', message: /own folder/ })
})

t.test('a folder that a killed run left can be overwritten', async (t) => {
  const folder = join(temporaryFolder('killed'), 'm')
  mkdirSync(folder)
  const files = { 'model.safetensors': null, 'config.json': null }
  writeFileSync(join(folder, 'fedlora-files.json'), JSON.stringify({ files }))
  writeFileSync(join(folder, '.model.safetensors.77.0123abcd.tmp'), 'half')
  await quantizeModel(variantFolder(plain), folder, { threads: 1, overwrite: true })
  t.same(readdirSync(folder).sort(), ['config.json', 'fedlora-files.json', 'model.safetensors'])
})

t.test("adapters: a pickle, a model, another method's folder", async (t) => {
  using model = await loadModel(variantFolder(plain), { threads: 1 })
  using adapter = filled(model, 1e-3)
  const folder = temporaryFolder('adapter')
  await adapter.save(folder)
  await adapter.save(folder)
  t.same(readdirSync(folder).sort(), ['adapter_config.json', 'adapter_model.safetensors'], 'saving again is normal')
  const pickled = temporaryFolder('pickled')
  cpSync(join(folder, 'adapter_config.json'), join(pickled, 'adapter_config.json'))
  await t.rejects(model.loadAdapter(pickled), { code: 'E_MISSING', message: /adapter_model\.safetensors/ })
  writeFileSync(join(pickled, 'adapter_model.bin'), '')
  await t.rejects(model.loadAdapter(pickled), {
    code: 'E_UNSUPPORTED',
    message: /adapter_model\.bin' is a pickle.*save_pretrained/,
  })
  await t.rejects(model.loadAdapter(model.path), { code: 'E_MISSING', message: /is a model, not an adapter/ })
  await t.rejects(loadModel(folder), { code: 'E_MISSING', message: /is an adapter, not a model/ })
  writeFileSync(join(pickled, 'adapter_config.json'), '{"peft_type":"IA3"}')
  await t.rejects(adapter.save(pickled), { code: 'E_ARGUMENT', message: /IA3/ })
})
