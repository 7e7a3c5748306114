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
export type { DatasetCounts } from './counts.js'
export { Dataset } from './dataset.js'
export { type DatasetConfig, type DatasetOptions, datasetOptionsSchema } from './dataset-options.js'
export { type FormatName, formatNames, type Row } from './formats/formats.js'
export { notSupervised } from './ids/labels.js'
export type { Sample } from './ids/sample.js'
export { loadDataset } from './load-dataset.js'
export type { DataProgress } from './progress.js'
export type { DataSource, RowSource } from './reading/read-rows.js'
export { type PartsOptions, partsSchema } from './split/parts.js'
export { type ClientRows, Split } from './split/split.js'
export { type SplitOptions, splitOptionsSchema } from './split/split-options.js'
export { split } from './split/splitters.js'
export type { ChatMessage, ChatTemplateOptions } from './tokenizer/chat-template.js'
export type { EncodedText, EncodedTexts, EncodeManyOptions, EncodeOptions } from './tokenizer/encoding.js'
export { loadTokenizer } from './tokenizer/load-tokenizer.js'
export { resolveTokenizer, type TokenizerLike, type TokenizerOwner } from './tokenizer/resolve.js'
export type { StreamDecoder } from './tokenizer/stream-decoder.js'
export { type DecodeOptions, Tokenizer } from './tokenizer/tokenizer.js'
export type { PrepareOptions } from './tokens/prepare.js'
