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

parity('tokenizers mixed at random from all parts', async (t) => {
  const folder = join(scratch, 'mixtures')
  const count = 300
  await runPython('make_tokenizer_mixtures.py', folder, seed, String(count))
  const texts = JSON.parse(readFileSync(join(folder, 'strings.json'), 'utf8')) as string[]
  const refused: string[] = []
  for (let index = 1; index <= count; index++) {
    const file = (name: string) => readFileSync(join(folder, `mixture${index}`, name))
    const expected = JSON.parse(file('expected.json').toString()) as (Expected | null)[]
    try {
      t.same(await differences(file('tokenizer.json'), texts, (place) => expected[place]!), [], `mixture${index}`)
    } catch (error) {
      // Added tokens that are the same, or nothing, when they are normalised: which of them is meant, the library leaves to chance.
      t.match(error, { code: 'E_TOKENIZER', message: /normalised/ })
      refused.push(`mixture${index}`)
    }
  }
  t.ok(refused.length <= 6, `refused: ${refused.join(', ')}`)
  rmSync(folder, { recursive: true })
})
