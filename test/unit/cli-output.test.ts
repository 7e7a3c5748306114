import t from 'tap'
import {
  formatBytes,
  formatCount,
  formatSeconds,
  formatTable,
  Output,
  type OutputStream,
  ProgressLine,
} from '../../src/cli/output.js'

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
