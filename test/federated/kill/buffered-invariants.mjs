/**
 * What must hold of a federation without rounds that has ended, whatever was killed on the way. Judged as in invariants.mjs, and by nothing of the server's.
 *
 *   once      every (round, client) is accepted at most once, and its client was at work on it: it began, and had not come to nothing
 *   room      nobody is at work twice, nor more than may be
 *   counted   a step has exactly the answers that were accepted since the one before, and as many as a full buffer where it was not exhausted
 *   kept      every answer that its client was told is taken is accepted, with the same bytes, and in a step
 *   told      what a client hears of its answer is what the journal says
 *   fold      the adapter is what adding the steps up gives: θ ← θ + Σ n s u / Σ n, n rows, u an update, s = (1 + τ)^−a of one that is τ steps behind
 */

/** As in invariants.mjs: a float32 sum of some exact products, rounded once a step; scaling an update rounds it once more. */
const tolerance = 2 ** -21

const goneBy = new Set(['refused', 'failed', 'declined', 'revoked'])

/**
 * The rules that are broken, in words; empty: none.
 * @param {Parameters<typeof import('./invariants.mjs').violations>[0]} facts
 */
export function bufferViolations({ entries, notes, update, initial, final }) {
  const broken = /** @type {string[]} */ ([])
  const { buffer: size, concurrency, exponent = 0.5 } = entries[0].record.description.federation.asynchronous
  const working = new Map()
  const accepted = new Map()
  const counted = new Set()
  let adapter = Float64Array.from(initial)
  let buffer = /** @type {{ round: number, client: string, manifest: any }[]} */ ([])
  let steps = 0
  let exhausted = false
  for (const [i, { sequence, record }] of entries.entries()) {
    if (sequence !== i + 1) broken.push(`once: record ${i + 1} has number ${sequence}`)
    const { type, round, client } = record
    if (type === 'start') {
      if (round !== steps + 1) broken.push(`room: round ${round} is begun after ${steps} steps`)
      for (const name of record.work.flatMap(({ clients }) => clients)) {
        if (working.has(name)) broken.push(`room: ${name} begins round ${round} and is at work on ${working.get(name)}`)
        working.set(name, round)
      }
      if (working.size > concurrency) broken.push(`room: ${working.size} are at work`)
    }
    if (type === 'accepted') {
      const key = `${round} ${client}`
      if (accepted.has(key)) broken.push(`once: ${client} is accepted twice in round ${round}`)
      if (working.get(client) !== round)
        broken.push(`once: ${client} is accepted in round ${round} and is at work on ${working.get(client)}`)
      working.delete(client)
      accepted.set(key, record.manifest)
      buffer.push(record)
    }
    if (goneBy.has(type)) working.delete(client)
    if (type === 'exhausted') exhausted = true
    if (type === 'commit') {
      const names = buffer.map(({ client }) => client).sort()
      if (record.counted.join() !== names.join())
        broken.push(`counted: step ${round} is of ${record.counted}, accepted were ${names}`)
      if (!exhausted && names.length !== size) broken.push(`counted: step ${round} is of ${names.length} answers`)
      adapter = stepped(adapter, buffer, { steps, exponent, update, broken })
      for (const one of buffer) counted.add(`${one.round} ${one.client}`)
    }
    if (type === 'commit' || type === 'abandon') {
      if (round !== ++steps) broken.push(`counted: step ${round} is the ${steps}th`)
      buffer = []
      exhausted = false
    }
  }
  for (const note of notes) {
    const { client, round } = note
    const key = `${round} ${client}`
    if (note.type === 'outcome' && note.counted !== counted.has(key))
      broken.push(`told: ${client} heard ${note.counted} of round ${round}`)
    if (note.type !== 'answer' || note.reply !== 'taken') continue
    const blob = accepted.get(key)?.blob?.blob
    if (blob !== note.blob)
      broken.push(`kept: ${client} was told that ${note.blob} is taken in round ${round}, accepted is ${blob}`)
    if (!counted.has(key)) broken.push(`kept: ${client} was told that it is taken in round ${round}, and is in no step`)
  }
  const worst = adapter.reduce((most, value, i) => Math.max(most, Math.abs(value - final[i])), 0)
  if (!(worst <= tolerance * steps) || final.length !== adapter.length)
    broken.push(`fold: the adapter differs by ${worst} from the sum of its steps`)
  return broken
}

/** The adapter after a step. */
function stepped(adapter, buffer, { steps, exponent, update, broken }) {
  const sum = new Float64Array(adapter.length)
  let rows = 0
  for (const { round, client, manifest } of buffer) {
    const sent = update(manifest.blob.blob)
    if (sent === undefined) {
      broken.push(`kept: what ${client} sent in round ${round} is not known`)
      continue
    }
    const n = manifest.answer.rows
    const scale = (1 + steps - (round - 1)) ** -exponent
    rows += n
    for (let i = 0; i < sum.length; i++) sum[i] += n * Math.fround(scale * sent[i])
  }
  return rows === 0 ? adapter : adapter.map((value, i) => Math.fround(value + sum[i] / rows))
}
