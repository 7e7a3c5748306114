/**
 * The older shape: LayerNorm before each half, an MLP without gate, biases nearly everywhere. Families differ in names, positions and in
 * whether both halves read the stream at once.
 */
import type { BlockDescription, LinearSpec, ModelDescription } from '../../native/binding.js'
import type { Fields } from '../fields.js'
import { layerCount, type Sizes } from './decoder.js'

type Given = Pick<ModelDescription, 'family' | 'maxPositions' | 'normEpsilon' | 'activation' | 'names'> &
  Partial<ModelDescription>

/** @param block - describes a layer; linear layers come from `linear`, in [out_features, in_features]. */
export function describePlain(
  config: Fields,
  sizes: Sizes,
  given: Given,
  block: (index: number) => BlockDescription,
): ModelDescription {
  return {
    vocabulary: config.integer('vocab_size'),
    ...sizes,
    norm: 'layer',
    normOffset: 0,
    queryKeyNorm: 'head',
    gated: false,
    parallel: false,
    attentionScale: 1 / Math.sqrt(sizes.headDim),
    attentionSoftCap: 0,
    logitSoftCap: 0,
    embeddingMultiplier: 1,
    residualMultiplier: 1,
    logitsDivider: 1,
    tiedHead: config.boolean('tie_word_embeddings', false),
    transposedLinears: false,
    headBias: false,
    positionOffset: 0,
    ropes: [],
    layers: Array.from({ length: layerCount(config) }, (_, index) => block(index)),
    ...given,
  }
}

export function linear(module: string, out: number, width: number, bias: boolean): LinearSpec {
  return { module, shape: [out, width], bias }
}

/** q, k and v, each a matrix of its own, under `at`. */
export function separateProjections(at: string, sizes: Sizes, bias: boolean): LinearSpec[] {
  const { hidden, heads, kvHeads, headDim } = sizes
  const projection = (name: string, count: number) => linear(`${at}.${name}`, count * headDim, hidden, bias)
  return [projection('q_proj', heads), projection('k_proj', kvHeads), projection('v_proj', kvHeads)]
}

/** An MLP of two matrices. */
export function plainMlp(up: string, down: string, sizes: Sizes, bias: boolean): BlockDescription['mlp'] {
  const { hidden, intermediate } = sizes
  return { in: [linear(up, intermediate, hidden, bias)], out: linear(down, hidden, intermediate, bias) }
}

/** What transformers calls activations of an MLP without gate. */
const activations: Readonly<Record<string, ModelDescription['activation']>> = {
  gelu: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  relu: 'relu',
  silu: 'silu',
}

export function readPlainActivation(config: Fields, field: string, fallback: string): ModelDescription['activation'] {
  const name = config.string(field, fallback)
  if (!Object.hasOwn(activations, name)) config.fail(field, `one of ${Object.keys(activations).join(', ')}`)
  return activations[name]!
}
