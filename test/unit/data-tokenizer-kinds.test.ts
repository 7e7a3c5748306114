/**
 * Tokenizers of every kind against Hugging Face tokenizers: ids, offsets, decoded text (test/golden/tokenizers/make_kinds.py), and what
 * holds for all of them: continuations, and many texts on other threads.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer.js'

type Json = Record<string, unknown>
type Output = [ids: number[], begins: number[], ends: number[], decoded: string, withoutSpecial: string] | null
interface Kind {
  name: string
  base: string
  sections: Json
  model: Json
  outputs: Output[]
}
const golden = JSON.parse(await readFile(new URL('../golden/tokenizers/kinds.json', import.meta.url), 'utf8')) as {
  bases: Record<string, Json>
  texts: string[]
  kinds: Kind[]
}
const folder = mkdtempSync(join(tmpdir(), 'fedlora-kinds-'))
t.teardown(() => rmSync(folder, { recursive: true }))

let count = 0
async function load(kind: Pick<Kind, 'base' | 'sections' | 'model'>): Promise<Tokenizer> {
  const base = golden.bases[kind.base] as Json
  const described = { ...base, ...kind.sections, model: { ...(base.model as Json), ...kind.model } }
  const at = join(folder, `${count++}`)
  await mkdir(at)
  await writeFile(join(at, 'tokenizer.json'), JSON.stringify(described))
  return loadTokenizer(at)
}

/** What a tokenizer makes of a text, as the golden file writes it. */
function outputOf(tokenizer: Tokenizer, text: string, ids?: number[]): Output {
  try {
    const encoded = tokenizer.encodeWithOffsets(text)
    const of = ids ?? [...encoded.ids]
    const decoded = [tokenizer.decode(of), tokenizer.decode(of, { skipSpecialTokens: true })] as const
    return [[...encoded.ids], [...encoded.begins], [...encoded.ends], ...decoded]
  } catch (error) {
    if ((error as { code?: string }).code !== 'E_TOKENIZER') throw error
    return null
  }
}

/** Texts on which the two differ. */
function deviations(tokenizer: Tokenizer, outputs: Output[]): string[] {
  return golden.texts.filter((text, i) => JSON.stringify(outputOf(tokenizer, text)) !== JSON.stringify(outputs[i]))
}

const tokenizers = new Map<string, Tokenizer>()
for (const kind of golden.kinds) tokenizers.set(kind.name, await load(kind))

t.test('every kind: ids, offsets, decoded text', async (t) => {
  t.ok(golden.kinds.length >= 70)
  for (const { name, outputs } of golden.kinds) {
    t.same(deviations(tokenizers.get(name) as Tokenizer, outputs), [], name)
  }
})

t.test('canary: another kind’s outputs, a moved offset and a changed text are deviations', async (t) => {
  const [first, second] = golden.kinds as [Kind, Kind]
  const tokenizer = tokenizers.get(first.name) as Tokenizer
  t.ok(deviations(tokenizer, second.outputs).length > 0)
  for (const at of [0, 1, 2, 3]) {
    const outputs = structuredClone(first.outputs)
    const last = outputs.at(-1) as NonNullable<Output>
    if (at === 3) last[3] += 'x'
    else (last[at] as number[])[2] = 7777
    t.equal(deviations(tokenizer, outputs).length, 1, `${at}`)
  }
})

const same = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  JSON.stringify([...Array.from(a)]) === JSON.stringify([...Array.from(b)])

/** Calls `visit` for every kind and text that it can spell; gives what `visit` names as wrong. */
function everywhere(visit: (tokenizer: Tokenizer, text: string, kind: Kind) => boolean): string[] {
  return golden.kinds.flatMap((kind) => {
    const tokenizer = tokenizers.get(kind.name) as Tokenizer
    const texts = golden.texts.filter((_, i) => kind.outputs[i] !== null)
    return texts.filter((text) => !visit(tokenizer, text, kind)).map((text) => JSON.stringify([kind.name, text]))
  })
}

t.test('encode gives the ids of encodeWithOffsets, and without special tokens those between them', async (t) => {
  const wrong = everywhere((tokenizer, text) => {
    const ids = tokenizer.encode(text)
    const plain = tokenizer.encode(text, { addSpecialTokens: false })
    const around = [...tokenizer.specialPrefix, ...plain, ...tokenizer.specialSuffix]
    return same(ids, tokenizer.encodeWithOffsets(text).ids) && same(ids, around)
  })
  t.same(wrong, [])
})

/** Whether a tokenizer writes a text back as it was: the law of continuations is about those. */
const keeps = (tokenizer: Tokenizer, text: string) =>
  tokenizer.decode(tokenizer.encode(text, { addSpecialTokens: false })) === text

/** Bases whose tokens hold the spaces of a text; others know words, and no text that begins within one. */
const spaced = new Set(['byte', 'bpe', 'unigram'])

/** Whether a kind writes something before a text that is not there. */
const writesPrefix = ({ sections }: Kind) =>
  /Prepend|"prepend_scheme":"(always|first)"|"add_prefix_space":true,"trim_offsets":[a-z]*,"use_regex"/.test(
    JSON.stringify([sections.normalizer, sections.pre_tokenizer]),
  )

t.test('a continuation takes no dummy prefix', async (t) => {
  const prompts = ['the', 'know,', '3:\n', 'water:', 'x ', '你好', 'the way\n\n']
  const completions = ['the', ' the', 'first time', '\nnext', 'o', ' 357', 'water of it', '界', '  two']
  const texts = prompts.flatMap((prompt) => completions.map((completion) => [prompt, completion] as const))
  const wrong: string[] = []
  let exact = 0
  let joint = 0
  for (const kind of golden.kinds) {
    const tokenizer = tokenizers.get(kind.name) as Tokenizer
    const writes = writesPrefix(kind)
    for (const [prompt, completion] of kind.name === 'unigram, no unknown' ? [] : texts) {
      const whole = tokenizer.encode(prompt + completion, { addSpecialTokens: false })
      const ids = tokenizer.encode(prompt, { addSpecialTokens: false })
      const next = tokenizer.encodeContinuation(completion)
      if (!spaced.has(kind.base)) continue
      if (![prompt, completion, prompt + completion].every((text) => keeps(tokenizer, text))) continue
      exact++
      const fault = (what: string) => wrong.push(JSON.stringify([kind.name, prompt, completion, what]))
      if (tokenizer.decode([...ids, ...next]) !== prompt + completion) fault('decodes to another text')
      // A word of several pieces may go on over the seam in the joint encoding alone; a dummy prefix is what this is about.
      if (!writes || !ids.every((id, i) => whole[i] === id)) continue
      joint++
      if (!same([...ids, ...next], whole)) fault('is not the joint encoding')
    }
  }
  t.same(wrong, [])
  t.ok(exact > 500 && joint > 200, `${exact} decoded, ${joint} joint`)
})

t.test('canary: with the dummy prefix the law does not hold', async (t) => {
  const tokenizer = tokenizers.get('Llama 2') as Tokenizer
  const plain = (text: string) => tokenizer.encode(text, { addSpecialTokens: false })
  t.not(tokenizer.decode([...plain('#:\n'), ...plain('first')]), '#:\nfirst')
  t.equal(tokenizer.decode([...plain('#:\n'), ...tokenizer.encodeContinuation('first')]), '#:\nfirst')
})

t.test('without a dummy prefix a continuation is a text like any other', async (t) => {
  let plain = 0
  const wrong = everywhere((tokenizer, text, kind) => {
    if (writesPrefix(kind)) return true
    plain++
    return same(tokenizer.encodeContinuation(text), tokenizer.encode(text, { addSpecialTokens: false }))
  })
  t.same(wrong, [])
  t.ok(plain > 1000)
})

t.test('many texts at once: the same ids and offsets, in order', async (t) => {
  const texts = Array.from({ length: 40 }, () => golden.texts).flat()
  for (const name of ['byte level, trim and template', 'Llama 2', 'unigram', 'BERT']) {
    const tokenizer = tokenizers.get(name) as Tokenizer
    for (const continuation of [false, true]) {
      const many = await tokenizer.encodeMany(texts, { offsets: true, continuation })
      t.equal(many.starts.length, texts.length + 1)
      const slice = (of: 'ids' | 'begins' | 'ends', i: number) => [
        ...(many[of] as Int32Array).subarray(many.starts[i], many.starts[i + 1]),
      ]
      const wrong = [...golden.texts.keys()].filter((i) => {
        const j = i + 39 * golden.texts.length
        const one = tokenizer.encodeWithOffsets(texts[i] as string)
        const want = continuation ? tokenizer.encodeContinuation(texts[i] as string) : one.ids
        const offsets = continuation || (same(slice('begins', j), one.begins) && same(slice('ends', j), one.ends))
        return !(same(slice('ids', i), want) && same(slice('ids', j), want) && offsets)
      })
      t.same(wrong, [], name)
    }
  }
  const tokenizer = tokenizers.get('BERT') as Tokenizer
  t.same(await tokenizer.encodeMany([]), { ids: new Int32Array(0), starts: new Int32Array(1) })
  t.equal((await tokenizer.encodeMany(['a'])).begins, undefined)
})

t.test('many texts: a signal stops the work, a failure names its text, the event loop is free', async (t) => {
  const tokenizer = tokenizers.get('unigram, no unknown') as Tokenizer
  const long = Array.from({ length: 3000 }, () => 'the water of the people '.repeat(40))
  const stop = new AbortController()
  const work = tokenizer.encodeMany(long, { signal: stop.signal })
  stop.abort(new Error('enough'))
  await t.rejects(work, { message: 'enough' })
  await t.rejects(tokenizer.encodeMany(['a'], { signal: AbortSignal.abort() }), { name: 'AbortError' })
  let turns = 0
  const clock = setInterval(() => turns++, 1)
  await tokenizer.encodeMany(long)
  clearInterval(clock)
  t.ok(turns > 0, 'timers fire meanwhile')
  await t.rejects(tokenizer.encodeMany([...long, 'the', '\u{10FFFF}']), { code: 'E_TOKENIZER', message: /text 3001:/ })
})
