/** Which layers attend to a window of keys alone, as the families' configs say it. */
import type { Fields } from '../fields.js'
import { readRope, ropeFieldsByLayer, type ThetasByLayer } from '../rope.js'
import { layerCount, type Traits } from './decoder.js'

/** By `layer_types`, each layer's; undefined when the config does not list them. */
function slidingLayers(config: Fields): boolean[] | undefined {
  const types = config.strings('layer_types')
  if (types === undefined) return undefined
  const layers = layerCount(config)
  if (types.length !== layers) config.fail('layer_types', `one entry for each of the ${layers} layers`)
  const known = ['full_attention', 'attention', 'sliding_attention'] // 'attention' is an older name of full_attention
  if (types.some((type) => !known.includes(type))) {
    config.fail('layer_types', "entries 'full_attention' or 'sliding_attention'")
  }
  return types.map((type) => type === 'sliding_attention')
}

/** `sliding_window` of the layers that `layer_types` names, or else of those that `otherwise` does; null: none. */
export function windowOf(
  config: Fields,
  fallback: number,
  otherwise: (index: number) => boolean,
): (index: number) => number {
  const window = config.values.sliding_window === null ? 0 : config.integer('sliding_window', fallback)
  const sliding = slidingLayers(config)
  return (index) => ((sliding?.[index] ?? otherwise(index)) ? window : 0)
}

/** Windows, and a rotary table of their own for the layers that have one. */
export function windowsWithRopes(
  config: Fields,
  window: (index: number) => number,
  theta: ThetasByLayer,
): Pick<Traits, 'window' | 'ropes' | 'rope'> {
  return {
    window,
    ropes: (headDim, maxPositions) => {
      const { full, sliding } = ropeFieldsByLayer(config, theta)
      return [full, sliding].map((fields) => readRope(config, { headDim, maxPositions, fields }))
    },
    rope: (index) => (window(index) > 0 ? 1 : 0),
  }
}

/** Qwen's windows: `layer_types`, or layers from `max_window_layers` on when `use_sliding_window` says so. */
export function qwenWindow(config: Fields): (index: number) => number {
  const used = config.boolean('use_sliding_window', false) && config.values.sliding_window !== null
  const window = used ? config.integer('sliding_window', 4096) : 0
  const from = config.integer('max_window_layers', 28, 0)
  const sliding = slidingLayers(config)
  return (index) => ((sliding === undefined ? index >= from : sliding[index]) ? window : 0)
}
