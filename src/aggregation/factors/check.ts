/** What comes through the door: checked whole before anything is computed. */
import { z } from 'zod'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import type { MatrixValues } from '../../native/binding.js'
import { native } from '../../native/load.js'
import { closest, parseOptions } from '../../options/parse.js'
import type { ClientFactors, FactorRule, ModuleUpdates } from './rule.js'
import { factorRules } from './rules.js'
import { checkShared } from './shared.js'

const values = z.custom<MatrixValues>(
  (value) => value instanceof Float32Array || value instanceof Float64Array,
  'expected a Float32Array or Float64Array',
)
const whole = z
  .int()
  .min(1)
  .max(2 ** 24)
const pair = {
  A: values.describe('[rank, in], row-major'),
  B: values.describe('[out, rank], row-major'),
  rank: whole,
  alpha: z.number().positive().describe('the scale is alpha/rank'),
}
const client = z.strictObject({
  ...pair,
  R: values.optional().describe('Fed-SB: the core [rank, rank]; A and B are the shared ones'),
})
const module = z.strictObject({
  out: whole.describe('rows of the weight'),
  in: whole.describe('columns of the weight'),
  clients: z.array(client).min(1).describe('one for each weight, in the same order for every module'),
  sent: z.strictObject(pair).optional().describe('HetLoRA: what the server had sent, of the greatest rank'),
})

/** Input of `combineFactors`. */
export const combineFactorsSchema = z.strictObject({
  modules: z
    .record(z.string(), module)
    .refine((modules) => Object.keys(modules).length > 0, 'expected at least one module')
    .describe('by name'),
  weights: z.array(z.number()).min(1).describe('one for each client, at least 0; they need not sum to 1'),
  scaling: z.number().positive().describe('s_g: the server’s ΔW is scaling·B·A'),
  options: z
    .record(z.string(), z.unknown())
    .default({})
    .describe('rolora: part; hetlora: gamma, minRank; lorafair: objective, lambda'),
})

export type CombineFactorsInput = z.input<typeof combineFactorsSchema>
type Module = z.output<typeof module>
type Pair = Omit<z.output<typeof client>, 'R'>

/** @throws FedloraError `E_ARGUMENT` with the known names. */
export function findRule(name: unknown): FactorRule {
  const known = Object.keys(factorRules)
  if (typeof name === 'string' && known.includes(name)) return factorRules[name as keyof typeof factorRules]
  const meant = typeof name === 'string' ? closest(name, known) : undefined
  throw new FedloraError(
    'E_ARGUMENT',
    `combineFactors: unknown rule ${describeValue(name)}${meant === undefined ? '' : ` (did you mean "${meant}"?)`}; known: ${known.join(', ')}`,
    { rule: name, known },
  )
}

/** @throws FedloraError `E_ARGUMENT` with the known names. */
export function findModule<T>(modules: ReadonlyMap<string, T>, name: string): T {
  const found = modules.get(name)
  if (found !== undefined) return found
  throw new FedloraError('E_ARGUMENT', `no module ${describeValue(name)}; known: ${[...modules.keys()].join(', ')}`, {
    module: name,
  })
}

/** @throws FedloraError `E_ARGUMENT`. */
export function checkClient(client: number, clients: number): void {
  if (Number.isInteger(client) && client >= 0 && client < clients) return
  throw new FedloraError(
    'E_ARGUMENT',
    `client: got ${describeValue(client)}, expected a whole number from 0 to ${clients - 1}`,
  )
}

/** p_k. */
function shares(weights: readonly number[]): number[] {
  const wrong = weights.findIndex((weight) => !(weight >= 0 && Number.isFinite(weight)))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  if (wrong >= 0 || !(total > 0 && Number.isFinite(total))) {
    const where = wrong >= 0 ? `weights[${wrong}] is ${weights[wrong]}` : `they sum to ${total}`
    throw new FedloraError(
      'E_ARGUMENT',
      `combineFactors: weights: ${where}, expected numbers of at least 0 that do not sum to 0`,
    )
  }
  return weights.map((weight) => weight / total)
}

function checkMatrix(where: string, values: MatrixValues, rows: [string, number], cols: [string, number]): void {
  const expected = rows[1] * cols[1]
  if (values.length !== expected) {
    throw new FedloraError(
      'E_SHAPE',
      `combineFactors: ${where} has ${values.length} values, expected ${expected}: ${rows[0]} ${rows[1]} × ${cols[0]} ${cols[1]}`,
      { got: values.length, expected },
    )
  }
  const wrong = native().firstNonFinite(values)
  if (wrong >= 0)
    throw new FedloraError('E_NONFINITE', `combineFactors: ${where}[${wrong}] is ${values[wrong]}`, { index: wrong })
}

function scaled<T extends Pair>(where: string, module: Module, { alpha, ...factors }: T) {
  checkMatrix(`${where}.A`, factors.A, ['rank', factors.rank], ['in', module.in])
  checkMatrix(`${where}.B`, factors.B, ['out', module.out], ['rank', factors.rank])
  return { ...factors, scaling: alpha / factors.rank }
}

function checkModule(name: string, module: Module, clients: number): ModuleUpdates {
  const where = `modules.${name}`
  if (module.clients.length !== clients) {
    throw new FedloraError(
      'E_SHAPE',
      `combineFactors: ${where} has ${module.clients.length} clients, expected ${clients}: one for each weight`,
    )
  }
  const checked: ClientFactors[] = module.clients.map((one, k) => scaled(`${where}.clients[${k}]`, module, one))
  const sent = module.sent === undefined ? undefined : scaled(`${where}.sent`, module, module.sent)
  return { out: module.out, in: module.in, clients: checked, sent }
}

function checkRanks(rule: FactorRule, name: string, { clients }: ModuleUpdates): void {
  const odd = clients.findIndex(({ rank }) => rank !== clients[0]!.rank)
  if (rule.equalRanks !== true || odd < 0) return
  throw new FedloraError(
    'E_SHAPE',
    `combineFactors: ${rule.name} needs equal ranks, but modules.${name} has rank ${clients[0]!.rank} of clients[0] and ${clients[odd]!.rank} of ` +
      `clients[${odd}]; rules for mixed ranks: zeropad, hetlora, flexlora, raflora, flora, fedex`,
    { module: name, client: odd },
  )
}

function checkNeeds(rule: FactorRule, name: string, { clients, sent }: ModuleUpdates, options: unknown): void {
  const needs = rule.needs?.(options)
  const bare = clients.findIndex(({ R }) => R === undefined)
  if (needs === 'R') {
    for (const [k, { R, rank }] of clients.entries()) {
      if (R !== undefined) checkMatrix(`modules.${name}.clients[${k}].R`, R, ['rank', rank], ['rank', rank])
    }
  }
  if (needs === 'R' && bare >= 0) {
    throw new FedloraError(
      'E_MISSING',
      `combineFactors: ${rule.name} needs modules.${name}.clients[${bare}].R: the client's core [rank, rank] between the shared B and A`,
      { module: name, client: bare },
    )
  }
  if (needs !== 'sent') return
  const most = Math.max(...clients.map(({ rank }) => rank))
  if (sent === undefined || sent.rank < most) {
    throw new FedloraError(
      'E_MISSING',
      `combineFactors: ${rule.name} needs modules.${name}.sent of rank ${most} or more: what the server had sent, whose tail tells what to prune` +
        `${sent === undefined ? '' : `; it has rank ${sent.rank}`} (gamma: 1 prunes nothing)`,
      { module: name },
    )
  }
}

/** Everything that `rule` will read; weights sum to 1. */
export function checkInput(rule: FactorRule, input: CombineFactorsInput) {
  const { modules, weights, scaling, options } = parseOptions(combineFactorsSchema, input, 'combineFactors')
  const parsed = parseOptions(rule.options, options, `options of ${rule.name}`)
  const p = shares(weights)
  const checked = new Map<string, ModuleUpdates>()
  for (const [name, given] of Object.entries(modules)) {
    const module = checkModule(name, given, weights.length)
    checkRanks(rule, name, module)
    checkNeeds(rule, name, module, parsed)
    for (const part of rule.shared?.(parsed) ?? '') checkShared(name, rule.name, module, part as 'A' | 'B')
    checked.set(name, module)
  }
  return { modules: checked, weights: p, scaling, options: parsed }
}
