/** Clients of a buffered federation between machines, whose answers arrive in the order of a simulation's clock: nobody waits, and nothing is raced. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { MemoryBlobs } from '../../../src/federated/blobs/memory.js'
import { OwnState } from '../../../src/federated/client/own-state.js'
import { Coordinator } from '../../../src/federated/coordinator/coordinator.js'
import type { CoordinatorEvent } from '../../../src/federated/coordinator/events.js'
import type { CoordinatorOptions } from '../../../src/federated/coordinator/options.js'
import type { Record as Entry } from '../../../src/federated/coordinator/records.js'
import type { RoundEvent } from '../../../src/federated/events.js'
import { MemoryJournal } from '../../../src/federated/journal/memory.js'
import { InProcessLink } from '../../../src/federated/link/in-process.js'
import type { ClientLink } from '../../../src/federated/link/link.js'
import type { Notice, Reply } from '../../../src/federated/link/messages.js'
import { temporaryFolder } from '../../support/train.js'
import { SmallParticipant, type SmallWork } from './small-participant.js'

const never = new AbortController().signal

/** An answer of a simulation, as it arrives. */
export interface Arrival {
  name: string
  round: number
}

/** In the order of its clock. */
export const arrivalsOf = (rounds: readonly RoundEvent[]): Arrival[] =>
  rounds.flatMap(({ clock }) => clock!.clients.filter(({ finish }) => finish !== null))

/** A client that keeps what counted, and answers when it is told to. */
export class Punctual extends SmallParticipant {
  readonly #own: OwnState

  private constructor(name: string, link: ClientLink, work: SmallWork, own: OwnState) {
    super(name, link, work)
    this.#own = own
  }

  /** @param work - what it does, given what it keeps. */
  static async join(name: string, link: ClientLink, folder: string, work: (own: OwnState) => SmallWork) {
    const own = await OwnState.open(join(folder, name))
    const one = new Punctual(name, link, work(own), own)
    await one.open()
    return one
  }

  override async act(notice: Notice): Promise<boolean> {
    if (notice.type === 'outcome') await (notice.counted ? this.#own.endRound() : this.#own.dropRound())
    return await super.act(notice)
  }

  /** Hears what it has missed, up to the work that it is asked for next. */
  async asked(): Promise<Notice & { type: 'work' }> {
    for (;;) {
      const notice = await this.link.next(this.known, never)
      if (notice?.type === 'work') return notice
      if (notice === undefined || !(await this.act(notice))) throw new Error(`${this.name} is asked for nothing`)
    }
  }

  /** Its answer to the work that it is asked for arrives. */
  async arrive(): Promise<{ round: number; reply: Reply }> {
    const notice = await this.asked()
    await this.act(notice)
    return { round: notice.round, reply: this.replies.get(notice.round)! }
  }
}

/** A server whose time stands still until it is moved on. */
export class Timeless {
  readonly journal = new MemoryJournal<Entry>()
  readonly blobs = new MemoryBlobs()
  readonly folder = temporaryFolder('buffered')
  readonly events: CoordinatorEvent[] = []
  readonly #config: CoordinatorOptions
  readonly #timers = new Set<{ at: number; act: () => void }>()
  now = 1000
  coordinator!: Coordinator

  constructor(config: CoordinatorOptions) {
    this.#config = config
    this.journal.close = async () => {}
    this.blobs.close = async () => {}
  }

  async open(): Promise<this> {
    const { journal, blobs, folder } = this
    this.coordinator = await Coordinator.open({
      ...{ folder, journal, blobs, config: this.#config, now: () => this.now },
      after: (milliseconds, act) => {
        const timer = { at: this.now + milliseconds, act }
        this.#timers.add(timer)
        return () => this.#timers.delete(timer)
      },
    })
    this.coordinator.onEvent((event) => this.events.push(event))
    return this
  }

  /** Another server on the same journal and blobs. */
  async reopen(): Promise<void> {
    await this.coordinator.close()
    this.#timers.clear()
    await this.open()
  }

  /** Time goes on, and what it brings happens. */
  async pass(milliseconds: number): Promise<void> {
    await this.settled()
    this.now += milliseconds
    for (const timer of [...this.#timers]) {
      if (timer.at > this.now) continue
      this.#timers.delete(timer)
      timer.act()
    }
    await this.settled()
  }

  /** What the last word has set off has been done. */
  async settled(): Promise<void> {
    for (let turns = 0; turns < 3; turns++) await this.coordinator.revoke('').catch(() => {})
  }

  async enrol(...names: string[]): Promise<void> {
    for (const name of names) {
      const { token } = await this.coordinator.invite(name, 60)
      await this.coordinator.enroll(token, `key of ${name}`)
    }
  }

  link(name: string): InProcessLink {
    return new InProcessLink(() => this.coordinator, name)
  }

  async records(): Promise<Entry[]> {
    const all: Entry[] = []
    for await (const { record } of this.journal.read()) all.push(record)
    return all
  }

  /** Of one kind. */
  async all<T extends Entry['type']>(type: T): Promise<Extract<Entry, { type: T }>[]> {
    return (await this.records()).filter((record): record is Extract<Entry, { type: T }> => record.type === type)
  }

  /** Who is at work, and on which round, as the journal has it. */
  async atWork(): Promise<Map<string, number>> {
    const working = new Map<string, number>()
    for (const record of await this.records()) {
      if (record.type === 'start')
        for (const { clients } of record.work) for (const client of clients) working.set(client, record.round)
      else if (['accepted', 'refused', 'failed', 'declined', 'revoked'].includes(record.type))
        working.delete((record as { client: string }).client)
    }
    return working
  }

  async close(): Promise<void> {
    await this.coordinator.close()
    rmSync(this.folder, { recursive: true, force: true })
  }
}
