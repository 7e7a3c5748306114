/**
 * What must hold of a federation that has ended, whatever was killed on the way. Judged from the journal, from what its clients sent and were told, and
 * from nothing that the server says of itself.
 *
 *   once      every (round, client) is accepted at most once, in a round that is open, and was asked
 *   folded    with workers every answer that is accepted was received in its round, once
 *   counted   a round's step has exactly the answers that were accepted in it
 *   kept      every answer that its client was told is taken is accepted, with the same bytes, and in the step
 *   told      what a client hears of a round is what the journal says
 *   fold      the adapter is what adding the steps up gives: θ ← θ + Σ n u / Σ n, n rows, u the updates of a step
 *   said      of a secure aggregation every client says one thing a phase, what was taken stays, and of no peer both shares are given
 *   spent     what is spent of privacy never decreases
 */

import { messageIn } from '../../../dist/federated/link/secure.js'

/**
 * @typedef {{ client: string, type: 'answer', round: number, blob: string, rows: number, reply: string }
 *   | { client: string, type: 'outcome', round: number, counted: boolean }
 *   | { client: string, type: 'said', round: number, message: string, reply: string }} Note
 * @typedef {{ sequence: number, record: any }} Entry
 */

/** A float32 sum of some exact products, rounded once a step: half a unit of 2^-24 a step of values below 1, and as much for the quotient. */
const tolerance = 2 ** -22

/**
 * The rules that are broken, in words; empty: none.
 * @param {object} facts
 * @param {readonly Entry[]} facts.entries
 * @param {readonly Note[]} facts.notes what clients sent and were told, in the order in which they were
 * @param {(blob: string, client: string, round: number) => Float32Array | undefined} facts.update what a client sent
 * @param {number} [facts.step] of the grid that values are rounded to; 0: none
 * @param {Float32Array} facts.initial
 * @param {Float32Array} facts.final
 */
export function violations({ entries, notes, update, step: grid = 0, initial, final }) {
  const broken = /** @type {string[]} */ ([])
  const rounds = new Map()
  let open = /** @type {any} */ (undefined)
  const spent = new Map()
  const adapter = Float64Array.from(initial)
  for (const [i, { sequence, record }] of entries.entries()) {
    if (sequence !== i + 1) broken.push(`once: record ${i + 1} has number ${sequence}`)
    const { type, round, client } = record
    if (type === 'begin') {
      if (open !== undefined) broken.push(`once: round ${round} began in round ${open.round}`)
      if (rounds.has(round)) broken.push(`once: round ${round} began twice`)
      open = {
        ...{ round, asked: record.clients, received: new Map(), accepted: new Map(), counted: undefined },
        ...{ said: new Map(), phases: new Set(), given: new Map() },
      }
      rounds.set(round, open)
    }
    if (type === 'accepted') {
      if (open?.round !== round) broken.push(`once: ${client} is accepted in round ${round}, which is not open`)
      if (!open?.asked.includes(client)) broken.push(`once: ${client} is accepted in round ${round} and was not asked`)
      if (rounds.get(round)?.accepted.has(client)) broken.push(`once: ${client} is accepted twice in round ${round}`)
      rounds.get(round)?.accepted.set(client, record.manifest)
    }
    if (type === 'received') {
      if (open?.received.has(client)) broken.push(`once: ${client} is received twice in round ${round}`)
      open?.received.set(client, record.manifest)
    }
    if (type === 'folded') {
      for (const name of record.accepted) {
        const manifest = open?.received.get(name)
        if (open?.round !== round || manifest === undefined)
          broken.push(`once: ${name} is folded in round ${round} and was not received`)
        if (open?.accepted.has(name)) broken.push(`once: ${name} is accepted twice in round ${round}`)
        open?.accepted.set(name, manifest)
      }
    }
    if (type === 'commit' || type === 'abandon') {
      if (open?.round !== round) broken.push(`counted: round ${round} ended and was not open`)
      else open.counted = type === 'commit' ? record.counted : []
      if (type === 'commit') {
        const accepted = [...(rounds.get(round)?.accepted.keys() ?? [])].sort().join()
        if (record.counted.join() !== accepted)
          broken.push(`counted: round ${round} is of ${record.counted}, accepted were ${accepted}`)
        step(record.counted, rounds.get(round), adapter, update, broken)
      }
      open = undefined
    }
    if (type === 'said') hear(record, open, broken)
    if (type === 'spend') {
      for (const [account, spends] of record.spends) {
        for (const [name, value] of Object.entries(spends)) {
          const key = `${account} ${name}`
          if (!(value >= (spent.get(key) ?? 0))) broken.push(`spent: ${key} went from ${spent.get(key)} to ${value}`)
          spent.set(key, value)
        }
      }
    }
  }
  if (open !== undefined) broken.push(`counted: round ${open.round} never ended`)
  for (const note of notes) {
    const round = rounds.get(note.round)
    const counts = round?.counted?.includes(note.client) ?? false
    if (note.type === 'outcome' && note.counted !== counts)
      broken.push(`told: ${note.client} heard ${note.counted} of round ${note.round}`)
    if (note.type === 'said' && note.reply === 'taken' && !round?.said.get(note.client)?.has(note.message))
      broken.push(`said: ${note.client} was told that its message in round ${note.round} is taken, and it is not there`)
    if (note.type !== 'answer' || note.reply !== 'taken') continue
    const blob = round?.accepted.get(note.client)?.blob?.blob
    if (blob !== note.blob)
      broken.push(
        `kept: ${note.client} was told that ${note.blob} is taken in round ${note.round}, accepted is ${blob}`,
      )
    if (!counts)
      broken.push(`kept: ${note.client} was told that it is taken in round ${note.round}, and is not in the step`)
  }
  const worst = adapter.reduce((most, value, i) => Math.max(most, Math.abs(value - final[i])), 0)
  if (!(worst <= (tolerance + grid) * rounds.size) || final.length !== adapter.length)
    broken.push(`fold: the adapter differs by ${worst} from the sum of its steps`)
  return broken
}

/** A message of a secure aggregation. */
function hear({ round, client, phase, message }, open, broken) {
  if (open?.round !== round || !open.asked.includes(client))
    return broken.push(`said: ${client} is heard in round ${round}, which does not ask it`)
  if (open.phases.has(`${client} ${phase}`))
    broken.push(`said: ${client} is heard twice in '${phase}' of round ${round}`)
  open.phases.add(`${client} ${phase}`)
  open.said.set(client, (open.said.get(client) ?? new Set()).add(message))
  if (phase !== 'revealed') return
  const shares = /** @type {any} */ (messageIn(message))
  for (const kind of ['seeds', 'maskKeys']) {
    for (const { peer } of shares[kind]) {
      if ((open.given.get(peer) ?? kind) !== kind)
        broken.push(`said: both shares of ${peer} are given in round ${round}`)
      open.given.set(peer, kind)
    }
  }
}

/** Adds a step to the adapter. */
function step(counted, round, adapter, update, broken) {
  const sum = new Float64Array(adapter.length)
  let rows = 0
  for (const client of counted) {
    const manifest = round?.accepted.get(client)
    const sent = manifest && update(manifest.blob.blob, client, round.round)
    if (sent === undefined) {
      broken.push(`kept: what ${client} sent in round ${round?.round} is not known`)
      continue
    }
    const n = manifest.answer.rows
    rows += n
    for (let i = 0; i < sum.length; i++) sum[i] += n * sent[i]
  }
  if (rows > 0) for (let i = 0; i < sum.length; i++) adapter[i] = Math.fround(adapter[i] + sum[i] / rows)
}
