/** Which tokenizer a folder holds: what changes ids or a template's text counts, and nothing else does. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { identifyTokenizer } from '../../src/model/tokenizer-identity.js'

const base = fileURLToPath(new URL('../../assets/gsm-3m', import.meta.url))
type Json = Record<string, unknown>

const folder = join(t.testdir(), 'tokenizer')

/** The hash of a copy of the folder with some of its JSON files changed. */
async function changed(changes: Record<string, (given: never) => unknown>, spaces?: number): Promise<string> {
  rmSync(folder, { recursive: true, force: true })
  cpSync(base, folder, { recursive: true, filter: (path) => !path.endsWith('.safetensors') })
  for (const [name, change] of Object.entries(changes)) {
    const path = join(folder, name)
    const given = JSON.parse(readFileSync(path, 'utf8')) as Json
    writeFileSync(path, JSON.stringify(change(given as never), undefined, spaces))
  }
  return await identifyTokenizer(folder)
}

const reversed = (value: Json): Json => Object.fromEntries(Object.entries(value).reverse())
interface Tokenizer extends Json {
  model: { vocab: Record<string, number>; merges: unknown[] } & Json
  added_tokens: Json[]
}

t.test('the same meaning is the same tokenizer', async (t) => {
  const own = await identifyTokenizer(base)
  t.match(own, /^[0-9a-f]{64}$/)
  t.equal(await changed({ 'tokenizer.json': (json: Json) => json }, 4), own, 'other spaces')
  t.equal(await changed({ 'tokenizer.json': reversed, 'generation_config.json': reversed }), own, 'another order')
  const ofCalls = (json: Json) => ({ ...json, truncation: { max_length: 8 }, padding: { length: 8 }, version: '9' })
  t.equal(await changed({ 'tokenizer.json': ofCalls }), own, 'what a call has left behind')
  const vocabulary = (json: Tokenizer) => ({ ...json, model: { ...json.model, vocab: reversed(json.model.vocab) } })
  t.equal(await changed({ 'tokenizer.json': vocabulary }), own, 'the vocabulary in another order')
  const ends = (json: Json) => ({ ...json, eos_token_id: [0, 1, 2], temperature: 0.5 })
  t.equal(await changed({ 'generation_config.json': ends }), own, 'what ends a generation')
})

t.test('another meaning is another tokenizer', async (t) => {
  const seen = new Set([await identifyTokenizer(base)])
  const others: Record<string, Record<string, (given: never) => unknown>> = {
    'a merge earlier': {
      'tokenizer.json': (json: Tokenizer) => {
        const [first, second, ...rest] = json.model.merges
        return { ...json, model: { ...json.model, merges: [second, first, ...rest] } }
      },
    },
    'two ids exchanged': {
      'tokenizer.json': (json: Tokenizer) => {
        const [[a, x], [b, y]] = Object.entries(json.model.vocab).slice(300, 302) as [
          [string, number],
          [string, number],
        ]
        return { ...json, model: { ...json.model, vocab: { ...json.model.vocab, [a]: y, [b]: x } } }
      },
    },
    'no normaliser': { 'tokenizer.json': (json: Json) => ({ ...json, normalizer: { type: 'Lowercase' } }) },
    'an added token': {
      'tokenizer_config.json': (json: Json) => ({ ...json, extra_special_tokens: ['<new>'] }),
    },
    'another end': { 'tokenizer_config.json': (json: Json) => ({ ...json, eos_token: 'a' }) },
  }
  for (const [name, changes] of Object.entries(others)) {
    const hash = await changed(changes)
    t.notOk(seen.has(hash), name)
    seen.add(hash)
  }
  await changed({})
  writeFileSync(join(folder, 'chat_template.jinja'), 'another')
  t.notOk(seen.has(await identifyTokenizer(folder)), 'another template')
  writeFileSync(join(folder, 'tokenizer.json'), '{')
  await t.rejects(identifyTokenizer(folder), { code: 'E_TOKENIZER', message: /not JSON/ })
  await t.rejects(identifyTokenizer(join(folder, 'nowhere')), { code: 'E_TOKENIZER' })
})
