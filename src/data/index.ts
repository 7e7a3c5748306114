/** The data room: what other rooms and the package's entry points use of it. */

export { permutation, philox, Random, randomStreams } from '../random/random.js'
export {
  type Batch,
  Batches,
  type BatchOptions,
  type BatchState,
  batchOptionsSchema,
  pack,
} from './batches.js'
export { Dataset, type DatasetCounts, loadDataset } from './dataset.js'
export {
  type DatasetConfig,
  type DatasetOptions,
  datasetOptionsSchema,
  type PartsOptions,
  partsSchema,
} from './dataset-options.js'
export { type FormatName, formatNames, type Row } from './formats/formats.js'
export { notSupervised } from './ids/labels.js'
export type { Sample } from './ids/sample.js'
export type { DataProgress } from './progress.js'
export type { DataSource, RowSource } from './reading/read-rows.js'
export { type ClientRows, Split, type SplitOptions, split, splitOptionsSchema } from './split/splitters.js'
export type { ChatMessage, ChatTemplateOptions } from './tokenizer/chat-template.js'
export type { StreamDecoder } from './tokenizer/stream-decoder.js'
export {
  type DecodeOptions,
  type EncodedText,
  type EncodedTexts,
  type EncodeManyOptions,
  type EncodeOptions,
  loadTokenizer,
  resolveTokenizer,
  Tokenizer,
  type TokenizerLike,
  type TokenizerOwner,
} from './tokenizer/tokenizer.js'
export type { PrepareOptions } from './tokens/prepare.js'
