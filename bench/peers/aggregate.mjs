#!/usr/bin/env node
// The federated average of float32 updates here and in NumPy the way Flower's strategies do it, in turn, on the same machine:
//
//   node bench/peers/aggregate.mjs --python PYTHON [--clients 64] [--parameters 4884480] [--pairs 3] [--threads N] [--json FILE]
//
// Every pair runs ours and theirs, each in a process of its own that holds all updates. Ours are encoded messages, added through the
// public API eight at a time, as they come (beside NumPy's running sum), and all at once (beside NumPy's legacy way): headers,
// checksums and finiteness are checked and the sum is exact. The memory beside the updates is what the process holds at its peak less
// what it held when all updates were there. PYTHON needs numpy.
import { appendFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { lastLine, median } from './program.mjs'

const file = fileURLToPath(import.meta.url)
const { values } = parseArgs({
  options: {
    python: { type: 'string' },
    clients: { type: 'string', default: '64' },
    parameters: { type: 'string', default: '4884480' },
    pairs: { type: 'string', default: '3' },
    threads: { type: 'string' },
    json: { type: 'string' },
    ours: { type: 'boolean', default: false },
  },
})
const clients = Number(values.clients)
const parameters = Number(values.parameters)

/** Runs in a child process: the best of four rounds. */
async function ours() {
  const { createAggregator, encodeUpdate } = await import('../../dist/index.js')
  const residentMiB = () => process.memoryUsage.rss() / 2 ** 20
  const messages = Array.from({ length: clients }, (_, client) => {
    let state = (client * 0x9e3779b9) >>> 0 || 1
    const update = Float32Array.from({ length: parameters }, () => {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      return ((state >>> 8) / 2 ** 24 - 0.5) * 4e-3
    })
    return { bytes: encodeUpdate(update, { codec: 'f32' }).bytes, weight: 100 + ((client * 137) % 1900) }
  })
  globalThis.gc?.()
  const before = residentMiB()
  let peak = before
  const sum = createAggregator(parameters, values.threads === undefined ? {} : { threads: Number(values.threads) })
  const mean = new Float32Array(parameters)
  const rate = (together) => {
    let best = Number.POSITIVE_INFINITY
    for (let round = 0; round < 4; round++) {
      const begin = performance.now()
      sum.reset()
      for (let first = 0; first < clients; first += together) sum.addAll(messages.slice(first, first + together))
      sum.mean({ into: mean })
      best = Math.min(best, (performance.now() - begin) / 1000)
      peak = Math.max(peak, residentMiB())
      globalThis.gc?.()
    }
    return (clients * parameters * 4) / best / 1e9
  }
  const streamedGBs = rate(8)
  const togetherGBs = rate(clients)
  console.log(JSON.stringify({ streamedGBs, togetherGBs, extraMiB: peak - before }))
}

function compare() {
  const shape = ['--clients', values.clients, '--parameters', values.parameters]
  const threads = values.threads === undefined ? [] : ['--threads', values.threads]
  const runs = []
  for (let pair = 0; pair < Number(values.pairs); pair++) {
    const mine = lastLine(process.execPath, ['--expose-gc', file, '--ours', ...shape, ...threads])
    const theirs = lastLine(values.python, [join(dirname(file), 'flower_aggregate.py'), ...shape])
    const overRunning = mine.streamedGBs / theirs.runningGBs
    const [overLegacy, overLegacy64] = [theirs.legacyGBs, theirs.legacy64GBs].map((rate) => mine.togetherGBs / rate)
    runs.push({ ours: mine, theirs, overRunning, overLegacy, overLegacy64 })
  }
  const updatesMiB = (clients * parameters * 4) / 2 ** 20
  const of = (pick) => median(runs.map(pick))
  const row = (name, rate, extra) =>
    console.log(
      `  ${name.padEnd(22)} ${rate.toFixed(2).padStart(6)} GB/s  ${extra.toFixed(0).padStart(5)} MiB beside the updates`,
    )
  console.log(`${clients} float32 updates of ${parameters}, ${values.pairs} interleaved pairs`)
  row(
    'fedlora, 8 at a time',
    of((run) => run.ours.streamedGBs),
    of((run) => run.ours.extraMiB),
  )
  row(
    'fedlora, all at once',
    of((run) => run.ours.togetherGBs),
    of((run) => run.ours.extraMiB),
  )
  for (const way of ['running', 'legacy', 'legacy64']) {
    row(
      `numpy ${way}`,
      of((run) => run.theirs[`${way}GBs`]),
      of((run) => run.theirs[`${way}PeakMiB`]) - updatesMiB,
    )
  }
  const ratios = Object.fromEntries(
    ['overRunning', 'overLegacy', 'overLegacy64'].map((name) => [name, of((run) => run[name])]),
  )
  console.log(
    `  ${ratios.overRunning.toFixed(2)} × running, ${ratios.overLegacy.toFixed(2)} × legacy, ${ratios.overLegacy64.toFixed(2)} × legacy64`,
  )
  if (values.json !== undefined) {
    const { model } = cpus()[0]
    const record = {
      date: new Date().toISOString(),
      cpu: model.trim(),
      what: 'aggregate',
      clients,
      parameters,
      ...ratios,
      runs,
    }
    appendFileSync(values.json, `${JSON.stringify(record)}\n`)
  }
}

if (values.ours) await ours()
else if (values.python !== undefined) compare()
else {
  console.error('aggregate: --python is missing: a Python with numpy')
  process.exit(2)
}
