/** Clients that come in by a proof of their name, without a token: `Registry.admit`. */
import t from 'tap'
import { apply } from '../../src/federated/coordinator/apply.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { admission, hashOfToken } from '../../src/federated/coordinator/registry.js'
import { emptyState, type State } from '../../src/federated/coordinator/state.js'

const token = hashOfToken('nobody knows it')
const at = (now: number) => ({ token, now })

function admit(state: State, client: string, key: string, now: number): number {
  const records = admission(state, client, key, at(now))
  for (const record of records) apply(state, record)
  return records.length
}

const after = (...records: Entry[]) => {
  const state = emptyState()
  for (const record of records) apply(state, record)
  return state
}

t.test('a name that is proven comes in, once with a key', async (t) => {
  const state = emptyState()
  t.equal(admit(state, 'a', 'k1', 5), 2)
  t.match(state.members.get('a'), { key: 'k1', revoked: false })
  t.equal(state.tokens.get(token)?.key, 'k1', 'nobody else can use its token')
  t.equal(admit(state, 'a', 'k1', 6), 0, 'it is in')
  t.equal(admit(state, 'a', 'k2', 7), 2, 'a folder that was lost: another key')
  t.match(state.members.get('a'), { key: 'k2' })
  t.throws(() => admit(state, 'b', 'k2', 8), { code: 'E_AUTH' }, 'the key of another')
  t.notOk(state.members.has('b'))
})

t.test('who was shut out needs an invitation, and uses it up', async (t) => {
  const invited = { type: 'invited', at: 3, client: 'a', token: hashOfToken('t'), expires: 10 } as const
  const state = after({ type: 'revoked', at: 1, client: 'a' })
  admit(state, 'a', 'k1', 0)
  apply(state, { type: 'revoked', at: 2, client: 'a' })
  for (const key of ['k1', 'k2']) t.throws(() => admit(state, 'a', key, 3), { code: 'E_REVOKED' }, key)
  apply(state, { ...invited, client: 'b' })
  t.throws(() => admit(state, 'a', 'k1', 4), { code: 'E_REVOKED' }, "another's invitation")
  apply(state, invited)
  t.throws(() => admit(state, 'a', 'k1', 11), { code: 'E_REVOKED' }, 'an invitation that has ended')
  t.equal(admit(state, 'a', 'k1', 10), 1)
  t.match(state.members.get('a'), { key: 'k1', revoked: false })
  apply(state, { type: 'revoked', at: 12, client: 'a' })
  t.throws(() => admit(state, 'a', 'k1', 5), { code: 'E_REVOKED' }, 'an invitation is used once')
})

t.test('an invitation of a client that is nobody yet is used up by its proof', async (t) => {
  const hash = hashOfToken('t')
  const state = after({ type: 'invited', at: 1, client: 'a', token: hash, expires: 10 })
  t.equal(admit(state, 'a', 'k1', 2), 1)
  t.equal(state.tokens.get(hash)?.key, 'k1')
})
