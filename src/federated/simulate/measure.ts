/**
 * Clients measured on the rows that each keeps for its tests: by the global adapter as it receives it, or by its own. One after the other in
 * one adapter, so that memory does not grow with them.
 */
import { FedloraError } from '../../errors.js'
import { evaluate } from '../../evaluation/evaluate.js'
import { alone } from '../../training/stepper.js'
import { Trainer } from '../client/trainer.js'
import type { EvaluationConfig } from '../evaluation-options.js'
import type { ClientMeasure, ClientsEvaluation, FederationEvaluation, Whose } from '../events.js'
import type { Clients } from './clients.js'
import { evaluateMixture } from './mixture.js'
import { type Standing, standingOf } from './served.js'
import { wear } from './spaces.js'
import { spreadOf } from './spread.js'
import type { RoundTools } from './tools.js'

/** Clients that can be measured: indices of those with a supervised token among their test rows. */
export type Measurable = readonly number[]

/**
 * Whose adapters are measured on the clients' own rows.
 * @throws FedloraError `E_CONFIG` when nobody has rows for that.
 */
export function measurable(clients: Clients, of: EvaluationConfig['of']): Measurable {
  if (of === undefined) return []
  const indices = Array.from({ length: clients.length }, (_, index) => index).filter((index) => {
    const test = clients.test(index)
    return Array.from({ length: test?.length ?? 0 }, (_, row) => row).some((row) => test!.facts(row).supervised > 0)
  })
  if (indices.length > 0) return indices
  const message = `evaluate.of: '${of}' measures each client on test rows of its own, and no client has any with a supervised token; give clients \`test\`, or the split a testFraction`
  throw new FedloraError('E_CONFIG', message, { of })
}

/** The adapter that a client is measured by. */
async function adapterOf(
  { clients, locals, slots, spaces }: RoundTools,
  index: number,
  { task, global, personal, residual }: Standing,
  whose: Whose,
  fineTune: EvaluationConfig['fineTune'],
  signal: AbortSignal,
): Promise<Float32Array> {
  if (whose === 'global') return global
  if (fineTune === undefined) return personal ?? global
  const adapter = slots[0]!.in(spaces.of(index))
  const place = { data: clients.data(index), adapter, stepper: alone, local: locals.of(index), signal }
  const trained = await new Trainer(place, task).train({
    ...fineTune,
    from: personal ?? global,
    label: 'fine-tune',
    residual,
  })
  return trained.values
}

/** @param tookPart - indices of the clients whose work has counted in some round. */
export async function measureClients(
  tools: RoundTools,
  indices: Measurable,
  whose: Whose,
  fineTune: EvaluationConfig['fineTune'],
  tookPart: ReadonlySet<number>,
  signal: AbortSignal,
): Promise<FederationEvaluation & { clients: ClientsEvaluation }> {
  const { clients, slots, spaces } = tools
  const each: ClientMeasure[] = []
  for (const index of indices) {
    signal.throwIfAborted()
    const standing = await standingOf(tools, index)
    const slot = slots[0]!.in(spaces.of(index))
    const test = clients.test(index)!
    const mixture = whose === 'personal' && fineTune === undefined ? standing.mixture : undefined
    if (mixture === undefined) {
      wear(slot, await adapterOf(tools, index, standing, whose, fineTune, signal), standing.residual)
    }
    const { loss, tokenAccuracy, tokens } = await (mixture === undefined
      ? evaluate(slot, test, { signal })
      : evaluateMixture(slot, mixture, test, signal))
    const who = { client: clients.place(index), name: clients.name(index), tookPart: tookPart.has(index) }
    each.push({ ...who, loss, tokenAccuracy, tokens })
  }
  const measured = new Set(indices)
  const others = Array.from({ length: clients.length }, (_, index) => index).filter((index) => !measured.has(index))
  const tokens = each.reduce((sum, client) => sum + client.tokens, 0)
  const overTokens = (of: (client: ClientMeasure) => number) =>
    each.reduce((sum, client) => sum + of(client) * client.tokens, 0) / tokens
  const loss = overTokens((client) => client.loss)
  const tokenAccuracy = overTokens((client) => client.tokenAccuracy)
  const byPlace = (a: ClientMeasure, b: ClientMeasure) => a.client - b.client
  return {
    of: whose,
    loss,
    perplexity: Math.exp(loss),
    tokenAccuracy,
    tokens,
    clients: {
      ...spreadOf(each.map((client) => client.loss)),
      each: each.sort(byPlace),
      unmeasured: others.map((index) => clients.place(index)).sort((a, b) => a - b),
      fineTuneSteps: whose === 'personal' ? (fineTune?.steps ?? 0) : 0,
    },
  }
}
