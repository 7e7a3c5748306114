#!/usr/bin/env node
// The calls that a round makes for every client, one by one, through the public API of the built package: node bench/micro/updates.mjs
// A LoRA update of SmolLM2-135M at rank 16 has 4,884,480 values; the size is the first argument.
import { bench, do_not_optimize, run, summary } from 'mitata'
import { createAggregator, decodeUpdate, encodeUpdate } from '../../dist/index.js'

const length = Number(process.argv[2] ?? 4_884_480)
let state = 1
const update = Float32Array.from({ length }, () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return (state / 2 ** 32 - 0.5) * 4e-3
})
const residual = new Float32Array(length)
/** @type {import('../../dist/index.js').EncodeUpdateOptions[]} */
const codecs = [
  { codec: 'f32' },
  { codec: 'bf16' },
  { codec: 'int8' },
  { codec: 'int4' },
  { codec: 'topk', density: 1 / 64, bits: 2 },
]

for (const options of codecs) {
  const { bytes } = encodeUpdate(update, options)
  summary(() => {
    bench(`${options.codec} encode`, () => do_not_optimize(encodeUpdate(update, options)))
    if (options.codec !== 'f32') {
      bench(`${options.codec} encode, error feedback`, () =>
        do_not_optimize(encodeUpdate(update, { ...options, residual })),
      )
    }
    bench(`${options.codec} decode`, () => do_not_optimize(decodeUpdate(bytes)))
    const sum = createAggregator(length)
    bench(`${options.codec} add`, () => sum.add(bytes, 3))
    const eight = Array.from({ length: 8 }, (_, i) => ({ bytes: bytes.slice(), weight: 3 + i }))
    bench(`${options.codec} addAll of 8`, () => sum.addAll(eight))
  })
}
await run()
