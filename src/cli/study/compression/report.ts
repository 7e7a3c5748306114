/** Loss against bytes: a table by way, and a plot of what a byte less costs. */
import { join } from 'node:path'
import { writeTextFile } from '../../../files/atomic.js'
import { drawChart } from '../chart.js'
import { markdownTable } from '../markdown.js'
import { overSeeds, type Trial } from '../study.js'
import { families, reference, study } from './design.js'

type Over = ReturnType<typeof overSeeds>

export interface Outcome {
  family: string
  way: string
  /** Loss on held-out rows after the last round. */
  loss: Over
  /** By how much it is above that of float32 with the same seed. */
  above: Over
  bytesUp: number
  bytesDown: number
  /** How many times fewer bytes than float32. */
  fewerUp: number
  fewerDown: number
}

const last = (trial: Trial) => trial.losses.at(-1)!

export function outcomesOf(trials: readonly Trial[]): Outcome[] {
  const exact = new Map(trials.filter(({ arm }) => arm === reference).map((trial) => [trial.seed, last(trial)]))
  return families.flatMap(({ family, ways }) =>
    ways.flatMap(({ name: way }): Outcome[] => {
      const own = trials.filter(({ arm }) => arm === way)
      if (own.length === 0) return []
      const mean = (of: (trial: Trial) => number) => overSeeds(own.map(of)).mean
      return [
        {
          family,
          way,
          loss: overSeeds(own.map(last)),
          above: overSeeds(own.map((trial) => last(trial) - exact.get(trial.seed)!)),
          bytesUp: mean(({ bytesUp }) => bytesUp),
          bytesDown: mean(({ bytesDown }) => bytesDown),
          fewerUp: mean(({ bytesUp, bytesUpRaw }) => bytesUpRaw / bytesUp),
          fewerDown: mean(({ bytesDown, bytesDownRaw }) => bytesDownRaw / bytesDown),
        },
      ]
    }),
  )
}

const signed = (value: number) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(4)}`
const times = (value: number) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ×`
const megabytes = (bytes: number) => (bytes / 1e6).toFixed(2)

export function tableRows(outcomes: readonly Outcome[]): string[][] {
  return [
    ['way', 'held-out loss', 'above float32', 'MB up', 'fewer up', 'MB down', 'fewer down'],
    ...outcomes.map(({ way, loss, above, bytesUp, bytesDown, fewerUp, fewerDown }) => [
      way,
      `${loss.mean.toFixed(4)} ± ${loss.deviation.toFixed(4)}`,
      `${signed(above.mean)} ± ${above.deviation.toFixed(4)}`,
      megabytes(bytesUp),
      times(fewerUp),
      megabytes(bytesDown),
      times(fewerDown),
    ]),
  ]
}

/** The loss above that of float32 by how many times fewer bytes travel up, or down. */
function chartOf(outcomes: readonly Outcome[]): string {
  const panel = (title: string, fewer: (outcome: Outcome) => number) => ({
    title,
    series: families.flatMap(({ family }) => {
      const own = outcomes.filter((outcome) => outcome.family === family)
      const points = own.map((outcome) => {
        const { mean, deviation } = outcome.above
        return { x: fewer(outcome), y: mean, low: mean - deviation, high: mean + deviation }
      })
      return points.length === 0 ? [] : [{ name: family, points: points.sort((a, b) => a.x - b.x) }]
    }),
  })
  return drawChart({
    title: study.title,
    x: 'times fewer bytes than float32',
    y: 'loss above float32',
    logX: true,
    marks: true,
    panels: [panel('up', ({ fewerUp }) => fewerUp), panel('down', ({ fewerDown }) => fewerDown)],
  })
}

/** Writes `table.md` and `bytes.svg` beside the trials; gives the paths of all. */
export async function writeReport(outcomes: readonly Outcome[], folder: string): Promise<string[]> {
  const files = {
    'table.md': `# ${study.title}\n\n${study.question}\n\nMeans over seeds ± standard deviation; "above float32" pairs seeds.\n\n${markdownTable(tableRows(outcomes))}\n`,
    'bytes.svg': chartOf(outcomes),
  }
  for (const [name, content] of Object.entries(files)) await writeTextFile(join(folder, name), content)
  return ['trials.ndjson', ...Object.keys(files)].map((name) => join(folder, name))
}
