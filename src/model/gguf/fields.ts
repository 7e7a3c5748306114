/** A model's config as the keys and shared vectors that llama.cpp reads: what config.ts does, the other way round. */
import type { GgufField, GgufType } from '../../native/binding.js'
import type { ModelConfig } from '../config.js'
import type { Architecture } from './architectures.js'
import { text, whole, writeKeys } from './keys.js'
import { type RopeKeys, writeRopeKeys } from './rope.js'
import { writeWindowKeys } from './windows.js'

/** `general.file_type`: what most of the matrices are. */
const fileTypes: Readonly<Record<GgufType, number>> = { f32: 0, f16: 1, q4_0: 2, q8_0: 7, bf16: 32 }

/** Keys that say how the file is made. */
export function fileFields(type: GgufType): GgufField[] {
  return [whole('general.file_type', fileTypes[type]), whole('general.quantization_version', 2)]
}

/**
 * The keys of a model, without its tokenizer, and the vectors that its layers share.
 * @throws FedloraError `E_UNSUPPORTED` for a rope type that the architecture has not. Whether the keys say all is `checkSaid`'s to judge.
 */
export function modelFields({ description }: ModelConfig, architecture: Architecture): RopeKeys {
  const key = (part: string) => `${architecture.name}.${part}`
  const rope = writeRopeKeys(description, architecture)
  const fields = [
    text('general.architecture', architecture.name),
    text('general.type', 'model'),
    ...writeKeys(architecture.keys, description, architecture.name),
    whole(key('attention.value_length'), description.headDim),
    whole(key('vocab_size'), description.vocabulary),
    ...writeWindowKeys(description, architecture),
    ...rope.fields,
  ]
  return { fields, vectors: rope.vectors }
}

/** llama.cpp looks for these in the vocabulary of every model whose name says Phi-3, and does not load it without them. */
const tokensOfPhi3 = ['</s>', '<unk>', '<s>', '<|endoftext|>']

/** The model's name; none where llama.cpp would not load the file for it. */
export function nameFields(name: string, tokenizer: readonly GgufField[] = []): GgufField[] {
  const tokens = tokenizer.find((field) => field.name === 'tokenizer.ggml.tokens')?.value as string[] | undefined
  const lacking = tokens !== undefined && tokensOfPhi3.some((token) => !tokens.includes(token))
  return lacking && /phi-?3/i.test(name) ? [] : [text('general.name', name)]
}
