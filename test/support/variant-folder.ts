/** A golden checkpoint rewritten as test/golden/checkpoints/make_variants.py says: fields of config.json, then changes of the tensors. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { BrokenFolder, type Header } from './broken-folder.js'
import { goldenRoot } from './golden-model.js'
import { temporaryFolder } from './train.js'

export type Change = [kind: string, ...rest: (string | number | number[])[]]

export interface Variant {
  name: string
  family: string
  set: Record<string, unknown>
  unset: string[]
  tensors: Change[]
  /** The first eight of the last position, by transformers in float32. */
  logits?: number[]
  /** What transformers raised. */
  error?: string
  /** Tensors that transformers made up. */
  missing?: string[]
}

interface Tensor {
  dtype: string
  shape: number[]
  data: Buffer
}

export function readTensors(path: string): Map<string, Tensor> {
  const file = readFileSync(path)
  const length = Number(file.readBigUInt64LE(0))
  const { __metadata__, ...header } = JSON.parse(file.toString('utf8', 8, 8 + length)) as Header & {
    __metadata__?: unknown
  }
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => [name, { dtype, shape, data: file.subarray(8 + length + from, 8 + length + to) }],
    ),
  )
}

export function assembleTensors(tensors: Iterable<[string, Tensor]>): Buffer {
  const header: Header = {}
  const pieces: Buffer[] = []
  let offset = 0
  for (const [name, { dtype, shape, data }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + data.length] }
    pieces.push(data)
    offset += data.length
  }
  return BrokenFolder.assemble(JSON.stringify(header), Buffer.concat(pieces))
}

function scaled(data: Buffer, factor: number): Buffer {
  const copy = Buffer.from(data)
  for (let i = 0; i < copy.length; i += 4) copy.writeFloatLE(copy.readFloatLE(i) * factor, i)
  return copy
}

/** The upper halves of float32 values. */
function cut(data: Buffer): Buffer {
  const halves = Buffer.alloc(data.length / 2)
  for (let i = 0; i < halves.length; i += 2) data.copy(halves, i, 2 * i + 2, 2 * i + 4)
  return halves
}

export function changed(tensors: Map<string, Tensor>, [kind, ...rest]: Change): Map<string, Tensor> {
  const entries = [...tensors]
  const [first, second] = rest as [string, string]
  switch (kind) {
    case 'rename':
      return new Map(
        entries.map(([name, tensor]) => [name.startsWith(first) ? second + name.slice(first.length) : name, tensor]),
      )
    case 'drop':
      return new Map(entries.filter(([name]) => !name.startsWith(first)))
    case 'copy':
      return new Map([...entries, [second, tensors.get(first)!]])
    case 'scale':
      return new Map([
        ...entries,
        [first, { ...tensors.get(first)!, data: scaled(tensors.get(first)!.data, rest[1] as number) }],
      ])
    case 'zeros': {
      const shape = rest[1] as number[]
      const data = Buffer.alloc(4 * shape.reduce((product, extent) => product * extent, 1))
      return new Map([...entries, [first, { dtype: 'F32', shape, data }]])
    }
    case 'bf16':
      return new Map(
        entries.map(([name, tensor]) => [
          name,
          name.startsWith(first) ? { ...tensor, dtype: 'BF16', data: cut(tensor.data) } : tensor,
        ]),
      )
    default:
      throw new Error(`no change '${kind}'`)
  }
}

/** Writes the folder and gives its path; `remove()` it afterwards. */
export function variantFolder(variant: Pick<Variant, 'family' | 'set' | 'unset' | 'tensors'>): string {
  const folder = temporaryFolder('variant')
  mkdirSync(folder, { recursive: true })
  const source = join(goldenRoot, variant.family)
  const config = { ...JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')), ...variant.set }
  for (const field of variant.unset) delete config[field]
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
  let tensors = readTensors(join(source, 'model.safetensors'))
  let shards = 1
  for (const change of variant.tensors) {
    if (change[0] === 'shards') shards = change[1] as number
    else tensors = changed(tensors, change)
  }
  if (shards === 1) {
    writeFileSync(join(folder, 'model.safetensors'), assembleTensors(tensors))
    return folder
  }
  const sorted = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1))
  const where: Record<string, string> = {}
  for (let shard = 0; shard < shards; shard++) {
    const file = `model-${shard}.safetensors`
    const own = sorted.filter((_, i) => i % shards === shard)
    for (const [name] of own) where[name] = file
    writeFileSync(join(folder, file), assembleTensors(own))
  }
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify({ metadata: {}, weight_map: where }))
  return folder
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}
