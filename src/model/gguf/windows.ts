/** Windows of a model's layers as keys of a file: one size, and by the architecture's turn or a list which layers have it. */
import type { Json } from '../../files/json.js'
import type { GgufField, ModelDescription } from '../../native/binding.js'
import type { Architecture } from './architectures.js'
import { flag, whole } from './keys.js'
import { type GgufSource, keyOf } from './source.js'

const size = 'attention.sliding_window'
const pattern = 'attention.sliding_window_pattern'

const byTurn = (layers: number, stride: number) => Array.from({ length: layers }, (_, i) => i % stride < stride - 1)

/** The window that a file says; 0: none. */
export function saidWindow(metadata: GgufSource['metadata'], architecture: string): number {
  return metadata.whole(`${architecture}.${size}`) ?? 0
}

/** Fields of config.json. */
export function readWindowKeys(source: GgufSource, layers: number): Json {
  const { metadata, architecture } = source
  const { windows } = architecture
  const window = metadata.has(keyOf(source, size)) ? saidWindow(metadata, architecture.name) : (windows?.absent ?? 0)
  const fields = {
    sliding_window: window > 0 ? window : null,
    use_sliding_window: window > 0,
    max_window_layers: 0,
  }
  if (windows === undefined || window === 0) return fields
  const name = keyOf(source, pattern)
  const stride = metadata.has(name) && !metadata.isList(name) ? metadata.whole(name)! : windows.stride
  const sliding = metadata.isList(name) ? metadata.flags(name)! : byTurn(layers, stride)
  return { ...fields, layer_types: sliding.map((one) => (one ? 'sliding_attention' : 'full_attention')) }
}

/** Keys that say a model's windows; nothing where they cannot. */
export function writeWindowKeys({ layers }: ModelDescription, architecture: Architecture): GgufField[] {
  const key = (name: string) => `${architecture.name}.${name}`
  const sizes = new Set(layers.map(({ attention }) => attention.window))
  const { windows, saysWindow } = architecture
  if (windows === undefined) {
    const [only = 0] = sizes
    return sizes.size === 1 && (only > 0 || saysWindow) ? [whole(key(size), only)] : []
  }
  const window = Math.max(...sizes)
  const sliding = layers.map(({ attention }) => attention.window > 0)
  const usual = byTurn(layers.length, windows.stride)
  const listed = (window > 0 || windows.absent > 0) && sliding.some((one, i) => one !== usual[i])
  return [...(window > 0 ? [whole(key(size), window)] : []), ...(listed ? [flag(key(pattern), sliding)] : [])]
}
