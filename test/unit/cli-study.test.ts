/** Studies: charts that say what was measured, tables over seeds, and folders in which a study goes on. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { drawChart, ticks } from '../../src/cli/study/chart.js'
import { outcomesOf, tableRows, writeReport } from '../../src/cli/study/report.js'
import { overSeeds, type Study, type Trial } from '../../src/cli/study/study.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('study')
t.teardown(() => rmSync(root, { recursive: true }))

t.test('ticks are round and span the range', async (t) => {
  t.same(ticks(0, 10), [0, 2, 4, 6, 8, 10])
  t.same(ticks(0.13, 0.52), [0.2, 0.3, 0.4, 0.5])
  t.same(ticks(-1, 1, 4), [-1, -0.5, 0, 0.5, 1])
  t.same(ticks(3, 3), [3])
})

/** Numbers of an attribute of every element of a kind. */
function attribute(svg: string, element: string, name: string): string[] {
  return [...svg.matchAll(new RegExp(`<${element} [^>]*?\\b${name}="([^"]*)"`, 'g'))].map((match) => match[1]!)
}

t.test('a chart: points where they belong, bands, escaped words, a legend for all panels', async (t) => {
  const svg = drawChart({
    title: 'a < b & "c"',
    x: 'round',
    y: 'loss',
    panels: [
      {
        title: 'one',
        series: [
          {
            name: 'A',
            points: [
              { x: 1, y: 0 },
              { x: 2, y: 1 },
              { x: 3, y: 0.5 },
            ],
          },
        ],
      },
      { title: 'two', series: [{ name: 'B', points: [1, 2, 3].map((x) => ({ x, y: 0.5, low: 0.25, high: 0.75 })) }] },
    ],
  })
  t.match(svg, /a &lt; b &amp; &quot;c&quot;/)
  const lines = attribute(svg, 'polyline', 'points').map((points) =>
    points.split(' ').map((point) => point.split(',').map(Number)),
  )
  t.equal(lines.length, 2)
  const [first, second] = lines as [number[][], number[][]]
  t.ok(first[1]![1]! < first[2]![1]! && first[2]![1]! < first[0]![1]!, 'larger is higher up')
  t.ok(
    Math.abs(first[2]![1]! - (first[0]![1]! + first[1]![1]!) / 2) <= 0.11,
    'half is in the middle, to a tenth of a pixel',
  )
  t.equal(second[0]![1], first[2]![1], 'panels share their scale')
  t.ok(second[0]![0]! > first[2]![0]!, 'the second stands right of the first')
  t.equal(attribute(svg, 'polygon', 'points').length, 1, 'one has a band')
  t.equal(new Set(attribute(svg, 'polyline', 'stroke')).size, 2)
  for (const name of ['A', 'B', 'one', 'two', 'round', 'loss']) t.match(svg, `>${name}</text>`)
  t.throws(() => drawChart({ title: 'x', x: '', y: '', panels: [] }), /nothing to draw/)
})

t.test('a logarithmic chart: decades are equally far apart, zero stands on the edge', async (t) => {
  const points = [1e-4, 1e-3, 1e-2, 0].map((y, x) => ({ x, y }))
  const svg = drawChart({
    title: 'e',
    x: 'x',
    y: 'y',
    log: true,
    panels: [{ title: '', series: [{ name: 'A', points }] }],
  })
  const [heights] = attribute(svg, 'polyline', 'points').map((list) =>
    list.split(' ').map((point) => Number(point.split(',')[1])),
  )
  t.ok(Math.abs(heights![0]! - heights![1]! - (heights![1]! - heights![2]!)) <= 0.21)
  t.equal(heights![3], heights![0])
})

t.test('a chart of points: a logarithmic x, a disc at each', async (t) => {
  const points = [1, 10, 100].map((x) => ({ x, y: x }))
  const svg = drawChart({
    title: 'p',
    x: 'x',
    y: 'y',
    logX: true,
    marks: true,
    panels: [{ title: '', series: [{ name: 'A', points }] }],
  })
  const places = attribute(svg, 'circle', 'cx').map(Number)
  t.equal(places.length, 3)
  t.ok(Math.abs(places[1]! - places[0]! - (places[2]! - places[1]!)) <= 0.21, 'decades are equally far apart')
  t.ok(places[1]! - places[0]! > 50, 'canary: on a linear scale the first two would lie together')
  for (const tick of ['1', '10', '100']) t.match(svg, `>${tick}</text>`)
})

const budget = { seeds: 2, rounds: 2, steps: 1, batchSize: 1, rowsEach: 1, heldOut: 1 }
const study: Study = {
  name: 'test',
  title: 'A title',
  question: 'Why?',
  rank: 2,
  settings: [{ name: 's', clients: () => [] }],
  arms: [
    { name: 'worse', algorithm: 'fedavg' },
    { name: 'better', algorithm: 'ffa' },
  ],
  full: budget,
  quick: { ...budget, settings: ['s'], arms: ['worse'] },
}
const trial = (arm: string, seed: number, loss: number, error: number | null): Trial => ({
  setting: 's',
  arm,
  seed,
  losses: [9, loss + 1],
  personal: [9, loss],
  errors: [0.5, error],
  ...{ bytesUp: 2e6, bytesDown: 2e6, bytesUpRaw: 2e6, bytesDownRaw: 2e6 },
  seconds: 1,
})
const trials = [
  trial('worse', 1, 3, 0.2),
  trial('worse', 2, 4, 0.4),
  trial('better', 1, 1, 1e-9),
  trial('better', 2, 1, 0),
]

t.test('tables: the last round, mean and deviation over seeds, the best first', async (t) => {
  t.same(overSeeds([1, 3]), { mean: 2, deviation: Math.SQRT2 })
  t.same(overSeeds([7]), { mean: 7, deviation: 0 })
  const rows = tableRows(outcomesOf(study, trials))
  t.same(rows.slice(1), [
    ['s', 'better', '1.0000 ± 0.0000', '2.0000 ± 0.0000', '0', '2.00'],
    ['s', 'worse', '3.5000 ± 0.7071', '4.5000 ± 0.7071', '0.30', '2.00'],
  ])
})

t.test('a report: table, plots and trials', async (t) => {
  const folder = join(root, 'report')
  mkdirSync(folder)
  const files = await writeReport(study, trials, folder)
  t.same(
    files.map((file) => file.slice(folder.length + 1)),
    ['trials.ndjson', 'table.md', 'clients.svg', 'server.svg', 'error.svg'],
  )
  const read = (name: string) => readFileSync(join(folder, name), 'utf8')
  t.same(
    read('trials.ndjson')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
    trials,
  )
  t.match(read('table.md'), /# A title\n\nWhy\?[\s\S]*\| s \| better \|/)
  for (const name of ['clients.svg', 'server.svg', 'error.svg']) t.match(read(name), /^<svg [\s\S]*<\/svg>\n$/)
  const without = await writeReport(
    study,
    trials.map((one) => ({ ...one, errors: [null, null] })),
    folder,
  )
  t.notOk(
    without.some((file) => file.endsWith('error.svg')),
    'nothing is drawn of what was not measured',
  )
  writeFileSync(join(folder, 'x'), '')
})
