/** The golden LoRA aggregations as inputs of `combineFactors`, and how far results are from them. */
import { join } from 'node:path'
import type { CombineFactorsInput } from '../../src/federated/index.js'
import { GoldenFile } from './safetensors.js'

export const golden = new GoldenFile(join(import.meta.dirname, '../golden/federated/lora.safetensors'))
const parameters = JSON.parse(golden.metadata.parameters!) as {
  rows: number[]
  cases: Record<string, [number[], number[]]>
  r_g: number
  s_g: number
}

export const caseNames = ['plain', 'equal', 'mixed'] as const
export type CaseName = (typeof caseNames)[number]
export const moduleNames = ['q', 'down', 'k'] as const
export const serverRank = parameters.r_g
export const scaling = parameters.s_g
export const rows = parameters.rows

export type Width = 'float32' | 'float64'

/** How the clients come: each with both factors of its own, with the A or the B that was sent, or with both and a core. */
export type Held = 'none' | 'A' | 'B' | 'AB'

/** A case's clients as input; `order` picks and orders clients. */
export function goldenInput(
  name: CaseName,
  options: Record<string, unknown> = {},
  { held = 'none', width = 'float64', order }: { held?: Held; width?: Width; order?: readonly number[] } = {},
): CombineFactorsInput {
  const [ranks, alphas] = parameters.cases[name]!
  const values = (key: string) => {
    const wide = golden.doubles(`${name}/${key}`)
    return width === 'float64' ? wide : Float32Array.from(wide)
  }
  const picked = order ?? ranks.map((_, k) => k)
  const module = (m: string) => {
    const A0 = values(`${m}/A0`)
    const B0 = values(`${m}/B0`)
    const inputs = A0.length / serverRank
    return {
      out: B0.length / serverRank,
      in: inputs,
      clients: picked.map((k) => ({
        A: held.includes('A') ? A0.slice(0, ranks[k]! * inputs) : values(`${m}/A.${k}`),
        B: held.includes('B') ? B0 : values(`${m}/B.${k}`),
        ...(held === 'AB' ? { R: values(`${m}/R.${k}`) } : {}),
        rank: ranks[k]!,
        alpha: alphas[k]!,
      })),
      sent: { A: A0, B: B0, rank: serverRank, alpha: serverRank * scaling },
    }
  }
  return {
    modules: Object.fromEntries(moduleNames.map((m) => [m, module(m)])),
    weights: picked.map((k) => rows[k]!),
    scaling,
    options,
  }
}

/** ‖x‖ of Frobenius. */
export function norm(x: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < x.length; i++) sum += x[i]! ** 2
  return Math.sqrt(sum)
}

/** ‖got − want‖ / ‖scale‖; NaN for other lengths. */
export function distance(got: ArrayLike<number>, want: ArrayLike<number>, scale = want): number {
  if (got.length !== want.length) return Number.NaN
  return norm(Float64Array.from(want, (value, i) => got[i]! - value)) / norm(scale)
}

/** factor · B [out, rank] · A [rank, in] by the definition. */
export function plainProduct(
  B: ArrayLike<number>,
  A: ArrayLike<number>,
  [out, rank, inputs]: readonly [number, number, number],
  factor = 1,
): Float64Array {
  const product = new Float64Array(out * inputs)
  for (let i = 0; i < out; i++)
    for (let r = 0; r < rank; r++)
      for (let j = 0; j < inputs; j++) product[i * inputs + j]! += factor * B[i * rank + r]! * A[r * inputs + j]!
  return product
}
