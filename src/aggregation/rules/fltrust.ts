/**
 * value = Σ t_k·(‖g‖ / ‖x_k‖)·x_k / Σ t_k      t_k = max(0, cos(x_k, g))
 *
 * g is the root: an update of the server's own, from rows that it trusts. Weights do not count. The value is 0 when nobody is trusted, and an
 * update of norm 0 is not. Which updates point away from the root only is seen: one that leans to it by little is trusted by much.
 *
 * Source: Cao et al. 2021, "FLTrust: Byzantine-robust federated learning via trust bootstrapping", algorithm 2.
 */
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { native } from '../../native/load.js'
import type { WholeRule } from '../rule.js'
import { productsWith, squaredNorms, weightedSum } from '../tiles.js'
import { type Vector, zerosLike } from '../vectors.js'

const root = z.custom<Vector>(
  (value) => value instanceof Float32Array || value instanceof Float64Array,
  'expected a Float32Array or a Float64Array',
)

const options = z.strictObject({ root: root.describe("g: the server's own update") })

/** The root in the type of the updates, and ‖g‖². */
function checkRoot<V extends Vector>(root: Vector, like: V): { root: V; square: number } {
  const where = 'rule fltrust: options: root'
  if (root.length !== like.length) {
    const [got, expected] = [root.length, like.length]
    throw new FedloraError('E_SHAPE', `${where} has ${got} values, expected ${expected}`, { got, expected })
  }
  const alike = root.constructor === like.constructor ? (root as V) : zerosLike<V>(like)
  if (alike !== root) alike.set(root)
  const square = native().innerProducts([alike])[0]!
  if (!Number.isFinite(square)) {
    const element = native().firstNonfinite(alike)
    const what = element < 0 ? 'the square of its norm overflows a double' : `element ${element} is ${root[element]}`
    throw new FedloraError('E_NONFINITE', `${where}: ${what}`, { element })
  }
  if (square === 0) {
    throw new FedloraError('E_ARGUMENT', `${where} is zero, expected an update of norm above 0: it would trust nobody`)
  }
  return { root: alike, square }
}

export const fltrust: WholeRule<z.output<typeof options>> = {
  name: 'fltrust',
  about: "the mean of updates at the norm of the server's own, by how much they point in its direction",
  source: 'Cao et al. 2021, "FLTrust: Byzantine-robust federated learning via trust bootstrapping"',
  needs: 'all',
  options,
  combine(updates, _weights, into, options) {
    const { root, square } = checkRoot(options.root, into)
    const length = Math.sqrt(square)
    const norms = squaredNorms(updates, into).map(Math.sqrt)
    const trust = productsWith(updates, root).map((product, k) =>
      norms[k]! > 0 ? Math.max(0, product / length / norms[k]!) : 0,
    )
    const coefficients = trust.map((t, k) => (t > 0 ? (t * length) / norms[k]! : 0))
    const total = trust.reduce((sum, t) => sum + t, 0)
    weightedSum(updates, coefficients, total > 0 ? total : 1, into)
    return { selected: trust.flatMap((t, k) => (t > 0 ? [k] : [])) }
  },
}
