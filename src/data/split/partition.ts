/**
 * Ways to deal rows out to clients. Each takes the row indices of every label and returns the indices of every client; every row goes
 * to exactly one client, and the same seed deals the same way.
 */

import { FedloraError } from '../../errors.js'
import type { Random } from '../../random/random.js'

/** Row indices by label, labels in order of first appearance. */
export type RowsByLabel = ReadonlyMap<string, readonly number[]>

/** Rows by label. */
export function groupByLabel(rows: Iterable<number>, labelOf: (row: number) => string): Map<string, number[]> {
  const groups = new Map<string, number[]>()
  for (const row of rows) {
    const label = labelOf(row)
    const group = groups.get(label)
    if (group === undefined) groups.set(label, [row])
    else group.push(row)
  }
  return groups
}

/** Whole numbers that sum to `total`, as near to `shares` (which sum to 1) as can be: the largest remainders are rounded up. */
export function apportion(shares: ArrayLike<number>, total: number): number[] {
  const exact = Array.from(shares, (share) => share * total)
  const counts = exact.map(Math.floor)
  let left = total - counts.reduce((sum, count) => sum + count, 0)
  const byRemainder = exact.map((_, i) => i).sort((a, b) => exact[b]! - counts[b]! - (exact[a]! - counts[a]!) || a - b)
  for (const i of byRemainder) {
    if (left-- <= 0) break
    counts[i]!++
  }
  return counts
}

/** Cuts `rows` at the given counts and adds each piece to its client. */
function deal(rows: readonly number[], counts: readonly number[], clients: number[][]): void {
  let from = 0
  counts.forEach((count, client) => {
    const held = clients[client]!
    for (const row of rows.slice(from, from + count)) held.push(row)
    from += count
  })
}

const emptyClients = (count: number): number[][] => Array.from({ length: count }, () => [])
const allRows = (groups: RowsByLabel): number[] => [...groups.values()].flat()

/** Equal shares of everything. */
export function iid(groups: RowsByLabel, clients: number, random: Random): number[][] {
  const result = emptyClients(clients)
  const rows = random.shuffle(allRows(groups))
  deal(rows, apportion(new Array(clients).fill(1 / clients), rows.length), result)
  return result
}

/** Label skew: each label's rows are shared out by a Dirichlet(alpha) draw of its own. */
export function dirichlet(groups: RowsByLabel, clients: number, alpha: number, random: Random): number[][] {
  const result = emptyClients(clients)
  for (const rows of groups.values()) {
    deal(random.shuffle([...rows]), apportion(random.dirichlet(alpha, clients), rows.length), result)
  }
  return result
}

/** Size skew: clients differ in how much they hold, by one Dirichlet(alpha) draw, not in what. */
export function quantity(groups: RowsByLabel, clients: number, alpha: number, random: Random): number[][] {
  const result = emptyClients(clients)
  const rows = random.shuffle(allRows(groups))
  deal(rows, apportion(random.dirichlet(alpha, clients), rows.length), result)
  return result
}

/** One client a label; with fewer clients than labels, the largest label left goes to the client that holds the least. */
export function byCategory(groups: RowsByLabel, clients: number): { rows: number[][]; names: string[] } {
  if (clients > groups.size) {
    throw new FedloraError(
      'E_ARGUMENT',
      `split: ${clients} clients by category, but there are only ${groups.size} categories (${[...groups.keys()].join(', ')}); ` +
        "ask for fewer clients, or split by 'dirichlet' or 'iid'",
      { clients, categories: groups.size },
    )
  }
  if (clients === groups.size) {
    return { rows: [...groups.values()].map((rows) => [...rows]), names: [...groups.keys()] }
  }
  const result = emptyClients(clients)
  const labels: string[][] = Array.from({ length: clients }, () => [])
  for (const [label, rows] of [...groups].sort((a, b) => b[1].length - a[1].length)) {
    const smallest = result.reduce((best, held, i) => (held.length < result[best]!.length ? i : best), 0)
    const held = result[smallest]!
    for (const row of rows) held.push(row)
    labels[smallest]!.push(label)
  }
  return { rows: result, names: labels.map((held) => held.join('+')) }
}

/** How many of `rows` have each label, labels in order of first appearance. */
function countLabels(rows: readonly number[], labelOf: (row: number) => string): Map<string, number> {
  const counts = new Map<string, number>()
  for (const row of rows) counts.set(labelOf(row), (counts.get(labelOf(row)) ?? 0) + 1)
  return counts
}

/**
 * Moves rows from the client that holds the most to those that hold fewer than `minimum`, always of the label that the giver holds most
 * of, so that its mixture changes least.
 */
export function ensureMinimum(clients: number[][], minimum: number, labelOf: (row: number) => string): void {
  const counted = new Map<number[], Map<string, number>>()
  for (const poor of clients) {
    while (poor.length < minimum) {
      const rich = clients.reduce((best, held) => (held.length > best.length ? held : best))
      const counts = counted.get(rich) ?? countLabels(rich, labelOf)
      counted.set(rich, counts)
      const [commonest, count] = [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best))
      counts.set(commonest, count - 1)
      const at = rich.findLastIndex((row) => labelOf(row) === commonest)
      poor.push(...rich.splice(at, 1))
      counted.delete(poor)
    }
  }
}

/**
 * One client's rows as train and test of the same mixture: the test rows are drawn from every label in proportion. Both are sorted.
 * A client of two rows or more has a test row when `fraction` is above 0, and always a train row.
 */
export function trainAndTest(
  rows: readonly number[],
  fraction: number,
  labelOf: (row: number) => string,
  random: Random,
): { train: number[]; test: number[] } {
  const wanted = fraction > 0 ? Math.max(1, Math.round(fraction * rows.length)) : 0
  const total = Math.min(wanted, rows.length - 1)
  const groups = groupByLabel(rows, labelOf)
  const shares = [...groups.values()].map((group) => group.length / rows.length)
  const counts = apportion(shares, Math.max(0, total))
  const train: number[] = []
  const test: number[] = []
  ;[...groups.values()].forEach((group, k) => {
    const order = random.shuffle([...group])
    order.forEach((row, i) => {
      ;(i < counts[k]! ? test : train).push(row)
    })
  })
  const ascending = (a: number, b: number) => a - b
  return { train: train.sort(ascending), test: test.sort(ascending) }
}
