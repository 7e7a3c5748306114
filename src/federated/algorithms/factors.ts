/**
 * How rules for LoRA's factors are applied to a round: module by module, with memory for one module of all clients. The arithmetic is the
 * rules' (`aggregation/factors`); here is what they read and where their results go.
 */
import type { z } from 'zod'
import type { Combined, FactorRule, Factors, ModuleUpdates, ScaledFactors } from '../../aggregation/factors/rule.js'
import type { SpaceModule } from '../protocol/space.js'
import type { Algorithm, Answered, ClientAdapters, Closing } from './algorithm.js'
import { ResidualGrowth } from './residual.js'

/** A module's pair in the flat vector: views. */
export function factorsIn(values: Float32Array, { A, B, rank, scaling }: SpaceModule): ScaledFactors {
  const part = ({ offset, length }: SpaceModule['A']) => values.subarray(offset, offset + length)
  return { A: part(A), B: part(B), rank, scaling }
}

/** Writes a pair of the module's rank into its place, rounded to float32. */
export function placeFactors(values: Float32Array, { A, B }: SpaceModule, factors: Factors): void {
  values.set(factors.A, A.offset)
  values.set(factors.B, B.offset)
}

/** Module `index` of every client's adapter, each at its own rank and scale, in the order of `answers`. */
export async function moduleOf(
  adapters: ClientAdapters,
  answers: readonly Answered[],
  index: number,
): Promise<ModuleUpdates> {
  const clients: ScaledFactors[] = []
  for (const { client, space } of answers) {
    const { A, B, rank, scaling } = space.modules[index]!
    const read = ({ offset, length }: SpaceModule['A']) => adapters.read(client, offset, offset + length)
    clients.push({ A: await read(A), B: await read(B), rank, scaling })
  }
  const { out, in: inputs } = answers[0]!.space.modules[index]!
  return { out, in: inputs, clients }
}

/** The clients' weights, divided by their sum. */
export function sharesOf(answers: readonly Answered[]): number[] {
  const total = answers.reduce((sum, { weight }) => sum + weight, 0)
  return answers.map(({ weight }) => weight / total)
}

/** Applies a rule to all clients' adapters; `use` gets what becomes of each module, in their order. */
export async function combineModules<Options, Survey>(
  closing: Closing,
  rule: FactorRule<Options, Survey>,
  options: Options,
  use: (combined: Combined, module: SpaceModule, index: number) => void,
): Promise<void> {
  const { answers, adapters, space } = closing
  const weights = sharesOf(answers)
  const sent = closing.sent(space)
  const updates = async (module: SpaceModule, index: number): Promise<ModuleUpdates> => ({
    ...(await moduleOf(adapters, answers, index)),
    sent: factorsIn(sent, module),
  })
  let survey: Survey | undefined
  if (rule.survey !== undefined) {
    for (const [index, module] of space.modules.entries()) {
      survey = rule.survey(survey, await updates(module, index), options)
    }
  }
  for (const [index, module] of space.modules.entries()) {
    use(rule.combine(await updates(module, index), weights, module, options, survey as Survey), module, index)
  }
}

/** The server's adapter becomes what a rule makes of the clients'; what its pair cannot hold joins the residual. */
export async function adoptRule<Options, Survey>(
  closing: Closing,
  rule: FactorRule<Options, Survey>,
  options: Options,
): Promise<Combined['ranks']> {
  const adapter = closing.state.vectors.adapter!
  const residual = new ResidualGrowth(closing)
  let ranks: Combined['ranks']
  await combineModules(closing, rule, options, (combined, module, index) => {
    placeFactors(adapter, module, combined)
    residual.add(index, combined.residual)
    ranks = combined.ranks
  })
  residual.keep()
  return ranks
}

/** What the record of a rule has from the rule. */
export function byRule<Options, Survey>(
  rule: FactorRule<Options, Survey>,
): Pick<Algorithm<Options & object>, 'name' | 'options' | 'needs' | 'ranks' | 'serverOptimizer'> & {
  finish(closing: Closing, options: Options): Promise<void>
} {
  return {
    name: rule.name,
    options: rule.options as z.ZodType<Options & object>,
    needs: 'all',
    ranks: rule.equalRanks === true ? 'equal' : 'any',
    serverOptimizer: false,
    finish: async (closing, options) => {
      await adoptRule(closing, rule, options)
    },
  }
}
