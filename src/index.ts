/// <reference lib="esnext.disposable" preserve="true" />
/**
 * fedlora: LoRA fine-tuning of quantised language models from Node.js. Federation lives in `fedlora/federated`.
 * Importing does nothing; the native addon opens on first use.
 */

export { Aggregator, createAggregator, type MeanOptions, type WeightedMessage } from './aggregation/aggregator.js'
export {
  type Codec,
  codecs,
  type DecodeUpdateOptions,
  decodeUpdate,
  type EncodedUpdate,
  type EncodeUpdateOptions,
  encodeUpdate,
  type ThreadOptions,
} from './compression/codec.js'
export { Dataset } from './data/dataset.js'
export type { DatasetOptions } from './data/dataset-options.js'
export type { FormatName, Row } from './data/formats/formats.js'
export type { Sample } from './data/ids/sample.js'
export { loadDataset } from './data/load-dataset.js'
export type { DataProgress } from './data/progress.js'
export type { PromptFormat, PromptText } from './data/prompt.js'
export type { DataSource, RowSource } from './data/reading/read-rows.js'
export type { PartsOptions } from './data/split/parts.js'
export type { ChatMessage } from './data/tokenizer/chat-template.js'
export { loadTokenizer } from './data/tokenizer/load-tokenizer.js'
export { Tokenizer } from './data/tokenizer/tokenizer.js'
export type { PrepareOptions } from './data/tokens/prepare.js'
export { type ErrorCode, type ErrorJson, errorCodes, FedloraError, isFedloraError } from './errors.js'
export { type EvaluateOptions, type EvaluationResult, evaluate } from './evaluation/evaluate.js'
export { Adapter, type GradientResult } from './model/adapter.js'
export type { AdapterConfig, AdapterOptions } from './model/adapter-options.js'
export { type ModelConfig, parseModelConfig } from './model/config.js'
export { type ExportOptions, type ExportResult, exportAdapter } from './model/export.js'
export { supportedFamilies } from './model/families/index.js'
export type { GenerateOptions } from './model/generate-options.js'
export { type FinishReason, Generation, type GenerationResult } from './model/generation.js'
export type { AdapterTensor } from './model/layout.js'
export { loadModel } from './model/load.js'
export type { MergeOptions, MergeResult } from './model/merge.js'
export { type Logits, Model } from './model/model.js'
export type { ModelOptions } from './model/model-options.js'
export type { Prompt } from './model/prompt.js'
export { type QuantizeOptions, type QuantizeResult, quantizeModel } from './model/quantize.js'
export { readModelConfig } from './model/read-config.js'
export type { FrozenResidual } from './model/residual.js'
export type { StoredQuantization } from './model/stored-quantization.js'
export type {
  Compute,
  CudaDevice,
  CudaInfo,
  CudaProblem,
  Device,
  MemoryPlan,
  ModelDescription,
  ModelMemory,
  NativeInfo,
  ProfileEntry,
  Quantization,
  Recompute,
} from './native/binding.js'
export { cudaInfo, deviceInfo } from './native/device.js'
export { type EventsOptions, Run } from './run/run.js'
export type { GapEvent } from './run/run-events.js'
export { type Estimate, type EstimateOptions, estimate } from './training/estimate.js'
export type {
  BestEvaluation,
  CheckpointEvent,
  DoneEvent,
  ErrorEvent,
  EvaluationEvent,
  ProgressEvent,
  StepEvent,
  TrainEvent,
  TrainResult,
  WarningEvent,
} from './training/events.js'
export type { TrainOptions } from './training/options.js'
export { type ScheduleName, type ScheduleOptions, scheduleNames } from './training/schedule.js'
export { type TrainRun, train } from './training/train.js'
