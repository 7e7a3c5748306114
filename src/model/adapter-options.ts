/** What an adapter is: its options, and the rules by which PEFT matches modules and patterns. */
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import type { AdapterLayer } from '../native/binding.js'
import { closest, parseOptions } from '../options/parse.js'
import { PythonPattern } from './python-regex/match.js'

/** The engine's limit. */
export const mostRank = 4096
const rankSchema = z.int().min(1).max(mostRank)

export const adapterOptionsSchema = z
  .strictObject({
    method: z.literal('lora').default('lora').describe('fine-tuning method'),
    rank: rankSchema.default(16).describe('rank R of the two factors'),
    alpha: z.number().positive().optional().describe('scaling numerator; default twice the rank'),
    targetModules: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1), z.instanceof(RegExp)])
      .default('all-linear')
      .describe(
        "'all-linear' (all but the head), names or name endings, or a regular expression that matches whole names (a text: Python's)",
      ),
    dropout: z
      .number()
      .min(0)
      .lt(1)
      .default(0)
      .describe('probability that an element of the adapter input is zeroed in training'),
    rsLora: z.boolean().default(false).describe('scale by alpha/√rank instead of alpha/rank'),
    rankPattern: z
      .record(z.string(), rankSchema)
      .default({})
      .describe('other ranks, by name ending or regular expression of Python, as PEFT reads it'),
    alphaPattern: z.record(z.string(), z.number().positive()).default({}).describe('other alphas, likewise'),
    seed: z.int().min(0).default(0).describe('seed of the initial A'),
  })
  .transform((options) => ({ ...options, alpha: options.alpha ?? 2 * options.rank }))

/** Options of `model.createAdapter`. Defaults: LoRA, rank 16, alpha twice the rank, all linear layers but the head, no dropout, seed 0. */
export type AdapterOptions = z.input<typeof adapterOptionsSchema>

/** An adapter's configuration with every default filled in. */
export type AdapterConfig = z.output<typeof adapterOptionsSchema>

/** @throws FedloraError `E_CONFIG`. */
export function parseAdapterOptions(options: AdapterOptions = {}): AdapterConfig {
  return parseOptions(adapterOptionsSchema, options, 'adapter options')
}

/**
 * PEFT's rule for `rank_pattern` and `alpha_pattern`: the value of the first key, read as a regular expression of Python, that matches a
 * module's name or its ending after a dot. Source: peft 0.21, utils/other.py, get_pattern_key.
 * @throws FedloraError `E_CONFIG` for a key that Python cannot read.
 */
export function patternValues<T>(
  pattern: Readonly<Record<string, T>>,
  what: string,
): (module: string) => T | undefined {
  const keys = Object.entries(pattern).map(([key, value]) => {
    new PythonPattern(key, what) // alone, so that a mistake is told as it was written
    return { expression: new PythonPattern(`(.*\\.)?(${key})$`, what), value }
  })
  return (module) => keys.find(({ expression }) => expression.match(module))?.value
}

/** True when PEFT's list rule matches: the whole name, or its ending after a dot. */
export function endsWithName(module: string, names: readonly string[]): boolean {
  return names.some((name) => module === name || module.endsWith(`.${name}`))
}

/** The embedding and the head are linear to PEFT, but adapters sit on the blocks' layers only. */
export function refuseOutsideBlocks(names: readonly string[], head = 'lm_head'): void {
  const foreign = names.find(
    (name) => head === name || head.endsWith(`.${name}`) || /(^|\.)(embed_tokens|wte)$/.test(name),
  )
  if (foreign === undefined) return
  throw new FedloraError(
    'E_UNSUPPORTED',
    `targetModules: an adapter on '${foreign}' is not supported, only on the linear layers of the blocks`,
    { module: foreign },
  )
}

/**
 * The modules that `targetModules` means, in forward order. A text is read, as PEFT does, as a regular expression of Python over whole
 * names; when it matches none, as the ending of names.
 * @throws FedloraError `E_MISSING` naming the entries that match nothing, `E_UNSUPPORTED` for the head or the embedding.
 */
export function matchTargets(
  target: AdapterConfig['targetModules'],
  modules: readonly string[],
  head = 'lm_head',
): string[] {
  if (typeof target === 'string' && target.toLowerCase() === 'all-linear') return [...modules]
  if (Array.isArray(target)) {
    const unmatched = target.filter((name) => !modules.some((module) => endsWithName(module, [name])))
    if (unmatched.length > 0) refuseUnmatched(unmatched, modules, head)
    return modules.filter((module) => endsWithName(module, target))
  }
  const matched = modules.filter(wholeName(target))
  if (matched.length > 0) return matched
  const name = typeof target === 'string' ? target : target.source
  const ending = typeof target === 'string' ? modules.filter((module) => endsWithName(module, [target])) : []
  return ending.length > 0 ? ending : refuseUnmatched([name], modules, head)
}

/** Tells names that an expression matches whole: Python's when it is a text, JavaScript's when it is a RegExp. */
export function wholeName(expression: string | RegExp, what = 'targetModules'): (name: string) => boolean {
  if (typeof expression === 'string') {
    const python = new PythonPattern(expression, what)
    return (name) => python.fullmatch(name) !== undefined
  }
  const whole = new RegExp(`^(?:${expression.source})$`, expression.flags.replace(/[gy]/g, ''))
  return (name) => whole.test(name)
}

function refuseUnmatched(unmatched: readonly string[], modules: readonly string[], head: string): never {
  refuseOutsideBlocks(unmatched, head)
  const endings = [...new Set(modules.map((module) => module.split('.').at(-1)!))]
  const meant = closest(unmatched[0]!, endings)
  throw new FedloraError(
    'E_MISSING',
    `targetModules: ${unmatched.map((name) => `'${name}'`).join(', ')} match${unmatched.length === 1 ? 'es' : ''} no linear layer` +
      `${meant === undefined ? '' : ` (did you mean '${meant}'?)`}; the layers end in ${endings.join(', ')}`,
    { unmatched, endings },
  )
}

/**
 * Rank and scaling of every adapted module.
 * @throws FedloraError `E_CONFIG` for a key of rankPattern or alphaPattern that Python, and so PEFT, cannot read.
 */
export function adapterLayers(config: AdapterConfig, targets: readonly string[]): AdapterLayer[] {
  const ranks = patternValues(config.rankPattern, 'rankPattern')
  const alphas = patternValues(config.alphaPattern, 'alphaPattern')
  return targets.map((module) => {
    const rank = ranks(module) ?? config.rank
    const alpha = alphas(module) ?? config.alpha
    return { module, rank, scaling: config.rsLora ? alpha / Math.sqrt(rank) : alpha / rank, dropout: config.dropout }
  })
}

/**
 * The configuration whose layers have these ranks and scalings, and are otherwise as `config` says: `adapterLayers` gives them again. What is
 * not as in the first layer stands in rankPattern and alphaPattern, by the whole name of the module.
 */
export function configOfLayers(
  config: AdapterConfig,
  layers: readonly Pick<AdapterLayer, 'module' | 'rank' | 'scaling'>[],
): AdapterConfig {
  const ranks = layers.map(({ rank }) => rank)
  const alphas = layers.map(({ rank, scaling }) => scaling * (config.rsLora ? Math.sqrt(rank) : rank))
  const pattern = (values: readonly number[]) =>
    Object.fromEntries(
      layers.map(({ module }, i) => [module, values[i]!] as const).filter(([, value]) => value !== values[0]),
    )
  return {
    ...config,
    rank: ranks[0]!,
    alpha: alphas[0]!,
    rankPattern: pattern(ranks),
    alphaPattern: pattern(alphas),
  }
}
