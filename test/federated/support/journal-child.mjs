/**
 * Appends to a journal until it is killed: several writers, records of every size, a small limit to a file. Prints the sequence of each record
 * once it has been acknowledged. The record of sequence n is {n, text}, which its reader can check.
 */
import { openFileJournal } from '../../../dist/federated/journal/file.js'

const [folder, seed] = process.argv.slice(2)
const journal = await openFileJournal(folder, { segmentBytes: 3000 })
let last = 0
for await (const { sequence, record } of journal.read()) {
  if (record.n !== sequence) throw new Error(`record ${sequence} is ${record.n}`)
  last = sequence
}
let state = Number(seed)
const next = (/** @type {number} */ below) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0
  return Math.floor((state / 2 ** 32) * below)
}
process.stdout.write(`found ${last}\n`)
const writer = async () => {
  for (;;) {
    const count = 1 + next(3)
    const records = Array.from({ length: count }, (_, i) => ({ n: last + 1 + i, text: 'x'.repeat(next(400)) }))
    const after = last
    last += count
    process.stdout.write(`done ${await journal.append(records, after)}\n`)
  }
}
await Promise.all([writer(), writer(), writer()])
