/** Which template is taken, what it gets to see, and what it tells about itself. */
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { ChatTemplate, chatTemplateSource } from '../../src/data/tokenizer/chat-template.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'
import { strftime } from '../../src/template/clock.js'
import { Template } from '../../src/template/template.js'

const hi = [{ role: 'user', content: 'hi' }]
const tools = [{ name: 'f' }]

t.test('where templates are found: one, several by name, files before the configuration', async (t) => {
  t.equal(chatTemplateSource('file', 'configured'), 'file')
  t.equal(chatTemplateSource(null, 'configured'), 'configured')
  t.equal(chatTemplateSource(null, undefined), null)
  t.equal(chatTemplateSource(null, []), null)
  const named = chatTemplateSource(null, [
    { name: 'tool_use', template: 'tools' },
    { name: 'default', template: 'plain' },
  ])!
  t.equal(new ChatTemplate(named, {}).render(hi), 'plain')
  t.equal(new ChatTemplate(named, {}).render(hi, { tools }), 'tools')
  t.equal(new ChatTemplate(named, {}).render(hi, { variables: { tools } }), 'tools')
  t.equal(new ChatTemplate('one', {}).render(hi, { tools }), 'one')
  const without = chatTemplateSource(null, [{ name: 'rag', template: 'r' }])!
  t.throws(() => new ChatTemplate(without, {}).render(hi), {
    code: 'E_TOKENIZER',
    message: /named 'default', found rag/,
  })
  const files = chatTemplateSource(
    'file',
    [{ name: 'default', template: 'configured' }],
    new Map([['tool_use', 'more']]),
  )!
  t.equal(new ChatTemplate(files, {}).render(hi), 'file')
  t.equal(new ChatTemplate(files, {}).render(hi, { tools }), 'more')

  const folder = await mkdtemp(join(tmpdir(), 'fedlora-template-'))
  t.teardown(() => rm(folder, { recursive: true }))
  await cp(join('assets', 'gsm-3m'), folder, { recursive: true })
  await mkdir(join(folder, 'additional_chat_templates'))
  await writeFile(join(folder, 'additional_chat_templates', 'tool_use.jinja'), '{{ tools | tojson }}')
  const tokenizer = await loadTokenizer(folder)
  t.equal(tokenizer.applyChatTemplate(hi, { tools }), '[{"name": "f"}]')
  t.not(tokenizer.applyChatTemplate(hi), 'null')
})

t.test(
  'what a template sees: None where nothing is passed, special tokens, the messages as transformers prepares them',
  async (t) => {
    const template = new ChatTemplate(
      '{{ tools }} {{ documents }} {{ add_generation_prompt }} {{ bos_token }} {{ x }}',
      { bos_token: '<s>' },
    )
    t.equal(template.render(hi), 'None None False <s> ')
    t.equal(
      template.render(hi, { tools, documents: [], addGenerationPrompt: true, variables: { x: 1.5, bos_token: '<b>' } }),
      "[{'name': 'f'}] [] True <b> 1.5",
    )
    const messages = new ChatTemplate('{{ messages | tojson }}', {})
    t.equal(messages.render([{ role: 'assistant', content: null, tool_calls: null }]), '[{"role": "assistant"}]')
    t.equal(
      messages.render([{ role: 'assistant', content: 'a', thinking: 't' }]),
      '[{"thinking": "t", "role": "assistant", "content": "a", "reasoning_content": "t"}]',
    )
    const given = [{ role: 'user', content: null, deep: { none: null, gone: undefined } }]
    t.equal(messages.render(given), '[{"role": "user", "deep": {"none": null}}]')
    t.strictSame(
      given,
      [{ role: 'user', content: null, deep: { none: null, gone: undefined } }],
      'nothing passed is changed',
    )
  },
)

t.test('what cannot be passed', async (t) => {
  const template = new ChatTemplate('x', {})
  t.throws(() => template.render([]), { code: 'E_DATA', message: /one message or more/ })
  t.throws(() => template.render(['hi'] as never), { code: 'E_DATA', message: /messages\[0\]: expected an object/ })
  t.throws(() => template.render(hi, { tools: ['f'] as never }), {
    code: 'E_DATA',
    message: /tools\[0\]: expected an object/,
  })
  t.throws(() => template.render(hi, { tools: {} as never }), { code: 'E_DATA', message: /tools: expected a list/ })
  t.throws(() => template.render(hi, { documents: [[]] }), { code: 'E_DATA', message: /documents\[0\]/ })
  for (const name of ['messages', 'add_generation_prompt']) {
    t.throws(() => template.render(hi, { variables: { [name]: 1 } }), { code: 'E_DATA', message: new RegExp(name) })
  }
})

t.test('nothing is parsed before a conversation needs it, and then once', async (t) => {
  const broken = new ChatTemplate('{% for %}', {})
  t.equal(broken.usesClock, false)
  for (let i = 0; i < 2; ++i) t.throws(() => broken.render(hi), { code: 'E_TOKENIZER', message: /not understood/ })
  const half = new ChatTemplate(
    new Map([
      ['default', 'fine'],
      ['tool_use', '{% if %}'],
    ]),
    {},
  )
  t.equal(half.render(hi), 'fine')
  t.throws(() => half.render(hi, { tools }), { code: 'E_TOKENIZER' })
})

t.test('the clock: told, and as Python writes it', async (t) => {
  t.equal(new ChatTemplate("{{ strftime_now('%Y') }}", {}).usesClock, true)
  t.equal(new ChatTemplate('{{ 1 }}', {}).usesClock, false)
  t.equal(
    new ChatTemplate(
      new Map([
        ['default', 'x'],
        ['tool_use', '{{ strftime_now(f) }}'],
      ]),
      {},
    ).usesClock,
    true,
  )
  const dated = new ChatTemplate("{{ strftime_now('%d') }}", {})
  const [morning, evening, next] = [new Date(2024, 1, 9, 1), new Date(2024, 1, 9, 23), new Date(2024, 1, 10)]
  t.equal(dated.fingerprint(morning), dated.fingerprint(evening))
  t.not(dated.fingerprint(evening), dated.fingerprint(next))
  t.equal(new ChatTemplate('a', {}).fingerprint(morning), new ChatTemplate('a', {}).fingerprint(next))
  t.not(new ChatTemplate('a', {}).fingerprint(), new ChatTemplate('b', {}).fingerprint())
  // datetime(2024, 2, 9, 15, 4, 5, 678000).strftime(…) and datetime(2021, 1, 3, 0, 0)
  const one = new Date(2024, 1, 9, 15, 4, 5, 678)
  t.equal(
    strftime(
      one,
      '%a %A %b %B %d %e %f %H %I %j %m %M %p %S %U %w %W %y %Y %% %-d %-m %D %F %T %R %V %G %u %h %C %x %X|%z|%Z|',
    ),
    'Fri Friday Feb February 09  9 678000 15 03 040 02 04 PM 05 05 5 06 24 2024 % 9 2 02/09/24 2024-02-09 15:04:05 15:04 06 2024 5 Feb 20 02/09/24 15:04:05|||',
  )
  t.equal(strftime(new Date(2021, 0, 3), '%j %U %W %V %G %I %p %c'), '003 01 00 53 2020 12 AM Sun Jan  3 00:00:00 2021')
  const fixed = new Template("{{ strftime_now('%d %b %Y') }}", () => one)
  t.equal(fixed.render(new Map()).text, '09 Feb 2024')
})

t.test('what {% generation %} marks', async (t) => {
  const source =
    '{% for m in messages %}{{ m.role }}:{% if m.role == "assistant" %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %};{% endfor %}'
  const template = new ChatTemplate(source, {})
  t.equal(template.marksGeneration, true)
  const { text, spans } = template.renderWithSpans([
    ...hi,
    { role: 'assistant', content: '🦊 é' },
    ...hi,
    { role: 'assistant', content: '' },
  ])
  t.strictSame(
    spans.map(([begin, end]) => text.slice(begin, end)),
    ['🦊 é', ''],
  )
  t.equal(new ChatTemplate('{%- generation -%}x{%- endgeneration -%}', {}).marksGeneration, true)
  t.equal(new ChatTemplate('{{ generation }}', {}).marksGeneration, false)
})
