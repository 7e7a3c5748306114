/**
 * The frozen residual of a federation: what exact rules leave beside the server's pair. The server keeps it as the vector 'residual' with the
 * numbers 'residualRanks', one rank a module: for each module A [rank, in], then B [out, rank], whose product counts without a scale, so that
 * clients of any scale read the same message.
 */
import { nearestFactors, productNorm, stackTerms } from '../../aggregation/factors/algebra.js'
import type { Factors } from '../../aggregation/factors/rule.js'
import type { Space } from '../protocol/space.js'
import type { ClientKit, Closing, Numbers, Residual, Sent, TrainPlan, Vectors } from './algorithm.js'
import { trainAndSend } from './defaults.js'
import { combination } from './vectors.js'

/** A module's residual, scale-free; undefined where there is none. */
export type ResidualFactors = Factors | undefined

interface Holder {
  readonly vectors: Readonly<Partial<Vectors>>
  readonly numbers: Numbers
}

/** The residual module by module: views. */
export function residualFactors({ vectors, numbers }: Holder, { modules }: Space): ResidualFactors[] {
  const { residual } = vectors
  const { residualRanks: ranks } = numbers
  if (residual === undefined || ranks === undefined) return modules.map(() => undefined)
  let at = 0
  const take = (count: number) => {
    at += count
    return residual.subarray(at - count, at)
  }
  return modules.map(({ out, in: inputs }, index) => {
    const rank = ranks[index]!
    return rank === 0 ? undefined : { A: take(rank * inputs), B: take(out * rank), rank }
  })
}

/** The residual in the scales of a space, as an adapter carries it; undefined when there is none. */
export function residualFor(holder: Holder, space: Space): Residual | undefined {
  const { residual } = holder.vectors
  if (residual === undefined) return undefined
  const values = residual.slice()
  const factors = residualFactors({ ...holder, vectors: { residual: values } }, space)
  for (const [index, one] of factors.entries()) {
    if (one === undefined) continue
    const B = one.B as Float32Array
    combination([1 / space.modules[index]!.scaling], [B], B)
  }
  return { ranks: factors.map((one) => one?.rank ?? 0), values }
}

/** As `trainAndSend`, over the base with the residual that was sent. */
export async function trainBesideResidual(kit: ClientKit, plan: Partial<TrainPlan> = {}): Promise<Sent> {
  const residual = residualFor({ vectors: kit.given, numbers: kit.numbers }, kit.space)
  return await trainAndSend(kit, { ...plan, residual })
}

/** A round's growth of the residual, module by module. */
export class ResidualGrowth {
  readonly #closing: Closing
  readonly #before: ResidualFactors[]
  readonly #after: ResidualFactors[]
  #error2 = 0
  #changed = false

  constructor(closing: Closing) {
    this.#closing = closing
    this.#before = residualFactors(closing.state, closing.space)
    this.#after = [...this.#before]
  }

  /** Adds scale·B·A to the residual of module `index`; cut to `maxResidualRank` by its singular values. */
  add(index: number, added: ResidualFactors, scale = 1): void {
    if (added === undefined) return
    const { space, maxResidualRank } = this.#closing
    const module = space.modules[index]!
    const before = this.#before[index]
    const terms = [...(before === undefined ? [] : [{ ...before, scale: 1 }]), { ...added, scale }]
    const most = Math.min(maxResidualRank, module.out, module.in)
    this.#changed = true
    if (terms.reduce((sum, { rank }) => sum + rank, 0) <= most) {
      this.#after[index] = single(stackTerms(module, terms))
      return
    }
    const { rest, ...nearest } = nearestFactors(module, terms, most)
    this.#error2 += rest ** 2
    this.#after[index] = single(nearest)
  }

  /** The grown residual becomes the state's; `residualError` is what was cut off, relative to what is kept. */
  keep(): void {
    if (!this.#changed) return
    const { state, space } = this.#closing
    const ranks = this.#after.map((one) => one?.rank ?? 0)
    const length = space.modules.reduce((sum, { in: inputs, out }, index) => sum + ranks[index]! * (inputs + out), 0)
    const residual = new Float32Array(length)
    let at = 0
    let norm2 = 0
    for (const [index, one] of this.#after.entries()) {
      if (one === undefined) continue
      for (const values of [one.A, one.B]) {
        residual.set(values, at)
        at += values.length
      }
      if (this.#error2 > 0) norm2 += productNorm(space.modules[index]!, [{ ...one, scale: 1 }]) ** 2
    }
    state.vectors.residual = residual
    state.numbers = { ...state.numbers, residualRanks: ranks }
    this.#closing.report('residualError', this.#error2 === 0 ? 0 : Math.sqrt(this.#error2 / norm2))
  }
}

const single = ({ A, B, rank }: Factors): Factors => ({ A: Float32Array.from(A), B: Float32Array.from(B), rank })
