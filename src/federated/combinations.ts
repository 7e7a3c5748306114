/**
 * What cancels what: parts of a federation that are right alone and wrong together. One table, checked before anything runs and printed
 * into the docs; a new wing adds its features and its rows here.
 */
import { FedloraError } from '../errors.js'
import type { Chosen } from './algorithms/algorithm.js'
import { isAsynchronous } from './algorithms/defaults.js'
import { isChosenBySeed } from './choice.js'
import type { ClockConfig } from './clock-options.js'
import { sendsDeltas } from './download-options.js'
import type { FederationConfig } from './options.js'

/** A part that a federation has or has not, as a reader of its options would name it. */
interface Feature {
  /** In words: how the docs and the message name it. */
  readonly words: string
  used(config: FederationConfig, chosen: Chosen): boolean
}

/** Whether the next state is made of anything but the mean of updates. */
const makesMoreThanMean = ({ needs, finish, postprocesses, emphasis, rebuild }: Chosen['algorithm']) =>
  needs === 'all' || emphasis !== undefined || rebuild !== undefined || (finish !== undefined && postprocesses !== true)

const features = {
  errorFeedback: {
    words: 'upload.errorFeedback',
    used: ({ upload }) => upload.errorFeedback === true,
  },
  newFactors: {
    words: 'an algorithm that makes the factors anew each round (flexlora, raflora, fedsvd, flora)',
    used: (_, { algorithm }) => algorithm.errorFeedback === false,
  },
  deltas: {
    words: 'download.codec other than f32 and bf16',
    used: ({ download }) => sendsDeltas(download),
  },
  ownRanks: {
    words: 'an algorithm whose clients may have ranks of their own (flexlora, hetlora, …)',
    used: (_, { algorithm }) => algorithm.ranks === 'any',
  },
  rebuilt: {
    words: 'an algorithm whose clients rebuild the adapter from something shorter (fedkseed, …)',
    used: (_, { algorithm }) => algorithm.rebuild !== undefined,
  },
  segments: {
    words: 'upload.segments above 1',
    used: ({ upload }) => upload.segments > 1,
  },
  lowRank: {
    words: "upload.codec 'lowrank'",
    used: ({ upload }) => upload.codec === 'lowrank',
  },
  allAdapters: {
    words: "an algorithm that reads every client's adapter (needs: 'all': flexlora, fedex, flora, …)",
    used: (_, { algorithm }) => algorithm.needs === 'all',
  },
  robust: {
    words: 'robust',
    used: ({ robust }) => robust !== undefined,
  },
  otherMeans: {
    words:
      'an algorithm whose server makes more of the answers than a mean of updates (fednova, scaffold, the LoRA-aware ones)',
    used: (_, { algorithm }) =>
      algorithm.robust === false || algorithm.needs === 'all' || algorithm.emphasis !== undefined,
  },
  clientPrivacy: {
    words: "privacy.level 'client'",
    used: ({ privacy }) => privacy?.level === 'client',
  },
  examplePrivacy: {
    words: "privacy.level 'example'",
    used: ({ privacy }) => privacy?.level === 'example',
  },
  otherLooks: {
    words:
      'an algorithm whose clients look at their rows otherwise than by one training a round (ditto, fedrep, fedem, pfedme, fedkseed, fedmezo, scaffold with option 1, which is its default with AdamW)',
    used: ({ local }, { algorithm: { looksAgain = false }, options }) =>
      typeof looksAgain === 'function' ? looksAgain(options, local) : looksAgain,
  },
  adaptiveClip: {
    words: 'privacy.adaptive',
    used: ({ privacy }) => privacy?.adaptive !== undefined,
  },
  feedback: {
    words: 'error feedback (upload.errorFeedback, on by itself with a lossy codec)',
    used: ({ upload }, { algorithm }) =>
      upload.codec !== 'f32' && upload.errorFeedback !== false && algorithm.errorFeedback !== false,
  },
  lossyUpload: {
    words: 'upload.codec other than f32',
    used: ({ upload }) => upload.codec !== 'f32',
  },
  ownChoice: {
    words: 'upload.codec other than f32, randk and blocks',
    used: ({ upload }) => upload.codec !== 'f32' && !isChosenBySeed(upload),
  },
  unequalWeights: {
    words: "weighting other than 'uniform'",
    used: ({ weighting }, { algorithm }) => (weighting ?? algorithm.weighting ?? 'uniform') !== 'uniform',
  },
  moreThanMean: {
    words: 'an algorithm whose server does more than a step by the mean of updates (scaffold, fednova, fedkseed, …)',
    used: (_, { algorithm }) => makesMoreThanMean(algorithm),
  },
  secureAggregation: {
    words: 'secureAggregation',
    used: ({ secureAggregation }) => secureAggregation !== undefined,
  },
  emphasis: {
    words: 'an algorithm that weighs clients by more than their rows (fednova)',
    used: (_, { algorithm }) => algorithm.emphasis !== undefined,
  },
  normBound: {
    words: 'screening.maxNorm',
    used: ({ screening }) => screening?.maxNorm !== undefined,
  },
  tokens: {
    words: "weighting: 'tokens'",
    used: ({ weighting }, { algorithm }) => (algorithm.weighting ?? weighting) === 'tokens',
  },
  notANumber: {
    words: "attackers with attack: 'nan'",
    used: ({ attackers }) => Object.values(attackers ?? {}).some(({ attack }) => attack === 'nan'),
  },
  lateAnswers: {
    words: 'clock.late that counts',
    used: ({ clock }) => clock !== undefined && clock.late !== 'discard',
  },
  asynchronous: {
    words: 'asynchronous',
    used: ({ asynchronous }) => asynchronous !== undefined,
  },
  rounds: {
    words: 'what is said of rounds: cohort, clock.deadline, clock.over, clock.minimumAnswers, clock.tiers',
    used: ({ cohort, clock: { deadline, over = 1, minimumAnswers = 0, tiers = 1 } = {} as Partial<ClockConfig> }) =>
      cohort !== 1 || deadline !== undefined || over > 1 || minimumAnswers > 0 || tiers > 1,
  },
  cohortsByTime: {
    words: 'cohorts by time: clock.deadline, clock.over, clock.tiers, clock.availability, clock.trace',
    used: ({ clock }) =>
      clock !== undefined &&
      (clock.deadline !== undefined ||
        clock.over > 1 ||
        clock.tiers > 1 ||
        clock.availability !== undefined ||
        clock.trace !== undefined),
  },
  oneState: {
    words:
      'an algorithm whose answers are of one state (scaffold, fednova, feddyn, fedem, rolora, fedkseed, fedsb, and all that read the clients’ factors)',
    used: (_, chosen) => !isAsynchronous(chosen),
  },
} satisfies Record<string, Feature>

type Name = keyof typeof features

interface Exclusion {
  readonly of: readonly [Name, Name]
  /** Why they cancel each other. */
  readonly because: string
  readonly cure: string
}

const exclusions: readonly Exclusion[] = [
  {
    of: ['errorFeedback', 'newFactors'],
    because: 'what the last message left out means nothing for factors that are made anew',
    cure: 'leave upload.errorFeedback out',
  },
  {
    of: ['deltas', 'ownRanks'],
    because: 'clients of different ranks hold different vectors, to which there is no one difference',
    cure: "leave download.codec out, or set it to 'bf16'",
  },
  {
    of: ['deltas', 'rebuilt'],
    because: 'what travels is no adapter, and short already',
    cure: 'leave download.codec out',
  },
  {
    of: ['segments', 'allAdapters'],
    because: 'a part of an adapter is no adapter',
    cure: 'leave upload.segments out, or choose an algorithm that averages, such as fedavg',
  },
  {
    of: ['examplePrivacy', 'otherLooks'],
    because: "a client's account counts the noised steps of one training, and every other look at its rows tells more",
    cure: 'choose ffa, or another that trains once, such as fedavg, fedprox or rolora',
  },
  {
    of: ['clientPrivacy', 'feedback'],
    because:
      'what an earlier message left out is added behind the clipping, so that one client counts more than its norm allows',
    cure: 'set upload.errorFeedback to false',
  },
  {
    of: ['clientPrivacy', 'moreThanMean'],
    because: 'the noise covers one clipped sum, and nothing else that clients send or the server remembers of them',
    cure: 'choose ffa, or another that averages, such as fedavg, fedprox or rolora',
  },
  {
    of: ['clientPrivacy', 'robust'],
    because:
      'by how much one client can change what a robust rule gives is not known, and the noise is measured by that',
    cure: 'leave robust out; privacy.clip bounds what one client can do',
  },
  {
    of: ['clientPrivacy', 'unequalWeights'],
    because: 'a client that counts by its rows can change the sum by more than the clip norm',
    cure: 'leave weighting out',
  },
  {
    of: ['clientPrivacy', 'segments'],
    because: 'each part is sent by other clients, and the fixed denominator would count all of them',
    cure: 'leave upload.segments out',
  },
  {
    of: ['adaptiveClip', 'lossyUpload'],
    because: 'the server tells by its norm whether an update was within the clip norm, and a lossy codec changes norms',
    cure: 'leave privacy.adaptive or upload.codec out',
  },
  {
    of: ['segments', 'ownRanks'],
    because: 'the parts of vectors of different lengths do not meet',
    cure: 'leave upload.segments out',
  },
  {
    of: ['segments', 'lowRank'],
    because: 'a part of a tensor has no factors of its own',
    cure: 'leave upload.segments out, or send with another codec',
  },
  {
    of: ['robust', 'segments'],
    because: 'a rule compares whole updates, and clients send different parts',
    cure: 'leave upload.segments out',
  },
  {
    of: ['robust', 'otherMeans'],
    because: 'a rule that passes updates by leaves what it computes from all answers wrong',
    cure: 'leave robust out, or take fedavg, fedprox, ffa or another algorithm that averages updates',
  },
  {
    of: ['robust', 'secureAggregation'],
    because: 'a rule compares updates, which nobody sees',
    cure: 'leave one of them out: among clients that may lie robust, for those that do not trust the server secureAggregation',
  },
  {
    of: ['secureAggregation', 'allAdapters'],
    because: 'nobody but a client has its adapter',
    cure: 'choose an algorithm that averages, such as fedavg or ffa',
  },
  {
    of: ['secureAggregation', 'ownChoice'],
    because:
      'masked words are uniform and do not compress, and what was scaled or picked by each client for itself does not add up under masks',
    cure: 'leave upload.codec out, or take randk or blocks; secureAggregation.bits and wordBits say what is sent for a value',
  },
  {
    of: ['secureAggregation', 'segments'],
    because: 'sums under masks are of vectors that all clients send',
    cure: 'leave upload.segments out',
  },
  {
    of: ['secureAggregation', 'normBound'],
    because: 'the norm of an update that nobody sees cannot be judged',
    cure: 'leave screening.maxNorm out: values beyond ± secureAggregation.clip are clipped by the clients',
  },
  {
    of: ['secureAggregation', 'clientPrivacy'],
    because: 'before noise is added the server cuts every update to its norm, and no update is seen',
    cure: 'leave one of them out',
  },
  {
    of: ['secureAggregation', 'emphasis'],
    because: 'weights in a masked sum are whole numbers',
    cure: 'choose another algorithm',
  },
  {
    of: ['secureAggregation', 'tokens'],
    because: 'how great weights can be must be known before a round, or sums could overflow unseen',
    cure: "weigh by 'rows' or 'uniform'",
  },
  {
    of: ['secureAggregation', 'notANumber'],
    because: 'a masked word is always a number: such an attack does not exist there',
    cure: 'choose another attack',
  },
  {
    of: ['lateAnswers', 'oneState'],
    because: 'what its answers of different rounds come to together has no meaning',
    cure: "say clock.late: 'discard'",
  },
  {
    of: ['asynchronous', 'oneState'],
    because: 'what its answers of different versions come to together has no meaning',
    cure: 'leave asynchronous out, or choose an algorithm that averages updates, such as fedavg or fedprox',
  },
  {
    of: ['asynchronous', 'secureAggregation'],
    because: 'masks cancel among those who began together, and a buffer holds answers of different beginnings',
    cure: 'leave one of them out',
  },
  {
    of: ['asynchronous', 'examplePrivacy'],
    because: 'accounts are written when a round ends, and here clients are at work across the ends of buffers',
    cure: 'leave asynchronous out',
  },
  {
    of: ['asynchronous', 'clientPrivacy'],
    because: 'who is in a buffer is decided by speed, and the accountant counts on cohorts drawn at random',
    cure: 'leave one of them out',
  },
  {
    of: ['cohortsByTime', 'secureAggregation'],
    because:
      'a client that is late has its masks in the sum of the others; its protocol has phases of its own for those who are lost',
    cure: 'leave them out of clock',
  },
  {
    of: ['cohortsByTime', 'clientPrivacy'],
    because: 'who counts would be decided by speed, and the accountant counts on cohorts drawn at random',
    cure: 'leave them out of clock',
  },
  {
    of: ['asynchronous', 'rounds'],
    because:
      'a buffer has no round: asynchronous.concurrency says who is at work, asynchronous.buffer what a step is made of',
    cure: 'leave them out',
  },
]

/** @throws FedloraError `E_CONFIG` for the first pair of parts that cancel each other, with the reason and the cure. */
export function checkCombinations(config: FederationConfig, chosen: Chosen): void {
  const uses = (name: Name) => (features[name] as Feature).used(config, chosen)
  const found = exclusions.find(({ of }) => of.every(uses))
  if (found === undefined) return
  const [one, other] = found.of.map((name) => features[name].words)
  const message = `the federation’s options: ${one} excludes ${other} (here ${chosen.algorithm.name}): ${found.because}; ${found.cure}`
  throw new FedloraError('E_CONFIG', message, { of: found.of, algorithm: chosen.algorithm.name })
}

/** The table as the docs show it. */
export const combinationRows: readonly { one: string; other: string; because: string; cure: string }[] = exclusions.map(
  ({ of: [one, other], because, cure }) => ({ one: features[one].words, other: features[other].words, because, cure }),
)
