/**
 * The event log of a served federation, `events.ndjson` in its folder: what its records tell, for people and tools. It follows the journal: after a
 * stop it is cut where the last round ended, and what the journal knows beyond that is told again. A log that cannot be written stops nothing.
 */
import { makeFolder } from '../../files/atomic.js'
import { EventLog, logReaches } from '../../run/event-log.js'
import type { CoordinatorEvent } from './events.js'

export class FederationLog {
  readonly #log: EventLog<CoordinatorEvent>
  readonly #onFailure: (error: unknown) => void
  #turn: Promise<void> = Promise.resolve()

  private constructor(log: EventLog<CoordinatorEvent>, onFailure: (error: unknown) => void) {
    this.#log = log
    this.#onFailure = onFailure
  }

  /**
   * @param bytes - of the log when the last round ended; one that is shorter begins anew.
   * @throws FedloraError `E_IO`, `E_VERSION`, `E_FORMAT`.
   */
  static async open(folder: string, bytes: number, onFailure: (error: unknown) => void): Promise<FederationLog> {
    await makeFolder(folder)
    const goesOn = bytes > 0 && (await logReaches(folder, bytes))
    const log = goesOn
      ? await EventLog.resume<CoordinatorEvent>(folder, bytes, folder)
      : await EventLog.begin<CoordinatorEvent>(folder, 'federation')
    return new FederationLog(log, onFailure)
  }

  write(event: CoordinatorEvent): void {
    if (event.type === 'client') return // progress within a round, as in a simulation's log
    this.#turn = this.#turn.then(() => this.#log.append(event)).catch(this.#onFailure)
  }

  /** Bytes of what was written, when all of it is there. */
  async position(): Promise<number> {
    await this.#turn
    return this.#log.bytes
  }

  async close(): Promise<void> {
    await this.#turn
    await this.#log.close()
  }
}
