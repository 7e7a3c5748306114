/** Taking part in a federation, over any link: the run that a person, or a program, sees. */
import { z } from 'zod'
import type { DataSource, Dataset } from '../../data/index.js'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { Model } from '../../model/model.js'
import { modelOptionsSchema } from '../../model/model-options.js'
import { parseOptions } from '../../options/parse.js'
import { failureEvent, isAbortOf } from '../../run/failure.js'
import { Run } from '../../run/run.js'
import type { ClientLink } from '../link/link.js'
import { retrying, systemTime, type Time } from '../link/retry.js'
import { Base } from './base.js'
import { eligibilitySchema, openEligibility } from './eligibility.js'
import type { ParticipantEvent, ParticipantResult } from './events.js'
import { ClientFolder } from './folder.js'
import { parseHours } from './hours.js'
import { limitsSchema } from './limits.js'
import { LocalWork } from './local-work.js'
import { Participant, tellEnd, telling } from './participant.js'
import type { Approve } from './parts.js'

export const participantSchema = z.strictObject({
  folder: z.string().min(1).describe('what the client must not forget: one folder a client and federation'),
  device: modelOptionsSchema.shape.device,
  threads: modelOptionsSchema.shape.threads,
  ...eligibilitySchema.shape,
  limits: limitsSchema.prefault({}).describe('what a round may take here at most; work beyond it is declined'),
})

/** What a client takes part with, beside its link. */
export interface ParticipantOptions extends z.input<typeof participantSchema> {
  /** The base: a folder or an id in the Hugging Face cache, loaded when the first work comes; or a loaded model. */
  model: string | Model
  /** Where its rows are, read as the federation says; or a data set of the federation's format. They never leave this machine. */
  data: DataSource | Dataset
  /** Sees what is about to be sent, and may refuse. Default: everything may go. */
  approve?: Approve
  /** Stops at once; nothing is lost. */
  signal?: AbortSignal
}

/** Opens the way to a server: called again while the server is away. `client`: the name that the server knows this client by, where that is known. */
export type Connect = (signal: AbortSignal) => Promise<{ link: ClientLink; client?: string }>

/** What tests bring. */
export interface Surroundings {
  time?: Time
  /** Uniform in [0, 1). */
  random?: () => number
}

function checkObjects({ model, data, approve }: ParticipantOptions): void {
  const refuse = (what: string, got: unknown, expected: string): never => {
    throw new FedloraError('E_ARGUMENT', `join: ${what}: got ${describeValue(got)}, expected ${expected}`)
  }
  if (!(model instanceof Model) && (typeof model !== 'string' || model === '')) {
    refuse('model', model, 'a folder, an id in the Hugging Face cache, or a loaded model')
  }
  if (data === undefined || data === null || data === '') refuse('data', data, 'a file of rows, or a data set')
  if (approve !== undefined && typeof approve !== 'function') refuse('approve', approve, 'a function')
}

/**
 * Takes part in a federation until it ends. The run starts at once; iterate it for its events, await it for its result. `break`, `stop()` and the
 * signal end it at once: what was under way goes on when the same folder joins again.
 * @param connect - opens the link, which is closed in the end.
 * @throws FedloraError `E_CONFIG`, `E_ARGUMENT` at once; the run rejects with `E_LOCKED` (the folder is in use), `E_BASE` (another base model),
 * `E_DATA`, `E_CHECKPOINT`, `E_PROTOCOL`, `E_AUTH`, `E_REVOKED`, `E_IO`, or the signal's reason.
 */
export function takePart(
  connect: Connect,
  options: ParticipantOptions,
  { time = systemTime, random = Math.random }: Surroundings = {},
): Run<ParticipantEvent, ParticipantResult> {
  const { model, data, approve, signal: outer, ...rest } = options
  checkObjects(options)
  const { folder: path, limits, device, threads, ...when } = parseOptions(participantSchema, rest, 'join options')
  if (when.between !== undefined) parseHours(when.between)
  return new Run(async (context) => {
    const { signal, emit } = context
    let folder: ClientFolder | undefined
    let link: ClientLink | undefined
    let workshop: LocalWork | undefined
    try {
      signal.throwIfAborted()
      folder = await ClientFolder.open(path)
      const opened = folder
      const base = new Base(model, { device, threads }, path)
      workshop = new LocalWork({ folder: path, began: () => opened.began, base, data, limits, time })
      if (folder.over !== undefined) return tellEnd(folder, emit)
      const eligibility = await openEligibility(when, time)
      const { link: way, client } = await retrying(() => connect(signal), {
        signal,
        time,
        random,
        onRetry: telling(emit),
      })
      link = way
      const parts = { link, client, folder, workshop, eligibility, approve, time, random }
      return await new Participant(parts, { signal, emit }).run()
    } catch (error) {
      if (signal.aborted && !context.aborted && folder !== undefined) return folder.standing
      if (!isAbortOf(context, error)) emit(failureEvent(error))
      throw error
    } finally {
      await link?.close()
      workshop?.dispose()
      folder?.close()
    }
  }, outer)
}
