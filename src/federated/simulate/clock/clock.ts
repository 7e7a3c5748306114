/** The virtual clock of a federation: what time it is, and how long a client's part takes. No bit depends on the machine's own time. */
import { z } from 'zod'
import type { ClockConfig } from '../../clock-options.js'
import { nextAvailable } from './availability.js'
import type { Devices } from './devices.js'
import { joulesOf, type Part, partOf, type Work } from './part.js'

/** Of a checkpoint. */
export const clockStateSchema = z.strictObject({
  /** Virtual seconds since the federation began. */
  now: z.number().min(0),
  /** Energy that clients have used. */
  joules: z.number().min(0),
})

export class Clock {
  readonly options: ClockConfig
  readonly #devices: Devices
  /** Virtual seconds since the federation began. */
  now = 0
  /** Energy that clients have used. */
  joules = 0

  constructor(options: ClockConfig, devices: Devices) {
    this.options = options
    this.#devices = devices
  }

  /** Goes on from where a checkpoint was. */
  restore({ now, joules }: z.output<typeof clockStateSchema>): void {
    this.now = now
    this.joules = joules
  }

  /** Whether a round may close before all have answered. */
  get races(): boolean {
    return this.options.deadline !== undefined || this.options.over > 1
  }

  /** A client's part in a round (from 1), asked for at a time. */
  part(client: string, round: number, asked: number, work: Work): Part {
    return partOf(this.#devices.of(client, round), asked, work)
  }

  /** The first time from now on at which a client works; Infinity: never. */
  next(client: string, round: number): number {
    return this.#devices.windows ? nextAvailable(this.#devices.of(client, round).availability, this.now) : this.now
  }

  joulesOf(part: Part): number {
    return joulesOf(part, this.options.watts)
  }
}
