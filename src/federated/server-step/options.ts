/** The server's step as options say it: its rule by name, and the rule's numbers. */
import { z } from 'zod'
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { closest, parseOptions } from '../../options/parse.js'
import { adagrad } from './adagrad.js'
import { adam } from './adam.js'
import { momentum } from './momentum.js'
import { nesterov } from './nesterov.js'
import { none } from './none.js'
import type { Rule } from './rule.js'
import { yogi } from './yogi.js'

export type ServerRule = 'none' | 'momentum' | 'nesterov' | 'adam' | 'yogi' | 'adagrad'

export const rules: Readonly<Record<ServerRule, Rule>> = { none, momentum, nesterov, adam, yogi, adagrad }
export const serverRules = Object.keys(rules) as ServerRule[]

const share = z.number().min(0).lt(1)

export const serverOptimizerSchema = z
  .strictObject({
    name: z.enum(serverRules).default('none').describe('rule by which the mean update is applied'),
    learningRate: z
      .number()
      .positive()
      .optional()
      .describe('η: factor on the step; default 1, for adam, yogi and adagrad 0.01'),
    beta1: share.default(0.9).describe('decay of the first moment (all rules but none)'),
    beta2: share.default(0.99).describe('decay of the second moment (adam, yogi)'),
    epsilon: z
      .number()
      .positive()
      .default(1e-3)
      .describe('added to √v (adam, yogi, adagrad): how adaptive the step is'),
    initialSecondMoment: z
      .number()
      .min(0)
      .default(0)
      .describe('v before the first step (adam, yogi, adagrad); Reddi et al. 2021 begin with epsilon²'),
    biasCorrection: z
      .boolean()
      .default(false)
      .describe('adam: the rate makes up for moments that begin at 0 (Kingma and Ba 2015)'),
  })
  .superRefine(({ name, initialSecondMoment, biasCorrection }, context) => {
    const refuse = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message })
    if (initialSecondMoment > 0 && rules[name].moments < 2)
      refuse('initialSecondMoment', `${name} has no second moment`)
    if (biasCorrection && !rules[name].corrects) refuse('biasCorrection', `${name} has none`)
  })

/** A rule's numbers; what is left out is the rule's default. */
export type ServerStepOptions = Omit<z.input<typeof serverOptimizerSchema>, 'name'>

export type ServerOptimizerOptions = z.output<typeof serverOptimizerSchema>

/**
 * The options of a rule with its defaults.
 * @throws FedloraError `E_CONFIG`: an unknown rule with the list of known ones, an unknown or wrong option with its path.
 */
export function chooseServerRule(name: string, options: ServerStepOptions = {}): ServerOptimizerOptions {
  if (!serverRules.includes(name as ServerRule)) {
    const meant = typeof name === 'string' ? closest(name, serverRules) : undefined
    const guess = meant === undefined ? '' : ` (did you mean "${meant}"?)`
    const message = `server step: got ${describeValue(name)}${guess}, known are ${serverRules.join(', ')}`
    throw new FedloraError('E_CONFIG', message, { name, known: serverRules })
  }
  return parseOptions(serverOptimizerSchema, { ...options, name }, `server step ${name}`)
}
