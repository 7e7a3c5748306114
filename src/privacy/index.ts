/** `fedlora/privacy`: what privacy costs. Accounting of noised sums, noise for a budget, clip norms that adapt. */
export type { Spend } from './accountant/spend.js'
export { type AdaptiveClip, type AdaptiveClipInput, adaptiveClip } from './adaptive-clip.js'
export { type AccountantName, type Epsilon, type EpsilonInput, epsilon } from './epsilon.js'
export { type NoiseForInput, noiseFor } from './noise-for.js'
