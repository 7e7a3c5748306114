/** Rows that must stay where they are, what they would look like in bytes of any encoding, and who looks for them. */
import { brotliDecompressSync, gunzipSync, inflateRawSync, inflateSync } from 'node:zlib'
import { loadTokenizer } from '../../../src/data/index.js'
import { MemoryBlobs } from '../../../src/federated/blobs/memory.js'
import { Coordinator } from '../../../src/federated/coordinator/coordinator.js'
import type { Record as Entry } from '../../../src/federated/coordinator/records.js'
import { MemoryJournal } from '../../../src/federated/journal/memory.js'
import { type Trace, tracesOfIds, tracesOfText } from './traces.js'

/** A model whose tokens they are. */
export const path = 'assets/gsm-3m'

/** A federation of two clients over that model, of two rounds, in memory. */
export const openFederation = (): Promise<Coordinator> =>
  Coordinator.open({
    journal: new MemoryJournal<Entry>(),
    blobs: new MemoryBlobs(),
    config: {
      model: { path },
      adapter: { rank: 2, targetModules: ['q_proj', 'v_proj'] },
      data: { format: 'alpaca', maxLength: 128 },
      clients: { minimum: 2 },
      federation: { rounds: 2, local: { steps: 2, batchSize: 2, learningRate: 1e-3 } },
    },
  })

export const rows = Array.from({ length: 6 }, (_, i) => ({
  instruction: `What ails patient Ünal-${4711 + i} of ward ${i}?`,
  output: `Her record says: pemphigus vulgaris, stage ${i + 1}, told to Dr. Zyxwvut on the ${i + 10}th.`,
}))
const secrets = ['patient Ünal-47', 'pemphigus vulgaris', 'Dr. Zyxwvut', 'What ails', 'Her record says']

/** What the rows would look like: phrases of them, and every four token ids in a row. */
async function tracesOf(): Promise<Trace[]> {
  const tokenizer = await loadTokenizer(path)
  const traces = secrets.flatMap(tracesOfText)
  for (const { output } of rows) {
    const ids = [...tokenizer.encode(output)]
    for (let i = 0; i + 4 <= ids.length; i += 2) traces.push(...tracesOfIds(ids.slice(i, i + 4)))
  }
  return traces
}
export const traces = await tracesOf()

/** Bytes as they are, and as they would be after they were packed. */
function readings(bytes: Buffer): Buffer[] {
  const unpacked = [gunzipSync, inflateSync, inflateRawSync, brotliDecompressSync].flatMap((unpack) => {
    try {
      return [unpack(bytes)]
    } catch {
      return []
    }
  })
  return [bytes, ...unpacked]
}

/** Names of the traces that are in what was sent. */
export const found = (sent: readonly Buffer[]): string[] =>
  sent
    .flatMap(readings)
    .flatMap((bytes) => traces.filter((trace) => bytes.includes(trace.bytes)).map(({ name }) => name))
