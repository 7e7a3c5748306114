/** 64 kinds of tokenizers on 300 strings against check sums of what Python's `tokenizers` makes of them. */
import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import t from 'tap'
import { changedSums } from '../support/tokenizer-judge.js'

const file = new URL('../golden/tokenizers/judge.json.gz', import.meta.url)
const golden = JSON.parse(gunzipSync(readFileSync(file)).toString()) as {
  strings: string[]
  kinds: Record<string, { tokenizer: object; sums: (number | null)[] }>
}
const kinds = Object.entries(golden.kinds)

t.test('every kind: ids, offsets, special tokens and decoded text', async (t) => {
  t.ok(kinds.length >= 64 && golden.strings.length >= 300)
  let count = 0
  for (const [name, { tokenizer, sums }] of kinds) {
    const judged = golden.strings.filter((_, index) => sums[index] !== null)
    const wanted = sums.filter((sum) => sum !== null)
    count += judged.length
    t.same(await changedSums(Buffer.from(JSON.stringify(tokenizer)), judged, wanted), [], name)
  }
  t.ok(count > 19_000)
})

t.test('canary: the sums of another kind', async (t) => {
  const [[, first], , [, third]] = kinds as [(typeof kinds)[0], (typeof kinds)[0], (typeof kinds)[0]]
  const wanted = golden.kinds.gpt2!.sums.map((sum) => sum ?? 0)
  for (const { tokenizer } of [first, third]) {
    const changed = await changedSums(Buffer.from(JSON.stringify(tokenizer)), golden.strings, wanted)
    t.ok(changed.length > 200)
  }
})
