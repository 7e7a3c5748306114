#!/usr/bin/env node
// What a build computes, as digests (one JSON object): losses, gradient norms, adapters, texts, figures of a federation, vectors of checkpoints.
//
//   FEDLORA_ISA=avx2 node bench/builds/digests.mjs BUILD [--steps 50]
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: 'string', default: '50' } },
})
const build = positionals[0] ?? '.'
const steps = Number(values.steps)
/** @type {typeof import('../../dist/index.js')} */
const { loadDataset, loadModel, train } = await import(join(build, 'dist', 'index.js'))
/** @type {typeof import('../../dist/federated/index.js')} */
const { simulate, split } = await import(join(build, 'dist', 'federated', 'index.js'))

/** @type {Record<string, string>} */
const digests = {}

/** @param {string} name @param {string | Uint8Array | Float32Array | unknown[]} value */
function note(name, value) {
  const bytes = value instanceof Float32Array ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength) : value
  digests[name] = createHash('sha256')
    .update(Array.isArray(bytes) ? JSON.stringify(bytes) : bytes)
    .digest('hex')
    .slice(0, 16)
}

/** The vectors of a run folder, without the headers of their files. @param {string} name @param {string} folder */
function noteVectors(name, folder) {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    const label = `${name}: ${relative(folder, path)}`
    if (entry.name.endsWith('.safetensors')) {
      const bytes = readFileSync(path)
      note(label, bytes.subarray(8 + Number(bytes.readBigUInt64LE(0))))
    } else if (/\.(f32|flup)$/.test(entry.name)) note(label, readFileSync(path))
  }
}

const assets = join(build, 'assets')
const work = mkdtempSync(join(tmpdir(), 'fedlora-bits-'))
try {
  const rows = readFileSync(join(assets, 'gsm8k', 'train.jsonl'), 'utf8')
    .split('\n')
    .slice(0, 24)
  const file = join(work, 'rows.jsonl')
  writeFileSync(file, rows.map((row, i) => JSON.stringify({ ...JSON.parse(row), kind: `kind ${i % 4}` })).join('\n'))

  /** @type {(import('../../dist/index.js').ModelOptions)[]} */
  const bases = [
    { quantization: 'nf4', compute: 'bf16' },
    { quantization: 'nf4', doubleQuantization: true, compute: 'f32' },
    { quantization: 'int8', compute: 'f32' },
    { quantization: 'none', compute: 'bf16' },
  ]
  for (const [index, base] of bases.entries()) {
    const name = Object.values(base).join(' ')
    const model = await loadModel(join(assets, 'gsm-3m'), { ...base, threads: 2 })
    const data = await loadDataset(file, { format: 'gsm8k', tokenizer: model, maxLength: 96, category: 'kind' })

    // Dropout, accumulation and packing take turns over the formats.
    const adapter = model.createAdapter({
      rank: 8,
      targetModules: 'all-linear',
      seed: 3,
      dropout: index === 2 ? 0.1 : 0,
    })
    const outputDir = join(work, `run ${index}`)
    const run = train(adapter, data, {
      maxSteps: steps,
      batchSize: 2,
      gradientAccumulation: index === 1 ? 2 : 1,
      packing: index === 3,
      learningRate: 5e-3,
      schedule: 'cosine',
      checkpointEvery: Math.ceil(steps / 2),
      evaluate: { data },
      seed: 5,
      outputDir,
    })
    const losses = []
    for await (const event of run) {
      if (event.type === 'step') losses.push(event.loss, event.gradNorm)
      if (event.type === 'evaluation') losses.push(event.loss)
    }
    note(`${name}: losses`, losses)
    note(`${name}: adapter`, adapter.vector())
    noteVectors(name, outputDir)

    for (const temperature of [0, 0.8]) {
      let text = ''
      for await (const piece of model.generate('How many eggs?', { adapter, maxTokens: 16, temperature, seed: 4 }))
        text += piece
      note(`${name}: text at temperature ${temperature}`, text)
    }
    adapter.dispose()

    for (const concurrency of index === 0 ? [1, 2] : []) {
      const folder = join(work, `federation ${concurrency}`)
      const federation = simulate({
        model,
        adapter: { rank: 4, seed: 1 },
        clients: split(data, { by: 'dirichlet', label: 'kind', clients: 3, alpha: 0.5, seed: 7 }),
        rounds: 3,
        local: { steps: 2, batchSize: 2, learningRate: 2e-3 },
        upload: { codec: 'topk', density: 1 / 16, bits: 2, errorFeedback: true },
        download: { codec: 'bf16' },
        serverOptimizer: 'adam',
        concurrency,
        seed: 2,
        outputDir: folder,
      })
      const figures = []
      for await (const event of federation) {
        if (event.type !== 'round') continue
        const { loss, bytesUp, bytesDown, cosine, updateNorm, tokens } = event
        figures.push(loss, bytesUp, bytesDown, cosine, updateNorm, tokens)
        for (const client of event.clients)
          figures.push(client.name, client.rows, client.loss, client.steps, client.bytesUp)
      }
      const result = await federation
      note(`federation, ${concurrency} at once: figures`, figures)
      note(`federation, ${concurrency} at once: adapter`, result.adapter.vector())
      noteVectors(`federation, ${concurrency} at once`, folder)
      result.adapter.dispose()
    }
    model.dispose()
  }
} finally {
  rmSync(work, { recursive: true, force: true })
}
console.log(JSON.stringify(digests))
