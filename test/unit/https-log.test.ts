/** What a server over HTTPS writes down of requests: the level of a line, its words, and what it tells of an error. */
import t from 'tap'
import { FedloraError } from '../../src/errors.js'
import { logAnswered, openLog } from '../../src/federated/https/operator/log.js'
import type { Answered } from '../../src/federated/https/server/carrier.js'

const answered: Answered = { route: 'run', status: 200, error: undefined, client: 'a', address: '::1', seconds: 0.0126 }

/** The line of a request, of a log that leaves nothing out. */
function lineOf(change: Partial<Answered>, level: 'debug' | 'info' = 'debug'): Record<string, unknown> | undefined {
  const lines: string[] = []
  logAnswered(openLog(level, 'r', { write: (line) => lines.push(line) }), { ...answered, ...change })
  return lines.length === 0 ? undefined : JSON.parse(lines.join(''))
}

t.test('a request that is answered is one quiet line', async (t) => {
  const { time, ...line } = lineOf({})!
  t.match(time, /^\d{4}-\d\d-\d\dT/)
  t.same(line, {
    ...{ level: 'debug', run: 'r', route: 'run', status: 200, client: 'a', address: '::1', milliseconds: 13 },
    msg: 'answered',
  })
  t.equal(lineOf({}, 'info'), undefined)
})

t.test('one that is refused is a warning, with code and words; what we could not do is an error', async (t) => {
  const error = new FedloraError('E_AUTH', 'who is this')
  for (const [status, level, msg] of [
    [401, 'warn', 'refused'],
    [499, 'warn', 'refused'],
    [500, 'error', 'failed'],
    [503, 'warn', 'refused'],
    [507, 'error', 'failed'],
    [0, 'warn', 'refused'],
  ] as const) {
    const line = lineOf({ status, error }, 'info')!
    t.match(line, { status, level, msg, code: 'E_AUTH', message: 'who is this' })
    t.notOk('stack' in line, 'what is foreseen needs no stack')
  }
  t.match(lineOf({ status: 500, error: new TypeError('oh') }), {
    ...{ level: 'error', code: 'E_INTERNAL', message: 'TypeError: oh' },
    stack: /https-log\.test/,
  })
  t.match(lineOf({ status: 500, error: null }), { code: 'E_INTERNAL', message: 'null' })
})
