/** The rules over vectors by name: a new one is a file and a line here. */
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { closest, parseOptions } from '../../options/parse.js'
import type { VectorRule } from '../rule.js'
import { bulyan } from './bulyan.js'
import { fednova } from './fednova.js'
import { fedswa } from './fedswa.js'
import { fltrust } from './fltrust.js'
import { geomedian } from './geomedian.js'
import { krum } from './krum.js'
import { mean } from './mean.js'
import { median } from './median.js'
import { multikrum } from './multikrum.js'
import { normbound } from './normbound.js'
import { trimmedmean } from './trimmedmean.js'

// biome-ignore lint/suspicious/noExplicitAny: rules of different options in one table
type Any = VectorRule<any>

/** Rules that hold against some updates of anybody's making. */
const robustRules = [krum, multikrum, median, trimmedmean, bulyan, geomedian, normbound, fltrust] as const

const records: readonly Any[] = [mean, fednova, fedswa, ...robustRules]

/** Other names of rules. */
const aliases: Readonly<Record<string, string>> = { fedavg: 'mean' }

/** The rules that fedlora has: name → rule. */
const vectorRules: ReadonlyMap<string, Any> = new Map(records.map((rule) => [rule.name, rule]))

const names = [...vectorRules.keys(), ...Object.keys(aliases)]

/** A rule and its options, checked. */
export interface ChosenRule {
  rule: Any
  options: object
}

/**
 * A rule by its name, or a rule of one's own, with its options.
 * @throws FedloraError `E_CONFIG`: an unknown name with the list of known ones, an unknown or wrong option with its path.
 */
export function chooseVectorRule(given: string | Any, options: unknown = {}): ChosenRule {
  const rule = typeof given === 'string' ? vectorRules.get(aliases[given] ?? given) : given
  if (rule === null || typeof rule !== 'object' || !['stream', 'all'].includes(rule.needs)) {
    const meant = typeof given === 'string' ? closest(given, names) : undefined
    const guess = meant === undefined ? '' : ` (did you mean "${meant}"?)`
    const message = `combineVectors: got ${describeValue(given)}${guess}, known are ${names.join(', ')}, or a rule of your own`
    throw new FedloraError('E_CONFIG', message, { rule: given, known: names })
  }
  return { rule, options: parseOptions(rule.options, options, `rule ${rule.name}`) as object }
}
