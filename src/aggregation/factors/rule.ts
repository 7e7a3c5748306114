/**
 * What a rule for LoRA factors is: from the factors of all clients to the server's, one module at a time, so that a server holds n clients
 * times one module and never n adapters.
 *
 * Letters: p_k weight of client k (they sum to 1), s_k its scale α_k/r_k, s_g the server's. A [rank, in], B [out, rank], row-major.
 * What the server should represent is the ideal Σ p_k s_k B_k A_k. Scales that differ are folded into the factor that is averaged, into
 * B where both are: B′_k = (s_k/s_g) B_k, so that ΔW = s_g B A always holds.
 */
import type { z } from 'zod'
import type { MatrixValues } from '../../native/binding.js'

/** A pair of factors of one module. */
export interface Factors {
  /** [rank, in] */
  A: MatrixValues
  /** [out, rank] */
  B: MatrixValues
  rank: number
}

/** What came of a client, or what the server had sent. */
export interface ScaledFactors extends Factors {
  /** α/rank: the client's ΔW is `scaling`·B·A. */
  scaling: number
}

export interface ClientFactors extends ScaledFactors {
  /** Fed-SB's core [rank, rank]; A and B are then the shared ones. */
  R?: MatrixValues | undefined
}

/** One module's updates. */
export interface ModuleUpdates {
  out: number
  in: number
  clients: readonly ClientFactors[]
  /** What the server had sent, of the greatest rank (HetLoRA). */
  sent?: ScaledFactors | undefined
}

export interface Server {
  /** Rank of the server's adapter: the greatest of the clients'. */
  rank: number
  /** s_g */
  scaling: number
}

/** Squares of ‖ΔW_server − ideal‖ and ‖ideal‖ of a module; sums over modules give `aggregationError`. */
export interface FactorError {
  difference2: number
  ideal2: number
}

/** The server's side of one module: ΔW = s_g·B·A + the residual's B·A. */
export interface Combined extends Factors {
  A: Float64Array
  B: Float64Array
  /** What the pair cannot hold; its product counts as it is, without a scale. */
  residual?: { A: Float64Array; B: Float64Array; rank: number } | undefined
  /** Fed-SB: the mean core [rank, rank]; B is the shared B times it. */
  R?: Float64Array | undefined
  /** All of what the rule decomposes, before truncation, descending; default: of ΔW. */
  singularValues?: (() => Float64Array) | undefined
  /** Ranks that the clients have from now on, where the rule changes them. */
  ranks?: readonly number[] | undefined
  /** The pair that client k starts from, ΔW = s_g·B·A; default: the leading `ranks[k]` of the server's, and the residual. */
  view?: ((client: number) => Factors) | undefined
  error: FactorError
}

/** A rule by its name. Methods take weights that sum to 1, and options as `options` parses them. */
export interface FactorRule<Options = unknown, Survey = unknown> {
  readonly name: string
  readonly options: z.ZodType<Options>
  /** Clients must have equal ranks. */
  readonly equalRanks?: boolean
  /** What a module must bring besides A and B. */
  needs?(options: Options): 'R' | 'sent' | undefined
  /** The factor that all clients hold as it was sent, up to their ranks. */
  shared?(options: Options): 'A' | 'B' | 'AB' | undefined
  /** First pass, where what is done to a module depends on all: what was learnt so far and one module more. */
  survey?(before: Survey | undefined, module: ModuleUpdates, options: Options): Survey
  combine(module: ModuleUpdates, weights: readonly number[], server: Server, options: Options, survey: Survey): Combined
}
