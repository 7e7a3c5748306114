/** What people and machines are told of a run that did not end, without a run. */
import { join } from 'node:path'
import t from 'tap'
import { figure, follow, type StoppedRun, tellClient, tellStopped } from '../../src/cli/follow.js'
import { Output } from '../../src/cli/output.js'
import { resumeCommand } from '../../src/cli/recipe.js'

/** An output that keeps what it is given. */
function recorder() {
  const told: unknown[] = []
  const output = {
    endProgress: () => told.push('end of progress'),
    note: (text: string) => told.push(text),
    event: (event: object) => told.push(event),
    status: (status: object) => told.push(status),
  }
  return { told, output: output as unknown as Output }
}

t.test('a run that did not end', async (t) => {
  const folder = t.testdir({ kept: { 'events.ndjson': '' }, bare: {} })
  const kept = join(folder, 'kept')
  const told = (given: Partial<StoppedRun>, failed: boolean) => {
    const { told, output } = recorder()
    const base = {
      command: 'train',
      unit: 'step',
      done: 3,
      folder: kept,
      sign: 'events.ndjson',
      place: 'kept: here',
    } as const
    tellStopped({ ...base, fields: { checkpoint: 'c' }, ...given }, failed, output)
    t.equal(told.shift(), 'end of progress')
    return told
  }
  const resume = resumeCommand('train', kept) // tested where it is made
  t.same(told({}, false), [
    { type: 'stopped', step: 3, checkpoint: 'c', adapter: `${kept}/adapter`, resume },
    'stopped after step 3 · kept: here',
    `go on with: ${resume}`,
  ])
  t.same(told({}, true), ['stopped after step 3 · kept: here', `go on when the cause is mended with: ${resume}`])
  t.same(told({ done: 0 }, true), [], 'a failure before anything was done')
  t.match(told({ done: 0 }, false)[1], /^stopped before a step was done · /)
  t.same(told({ folder: undefined }, false), ['stopped after step 3; no --output: nothing is kept'])
  t.same(told({ folder: join(folder, 'bare') }, true), ['stopped after step 3; nothing is kept'])
  const rounds = told({ command: 'simulate', unit: 'round', done: 2 }, false)
  t.match(rounds, [{ type: 'stopped', round: 2, resume: resumeCommand('simulate', kept) }])
})

t.test('a client that has done its part', async (t) => {
  const { told, output } = recorder()
  const client = { type: 'client', round: 2, client: 0, name: 'a', rows: 4, steps: 1, tokens: 9, bytesUp: 3 } as const
  tellClient(output, { ...client, loss: 1.23456, tokensPerSecond: 12_345 }, 5)
  tellClient(output, { ...client, loss: null, tokensPerSecond: 0 }, 5)
  const event = { phase: 'round', done: 2, total: 5 }
  t.same(told, [
    { label: 'round 2/5', details: ['a', 'loss 1.2346', '12.3 k tokens/s'], event },
    { label: 'round 2/5', details: ['a', 'loss –', '0 tokens/s'], event },
  ])
  t.same([figure(2, 1), figure(null, 3), figure(undefined, 3)], ['2.0', '–', '–'])
})

t.test('of a failure machines hear once: as the last line, when the command ends with it', async (t) => {
  const events = [
    { type: 'step', step: 1 },
    { type: 'error', code: 'E_NONFINITE' },
  ]
  const failure = new Error('it failed')
  const run = Object.assign(Promise.reject(failure), {
    async *[Symbol.asyncIterator]() {
      yield* events
    },
  })
  let text = ''
  const stdout = {
    write(piece: string) {
      text += piece
      return true
    },
  }
  const output = new Output({ json: true, stdout, stderr: { write: () => true }, environment: {} })
  const seen: object[] = []
  await t.rejects(
    follow(run as never, output, (event: object) => seen.push(event)),
    failure,
  )
  t.same(seen, events, 'whoever tells people sees it')
  t.equal(text, '{"type":"step","step":1}\n')
})
