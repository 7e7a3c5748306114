#!/usr/bin/env node
// The tokenizer of the demo's model over a question of its data: node bench/micro/tokenizer.mjs
import { fileURLToPath } from 'node:url'
import { bench, do_not_optimize, run } from 'mitata'
import { loadTokenizer } from '../../dist/index.js'

const tokenizer = await loadTokenizer(fileURLToPath(new URL('../../assets/gsm-3m', import.meta.url)))
const text =
  'A baker sells 48 loaves on Monday and half as many on Tuesday. How many loaves does she sell in both days together? '
for (const times of [1, 10]) {
  const long = text.repeat(times)
  const ids = tokenizer.encode(long)
  bench(`encode ${long.length} characters`, () => do_not_optimize(tokenizer.encode(long)))
  bench(`decode ${ids.length} tokens`, () => do_not_optimize(tokenizer.decode(ids)))
}
await run()
