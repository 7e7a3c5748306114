/**
 * How far the server's product is from the mean of the clients' products, as only a simulation can know it for every algorithm:
 *
 *   ‖ΔW_server − Σ pₖ sₖ Bₖ Aₖ‖ / ‖Σ pₖ sₖ Bₖ Aₖ‖   over all adapted layers, pₖ: the weights of the means
 *
 * ΔW_server is the server's new pair, and what its residual gained in the round: the clients worked beside the residual that they were sent.
 */
import { aggregationError, factorError, stackTerms } from '../../aggregation/factors/algebra.js'
import type { FactorError, Factors } from '../../aggregation/factors/rule.js'
import type { Answered, ClientAdapters, ServerState } from '../algorithms/algorithm.js'
import { factorsIn, moduleOf, sharesOf } from '../algorithms/factors.js'
import { type ResidualFactors, residualFactors } from '../algorithms/residual.js'
import type { Space } from '../protocol/space.js'

/** What is measured of a server. */
export interface Measured {
  readonly space: Space
  readonly state: ServerState
}

const bytesOf = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength)

/** Whether each row of `before` [rows, ·] begins the same row of `after`. */
function begins(after: Float32Array, before: Float32Array, rows: number): boolean {
  const [wide, narrow] = [after.length / rows, before.length / rows]
  for (let row = 0; row < rows; row++) {
    const lead = after.subarray(row * wide, row * wide + narrow)
    if (!bytesOf(lead).equals(bytesOf(before.subarray(row * narrow, (row + 1) * narrow)))) return false
  }
  return true
}

/** What `after` has that `before` had not: a pair that grew at its end gives its end, any other the difference of both. */
function gain(before: ResidualFactors, after: ResidualFactors, sides: { out: number; in: number }): ResidualFactors {
  if (before === undefined || after === undefined) return after
  const [A, B] = [after.A as Float32Array, after.B as Float32Array]
  const [oldA, oldB] = [before.A as Float32Array, before.B as Float32Array]
  if (!begins(A, oldA, 1) || !begins(B, oldB, sides.out)) {
    return stackTerms(sides, [
      { ...after, scale: 1 },
      { ...before, scale: -1 },
    ])
  }
  const rank = after.rank - before.rank
  if (rank === 0) return undefined
  const columns = new Float32Array(sides.out * rank)
  for (let row = 0; row < sides.out; row++) {
    columns.set(B.subarray(row * after.rank + before.rank, (row + 1) * after.rank), row * rank)
  }
  return { A: A.subarray(oldA.length), B: columns, rank } satisfies Factors
}

export class ErrorMeter {
  readonly #adapters: ClientAdapters
  #before: Pick<ServerState, 'vectors' | 'numbers'> = { vectors: {}, numbers: {} }

  /** @param adapters - of the round that is measured. */
  constructor(adapters: ClientAdapters) {
    this.#adapters = adapters
  }

  /** A round begins: what the server holds beside its pair is not what the clients bring. */
  begin({ state }: Measured): void {
    const { residual } = state.vectors
    const { residualRanks } = state.numbers
    this.#before = {
      vectors: residual === undefined ? {} : { residual },
      numbers: residualRanks === undefined ? {} : { residualRanks },
    }
  }

  /** The error of a round that ended; null when nobody sent an update. */
  async measure({ space, state }: Measured, answers: readonly Answered[]): Promise<number | null> {
    if (answers.length === 0) return null
    const weights = sharesOf(answers)
    const before = residualFactors(this.#before, space)
    const after = residualFactors(state, space)
    const errors: FactorError[] = []
    for (const [index, module] of space.modules.entries()) {
      const updates = await moduleOf(this.#adapters, answers, index)
      const pair = factorsIn(state.vectors.adapter!, module)
      const residual = gain(before[index], after[index], module)
      errors.push(factorError(updates, weights, module, { ...pair, residual }))
    }
    return aggregationError(errors)
  }
}
