import t from 'tap'
import { fitStatus, Output, type OutputStream } from '../../src/cli/output.js'
import { ProgressLine } from '../../src/cli/progress-line.js'
import { formatCount, formatSeconds, formatTable } from '../../src/cli/words.js'
import { formatBytes } from '../../src/errors/describe.js'

function capture(isTTY: boolean): OutputStream & { text: string } {
  return {
    text: '',
    isTTY,
    columns: 40,
    write(piece: string) {
      this.text += piece
      return true
    },
  }
}

function make(options: { json?: boolean; terminal?: boolean; environment?: NodeJS.ProcessEnv }) {
  const stdout = capture(options.terminal ?? false)
  const stderr = capture(options.terminal ?? false)
  const environment = options.environment ?? {}
  return { stdout, stderr, output: new Output({ json: options.json ?? false, stdout, stderr, environment }) }
}

t.test('text goes to stdout, and to stderr beside NDJSON', async (t) => {
  const plain = make({})
  plain.output.text('hello')
  plain.output.event({ type: 'result' })
  t.equal(plain.stdout.text, 'hello\n')
  const json = make({ json: true })
  json.output.text('hello')
  json.output.event({ type: 'result', loss: 1 })
  t.equal(json.stdout.text, '{"type":"result","loss":1}\n')
  t.equal(json.stderr.text, 'hello\n')
})

t.test('the progress line: on a terminal only, never in CI, plain under NO_COLOR', async (t) => {
  const shown = (options: Parameters<typeof make>[0]) => {
    const { output, stderr, stdout } = make(options)
    output.progress('step 1')
    t.equal(stdout.text, '')
    return stderr.text
  }
  t.match(shown({ terminal: true }), '\u001b[36mstep 1')
  t.match(shown({ terminal: true, json: true }), 'step 1')
  t.notMatch(shown({ terminal: true, environment: { NO_COLOR: '1' } }), '\u001b[36m')
  t.match(shown({ terminal: true, environment: { NO_COLOR: '1' } }), 'step 1')
  t.equal(shown({ terminal: true, environment: { CI: 'true' } }), '')
  t.equal(shown({ terminal: true, environment: { TERM: 'dumb' } }), '')
  t.equal(shown({ terminal: false }), '')
  const { output, stderr } = make({ terminal: true })
  output.progress('x'.repeat(100))
  t.notMatch(stderr.text, 'x'.repeat(40), 'cut to the width of the terminal')
  output.text('done')
  t.ok(stderr.text.endsWith('\r\u001b[K'), 'taken away before other text')
})

t.test('progress tells loss, speed and time left', async (t) => {
  const { output, stderr } = make({ terminal: true, environment: { NO_COLOR: '1' } })
  stderr.columns = 100
  const progress = new ProgressLine(output, 'step', 10)
  progress.update(5, 1.25, 12345)
  t.match(stderr.text, /step 5\/10 · loss 1\.2500 · 12\.3 k tokens\/s · \d+s left/)
})

t.test('a narrow terminal loses details first, and the time left last', async (t) => {
  const status = { label: 'step 12000/40000', left: 4530, details: ['loss 1.2500', '1.2 k tokens/s'] }
  t.equal(fitStatus(status), 'step 12000/40000 · loss 1.2500 · 1.2 k tokens/s · 1h15m left')
  t.equal(fitStatus(status, 50), 'step 12000/40000 · loss 1.2500 · 1h15m left')
  t.equal(fitStatus(status, 36), 'step 12000/40000 · 1h15m left')
  t.equal(fitStatus(status, 20), '1h15m left · step 12')
  for (let columns = 0; columns < 80; columns++) t.ok(fitStatus(status, columns).length <= columns)
  const { output, stderr } = make({ terminal: true, environment: { NO_COLOR: '1' } })
  stderr.columns = 0
  output.status(status)
  t.match(stderr.text, 'tokens/s', 'a terminal that does not know its width')
  output.endProgress()
})

/** Waits until the stream holds what is looked for. */
async function until(stream: { text: string }, wanted: RegExp): Promise<void> {
  while (!wanted.test(stream.text)) await new Promise((resolve) => setTimeout(resolve, 5))
}

t.test('where no terminal is, a line now and then, also while nothing new comes', async (t) => {
  const environment = { FEDLORA_PROGRESS_SECONDS: '0.01' }
  const { output, stdout, stderr } = make({ json: true, environment })
  output.phase('loading model')
  t.equal(stderr.text, '', 'not at once')
  await until(stderr, /(loading model · \d+s so far\n){2}/)
  output.measure({ phase: 'tokenizing', done: 1, total: 4, remaining: 90 })
  await until(stderr, /tokenising 25 % · \d+s so far · 1m30s left\n/)
  t.notMatch(stderr.text, '\r')
  output.endProgress()
  const told = stdout.text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
  t.match(told[0], { type: 'progress', phase: 'loading model', seconds: Number })
  t.match(told.at(-1), { type: 'progress', phase: 'tokenizing', done: 1, total: 4, left: 90 })
  const before = stderr.text
  await new Promise((resolve) => setTimeout(resolve, 30))
  t.equal(stderr.text, before, 'canary: nothing more after the end')
})

t.test('FEDLORA_PROGRESS_SECONDS=0 says nothing; nonsense is ten seconds', async (t) => {
  for (const seconds of ['0', 'soon', '-1']) {
    const { output, stderr } = make({ environment: { FEDLORA_PROGRESS_SECONDS: seconds } })
    output.phase('loading model')
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.equal(stderr.text, '', seconds)
    output.endProgress()
  }
})

t.test('numbers for people', async (t) => {
  t.equal(formatBytes(12), '12 B')
  t.equal(formatBytes(3 * 2 ** 20), '3.0 MiB')
  t.equal(formatCount(999), '999')
  t.equal(formatCount(1234567), '1.23 M')
  t.equal(formatSeconds(185), '3m05s')
  t.equal(
    formatTable([
      ['a', '1'],
      ['long', '200'],
    ]),
    'a       1\nlong  200',
  )
})
