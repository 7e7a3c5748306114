/**
 * Whether an answer may count: nothing of it is believed. Its fields, its vectors by name, length, checksum and finiteness, its weight and its
 * norm are checked before anything is added; an answer counts whole or not at all.
 */
import { norm } from '../../aggregation/vectors.js'
import { FedloraError, isFedloraError } from '../../errors.js'
import type { Vectors } from '../algorithms/algorithm.js'
import { type Answer, answerSchema } from '../protocol/messages.js'
import type { ScreeningConfig } from '../screening-options.js'
import { decodeVector } from '../vector-message.js'

/** What the server knows of an answer that it waits for. */
export interface Expected {
  /** Values of a vector of this name; undefined: there is none. */
  lengthOf(name: string): number | undefined
  /** Names that an answer with a loss must have. */
  readonly names: readonly string[]
  /** What the answer counts by in means. */
  readonly weight: number
  /** Whether updates come masked. */
  readonly masked?: boolean
}

/** What an answer may be refused for; anything else is the trouble of whoever screens it. */
const refusing: ReadonlySet<FedloraError['code']> = new Set([
  'E_FORMAT',
  'E_CHECKSUM',
  'E_VERSION',
  'E_SHAPE',
  'E_NONFINITE',
  'E_ARGUMENT',
  'E_PROTOCOL',
] as const)

export const isRefusal = (error: unknown): error is FedloraError => isFedloraError(error) && refusing.has(error.code)

const refusal = (code: FedloraError['code'], { client }: Answer, what: string, details: Record<string, unknown>) =>
  new FedloraError(code, `the answer of client ${client}: ${what}`, { client, ...details })

function checkFields(answer: Answer): void {
  const { error } = answerSchema.safeParse(answer)
  if (error === undefined) return
  const [first] = error.issues
  const field = first!.path.join('.')
  throw refusal('E_FORMAT', answer, `${field || 'it'}: ${first!.message}`, { field })
}

function checkNames(answer: Answer, sent: readonly string[], { names, lengthOf }: Expected): void {
  const unasked = sent.find((name) => lengthOf(name) === undefined)
  if (unasked !== undefined)
    throw refusal('E_FORMAT', answer, `'${unasked}' is a vector that nobody asked for`, { name: unasked })
  const missing = names.find((name) => !sent.includes(name))
  if (missing !== undefined) throw refusal('E_FORMAT', answer, `'${missing}' is missing`, { name: missing })
}

/** Of vectors under a mask only names and lengths can be judged. */
function checkMasked(answer: Answer, expected: Expected): void {
  const { masked, vectors } = answer
  if (
    (masked !== undefined) !== (expected.masked ?? false) ||
    (masked !== undefined && Object.keys(vectors).length > 0)
  ) {
    const what = expected.masked ? 'it has vectors without a mask' : 'it is masked, and nobody asked for that'
    throw refusal('E_FORMAT', answer, what, {})
  }
  if (masked === undefined) return
  checkNames(
    answer,
    masked.vectors.map(([name]) => name),
    expected,
  )
  for (const [name, got] of masked.vectors) {
    const length = expected.lengthOf(name)!
    if (got !== length)
      throw refusal('E_SHAPE', answer, `'${name}' has ${got} values, expected ${length}`, {
        name,
        got,
        expected: length,
      })
  }
}

function decode(answer: Answer, name: string, message: Uint8Array, expected: number): Float32Array {
  try {
    return decodeVector(message, expected)
  } catch (error) {
    if (!isFedloraError(error)) throw error
    const why = error.code === 'E_SHAPE' ? `has another number of values, expected ${expected}` : `: ${error.message}`
    throw refusal(error.code, answer, `'${name}' ${why}`.replace(' :', ':'), { ...error.details, name, expected })
  }
}

/**
 * The vectors of an answer, decoded; none without a loss.
 * @throws FedloraError `E_FORMAT` (fields, names, damaged), `E_CHECKSUM`, `E_VERSION`, `E_SHAPE`, `E_NONFINITE`; `E_ARGUMENT` for a weight that
 * is no whole number above 0, or a weight or a norm beyond its bound.
 */
export function screen(answer: Answer, expected: Expected, { maxNorm, maxWeight }: ScreeningConfig = {}): Vectors {
  checkFields(answer)
  if (answer.loss === null) return {}
  const { weight } = expected
  if (!(Number.isSafeInteger(weight) && weight > 0))
    throw refusal('E_ARGUMENT', answer, `its weight is ${weight}, expected a whole number above 0`, { weight })
  if (maxWeight !== undefined && weight > maxWeight)
    throw refusal('E_ARGUMENT', answer, `its weight is ${weight}, at most ${maxWeight} counts`, { weight, maxWeight })
  checkMasked(answer, expected)
  if (expected.masked) return {}
  checkNames(answer, Object.keys(answer.vectors), expected)
  const decoded: Vectors = {}
  for (const [name, message] of Object.entries(answer.vectors))
    decoded[name] = decode(answer, name, message, expected.lengthOf(name)!)
  if (maxNorm === undefined) return decoded
  const length = Math.hypot(...Object.values(decoded).map((vector) => norm(vector)))
  if (!(length <= maxNorm)) {
    const bound = `its norm is ${length.toPrecision(6)}, at most ${maxNorm} counts`
    throw refusal('E_ARGUMENT', answer, bound, { norm: length, maxNorm })
  }
  return decoded
}
