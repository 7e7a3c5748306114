#!/usr/bin/env node
// Codecs and exact sums of two builds of this package, loaded into one process and called in turn on one thread:
//
//   node bench/builds/updates.mjs BEFORE AFTER [--rounds 31] [--parameters 4884480] [--codec topk]… [--json FILE]
//
// BEFORE and AFTER are folders of built clones or installed packages. A ratio is BEFORE's best time through AFTER's: above 1, AFTER is the faster. Best, because
// whatever else this machine does only adds. Both write into the same arrays: where those lie in memory moves a decode by a factor of two.
// Both must send equal bytes, leave and read equal values and have equal sums, else the status is 1.
import { appendFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '31' },
    parameters: { type: 'string', default: '4884480' }, // LoRA of rank 16 on SmolLM2-135M
    codec: { type: 'string', multiple: true },
    json: { type: 'string' },
  },
})
if (positionals.length !== 2) {
  console.error('updates: expected the folders of two built clones: node bench/builds/updates.mjs BEFORE AFTER')
  process.exit(2)
}
const length = Number(values.parameters)
const rounds = Number(values.rounds)
for (const [name, value] of Object.entries({ rounds, parameters: length }))
  if (!(Number.isInteger(value) && value > 0)) {
    console.error(`updates: --${name}: expected a whole number above 0`)
    process.exit(2)
  }

/** @typedef {typeof import('../../dist/index.js')} Package */
/** @type {Package[]} */
const builds = []
for (const folder of positionals) builds.push(await import(join(resolve(folder), 'dist', 'index.js')))
/** @type {typeof import('../../dist/cli/bench/measure.js')} */
const { sampleUpdate } = await import(join(resolve(positionals[1]), 'dist', 'cli', 'bench', 'measure.js'))

/** @type {import('../../dist/index.js').EncodeUpdateOptions[]} */
const all = [
  { codec: 'f32' },
  { codec: 'bf16' },
  { codec: 'int8' },
  { codec: 'int4' },
  { codec: 'topk', density: 1 / 64, bits: 2 },
  { codec: 'sign' },
  { codec: 'randk', density: 1 / 64, bits: 4 },
  { codec: 'blocks', density: 1 / 64, bits: 4 },
]
const codecs = all.filter(({ codec }) => values.codec?.includes(codec) ?? true)
if (codecs.length === 0) {
  console.error(`updates: --codec ${values.codec}: expected one of ${all.map(({ codec }) => codec).join(', ')}`)
  process.exit(2)
}

/** @param {(Uint8Array | Float32Array)[]} two what each build gave */
function checkEqual(two, /** @type {string} */ what) {
  const [before, after] = two.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength))
  if (before.equals(after)) return
  console.error(`updates: ${what}: the two builds differ`)
  process.exitCode = 1
}

/** Best milliseconds of each build; who begins changes from round to round. @param {(() => void)[]} calls */
function best(calls) {
  const least = calls.map(() => Number.POSITIVE_INFINITY)
  for (let round = 0; round < rounds; round++)
    for (const turn of calls.keys()) {
      const who = (round + turn) % calls.length
      const start = performance.now()
      calls[who]?.()
      least[who] = Math.min(least[who] ?? Number.NaN, performance.now() - start)
    }
  return least
}

const update = sampleUpdate(length)
const residual = sampleUpdate(length, 2)
const read = new Float32Array(length)
/** @type {{ codec: string, work: string, before: number, after: number, ratio: number }[]} */
const lines = []
for (const codec of codecs) {
  const options = { ...codec, threads: 1 }
  const messages = builds.map(({ encodeUpdate }) => encodeUpdate(update, { ...options, residual }))
  checkEqual(
    messages.map(({ bytes }) => bytes),
    `${codec.codec}, the message`,
  )
  checkEqual(
    messages.map(({ residual: left }) => left ?? new Float32Array(0)),
    `${codec.codec}, what is left unsent`,
  )
  checkEqual(
    builds.map(({ decodeUpdate }, i) => decodeUpdate(messages[i].bytes)),
    `${codec.codec}, the values read`,
  )
  const sums = builds.map(({ createAggregator }) => createAggregator(length, { threads: 1 }))
  const { bytes } = messages[0]
  const eight = Array.from({ length: 8 }, (_, i) => ({ bytes: bytes.slice(), weight: 3 + i }))
  /** @type {Record<string, (build: Package, i: number) => void>} */
  const works = {
    encode: ({ encodeUpdate }) => encodeUpdate(update, options),
    'encode, error feedback': ({ encodeUpdate }) => encodeUpdate(update, { ...options, residual, inPlace: true }),
    decode: ({ decodeUpdate }) => decodeUpdate(bytes, { threads: 1, into: read }),
    add: (_, i) => sums[i].add(bytes, 3),
    'add eight': (_, i) => sums[i].addAll(eight),
  }
  for (const [work, call] of Object.entries(works)) {
    const [before, after] = best(builds.map((build, i) => () => call(build, i)))
    const ratio = before / after
    lines.push({ codec: codec.codec, work, before, after, ratio })
    console.log(
      `${codec.codec.padEnd(6)} ${work.padEnd(22)} ${before.toFixed(2).padStart(7)} ms ${after.toFixed(2).padStart(7)} ms  ${ratio.toFixed(3)}`,
    )
  }
  checkEqual(
    sums.map((sum) => sum.mean()),
    `${codec.codec}, the mean`,
  )
  for (const sum of sums) sum.dispose()
}

const sorted = lines.map(({ ratio }) => ratio).sort((a, b) => a - b)
const mean = Math.exp(sorted.reduce((sum, ratio) => sum + Math.log(ratio), 0) / sorted.length)
console.log(
  `${lines.length} works: ${mean.toFixed(3)} × the build before on geometric average, ` +
    `worst ${sorted[0].toFixed(3)}, best ${sorted.at(-1)?.toFixed(3)}`,
)
if (values.json !== undefined) {
  const line = { date: new Date().toISOString().slice(0, 10), cpu: cpus()[0]?.model, parameters: length, rounds, lines }
  appendFileSync(values.json, `${JSON.stringify(line)}\n`)
}
