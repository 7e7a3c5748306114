/** Parts of the adapter that stay with their client: which they are, and an adapter of shared parts and a client's own. */
import { FedloraError } from '../../errors.js'
import { gather, type Ranges, rangesOf, type Space, scatter } from '../protocol/space.js'
import type { PersonalKit } from './algorithm.js'

/** What is kept of an adapter, and what travels of it. */
export interface Parted {
  local: Ranges
  shared: Ranges
}

/** Whole segments of a name, anywhere in it; `*` stands for any text. */
function expression(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.|?+()[\]{}]/g, '\\$&'))
  return new RegExp(`(^|\\.)${parts.join('.*')}(\\.|$)`)
}

/**
 * Parts an adapter by the names of its tensors, `MODULE.lora_A` and `MODULE.lora_B`.
 * @param patterns - of what stays: 'lora_B', 'q_proj', 'layers.23', 'layers.2*.mlp'.
 * @throws FedloraError `E_CONFIG` for a pattern that no name has, and when nothing would be shared.
 */
export function partBy(space: Space, patterns: readonly string[]): Parted {
  const nameOf = ({ module, part }: Space['tensors'][number]) => `${module}.${part}`
  const expressions = patterns.map(expression)
  const unused = expressions.findIndex((one) => !space.tensors.some((tensor) => one.test(nameOf(tensor))))
  const [first] = space.tensors
  if (unused >= 0) {
    const message = `local: '${patterns[unused]}' is in no name of the adapter's tensors, such as '${first && nameOf(first)}'`
    throw new FedloraError('E_CONFIG', message, { pattern: patterns[unused] })
  }
  const stays = (tensor: Space['tensors'][number]) => expressions.some((one) => one.test(nameOf(tensor)))
  const parted = { local: rangesOf(space, stays), shared: rangesOf(space, (tensor) => !stays(tensor)) }
  if (parted.shared.length > 0) return parted
  const message = `local: ${patterns.map((pattern) => `'${pattern}'`).join(', ')} leave nothing to share; name a part of the adapter`
  throw new FedloraError('E_CONFIG', message, { patterns })
}

/** Shared parts as given, local ones as the client has them: of its own, or as the federation began. */
export function assembled({ given, own }: Pick<PersonalKit, 'given' | 'own'>, { local }: Parted): Float32Array {
  const adapter = given.adapter!.slice()
  if (own.local !== undefined) scatter(adapter, local, own.local)
  return adapter
}

/** What a client keeps of an adapter. */
export const keptOf = (adapter: Float32Array, { local }: Parted): { local: Float32Array } => ({
  local: gather(adapter, local),
})
