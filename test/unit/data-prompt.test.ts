/** Prompts of a format: which texts are prompts already, what a plain text becomes, which rows are refused. */
import t from 'tap'
import { rowPrompt, textPrompt } from '../../src/data/prompt.js'
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer.js'
import type { FormatName } from '../../src/index.js'

/** Ids are character codes; 1 stands before a text that gets special tokens, 2 is the special token '#'. */
const tokenizer = {
  specialTokens: new Set([2]),
  specialPrefix: [1],
  specialSuffix: [],
  encode: (text: string, { addSpecialTokens }: { addSpecialTokens: boolean }) => [
    ...(addSpecialTokens ? [1] : []),
    ...[...text].map((letter) => (letter === '#' ? 2 : letter.charCodeAt(0))),
  ],
  applyChatTemplate: (messages: unknown, options: object) => JSON.stringify({ messages, ...options }),
} as unknown as Tokenizer

const of = (format: FormatName, fields = {}) => ({ format, fields, chatTemplateKwargs: {} })

t.test('a text is a prompt of its format when it begins and ends as one; else it is put into one', async (t) => {
  const texts = {
    gsm8k: ['Question: ', '\nAnswer: '],
    alpaca: ['Below is an instruction that describes a task', '### Response:\n'],
  } as const
  for (const [format, [begin, end]] of Object.entries(texts)) {
    const prompt = (text: string) => textPrompt(text, of(format as FormatName), tokenizer)?.text
    t.equal(prompt(`${begin}x${end}`), undefined, `${format}: as it is`)
    for (const part of [`${begin}x`, `x${end}`, 'x']) {
      const whole = prompt(part)
      t.ok(whole?.startsWith(begin) && whole.includes(part) && whole.endsWith(end), `${format}: ${part}`)
    }
  }
  for (const format of ['text', 'prompt-completion'] as const) t.equal(textPrompt('x', of(format), tokenizer), null)
  t.equal(textPrompt('a#', of('messages'), tokenizer), null, 'a rendered conversation')
  t.match(textPrompt('a', of('messages'), tokenizer)?.text, /"messages":\[{"role":"user","content":"a"}\]/)
})

t.test('a text gets the special tokens that stand before texts, a rendered conversation has its own', async (t) => {
  const first = (format: FormatName, row: object) => rowPrompt(row as never, of(format), tokenizer).inputIds[0]
  t.equal(first('text', { text: 'a' }), 1)
  t.equal(first('prompt-completion', { prompt: 'a' }), 1)
  t.equal(first('gsm8k', { question: 'a' }), 1)
  t.equal(first('messages', { messages: 'a' }), '{'.charCodeAt(0))
})

t.test('what stands beside a conversation goes with it, also where that is a plain text', async (t) => {
  const tools = [{ type: 'function', function: { name: 'add' } }]
  const { text } = rowPrompt({ messages: 'a', tools } as never, of('messages'), tokenizer)
  t.match(JSON.parse(text), { messages: [{ role: 'user', content: 'a' }], variables: { tools } })
  t.throws(() => rowPrompt({ prompt: 'a', tools } as never, of('prompt-completion'), tokenizer), {
    code: 'E_DATA',
    details: { field: 'tools' },
  })
})

t.test('a prompt of turns is a conversation, and is judged as one', async (t) => {
  const prompt = [{ role: 'user', content: 'a' }]
  const { text, inputIds } = rowPrompt({ prompt } as never, of('prompt-completion'), tokenizer)
  t.match(JSON.parse(text), { messages: prompt, addGenerationPrompt: true })
  t.equal(inputIds[0], '{'.charCodeAt(0))
  t.throws(() => rowPrompt({ prompt: [{ role: 'user' }] } as never, of('prompt-completion'), tokenizer), {
    code: 'E_DATA',
    details: { field: 'prompt[0].content' },
  })
})
