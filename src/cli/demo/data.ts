/**
 * The demo's private data: GSM8K by the kind of arithmetic that an answer needs, one client a kind.
 *
 * The calculator annotations <<48/2=24>> tell the kind: "divide" where one holds a /, "multiply" where one holds a * and none a /,
 * "add" otherwise. Rows longer than the model's positions are left out.
 */
import type { Dataset } from '../../data/dataset.js'

export const kinds = ['add', 'multiply', 'divide'] as const
export type Kind = (typeof kinds)[number]

/** The kind of arithmetic in an answer. */
export function kindOf(answer: string): Kind {
  const operators = [...answer.matchAll(/<<([^=>]*)=/g)].map((match) => match[1]).join('')
  return operators.includes('/') ? 'divide' : operators.includes('*') ? 'multiply' : 'add'
}

/** The first `each` rows of every kind that were not cut, kind by kind; rows that are not needed are not tokenised. */
export function clientRows(data: Dataset, each: number): Dataset[] {
  const clients = new Map<Kind, number[]>(kinds.map((kind) => [kind, []]))
  for (let row = 0; row < data.length; row++) {
    const client = clients.get(kindOf(String(data.row(row).answer)))!
    if (client.length < each && !data.sample(row).truncated) client.push(row)
  }
  return [...clients.values()].map((rows) => data.subset(rows))
}
