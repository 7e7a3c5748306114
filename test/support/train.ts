/** Small data sets and folders for tests of training. */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Dataset } from '../../src/data/dataset.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import type { Adapter } from '../../src/model/adapter.js'
import { linesOf } from './run-folder.js'

/** A folder of its own for one test. */
export function temporaryFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `fedlora-${name}-`))
}

/** Rows of ids that follow a rule that can be learnt; lengths and the supervised part differ from row to row. */
export async function tokenRows(rows: number, vocabulary: number, salt = 0): Promise<Dataset> {
  const list = Array.from({ length: rows }, (_, row) => {
    const length = 6 + ((row * 7 + salt) % 11)
    const input_ids = Array.from({ length }, (_, i) => 3 + ((row * 31 + i * (5 + (row % 3)) + salt) % (vocabulary - 3)))
    return { input_ids, labels: input_ids.map((id, i) => (i < 2 + (row % 3) ? -100 : id)) }
  })
  return await loadDataset(list, { format: 'tokens', maxLength: 64 })
}

export function bytesOf(values: Float32Array | Float64Array | Uint8Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength)
}

export function sameBits(a: Adapter, b: Adapter): boolean {
  return bytesOf(a.vector()).equals(bytesOf(b.vector()))
}

/** The events of a run folder without what differs from run to run: times and speeds. */
export function eventsOf(folder: string): Record<string, unknown>[] {
  return linesOf(folder).map(({ time: _, tokensPerSecond: __, seconds: ___, outputDir: ____, ...event }) => event)
}
