/** Conversations: the variants in which files hold them, what is supervised, what reaches the template, and how often it is rendered. */
import { readFileSync } from 'node:fs'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { DatasetOptions } from '../../src/data/dataset-options.js'
import { formats, type Row } from '../../src/data/formats/formats.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import type { ChatMessage } from '../../src/data/tokenizer/chat-template.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer.js'
import { supervisedText } from '../support/supervised-text.js'

const folder = new URL('../../assets/gsm-3m', import.meta.url).pathname

/** The tokenizer of gsm-3m with a template of choice. */
async function withTemplate(template: string): Promise<Tokenizer> {
  const copy = await mkdtemp(join(tmpdir(), 'fedlora-conversations-'))
  t.teardown(() => rm(copy, { recursive: true, force: true }))
  await cp(folder, copy, { recursive: true, filter: (path) => !path.endsWith('.safetensors') })
  await writeFile(join(copy, 'chat_template.jinja'), template)
  return loadTokenizer(copy)
}

const open = '{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}'
const plain = await loadTokenizer(folder)
/** Shows tools, documents and a switch before the turns, and calls and reasoning within them. */
const rich = await withTemplate(
  '{% if tools %}{{ "TOOLS" + (tools | tojson) + "\n" }}{% endif %}{% if documents %}{{ "DOCS" ~ (documents | length) ~ "\n" }}{% endif %}' +
    '{% if style %}{{ "STYLE " + style + "\n" }}{% endif %}' +
    '{% for m in messages %}{{ "<|im_start|>" + m.role }}{% if m.name %}{{ " " + m.name }}{% endif %}{{ "\n" }}' +
    '{% if m.reasoning_content %}{{ "<think>" + m.reasoning_content + "</think>" }}{% endif %}' +
    '{% if m.content %}{{ m.content }}{% endif %}' +
    '{% for c in m.tool_calls or [] %}{{ "\nCALL " + c.function.name + "(" + (c.function.arguments | tojson) + ")" }}{% endfor %}<|im_end|>\n{% endfor %}' +
    open,
)

/** The rows' text with what is supervised in double angle brackets. */
async function marked(row: Row, by: Tokenizer = plain, options: Partial<DatasetOptions> = {}): Promise<string> {
  const data = await loadDataset([row], { format: 'messages', tokenizer: by, ...options })
  return supervisedText(data.sample(0), by)
}

const user = (content: ChatMessage['content']) => ({ role: 'user', content })
const assistant = (content: unknown, more = {}) => ({ role: 'assistant', content, ...more })
const said = (question: string, answer: string) =>
  `<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n⟪${answer}<|im_end|>⟫\n`

t.test('ShareGPT and its relatives are conversations', async (t) => {
  const expected = said('Hi', 'Yo')
  const variants: Row[] = [
    { messages: [user('Hi'), assistant('Yo')] },
    { conversations: [user('Hi'), assistant('Yo')] },
    { messages: [user([{ type: 'text', text: 'Hi' }]), assistant([{ type: 'text', text: 'Yo' }])] },
    {
      messages: [
        user([
          { type: 'text', text: 'H' },
          { type: 'text', text: 'i' },
        ]),
        assistant('Yo'),
      ],
    },
  ]
  for (const human of ['human', 'user']) {
    for (const gpt of ['gpt', 'chatgpt', 'bing', 'assistant']) {
      const conversations = [
        { from: human, value: 'Hi' },
        { from: gpt, value: 'Yo' },
      ]
      variants.push({ conversations }, { messages: conversations })
    }
  }
  variants.push({
    messages: [
      { role: 'human', content: 'Hi' },
      { role: 'gpt', content: 'Yo' },
    ],
  })
  variants.push({ messages: JSON.stringify([user('Hi'), assistant('Yo')]) })
  for (const row of variants) t.equal(await marked(row), expected, JSON.stringify(row))
  t.equal(
    await marked({
      system: 'Be brief.',
      conversations: [
        { from: 'human', value: 'Hi' },
        { from: 'gpt', value: 'Yo' },
      ],
    }),
    `<|im_start|>system\nBe brief.<|im_end|>\n${expected}`,
  )
})

t.test('a template that takes parts only gets every text as a part', async (t) => {
  // As SmolVLM's: a content without parts leaves nothing behind.
  const parts = await withTemplate(
    '{% for m in messages %}{{ "<|im_start|>" + m.role + "\n" }}' +
      '{% for part in m.content %}{% if part.type == "text" %}{{ part.text }}{% elif part.type == "image" %}{{ "<image>" }}{% endif %}{% endfor %}' +
      '<|im_end|>\n{% endfor %}' +
      open,
  )
  t.notMatch(parts.applyChatTemplate([user('Hi')]), 'Hi', 'canary: the template by itself')
  const expected = said('Hi', 'Yo')
  t.equal(await marked({ messages: [user('Hi'), assistant('Yo')] }, parts), expected)
  t.equal(await marked({ messages: [user([{ type: 'text', text: 'Hi' }]), assistant('Yo')] }, parts), expected)
  const data = await loadDataset([{ messages: [user('Hi'), assistant('Yo')] }], {
    format: 'messages',
    tokenizer: parts,
  })
  t.match(parts.decode(data.prompt({ messages: [user('Hi')] }).inputIds, { skipSpecialTokens: false }), 'user\nHi')
  t.equal(
    await marked({ messages: [user('0'), assistant('1')] }, rich),
    said('0', '1'),
    'a template for texts gets texts',
  )
})

t.test('ShareGPT: calls and what tools say', async (t) => {
  const row = {
    conversations: [
      { from: 'human', value: 'Sum?' },
      { from: 'function_call', value: '{"name": "add", "arguments": {"a": 1}}' },
      { from: 'observation', value: '3' },
      { from: 'gpt', value: 'Three' },
    ],
    tools: '[{"name": "add"}]',
  }
  t.equal(
    await marked(row, rich),
    'TOOLS[{"name": "add"}]\n<|im_start|>user\nSum?<|im_end|>\n<|im_start|>assistant\n⟪\nCALL add({"a": 1})<|im_end|>⟫\n' +
      '<|im_start|>tool\n3<|im_end|>\n<|im_start|>assistant\n⟪Three<|im_end|>⟫\n',
  )
})

t.test('null content beside tool calls; names, ids and reasoning go to the template', async (t) => {
  const tool_calls = [{ id: 'c1', type: 'function', function: { name: 'add', arguments: { a: 1 } } }]
  const turns = [
    user('Sum?'),
    { role: 'assistant', content: null, tool_calls },
    { role: 'tool', name: 'add', tool_call_id: 'c1', content: '3' },
    { role: 'assistant', content: 'Three', reasoning_content: 'easy' },
  ]
  const expected =
    '<|im_start|>user\nSum?<|im_end|>\n<|im_start|>assistant\n⟪\nCALL add({"a": 1})<|im_end|>⟫\n' +
    '<|im_start|>tool add\n3<|im_end|>\n<|im_start|>assistant\n⟪<think>easy</think>Three<|im_end|>⟫\n'
  t.equal(await marked({ messages: turns }, rich), expected)
  const { content: _, ...bare } = turns[1] as { content: null }
  t.equal(await marked({ messages: [turns[0], bare, ...turns.slice(2)] }, rich), expected, 'no content at all')
  const both = [user('Sum?'), { role: 'assistant', content: 'Well', tool_calls }]
  t.match(await marked({ messages: both }, rich), /⟪Well\nCALL add\(\{"a": 1\}\)<\|im_end\|>⟫\n$/)
})

t.test('tools, documents and chat_template_kwargs reach the template', async (t) => {
  const messages = [user('Hi'), assistant('Yo')]
  const tools = [{ type: 'function', function: { name: 'w' } }]
  t.equal(
    await marked({ messages, tools, documents: [{ title: 'x' }], chat_template_kwargs: { style: 'dry' } }, rich),
    `TOOLS[{"type": "function", "function": {"name": "w"}}]\nDOCS1\nSTYLE dry\n${said('Hi', 'Yo')}`,
  )
  t.equal(await marked({ messages }, rich, { chatTemplateKwargs: { style: 'wet' } }), `STYLE wet\n${said('Hi', 'Yo')}`)
  t.equal(
    await marked({ messages, chat_template_kwargs: { style: 'dry' } }, rich, { chatTemplateKwargs: { style: 'wet' } }),
    `STYLE dry\n${said('Hi', 'Yo')}`,
    'a row overrides the option',
  )
})

t.test('tools that the template makes no use of are counted and said', async (t) => {
  const rows = [1, 2, 3].map((i) => ({ messages: [user('Hi'), assistant('Yo')], tools: i < 3 ? [{ name: 'w' }] : [] }))
  const load = (by: Tokenizer) => loadDataset(rows, { format: 'messages', tokenizer: by })
  const deaf = await load(plain)
  t.same(deaf.counts.ignoredColumns, { tools: 2 })
  t.match(deaf.warnings, [/the chat template makes no use of: tools \(2 rows\)/])
  const heard = await load(rich)
  t.same(heard.counts.ignoredColumns, {})
  t.same(heard.warnings, [], 'canary')
})

t.test('weight 0 and train: false are not trained on; trainOn last', async (t) => {
  const turns = (more: object) => [user('a'), assistant('b', more), user('c'), assistant('d')]
  const expected = said('a', 'b').replace(/[⟪⟫]/g, '') + said('c', 'd')
  t.equal(await marked({ messages: turns({ weight: 0 }) }), expected)
  t.equal(await marked({ messages: turns({ train: false }) }), expected)
  t.equal(await marked({ messages: turns({}) }, plain, { trainOn: 'last' }), expected)
  const ended = { messages: [...turns({}).slice(0, 3), assistant('d', { weight: 0 })] }
  t.notMatch(await marked(ended, plain, { trainOn: 'last' }), '⟪', 'the last turn is not trained on: nothing is')
  t.equal(await marked({ messages: turns({ weight: 1, train: true }) }), said('a', 'b') + said('c', 'd'), 'canary')
})

t.test('prompt and completion as lists of turns', async (t) => {
  const options = { format: 'prompt-completion' } as const
  const row = { prompt: [user('a'), assistant('b'), user('c')], completion: [assistant('d')] }
  t.equal(await marked(row, plain, options), said('a', 'b').replace(/[⟪⟫]/g, '') + said('c', 'd'))
  t.equal(await marked({ ...row, tools: [{ name: 'w' }] }, rich, options).then((text) => text.slice(0, 5)), 'TOOLS')
  const refused = (row: Row, field: string) =>
    t.rejects(marked(row, plain, options), { code: 'E_DATA', details: { field } })
  await refused({ prompt: [user('a')], completion: 'b' }, 'completion')
  await refused({ prompt: 'a', completion: [assistant('b')] }, 'completion')
  await refused({ prompt: 'a', completion: 'b', tools: [] }, 'tools')
  const blank = formats['prompt-completion'].check({ prompt: [user('a')], completion: [assistant(' ')] })
  t.match(blank, { field: 'completion', empty: true })
})

t.test('what cannot be honoured is refused, by its place', async (t) => {
  const refused = (row: Row, field: string, message = /./) =>
    t.rejects(marked(row), { code: 'E_DATA', message, details: { field } })
  const image = { type: 'image_url', image_url: { url: 'x' } }
  await refused({ messages: [user([image])] }, 'messages[0].content[0].type', /image_url/)
  await refused({ messages: [user([{ type: 'text' }])] }, 'messages[0].content[0].text')
  await refused({ messages: [user('a'), assistant(null)] }, 'messages[1].content', /tool_calls/)
  await refused({ messages: [user(null)] }, 'messages[0].content')
  await refused({ messages: [user('a'), assistant('b', { weight: 0.5 })] }, 'messages[1].weight', /0 or 1/)
  await refused({ messages: [user('a'), assistant('b', { train: 'no' })] }, 'messages[1].train')
  await refused({ messages: [{ ...user('a'), train: true }, assistant('b')] }, 'messages[0].train', /user/)
  await refused({ messages: [user('a'), assistant('b')], tools: 'x' }, 'tools')
  await refused({ messages: [user('a'), assistant('b')], tools: [1] }, 'tools[0]')
  await refused({ messages: [user('a'), assistant('b')], documents: {} }, 'documents')
  await refused({ messages: [user('a'), assistant('b')], chat_template_kwargs: [] }, 'chat_template_kwargs')
  await refused({ conversations: [{ from: 'function_call', value: 'x' }] }, 'conversations[0].value')
  await refused({ messages: [{ role: 'system', content: 'a' }, assistant('b')], system: 'c' }, 'system')
  const row = { instruction: 'a', output: 'b' }
  await t.rejects(loadDataset([row], { format: 'alpaca', trainOn: 'last' }), { code: 'E_CONFIG', message: /trainOn/ })
})

t.test('a conversation of n turns is rendered O(n) times once for its shape, then once', async (t) => {
  const rows = Array.from({ length: 40 }, (_, i) => ({
    messages: Array.from({ length: 10 }, (_, k) => (k % 2 === 0 ? user(`${i} ${k}?`) : assistant(` ${i}.${k} `))),
  }))
  const counted = await loadTokenizer(folder)
  let renders = 0
  const render = counted.renderChat.bind(counted)
  counted.renderChat = (...given) => {
    ++renders
    return render(...given)
  }
  const data = await loadDataset(rows, { format: 'messages', tokenizer: counted })
  for (let i = 0; i < data.length; ++i) data.sample(i)
  t.ok(renders <= 40 + 2 * 10 + 1, `${renders} renderings of 40 rows`)
  const expected = rows[7]!.messages.map(({ content }) => content)
  const text = expected.map((content, k) => (k % 2 === 0 ? said(content as string, expected[k + 1] as string) : ''))
  t.equal(await marked(rows[7]!), text.join(''))
})

t.test('turns that a template treats by what they say are found one by one', async (t) => {
  const thinking = await withTemplate(
    '{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == "assistant" and not loop.last and "</think>" in m.content %}' +
      '{{ m.content.split("</think>")[1] }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}' +
      open,
  )
  const messages = [user('a'), assistant('<think>x</think>b'), user('c'), assistant('<think>y</think>d')]
  t.equal(await marked({ messages }, thinking), said('a', 'b') + said('c', '<think>y</think>d'))
})

t.test('turns of a template that marks nothing are those that its marked twin marks', async (t) => {
  const source = readFileSync(new URL('../golden/templates/reasoning-tools.jinja', import.meta.url), 'utf8')
  const begins = "{{- '<|im_start|>' + message.role + '\\n' }}\n        {%- if loop.index0 > last.question"
  const ends = "{{- '<|im_end|>\\n' }}\n    {%- elif message.role == 'tool' %}"
  t.ok(source.includes(begins) && source.includes(ends), 'the template is the one that the marks are made for')
  const twin = await withTemplate(
    source
      .replace(begins, begins.replace("'\\n' }}", "'\\n' }}{% generation %}"))
      .replace(ends, ends.replace("{{- '<|im_end|>\\n' }}", "{{- '<|im_end|>' }}{% endgeneration %}{{- '\\n' }}")),
  )
  const bare = await withTemplate(source)
  const call = (name: string, given: object) => ({ type: 'function', function: { name, arguments: given } })
  const tool = (content: string) => ({ role: 'tool', content })
  const tools = [{ type: 'function', function: { name: 'add', parameters: {} } }]
  const conversations = [
    [user('a'), assistant('b'), user('c'), assistant('d')],
    [user('a'), assistant('<think>\nx\n</think>\n\nb'), user('c'), assistant('<think>\ny\n</think>\n\nd')],
    [user('a'), assistant('b', { reasoning_content: 'x' }), user('c'), assistant('d', { reasoning_content: 'y' })],
    [user('a'), assistant('', { tool_calls: [call('add', { a: 1 })] }), tool('1'), tool('2'), assistant('d')],
    [user('a'), assistant(null, { tool_calls: [call('add', { a: 1 }), call('add', {})] }), tool('1'), assistant('d')],
    [
      user('a'),
      assistant('well', { tool_calls: [call('add', { a: 1 })], reasoning_content: 'x' }),
      tool('1'),
      assistant('\n  d', { reasoning_content: 'y' }),
      user('<result>'),
      assistant('e'),
    ],
    [assistant('first'), user('a'), assistant('b'), assistant('c'), user('d')],
  ]
  const seen = new Set<string>()
  for (const messages of conversations) {
    for (const row of [{ messages }, { messages, tools }]) {
      for (const trainOn of ['assistant', 'last'] as const) {
        const expected = await marked(row, twin, { trainOn })
        t.equal(await marked(row, bare, { trainOn }), expected, JSON.stringify(messages))
        seen.add(expected)
      }
    }
  }
  t.ok(seen.size > conversations.length, 'canary: the conversations differ')
})
