/** Tokenizers out of GGUF files: ids of Hugging Face, sentencepiece and llama.cpp; what is refused. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { mergesByScore } from '../../src/data/tokenizer/sentencepiece-merges.js'
import { tokenizerFingerprint } from '../../src/data/tokens/prepare.js'
import { loadModel, loadTokenizer } from '../../src/index.js'
import { changed, ggufFile, ggufRoot, keyBytes, takeApart } from '../support/gguf.js'

interface Case {
  text: string
  llamacpp: number[]
  huggingface: number[]
  sentencepiece: number[]
}
const golden = JSON.parse(readFileSync(join(ggufRoot, 'tokenize.json'), 'utf8')) as Record<string, Case[]>

t.test(
  'byte-level BPE of a file without tensors: the ids of Hugging Face and llama.cpp, back to the text',
  async (t) => {
    const tokenizer = await loadTokenizer(ggufFile('gsm-3m.vocab'))
    const different = golden['gsm-3m.parse_special=True']!.filter(({ text, huggingface, llamacpp }) => {
      const ids = tokenizer.encode(text, { addSpecialTokens: false })
      return String(ids) !== String(huggingface) || String(ids) !== String(llamacpp)
    })
    t.same(different, [])
    t.match(tokenizer, {
      bosToken: 0,
      eosToken: 2,
      padToken: 3,
      endTokens: [2],
      specialPrefix: [],
      vocabularySize: 4096,
    })
    t.equal(tokenizer.decode(tokenizer.encode(' 12 Eier, 3,5 %\n\t🙂')), ' 12 Eier, 3,5 %\n\t🙂')
    t.match(tokenizer.applyChatTemplate([{ role: 'user', content: 'Hi' }]), /<\|im_start\|>user\nHi<\|im_end\|>/)
  },
)

t.test('sentencepiece BPE: the ids of sentencepiece and llama.cpp, back to the text, a begin token', async (t) => {
  const tokenizer = await loadTokenizer(ggufFile('llama-k.q2_k'))
  for (const { text, sentencepiece, llamacpp } of golden['llama-k']!) {
    const ids = tokenizer.encode(text, { addSpecialTokens: false })
    t.same(ids, sentencepiece, JSON.stringify(text))
    t.same(ids, llamacpp, JSON.stringify(text))
    if (!text.includes('▁')) t.equal(tokenizer.decode(ids), text)
  }
  t.same(tokenizer.specialPrefix, [1])
  t.same(tokenizer.encode('the').slice(0, 1), [1])
})

t.test("a model's own tokenizer is its file's", async (t) => {
  using model = await loadModel(ggufFile('qwen3.q4_0'), { threads: 1 })
  const tokenizer = await model.tokenizer()
  t.match(tokenizer, { folder: model.path, bosToken: 1, eosToken: 2, vocabularySize: 263 })
  t.equal(typeof (await model.generate('the', { maxTokens: 3 }).result).text, 'string')
})

t.test('tokens around a text: what the file says, else what its kind has', async (t) => {
  const folder = t.testdir()
  const flag = (field: string, value: 0 | 1) => {
    const name = `tokenizer.ggml.${field}`
    const key = keyBytes(name, '').subarray(0, 8 + name.length)
    return { [name]: Buffer.concat([key, Buffer.from([7, 0, 0, 0, value])]) }
  }
  const of = async (name: string, changes: Record<string, Buffer>) => {
    const { specialPrefix, specialSuffix } = await loadTokenizer(changed(folder, name, changes))
    return [specialPrefix, specialSuffix]
  }
  t.same(await of('llama-k.q2_k', flag('add_bos_token', 0)), [[], []])
  t.same(await of('llama-k.q2_k', flag('add_eos_token', 1)), [[1], [2]])
  t.same(await of('gsm-3m.vocab', flag('add_bos_token', 1)), [[0], []])
  t.same(await of('gsm-3m.vocab', { 'tokenizer.ggml.pre': keyBytes('tokenizer.ggml.pre', 'llama-bpe') }), [[0], []])
})

t.test('the digest of rows depends on what the file says', async (t) => {
  const folder = t.testdir()
  const own = await tokenizerFingerprint(await loadTokenizer(ggufFile('gsm-3m.vocab')))
  const pad = keyBytes('tokenizer.ggml.padding_token_id', 1)
  const other = await tokenizerFingerprint(
    await loadTokenizer(changed(folder, 'gsm-3m.vocab', { 'tokenizer.ggml.padding_token_id': pad })),
  )
  t.not(own, other)
  t.equal(own, await tokenizerFingerprint(await loadTokenizer(ggufFile('gsm-3m.vocab'))))
})

t.test('merges: the best piece first, of one piece the pair whose parts come first', (t) => {
  const tokens = ['a', 'b', 'ab', 'aba', 'ba', '<0x61>']
  t.same(mergesByScore(tokens, [0, 0, -2, -1, -3, 0], [1, 1, 1, 1, 1, 6]), [
    ['a', 'ba'],
    ['ab', 'a'],
    ['a', 'b'],
    ['b', 'a'],
  ])
  t.same(mergesByScore(['🙂', 'x', '🙂x'], [0, 0, -1], []), [['🙂', 'x']])
  t.same(mergesByScore([' ', '  '], [0, -1], []), [[' ', ' ']])
  t.end()
})

t.test('what cannot be read is refused by its name, with the cure', async (t) => {
  const folder = t.testdir()
  const key = (name: string, value: string) => ({
    [`tokenizer.ggml.${name}`]: keyBytes(`tokenizer.ggml.${name}`, value),
  })
  const refused = async (changes: Record<string, Buffer | null>, message: RegExp, name = 'gsm-3m.vocab') =>
    t.rejects(loadTokenizer(changed(folder, name, changes)), { code: 'E_TOKENIZER', message })
  await refused(key('pre', 'unheard-of'), /'unheard-of'.*known are gpt-2,.*Hugging Face folder/)
  await refused(key('model', 'bert'), /kind 'bert'.*gpt2.*llama/)
  await refused({ 'tokenizer.ggml.pre': null }, /'default'/)
  await refused({ 'tokenizer.ggml.model': null }, /holds no tokenizer/)
  await refused({ 'tokenizer.ggml.tokens': null }, /holds no tokenizer/)
  await refused({ 'tokenizer.ggml.merges': null }, /no tokenizer\.ggml\.merges/)
  await refused({ 'tokenizer.ggml.scores': null }, /no tokenizer\.ggml\.scores/, 'llama-k.q2_k')
  const scores = takeApart(ggufFile('llama-k.q2_k')).keys.get('tokenizer.ggml.scores')!
  await refused({ 'tokenizer.ggml.scores': scores }, /scores has 320 elements for 4096 tokens/)
  const tokens = Buffer.from(takeApart(ggufFile('gsm-3m.vocab')).keys.get('tokenizer.ggml.tokens')!)
  const fourthAndFifth = Buffer.from('!\x01\0\0\0\0\0\0\0"')
  tokens.write('!', tokens.indexOf(fourthAndFifth) + fourthAndFifth.length - 1)
  await refused({ 'tokenizer.ggml.tokens': tokens }, /the tokens 4 and 5 are both "!"/)
  await t.rejects(
    loadTokenizer(changed(folder, 'gsm-3m.vocab', { 'tokenizer.ggml.pre': keyBytes('tokenizer.ggml.pre', 7) })),
    { code: 'E_FORMAT', message: /expected a text/ },
  )
  const bytes = readFileSync(ggufFile('gsm-3m.vocab'))
  const at = bytes.indexOf('<|im_end|>')
  bytes.write('<|endofte', at)
  writeFileSync(join(folder, 'odd.gguf'), bytes)
  t.equal(typeof (await loadTokenizer(join(folder, 'odd.gguf'))).eosToken, 'number')
})

t.test('canary: another order of merges gives other ids', (t) => {
  t.notSame(
    mergesByScore(['a', 'b', 'ab', 'ba'], [0, 0, -1, -2], []),
    mergesByScore(['a', 'b', 'ab', 'ba'], [0, 0, -2, -1], []),
  )
  t.end()
})
