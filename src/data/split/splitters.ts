/** Splits a data set over the clients of a federation. */
import { FedloraError } from '../../errors.js'
import { parseOptions } from '../../options/parse.js'
import { Random, randomStreams } from '../../random/random.js'
import type { Dataset } from '../dataset.js'
import { byCategory, dirichlet, ensureMinimum, groupByLabel, iid, quantity, trainAndTest } from './partition.js'
import { Split } from './split.js'
import { type SplitOptions, splitOptionsSchema } from './split-options.js'

function labels(dataset: Dataset, field: string | undefined, needed: boolean): (row: number) => string {
  const all: string[] = []
  const byCategory = field === undefined || field === dataset.categoryField
  for (let i = 0; i < dataset.length; ++i) {
    // Categories are at hand; rows of large data sets lie in files.
    const value = byCategory ? undefined : dataset.row(i)[field]
    const label = value ?? (byCategory || field === 'category' ? dataset.category(i) : undefined)
    if (label === undefined && needed) {
      const what = field === undefined ? 'a category' : `a field "${field}"`
      const message = `split: row ${i} has no label: expected ${what}; name the field that holds it with label: '…'`
      throw new FedloraError('E_DATA', message, { row: i, field: field ?? 'category' })
    }
    all.push(label === undefined ? '' : String(label))
  }
  return (row) => all[row]!
}

/**
 * Splits a data set over clients. Every row goes to exactly one client, and there to train or test; the two of one client are of the
 * same mixture of labels. The same data, options and seed give the same split.
 *
 * @throws E_CONFIG for wrong options; E_DATA when rows have no label or are too few; E_ARGUMENT when there are more clients than
 *   categories
 */
export function split(dataset: Dataset, options: SplitOptions): Split {
  const config = parseOptions(splitOptionsSchema, options, 'split options')
  const { by, alpha, label, seed, testFraction, minRows } = config
  const labelOf = labels(dataset, label, by === 'dirichlet' || by === 'category' || label !== undefined)
  const groups = groupByLabel(
    Array.from({ length: dataset.length }, (_, i) => i),
    labelOf,
  )
  const clients = config.clients ?? (by === 'category' ? groups.size : undefined)
  if (clients === undefined) {
    throw new FedloraError(
      'E_CONFIG',
      `split options: clients: found nothing, expected a number (it is optional by 'category' only)`,
    )
  }
  if (clients * minRows > dataset.length) {
    const message = `split: ${clients} clients of at least ${minRows} rows need ${clients * minRows}, but there are ${dataset.length}`
    throw new FedloraError('E_DATA', message, { clients, minRows, rows: dataset.length })
  }
  const random = new Random(seed, randomStreams.clients)
  let names = Array.from({ length: clients }, (_, i) => `client-${i}`)
  let rows: number[][]
  if (by === 'iid') rows = iid(groups, clients, random)
  else if (by === 'dirichlet') rows = dirichlet(groups, clients, alpha, random)
  else if (by === 'quantity') rows = quantity(groups, clients, alpha, random)
  else ({ rows, names } = byCategory(groups, clients))
  const poor = rows.findIndex((held) => held.length < minRows)
  if (by === 'category' && poor >= 0) {
    const message = `split: category ${names[poor]} has ${rows[poor]!.length} rows, expected at least minRows = ${minRows}`
    throw new FedloraError('E_DATA', message, { category: names[poor], rows: rows[poor]!.length, minRows })
  }
  ensureMinimum(rows, minRows, labelOf)
  const parts = rows.map((held, i) => ({ name: names[i]!, ...trainAndTest(held, testFraction, labelOf, random) }))
  return new Split(dataset, parts, { ...config, clients })
}
