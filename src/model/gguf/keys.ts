/** Keys of a model's metadata, with the fields of config.json that say the same: read and written by one list. */
import type { Json } from '../../files/json.js'
import type { GgufMetadata } from '../../gguf/metadata.js'
import type { GgufField, ModelDescription } from '../../native/binding.js'

const made =
  (type: GgufField['type']) =>
  (name: string, value: NonNullable<GgufField['value']>): GgufField => ({
    name,
    type,
    list: Array.isArray(value),
    value,
  })
export const text = made('string')
export const whole = made('uint32')
export const number = made('float32')
export const flag = made('bool')
export const int = made('int32')

type Value = number | boolean | null

/** Values of keys that were read before. */
export type Said = Readonly<Record<string, Value>>

export interface Key {
  /** After the architecture's name. */
  readonly key: string
  /** Of config.json. */
  readonly field: string
  readonly type: 'whole' | 'number' | 'flag'
  /** What is written; undefined: nothing. */
  of(model: ModelDescription): number | boolean | undefined
  /** What a file without it means to llama.cpp; left out: it must be there. */
  readonly absent?: Value | ((said: Said) => Value)
}

const expected = { whole: 'a whole number', number: 'a number', flag: 'true or false' }
const writers = { whole, number, flag }

const count = (key: string, field: string, of: (model: ModelDescription) => number): Key => ({
  key,
  field,
  type: 'whole',
  of,
})
const ofHeads = (said: Said) => Number(said.embedding_length) / Number(said['attention.head_count'])

/** Sizes, which every architecture has; a number of one that may be missing or 0 where a model has none. */
const sizes: readonly Key[] = [
  count('block_count', 'num_hidden_layers', ({ layers }) => layers.length),
  count('context_length', 'max_position_embeddings', ({ maxPositions }) => maxPositions),
  count('embedding_length', 'hidden_size', ({ hidden }) => hidden),
  count('feed_forward_length', 'intermediate_size', ({ intermediate }) => intermediate),
  count('attention.head_count', 'num_attention_heads', ({ heads }) => heads),
  {
    ...count('attention.head_count_kv', 'num_key_value_heads', ({ kvHeads }) => kvHeads),
    absent: (said) => said['attention.head_count']!,
  },
  { ...count('attention.key_length', 'head_dim', ({ headDim }) => headDim), absent: ofHeads },
]

const epsilon = (key: string, field: string): Key => ({
  key,
  field,
  type: 'number',
  of: ({ normEpsilon }) => normEpsilon,
})

/** Sizes and the epsilon of root mean square norms, in Llama's spelling. */
export const decoderKeys: readonly Key[] = [...sizes, epsilon('attention.layer_norm_rms_epsilon', 'rms_norm_eps')]

/** Sizes and the epsilon of layer norms; `spelled`: the family's fields, by key, where they are not Llama's. */
export const plainKeys = (epsilonField: string, spelled: Readonly<Record<string, string>> = {}): readonly Key[] => [
  ...sizes.map((one) => ({ ...one, field: spelled[one.key] ?? one.field })),
  epsilon('attention.layer_norm_epsilon', epsilonField),
]

/**
 * Fields of config.json by the keys of a file.
 * @throws FedloraError `E_FORMAT` naming a key that is missing or of another type.
 */
export function readKeys(
  keys: readonly Key[],
  metadata: GgufMetadata,
  architecture: string,
): { fields: Json; said: Said } {
  const fields: Json = {}
  const said: Record<string, Value> = {}
  for (const { key, field, type, absent } of keys) {
    const name = `${architecture}.${key}`
    const otherwise = () => {
      if (absent === undefined) return metadata.fail(name, expected[type])
      return typeof absent === 'function' ? absent(said) : absent
    }
    const value = metadata[type](name) ?? otherwise()
    said[key] = value
    fields[field] = value
  }
  return { fields, said }
}

/** What a file says of a model. */
export function writeKeys(keys: readonly Key[], model: ModelDescription, architecture: string): GgufField[] {
  return keys.flatMap(({ key, type, of }) => {
    const value = of(model)
    return value === undefined ? [] : [writers[type](`${architecture}.${key}`, value)]
  })
}
