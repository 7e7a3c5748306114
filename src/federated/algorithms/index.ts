/** Every algorithm by its name, and how options name one. */
import { z } from 'zod'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { closest, parseOptions } from '../../options/parse.js'
import type { Algorithm, Chosen } from './algorithm.js'
import { ditto } from './ditto.js'
import { fedavg } from './fedavg.js'
import { feddyn } from './feddyn.js'
import { fedem } from './fedem.js'
import { fedex } from './fedex.js'
import { fedkseed } from './fedkseed.js'
import { fedmezo } from './fedmezo.js'
import { fednova } from './fednova.js'
import { fedprox } from './fedprox.js'
import { fedrep } from './fedrep.js'
import { fedsa } from './fedsa.js'
import { fedsb } from './fedsb.js'
import { fedsvd } from './fedsvd.js'
import { fedswa } from './fedswa.js'
import { ffa } from './ffa.js'
import { flexlora } from './flexlora.js'
import { flora } from './flora.js'
import { florana } from './florana.js'
import { hetlora } from './hetlora.js'
import { lorafair } from './lorafair.js'
import { pfedme } from './pfedme.js'
import { raflora } from './raflora.js'
import { rolora } from './rolora.js'
import { scaffold } from './scaffold.js'

// biome-ignore lint/suspicious/noExplicitAny: records of different options in one table
type Any = Algorithm<any>

const records: readonly Any[] = [
  ...[fedavg, fedprox, scaffold, fednova, feddyn, fedswa, ditto, pfedme, fedrep, fedem, fedsa],
  ...[ffa, rolora, flora, fedex, flexlora, hetlora, raflora, florana, lorafair, fedsvd, fedsb],
  ...[fedkseed, fedmezo],
]

/** Other names of algorithms. */
const aliases: Readonly<Record<string, string>> = { fedit: 'fedavg' }

/** The algorithms that fedlora has: name → record. */
export const algorithms: Readonly<Record<string, Any>> = Object.freeze(
  Object.fromEntries(records.map((record) => [record.name, record])),
)

const names = [...records.map(({ name }) => name), ...Object.keys(aliases)]

function shapeOf(record: Any): z.ZodRawShape {
  return (record.options as z.ZodObject | undefined)?.shape ?? {}
}

/** `{ name: 'fedprox', mu: 0.1 }`: the options of the algorithm beside its name. */
const variants = records.map((record) =>
  z.strictObject({ name: z.literal(record.name).describe(record.about), ...shapeOf(record) }),
)

/** What stands in a config file: a name, or a name with options. */
export const algorithmSchema = z.union([
  z.enum(names as [string, ...string[]]),
  z.discriminatedUnion('name', variants as unknown as [(typeof variants)[number], (typeof variants)[number]]),
])

/** How an algorithm is given: its name, its name and options, or a record of one's own. */
// biome-ignore lint/suspicious/noExplicitAny: a record's options are its own
export type AlgorithmInput = string | ({ name: string } & Record<string, unknown>) | Algorithm<any>

function isRecord(input: object): input is Any {
  return ['about', 'work', 'finish', 'travels', 'state', 'source'].some((key) => key in input)
}

/**
 * The algorithm that an option means, with its options.
 * @throws FedloraError `E_CONFIG`: an unknown name with the list of known ones, an unknown or wrong option with its path.
 */
export function chooseAlgorithm(input: AlgorithmInput = 'fedavg'): Chosen {
  if (typeof input === 'object' && input !== null && isRecord(input)) {
    return {
      algorithm: checkRecord(input),
      options: parseOptions(input.options ?? z.strictObject({}), {}, 'algorithm') as object,
    }
  }
  const { name, ...options } = typeof input === 'string' ? { name: input } : (input ?? {})
  const known = typeof name === 'string' ? algorithms[aliases[name] ?? name] : undefined
  if (known === undefined || !Object.hasOwn(algorithms, known.name)) {
    const meant = typeof name === 'string' ? closest(name, names) : undefined
    const guess = meant === undefined ? '' : ` (did you mean "${meant}"?)`
    const message = `algorithm: got ${describeValue(name)}${guess}, known are ${names.join(', ')}, or a record of your own`
    throw new FedloraError('E_CONFIG', message, { algorithm: name, known: names })
  }
  const parsed = parseOptions(known.options ?? z.strictObject({}), options, `algorithm ${known.name}`) as object
  return { algorithm: known.variant?.(parsed) ?? known, options: parsed }
}

function checkRecord(record: Any): Any {
  if (typeof record.name === 'string' && record.name !== '') return record
  throw new FedloraError('E_CONFIG', `algorithm: a record needs a name, got ${describeValue(record.name)}`)
}
