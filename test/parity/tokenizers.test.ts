/** 64 kinds of tokenizers on 2,000 strings each beside Python's `tokenizers`: ids, offsets, special tokens, decoded text. */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parity, runPython, scratch, seed } from '../support/parity.js'
import { differences, type Expected } from '../support/tokenizer-judge.js'

t.setTimeout(3_600_000)

parity('ids, offsets and decoded text of every kind', async (t) => {
  const folder = join(scratch, 'tokenizers')
  await runPython('make_tokenizers.py', folder, seed)
  const texts = JSON.parse(readFileSync(join(folder, 'strings.json'), 'utf8')) as string[]
  const kinds = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  t.ok(kinds.length >= 64 && texts.length >= 2000)
  let canary = 0
  for (const { name } of kinds) {
    const tokenizer = readFileSync(join(folder, name, 'tokenizer.json'))
    const expected = JSON.parse(readFileSync(join(folder, name, 'expected.json'), 'utf8')) as Expected[]
    t.same(await differences(tokenizer, texts, (index) => expected[index]!), [], name)
    const spoilt = (index: number): Expected => {
      const { begins, ...rest } = expected[index]!
      return { ...rest, begins: begins.map((begin, place) => (place === begins.length - 1 ? begin + 1 : begin)) }
    }
    canary += (await differences(tokenizer, texts.slice(0, 100), spoilt)).length
  }
  t.ok(canary > 3000, 'canary: an offset that is one unit later')
  rmSync(folder, { recursive: true })
})
