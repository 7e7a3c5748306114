/** `fedlora/privacy`: what privacy costs. Accounting of noised sums, noise for a budget, clip norms that adapt; sums of which nobody sees a part. */
export type { Spend } from './accountant/spend.js'
export { type AdaptiveClip, type AdaptiveClipInput, adaptiveClip } from './adaptive-clip.js'
export { type AccountantName, type Epsilon, type EpsilonInput, epsilon } from './epsilon.js'
export { type NoiseForInput, noiseFor } from './noise-for.js'
export {
  type AggregationState,
  type Closed,
  closePhase,
  createIdentity,
  type Entered,
  enterRound,
  type FromClient,
  fromClientSchema,
  type Masking,
  maskUpdate,
  openRound,
  type Revealed,
  receiveMessage,
  revealShares,
  type Secrets,
  type Setup,
  type Sharing,
  type Signing,
  type Step,
  shareSecrets,
  signSurvivors,
  type ToClient,
  toClientSchema,
  type Unmasked,
  type Update,
  unmaskSum,
} from './secure-aggregation.js'
