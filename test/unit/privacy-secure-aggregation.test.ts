/** The doors of secure aggregation in `fedlora/privacy`: a whole round through them, and what they make of inputs that are none. */
import { randomBytes } from 'node:crypto'
import t from 'tap'
import {
  closePhase,
  createIdentity,
  type Entered,
  enterRound,
  type FromClient,
  type Masking,
  maskUpdate,
  openRound,
  receiveMessage,
  revealShares,
  type Sharing,
  type Signing,
  shareSecrets,
  signSurvivors,
  unmaskSum,
} from '../../src/privacy/index.js'

const identities = [1, 2, 3, 4].map(() => createIdentity())
const setup = {
  run: new Uint8Array(randomBytes(16)),
  round: new Uint8Array(randomBytes(16)),
  identities: identities.map(({ publicKey }) => publicKey),
  neighbours: 4,
  threshold: 2,
  length: 3,
  clip: 2,
  bits: 20,
  wordBytes: 4 as const,
  mostWeight: 10,
}
const updates = [0, 1, 2, 3].map((client) => ({
  values: Float32Array.of(client, -client / 2, 0.25),
  weight: 1 + client,
}))

t.test('a round from keys to the mean, with one client lost', async (t) => {
  let server = openRound(setup)
  const entered = identities.map(({ privateKey }, client) => enterRound(setup, client, privateKey))
  let said: FromClient[] = entered.map(({ message }) => message)
  let states: unknown[] = entered.map(({ state }) => state)
  const say = (step: (state: never, heard: never) => { state: unknown; message: FromClient }, lost?: number) => {
    for (const message of said) server = receiveMessage(server, message)
    const { state, messages } = closePhase(server)
    server = state
    said = []
    for (const heard of messages) {
      if (heard.client === lost) continue
      const next = step(states[heard.client] as never, heard as never)
      states[heard.client] = next.state
      said.push(next.message)
    }
  }
  say((state: Entered, heard) => shareSecrets(state, heard))
  say((state: Sharing, heard) => maskUpdate(state, heard, updates[state.client]!), 3)
  say((state: Masking, heard) => signSurvivors(state, heard))
  t.throws(() => unmaskSum(server), { code: 'E_PROTOCOL', message: /still at 'signed'/ })
  say((state: Signing, heard) => revealShares(state, heard))
  for (const message of said) server = receiveMessage(server, message)
  server = closePhase(server).state
  const { mean, weight, survivors, culprits } = unmaskSum(server)
  t.same([weight, survivors, culprits], [6, [0, 1, 2], []])
  // (1·0 + 2·1 + 3·2)/6, its half below zero, and 0.25; 2 was at the edge of the grid.
  for (const [i, expected] of [8 / 6, -4 / 6, 0.25].entries()) {
    t.notOk(!(Math.abs(mean[i]! - expected) <= 4 / (2 ** 20 - 1) + 1e-12), `${mean[i]} is ${expected} to a step`)
  }
  t.same(unmaskSum(server).mean, mean, 'the state is as it was')
  states = []
})

t.test('inputs that are none have a code', async (t) => {
  const junk: unknown[] = [
    undefined,
    null,
    0,
    Number.NaN,
    'x',
    [],
    {},
    new Map(),
    { phase: 'entered' },
    Object.create(null),
  ]
  const { privateKey } = identities[0]!
  const { state } = enterRound(setup, 0, privateKey)
  const server = openRound(setup)
  const coded = { name: 'FedloraError', code: /^E_(ARGUMENT|FORMAT|PROTOCOL|SHAPE)$/ }
  for (const value of junk as never[]) {
    t.throws(() => openRound(value), coded)
    t.throws(() => enterRound(value, 0, privateKey), coded)
    t.throws(() => enterRound(setup, 0, value), coded)
    if (value !== undefined) t.throws(() => enterRound(setup, 0, privateKey, value), coded)
    t.throws(() => shareSecrets(value, value), coded)
    t.throws(() => shareSecrets(state, value), coded)
    t.throws(() => maskUpdate(value, value, value), coded)
    t.throws(() => signSurvivors(value, value), coded)
    t.throws(() => revealShares(value, value), coded)
    t.throws(() => receiveMessage(value, value), coded)
    t.throws(() => receiveMessage(server, value), coded)
    t.throws(() => closePhase(value), coded)
    t.throws(() => unmaskSum(value), coded)
  }
  for (const client of [-1, 1.5, 4, '0', '__proto__', Number.NaN, 1] as never[]) {
    t.throws(() => enterRound(setup, client, privateKey), { code: 'E_ARGUMENT' }, `client ${client}`)
  }
})
