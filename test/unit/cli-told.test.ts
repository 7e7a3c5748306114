/** What people are told of a federation that goes on, where figures are small or not there yet. */
import t from 'tap'
import { joinTeller } from '../../src/cli/join/tell.js'
import type { Output } from '../../src/cli/output.js'
import { clientsTable } from '../../src/cli/serve/standing.js'
import type { ClientStanding, Standing } from '../../src/federated/link/standing.js'

t.test('a client at work, before and after it knows its steps', async (t) => {
  const row = (at: Partial<ClientStanding>) => {
    const client = { name: 'a', state: 'working', seen: null, counted: 0, bytesUp: 0, ...at }
    return clientsTable({ clients: [client] } as unknown as Standing).split('\n')[1]
  }
  t.match(row({ step: 0, steps: 0 }), /working$/)
  t.match(row({}), /working$/)
  t.match(row({ step: 2, steps: 9 }), /working, step 2 of 9$/)
})

t.test('nobody asks again in no time', async (t) => {
  const notes: string[] = []
  const tell = joinTeller({ note: (line: string) => notes.push(line) } as unknown as Output)
  for (const seconds of [0.12, 1, 6.4]) tell({ type: 'retry', code: 'E_UNREACHABLE', why: 'gone', seconds })
  t.same(
    notes,
    ['1s', '1s', '7s'].map((wait) => `E_UNREACHABLE: gone; asks again in ${wait}`),
  )
})
