/** What the attacks came to: a table by protection, and a plot of the tokens found by rank and length of the row. */
import { join } from 'node:path'
import { writeTextFile } from '../../../files/atomic.js'
import { drawChart } from '../chart.js'
import { markdownTable } from '../markdown.js'
import { overSeeds } from '../study.js'
import { arms, lengths, rank } from './design.js'
import type { MembershipTrial, TokenTrial, Trial } from './trial.js'

type Over = ReturnType<typeof overSeeds>

export interface Outcome {
  arm: string
  /** Share of tokens found in the first round and in a later one. */
  first: Over
  later: Over
  /** By the loss alone, and by its change. Null for arms that say how a client works. */
  loss: { auc: Over; found: Over } | null
  change: { auc: Over; found: Over } | null
}

const isTokens = (trial: Trial): trial is TokenTrial => trial.attack === 'tokens'
const isMembership = (trial: Trial): trial is MembershipTrial => trial.attack === 'membership'

/** Token trials of the table. */
function tokenTrials(trials: readonly Trial[], arm: string, round: 'first' | 'later'): TokenTrial[] {
  return trials.filter(isTokens).filter((trial) => {
    return trial.arm === arm && trial.round === round && trial.rank === rank && trial.length === lengths[round]
  })
}

export function outcomesOf(trials: readonly Trial[]): Outcome[] {
  return arms.flatMap(({ name: arm }): Outcome[] => {
    const [first, later] = (['first', 'later'] as const).map((round) => tokenTrials(trials, arm, round))
    if (first!.length === 0 || later!.length === 0) return []
    const members = trials.filter(isMembership).filter((trial) => trial.arm === arm)
    const by = (score: 'loss' | 'change') =>
      members.length === 0
        ? null
        : {
            auc: overSeeds(members.map((trial) => trial[score].auc)),
            found: overSeeds(members.map((trial) => trial[score].found)),
          }
    const found = (tokens: TokenTrial[]) => overSeeds(tokens.map((trial) => trial.found))
    return [{ arm, first: found(first!), later: found(later!), loss: by('loss'), change: by('change') }]
  })
}

const percent = ({ mean }: Over) => `${(100 * mean).toFixed(0)} %`

/** What an attacker comes to who has seen nothing. */
function guesses(trials: readonly Trial[]): string[] {
  const guessed = (round: 'first' | 'later') =>
    percent(overSeeds(tokenTrials(trials, 'nothing', round).map((trial) => trial.guessed)))
  return ['(guessing)', guessed('first'), guessed('later'), '0.500', '1 %', '0.500', '1 %']
}

export function tableRows(trials: readonly Trial[], outcomes: readonly Outcome[]): string[][] {
  return [
    [
      'between client and attacker',
      'tokens, first round',
      'tokens, later round',
      'AUC by loss',
      'members found',
      'AUC by its change',
      'members found',
    ],
    guesses(trials),
    ...outcomes.map(({ arm, first, later, loss, change }) => [
      arm,
      percent(first),
      percent(later),
      ...[loss, change].flatMap((one) => (one === null ? ['–', '–'] : [one.auc.mean.toFixed(3), percent(one.found)])),
    ]),
  ]
}

/** Share of tokens found by length of the row, a line a rank. */
function chartOf(trials: readonly Trial[]): string {
  const bare = trials.filter(isTokens).filter(({ arm, round }) => arm === 'nothing' && round === 'later')
  const ascending = (values: readonly number[]) => [...new Set(values)].sort((a, b) => a - b)
  const series = (name: string, own: readonly TokenTrial[], value: (trial: TokenTrial) => number) => {
    const points = ascending(own.map(({ length }) => length)).map((x) => {
      const { mean, deviation } = overSeeds(own.filter(({ length }) => length === x).map(value))
      return { x, y: mean, low: Math.max(0, mean - deviation), high: Math.min(1, mean + deviation) }
    })
    return { name, points }
  }
  const ranks = ascending(bare.map((trial) => trial.rank))
  const lines = ranks.map((one) =>
    series(
      `rank ${one}`,
      bare.filter((trial) => trial.rank === one),
      ({ found }) => found,
    ),
  )
  const guess = series('guessing', bare, ({ guessed }) => guessed)
  const panels = [{ title: 'one step of SGD on one row', series: [...lines, guess] }]
  return drawChart({ title: 'Tokens read off an update', x: 'tokens of the row', y: 'share found', panels })
}

/** Writes `table.md` and `tokens.svg` beside the trials; gives the paths of all. */
export async function writeReport(
  trials: readonly Trial[],
  outcomes: readonly Outcome[],
  folder: string,
): Promise<string[]> {
  const files = {
    'table.md': `# What an update betrays\n\n${markdownTable(tableRows(trials, outcomes))}\n`,
    'tokens.svg': chartOf(trials),
  }
  for (const [name, content] of Object.entries(files)) await writeTextFile(join(folder, name), content)
  return ['trials.ndjson', ...Object.keys(files)].map((name) => join(folder, name))
}
