/** The golden checkpoints of test/golden/models: folders in both spellings of config.json, inputs without their padding, metrics. */
import { copyFileSync, mkdtempSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { AdapterTensor } from '../../src/model/layout.js'
import type { GoldenFile } from './safetensors.js'

export const families = ['llama', 'llama3-rope', 'mistral', 'qwen2', 'qwen3'] as const
/** Those whose description the native tests read from `description.json`. */
export const describedFamilies = [
  'bloom',
  'gemma',
  'gemma2',
  'gemma3',
  'gpt-neox',
  'gpt2',
  'granite',
  'llama-linear',
  'llama-yarn',
  'ministral3',
  'olmo2',
  'olmo3',
  'opt',
  'phi',
  'phi3',
  'phi3-longrope',
  'smollm3',
  'starcoder2',
] as const
export const goldenRoot = resolve('test/golden/models')

/** The folder as transformers 5 writes it, or a copy with the older config. */
export function goldenFolder(family: string, spelling: 4 | 5 = 5): string {
  const folder = join(goldenRoot, family)
  if (spelling === 5) return folder
  const older = mkdtempSync(join(tmpdir(), 'fedlora-golden-'))
  copyFileSync(join(folder, 'config.v4.json'), join(older, 'config.json'))
  for (const file of ['model.safetensors', 'generation_config.json']) symlinkSync(join(folder, file), join(older, file))
  return older
}

export interface TokenRows {
  inputIds: number[][]
  labels: number[][]
}

/** Rows of [..., B, T] tensors without their right padding; `at` selects a batch of a curve. */
export function rowsOf(golden: GoldenFile, prefix = '', at = 0): TokenRows {
  const ids = golden.get(`${prefix}input_ids`)
  const mask = golden.get(`${prefix}attention_mask`).values
  const labels = golden.get(`${prefix}labels`).values
  const [B, T] = ids.shape.slice(-2) as [number, number]
  const rows: TokenRows = { inputIds: [], labels: [] }
  for (let row = 0; row < B; row++) {
    const begin = (at * B + row) * T
    const length = [...mask.subarray(begin, begin + T)].reduce((sum, one) => sum + one, 0)
    rows.inputIds.push(Array.from(ids.values.subarray(begin, begin + length)))
    rows.labels.push(Array.from(labels.subarray(begin, begin + length)))
  }
  return rows
}

/** The golden logits [B, T, V] of the unpadded positions, one row after another. */
export function goldenLogits(golden: GoldenFile, lengths: number[]): Float32Array {
  const { shape, values } = golden.get('logits')
  const [, T, V] = shape as [number, number, number]
  const parts = lengths.map((length, row) => values.subarray(row * T * V, (row * T + length) * V))
  const packed = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let offset = 0
  for (const part of parts) {
    packed.set(part, offset)
    offset += part.length
  }
  return packed
}

/** The golden adapter as `adapter.load` takes it. */
export function goldenAdapter(golden: GoldenFile): Map<string, AdapterTensor> {
  const tensors = new Map<string, AdapterTensor>()
  for (const name of golden.names().filter((name) => name.startsWith('adapter.'))) {
    const { shape, values } = golden.get(name)
    tensors.set(name.slice('adapter.'.length), { shape: shape as [number, number], data: values as Float32Array })
  }
  return tensors
}

/** Largest |got − want|; NaN when one of them is. */
export function maxError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Number.NaN
  let worst = 0
  for (let i = 0; i < got.length; i++) {
    const error = Math.abs(got[i]! - want[i]!)
    if (!(error <= worst)) worst = error
    if (Number.isNaN(worst)) return worst
  }
  return worst
}

/** ‖got − want‖ / ‖want‖. */
export function relativeError(got: ArrayLike<number>, want: ArrayLike<number>): number {
  if (got.length !== want.length) return Number.NaN
  let difference = 0
  let norm = 0
  for (let i = 0; i < got.length; i++) {
    difference += (got[i]! - want[i]!) ** 2
    norm += want[i]! ** 2
  }
  return Math.sqrt(difference / norm)
}
