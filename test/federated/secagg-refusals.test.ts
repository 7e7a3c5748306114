/** Secure aggregation: what is damaged, forged, replayed or asked for wrongly is refused and named, nothing of it counts, and the round goes on. */
import t from 'tap'
import { keysMessage, survivorsMessage } from '../../src/federated/protocol/secagg/agreed.js'
import { maskVector, revealShares, shareSecrets, signSurvivors } from '../../src/federated/protocol/secagg/client.js'
import { agree, agreementKeyOf, seal, sign, unseal } from '../../src/federated/protocol/secagg/keys.js'
import type { FromClient, Said, Told } from '../../src/federated/protocol/secagg/messages.js'
import { openRound, receive } from '../../src/federated/protocol/secagg/server.js'
import type { Setup } from '../../src/federated/protocol/secagg/setup.js'
import { unmask } from '../../src/federated/protocol/secagg/unmask.js'
import { bytesAt, engine, identityAt, phases, Round, setupOf } from './support/secagg.js'

const setup = setupOf(5, { threshold: 3 })
const update = { values: Float32Array.of(0.5, -0.25, 0, 1, -1), weight: 3, seed: 5 }
const roundOf = (given: Setup = setup) =>
  new Round(
    given,
    given.identities.map((_, client) => ({ identity: identityAt(client), update })),
  )
const sumOf = (round: Round) => Buffer.from(unmask(round.server, engine).sum).toString('hex')
const whole = sumOf(roundOf().run())
const refused = (client: number, message: RegExp) => ({ code: 'E_PROTOCOL', message, details: { client } })

/** `bytes` with one bit of its byte `at` turned. */
const turned = (bytes: Uint8Array, at = 3) => bytes.map((byte, i) => (i === at ? byte ^ 4 : byte))

t.test('keys of low order are refused by whoever would agree on them', async (t) => {
  const own = bytesAt(1, 32)
  const one = new Uint8Array(32)
  one[0] = 1
  for (const weak of [new Uint8Array(32), one]) {
    t.throws(() => agree(own, weak, 4), refused(4, /low order/))
    for (const which of ['sealingKey', 'maskKey'] as const) {
      const round = roundOf()
      for (const client of [0, 1, 2, 3, 4]) {
        const keys = round.speak(client) as Said<'keys'>
        const forged = { ...keys, [which]: weak }
        // Signed by its owner: only the key itself is wrong.
        if (client === 2) forged.signature = sign(identityAt(2), keysMessage(setup, forged))
        round.hear(client === 2 ? forged : keys)
      }
      round.close()
      t.throws(() => round.speak(0), refused(2, /low order/), which)
    }
  }
  t.same(agree(own, agreementKeyOf(bytesAt(2, 32)), 0), agree(bytesAt(2, 32), agreementKeyOf(own), 0))
})

t.test('what was sealed is opened by its key; fewer bytes than a seal has are none', async (t) => {
  const [key, text, about] = [bytesAt(1, 32), bytesAt(2, 40), bytesAt(3, 8)]
  const sealed = seal(key, text, about)
  t.same(unseal(key, sealed, about), text)
  t.same(unseal(key, seal(key, new Uint8Array(0), about), about), new Uint8Array(0), 'nothing, sealed')
  t.equal(unseal(bytesAt(4, 32), sealed, about), undefined, 'another key')
  t.equal(unseal(key, sealed, bytesAt(4, 8)), undefined, 'about something else')
  for (let length = 0; length < sealed.length; length++)
    if (unseal(key, sealed.subarray(0, length), about) !== undefined) t.fail(`${length} bytes are taken`)
})

t.test('the server names whose message does not belong, and goes on without it', async (t) => {
  const round = roundOf()
  for (const phase of phases) {
    const before = round.server
    const [first, ...rest] = round.present
    const message = round.speak(first!)
    const late = phases[(phases.indexOf(phase) + 1) % phases.length]!
    const state = (change: unknown) => () => receive(before, change, engine)
    t.throws(state({ ...message, round: bytesAt(3000, 16) }), refused(first!, /another round/), phase)
    t.throws(state({ ...message, client: 99 }), refused(99, /no say/))
    t.throws(state({ ...message, extra: 1 }), { code: 'E_FORMAT' })
    t.throws(state({ ...message, type: late }), { code: 'E_FORMAT' })
    for (const junk of [null, undefined, 7, 'keys', [], {}, new Uint8Array(3)])
      t.throws(state(junk), { code: 'E_FORMAT' })
    if (phase === 'keys' || phase === 'signed') {
      const signed = message as Said<'keys'>
      t.throws(state({ ...signed, signature: turned(signed.signature) }), refused(first!, /signature/))
      t.throws(state({ ...signed, client: rest[0] }), refused(rest[0]!, /signature/), 'said for somebody else')
    }
    t.equal(round.server, before)
    round.hear(message)
    t.throws(() => round.hear(message), refused(first!, /second time/), `${phase} replayed`)
    for (const client of rest) round.hear(round.speak(client))
    round.close()
    t.throws(() => round.hear(message), refused(first!, /too late/), `${phase} after its end`)
  }
  t.equal(sumOf(round), whole, 'nothing was counted twice')
})

t.test('messages of another length, or with parcels that are nobody’s business', async (t) => {
  const round = roundOf().run({}, 'keys')
  const shares = round.speak(1) as Said<'shares'>
  const [first] = shares.sealed
  t.throws(() => round.hear({ ...shares, sealed: shares.sealed.slice(1) }), refused(1, /3 peers, expected 4/))
  t.throws(() => round.hear({ ...shares, sealed: [...shares.sealed, first] }), refused(1, /twice/))
  t.throws(
    () => round.hear({ ...shares, sealed: [{ ...first!, peer: 1 }, ...shares.sealed.slice(1)] }),
    refused(1, /client 1/),
  )
  const masked = roundOf().run({}, 'shares')
  const vector = masked.speak(0) as Said<'masked'>
  t.throws(() => masked.hear({ ...vector, words: vector.words.slice(4) }), {
    code: 'E_SHAPE',
    message: /20 bytes.*expected 24/,
  })
  t.throws(() => masked.hear({ ...vector, damaged: [0] }), refused(0, /complaint/))
  const revealing = roundOf().run({ masked: [4] }, 'signed')
  const given = revealing.speak(0) as Said<'revealed'>
  t.same([given.seeds.map(({ peer }) => peer), given.maskKeys.map(({ peer }) => peer)], [[1, 2, 3], [4]])
  t.throws(
    () => revealing.hear({ ...given, seeds: [...given.seeds, given.maskKeys[0]] }),
    refused(0, /client 4, which it must not/),
  )
  t.throws(
    () => revealing.hear({ ...given, maskKeys: [...given.maskKeys, given.seeds[0]] }),
    refused(0, /client 1, which it must not/),
  )
})

t.test('a client gives one share of a peer, for one set of survivors', async (t) => {
  const round = roundOf().run({ masked: [4] }, 'masked')
  const masking = round.clients[0] as Parameters<typeof signSurvivors>[0]
  const told = round.messages.find(({ client }) => client === 0) as Told<'survivors'>
  const say = (survivors: unknown) => () => signSurvivors(masking, { ...told, survivors })
  t.throws(say([1, 2, 3]), refused(0, /did not survive/))
  t.throws(say([0, 1, 2]), refused(0, /2 peers that survived, expected at least 3/))
  for (const list of [
    [0, 2, 1, 3],
    [0, 1, 1, 2, 3],
    [0, 1, 2, 3, 5],
  ])
    t.throws(say(list), { code: 'E_PROTOCOL', message: /ascending/ })
  t.throws(say([-1, 0, 1, 2]), { code: 'E_FORMAT' })
  t.throws(() => signSurvivors(masking, { ...told, client: 1 }), { code: 'E_PROTOCOL', message: /for client 1/ })
  const { state } = signSurvivors(masking, told)
  t.throws(
    () => signSurvivors(state as never, { ...told, survivors: [0, 1, 2, 3, 4] }),
    refused(0, /a step is taken once/),
    'a second set',
  )

  // The peers' signatures are over the same survivors, or nothing is given.
  const signatureOf = (peer: number, survivors: readonly number[]) => ({
    peer,
    bytes: sign(identityAt(peer), survivorsMessage(setup, survivors)),
  })
  const { run, round: id, version } = told
  const reveal =
    (...signatures: unknown[]) =>
    () =>
      revealShares(state, { version, run, round: id, client: 0, type: 'signatures', signatures })
  const same = [0, 1, 2, 3]
  t.throws(reveal(signatureOf(1, same), signatureOf(2, same)), refused(0, /2 peers that signed the same survivors/))
  t.throws(reveal(signatureOf(1, same), signatureOf(2, same), signatureOf(3, [0, 1, 3, 4])), refused(3, /does not fit/))
  t.throws(reveal(signatureOf(1, same), signatureOf(1, same), signatureOf(2, same)), refused(1, /twice/))
  t.throws(reveal(signatureOf(1, same), signatureOf(2, same), signatureOf(4, same)), refused(4, /no peer here/))
  const revealed = reveal(signatureOf(1, same), signatureOf(2, same), signatureOf(3, same))()
  const both = revealed.message.seeds.filter(({ peer }) => revealed.message.maskKeys.some((one) => one.peer === peer))
  t.same(both, [], 'never both shares of one peer')
  t.throws(() => revealShares(revealed.state as never, {}), refused(0, /a step is taken once/))
})

t.test('a client refuses a roster that is not its peers’, and a mask with too few', async (t) => {
  const round = roundOf().run({}, 'keys')
  const entered = round.clients[0] as Parameters<typeof shareSecrets>[0]
  const told = round.messages.find(({ client }) => client === 0) as Told<'roster'>
  const roster = (keys: unknown) => () => shareSecrets(entered, { ...told, keys }, engine)
  const [first, ...rest] = told.keys
  t.throws(
    roster([{ ...first!, maskKey: rest[0]!.maskKey }, ...rest]),
    refused(1, /signature/),
    'keys changed on the way',
  )
  t.throws(roster([first, first, ...rest]), refused(1, /twice/))
  t.throws(roster([{ ...first!, round: bytesAt(9, 16) }, ...rest]), refused(1, /another round/))
  t.throws(roster([first, rest[0]]), refused(0, /2 peers with keys/))
  round.phase()
  const inbox = round.messages.find(({ client }) => client === 0) as Told<'inbox'>
  const sharing = round.clients[0] as Parameters<typeof maskVector>[0]
  t.throws(
    () => maskVector(sharing, { ...inbox, sealed: inbox.sealed.slice(2) }, update, engine),
    refused(0, /2 peers whose shares came/),
  )
  for (const [change, code] of [
    [{ values: new Float32Array(4) }, 'E_SHAPE'],
    [{ values: [1, 2, 3, 4, 5] }, 'E_ARGUMENT'],
    [{ values: Float32Array.of(0, 0, Number.NaN, 0, 0) }, 'E_NONFINITE'],
    [{ weight: 101 }, 'E_ARGUMENT'],
    [{ weight: 1.5 }, 'E_ARGUMENT'],
    [{ weight: undefined }, 'E_ARGUMENT'],
    [{ seed: -1 }, 'E_ARGUMENT'],
  ] as const) {
    t.throws(() => maskVector(sharing, inbox, { ...update, ...change } as never, engine), { code })
  }
  t.throws(() => maskVector(sharing, inbox, undefined as never, engine), { code: 'E_ARGUMENT' })
})

t.test('a damaged share is named by who got it, and the round goes on with the others', async (t) => {
  const round = roundOf().run({}, 'keys')
  round.phase([], (message) =>
    message.type === 'shares' && message.client === 1
      ? {
          ...message,
          sealed: message.sealed.map((one) => (one.peer === 0 ? { ...one, bytes: turned(one.bytes, 40) } : one)),
        }
      : message,
  )
  const complaints: [number, readonly number[]][] = []
  round.phase([], (message) => {
    complaints.push([message.client, (message as Said<'masked'>).damaged])
    return message
  })
  t.same(complaints, [
    [0, [1]],
    [1, []],
    [2, []],
    [3, []],
    [4, []],
  ])
  round.run()
  t.equal(sumOf(round), whole)
  // Two more such, and the secret of client 1 could not be put together.
  const lost = roundOf().run({}, 'keys')
  lost.phase([], (message) =>
    message.type === 'shares' && message.client === 1
      ? { ...message, sealed: message.sealed.map((one) => (one.peer > 0 ? { ...one, bytes: turned(one.bytes) } : one)) }
      : message,
  )
  lost.run()
  t.match(lost.server, { phase: 'abandoned', abandoned: /1 shares of client 1 are left/ })
})

t.test('a wrong share is found by the others, and its giver named', async (t) => {
  const liar = (at: 'seeds' | 'maskKeys', of: number) => (message: FromClient) =>
    message.type === 'revealed' && message.client === 3
      ? { ...message, [at]: message[at].map((one) => (one.peer === of ? { ...one, bytes: turned(one.bytes) } : one)) }
      : message
  const big = setupOf(7, { threshold: 4 })
  const seeds = roundOf(big).run({}, 'signed')
  seeds.phase([], liar('seeds', 0) as never)
  t.same(unmask(seeds.server, engine).culprits, [3])
  t.equal(sumOf(seeds), sumOf(roundOf(big).run()))
  const keys = roundOf(big).run({ masked: [6] }, 'signed')
  keys.phase([], liar('maskKeys', 6) as never)
  t.same(unmask(keys.server, engine).culprits, [3], 'the public key is a witness')
  t.equal(sumOf(keys), sumOf(roundOf(big).run({ masked: [6] })))
  // With no share more than the threshold nobody knows, but for mask keys that something is wrong.
  const few = roundOf().run({ masked: [4] }, 'signed')
  few.phase(
    [],
    (message) => ({ ...liar('maskKeys', 4)(message), ...(message.client === 1 && { maskKeys: [] }) }) as FromClient,
  )
  t.throws(() => unmask(few.server, engine), { code: 'E_PROTOCOL', message: /shares of client 4 do not fit/ })
})

t.test('setups that could not work, or would keep no secret', async (t) => {
  const all = (changes: object) => () => openRound({ ...setup, ...changes } as Setup)
  for (const [changes, message] of [
    [{ threshold: 2 }, /more than half of the 4 neighbours/],
    [{ threshold: 5 }, /at most all/],
    [{ threshold: Number.NaN }, /threshold/],
    [{ threshold: '3' }, /threshold/],
    [{ neighbours: 3 }, /an even number/],
    [{ neighbours: 0 }, /neighbours/],
    [{ identities: setup.identities.slice(0, 1) }, /2 to 2\^20/],
    [{ identities: [...setup.identities.slice(1), setup.identities[1]] }, /same identity/],
    [{ identities: 'abc' }, /identities/],
    [{ run: new Uint8Array(15) }, /16 bytes/],
    [{ clip: 0 }, /clip/],
    [{ clip: Number.POSITIVE_INFINITY }, /clip/],
    [{ bits: 25 }, /bits/],
    [{ bits: 1.5 }, /bits/],
    [{ wordBytes: 8 }, /words of 8 bytes/],
    [{ length: 0 }, /0 values/],
    [{ mostWeight: 0 }, /weight/],
    [{ mostWeight: undefined }, /weight/],
    [{ wordBytes: 2, bits: 8 }, /weights of up to 500 in sum at 8 bits, expected at most 257/],
    [{ mostWeight: 13108 }, /would overflow/],
  ] as const) {
    t.throws(all(changes), { code: 'E_ARGUMENT', message }, JSON.stringify(changes))
  }
  for (const junk of [undefined, null, 7, []]) t.throws(() => openRound(junk as never), { code: 'E_ARGUMENT' })
  t.doesNotThrow(all({ mostWeight: 13107 }), '5 · 13107 · 65535 < 2^32')
})
