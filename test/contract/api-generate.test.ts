/** Generation: why it ended and what it took; prompts as rows of a format; the format that an adapter remembers. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { DatasetOptions } from '../../src/data/dataset-options.js'
import type { Row } from '../../src/data/formats/formats.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { simulate } from '../../src/federated/simulate/simulate.js'
import { loadModel } from '../../src/model/load.js'
import type { Prompt } from '../../src/model/prompt.js'
import { train } from '../../src/training/train.js'

const folder = new URL('../../assets/gsm-3m', import.meta.url).pathname
const model = await loadModel(folder, { quantization: 'nf4', threads: 2 })
t.teardown(() => model.dispose())
const tokenizer = await model.tokenizer()
const question = 'Tom has 3 apples and buys 4 more. How many apples does he have?'
const maxTokens = 12

/** An adapter after two steps over `rows`. */
async function taught(format: DatasetOptions['format'], rows: Row[], options: Partial<DatasetOptions> = {}) {
  const adapter = model.createAdapter({ rank: 2, seed: 1 })
  t.teardown(() => adapter.dispose())
  const data = await loadDataset(rows, { format, tokenizer: model, ...options })
  await train(adapter, data, { maxSteps: 2, batchSize: 1, learningRate: 0.02 })
  return { adapter, data }
}

t.test('why a text ended, and how many tokens it took', async (t) => {
  const whole = model.generate(question, { maxTokens, endTokens: [] })
  const pieces: string[] = []
  for await (const piece of whole) pieces.push(piece)
  const result = await whole.result
  t.same(result, {
    text: pieces.join(''),
    finishReason: 'length',
    usage: { promptTokens: tokenizer.encode(question).length, completionTokens: maxTokens },
  })
  t.same(await model.generate(question, { maxTokens, endTokens: [] }).result, result, 'without a loop')

  const stop = result.text.slice(4, 7)
  const stopped = await model.generate(question, { maxTokens, endTokens: [], stop }).result
  t.equal(stopped.finishReason, 'stop')
  t.equal(stopped.text, result.text.slice(0, result.text.indexOf(stop)))
  t.ok(stopped.usage.completionTokens < maxTokens)

  const ids: number[] = []
  for await (const id of model.generateTokens(question, { maxTokens, endTokens: [] })) ids.push(id)
  const end = ids[3]!
  const ended = await model.generate(question, { maxTokens, endTokens: [end] }).result
  t.match(ended, { finishReason: 'stop', usage: { completionTokens: ids.indexOf(end) + 1 } })

  const left = model.generate(question, { maxTokens, endTokens: [] })
  for await (const _ of left) break
  t.match(await left.result, { finishReason: 'abort', text: pieces[0] })

  const both = model.generate(question, { maxTokens, endTokens: [] })
  const first = both.result
  const read: string[] = []
  for await (const piece of both) read.push(piece)
  t.same(read.join(''), result.text, 'asking for the result takes nothing from the loop')
  t.same(await first, result)
})

t.test('a failure reaches loop and result', async (t) => {
  const refused = model.generate(question, { maxTokens: 0 })
  await t.rejects(refused.next(), { code: 'E_CONFIG' })
  t.same(await refused.next(), { done: true, value: undefined })
  await t.rejects(refused.result, { code: 'E_CONFIG' })
  const aborted = model.generate(question, { signal: AbortSignal.abort() })
  await t.rejects(aborted.result, { name: 'AbortError' })
})

/** What the model says to a prompt, and the length of the prompt's ids. */
async function says(prompt: Prompt, options: object = {}) {
  const { text, usage } = await model.generate(prompt, { maxTokens, endTokens: [], ...options }).result
  return { text, promptTokens: usage.promptTokens }
}

t.test('alpaca: the question alone, a row, the template by hand and data.prompt are one prompt', async (t) => {
  const { adapter, data } = await taught('alpaca', [{ instruction: question, output: '7' }])
  t.match(adapter.promptFormat, { format: 'alpaca', fields: {} })
  const prompt = data.prompt(0)
  t.match(prompt.text, /^Below is an instruction[\s\S]*### Instruction:\nTom has 3[\s\S]*### Response:\n$/)
  const { inputIds, labels } = data.sample(0)
  const supervised = labels.findIndex((label) => label !== -100)
  t.same([...prompt.inputIds], [...inputIds.subarray(0, supervised)], 'what the row trains on before its completion')
  t.same([...prompt.inputIds], tokenizer.encode(prompt.text), 'as generate encodes its text')

  const expected = await says(prompt, { adapter })
  t.same(await says(question, { adapter }), expected)
  t.same(await says({ instruction: question }, { adapter }), expected)
  t.same(await says({ instruction: question, output: 'not looked at' }, { adapter }), expected)
  t.same(await says(prompt.text, { adapter }), expected, 'the template by hand is not put into the template again')
  t.same(await says(prompt.text, { adapter, raw: true }), expected)
  t.same(await says(data.prompt({ instruction: question }), { adapter }), expected)
  t.not(
    (await says(question, { adapter, raw: true })).promptTokens,
    expected.promptTokens,
    'canary: raw is another prompt',
  )
  t.not((await says({ instruction: question, input: 'x' }, { adapter })).promptTokens, expected.promptTokens)
  t.equal((await says({ instruction: question })).promptTokens, expected.promptTokens, 'a row without an adapter')
  const more = { instruction: question, id: 7, length: 12 }
  t.equal((await says(more)).promptTokens, expected.promptTokens, 'columns that no format knows')
  t.equal((await says(question, { format: 'alpaca' })).promptTokens, expected.promptTokens)
  t.equal((await says(question)).promptTokens, tokenizer.encode(question).length, 'the base model continues a text')
  const tokens: number[] = []
  for await (const id of model.generateTokens(question, { adapter, maxTokens, endTokens: [] })) tokens.push(id)
  t.equal(tokenizer.decode(tokens), expected.text)
})

t.test('messages, gsm8k, fields and template variables are remembered, too', async (t) => {
  const messages = [{ role: 'user', content: question }]
  const rendered = tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true })
  const chat = await taught('messages', [{ messages: [...messages, { role: 'assistant', content: '7' }] }])
  t.equal(chat.data.prompt(0).text, rendered)
  const expected = await says(chat.data.prompt(0), { adapter: chat.adapter })
  for (const prompt of [question, messages, { messages }, rendered]) {
    t.same(await says(prompt, { adapter: chat.adapter }), expected)
  }
  const image = [{ role: 'user', content: [{ type: 'text', text: question }, { type: 'image' }] }]
  await t.rejects(model.generate(image, { maxTokens }).result, {
    code: 'E_DATA',
    message:
      /messages\[0\]\.content\[1\]\.type: expected 'text', the one kind of part that is read, found the text "image"/,
  })
  const pairs = await taught('prompt-completion', [
    { prompt: messages, completion: [{ role: 'assistant', content: '7' }] },
  ])
  t.equal(pairs.adapter.promptFormat?.format, 'messages', 'turns as prompt and completion are a conversation')

  const asked = await taught('gsm8k', [{ q: question, answer: '7' }], { fields: { question: 'q' } })
  const gsm = await says(`Question: ${question}\nAnswer: `, { adapter: asked.adapter })
  for (const prompt of [question, { q: question }, { question }])
    t.same(await says(prompt, { adapter: asked.adapter }), gsm)
  const row = { messages: [...messages, { role: 'assistant', content: '7' }] }
  const kwargs = await taught('messages', [row], { chatTemplateKwargs: { style: 'dry' } })
  t.match(kwargs.adapter.promptFormat, { chatTemplateKwargs: { style: 'dry' } })
  const tokens = await taught('tokens', [{ input_ids: [5, 6, 7] }])
  t.equal(tokens.adapter.promptFormat, undefined)
})

t.test('the format lies beside the adapter and comes back', async (t) => {
  const { adapter } = await taught('gsm8k', [{ q: question, answer: '7' }], { fields: { question: 'q' } })
  const place = t.testdir()
  await adapter.save(place)
  const file = join(place, 'fedlora.json')
  t.same(JSON.parse(readFileSync(file, 'utf8')), {
    version: 1,
    prompt: { format: 'gsm8k', fields: { question: 'q' }, chatTemplateKwargs: {} },
  })
  using loaded = await model.loadAdapter(place)
  t.same(loaded.promptFormat, adapter.promptFormat)
  using copy = loaded.clone()
  t.same(copy.promptFormat, adapter.promptFormat)
  t.same(await says(question, { adapter: loaded }), await says(question, { adapter }))

  writeFileSync(file, '{"version":2}')
  await t.rejects(model.loadAdapter(place), { code: 'E_VERSION', message: /fedlora\.json.*version 2/ })
  writeFileSync(file, '{"version":1,"prompt":{"format":"alpacca"}}')
  await t.rejects(model.loadAdapter(place), { code: 'E_FORMAT', message: /fedlora\.json.*alpacca/ })
  using fresh = model.createAdapter({ rank: 2 })
  await fresh.save(place)
  t.notOk(existsSync(file), 'an adapter without a format leaves none of another behind')

  const run = t.testdir()
  const data = await loadDataset([{ instruction: 'a', output: 'b' }], { format: 'alpaca', tokenizer: model })
  await train(fresh, data, { maxSteps: 1, batchSize: 1, outputDir: join(run, 'run') })
  t.match(JSON.parse(readFileSync(join(run, 'run', 'adapter', 'fedlora.json'), 'utf8')), {
    prompt: { format: 'alpaca' },
  })
})

t.test('a federation remembers the format of its clients', async (t) => {
  const rows = [1, 2, 3, 4].map((i) => ({ instruction: `Say ${i}.`, output: String(i) }))
  const data = await loadDataset(rows, { format: 'alpaca', tokenizer: model })
  const clients = [data.subset([0, 1]), data.subset([2, 3])]
  const local = { steps: 1, batchSize: 1, learningRate: 1e-3 }
  const { adapter } = await simulate({ model, adapter: { rank: 2 }, clients, rounds: 1, local })
  t.match(adapter.promptFormat, { format: 'alpaca' })
  adapter.dispose()
})

t.test('a run says once which columns it does not read', async (t) => {
  using adapter = model.createAdapter({ rank: 2 })
  const rows = [1, 2, 3].map((id) => ({ text: 'a', id }))
  const data = await loadDataset(rows, { format: 'text', tokenizer: model })
  const warnings: string[] = []
  for await (const event of train(adapter, data, { epochs: 2, batchSize: 1 })) {
    if (event.type === 'warning') warnings.push(event.message)
  }
  t.match(warnings, [/text does not read: id \(3 rows\)/])
})

t.test('prompts that are none', async (t) => {
  const refused = (prompt: Prompt, code: string, message: RegExp, options = {}) =>
    t.rejects(model.generate(prompt, options).result, { code, message })
  await refused({ x: 1 }, 'E_ARGUMENT', /a row of x .*format: alpaca/)
  await refused({ instruction: 1 }, 'E_ARGUMENT', /a row of instruction/)
  await refused({ instruction: 1 }, 'E_DATA', /format alpaca, field instruction: expected a text/, { format: 'alpaca' })
  await refused({ question: 'a' }, 'E_DATA', /format alpaca, field instruction/, { format: 'alpaca' })
  await refused(question, 'E_ARGUMENT', /tokens has no prompt/, { format: 'tokens' })
  await refused({ inputIds: [] as number[], text: '' } as never, 'E_ARGUMENT', /at least one token/)
  await refused(7 as never, 'E_ARGUMENT', /at least one token/)
})
