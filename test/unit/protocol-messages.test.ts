/** What a task and an answer may be: each field at its bounds and beyond them, alone. */
import t from 'tap'
import type { z } from 'zod'
import { answerSchema, taskSchema } from '../../src/federated/protocol/messages.js'

const bytes = new Uint8Array([1])
const task = {
  version: 1,
  round: 1,
  rounds: 1,
  client: 'a',
  algorithm: 'fedavg',
  learningRate: 1e-3,
  seed: 0,
  vectors: { adapter: bytes },
  numbers: { weights: [0.5, -1] },
}
const answer = {
  version: 1,
  round: 1,
  client: 'a',
  rows: 0,
  steps: 0,
  tokens: 0,
  loss: null,
  vectors: {},
  numbers: {},
}

type Changes = Readonly<Record<string, readonly unknown[]>>

function judge(
  t: Pick<typeof import('tap').t, 'ok' | 'notOk'>,
  schema: z.ZodType,
  plain: object,
  right: Changes,
  wrong: Changes,
) {
  t.ok(schema.safeParse(plain).success)
  for (const [field, values] of Object.entries(right))
    for (const value of values) t.ok(schema.safeParse({ ...plain, [field]: value }).success, `${field} ${value}`)
  for (const [field, values] of Object.entries(wrong))
    for (const value of values) t.notOk(schema.safeParse({ ...plain, [field]: value }).success, `not ${field} ${value}`)
}

t.test('a task', async (t) => {
  const right = { rounds: [2], clip: [1e-9], segment: [{ index: 0, of: 2 }], vectors: [{}] }
  judge(t, taskSchema, task, right, {
    version: [0, 2, '1', undefined],
    round: [0, 1.5, undefined],
    rounds: [0, -1, 1.5, undefined],
    client: [1, undefined],
    algorithm: [1, undefined],
    learningRate: [0, -1, Number.NaN, Number.POSITIVE_INFINITY, undefined],
    seed: [-1, 0.5, undefined],
    vectors: [{ adapter: [1] }, { adapter: 'AQ==' }, undefined],
    numbers: [{ weights: 1 }, { weights: ['1'] }, { weights: [Number.NaN] }, undefined],
    segment: [{ index: -1, of: 2 }, { index: 0, of: 1 }, { index: 0 }],
    clip: [0, -1],
    other: [1],
  })
})

t.test('an answer', async (t) => {
  const right = { loss: [0, 2.5, -1], rows: [7], vectors: [{ adapter: bytes }] }
  judge(t, answerSchema, answer, right, {
    version: [0, 2, undefined],
    round: [0, undefined],
    client: [1, undefined],
    rows: [-1, 0.5, undefined],
    steps: [-1, undefined],
    tokens: [-1, undefined],
    loss: [Number.NaN, '1', undefined],
    vectors: [{ adapter: null }, undefined],
    numbers: [{ sums: [null] }, undefined],
    masked: [{ vectors: [['adapter', -1]], message: {} }, {}],
    other: [1],
  })
})
