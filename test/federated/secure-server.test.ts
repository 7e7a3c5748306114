/** The server's half of a secure aggregation: killed anywhere it tells the same bytes and comes to the same bits; liars are told so; too few end the round in words. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isFedloraError } from '../../src/errors.js'
import type { Coordinator } from '../../src/federated/coordinator/coordinator.js'
import type { CoordinatorOptions } from '../../src/federated/coordinator/options.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import { messageIn, messageText } from '../../src/federated/link/secure.js'
import type { FromClient, ToClient } from '../../src/federated/protocol/secagg/messages.js'
import { Lives } from '../../src/server/lives.js'
import { type Dies, Mortal } from './support/conformance.js'
import { IdleClock } from './support/idle-clock.js'
import { type Change, MaskingParticipant } from './support/masking-participant.js'
import { adapterIn, configOf, federation, names, newKey, openServer, wide } from './support/secure-federation.js'

/** Keys stay as they are from world to world: who is who in the sum does not depend on them, and signatures repeat. */
const keys = new Map(names.map((name) => [name, newKey()]))

const config = (changes: Partial<CoordinatorOptions['federation']> = {}): CoordinatorOptions =>
  configOf({
    adapter: { rank: 1, alpha: 4, targetModules: ['q_proj'], seed: 2 },
    clients: { minimum: names.length, deadline: 100 },
    federation: { ...federation, ...changes } as CoordinatorOptions['federation'],
  })

interface World {
  changes?: Partial<CoordinatorOptions['federation']>
  dies?: Dies
  change?: Record<string, Change>
  /** What the server tells in the place of a message. */
  tells?: (client: string, message: ToClient) => ToClient
  /** Told of the server when it is there. */
  onServer?: (server: Coordinator) => void
}

/** Who was shut out takes part no longer. */
function unlessRevoked(error: unknown): void {
  if (!isFedloraError(error, 'E_REVOKED')) throw error
}

/** A federation until its end. */
async function play({ changes = {}, dies, change = {}, tells, onServer }: World = {}) {
  const clock = new IdleClock()
  const mortal = await new Mortal(config(changes), dies, { now: clock.now, after: clock.after }).open()
  const participants: MaskingParticipant[] = []
  const waits = new Set<string>()
  mortal.onOpen = (coordinator) =>
    coordinator.onEvent((event) => event.type === 'phase' && waits.add(coordinator.standing().waitsFor))
  mortal.onOpen(mortal.server())
  onServer?.(mortal.server())
  for (const name of names) {
    const key = keys.get(name)!
    for (;;) {
      try {
        const { token } = await mortal.server().invite(name, 60)
        await mortal.server().enroll(token, key.key)
        break
      } catch {
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const one = new MaskingParticipant(
      name,
      clock.watch(new InProcessLink(() => mortal.server(), name, key.identity)),
      key,
    )
    if (change[name] !== undefined) one.change = change[name]!
    if (tells !== undefined) one.tells = (message) => tells(name, message)
    participants.push(one)
  }
  let alive = names.length
  const ended = Promise.all(
    participants.map(async (one) => {
      await one.open()
      await one.run().catch(unlessRevoked)
      await one.close()
      alive--
    }),
  )
  await clock.run(mortal.alive, () => alive, ended)
  await mortal.alive()
  await mortal.server().over
  await mortal.close()
  const records = await mortal.records()
  return {
    mortal,
    participants,
    records,
    waits,
    bytes: adapterIn(mortal.folder),
    by: new Map(participants.map((one) => [one.name, one])),
  }
}

const ends = (records: readonly Entry[]) =>
  records.flatMap((record) => (record.type === 'commit' || record.type === 'abandon' ? [record] : []))
const silentFrom = (phase: FromClient['type'], round = 1): Change => {
  const order = ['keys', 'shares', 'masked', 'signed', 'revealed']
  return (message, now) => (now === round && order.indexOf(message.type) >= order.indexOf(phase) ? undefined : message)
}

const undisturbed = await play()

t.test('undisturbed', async (t) => {
  const { records, participants, waits } = undisturbed
  t.same(
    ends(records).map(({ type }) => type),
    ['commit', 'commit'],
  )
  for (const { told, faults, outcomes } of participants) {
    t.same(faults, [])
    t.ok(told.every(({ reply }) => reply.type === 'taken'))
    t.same(
      outcomes.map(({ counted }) => counted),
      [true, true],
    )
  }
  t.match([...waits].join('\n'), /round 1: 0 of 4 have shared their secrets; waits for the shares of a, b, c, d/)
  t.match(
    [...waits].join('\n'),
    /round 2: 0 of 4 have signed who is in the sum; waits for the signatures of a, b, c, d/,
  )
  t.match([...waits].join('\n'), /waits for the opened shares of a, b, c, d/)
})

t.test('no secret of a client lies in the journal, the blobs or the log', async (t) => {
  const { records, participants, mortal } = undisturbed
  const blobs: Buffer[] = []
  for (const record of records) if (record.type === 'accepted') blobs.push(Buffer.from(JSON.stringify(record)))
  const journal = JSON.stringify(records)
  const opened = records.flatMap((record) => (record.type === 'said' ? [Buffer.from(record.message, 'base64')] : []))
  const log = readFileSync(join(mortal.folder, 'events.ndjson'))
  const texts = [Buffer.from(journal), log, ...opened, ...blobs]
  const holds = (secret: Uint8Array) => {
    const bytes = Buffer.from(secret)
    const forms = [
      bytes,
      ...(['hex', 'base64', 'base64url'] as const).map((form) => Buffer.from(bytes.toString(form).replace(/=+$/, ''))),
    ]
    return texts.some((text) => forms.some((form) => text.includes(form)))
  }
  let looked = 0
  for (const { key, secrets } of participants) {
    for (const secret of [key.identity, ...secrets]) {
      looked++
      if (holds(secret)) t.fail('a secret')
    }
    t.ok(holds(Buffer.from(key.key, 'base64url')), 'canary: what is public is found')
  }
  t.equal(looked, 4 * (1 + 2 * 3))
})

/** The server dies at the n-th record that fits, of those that it appends. */
function diesAt(fits: (record: Entry) => boolean, n: number, when: 'before' | 'after'): Dies {
  let seen = 0
  return (_, records) => (records.some(fits) && ++seen === n ? when : undefined)
}
const phaseOf = (record: Entry) => ('phase' in record ? record.phase : undefined)

t.test('a server killed around its records: the same messages, the same bits', async (t) => {
  const deaths: [string, Dies][] = [['begin', diesAt(({ type }) => type === 'begin', 1, 'after')]]
  for (const [i, phase] of (['keys', 'shares', 'masked', 'signed', 'revealed'] as const).entries()) {
    const said = (record: Entry) =>
      phase === 'masked' ? record.type === 'accepted' : record.type === 'said' && record.phase === phase
    deaths.push([`${phase} said`, diesAt(said, 2 + (i % 3), i % 2 === 0 ? 'after' : 'before')])
    const ended = (record: Entry) => record.type === 'phase' && phaseOf(record) === phase
    deaths.push([`${phase} ended`, diesAt(ended, 1 + (i % 2), i % 2 === 0 ? 'before' : 'after')])
  }
  deaths.push(['commit', diesAt(({ type }) => type === 'commit', 1, 'before')])
  for (const [name, dies] of deaths) {
    const { bytes, participants, mortal } = await play({ dies })
    const changed = participants.flatMap(({ notices }) => {
      const seen = new Map<string, string>()
      return notices.filter(({ round, number, message }) => {
        const before = seen.get(`${round} ${number}`)
        seen.set(`${round} ${number}`, message)
        return before !== undefined && before !== message
      })
    })
    t.same([mortal.restarts, changed.length, participants.flatMap(({ faults }) => faults)], [1, 0, []], name)
    t.ok(bytes.equals(undisturbed.bytes), `${name}: the bits`)
  }
})

t.test('clients that are lost in each phase: who has sent a vector counts, and the sum is exact', async (t) => {
  const bits: Buffer[] = []
  for (const phase of ['keys', 'shares', 'masked', 'signed', 'revealed'] as const) {
    const { records, bytes } = await play({ changes: { rounds: 1 }, change: { c: silentFrom(phase) } })
    const [end] = ends(records)
    const without = phase === 'signed' || phase === 'revealed' ? names : names.filter((name) => name !== 'c')
    t.same(end!.type === 'commit' && end!.counted, without, phase)
    t.equal((end!.report.secureAggregation as { survivors: number }).survivors, without.length)
    bits.push(bytes)
  }
  t.ok(bits[0]!.equals(bits[1]!) && bits[3]!.equals(bits[4]!), 'the phase makes no difference')
  t.notOk(bits[2]!.equals(bits[3]!), 'canary: who counts makes one')
  const all = await play({ changes: { rounds: 1 } })
  t.ok(bits[3]!.equals(all.bytes), 'who is lost after its vector came is in the sum')
  // Names decide draws: numbers in the sum are those of all who were asked.
  t.ok(bits[1]!.equals(bits[2]!))
})

t.test('too few: the round is abandoned with its reason, nothing counts, and the next one goes on', async (t) => {
  for (const [phase, why] of [
    ['keys', /2 clients have said their keys, expected more than 2/],
    ['shares', /2 clients have shared their secrets/],
    ['masked', /2 clients have sent their vectors/],
    ['signed', /2 clients have signed the survivors/],
    ['revealed', /0 shares of client 0 are left, expected at least 2/],
  ] as const) {
    const gone = phase === 'revealed' ? ['b', 'c', 'd'] : ['b', 'c']
    const { records, by } = await play({ change: Object.fromEntries(gone.map((name) => [name, silentFrom(phase)])) })
    const [first, second] = ends(records)
    t.match(first, { type: 'abandon', why }, phase)
    t.match(second, { type: 'commit', counted: names }, 'the next round')
    t.match(by.get('a')!.outcomes[0], { round: 1, counted: false, why })
  }
})

/** Changes one message of round 1. */
const lying =
  (phase: FromClient['type'], how: (message: never) => unknown): Change =>
  (message, round) => {
    if (round !== 1 || message.type !== phase) return message
    const changed = how(structuredClone(message) as never)
    return typeof changed === 'string' ? changed : (changed as FromClient)
  }
const flipped = (bytes: Uint8Array, at = 0) => Uint8Array.from(bytes, (byte, i) => (i === at ? byte ^ 1 : byte))

t.test('liars are refused with a code, and the round ends without them', async (t) => {
  type Said<T> = Extract<FromClient, { type: T }>
  for (const [what, phase, how, code, words] of [
    [
      'keys that nobody has signed',
      'keys',
      (m: Said<'keys'>) => ({ ...m, maskKey: flipped(m.maskKey) }),
      'E_PROTOCOL',
      /signature of client 2/,
    ],
    [
      'keys of another',
      'keys',
      (m: Said<'keys'>) => ({ ...m, client: 0 }),
      'E_PROTOCOL',
      /signature of client 0|second time|speaks as/,
    ],
    ['another round', 'keys', (m: Said<'keys'>) => ({ ...m, round: flipped(m.round) }), 'E_PROTOCOL', /another round/],
    [
      'another federation',
      'shares',
      (m: Said<'shares'>) => ({ ...m, run: flipped(m.run) }),
      'E_PROTOCOL',
      /another round/,
    ],
    [
      'a share too few',
      'shares',
      (m: Said<'shares'>) => ({ ...m, sealed: m.sealed.slice(1) }),
      'E_PROTOCOL',
      /shares for 2 peers, expected 3/,
    ],
    [
      'shares for itself',
      'shares',
      (m: Said<'shares'>) => ({ ...m, sealed: [...m.sealed.slice(1), { ...m.sealed[0]!, peer: 2 }] }),
      'E_PROTOCOL',
      /must not/,
    ],
    ['garbage', 'shares', () => Buffer.from('garbage').toString('base64'), 'E_FORMAT', /first line/],
    [
      'an object that is none',
      'keys',
      () => messageText({ type: '__proto__' } as never),
      'E_FORMAT',
      /secure aggregation/,
    ],
    ['too much', 'keys', () => 'A'.repeat(1_000_000), 'E_TOO_LARGE', /may have/],
    [
      'a vector that is too short',
      'masked',
      (m: Said<'masked'>) => ({ ...m, words: m.words.slice(4) }),
      'E_SHAPE',
      /bytes of masked words/,
    ],
    ['complaints about itself', 'masked', (m: Said<'masked'>) => ({ ...m, damaged: [2] }), 'E_PROTOCOL', /must not/],
    [
      'a vector as another',
      'masked',
      (m: Said<'masked'>) => ({ ...m, client: 0 }),
      'E_PROTOCOL',
      /second time|speaks as/,
    ],
    ['bytes for a vector', 'masked', () => Buffer.from('{}').toString('base64'), 'E_FORMAT', /first line/],
    [
      'a signature that is none',
      'signed',
      (m: Said<'signed'>) => ({ ...m, signature: flipped(m.signature) }),
      'E_PROTOCOL',
      /does not fit the survivors/,
    ],
    [
      'a share of what it must not give',
      'revealed',
      (m: Said<'revealed'>) => ({ ...m, maskKeys: m.seeds, seeds: [] }),
      'E_PROTOCOL',
      /must not/,
    ],
    [
      'a share twice',
      'revealed',
      (m: Said<'revealed'>) => ({ ...m, seeds: [m.seeds[0]!, m.seeds[0]!] }),
      'E_PROTOCOL',
      /twice/,
    ],
  ] as const) {
    const { records, by, mortal } = await play({ changes: { rounds: 1 }, change: { c: lying(phase, how as never) } })
    const told = by.get('c')!.told.find((one) => one.phase === phase)
    t.match(told?.reply, { type: 'refused', code, why: words }, what)
    const counts = phase === 'signed' || phase === 'revealed'
    const [end] = ends(records)
    t.same(end!.type === 'commit' && end!.counted, counts ? names : ['a', 'b', 'd'], 'the others count')
    t.match(
      mortal.events.filter(({ type }) => type === 'refused'),
      [{ name: 'c', round: 1, code }],
    )
    const written = records.filter(({ type }) => type === 'refused')
    t.equal(
      written.length,
      counts ? 0 : 1,
      'who is refused before its work is out of the round, and the journal says so',
    )
  }
})

t.test('what nobody signs is taken from its own client alone', async (t) => {
  for (const phase of ['masked', 'revealed'] as const) {
    const as = (m: { client: number; seeds?: { peer: number }[] }) => ({
      ...m,
      client: 3,
      ...(m.seeds && { seeds: m.seeds.filter(({ peer }) => peer !== 3) }),
    })
    const change = { c: lying(phase, as as never), d: silentFrom(phase) }
    const { by, records } = await play({ changes: { rounds: 1, secureAggregation: wide }, change })
    const told = by.get('c')!.told.find((one) => one.phase === phase)
    t.match(told?.reply, { type: 'refused', code: 'E_PROTOCOL', why: /client c speaks as client d/ }, phase)
    t.not(ends(records)[0]!.type, 'commit', 'too few are left')
  }
})

t.test('nobody waits for who is lost, or shut out, after its vector came', async (t) => {
  const lost = await play({ changes: { rounds: 1 }, change: { c: silentFrom('signed') } })
  t.match([...lost.waits].join('\n'), /waits for the opened shares of a, b, d$/m)
  let server: Coordinator
  const revoking: Change = (message) => {
    if (message.type !== 'signed') return message
    void server.revoke('c')
    return undefined
  }
  const onServer = (one: Coordinator) => {
    server = one
  }
  const { waits, records } = await play({ changes: { rounds: 1 }, change: { c: revoking }, onServer })
  t.match([...waits].join('\n'), /waits for the opened shares of a, b, d$/m)
  const signed = records.find((record) => record.type === 'phase' && record.phase === 'signed')!
  t.ok('at' in signed && signed.at < 1_000_000 + 10_000, 'before its deadline')
  t.match(ends(records), [{ type: 'commit', counted: names }])
})

t.test('a share that fits no other: no sum is made of it, and the reason is told', async (t) => {
  const how = (m: Extract<FromClient, { type: 'revealed' }>) => ({
    ...m,
    seeds: m.seeds.map((one) => ({ ...one, bytes: flipped(one.bytes) })),
  })
  const { bytes, records } = await play({ change: { c: lying('revealed', how as never) } })
  // Three shares, two of which give a secret: that one is wrong shows, and not which.
  t.match(ends(records), [{ type: 'abandon', why: /shares of client [abd] do not fit/ }, { type: 'commit' }])
  t.notOk(bytes.equals(undisturbed.bytes), 'canary: the round is missing')
  const why = /shares of client [abd] do not fit one another: one of .*c.* gave a wrong one/
  t.match(ends(records)[0], { why }, 'by their names')
})

t.test('a share that a public key shows to be wrong: the sum is made, and the operator is told of whom', async (t) => {
  const how = (m: Extract<FromClient, { type: 'revealed' }>) => ({
    ...m,
    maskKeys: m.maskKeys.map((one) => ({ ...one, bytes: flipped(one.bytes, 7) })),
  })
  let lives!: Lives
  const onServer = (server: Coordinator) => (lives = new Lives(server))
  const change = { d: silentFrom('masked'), c: lying('revealed', how as never) }
  const { records } = await play({ changes: { rounds: 1 }, change, onServer })
  t.match(ends(records), [
    { type: 'commit', counted: ['a', 'b', 'c'], report: { secureAggregation: { survivors: 3, culprits: ['c'] } } },
  ])
  t.match(
    lives.standing().problems.filter(({ client }) => client === 'c'),
    [{ code: 'E_PROTOCOL', words: 'gave a wrong share in round 1; the sum is right without it' }],
  )
  // The lowest bits of a key mean nothing to the public one: whoever changes them there is not told from the others.
  const lowest = (m: Extract<FromClient, { type: 'revealed' }>) => ({
    ...m,
    maskKeys: m.maskKeys.map((one) => ({ ...one, bytes: flipped(one.bytes) })),
  })
  const sly = { d: silentFrom('masked'), c: lying('revealed', lowest as never) }
  const { records: made } = await play({ changes: { rounds: 1 }, change: sly })
  t.match(ends(made), [{ type: 'commit', counted: ['a', 'b', 'c'] }])
  t.notOk(JSON.stringify(made.at(-1)).includes('culprits'), 'nobody is accused where it is not known')
  const { records: honest } = await play({ changes: { rounds: 1 }, change: { d: silentFrom('masked') } })
  t.notOk(JSON.stringify(honest.at(-1)).includes('culprits'), 'canary: nobody is accused')
})

t.test('a word said again gets the same reply; another one, or one that is late, never counts', async (t) => {
  const server = await openServer({ ...config({ rounds: 1 }), clients: { minimum: names.length, deadline: null } })
  const { coordinator, link } = server
  const made = names.map((name) => new MaskingParticipant(name, link(name), server.keys.get(name)!))
  const signal = new AbortController().signal
  const keysOf = async (one: MaskingParticipant): Promise<string> => {
    let text = ''
    one.change = (message) => {
      text = messageText(message)
      return undefined
    }
    await one.open()
    await one.act((await one.link.next(one.known, signal))!)
    one.change = (message) => message
    return text
  }
  const texts = await Promise.all(made.map(keysOf))
  const say = (i: number, message: string, round = 1) => coordinator.say(names[i]!, { type: 'secure', round, message })
  t.same(await say(0, texts[0]!), { type: 'taken' })
  t.same(await say(0, texts[0]!), { type: 'taken' }, 'the same again')
  const other = newKeysOf(texts[0]!)
  t.match(await say(0, other), { type: 'refused', code: 'E_ALREADY_COUNTED' })
  t.match(await say(1, texts[1]!, 2), { type: 'refused', code: 'E_ROUND_CLOSED' }, 'a round that has not begun')
  t.match(await say(1, texts[0]!), { type: 'refused', code: 'E_PROTOCOL', why: /speaks as client|second time/ })
  t.match(await say(1, texts[1]!), { type: 'refused', code: 'E_ROUND_CLOSED' }, 'who was refused is out of the round')
  t.match(await say(1, texts[0]!), { type: 'refused', code: 'E_PROTOCOL' }, 'and is told the same again')
  t.match(coordinator.standing().waitsFor, /round 1: 1 of 3 have said their keys; waits for the keys of c, d/)
  t.equal(coordinator.standing().phase, 'keys')
  const answer = { version: 1 as const, round: 1, client: 'c', rows: 1, steps: 1, tokens: 1, loss: 1, numbers: {} }
  const manifest = { run: made[2]!.description.run, answer, vectors: {}, blob: null }
  t.match(
    await coordinator.say('c', { type: 'answer', round: 1, manifest }),
    { type: 'refused', code: 'E_PROTOCOL', why: /'keys': no answer is due/ },
    'an answer before its time',
  )
  await coordinator.revoke('d')
  t.match(coordinator.standing().waitsFor, /waits for the keys of c$/, 'nobody waits for who was shut out')
  await coordinator.abandonRound()
  t.match(await say(2, texts[2]!), { type: 'refused', code: 'E_ROUND_CLOSED' }, 'what comes after its end')
  t.same(await say(0, texts[0]!), { type: 'taken' }, 'and what was taken stays so')
  await coordinator.close()
  await Promise.all(made.map((one) => one.close()))
})

/** Other keys than those, as the same client would have signed them. */
function newKeysOf(text: string): string {
  const message = messageIn(text) as Extract<FromClient, { type: 'keys' }>
  return messageText({ ...message, maskKey: flipped(message.maskKey) })
}

t.test('a server that tells one client of other survivors gets nothing of it', async (t) => {
  for (const survivors of [
    [0, 1, 3],
    [1, 2, 3],
    [0, 1, 2, 3, 9],
    [3, 2, 1, 0],
  ]) {
    const { by, records } = await play({
      changes: { rounds: 1 },
      tells: (client, message) =>
        client === 'a' && message.type === 'survivors' ? { ...message, survivors } : message,
    })
    const { told, faults } = by.get('a')!
    t.notOk(
      told.some(({ phase }) => phase === 'revealed'),
      `${survivors}: no share leaves`,
    )
    if (survivors.join() === '0,1,3')
      t.match(told.at(-1), { phase: 'signed', reply: { type: 'refused', code: 'E_PROTOCOL' } }, 'a set of its own')
    else t.match(faults, [/survive|ascending/])
    t.match(ends(records), [{ type: 'commit', counted: names }], 'the others have the sum')
  }
})
