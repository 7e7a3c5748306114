/** The files beside a tokenizer.json, without an engine: what must be there, which special tokens they name, what a class writes itself. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'
import { cleanedUp, cleanUpSpaces, sectionsOfClass } from '../../src/data/tokenizer/tokenizer-class.js'
import {
  declaredTokens,
  idList,
  namedSpecialTokens,
  readTokenizerFiles,
  type TokenizerFiles,
} from '../../src/data/tokenizer/tokenizer-files.js'

const files = (given: Partial<TokenizerFiles>): TokenizerFiles => ({
  tokenizer: Buffer.from('{"model":{"merges":[]}}'),
  config: {},
  specialTokensMap: {},
  addedTokens: {},
  model: {},
  generation: {},
  chatTemplate: null,
  namedChatTemplates: new Map(),
  ...given,
})

t.test('a folder, and one with tokenizer.json alone', async (t) => {
  const folder = t.testdir({ 'tokenizer.json': '{}' })
  t.same(await readTokenizerFiles(folder), files({ tokenizer: Buffer.from('{}') }))
  writeFileSync(join(folder, 'tokenizer_config.json'), '{"a":1}')
  writeFileSync(join(folder, 'special_tokens_map.json'), '{"b":2}')
  writeFileSync(join(folder, 'added_tokens.json'), '{"c":3}')
  writeFileSync(join(folder, 'config.json'), '{"d":4}')
  writeFileSync(join(folder, 'generation_config.json'), '{"e":5}')
  writeFileSync(join(folder, 'chat_template.jinja'), 'one')
  mkdirSync(join(folder, 'additional_chat_templates'))
  writeFileSync(join(folder, 'additional_chat_templates', 'tools.jinja'), 'two')
  writeFileSync(join(folder, 'additional_chat_templates', 'notes.txt'), 'no template')
  t.same(
    await readTokenizerFiles(folder),
    files({
      tokenizer: Buffer.from('{}'),
      config: { a: 1 },
      specialTokensMap: { b: 2 },
      addedTokens: { c: 3 },
      model: { d: 4 },
      generation: { e: 5 },
      chatTemplate: 'one',
      namedChatTemplates: new Map([['tools', 'two']]),
    }),
  )
})

t.test('what is missing or no JSON object is told', async (t) => {
  const folder = t.testdir({
    file: 'text',
    'tokenizer.json': '{}',
    'config.json': '{',
    inner: { 'tokenizer.json': {} },
  })
  for (const none of [join(folder, 'absent'), join(folder, 'file')]) {
    await t.rejects(readTokenizerFiles(none), { code: 'E_TOKENIZER', message: /holds no tokenizer\.json/ }, none)
  }
  await t.rejects(readTokenizerFiles(folder), { code: 'E_TOKENIZER', message: /config\.json: is not JSON/ })
  for (const text of ['[]', 'null', '3']) {
    writeFileSync(join(folder, 'config.json'), text)
    await t.rejects(readTokenizerFiles(folder), { code: 'E_TOKENIZER', message: /expected a JSON object/ }, text)
  }
  await t.rejects(readTokenizerFiles(join(folder, 'inner')), { code: 'E_IO', message: /could not be read/ })
})

t.test('special tokens by name', async (t) => {
  const config = { bos_token: '<s>', eos_token: { content: '</s>' }, pad_token: null, model_max_length: 9 }
  const specialTokensMap = { eos_token: '<end>', image_token: '<image>', note: 'text' }
  const names = (given: Partial<TokenizerFiles>) => Object.fromEntries(namedSpecialTokens(files(given)))
  t.same(names({ config, specialTokensMap }), { bos_token: '<s>', eos_token: '<end>', image_token: '<image>' })
  const newer = { ...config, added_tokens_decoder: {} }
  t.same(names({ config: newer, specialTokensMap }), { bos_token: '<s>', eos_token: '</s>' })
  t.same([idList(7), idList([7, 8, 'x', 1.5]), idList(undefined), idList(0)], [[7], [7, 8], [], [0]])
})

t.test('declared tokens, in the order in which they get their ids', async (t) => {
  const newer = {
    added_tokens_decoder: { 10: { content: '<b>', lstrip: true }, 9: { content: '<a>', special: true }, 2: 5 },
    bos_token: '<a>',
    eos_token: { content: '<end>', rstrip: true },
    additional_special_tokens: ['<b>', '<more>'],
  }
  t.same(declaredTokens(files({ config: newer, specialTokensMap: { additional_special_tokens: ['<no>'] } })), [
    { content: '<a>', special: true },
    { content: '<b>', lstrip: true, special: false },
    { content: '<end>', rstrip: true, normalized: false, special: true, unless_added: true },
    { content: '<more>', normalized: false, special: true, unless_added: true },
  ])
  const older = { config: { bos_token: '<s>' }, addedTokens: { '<y>': 12, '<s>': 3 } }
  t.same(declaredTokens(files({ ...older, specialTokensMap: { extra_special_tokens: { image: '<image>' } } })), [
    { content: '<s>', special: true, normalized: false, unless_added: true },
    { content: '<y>', special: false, normalized: true, unless_added: true },
    { content: '<image>', normalized: false, special: true, unless_added: true },
  ])
  const mapped = { bos_token: { content: '<s>', rstrip: true }, eos_token: { content: '</s>', lstrip: true } }
  t.same(
    declaredTokens(files({ config: { bos_token: { content: '<s>', lstrip: true } }, specialTokensMap: mapped })),
    [
      { content: '<s>', lstrip: true, normalized: false, special: true, unless_added: true },
      { content: '</s>', lstrip: true, normalized: false, special: true, unless_added: true },
    ],
    'what the config says comes first, what it does not say is in the map',
  )
})

t.test('a declared token that has a name is special', async (t) => {
  const added_tokens_decoder = { 5: { content: '<pad>', special: false }, 6: { content: '<no>', special: false } }
  t.same(declaredTokens(files({ config: { added_tokens_decoder, pad_token: '<pad>' } })), [
    { content: '<pad>', special: true },
    { content: '<no>', special: false },
  ])
})

t.test(
  'a folder that names LlamaTokenizer has one dummy prefix, where its file has one behind every token',
  async (t) => {
    const model = {
      type: 'BPE',
      byte_fallback: true,
      vocab: { '<0x41>': 0, '▁': 1, a: 2, '▁a': 3, '<s>': 4 },
      merges: ['▁ a'],
    }
    const pre_tokenizer = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: false }
    const added_tokens = [{ id: 4, content: '<s>', special: true, normalized: false }]
    const folder = t.testdir({ 'tokenizer.json': JSON.stringify({ model, pre_tokenizer, added_tokens }) })
    const encode = async () => (await loadTokenizer(folder)).encode('a<s>a', { addSpecialTokens: false })
    t.same([...(await encode())], [3, 4, 3], 'as the file says')
    writeFileSync(join(folder, 'tokenizer_config.json'), '{"tokenizer_class":"LlamaTokenizer"}')
    t.same([...(await encode())], [3, 4, 2], 'as the class says')
  },
)

t.test('the sections that LlamaTokenizer writes itself', async (t) => {
  const of = (config: object, given: Partial<TokenizerFiles> = {}) =>
    sectionsOfClass(files({ config: { tokenizer_class: 'LlamaTokenizer', ...config }, ...given }))
  const decoders = [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ]
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 }
  const written = (prepend_scheme: string, last: object[]) => ({
    sections: {
      normalizer: null,
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme, split: false },
      decoder: { type: 'Sequence', decoders: [...decoders, ...last] },
    },
    model: {
      unk_token: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
    },
  })
  t.same(of({}), written('first', [strip]))
  t.same(of({ legacy: true }), written('always', [strip]))
  t.same(of({ legacy: false, add_prefix_space: true }), written('first', [strip]))
  t.same(of({ legacy: true, add_prefix_space: false }), written('never', []))
  t.same(of({ tokenizer_class: 'LlamaTokenizerFast' }), written('first', [strip]))
  t.same(sectionsOfClass(files({ model: { tokenizer_class: 'LlamaTokenizer' } })), written('first', [strip]))
  for (const left of [
    of({ tokenizer_class: 'GPT2Tokenizer' }),
    of({}, { model: { model_type: 'mistral' } }),
    of({}, { tokenizer: Buffer.from('{"model":{"merges":[]},"decoder":{"type":"ByteLevel"}}') }),
    of({}, { tokenizer: Buffer.from('{"model":{"vocab":[]}}') }),
    sectionsOfClass(files({})),
  ]) {
    t.same(left, {}, 'left to its file')
  }
})

t.test('decoded English', async (t) => {
  const setting = { clean_up_tokenization_spaces: true }
  t.same(
    [cleanUpSpaces(setting, 'WordPiece'), cleanUpSpaces(setting, 'BPE'), cleanUpSpaces({}, 'WordPiece')],
    [true, false, false],
  )
  const forced = { clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output: true }
  t.same([cleanUpSpaces({ ...setting, ...forced }, 'BPE'), cleanUpSpaces(forced, 'BPE')], [true, false])
  t.equal(
    cleanedUp("I 'm , you 're , we 've ; it 's n't so . Is it ? No ! The ' 90s"),
    "I'm, you're, we've ; it'sn't so. Is it? No! The'90s",
  )
})
