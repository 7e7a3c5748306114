/** What a client allows as flags: `--limit-steps 100`, `--between 22:00-06:00`. What each means is said by the schema of the API. */
import { parseHours } from '../../federated/participant/hours.js'
import { participantSchema } from '../../federated/participant/join.js'
import { limitsSchema } from '../../federated/participant/limits.js'
import { parseOptions } from '../../options/parse.js'
import type { Flag, Flags, FlagValues } from '../arguments.js'
import { usage } from '../command.js'
import { kebab } from '../schema-flags.js'

type Limit = keyof typeof limitsSchema.shape
const limits = Object.keys(limitsSchema.shape) as Limit[]
/** Those that may carry a unit. */
const sizes: ReadonlySet<Limit> = new Set(['memory', 'bytesUp'])
const flagOf = (limit: Limit) => `limit-${kebab(limit)}`

const { between, onIdle, onMains } = participantSchema.shape

export const allowanceFlags: Flags = {
  between: { type: 'string', value: 'HH:MM-HH:MM', description: between.description ?? '' },
  'on-idle': { type: 'boolean', description: onIdle.description ?? '' },
  'on-mains': { type: 'boolean', description: onMains.description ?? '' },
  ...Object.fromEntries(
    limits.map((limit): [string, Flag] => {
      const description = limitsSchema.shape[limit].description ?? ''
      const size = sizes.has(limit)
      return [flagOf(limit), { type: size ? 'string' : 'number', value: size ? 'SIZE' : 'N', description }]
    }),
  ),
}

const given = (values: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))

/**
 * Where and when a client works, and how much at most.
 * @throws UsageError naming what is wrong.
 */
export async function allowanceOf(flags: FlagValues, folder: string) {
  const when = { between: flags.between, onIdle: flags['on-idle'], onMains: flags['on-mains'] }
  const most = given(Object.fromEntries(limits.map((limit) => [limit, flags[flagOf(limit)]])))
  const { device, threads } = flags
  return await usage(() => {
    const options = parseOptions(participantSchema, given({ folder, device, threads, ...when, limits: most }), 'join')
    if (options.between !== undefined) parseHours(options.between)
    return options
  })
}
