/** A client's loop against a server by script: nothing is lost or sent otherwise the second time, wherever it dies. */
import { existsSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type ErrorCode, FedloraError } from '../../src/errors.js'
import { wordSchema } from '../../src/federated/link/messages.js'
import { systemTime } from '../../src/federated/link/retry.js'
import { always } from '../../src/federated/participant/eligibility.js'
import type { ParticipantEvent, ParticipantResult } from '../../src/federated/participant/events.js'
import { ClientFolder } from '../../src/federated/participant/folder.js'
import { Participant } from '../../src/federated/participant/participant.js'
import type { ParticipantParts } from '../../src/federated/participant/parts.js'
import { decodeVector } from '../../src/federated/vector-message.js'
import { Run } from '../../src/run/run.js'
import { temporaryFolder } from '../support/train.js'
import { Crashing } from './support/crash.js'
import { fakeWorkshop, kept } from './support/fake-workshop.js'
import { type Script, ScriptedServer } from './support/scripted-server.js'

const root = temporaryFolder('participant')
t.teardown(() => rmSync(root, { recursive: true }))

type Parts = Partial<ParticipantParts>

/** Takes part once, until the end or until it fails. */
async function takePart(folder: string, server: ScriptedServer, parts: Parts = {}) {
  const events: ParticipantEvent[] = []
  const opened = await ClientFolder.open(folder)
  try {
    const run = new Run<ParticipantEvent, ParticipantResult>((context) =>
      new Participant(
        {
          link: server.link(),
          folder: opened,
          workshop: fakeWorkshop(),
          eligibility: always,
          time: systemTime,
          random: () => 0,
          ...parts,
        },
        { ...context, emit: (event) => events.push(event), signal: context.signal },
      ).run(),
    )
    return { result: await run, events }
  } finally {
    opened.close()
  }
}

/** A dead process holds no lock. */
function unlock(folder: string): void {
  const names = existsSync(folder) ? readdirSync(folder) : []
  for (const name of names) if (name.startsWith('lock.')) rmSync(join(folder, name))
}

/** What a federation came to, for server and client. */
async function outcomeOf(folder: string, server: ScriptedServer) {
  const { own, settled, counted, over } = await ClientFolder.open(folder).then((opened) => {
    opened.close()
    return opened
  })
  return {
    answers: [...server.answers].map(([round, { manifest, bytes }]) => [
      round,
      { ...manifest, run: '' },
      Buffer.from(bytes).toString('hex'),
    ]),
    kept: [...((await own.read('a', kept)) ?? [])],
    ...{ settled, counted, over, faults: server.faults },
    left: readdirSync(join(folder, 'outbox')),
    files: readdirSync(join(folder, 'own')).length,
  }
}

const script: Script = { rounds: 3, lost: [2] }

t.test('which failures of the work are of the round, and which end the client', async (t) => {
  let folders = 0
  const failing = async (code: ErrorCode, message = 'so it went') => {
    const server = new ScriptedServer({ rounds: 2 })
    const { work } = fakeWorkshop()
    const workshop = fakeWorkshop({
      work: async (task, ...rest) => {
        if (task.round === 1) throw new FedloraError(code, message)
        return await work(task, ...rest)
      },
    })
    const error = await takePart(join(root, `failing-${folders++}`), server, { workshop }).then(
      () => undefined,
      (error: FedloraError) => error.code,
    )
    return { error, rounds: [...server.answers.keys()], refusals: server.refusals }
  }
  const ofTheRound = [
    ...(['E_NONFINITE', 'E_MEMORY', 'E_CONFIG', 'E_ARGUMENT', 'E_SHAPE', 'E_FORMAT'] as const),
    ...(['E_CHECKSUM', 'E_VERSION', 'E_UNSUPPORTED', 'E_PROTOCOL', 'E_TOO_LARGE', 'E_BLOB_MISSING'] as const),
  ]
  for (const code of ofTheRound) {
    t.match(
      await failing(code),
      { error: undefined, rounds: [2], refusals: [{ type: 'failed', round: 1, code, why: /told on the client's/ }] },
      code,
    )
  }
  for (const code of ['E_DISK_FULL', 'E_IO', 'E_INTERNAL'] as const)
    t.same(await failing(code), { error: code, rounds: [], refusals: [] }, code)
  // A limit is told in its own words, in as many of them as a word of the protocol takes.
  const { refusals } = await failing('E_LIMIT', 'x'.repeat(5000))
  t.match(refusals, [{ type: 'declined', code: 'E_LIMIT', why: /^x{4096}$/ }])
  t.same(wordSchema.parse(refusals[0]), refusals[0])
  t.throws(() => wordSchema.parse({ ...refusals[0], why: 'x'.repeat(4097) }))
})

t.test('rounds to the end: the answers of those that counted build on one another', async (t) => {
  const folder = join(root, 'plain')
  const server = new ScriptedServer(script)
  const { result, events } = await takePart(folder, server)
  t.match(result, { run: server.run, rounds: 3, counted: 2 })
  t.same(
    events.map(({ type }) => type).filter((type) => type !== 'waiting'),
    ['joined', ...Array.from({ length: 3 }, () => ['work', 'step', 'sent', 'outcome']).flat(), 'over'],
  )
  const { bytes, manifest } = server.answers.get(3)!
  // [3] + ½([1]): round 2 never was.
  t.same([...decodeVector(bytes.subarray(0, manifest.vectors.adapter))], [3.5, 1.75, -3.5, 1.5])
  t.same(manifest.vectors, { adapter: manifest.vectors.adapter, extra: bytes.length - manifest.vectors.adapter! })
  t.same(server.faults, [])
})

t.test('killed at every change of a file and before and after every call: the same federation', async (t) => {
  const undisturbed = new ScriptedServer(script)
  const counter = new Crashing(Number.POSITIVE_INFINITY)
  const plain = join(root, 'undisturbed')
  await counter.during(() => takePart(plain, undisturbed, { link: undisturbed.link((name) => counter.point(name)) }))
  const expected = await outcomeOf(plain, undisturbed)
  const points = counter.points.length
  t.ok(points > 100, `${points} points`)
  for (let at = 1; at <= points; at++) {
    const folder = join(root, `killed-${at}`)
    const server = new ScriptedServer(script)
    const crashing = new Crashing(at)
    const link = server.link((name) => crashing.point(name))
    const death = await crashing.during(() => takePart(folder, server, { link }).then(() => undefined, String))
    unlock(folder)
    const { result, outcome } = await new Crashing(Number.POSITIVE_INFINITY).during(async () => ({
      ...(await takePart(folder, server)),
      outcome: await outcomeOf(folder, server),
    }))
    if (JSON.stringify(outcome) === JSON.stringify(expected) && crashing.dead) continue
    t.same({ outcome, result, death }, { outcome: expected }, `killed at ${at}: ${crashing.points.at(-1)}`)
    break
  }
})
