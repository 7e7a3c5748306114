/**
 * The whole of FlexLoRA for 32 clients: uploads stacked, the nearest pair of the server's rank, the aggregation error; module by module of
 * sixteen blocks of qwen2.5-0.5b, 112 modules. Clients share half of what they send.
 */
import { factorError } from '../../aggregation/factors/algebra.js'
import type { ModuleUpdates } from '../../aggregation/factors/rule.js'
import { factorRules } from '../../aggregation/factors/rules.js'
import { FedloraError } from '../../errors.js'
import { type Measurement, medianSeconds, sampleUpdate } from './measure.js'
import { shapeConfig } from './shapes.js'

const clients = 32
const blocks = 16
const repeats = 3

function moduleSides(): Record<string, [number, number]> {
  const { hidden, intermediate, heads, kvHeads, headDim } = shapeConfig('qwen2.5-0.5b').description
  const [queries, keys] = [heads * headDim, kvHeads * headDim]
  return {
    q: [queries, hidden],
    k: [keys, hidden],
    v: [keys, hidden],
    o: [hidden, queries],
    gate: [intermediate, hidden],
    up: [intermediate, hidden],
    down: [hidden, intermediate],
  }
}

function updatesOf([out, inputs]: readonly [number, number], rank: number): ModuleUpdates {
  const common = [sampleUpdate(rank * inputs, 1), sampleUpdate(out * rank, 2)] as const
  const near = (values: Float32Array, seed: number) => {
    const own = sampleUpdate(values.length, seed)
    return values.map((value, i) => value + own[i]!)
  }
  return {
    out,
    in: inputs,
    clients: Array.from({ length: clients }, (_, k) => ({
      A: near(common[0], 10 + 2 * k),
      B: near(common[1], 11 + 2 * k),
      rank,
      scaling: 2,
    })),
  }
}

export async function benchFactors(rank: number): Promise<Measurement[]> {
  const weights = Array.from({ length: clients }, () => 1 / clients)
  const server = { rank, scaling: 2 }
  const lines: Measurement[] = []
  let total = 0
  for (const [name, sides] of Object.entries(moduleSides())) {
    const module = updatesOf(sides, rank)
    const run = () => factorRules.flexlora.combine(module, weights, server, {}, undefined)
    const seconds = await medianSeconds(repeats, run)
    const combined = run()
    const again = factorError(module, weights, server, combined)
    const miss =
      Math.abs(Math.sqrt(combined.error.difference2) - Math.sqrt(again.difference2)) / Math.sqrt(again.ideal2)
    if (!(miss <= 1e-10)) throw new FedloraError('E_INTERNAL', `bench factors: ${name}: the error is off by ${miss}`)
    total += blocks * seconds
    const error = Math.sqrt(combined.error.difference2 / combined.error.ideal2)
    lines.push({
      module: name,
      out: sides[0],
      in: sides[1],
      ms: Number((1000 * seconds).toFixed(1)),
      error: error.toFixed(4),
    })
  }
  lines.push({ module: `${blocks} of each`, out: '-', in: '-', ms: Math.round(1000 * total), error: '-' })
  return lines
}
