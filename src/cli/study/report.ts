/** A study's outcome: a table, plots, and every trial as a line of NDJSON. */
import { join } from 'node:path'
import { writeTextFile } from '../../files/atomic.js'
import { type Chart, drawChart, type Point } from './chart.js'
import { markdownTable } from './markdown.js'
import { overSeeds, type Study, type Trial } from './study.js'

interface Outcome {
  setting: string
  arm: string
  loss: { mean: number; deviation: number }
  personal: { mean: number; deviation: number }
  /** Of the last round. */
  error: { mean: number; deviation: number }
  bytesUp: number
}

function of(trials: readonly Trial[], setting: string, arm: string): Trial[] {
  return trials.filter((trial) => trial.setting === setting && trial.arm === arm)
}

/** The means over seeds, setting by setting, the smallest loss of the served adapters first. */
export function outcomesOf(study: Study, trials: readonly Trial[]): Outcome[] {
  return study.settings.flatMap(({ name: setting }) => {
    const outcomes = study.arms.flatMap(({ name: arm }) => {
      const own = of(trials, setting, arm)
      if (own.length === 0) return []
      return {
        setting,
        arm,
        loss: overSeeds(own.map((trial) => trial.losses.at(-1)!)),
        personal: overSeeds(own.map((trial) => trial.personal.at(-1)!)),
        error: overSeeds(own.map((trial) => trial.errors.at(-1) ?? Number.NaN)),
        bytesUp: overSeeds(own.map((trial) => trial.bytesUp)).mean,
      }
    })
    return outcomes.sort((a, b) => a.personal.mean - b.personal.mean)
  })
}

const shown = ({ mean, deviation }: { mean: number; deviation: number }) =>
  `${mean.toFixed(4)} ± ${deviation.toFixed(4)}`
const exact = ({ mean }: { mean: number }) => (Number.isNaN(mean) ? '–' : mean < 1e-6 ? '0' : mean.toPrecision(2))

export function tableRows(outcomes: readonly Outcome[]): string[][] {
  return [
    ['setting', 'algorithm', 'clients’ own adapter', 'server’s adapter', 'aggregation error', 'MB up'],
    ...outcomes.map((one) => [
      one.setting,
      one.arm,
      shown(one.personal),
      shown(one.loss),
      exact(one.error),
      (one.bytesUp / 1e6).toFixed(2),
    ]),
  ]
}

function chartOf(
  study: Study,
  trials: readonly Trial[],
  title: string,
  y: string,
  log: boolean,
  values: (trial: Trial) => (number | null)[],
): Chart {
  const panels = study.settings.flatMap(({ name: setting }) => {
    const series = study.arms.flatMap(({ name: arm }) => {
      const own = of(trials, setting, arm)
      if (own.length === 0) return []
      const points = values(own[0]!).map((_, round): Point => {
        const { mean, deviation } = overSeeds(own.map((trial) => values(trial)[round] ?? Number.NaN))
        return { x: round + 1, y: mean, ...(own.length > 1 && { low: mean - deviation, high: mean + deviation }) }
      })
      return { name: arm, points }
    })
    return series.length === 0 ? [] : { title: setting, series }
  })
  return { title, x: 'round', y, log, panels }
}

const lossesOf = (trial: Trial) => trial.losses
const personalOf = (trial: Trial) => trial.personal
/** What is zero but for rounding stands at the rounding of float32. */
const errorsOf = (trial: Trial) => trial.errors.map((error) => (error === null ? null : Math.max(error, 1e-8)))

/** Writes `trials.ndjson`, `table.md` and the plots `clients.svg`, `server.svg` and `error.svg` into a folder; gives their paths. */
export async function writeReport(study: Study, trials: readonly Trial[], folder: string): Promise<string[]> {
  const markdown = markdownTable(tableRows(outcomesOf(study, trials)))
  const files: Record<string, string> = {
    'trials.ndjson': trials.map((trial) => `${JSON.stringify(trial)}\n`).join(''),
    'table.md': `# ${study.title}\n\n${study.question}\n\nLosses are means over seeds ± standard deviation; the smallest of the clients' own first.\n\n${markdown}\n`,
    'clients.svg': drawChart(
      chartOf(study, trials, study.title, 'loss of the clients’ own adapters', false, personalOf),
    ),
    'server.svg': drawChart(chartOf(study, trials, study.title, 'loss of the server’s adapter', false, lossesOf)),
  }
  if (trials.some(({ errors }) => errors.some((error) => error !== null))) {
    files['error.svg'] = drawChart(chartOf(study, trials, 'Aggregation error', '‖ΔW − mean‖ / ‖mean‖', true, errorsOf))
  }
  for (const [name, content] of Object.entries(files)) await writeTextFile(join(folder, name), content)
  return Object.keys(files).map((name) => join(folder, name))
}
