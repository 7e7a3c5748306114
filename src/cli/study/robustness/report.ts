/** What rules come to under attacks: held-out losses as a table of rules by attacks, and by round as plots. */
import { join } from 'node:path'
import { writeTextFile } from '../../../files/atomic.js'
import { drawChart } from '../chart.js'
import { markdownTable } from '../markdown.js'
import { overSeeds, type Study, type Trial } from '../study.js'

type Over = ReturnType<typeof overSeeds>

export interface RuleOutcome {
  rule: string
  /** Loss of the server's adapter on held-out rows after the last round, by attack. */
  losses: Record<string, Over>
  /** Share of the tokens of what an attacker wants that the adapter says, by attack that wants any. */
  obeyed: Record<string, Over>
}

const of = (trials: readonly Trial[], setting: string, arm: string) =>
  trials.filter((trial) => trial.setting === setting && trial.arm === arm)

export function outcomesOf(study: Study, trials: readonly Trial[]): RuleOutcome[] {
  return study.arms.flatMap(({ name: rule }) => {
    const losses: Record<string, Over> = {}
    const obeyed: Record<string, Over> = {}
    for (const { name: attack } of study.settings) {
      const own = of(trials, attack, rule)
      if (own.length === 0) continue
      losses[attack] = overSeeds(own.map((trial) => trial.losses.at(-1)!))
      const said = own.flatMap((trial) => trial.obeyed ?? [])
      if (said.length > 0) obeyed[attack] = overSeeds(said)
    }
    return Object.keys(losses).length === 0 ? [] : [{ rule, losses, obeyed }]
  })
}

/** Rules by attacks. */
export function tableRows(outcomes: readonly RuleOutcome[]): string[][] {
  const attacks = Object.keys(outcomes[0]!.losses)
  const doors = Object.keys(outcomes[0]!.obeyed)
  return [
    ['rule', ...attacks, ...doors.map((attack) => `obeys ${attack}`)],
    ...outcomes.map(({ rule, losses, obeyed }) => [
      rule,
      ...attacks.map((attack) => losses[attack]!.mean.toFixed(3)),
      ...doors.map((attack) => `${(100 * obeyed[attack]!.mean).toFixed(0)} %`),
    ]),
  ]
}

function chartOf({ title, settings, arms }: Study, trials: readonly Trial[]): string {
  const panels = settings.flatMap(({ name: attack }) => {
    const series = arms.flatMap(({ name }) => {
      const own = of(trials, attack, name)
      if (own.length === 0) return []
      const points = own[0]!.losses.map((_, round) => {
        const { mean, deviation } = overSeeds(own.map(({ losses }) => losses[round]!))
        return { x: round + 1, y: mean, ...(own.length > 1 && { low: mean - deviation, high: mean + deviation }) }
      })
      return { name, points }
    })
    return series.length === 0 ? [] : { title: attack, series }
  })
  return drawChart({ title, x: 'round', y: 'loss of the server’s adapter', panels })
}

/** Writes `table.md` and `losses.svg` beside the trials; gives the paths of all. */
export async function writeReport(study: Study, trials: readonly Trial[], folder: string): Promise<string[]> {
  const table = markdownTable(tableRows(outcomesOf(study, trials)))
  const files = {
    'table.md': `# ${study.title}\n\n${study.question}\n\nHeld-out losses after the last round, means over seeds.\n\n${table}\n`,
    'losses.svg': chartOf(study, trials),
  }
  for (const [name, content] of Object.entries(files)) await writeTextFile(join(folder, name), content)
  return ['trials.ndjson', ...Object.keys(files)].map((name) => join(folder, name))
}
