/** The vocabulary of the rules: means, products, norms and truncations of factors. Loops over parameters run in the engine, in double. */
import type { FactorTerm, MatrixValues } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { ClientFactors, FactorError, Factors, ModuleUpdates, Server } from './rule.js'

/** The side lengths of a module's weight. */
export type Sides = Pick<ModuleUpdates, 'out' | 'in'>

export interface WideFactors extends Factors {
  A: Float64Array
  B: Float64Array
}

/** Σ_k shares[k]·A_k [rank, in]; rows that a client lacks are zero. */
export function meanA(module: ModuleUpdates, rank: number, shares: readonly number[]): Float64Array {
  return native().mixMatrices(
    rank,
    module.in,
    module.clients.map(({ A, rank }, k) => ({ values: A, rows: rank, cols: module.in, scale: shares[k]! })),
  )
}

/** Σ_k shares[k]·B_k [out, rank]; columns that a client lacks are zero. */
export function meanB(module: ModuleUpdates, rank: number, shares: readonly number[]): Float64Array {
  return native().mixMatrices(
    module.out,
    rank,
    module.clients.map(({ B, rank }, k) => ({ values: B, rows: module.out, cols: rank, scale: shares[k]! })),
  )
}

/** p_k s_k/s_g: the shares of a factor into which the scales are folded. */
export function foldedShares(clients: readonly ClientFactors[], weights: readonly number[], server: Server): number[] {
  return clients.map(({ scaling }, k) => (weights[k]! * scaling) / server.scaling)
}

/** The naive means A = Σ p_k A_k and B = Σ p_k B′_k, padded with zeros to the server's rank. */
export function meanFactors(module: ModuleUpdates, weights: readonly number[], server: Server): WideFactors {
  const { rank } = server
  const B = meanB(module, rank, foldedShares(module.clients, weights, server))
  return { A: meanA(module, rank, weights), B, rank }
}

/** The leading `rank` of a pair: rows of A, columns of B. */
export function leadingRanks(factors: Factors, rank: number, { out }: Sides): Factors {
  if (rank === factors.rank) return factors
  const inputs = factors.A.length / factors.rank
  const B = native().mixMatrices(out, rank, [{ values: factors.B, rows: out, cols: factors.rank, scale: 1 }])
  return { A: factors.A.subarray(0, rank * inputs), B, rank }
}

/** The terms p_k s_k B_k A_k of the ideal. */
export function idealTerms({ clients }: ModuleUpdates, weights: readonly number[]): FactorTerm[] {
  return clients.map(({ A, B, rank, scaling }, k) => ({ A, B, rank, scale: weights[k]! * scaling }))
}

/** Σ terms dense [out, in]: for a look at small modules. */
export function denseProduct({ out, in: inputs }: Sides, terms: FactorTerm[]): Float64Array {
  return native().factorsDense(out, inputs, terms)
}

/** ‖Σ terms‖ of Frobenius. */
export function productNorm({ out, in: inputs }: Sides, terms: FactorTerm[]): number {
  return native().factorsNorm(out, inputs, terms)
}

/** ‖·‖ of a block of `values` [rows, cols]: rows and columns [from, to). */
export function blockNorm(
  values: MatrixValues,
  [, cols]: readonly [number, number],
  rows: readonly [number, number],
  columns: readonly [number, number],
): number {
  return native().blockNorm(values, cols, ...rows, ...columns)
}

/** One pair for a sum of terms, of the ranks' sum: B as they are side by side, A with the scales. */
export function stackTerms({ out, in: inputs }: Sides, terms: FactorTerm[]): WideFactors {
  const rank = terms.reduce((sum, term) => sum + term.rank, 0)
  return { ...native().factorsBeside(out, inputs, terms), rank }
}

/** The nearest pair of `rank` to a sum of terms: B = U·S, A = Vᵀ; `norm` of the sum, and of the `rest` that the pair misses. */
export function nearestFactors(
  { out, in: inputs }: Sides,
  terms: FactorTerm[],
  rank: number,
): WideFactors & { norm: number; rest: number } {
  return { ...native().factorsLeading(out, inputs, terms, rank), rank }
}

/** All min(out, in) singular values of a sum of terms, descending. */
export function singularValues({ out, in: inputs }: Sides, terms: FactorTerm[]): Float64Array {
  return native().factorsValues(out, inputs, terms)
}

/** a [m, k] · b [k, n]; `turn` names those that are given as their transposes. */
export function multiply(
  a: MatrixValues,
  b: MatrixValues,
  [m, k, n]: readonly [number, number, number],
  turn: 'a' | 'b' | '' = '',
): Float64Array {
  return native().multiplyMatrices(a, b, m, k, n, turn === 'a', turn === 'b')
}

/** The pair times `factor`: into B. */
export function scaledB(B: MatrixValues, out: number, factor: number): Float64Array {
  const cols = B.length / out
  return native().mixMatrices(out, cols, [{ values: B, rows: out, cols, scale: factor }])
}

/** How far the server's ΔW = s_g·B·A (+ residual) is from Σ terms of the ideal. */
export function errorAgainst(
  ideal: FactorTerm[],
  module: Sides,
  server: Server,
  factors: Factors & { residual?: Factors | undefined },
): FactorError {
  const { residual } = factors
  const got = [{ ...factors, scale: -server.scaling }]
  if (residual !== undefined) got.push({ ...residual, scale: -1 })
  return { difference2: productNorm(module, [...ideal, ...got]) ** 2, ideal2: productNorm(module, ideal) ** 2 }
}

/** How far any factors of a server are from what its clients sent: Σ p_k s_k B_k A_k. `weights` sum to 1. */
export function factorError(
  module: ModuleUpdates,
  weights: readonly number[],
  server: Server,
  factors: Factors & { residual?: Factors | undefined },
): FactorError {
  return errorAgainst(idealTerms(module, weights), module, server, factors)
}

/** ‖ΔW_server − ideal‖ / ‖ideal‖ over modules; 0 where both are zero. */
export function aggregationError(errors: Iterable<FactorError>): number {
  let difference2 = 0
  let ideal2 = 0
  for (const error of errors) {
    difference2 += error.difference2
    ideal2 += error.ideal2
  }
  return difference2 === 0 ? 0 : Math.sqrt(difference2 / ideal2)
}
