/** Algebra of low-rank factors in double precision: mirror of `native/napi/factors.cpp`. Everything runs at once. */

/** Row-major values; float32 ones are widened. */
export type MatrixValues = Float32Array | Float64Array

/** scale · B · diag(weights) · A: B [out, rank], A [rank, in], weights [rank], default ones. */
export interface FactorTerm {
  A: MatrixValues
  B: MatrixValues
  rank: number
  scale: number
  weights?: Float64Array | undefined
}

/** The leading `rows` × `cols` block of a matrix counts; where it is smaller than the sum, zeros stand in. */
export interface MixTerm {
  values: MatrixValues
  rows: number
  cols: number
  scale: number
}

export interface FactorAlgebra {
  /** M = Σ terms, dense [out, in]. */
  factorsDense(out: number, inputs: number, terms: FactorTerm[]): Float64Array
  /** ‖M‖ of Frobenius, without forming M where it is larger than its factors. */
  factorsNorm(out: number, inputs: number, terms: FactorTerm[]): number
  /** B [out, Σ rank] as they are, A [Σ rank, in] with scales and weights: M = B·A. */
  factorsBeside(out: number, inputs: number, terms: FactorTerm[]): { A: Float64Array; B: Float64Array }
  /** The nearest matrix of `rank` as B = U·S [out, rank] and A = Vᵀ [rank, in], zeros where M has fewer; ‖M‖, and ‖M − B·A‖ as `rest`. */
  factorsLeading(
    out: number,
    inputs: number,
    terms: FactorTerm[],
    rank: number,
  ): { A: Float64Array; B: Float64Array; norm: number; rest: number }
  /** All min(out, in) singular values of M, descending. */
  factorsValues(out: number, inputs: number, terms: FactorTerm[]): Float64Array
  /** The index of the first value that is no finite number, −1 when all are. */
  firstNonFinite(values: MatrixValues): number
  /** ‖values[fromRow:toRow, fromCol:toCol]‖ of Frobenius; `values` has `cols` columns. */
  blockNorm(values: MatrixValues, cols: number, fromRow: number, toRow: number, fromCol: number, toCol: number): number
  /** Σ scale · values [rows, cols]. */
  mixMatrices(rows: number, cols: number, terms: MixTerm[]): Float64Array
  /** a [m, k] · b [k, n]; one that is turned is given as its transpose. */
  multiplyMatrices(
    a: MatrixValues,
    b: MatrixValues,
    m: number,
    k: number,
    n: number,
    turnA: boolean,
    turnB: boolean,
  ): Float64Array
}
