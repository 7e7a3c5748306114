/** Judges a world that has ended. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { openFileJournal } from '../../../dist/federated/journal/file.js'
import { decodeVector } from '../../../dist/federated/vector-message.js'
import { bufferViolations } from './buffered-invariants.mjs'
import { violations } from './invariants.mjs'
import { inNats } from './nats.mjs'
import { names } from './world.mjs'

const adapterFile = 'adapter/adapter_model.safetensors'
const vector = (path) => decodeVector(readFileSync(path))

/** The journal, and what clients sent and were told. */
export async function factsOf(world) {
  const journal = await openFileJournal(join(world, 'server/journal'))
  const entries = []
  try {
    for await (const entry of journal.read()) entries.push(entry)
  } finally {
    await journal.close()
  }
  const notes = readFileSync(join(world, 'acknowledged'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
  const nats = existsSync(join(world, '../nats')) ? await inNats(world, { serves: false }) : undefined
  const blob = async (id) =>
    decodeVector(nats === undefined ? readFileSync(join(world, 'server/blobs', id)) : await nats.blobs.read(id))
  const last = entries.findLast(({ record }) => record.type === 'commit' || record.type === 'abandon')?.record
  const { secureAggregation: masks } = entries[0].record.description.federation
  const initial = await blob(entries[0].record.description.initial.blob)
  const final = await blob(last.checkpoint.vectors.adapter.blob)
  await nats?.close()
  return {
    entries,
    notes,
    initial,
    final,
    update(id, client, round) {
      const path = join(world, 'kept', masks === undefined ? id : `${client}-${round}`)
      return existsSync(path) ? vector(path) : undefined
    },
    // Values under a mask lie on a grid; each of a mean's is off by less than a step.
    step: masks === undefined ? 0 : (2 * masks.clip) / (2 ** masks.bits - 1),
  }
}

/**
 * What is wrong with a world, in words; empty: nothing.
 * @param {string} world
 * @param {string} [reference] a world whose federation was not disturbed
 */
export async function wrongWith(world, reference) {
  const facts = await factsOf(world)
  const buffers = facts.entries[0].record.description.federation.asynchronous !== undefined
  const wrong = buffers ? bufferViolations(facts) : violations(facts)
  for (const name of names) {
    const state = JSON.parse(readFileSync(join(world, 'clients', name, 'state.json'), 'utf8'))
    if (state.over === null || (!buffers && state.settled !== state.over.rounds))
      wrong.push(`${name} stands at round ${state.settled}`)
    const left = readdirSync(join(world, 'clients', name, 'outbox'))
    if (left.length > 0) wrong.push(`${name} still owes ${left}`)
  }
  const adapter = readFileSync(join(world, 'server', adapterFile))
  if (reference !== undefined && !adapter.equals(readFileSync(join(reference, 'server', adapterFile))))
    wrong.push('the adapter has other bits')
  return wrong
}
