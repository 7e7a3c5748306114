/**
 * The folder of a federation: config.json, initial.f32 (the adapter it began from), events.ndjson, adapter/, checkpoints/round-N/,
 * residuals/, baselines/.
 *
 * A checkpoint is a sealed folder: the adapter's flat vector and the server's moments, and state.json with the counters, the length
 * of the event log and the round of every client's residual. A resumed run cuts the log to that length, so that rounds that are run
 * again are not told twice and a torn last line disappears.
 */
import { type FileHandle, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { exists, ioError, makeFolder, replaceFile } from '../../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'
import { native } from '../../native/load.js'
import { readSealed, writeSealed } from '../../run/sealed.js'
import { firstDifference } from '../../training/run-folder.js'
import { encodeVector, type ResidualIndex } from '../client/residual-store.js'
import type { ServerOptimizerState } from '../server-step/step.js'

const stateVersion = 2
const count = z.int().min(0)

const totalsSchema = z.strictObject({
  bytesUp: count,
  bytesUpRaw: count,
  bytesDown: count,
  bytesDownRaw: count,
  tokens: count,
  steps: count,
  trainSeconds: z.number().min(0),
  /** Mean loss of the last round in which somebody sent an update. */
  loss: z.number().nullable(),
})

const stateSchema = z.strictObject({
  round: z.int().min(1),
  eventBytes: count,
  totals: totalsSchema,
  /** [client, round of its valid residual]. */
  residuals: z.array(z.tuple([count, z.int().min(1)])),
})

/** Sums over all rounds so far. */
export type Totals = z.output<typeof totalsSchema>

export interface FederationState {
  round: number
  adapter: Float32Array
  server: ServerOptimizerState
  residuals: ResidualIndex
  totals: Totals
  /** Bytes of events.ndjson that belong to the rounds up to this one. */
  eventBytes: number
}

export class RunFolder {
  readonly path: string
  readonly #log: FileHandle
  #bytes: number
  /** Lines that a failed write left: they come before the next ones. */
  #unwritten = Buffer.alloc(0)

  private constructor(path: string, log: FileHandle, bytes: number) {
    this.path = path
    this.#log = log
    this.#bytes = bytes
  }

  /**
   * Starts a new run in `path`.
   * @throws FedloraError `E_ARGUMENT` when a run lies there already.
   */
  static async create(path: string, config: unknown, initial: Float32Array): Promise<RunFolder> {
    if (await exists(join(path, 'config.json'))) {
      throw new FedloraError(
        'E_ARGUMENT',
        `outputDir: '${path}' already holds a run; continue it with resumeFrom, or choose another folder`,
        { path },
      )
    }
    try {
      await makeFolder(path)
    } catch (error) {
      throw ioError(error, `cannot make '${path}'`)
    }
    const folder = await RunFolder.#open(path, 0)
    // The config comes last: a folder that has one can be resumed.
    await replaceFile(join(path, 'initial.f32'), (temporary) => writeFile(temporary, encodeVector(initial)))
    await writeJsonFile(join(path, 'config.json'), config)
    return folder
  }

  /**
   * Continues the run in `path` from its last checkpoint; no state when it stopped before the first, nothing at all when it
   * stopped before its beginning was written down. What is below `origin` in the config may differ, and the number of rounds, which
   * `checkRounds` gets to judge: rounds done, rounds that were to be done.
   * @throws FedloraError `E_CHECKPOINT` when there is no such folder, or the run was begun with another configuration.
   */
  static async resume(
    path: string,
    config: unknown,
    checkRounds: (done: number, before: number) => void,
  ): Promise<{ folder: RunFolder; initial: Float32Array; state: FederationState | undefined } | undefined> {
    if (!(await exists(path))) {
      throw new FedloraError('E_CHECKPOINT', `resumeFrom: '${path}' does not exist`, { path })
    }
    const file = join(path, 'config.json')
    if (!(await exists(file))) return undefined
    const stored = await readJsonObject(file, 'resumeFrom')
    const given = JSON.parse(JSON.stringify(config)) as Record<string, unknown>
    const difference = firstDifference(withoutLength(stored), withoutLength(given))
    if (difference !== undefined) {
      const { path: field, a, b } = difference
      throw new FedloraError(
        'E_CHECKPOINT',
        `resumeFrom: '${path}' was begun with ${field} = ${JSON.stringify(a)}, now it is ${JSON.stringify(b)}; ` +
          'give the same, or start a new run from its adapter',
        { path, field, saved: a, now: b },
      )
    }
    const state = await readNewest(join(path, 'checkpoints'))
    const [before, now] = [stored, given].map(({ federation }) => (federation as { rounds: number }).rounds)
    checkRounds(state?.round ?? 0, before!)
    const initial = await readVector(path, 'initial')
    const folder = await RunFolder.#open(path, state?.eventBytes ?? 0)
    if (before !== now) await writeJsonFile(file, config)
    return { folder, initial, state }
  }

  static async #open(path: string, bytes: number): Promise<RunFolder> {
    const file = join(path, 'events.ndjson')
    try {
      const log = await open(file, (await exists(file)) ? 'r+' : 'w+')
      const { size } = await log.stat()
      if (size < bytes) {
        await log.close()
        throw new FedloraError('E_CHECKPOINT', `'${file}' is shorter than its checkpoint says`, { path: file })
      }
      await log.truncate(bytes)
      return new RunFolder(path, log, bytes)
    } catch (error) {
      throw ioError(error, `cannot open '${file}'`)
    }
  }

  /** Appends one event; durable with the next checkpoint. */
  async log(event: unknown): Promise<void> {
    this.#unwritten = Buffer.concat([this.#unwritten, Buffer.from(`${JSON.stringify(event)}\n`)])
    await this.#flush()
  }

  async #flush(): Promise<void> {
    try {
      while (this.#unwritten.length > 0) {
        const { bytesWritten } = await this.#log.write(this.#unwritten, 0, this.#unwritten.length, this.#bytes)
        this.#bytes += bytesWritten
        this.#unwritten = this.#unwritten.subarray(bytesWritten)
      }
    } catch (error) {
      throw ioError(error, `cannot write '${join(this.path, 'events.ndjson')}'`)
    }
  }

  /** Writes the checkpoint of a round, then removes the older ones. */
  async checkpoint(state: Omit<FederationState, 'eventBytes'>): Promise<string> {
    await this.#flush()
    await this.#log.sync()
    const parent = join(this.path, 'checkpoints')
    const name = `round-${state.round}`
    const { round, totals } = state
    const residuals = [...state.residuals].sort(([a], [b]) => a - b)
    const facts = { round, eventBytes: this.#bytes, totals, residuals }
    await writeSealed(join(parent, name), stateVersion, facts, async (folder) => {
      const vectors = { adapter: state.adapter, moment1: state.server.moment1, moment2: state.server.moment2 }
      for (const [vector, values] of Object.entries(vectors)) {
        if (values.length > 0) await writeFile(join(folder, `${vector}.f32`), encodeVector(values))
      }
    })
    for (const other of await readdir(parent)) {
      if (other !== name) await rm(join(parent, other), { recursive: true, force: true })
    }
    return join(parent, name)
  }

  async close(): Promise<void> {
    await this.#log.close()
  }
}

/** A config without where the run came from and how long it is. */
function withoutLength({ origin: _, federation, ...rest }: Record<string, unknown>): Record<string, unknown> {
  if (typeof federation !== 'object' || federation === null) return { ...rest, federation }
  const { rounds: __, ...recipe } = federation as Record<string, unknown>
  return { ...rest, federation: recipe }
}

async function readVector(folder: string, name: string): Promise<Float32Array> {
  const path = join(folder, `${name}.f32`)
  if (!(await exists(path))) return new Float32Array(0)
  return native().decodeUpdate(await readFile(path))
}

/** The newest checkpoint below `parent`. A folder there is whole by construction; one that is not is damaged and refused. */
async function readNewest(parent: string): Promise<FederationState | undefined> {
  if (!(await exists(parent))) return undefined
  const rounds = (await readdir(parent))
    .map((name) => /^round-(\d+)$/.exec(name)?.[1])
    .filter((round) => round !== undefined)
    .map(Number)
  if (rounds.length === 0) return undefined
  const newest = Math.max(...rounds)
  const folder = join(parent, `round-${newest}`)
  const { residuals, ...state } = await readSealed(folder, stateVersion, stateSchema)
  if (state.round !== newest) {
    const message = `checkpoint '${folder}': it is of round ${state.round}, not of the round in its name; give the folder its name back`
    throw new FedloraError('E_CHECKPOINT', message, { path: folder, round: state.round })
  }
  const [adapter, moment1, moment2] = await Promise.all(
    ['adapter', 'moment1', 'moment2'].map((name) => readVector(folder, name)),
  )
  const server = { moment1: moment1!, moment2: moment2! }
  return { ...state, adapter: adapter!, server, residuals: new Map(residuals) }
}
