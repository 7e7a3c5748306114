/** What llama.cpp cannot say, or computes otherwise: the one is refused before a file is written, the other told. */
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { firstDifference } from '../../files/difference.js'
import { GgufMetadata } from '../../gguf/metadata.js'
import type { LinearSpec, ModelDescription, RopeDescription } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { ModelConfig } from '../config.js'
import { ropeOrigin } from '../rope.js'
import type { Architecture } from './architectures.js'
import { describeGguf } from './config.js'
import { storedTensors } from './names.js'
import type { RopeKeys } from './rope.js'

function refuse(architecture: Architecture, field: string, why: string): never {
  throw new FedloraError(
    'E_UNSUPPORTED',
    `GGUF: llama.cpp's architecture '${architecture.name}' ${why}. Merge into a folder (format 'safetensors')`,
    { field, architecture: architecture.name },
  )
}

/** Biases beside those of q, k and v. */
function checkBiases({ layers }: ModelDescription, architecture: Architecture): void {
  const { biases } = architecture
  const judge = (inputs: boolean, { module, bias }: LinearSpec) => {
    if (bias && biases === undefined && !inputs) refuse(architecture, module, `has no bias of '${module}'`)
    if (!bias && biases === 'required') refuse(architecture, module, `needs a bias of '${module}'`)
  }
  for (const { attention, mlp } of layers) {
    for (const linear of attention.in) judge(true, linear)
    for (const linear of [attention.out, ...mlp.in, mlp.out]) judge(false, linear)
  }
}

/** A rotary table as it turns; `ropes` may list some that no layer uses. */
function turning(ropes: readonly RopeDescription[], index: number): unknown {
  const rope = ropes[index]
  if (rope === undefined) return undefined
  const { inverseFrequencies, attentionFactor, long, temperature } = rope
  return { inverseFrequencies, attentionFactor, long, temperature }
}

/** What of a description must come back; names, offsets and orders are the file's own matter. */
function essence(model: ModelDescription): unknown {
  const { family, tiedHead, normOffset, textPrefixes, ropes, layers, ...rest } = model
  const turned = layers.map(({ attention: { rope, queryRope, ...attention }, ...block }) => ({
    ...block,
    attention: { ...attention, rope: turning(ropes, rope), queryRope: turning(ropes, queryRope ?? rope) },
  }))
  return { ...rest, layers: turned }
}

/** Float32 keys, and frequencies that llama.cpp makes of theta and factors. */
const tolerance = 1e-6

const near = (want: unknown, got: unknown) =>
  want === got ||
  (typeof want === 'number' && typeof got === 'number' && Math.abs(want - got) <= tolerance * Math.abs(want))

/** The file would be read as this model. */
function readBack(config: ModelConfig, architecture: Architecture, { fields, vectors }: RopeKeys): ModelConfig {
  const shapes = new Map(
    native()
      .describeTensors(config.description)
      .map(({ name, shape }) => [name, shape]),
  )
  const stored = storedTensors(config.description, architecture)
  const tensors = new Map(stored.map(({ name, stored }) => [stored, shapes.get(name)!]))
  for (const [name, { length }] of vectors) tensors.set(name, [length])
  const metadata = new GgufMetadata('the file', { fields, tensors: [] })
  return describeGguf({ metadata, architecture, tensors, vector: (name) => vectors.get(name)! })
}

/**
 * Refuses a model that its file could not say.
 * @throws FedloraError `E_UNSUPPORTED` naming the first trait that is lost, with what llama.cpp would take for it.
 */
export function checkSaid(config: ModelConfig, architecture: Architecture, keys: RopeKeys): void {
  const { description } = config
  const { heads, headDim, hidden, tiedHead } = description
  if (architecture.square && heads * headDim !== hidden)
    refuse(architecture, 'head_dim', `has heads that make up the hidden size, not ${heads} × ${headDim} of ${hidden}`)
  if (architecture.head === 'tied' && !tiedHead)
    refuse(architecture, 'tie_word_embeddings', 'has no head of its own, only the embedding')
  checkBiases(description, architecture)
  const came = readBack(config, architecture, keys).description
  const found = firstDifference(essence(description), essence(came), '', near)
  if (found === undefined) return
  const { path, a: want, b: got } = found
  refuse(
    architecture,
    path,
    `cannot say this model's ${path}, ${describeValue(want)}: it would take ${describeValue(got)}`,
  )
}

/** What a reader of the file should know of llama.cpp. */
export function notesOf({ description, maxPositions }: ModelConfig, architecture: Architecture): string[] {
  const notes: string[] = []
  const windows = description.layers.map(({ attention }) => attention.window).filter((window) => window > 0)
  const window = Math.min(...windows)
  if (architecture.windows === undefined && window < maxPositions)
    notes.push(`llama.cpp does not apply this model's window of ${window} tokens: beyond them its logits differ`)
  const kind = description.ropes[0] && ropeOrigin(description.ropes[0])?.kind
  if (kind === 'longrope')
    notes.push('llama.cpp takes the long factors by the size of its context, not by the length of a row')
  if (kind === 'dynamic')
    notes.push(`llama.cpp does not scale frequencies beyond ${maxPositions} positions, as this model's config asks`)
  if (architecture.otherwise !== undefined && description.activation === 'gelu') notes.push(architecture.otherwise)
  return notes
}
