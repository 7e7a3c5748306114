/** Ids, decoded text and rendered chats against those of Python's tokenizers and transformers. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { loadDataset } from '../../src/data/load-dataset.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'
import { resolveTokenizer } from '../../src/data/tokenizer/resolve.js'
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer.js'
import { FedloraError } from '../../src/errors.js'

const folder = new URL('../../assets/gsm-3m', import.meta.url).pathname
const golden = JSON.parse(await readFile(new URL('../golden/tokenizer.json', import.meta.url), 'utf8')) as {
  encode: { text: string; ids: number[]; decoded: string }[]
  chat: { messages: { role: string; content: string }[]; add_generation_prompt: boolean; text: string }[]
}
const tokenizer = await loadTokenizer(folder)

/** Texts of the golden file on which ids or decoded text differ. */
function deviations(of: Tokenizer, entries: typeof golden.encode): string[] {
  return entries
    .filter(({ text, ids, decoded }) => {
      const got = of.encode(text, { addSpecialTokens: false })
      return !(got.length === ids.length && got.every((id, i) => id === ids[i]) && of.decode(ids) === decoded)
    })
    .map((entry) => entry.text)
}

/** A copy of the folder in which one file has been rewritten. */
async function variant(file: string, edit: (json: Record<string, unknown>) => void, drop: string[] = []) {
  const copy = await mkdtemp(join(tmpdir(), 'fedlora-tokenizer-'))
  t.teardown(() => rm(copy, { recursive: true, force: true }))
  await cp(folder, copy, { recursive: true, filter: (path) => !path.endsWith('.safetensors') })
  const json = JSON.parse(await readFile(join(copy, file), 'utf8').catch(() => '{}'))
  edit(json)
  await writeFile(join(copy, file), JSON.stringify(json))
  for (const name of drop) await rm(join(copy, name))
  return copy
}

t.test('every text of the golden file: ids and decoded text', async (t) => {
  t.ok(golden.encode.length >= 144)
  t.same(deviations(tokenizer, golden.encode), [])
})

t.test('canary: a swapped id, a dropped id and a changed text are deviations', async (t) => {
  const entry = golden.encode[0]!
  t.equal(deviations(tokenizer, [{ ...entry, ids: [...entry.ids.slice(1), entry.ids[0]!] }]).length, 1)
  t.equal(deviations(tokenizer, [{ ...entry, ids: entry.ids.slice(1) }]).length, 1)
  t.equal(deviations(tokenizer, [{ ...entry, decoded: `${entry.decoded} ` }]).length, 1)
})

t.test('every chat of the golden file', async (t) => {
  for (const { messages, add_generation_prompt, text } of golden.chat) {
    t.equal(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: add_generation_prompt }), text)
  }
})

t.test('digits and white space are those of Unicode', async (t) => {
  // From Python's tokenizers 0.23.3: the two spaces before a digit stay together, U+0085 is white space.
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false })
  t.same(encode('=  ²'), [32, 1222, 130, 114])
  t.same(encode('¼  Ⅷ'), [130, 124, 1222, 162, 231, 104])
})

t.test('byte tokens keep a byte order mark', async (t) => {
  const copy = await variant('tokenizer.json', (json) => {
    const vocab = { '<unk>': 0, '<0xEF>': 1, '<0xBB>': 2, '<0xBF>': 3, a: 4, '▁': 5 }
    json.model = { type: 'BPE', vocab, merges: [], byte_fallback: true, unk_token: '<unk>' }
    json.added_tokens = []
    json.pre_tokenizer = null
    json.post_processor = null
    json.decoder = {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
      ],
    }
  })
  const bytes = await loadTokenizer(copy)
  t.same(bytes.encode('a\ufeff'), [4, 1, 2, 3])
  t.equal(bytes.decode([4, 1, 2, 3, 5, 4]), 'a\ufeff a')
})

t.test('special tokens', async (t) => {
  t.equal(tokenizer.bosToken, 0)
  t.equal(tokenizer.eosToken, 2)
  t.equal(tokenizer.padToken, 3)
  t.same(tokenizer.endTokens, [2])
  t.same(tokenizer.specialPrefix, [])
  t.same(tokenizer.specialSuffix, [])
  t.equal(tokenizer.vocabularySize, 4096)
  t.equal(tokenizer.tokenId('<|im_start|>'), 1)
  const ids = tokenizer.encode('hi<|im_end|>')
  t.equal(tokenizer.decode(ids), 'hi<|im_end|>')
  t.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), 'hi')
  t.equal(tokenizer.decode([]), '')
  t.equal(tokenizer.decode([99999, ...tokenizer.encode('x')]), 'x', 'an id outside the vocabulary has no text')
})

t.test('a tokenizer that puts tokens around a text says so', async (t) => {
  const copy = await variant('tokenizer.json', (json) => {
    const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } })
    json.post_processor = {
      type: 'TemplateProcessing',
      single: [special('<|endoftext|>'), { Sequence: { id: 'A', type_id: 0 } }, special('<|im_end|>')],
      pair: [],
      special_tokens: {
        '<|endoftext|>': { id: '<|endoftext|>', ids: [0], tokens: ['<|endoftext|>'] },
        '<|im_end|>': { id: '<|im_end|>', ids: [2], tokens: ['<|im_end|>'] },
      },
    }
  })
  const around = await loadTokenizer(copy)
  // A prompt is what a row begins with: special tokens that stand before a text are there, too.
  const row = { instruction: 'a', input: '', output: 'b' }
  const data = await loadDataset([row], { format: 'alpaca', tokenizer: around })
  const { inputIds } = data.prompt({ instruction: 'a', input: '' })
  t.equal(inputIds[0], 0)
  t.same(data.sample(0).inputIds.subarray(0, inputIds.length), inputIds)
  t.same(around.specialPrefix, [0])
  t.same(around.specialSuffix, [2])
  t.same(around.encode('x'), [0, ...around.encode('x', { addSpecialTokens: false }), 2])
})

t.test('end tokens of generation_config.json, ids where no text is given', async (t) => {
  const listed = await loadTokenizer(
    await variant('generation_config.json', (json) => Object.assign(json, { eos_token_id: [2, 0] })),
  )
  t.same(listed.endTokens, [2, 0])
  const bare = await loadTokenizer(await variant('tokenizer_config.json', (json) => delete json.eos_token))
  t.equal(bare.eosToken, 2)
  const mapped = await loadTokenizer(
    await variant(
      'special_tokens_map.json',
      (json) => Object.assign(json, { eos_token: { content: '<|endoftext|>' } }),
      ['tokenizer_config.json'],
    ),
  )
  t.equal(mapped.eosToken, 0)
})

t.test('a declared token that tokenizer.json forgot is never split', async (t) => {
  const copy = await variant('tokenizer.json', (json) => {
    json.added_tokens = (json.added_tokens as { id: number }[]).filter((token) => token.id !== 2)
  })
  t.same((await loadTokenizer(copy)).encode('x<|im_end|>'), tokenizer.encode('x<|im_end|>'))
})

t.test('chat templates in tokenizer_config.json: one, or several with names', async (t) => {
  const messages = [{ role: 'user', content: 'hi' }]
  const one = await variant(
    'tokenizer_config.json',
    (json) => Object.assign(json, { chat_template: '{{ eos_token }}!' }),
    ['chat_template.jinja'],
  )
  t.equal((await loadTokenizer(one)).applyChatTemplate(messages), '<|im_end|>!')
  const chat_template = [
    { name: 'tool_use', template: 'tools' },
    { name: 'default', template: '{{ messages[0].content }}{{ extra }}' },
  ]
  const named = await variant('tokenizer_config.json', (json) => Object.assign(json, { chat_template }), [
    'chat_template.jinja',
  ])
  t.equal((await loadTokenizer(named)).applyChatTemplate(messages, { variables: { extra: '?' } }), 'hi?')
})

t.test('the stream decoder holds back what is incomplete and loses nothing', async (t) => {
  for (const { ids, decoded } of golden.encode) {
    const stream = tokenizer.stream()
    const pieces = ids.map((id) => stream.push(id))
    pieces.push(stream.finish())
    t.equal(pieces.join(''), decoded)
    if (!decoded.includes('\uFFFD')) t.notOk(pieces.some((piece) => piece.includes('\uFFFD')))
  }
  const smile = tokenizer.encode('🙂', { addSpecialTokens: false })
  t.ok(smile.length > 1)
  const cut = tokenizer.stream()
  t.same(
    smile.slice(0, -1).map((id) => cut.push(id)),
    smile.slice(0, -1).map(() => ''),
  )
  t.equal(cut.finish(), '\uFFFD', 'canary: broken bytes are shown as such, not swallowed')
})

t.test('what cannot be loaded is refused with the cure', async (t) => {
  const without = await variant('tokenizer_config.json', () => {}, ['tokenizer.json'])
  await t.rejects(loadTokenizer(without), { code: 'E_TOKENIZER', message: /AutoTokenizer/ })
  await t.rejects(loadTokenizer('/nonexistent'), { code: 'E_TOKENIZER' })
  const torn = await variant('tokenizer_config.json', () => {})
  await writeFile(join(torn, 'tokenizer.json'), '{"model":')
  await t.rejects(loadTokenizer(torn), { code: 'E_TOKENIZER', message: /not JSON/ })
  await writeFile(join(torn, 'tokenizer.json'), '{"model":{}}')
  await t.rejects(loadTokenizer(torn), { code: 'E_TOKENIZER', message: /not understood/ })
  const mute = await loadTokenizer(await variant('tokenizer_config.json', () => {}, ['chat_template.jinja']))
  t.notOk(mute.hasChatTemplate)
  t.throws(() => mute.applyChatTemplate([]), { code: 'E_TOKENIZER' })
  const broken = await variant('tokenizer_config.json', () => {})
  await writeFile(join(broken, 'chat_template.jinja'), '{% for %}')
  const unread = await loadTokenizer(broken)
  t.ok(unread.encode('alpaca needs no template').length > 0)
  t.throws(() => unread.applyChatTemplate([{ role: 'user', content: 'hi' }]), {
    code: 'E_TOKENIZER',
    message: /chat template, line 1: not understood/,
  })
  await writeFile(join(broken, 'chat_template.jinja'), "{{ raise_exception('no') }}")
  const refusing = await loadTokenizer(broken)
  t.throws(() => refusing.applyChatTemplate([{ role: 'user', content: 'hi' }]), { code: 'E_DATA', message: /no$/ })
  t.throws(() => refusing.applyChatTemplate([]), { code: 'E_DATA', message: /one message or more/ })
})

t.test('a tokenizer, a folder and a model all resolve', async (t) => {
  t.equal(await resolveTokenizer(tokenizer), tokenizer)
  t.equal(await resolveTokenizer({ tokenizer }), tokenizer)
  t.equal(await resolveTokenizer({ tokenizer: async () => tokenizer }), tokenizer)
  t.equal((await resolveTokenizer({ path: folder })).eosToken, 2)
  t.equal((await resolveTokenizer(folder)).eosToken, 2)
  await t.rejects(resolveTokenizer({} as never), FedloraError)
})
