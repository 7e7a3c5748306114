/** What people are told of clients that were measured on their own rows. */
import t from 'tap'
import {
  liesLine,
  maskedLine,
  measuredLine,
  refusedLines,
  reportClients,
  selectedLine,
} from '../../src/cli/client-report.js'
import { planEvaluation } from '../../src/cli/open-data.js'
import { Output } from '../../src/cli/output.js'
import { federationEvaluateSchema } from '../../src/cli/sections.js'
import type { FederationResult, RoundEvent } from '../../src/federated/events.js'
import { spreadOf } from '../../src/federated/simulate/spread.js'

type Evaluation = FederationResult['clientEvaluations'][number]

function evaluationOf(
  of: 'global' | 'personal',
  losses: number[],
  fineTuneSteps = 0,
  unmeasured: number[] = [],
): Evaluation {
  const each = losses.map((loss, client) => {
    return { client, name: `c${client}`, tookPart: client !== 1, loss, tokenAccuracy: 0.5, tokens: 10 }
  })
  const clients = { ...spreadOf(losses), each, unmeasured, fineTuneSteps }
  return { of, loss: 1, perplexity: 2, tokenAccuracy: 0.5, tokens: 10 * losses.length, clients }
}

function told(evaluations: Evaluation[]): { out: string; notes: string } {
  let out = ''
  let notes = ''
  const stdout = {
    write(text: string) {
      out += text
    },
  }
  const stderr = {
    write(text: string) {
      notes += text
    },
  }
  reportClients(evaluations, new Output({ json: false, stdout, stderr, environment: {} }))
  return { out, notes }
}

t.test('a line for an evaluation', async (t) => {
  t.equal(
    measuredLine(evaluationOf('global', [1, 3])),
    'global adapter, own test rows: loss 2.0000 ± 1.0000 · worst decile 3.0000 · best decile 1.0000',
  )
  t.match(measuredLine(evaluationOf('personal', [1, 3], 5)), /^personal adapters \+ 5 steps, own/)
  const { clients: _, ...nobodys } = evaluationOf('global', [1])
  t.equal(measuredLine(nobodys), undefined)
})

t.test('a table of all clients, the worst first, a column for each adapter', async (t) => {
  const { out, notes } = told([evaluationOf('global', [1, 3]), evaluationOf('personal', [2, 0.5], 0, [2])])
  t.same(
    out
      .trimEnd()
      .split('\n')
      .map((line) => line.split(/ {2,}/)),
    [
      ['loss on own test rows', 'global adapter', 'personal adapters'],
      ['c0', '1.0000', '2.0000'],
      ['c1 (never took part)', '3.0000', '0.5000'],
      ['mean', '2.0000', '1.2500'],
      ['standard deviation', '1.0000', '0.7500'],
      ['worst decile', '3.0000', '2.0000'],
      ['best decile', '1.0000', '0.5000'],
    ],
  )
  t.match(notes, /1 clients have no test rows/)
  t.same(told([]), { out: '', notes: '' })
})

t.test('of many clients those that fare worst', async (t) => {
  const { out } = told([
    evaluationOf(
      'global',
      Array.from({ length: 25 }, (_, i) => i),
    ),
  ])
  t.match(out, /c24 .*24\.0000/)
  t.match(out, /c5 /)
  t.notMatch(out, /c4 /)
  t.match(out, /the 20 worst of 25 clients/)
})

t.test('a section that measures clients needs no rows of its own', async (t) => {
  const plan = (evaluate: object) => planEvaluation(federationEvaluateSchema, {}, { evaluate })
  t.same(plan({ of: 'both', fineTune: { steps: 2 } }), {
    data: undefined,
    when: { of: 'both', fineTune: { steps: 2 } },
  })
  t.throws(() => plan({ every: 2 }), { code: 'E_CONFIG', message: /needs path/ })
  t.throws(() => plan({ of: 'both', limit: 3 }), { code: 'E_CONFIG', message: /needs path/ })
  t.throws(() => plan({ of: 'mine' }), { code: 'E_CONFIG' })
})

t.test('a line for those who lie', async (t) => {
  const round = (clients: { name: string; attack?: string }[]) => ({ round: 3, clients }) as unknown as RoundEvent
  t.equal(liesLine(round([{ name: 'a' }])), undefined)
  const some = [{ name: 'a' }, { name: 'b', attack: 'noise' }, { name: 'c', attack: 'nan' }]
  t.equal(liesLine(round(some)), 'round 3: attackers b (noise), c (nan)')
  const many = Array.from({ length: 22 }, (_, i) => ({ name: `c${i}`, attack: 'nan' }))
  t.match(liesLine(round(many)), /c19 \(nan\) and 2 more$/)
})

t.test('whom a rule selected, and what was refused', async (t) => {
  const clients = Array.from({ length: 25 }, (_, client) => ({ client, name: `c${client}` }))
  const round = (more: object) => ({ round: 3, clients, ...more }) as never
  t.equal(selectedLine(round({})), undefined)
  t.equal(selectedLine(round({ selected: [4, 1] })), 'round 3: selected c1, c4')
  t.equal(selectedLine(round({ selected: [] })), 'round 3: selected nobody')
  t.match(selectedLine(round({ selected: clients.map(({ client }) => client) })), /c19 and 5 more$/)
  t.same(refusedLines(round({})), [])
  const refused = clients.map(({ client, name }) => ({
    client,
    name,
    code: 'E_SHAPE',
    message: `the answer of ${name}`,
  }))
  t.same(refusedLines(round({ refused: refused.slice(0, 1) })), ['round 3: refused (E_SHAPE): the answer of c0'])
  t.same(refusedLines(round({ refused })).slice(20), ['round 3: refused 5 more; --json tells of all'])
})

t.test('what a secure aggregation came to, in a line', async (t) => {
  const event = (extra: object) => ({ round: 3, clients: [], ...extra }) as unknown as Parameters<typeof maskedLine>[0]
  t.equal(maskedLine(event({})), undefined)
  t.match(
    maskedLine(event({ secureAggregation: { survivors: 7, bytesUp: 2048, bytesDown: 4096 } })),
    /^round 3: updates of 7 clients under masks · protocol up .*2.* · down .*4[^:]*$/,
  )
  t.match(
    maskedLine(event({ secureAggregation: { survivors: 7, bytesUp: 0, bytesDown: 0, culprits: ['x', 'y'] } })),
    / · wrong shares of x, y: the sum is right without them$/,
  )
})
