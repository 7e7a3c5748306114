/** Descriptions of families by configs of few fields. */
import { parseModelConfig } from '../../src/model/config.js'

type Json = Record<string, unknown>

/** What no config may leave out. */
export const fewest = {
  hidden_size: 128,
  num_attention_heads: 32,
  num_hidden_layers: 2,
  intermediate_size: 96,
  vocab_size: 50,
}

/** Describes a family by `fewest`, with `always` and `changes` in the place of what it says. */
export const describer =
  (always: Json = {}) =>
  (family: string, changes: Json = {}) =>
    parseModelConfig({ model_type: family, ...fewest, ...always, ...changes }).description
