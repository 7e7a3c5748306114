/** When a client may take work on: at its hours, on an idle machine, on mains power. What has begun goes on to its end. */
import { availableParallelism, loadavg } from 'node:os'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import type { Time } from '../link/retry.js'
import { isWithin, nextStart, parseHours } from './hours.js'
import { isOnMains } from './mains.js'

export const eligibilitySchema = z.strictObject({
  between: z
    .string()
    .optional()
    .describe("hours of the day at which work may begin, in this machine's time, such as '22:00-06:00'"),
  onIdle: z
    .union([z.boolean(), z.number().positive()])
    .default(false)
    .describe(
      'only while the machine has nothing to do: its load of a minute is below a quarter of its cores, or below this number',
    ),
  onMains: z.boolean().default(false).describe('only on mains power; refused where the system does not tell'),
})
export type EligibilityConfig = z.output<typeof eligibilitySchema>

export interface Eligibility {
  /** Resolves when work may begin. @param tell - why not, when that changes. @throws the signal's reason. */
  wait(signal: AbortSignal, tell: (why: string) => void): Promise<void>
}

/** What a machine says of itself. */
export interface Machine {
  /** Programs that want a core, on average of the last minute; undefined where the system does not tell. */
  load(): number | undefined
  cores: number
  onMains(): Promise<boolean | undefined>
}

const thisMachine: Machine = {
  // Windows knows no load: it says 0, always.
  load: () => (process.platform === 'win32' ? undefined : loadavg()[0]),
  cores: availableParallelism(),
  onMains: () => isOnMains(),
}

/** Milliseconds between two looks at load and power. */
const interval = 60_000

/** At any time. */
export const always: Eligibility = { wait: async () => {} }

/**
 * @throws FedloraError `E_CONFIG` for hours that are none, `E_UNSUPPORTED` where the system does not tell what is asked for.
 */
export async function openEligibility(
  { between, onIdle, onMains }: EligibilityConfig,
  time: Time,
  machine: Machine = thisMachine,
): Promise<Eligibility> {
  const hours = between === undefined ? undefined : parseHours(between)
  const most = typeof onIdle === 'number' ? onIdle : machine.cores / 4
  if (onIdle !== false && machine.load() === undefined) unsupported('onIdle', 'its load')
  if (onMains && (await machine.onMains()) === undefined) unsupported('onMains', 'whether it is on mains power')
  /** Why not now, and milliseconds until the next look; undefined: now. */
  const hindrance = async (): Promise<[why: string, wait: number] | undefined> => {
    const now = new Date(time.now())
    if (hours !== undefined && !isWithin(hours, now)) {
      return [`it works between ${between}`, nextStart(hours, now) - now.getTime()]
    }
    if (onMains && (await machine.onMains()) !== true) return ['it works on mains power', interval]
    const load = machine.load() ?? 0
    if (onIdle !== false && load >= most) return [`it works while the load is below ${most}`, interval]
  }
  return {
    async wait(signal, tell) {
      let told: string | undefined
      for (;;) {
        signal.throwIfAborted()
        const found = await hindrance()
        if (found === undefined) return
        const [why, wait] = found
        if (why !== told) tell(why)
        told = why
        // A clock that is set, or a machine that slept, is noticed within the hour.
        await time.sleep(Math.min(wait, 3_600_000), signal)
      }
    },
  }
}

function unsupported(field: string, what: string): never {
  throw new FedloraError('E_UNSUPPORTED', `${field}: this system does not tell ${what}; leave it out`, { field })
}
