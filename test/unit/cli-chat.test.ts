/** `fedlora chat` as a process with its input piped: memory, commands, interruption, formats without a memory; the generate command's rows. */
import { spawn } from 'node:child_process'
import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'

const program = resolve('dist/cli/main.js')
const model = resolve('assets/gsm-3m')
const tokenizer = await loadTokenizer(model)

interface Ended {
  code: number | null
  signal: string | null
  events: Record<string, unknown>[]
  stderr: string
}

/** Runs `fedlora … --json`; `onEvent` sees each event and may write more, end the input, send a signal. */
async function fedlora(
  words: string[],
  input: string,
  onEvent?: (event: Record<string, unknown>, child: ReturnType<typeof spawn>) => void,
): Promise<Ended> {
  const child = spawn(process.execPath, [program, ...words, '--json'], { env: { ...process.env, NODE_OPTIONS: '' } })
  child.stdin.write(input)
  if (onEvent === undefined) child.stdin.end()
  const events: Record<string, unknown>[] = []
  let rest = ''
  child.stdout.on('data', (chunk: Buffer) => {
    const lines = (rest + chunk.toString()).split('\n')
    rest = lines.pop()!
    for (const line of lines) {
      events.push(JSON.parse(line))
      onEvent?.(events.at(-1)!, child)
    }
  })
  let stderr = ''
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString()
  })
  return await new Promise((done) => child.on('close', (code, signal) => done({ code, signal, events, stderr })))
}

interface Answer {
  text: string
  finishReason: string
  usage: { promptTokens: number; completionTokens: number }
}
const answers = ({ events }: Ended) => events.filter(({ type }) => type === 'answer') as unknown as Answer[]
const chat = ['chat', '--model', model, '--max-tokens', '8']
const user = (content: string) => ({ role: 'user', content })
const lengthOf = (turns: { role: string; content: string }[]) =>
  tokenizer.encode(tokenizer.applyChatTemplate(turns, { addGenerationPrompt: true }), { addSpecialTokens: false })
    .length

t.test('a chat remembers, and forgets when told', async (t) => {
  const ended = await fedlora([...chat, '--system', 'Be brief.'], 'One?\n\nTwo?\n/reset\n/nonsense\nThree?\n')
  t.equal(ended.code, 0, ended.stderr)
  const [one, two, three] = answers(ended) as [Answer, Answer, Answer]
  const system = { role: 'system', content: 'Be brief.' }
  t.equal(one.usage.promptTokens, lengthOf([system, user('One?')]))
  const remembered = [system, user('One?'), { role: 'assistant', content: one.text }, user('Two?')]
  t.equal(two.usage.promptTokens, lengthOf(remembered))
  t.equal(three.usage.promptTokens, lengthOf([system, user('Three?')]), 'canary: forgotten')
  t.match(ended.events.at(-1), { type: 'result', answers: 3 })
  t.match(ended.stderr, /unknown command \/nonsense/)
  const pieces = ended.events.filter(({ type }) => type === 'piece')
  t.equal(pieces.map(({ text }) => text).join(''), one.text + two.text + three.text, 'streamed in pieces')
  const left = await fedlora(chat, 'One?\n/exit\nTwo?\n')
  t.match(left.events.at(-1), { type: 'result', answers: 1 })
})

t.test('SIGINT stops an answer and no more; between answers it ends the chat', async (t) => {
  const endless = ['chat', '--model', model, '--max-tokens', '100000', '--temperature', '3', '--stop', 'never\nsaid']
  let pieces = 0
  const ended = await fedlora(endless, 'A story?\n', (event, child) => {
    if (event.type === 'piece' && ++pieces === 2) child.kill('SIGINT')
    if (event.type === 'answer') child.stdin!.end()
  })
  t.equal(ended.code, 0, ended.stderr)
  t.match(answers(ended), [{ finishReason: 'abort' }])
  const idle = await fedlora(chat, 'One?\n', (event, child) => event.type === 'answer' && child.kill('SIGINT'))
  t.equal(idle.code, 130)
})

t.test('without a template: a format whose messages stand alone, or a refusal with the cure', async (t) => {
  const bare = t.testdir()
  cpSync(model, bare, { recursive: true })
  rmSync(join(bare, 'chat_template.jinja'), { force: true })
  const words = ['chat', '--model', bare, '--max-tokens', '4']
  const refused = await fedlora(words, 'One?\n')
  t.equal(refused.code, 1)
  t.match(refused.stderr, /^E_TOKENIZER: .*no chat template.*--format alpaca/)
  const alone = await fedlora([...words, '--format', 'gsm8k'], 'One?\nTwo?\n')
  const expected = tokenizer.encode('Question: One?\nAnswer: ').length
  t.same(
    answers(alone).map(({ usage }) => usage.promptTokens),
    [expected, expected],
    'each stands alone',
  )
  t.match((await fedlora([...words, '--format', 'gsm8k', '--system', 'x'], '')).stderr, /no place/)

  const rows = join(bare, 'rows.jsonl')
  writeFileSync(rows, '{"instruction":"One?","output":"1"}\n{"instruction":"Two?","output":"2"}\n')
  writeFileSync(join(bare, 'train.json'), JSON.stringify({ adapter: { rank: 2 }, train: { maxSteps: 1 } }))
  const data = ['--data', rows, '--format', 'alpaca', '--config', join(bare, 'train.json')]
  const trained = await fedlora(['train', '--model', bare, ...data, '--output', join(bare, 'run')], '')
  t.equal(trained.code, 0, trained.stderr)
  const adapter = ['--adapter', join(bare, 'run', 'adapter')]
  const taught = await fedlora([...words, ...adapter], 'One?\n')
  const row = ['--row', '{"instruction":"One?"}']
  const generated = await fedlora(['generate', ...words.slice(1), ...adapter, ...row], '')
  t.match(generated.events.at(-1), { type: 'result', finishReason: 'length', usage: answers(taught)[0]!.usage })
  const asked = await fedlora(['generate', ...words.slice(1), ...adapter, '--prompt', 'One?'], '')
  t.same(asked.events.at(-1), generated.events.at(-1), 'the question alone')
  const raw = await fedlora(['generate', ...words.slice(1), ...adapter, '--prompt', 'One?', '--raw'], '')
  t.match(
    raw.events.at(-1),
    { usage: { promptTokens: tokenizer.encode('One?').length } },
    'canary: raw is the text alone',
  )
  const base = await fedlora(['generate', ...words.slice(1), ...row, '--format', 'alpaca'], '')
  t.match(base.events.at(-1), { usage: { promptTokens: answers(taught)[0]!.usage.promptTokens } })
  const neither = await fedlora(['generate', ...words.slice(1)], '')
  t.equal(neither.code, 2)
  t.match(neither.stderr, /either --prompt TEXT or --row JSON/)
  t.match(await fedlora(['generate', ...words.slice(1), '--row', '[1]'], ''), { code: 2, stderr: /--row: got \[1\]/ })
})
