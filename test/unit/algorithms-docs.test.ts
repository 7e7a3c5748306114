/** docs/algorithms.md has a row for every algorithm that there is, and for no other; what it says of streaming is the record's. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'
import { algorithms } from '../../src/federated/algorithms/index.js'

const page = readFileSync(resolve('docs/algorithms.md'), 'utf8')
const table = page.slice(page.indexOf('| name |')).split('\n\n')[0]!
const rows = table
  .split('\n')
  .slice(2)
  .map((row) => row.split('|').map((cell) => cell.trim()))

t.test('one row for each', async (t) => {
  t.same(rows.map(([, name]) => /`(\w+)`/.exec(name!)![1]).sort(), Object.keys(algorithms).sort())
})

t.test('who streams', async (t) => {
  for (const [, name, , , , streams] of rows) {
    const record = algorithms[/`(\w+)`/.exec(name!)![1]!]
    t.equal(streams, record?.needs === 'all' ? 'no' : 'yes', name!)
  }
})
