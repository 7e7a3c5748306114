/** Generation over a decoder that says what it is told to: no model, no addon. */
import t from 'tap'
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer.js'
import type { PromptFormat } from '../../src/index.js'
import {
  type Decoder,
  type Decoding,
  decodingOptionsSchema,
  generateText,
  generateTokens,
} from '../../src/model/generate.js'
import { Generation } from '../../src/model/generation.js'
import type { Prompt } from '../../src/model/prompt.js'
import type { FinishReason, GeneratedTokens, GenerationOptions } from '../../src/native/binding.js'

const end = 0
const codes = (text: string) => [...text].map((letter) => letter.charCodeAt(0))

/** A tokenizer of letters: an id is a character's code, 1 stands before a text, 2 behind it; `held` pieces come when the text has ended. */
function letters(held = 0): Tokenizer {
  return {
    endTokens: [end, 999],
    specialPrefix: [1],
    specialSuffix: [2],
    encode: (text: string, { addSpecialTokens }: { addSpecialTokens: boolean }) =>
      addSpecialTokens ? [1, ...codes(text), 2] : codes(text),
    applyChatTemplate: (messages: { content: string }[], options: { variables: { tone?: string } }) =>
      `${options.variables.tone ?? ''}<${messages.map(({ content }) => content).join('|')}>`,
    stream: ({ skipSpecialTokens }: { skipSpecialTokens: boolean }) => {
      t.equal(skipSpecialTokens, true)
      let text = ''
      return {
        push: (id: number) => {
          text += String.fromCharCode(id)
          const cut = Math.max(0, text.length - held)
          const given = text.slice(0, cut)
          text = text.slice(cut)
          return given
        },
        finish: () => text,
      }
    },
  } as unknown as Tokenizer
}

interface Fake extends Decoder {
  requests: GenerationOptions[]
  /** What was called, in order. */
  calls: string[]
}

/** Says `text` in the chunks that are asked for, and ends as told. */
function fake(
  text: string,
  {
    reason = 'length' as FinishReason,
    ended = false,
    promptFormat = undefined as PromptFormat | undefined,
    held = 0,
    next = undefined as (() => Promise<GeneratedTokens>) | undefined,
  } = {},
): Fake {
  const ids = [...codes(text), ...(ended ? [end] : [])]
  const decoder: Fake = {
    requests: [],
    calls: [],
    vocabulary: 256,
    endTokenIds: [end],
    promptFormat,
    tokenizer: async () => letters(held),
    begin: async (request) => {
      decoder.requests.push(request)
      let at = 0
      return {
        next: async (count) => {
          decoder.calls.push(`next ${count}`)
          if (next !== undefined) return await next()
          const given = Int32Array.from(ids.slice(at, at + count))
          at += given.length
          const done = at === ids.length
          return {
            ids: given,
            done,
            promptTokens: request.ids.length,
            completionTokens: at,
            ...(done && { finishReason: reason }),
          }
        },
        cancel: () => decoder.calls.push('cancel'),
        dispose: () => decoder.calls.push('dispose'),
      }
    },
  }
  return decoder
}

const decoding = (options: Partial<Decoding> = {}): Decoding => ({ ...decodingOptionsSchema.parse({}), ...options })
const generation = (decoder: Decoder, prompt: Prompt, options: Partial<Decoding> = {}) =>
  new Generation((progress) => generateText(decoder, prompt, decoding(options), progress))

async function idsOf(decoder: Decoder, prompt: Prompt, options: Partial<Decoding> = {}): Promise<number[]> {
  const ids: number[] = []
  for await (const id of generateTokens(decoder, prompt, decoding(options))) ids.push(id)
  return ids
}

t.test('a text comes in pieces, with what was asked for, and ends once', async (t) => {
  const decoder = fake('hello', { ended: true, reason: 'stop' })
  const pieces: string[] = []
  const answer = generation(decoder, [7, 8], { maxTokens: 9, temperature: 0.5, topK: 3, topP: 0.9, seed: 4 })
  for await (const piece of answer) pieces.push(piece)
  t.same(pieces, ['h', 'e', 'l', 'l', 'o'], 'no end token')
  t.same(await answer.result, { text: 'hello', finishReason: 'stop', usage: { promptTokens: 2, completionTokens: 6 } })
  t.same(decoder.calls, ['next 4', 'next 4', 'dispose'])
  t.same(decoder.requests, [
    {
      ids: Int32Array.of(7, 8),
      maxTokens: 9,
      temperature: 0.5,
      topK: 3,
      topP: 0.9,
      seed: 4,
      endIds: Int32Array.of(end),
    },
  ])
  t.same((await generation(fake('hi'), [1]).result).finishReason, 'length')
  t.same((await generation(fake('hi', { reason: 'aborted' }), [1]).result).finishReason, 'abort')
  t.same((await generation(fake(''), [1]).result).text, '')
})

t.test(
  'end tokens: those of the configs and of the tokenizer, as far as the model has them, or those asked for',
  async (t) => {
    const asked = fake('abc')
    t.equal((await generation(asked, [1], { endTokens: codes('c') }).result).text, 'ab')
    t.same([...asked.requests[0]!.endIds], codes('c'))
    const configured = { ...fake('a.b'), endTokenIds: codes('.') }
    t.equal((await generation(configured, [1]).result).text, 'a')
    const ids = fake('ab', { ended: true })
    t.same(await idsOf({ ...ids, tokenizer: () => Promise.reject(new Error('none')) }, [5]), [...codes('ab'), end])
    t.same([...ids.requests[0]!.endIds], [end], 'without a tokenizer')
    await idsOf(asked, [5], { endTokens: [9] })
    t.same([...asked.requests[1]!.endIds], [9])
  },
)

t.test('a stop string ends text, count and work where it is complete', async (t) => {
  const decoder = fake('one stop two three')
  const answer = generation(decoder, [1], { stop: 'stop' })
  t.same(await answer.result, {
    text: 'one ',
    finishReason: 'stop',
    usage: { promptTokens: 1, completionTokens: 'one stop'.length },
  })
  t.same(decoder.calls, ['next 4', 'next 4', 'dispose'], 'nothing is decoded beyond it')
  const inside = await generation(fake('ab.cdefgh'), [1], { stop: ['zz', '.c', '.'] }).result
  t.same([inside.text, inside.usage.completionTokens], ['ab', 3], 'in the middle of a chunk')
  const late = await generation(fake('one stop', { held: 3 }), [1], { stop: 'stop' }).result
  t.same([late.text, late.finishReason], ['one ', 'stop'], 'complete when the text has ended')
  const held = await generation(fake('one sto', { held: 1 }), [1], { stop: 'stop' }).result
  t.same([held.text, held.finishReason], ['one sto', 'length'], 'what was held back is given when nothing came of it')
})

t.test('whoever leaves, aborts or fails lets the engine go', async (t) => {
  const left = fake('a long text')
  for await (const piece of generation(left, [1])) if (piece === 'a') break
  t.same(left.calls, ['next 4', 'dispose'])

  const unread = generation(fake('a'), [1])
  await unread.return()
  t.same(await unread.result, { text: '', finishReason: 'abort', usage: { promptTokens: 0, completionTokens: 0 } })

  const thrown = fake('a long text')
  const told = generation(thrown, [1])
  await told.next()
  const back = told.throw(new Error('mine'))
  await t.rejects(back, { message: 'mine' })
  t.same(thrown.calls, ['next 4', 'dispose'])

  const early = fake('never')
  const reason = new Error('enough')
  const gone = AbortSignal.abort(reason)
  await t.rejects(generation(early, [1], { signal: gone }).result, reason)
  t.same([early.requests.length, early.calls.length], [0, 0], 'not even begun')

  const stop = new AbortController()
  const stopped = fake('', {
    next: async () => {
      stop.abort(reason)
      return { ids: Int32Array.of(97), done: false, promptTokens: 1, completionTokens: 1 }
    },
  })
  const answer = generation(stopped, [1], { signal: stop.signal })
  await t.rejects(answer.result, reason)
  t.same(stopped.calls, ['next 4', 'cancel', 'dispose'])

  const later = new AbortController()
  const through = fake('ab')
  await generation(through, [1], { signal: later.signal }).result
  later.abort()
  t.same(through.calls, ['next 4', 'dispose'], 'nobody listens any more')

  const failing = fake('', { next: () => Promise.reject(new Error('broken')) })
  await t.rejects(generation(failing, [1]).result, { message: 'broken' })
  t.same(failing.calls, ['next 4', 'dispose'])
})

t.test('leaving and throwing wait until the work is over', async (t) => {
  for (const leave of ['return', 'throw', Symbol.asyncDispose] as const) {
    let over = false
    const answer = new Generation(async function* () {
      try {
        yield 'a'
      } finally {
        await new Promise(setImmediate)
        over = true
      }
    })
    await answer.next()
    const left = leave === 'throw' ? answer.throw(new Error('mine')).catch(() => {}) : answer[leave]()
    t.equal(over, false, 'canary')
    await left
    t.equal(over, true, String(leave))
  }
})

const alpaca: PromptFormat = { format: 'alpaca', fields: {}, chatTemplateKwargs: { tone: 'dry ' } }

t.test('a prompt as ids: texts, messages, ids, rows', async (t) => {
  const prompted = async (prompt: Prompt, options: Partial<Decoding> = {}, promptFormat?: PromptFormat) => {
    const decoder = fake('x', { promptFormat })
    await generation(decoder, prompt, options).result
    const [prefix, ...rest] = decoder.requests[0]!.ids
    return prefix === 1 ? `+${String.fromCharCode(...rest)}` : String.fromCharCode(prefix!, ...rest)
  }
  const template = (instruction: string) =>
    '+Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' +
    `### Instruction:\n${instruction}\n\n### Response:\n`
  t.equal(await prompted('hi'), '+hi', 'a text has what stands before texts, not what stands behind')
  t.equal(await prompted([{ role: 'user', content: 'hi' }]), '<hi>')
  t.equal(
    await prompted([{ role: 'user', content: 'hi' }], {}, alpaca),
    'dry <hi>',
    'with the variables of the training',
  )
  t.equal(await prompted(Int32Array.from(codes('ids'))), 'ids')
  t.equal(await prompted(new Set() as never).catch((error) => error.code), 'E_ARGUMENT')
  t.equal(await prompted({ text: 'x', inputIds: Int32Array.from(codes('y')) }), 'y')
  t.equal(await prompted({ length: 2, 0: 65, 1: 66 }), 'AB', 'a list by index')
  t.equal(await prompted('Add.', {}, alpaca), template('Add.'))
  t.equal(await prompted('Add.', { raw: true }, alpaca), '+Add.')
  t.equal(await prompted('Add.', { raw: true, format: 'alpaca' }, alpaca), '+Add.')
  t.equal(await prompted('Add.', { format: 'alpaca' }), template('Add.'))
  t.equal(await prompted({ instruction: 'Add.' }), template('Add.'), 'the one format that has these columns')
  t.equal(await prompted({ instruction: 'Add.', length: 7 }), template('Add.'), 'a column called length')
  const renamed: PromptFormat = { format: 'alpaca', fields: { instruction: 'question' }, chatTemplateKwargs: {} }
  t.equal(
    await prompted({ question: 'Add.' }, {}, renamed),
    template('Add.'),
    'a column under the name of the training',
  )
  t.equal(await prompted({ question: 'Add.' }, { format: 'alpaca' }, renamed), template('Add.'))
  t.not(await prompted({ question: 'Add.' }, {}, alpaca), template('Add.'), 'another format than that of the training')
  t.equal(await prompted({ instruction: 'Add.' }, { raw: true }, renamed), template('Add.'))
})

t.test('prompts that are none', async (t) => {
  const refused = (prompt: Prompt, code: string, message: RegExp, options: Partial<Decoding> = {}) =>
    t.rejects(generation(fake('x'), prompt, options).result, { code, message })
  await refused([], 'E_ARGUMENT', /the prompt is \[\], expected at least one token/)
  await refused(null as never, 'E_ARGUMENT', /the prompt is null/)
  await refused({ inputIds: Int32Array.of(), text: '' }, 'E_ARGUMENT', /at least one token/)
  await refused([256], 'E_ARGUMENT', /prompt\[0\]\[0\] is 256, expected a token id/)
  await refused({ a: 1, b: 2 }, 'E_ARGUMENT', /a row of a, b is a prompt of no one format; .*alpaca/)
  await refused({}, 'E_ARGUMENT', /a row of no columns/)
  const mixed = { instruction: 'Add.', input: '1', context: '2' }
  await refused(mixed, 'E_ARGUMENT', /is a prompt of no one format/) // alpaca has no context, dolly no input
})

t.test('options of decoding: defaults, and every bound', (t) => {
  t.strictSame(decodingOptionsSchema.parse({}), {
    maxTokens: 256,
    temperature: 0,
    topK: 0,
    topP: 1,
    seed: 0,
    stop: [],
    raw: false,
  })
  const good = [
    { maxTokens: 1 },
    { topP: 1e-9 },
    { topP: 1 },
    { stop: 'a' },
    { stop: [] },
    { endTokens: [] },
    { endTokens: [0] },
  ]
  for (const options of good) t.match(decodingOptionsSchema.parse(options), options)
  for (const wrong of [
    { maxTokens: 0 },
    { maxTokens: 1.5 },
    { temperature: -0.1 },
    { topK: -1 },
    { topK: 0.5 },
    { topP: 0 },
    { topP: 1.1 },
    { seed: -1 },
    { seed: 0.5 },
    { stop: '' },
    { stop: [''] },
    { endTokens: [-1] },
    { endTokens: [0.5] },
    { format: 'none' },
    { raw: 1 },
    { signal: {} },
    { other: 1 },
  ])
    t.equal(decodingOptionsSchema.safeParse(wrong).success, false, JSON.stringify(wrong))
  t.end()
})
