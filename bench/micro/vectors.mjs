#!/usr/bin/env node
// What a server does with long vectors, beside the machine's reading of memory: node bench/micro/vectors.mjs [length] [seeds]
// GB/s counts every byte read and written once; the best of several runs. Directions are computed, not read: ns a value and seed.
import { createAggregator } from '../../dist/aggregation/aggregator.js'
import { addDirections } from '../../dist/aggregation/normals.js'
import { dot, linearCombination, serverStep } from '../../dist/aggregation/vectors.js'
import { native } from '../../dist/native/load.js'

const length = Number(process.argv[2] ?? 4_884_480)
const seeds = Number(process.argv[3] ?? 256)
const vector = () => Float32Array.from({ length }, (_, i) => Math.sin(i))

/** Seconds of the best of `runs`. */
async function best(/** @type {() => unknown} */ work, runs = 9) {
  let least = Number.POSITIVE_INFINITY
  for (let run = 0; run < runs; run++) {
    const begun = performance.now()
    await work()
    least = Math.min(least, (performance.now() - begun) / 1000)
  }
  return least
}

const roof = native().measureReadBandwidth(native().info().cores, 0.5)
const line = (/** @type {string} */ name, /** @type {number} */ seconds, /** @type {string} */ rate) =>
  console.log(`${name.padEnd(44)} ${(seconds * 1000).toFixed(2).padStart(9)} ms  ${rate}`)
async function passes(/** @type {string} */ name, /** @type {number} */ values, /** @type {() => unknown} */ work) {
  const seconds = await best(work)
  const speed = (4 * values * length) / seconds
  line(name, seconds, `${(speed / 1e9).toFixed(1)} GB/s, ${((100 * speed) / roof).toFixed(0)} % of reading`)
}

console.log(`${length} values; reading memory: ${(roof / 1e9).toFixed(1)} GB/s`)
const vectors = Array.from({ length: 8 }, vector)
const [x, mean, moment1, moment2] = /** @type {Float32Array[]} */ (vectors)
const into = vector()
await passes('a − b, into a third', 3, () => linearCombination([1, -1], [x, mean], into))
await passes('sum of 8', 9, () => linearCombination([1, 2, 3, 4, 5, 6, 7, 8], vectors, into))
await passes('dot', 2, () => dot(x, mean))
const sums = createAggregator(length)
await passes('Aggregator.add of a vector (8-byte sums)', 5, () => sums.add(mean, 3))
for (const [name, values] of /** @type {const} */ ([
  ['momentum', 5],
  ['adam', 7],
  ['yogi', 7],
  ['adagrad', 7],
])) {
  const rule = { name, rate: 1e-3, beta1: 0.9, beta2: 0.99, epsilon: 1e-3 }
  moment2.fill(1)
  await passes(`server step ${name}`, values, () => serverStep(rule, x, mean, { moment1, moment2 }))
}
for (const count of [1, seeds]) {
  const keys = Array.from({ length: count }, (_, j) => j)
  const seconds = await best(
    () =>
      addDirections(
        into,
        keys,
        keys.map(() => 1e-6),
      ),
    3,
  )
  line(
    `${count} direction${count > 1 ? 's' : ''}`,
    seconds,
    `${((seconds / length / count) * 1e9).toFixed(2)} ns a value`,
  )
}
