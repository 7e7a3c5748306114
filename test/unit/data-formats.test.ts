/** Every format: its text, what of it is supervised, which rows it refuses. */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { formatNames, formats, type Row } from '../../src/data/formats/formats.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer.js'
import { encodeSegments } from '../../src/data/tokens/encode-row.js'

const folder = new URL('../../assets/gsm-3m', import.meta.url).pathname
const tokenizer = await loadTokenizer(folder)

/** The tokenizer with files of its folder replaced. */
async function variant(files: Record<string, string>): Promise<Tokenizer> {
  const copy = await mkdtemp(join(tmpdir(), 'fedlora-formats-'))
  t.teardown(() => rm(copy, { recursive: true, force: true }))
  await cp(folder, copy, { recursive: true, filter: (path) => !path.endsWith('.safetensors') })
  for (const [name, text] of Object.entries(files)) await writeFile(join(copy, name), text)
  return loadTokenizer(copy)
}

/** A tokenizer that puts <|endoftext|> before every text, as Llama's puts its BOS. */
const withBos = async () => {
  const json = JSON.parse(await readFile(join(folder, 'tokenizer.json'), 'utf8'))
  json.post_processor = {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: { id: '<|endoftext|>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
    pair: [],
    special_tokens: { '<|endoftext|>': { id: '<|endoftext|>', ids: [0], tokens: ['<|endoftext|>'] } },
  }
  return variant({ 'tokenizer.json': JSON.stringify(json) })
}

/** The row's text with its supervised stretches in double angle brackets. */
function marked(name: keyof typeof formats, row: Row, by: Tokenizer = tokenizer): string {
  const { inputIds, labels } = encodeSegments(formats[name].segments(row, by), by)
  let text = ''
  for (let from = 0; from < inputIds.length; ) {
    const supervised = labels[from] !== -100
    let to = from
    while (to < inputIds.length && (labels[to] !== -100) === supervised) ++to
    if (supervised && !labels.subarray(from, to).every((label, i) => label === inputIds[from + i]))
      return 'labels are not the ids'
    const piece = by.decode(inputIds.subarray(from, to))
    text += supervised ? `⟪${piece}⟫` : piece
    from = to
  }
  return text
}

const task = 'Below is an instruction that describes a task'
const complete = 'Write a response that appropriately completes the request.'
const frame = `${task}. ${complete}`
const frameWithInput = `${task}, paired with an input that provides further context. ${complete}`

t.test('alpaca, with and without input', async (t) => {
  const plain = `${frame}\n\n### Instruction:\nAdd 1 and 2.\n\n### Response:\n⟪3<|im_end|>⟫`
  t.equal(marked('alpaca', { instruction: 'Add 1 and 2.', output: '3' }), plain)
  t.equal(marked('alpaca', { instruction: 'Add 1 and 2.', input: '', output: '3' }), plain)
  t.equal(marked('alpaca', { instruction: 'Add 1 and 2.', input: null, output: '3' }), plain)
  const full = `${frameWithInput}\n\n### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n### Response:\n⟪3<|im_end|>⟫`
  t.equal(marked('alpaca', { instruction: 'Add.', input: '1 and 2', output: '3' }), full)
  t.equal(marked('code-alpaca', { instruction: 'Add.', input: '1 and 2', output: '3' }), full)
  t.equal(marked('dolly', { instruction: 'Add.', context: '1 and 2', response: '3', category: 'qa' }), full)
  t.not(
    marked('alpaca', { instruction: 'Add.', input: '1 and 2', output: '4' }),
    full,
    'canary: another output, another row',
  )
})

t.test('prompt-completion and text: as they are', async (t) => {
  t.equal(marked('prompt-completion', { prompt: 'a b', completion: ' c' }), 'a b⟪ c<|im_end|>⟫')
  t.equal(marked('prompt-completion', { prompt: '', completion: '' }), '⟪<|im_end|>⟫')
  t.equal(marked('text', { text: 'hello' }), '⟪hello<|im_end|>⟫')
})

t.test('the prompt gets the special tokens that the tokenizer adds', async (t) => {
  const bos = await withBos()
  t.equal(marked('prompt-completion', { prompt: 'a', completion: 'b' }, bos), '<|endoftext|>a⟪b<|im_end|>⟫')
  t.equal(marked('text', { text: 'a' }, bos), '<|endoftext|>⟪a<|im_end|>⟫')
  t.match(marked('alpaca', { instruction: 'a', output: 'b' }, bos), /^<\|endoftext\|>Below/)
  t.equal(marked('gsm8k', { question: 'a', answer: 'b' }, bos), '<|endoftext|>Question: a\nAnswer: ⟪b<|im_end|>⟫')
  t.match(marked('messages', { messages: [{ role: 'assistant', content: 'b' }] }, bos), /^<\|im_start\|>assistant/)
})

t.test('gsm8k: question and answer tokenised each on its own', async (t) => {
  const { inputIds } = encodeSegments(formats.gsm8k.segments({ question: 'q?', answer: '5' }, tokenizer), tokenizer)
  const encode = (text: string) => tokenizer.encode(text, { addSpecialTokens: false })
  t.same([...inputIds], [...encode('Question: q?\nAnswer: '), ...encode('5'), 2])
})

t.test('tokens: ids and labels as given', async (t) => {
  const ids = encodeSegments(formats.tokens.segments({ input_ids: [5, 6, 7] }, tokenizer), tokenizer)
  t.same([...ids.inputIds], [5, 6, 7])
  t.same([...ids.labels], [5, 6, 7])
  const row = { input_ids: Int32Array.of(5, 6), labels: [-100, 9] }
  t.equal(formats.tokens.check(row), null)
  const labelled = encodeSegments(formats.tokens.segments(row, tokenizer), tokenizer)
  t.same([...labelled.labels], [-100, 9])
})

const turns = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'Hi\nthere' },
  { role: 'assistant', content: ' Hello ' },
  { role: 'user', content: 'Bye' },
  { role: 'assistant', content: 'Bye!' },
]

t.test('messages: only what the assistant says, up to the end of its turn', async (t) => {
  t.equal(
    marked('messages', { messages: turns }),
    '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi\nthere<|im_end|>\n<|im_start|>assistant\n⟪ Hello <|im_end|>⟫\n' +
      '<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n⟪Bye!<|im_end|>⟫\n',
  )
  t.equal(marked('messages', { messages: turns.slice(0, 2) }).includes('⟪'), false)
  t.equal(
    marked('messages', {
      conversations: [
        { from: 'human', value: 'Hi' },
        { from: 'gpt', value: 'Yo' },
      ],
    }),
    '<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n⟪Yo<|im_end|>⟫\n',
  )
})

t.test('messages: the ids joined are the ids of the rendered conversation', async (t) => {
  const { inputIds } = encodeSegments(formats.messages.segments({ messages: turns }, tokenizer), tokenizer)
  t.same([...inputIds], tokenizer.encode(tokenizer.applyChatTemplate(turns), { addSpecialTokens: false }))
})

t.test('messages: templates without the prefix property', async (t) => {
  // The last turn of the assistant opens with a reasoning block that earlier turns lose.
  const thinking = await variant({
    'chat_template.jinja':
      "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}<think></think>{% endif %}" +
      '{{ m.content | trim }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}',
  })
  t.equal(
    marked('messages', { messages: turns.slice(1) }, thinking),
    '<|im_start|>user\nHi\nthere<|im_end|>\n<|im_start|>assistant\n⟪Hello<|im_end|>⟫\n' +
      '<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n⟪<think></think>Bye!<|im_end|>⟫\n',
  )
  // The generation prompt opens a block that the rendered turn does not have.
  const opening = await variant({
    'chat_template.jinja':
      '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}' +
      '{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}',
  })
  t.equal(marked('messages', { messages: turns }, opening), marked('messages', { messages: turns }))
  // Nothing marks the end of a turn: the last one gets the end token. The token ' Bye' begins in the prompt and is supervised whole.
  const open = await variant({
    'chat_template.jinja':
      '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}',
  })
  t.match(marked('messages', { messages: turns }, open), /assistant:⟪ Bye!\n<\|im_end\|>⟫$/)
})

t.test('messages: an end token behind a turn is the turn’s, also where its template shows no last one', async (t) => {
  const counting = await variant({
    'chat_template.jinja':
      "{{ messages | length }}{% for m in messages %}{% if not loop.last or m.role == 'user' %}<|im_start|>{{ m.role }}\n" +
      '{{ m.content }} <|im_end|>\n{% endif %}{% endfor %}',
  })
  const said = [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Yo' },
    { role: 'user', content: 'Bye' },
  ]
  t.equal(
    marked('messages', { messages: said }, counting),
    '3<|im_start|>user\nHi <|im_end|>\n<|im_start|>assistant\n⟪Yo <|im_end|>⟫\n<|im_start|>user\nBye <|im_end|>\n',
  )
  const bare = await variant({
    'chat_template.jinja':
      "{{ messages | length }}{% for m in messages %}{% if not loop.last or m.role == 'user' %}|{{ m.role }}|" +
      '{{ m.content }}|{% endif %}{% endfor %}',
  })
  t.equal(marked('messages', { messages: said }, bare), '3|user|Hi||assistant|⟪Yo⟫||user|Bye|')
})

t.test('messages: a template that hides the turn, or refuses it, is an error', async (t) => {
  const hiding = await variant({ 'chat_template.jinja': '{{ messages | length }}' })
  t.throws(() => formats.messages.segments({ messages: turns }, hiding), { code: 'E_DATA' })
  const strict = await variant({
    'chat_template.jinja':
      "{% if messages[0].role != 'user' %}{{ raise_exception('user first') }}{% endif %}{{ messages[0].content }}",
  })
  t.throws(() => formats.messages.segments({ messages: turns }, strict), { code: 'E_DATA', message: /user first/ })
})

t.test('rows that do not fit are refused, with the field', async (t) => {
  const problem = (name: keyof typeof formats, row: Row) => formats[name].check(row)
  t.match(problem('alpaca', { instruction: 'a' }), { field: 'output', expected: 'a text', found: 'nothing' })
  t.match(problem('alpaca', { instruction: 'a', output: 'b', input: 3 }), { field: 'input', found: 'the number 3' })
  t.match(problem('dolly', { instruction: 'a', context: 'b' }), { field: 'response' })
  t.match(problem('gsm8k', { question: 'a', answer: null }), { field: 'answer', found: 'null' })
  t.match(problem('text', { text: ['x'] }), { field: 'text', found: 'an array of 1' })
  t.match(problem('tokens', { input_ids: [1, 2.5] }), { field: 'input_ids[1]', found: 'the number 2.5' })
  t.match(problem('tokens', { input_ids: [-100] }), { field: 'input_ids[0]' })
  t.match(problem('tokens', { input_ids: [] }), { field: 'input_ids' })
  t.match(problem('tokens', { input_ids: 'x' }), { field: 'input_ids' })
  t.match(problem('tokens', { input_ids: [1, 2], labels: [1] }), { field: 'labels' })
  t.match(problem('tokens', { input_ids: [1], labels: [-1] }), { field: 'labels[0]' })
  t.match(problem('messages', {}), { field: 'messages', found: 'nothing' })
  t.match(problem('messages', { messages: [] }), { field: 'messages' })
  t.match(problem('messages', { messages: [7] }), { field: 'messages[0]' })
  t.match(problem('messages', { messages: [{ role: 'user' }] }), { field: 'messages[0].content' })
  t.match(problem('messages', { conversations: [{ from: 'martian', value: 'x' }] }), { field: 'conversations[0].from' })
  t.equal(problem('messages', { messages: turns }), null, 'canary: a good row passes')
})

t.test('without an end token nothing can be trained to end', async (t) => {
  const endless = await variant({
    'tokenizer_config.json': '{}',
    'generation_config.json': '{}',
    'config.json': '{}',
  })
  t.equal(endless.eosToken, undefined)
  t.throws(() => marked('text', { text: 'a' }, endless), { code: 'E_TOKENIZER', message: /eos_token/ })
})

t.test('the list of names is the list of the documentation', async (t) => {
  t.same(formatNames, ['alpaca', 'dolly', 'gsm8k', 'code-alpaca', 'messages', 'prompt-completion', 'text', 'tokens'])
})

t.test('contents of turns: what a tool says may be anything, what others say is text or parts', (t) => {
  const problem = (...said: object[]) =>
    formats.messages.check({ messages: [...said, { role: 'assistant', content: 'b' }] })
  t.equal(problem({ role: 'tool', content: { sum: 3 } }), null)
  t.match(problem({ role: 'user', content: { sum: 3 } }), {
    field: 'messages[0].content',
    expected: 'a text, or a list of parts',
  })
  t.match(problem({ role: 'assistant', content: 7 }), { field: 'messages[0].content', expected: /or tool_calls/ })
  t.match(formats.messages.check({ messages: turns, system: 3 }), { field: 'system', expected: 'a text, or nothing' })
  t.end()
})

t.test(
  'messages: of a turn that its template marks in several pieces, all are supervised; of others none',
  async (t) => {
    const pieces = await variant({
      'chat_template.jinja':
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}Well{% endgeneration %}" +
        '|er|{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}' +
        '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}',
    })
    const supervised = (trainOn: 'assistant' | 'last') => {
      const options = { trainOn, chatTemplateKwargs: {} }
      const { inputIds, labels } = encodeSegments(
        formats.messages.segments({ messages: turns }, pieces, options),
        pieces,
      )
      return pieces
        .decode(inputIds.filter((_, i) => labels[i] !== -100))
        .replaceAll('<|im_end|>', '')
        .trim()
    }
    t.equal(supervised('assistant'), 'Well Hello WellBye!')
    t.equal(supervised('last'), 'WellBye!')
  },
)
