/// <reference lib="esnext.disposable" preserve="true" />
/** `fedlora/federated`: federations of clients that improve one adapter together. */
export {
  type Aggregator,
  createAggregator,
  type MeanOptions,
  type WeightedMessage,
  type WeightedVector,
} from '../aggregation/aggregator.js'
export { type CombinedVectors, combineVectors, type VectorUpdates } from '../aggregation/combine-vectors.js'
export type { CombineFactorsInput } from '../aggregation/factors/check.js'
export { type CombinedFactors, combineFactors } from '../aggregation/factors/combine-factors.js'
export type { FactorRuleName } from '../aggregation/factors/rules.js'
export type { Combined, StreamRule, VectorRule, WholeRule } from '../aggregation/rule.js'
export type { UpdateSet } from '../aggregation/update-set.js'
export { dot } from '../aggregation/vectors.js'
export {
  type DecodeUpdateOptions,
  decodeUpdate,
  type EncodedUpdate,
  type EncodeUpdateOptions,
  encodeUpdate,
  type ThreadOptions,
} from '../compression/codec.js'
export { type ClientRows, Split, type SplitOptions, split } from '../data/index.js'
export type {
  Algorithm,
  Answered,
  Chosen,
  ClientAdapters,
  ClientKit,
  Closing,
  Numbers,
  PersonalKit,
  Residual,
  Sent,
  ServerState,
  Start,
  Trained,
  TrainPlan,
  Travel,
  Turn,
  Vectors,
  Weighting,
} from './algorithms/algorithm.js'
export { type AlgorithmInput, algorithms } from './algorithms/index.js'
export { combination, difference } from './algorithms/vectors.js'
export { type CostToTarget, costToTarget } from './cost.js'
export type {
  BaselineReport,
  ClientMeasure,
  ClientReport,
  ClientsEvaluation,
  ClientTime,
  FederationErrorEvent,
  FederationEvaluation,
  FederationEvent,
  FederationResult,
  RoundEvent,
  RoundPrivacy,
  RoundSeconds,
  RoundTime,
} from './events.js'
export type { FederationOptions } from './options.js'
export {
  gather,
  type Part,
  partOf,
  type Range,
  type Ranges,
  rangesOf,
  type Space,
  type SpaceModule,
  type SpaceTensor,
  scatter,
  whole,
} from './protocol/space.js'
export { createServerStep, type ServerStep, type ServerStepState } from './server-step/create.js'
export type { ServerRule, ServerStepOptions } from './server-step/options.js'
export type { ClientData, ClientsInput } from './simulate/clients.js'
export { type SimulateOptions, simulate } from './simulate/simulate.js'
