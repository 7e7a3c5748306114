/**
 * What every link between a federation's server and its clients must do, whatever carries it: one suite, run over all of them. Clients drift
 * instead of training, so that a federation takes milliseconds.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { MemoryBlobs } from '../../../src/federated/blobs/memory.js'
import { Coordinator, type CoordinatorParts } from '../../../src/federated/coordinator/coordinator.js'
import type { CoordinatorEvent } from '../../../src/federated/coordinator/events.js'
import type { CoordinatorOptions } from '../../../src/federated/coordinator/options.js'
import type { Record as Entry } from '../../../src/federated/coordinator/records.js'
import type { Journal } from '../../../src/federated/journal/journal.js'
import { MemoryJournal } from '../../../src/federated/journal/memory.js'
import type { ClientLink, Door, Registry } from '../../../src/federated/link/link.js'
import type { Known, Manifest, Notice } from '../../../src/federated/link/messages.js'
import { encodeVector } from '../../../src/federated/vector-message.js'
import { FedloraError } from '../../../src/index.js'
import { goldenFolder } from '../../support/golden-model.js'
import { temporaryFolder } from '../../support/train.js'
import { timeless } from './federation.js'
import { drifts, SmallParticipant } from './small-participant.js'

/** A way from clients to a server. */
export interface Carrier {
  readonly name: string
  /** How many of the points at which a server may die are tried: one of so many. */
  readonly deaths: number
  /** @param server - the server as it is now: it may be opened anew between two calls. */
  open(server: () => Coordinator): Promise<Carried>
}

export interface Carried {
  /** The link of a client, which joins with a token. */
  join(name: string): Promise<ClientLink>
  close(): Promise<void>
}

/** The server as it is at every call. */
export const ofNow = (server: () => Coordinator): Door & Registry => ({
  describe: async () => await server().describe(),
  next: async (...parts) => await server().next(...parts),
  say: async (...parts) => await server().say(...parts),
  read: async (...parts) => await server().read(...parts),
  offset: async (...parts) => await server().offset(...parts),
  write: async (...parts) => await server().write(...parts),
  enroll: async (...parts) => await server().enroll(...parts),
  admit: async (...parts) => await server().admit(...parts),
  clientOf: (key) => server().clientOf(key),
  invite: async (...parts) => await server().invite(...parts),
  revoke: async (...parts) => await server().revoke(...parts),
})

export const options = (variation: Partial<CoordinatorOptions> = {}): CoordinatorOptions => ({
  model: { path: goldenFolder('llama') },
  adapter: { rank: 2, alpha: 4, targetModules: ['q_proj', 'v_proj'], seed: 2 },
  data: { format: 'tokens' },
  clients: { minimum: 4 },
  federation: { rounds: 3, cohort: 3, seed: 11, local: { steps: 2 }, serverOptimizer: 'momentum' },
  ...variation,
})

/** When a server dies: before or after its n-th append is durable; undefined: not then. */
export type Dies = (append: number, records: readonly Entry[]) => 'before' | 'after' | undefined

/** A journal whose server dies. */
class DyingJournal implements Journal<Entry> {
  readonly #inner: Journal<Entry>
  readonly #dies: (records: readonly Entry[]) => ReturnType<Dies>
  readonly #onDeath: () => void
  dead = false

  constructor(inner: Journal<Entry>, dies: (records: readonly Entry[]) => ReturnType<Dies>, onDeath: () => void) {
    this.#inner = inner
    this.#dies = dies
    this.#onDeath = onDeath
  }

  read() {
    return this.#inner.read()
  }

  async append(records: readonly Entry[], after: number): Promise<number> {
    if (this.dead) throw death()
    const when = this.#dies(records)
    const sequence = when === 'before' ? 0 : await this.#inner.append(records, after)
    if (when === undefined) return sequence
    this.dead = true
    setImmediate(this.#onDeath)
    throw death()
  }

  async close(): Promise<void> {}
}

const death = () => new FedloraError('E_UNREACHABLE', 'the server is gone')

/** A federation whose server may die; another is then opened on the same journal and blobs. */
export class Mortal {
  readonly blobs = new MemoryBlobs()
  readonly events: CoordinatorEvent[] = []
  readonly folder = temporaryFolder('mortal')
  readonly #memory = new MemoryJournal<Entry>()
  #config: CoordinatorOptions
  readonly #dies: Dies
  readonly #parts: Partial<CoordinatorParts>
  #opening: Promise<unknown> = Promise.resolve()
  /** Told of every server that is opened after the first. */
  onOpen: (coordinator: Coordinator) => void = () => {}
  #journal!: DyingJournal
  #coordinator!: Coordinator
  appends = 0
  restarts = 0

  constructor(config = options(), dies: Dies = () => undefined, parts: Partial<CoordinatorParts> = {}) {
    this.#config = config
    this.#dies = dies
    this.#parts = parts
  }

  /** Options of the servers after this one. */
  change(config: CoordinatorOptions): void {
    this.#config = config
  }

  async open(): Promise<this> {
    const journal = new DyingJournal(
      this.#memory,
      (records) => this.#dies(++this.appends, records),
      () => {
        this.#opening = this.reopen()
      },
    )
    this.#journal = journal
    const { blobs, folder } = this
    this.#coordinator = await Coordinator.open({ folder, journal, blobs, config: this.#config, ...this.#parts })
    this.#coordinator.onEvent((event) => this.events.push(event))
    return this
  }

  async records(): Promise<Entry[]> {
    const all: Entry[] = []
    for await (const { record } of this.#memory.read()) all.push(record)
    return all
  }

  /** The server as it is now. @throws FedloraError `E_UNREACHABLE` while it is dead. */
  server = (): Coordinator => {
    if (this.#journal.dead) throw death()
    return this.#coordinator
  }

  /** The server, once it lives. */
  alive = async (): Promise<Coordinator> => {
    while (this.#journal.dead) {
      await new Promise((resolve) => setImmediate(resolve))
      await this.#opening
    }
    return this.#coordinator
  }

  /** Another server in the place of this one. */
  async reopen(): Promise<void> {
    this.restarts++
    this.#journal.dead = true
    await this.#coordinator.close()
    await this.open()
    this.onOpen(this.#coordinator)
  }

  async close(): Promise<void> {
    await this.#coordinator.close()
  }
}

const names = ['a', 'b', 'c', 'd']

/** Joins clients, who take part until the federation is over. */
export async function takePart(carried: Carried, order = names, each?: (one: SmallParticipant) => Promise<void>) {
  const participants: SmallParticipant[] = []
  for (const name of order) participants.push(new SmallParticipant(name, await carried.join(name), drifts))
  await Promise.all(
    participants.map(async (one) => {
      await one.open()
      await (each ?? (() => one.run()))(one)
    }),
  )
  for (const one of participants) await one.close()
  return participants
}

/** The last checkpoint: what the federation came to. */
export async function resultOf(mortal: Mortal) {
  const ended = (await mortal.records()).flatMap((record) => (record.type === 'commit' ? [record] : []))
  return { commits: ended.length, checkpoint: ended.at(-1)!.checkpoint, counted: ended.map(({ counted }) => counted) }
}

const never = new AbortController().signal
const code = async (call: Promise<unknown>) =>
  await call.then(
    () => 'nothing',
    (error: FedloraError) => error.code,
  )

/** What a client is told, once there is something: no carrier need wait for ever. */
async function heard(link: ClientLink, known: Known): Promise<Notice> {
  for (;;) {
    const notice = await link.next(known, never)
    if (notice !== undefined) return notice
  }
}

/** Runs the suite over a carrier. */
export async function conformance(t: Test, carrier: Carrier): Promise<void> {
  const reference = await new Mortal().open()
  const undisturbed = await carrier.open(reference.server)
  await takePart(undisturbed)
  await reference.server().over
  await undisturbed.close()
  await reference.close()
  const expected = await resultOf(reference)

  const over = async (t: Test, mortal: Mortal, body: (carried: Carried) => Promise<void>) => {
    await mortal.open()
    const carried = await carrier.open(mortal.server)
    t.teardown(async () => {
      await carried.close()
      await mortal.close()
    })
    await body(carried)
  }

  await t.test(`${carrier.name}: whoever joins and answers first, the result is the same`, async (t) => {
    t.equal(expected.commits, 3)
    await over(t, new Mortal(), async (carried) => {
      const mortal = ['d', 'b', 'a', 'c']
      await takePart(carried, mortal)
    })
  })

  await t.test(`${carrier.name}: other orders, other bits nowhere; another seed is another federation`, async (t) => {
    const again = new Mortal()
    await over(t, again, async (carried) => void (await takePart(carried, ['c', 'd', 'b', 'a'])))
    t.same(await resultOf(again), expected, 'another order')
    const other = new Mortal(options({ adapter: { rank: 2, alpha: 4, targetModules: ['q_proj', 'v_proj'], seed: 3 } }))
    await over(t, other, async (carried) => void (await takePart(carried)))
    t.not((await resultOf(other)).checkpoint.vectors.adapter!.blob, expected.checkpoint.vectors.adapter!.blob, 'canary')
  })

  await t.test(`${carrier.name}: everything is said twice, and counts once`, async (t) => {
    const mortal = new Mortal()
    await over(t, mortal, async (carried) => {
      await takePart(carried, names, async (one) => {
        for (;;) {
          const [notice, again] = [await one.link.next(one.known, never), await one.link.next(one.known, never)]
          if (notice === undefined) continue
          if (notice.type === 'work' && again?.type === 'work') {
            const { deadline: _, ...first } = notice
            const { deadline: __, ...second } = again
            t.same(second, first, 'the same work')
            const work = await one.work(notice)
            const replies = [await one.answer(notice.round, work), await one.answer(notice.round, work)]
            t.same(replies, [{ type: 'taken' }, { type: 'taken' }], 'the same reply')
            one.known.working = notice.round
          } else if (!(await one.act(notice))) return
        }
      })
    })
    t.same(await resultOf(mortal), expected)
  })

  await t.test(`${carrier.name}: a server that dies at any record goes on to the same end`, async (t) => {
    for (const [when, step] of [
      ['after', carrier.deaths],
      ['before', 3 * carrier.deaths],
    ] as const) {
      for (let at = 2; at <= reference.appends; at += step) {
        const mortal = new Mortal(options(), (append) => (append === at ? when : undefined))
        await over(t, mortal, async (carried) => {
          await takePart(carried)
          await mortal.server().over
        })
        t.same(await resultOf(mortal), expected, `${when} append ${at}`)
        t.equal(mortal.restarts, 1, 'it died')
        t.same(logOf(mortal).filter(isOfRound), logOf(reference).filter(isOfRound), 'its log is the same')
        countedOnce(t, await mortal.records())
      }
    }
    const often = new Mortal(options(), (append) => (append % 3 === 0 ? 'after' : undefined))
    await over(t, often, async (carried) => void (await takePart(carried)))
    t.same(await resultOf(often), expected, 'again and again')
  })

  await t.test(`${carrier.name}: clients that lie are told so, and nothing of them counts`, async (t) => {
    const mortal = new Mortal(options({ federation: { ...options().federation, rounds: 1, cohort: 4 } }))
    await over(t, mortal, async (carried) => {
      const [a, b, c, d] = (await Promise.all(
        names.map(async (name) => new SmallParticipant(name, await carried.join(name), drifts)),
      )) as [SmallParticipant, SmallParticipant, SmallParticipant, SmallParticipant]
      for (const one of [a, b, c, d]) await one.open()
      await liesOf(t, a)
      await shapesOf(t, b, c)
      const notice = (await heard(d.link, d.known)) as Notice & { type: 'work' }
      t.equal(notice.type, 'work', 'the others go on')
      const work = await d.work(notice)
      t.same(await d.answer(1, work), { type: 'taken' })
      const outcome = await heard(d.link, { ...d.known, working: 1 })
      t.same(outcome, { type: 'outcome', round: 1, counted: true }, 'the round ends with what counts')
      const late = await d.prepare({ ...(await drifted(d, notice)), loss: 1 })
      t.match(
        await d.answer(1, late).catch((e: FedloraError) => ({ type: 'refused', code: e.code })),
        { type: 'refused' },
        'a second answer',
      )
      for (const one of [a, b, c, d]) await one.close()
    })
    t.same((await resultOf(mortal)).counted, [['a', 'd']], 'only who was right counts')
  })

  await t.test(`${carrier.name}: without rounds`, async (t) => {
    const federation = (asynchronous: CoordinatorOptions['federation']['asynchronous'], rounds = 3) => ({
      ...options().federation,
      rounds,
      cohort: 1,
      asynchronous,
    })
    const all = options({ federation: { ...options().federation, cohort: 4 } })
    const rounds = new Mortal(all)
    await over(t, rounds, async (carried) => void (await takePart(carried)))
    const buffers = options({ federation: federation({ buffer: 4, concurrency: 4 }) })
    const same = new Mortal(buffers)
    await over(t, same, async (carried) => void (await takePart(carried, ['c', 'a', 'd', 'b'])))
    t.same(await resultOf(same), await resultOf(rounds), 'K = C = all: the bits of rounds')
    for (let at = 2; at <= same.appends; at += 5 * carrier.deaths) {
      const mortal = new Mortal(buffers, (append) => (append === at ? (at % 2 === 0 ? 'before' : 'after') : undefined))
      await over(t, mortal, async (carried) => {
        await takePart(carried)
        await mortal.server().over
      })
      t.same(await resultOf(mortal), await resultOf(rounds), `died at append ${at}`)
      countedOnce(t, await mortal.records())
    }
    // Whoever is quick counts more often: what holds is that every answer that was taken is in one step, as often as the server dies.
    const quick = options({
      clients: { minimum: 4, deadline: null },
      federation: federation({ buffer: 2, concurrency: 3, maxStaleness: 1 }, 6),
    })
    const often = new Mortal(quick, (append) => (append % 5 === 0 ? 'after' : undefined))
    await over(t, often, async (carried) => {
      const participants = await takePart(carried)
      await often.server().over
      const records = await often.records()
      countedOnce(t, records)
      const steps = records.flatMap((record) => (record.type === 'commit' ? [record.counted] : []))
      t.same(
        steps.map(({ length }) => length),
        Array(6).fill(2),
        'each step is of a full buffer',
      )
      for (const { name, outcomes, replies } of participants) {
        const accepted = records.flatMap((record) =>
          record.type === 'accepted' && record.client === name ? [record.round] : [],
        )
        const told = outcomes.flatMap(({ round, counted }) => (counted ? [round] : []))
        t.same(told, accepted.slice(0, told.length), `${name} is told what counts`)
        for (const [round, { type }] of replies)
          t.equal(type === 'taken', accepted.includes(round), `${name} in round ${round}`)
      }
    })
  })

  await t.test(`${carrier.name}: who is shut out is told so`, async (t) => {
    const mortal = new Mortal()
    await over(t, mortal, async (carried) => {
      const link = await carried.join('a')
      await link.describe(never)
      const waiting = code(heard(link, { settled: 0, working: null, heard: 0 }))
      await mortal.server().revoke('a')
      t.match(await waiting, /^E_(REVOKED|AUTH)$/, 'what waits is ended')
      t.match(await code(heard(link, { settled: 0, working: null, heard: 0 })), /^E_(REVOKED|AUTH)$/)
      t.match(await code(link.say({ type: 'working', round: 1, step: 0, steps: 1 }, never)), /^E_(REVOKED|AUTH)$/)
      await link.close()
    })
  })
}

/** What a server's log tells, but for times. */
function logOf({ folder }: Mortal): Record<string, unknown>[] {
  const lines = readFileSync(join(folder, 'events.ndjson'), 'utf8').trim().split('\n')
  return lines.map((line) => timeless(JSON.parse(line)) as Record<string, unknown>)
}

/** Deadlines are times, and clients join in any order. */
const isOfRound = ({ type }: Record<string, unknown>) => type === 'round' || type === 'done' || type === 'log'

/** A client counts at most once in a round, and what was accepted before a commit is in it. */
export function countedOnce(t: Test, records: readonly Entry[]): void {
  const accepted = new Set<string>()
  const buffer: string[] = []
  for (const record of records) {
    if (record.type === 'accepted') {
      const key = JSON.stringify([record.round, record.client])
      t.notOk(accepted.has(key), `${key} counts once`)
      accepted.add(key)
      buffer.push(record.client)
    }
    if (record.type === 'commit') {
      const taken = buffer.splice(0).sort()
      t.same(record.counted, taken, `round ${record.round} has all that was taken`)
    }
  }
}

async function drifted(one: SmallParticipant, notice: Notice & { type: 'work' }) {
  const vectors: Record<string, Uint8Array> = {}
  for (const [name, ref] of Object.entries(notice.offer.vectors)) vectors[name] = await one.fetch(ref)
  return await drifts({ ...notice.offer, vectors })
}

/** Things that cost a client nothing but a reply: it may still answer. */
async function liesOf(t: Test, one: SmallParticipant): Promise<void> {
  const notice = (await heard(one.link, one.known)) as Notice & { type: 'work' }
  const good = await one.work(notice)
  const say = async (manifest: Manifest, round = 1) => await one.link.say({ type: 'answer', round, manifest }, never)
  const lie = (change: Partial<Manifest>) => ({ ...good.manifest, ...change })
  t.match(await say(lie({ run: '0'.repeat(32) })), { type: 'refused', code: 'E_PROTOCOL' }, 'another federation')
  t.match(
    await say(lie({ answer: { ...good.manifest.answer, client: 'b' } })),
    { type: 'refused', code: 'E_PROTOCOL' },
    'in the name of another',
  )
  t.match(await say(good.manifest, 2), { type: 'refused', code: 'E_ROUND_CLOSED' }, 'a round that has not begun')
  t.equal(await code(say(good.manifest)), 'E_BLOB_MISSING', 'its blob was not sent')
  const wrong = { blob: createHash('sha256').update('other').digest('hex'), bytes: good.manifest.blob!.bytes }
  t.match(await code(one.link.upload(wrong, good.path, never)), /^E_HASH$/, 'bytes that are not what they say')
  const huge = { blob: createHash('sha256').update('huge').digest('hex'), bytes: 2 ** 30 }
  t.equal(await code(one.link.upload(huge, good.path, never)), 'E_TOO_LARGE')
  const foreign = { blob: createHash('sha256').update('nobody').digest('hex'), bytes: 3 }
  t.equal(
    await code(one.link.download(foreign, `${good.path}.down`, never)),
    'E_BLOB_MISSING',
    'a blob that is not for it',
  )
  t.same(await one.answer(1, good), { type: 'taken' }, 'it may still answer')
  t.same(await one.answer(1, good), { type: 'taken' }, 'and be told so again')
  const other = await one.prepare({ ...(await drifted(one, notice)), rows: 77 })
  t.match(await say(other.manifest), { type: 'refused', code: 'E_ALREADY_COUNTED' }, 'two answers')
}

/** Answers that are whole and wrong. */
async function shapesOf(t: Test, one: SmallParticipant, two: SmallParticipant): Promise<void> {
  const notice = (await heard(one.link, one.known)) as Notice & { type: 'work' }
  const honest = await drifted(one, notice)
  const short = await one.prepare({ ...honest, vectors: { adapter: encodeVector(new Float32Array(5)) } })
  t.match(await one.answer(1, short), { type: 'refused', code: 'E_SHAPE' })
  t.match(await one.answer(1, short), { type: 'refused', code: 'E_SHAPE' }, 'the same word, the same reply')
  t.match(await heard(one.link, { ...one.known, working: 1 }), { type: 'outcome', counted: false }, 'it hears why')
  const next = (await heard(two.link, two.known)) as Notice & { type: 'work' }
  const answer = await drifted(two, next)
  const values = new Float32Array(answer.vectors.adapter!.length / 4 - 6)
  const bytes = Buffer.from(answer.vectors.adapter!)
  bytes[bytes.length - 1]! ^= 1
  const damaged = await two.prepare({ ...answer, vectors: { adapter: bytes } })
  t.match(
    await two.answer(1, damaged),
    { type: 'refused', code: 'E_CHECKSUM' },
    `${values.length} values, one bit wrong`,
  )
}
