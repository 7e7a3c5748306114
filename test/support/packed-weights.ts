/** Linear weights packed as GPTQ, AWQ and FP8 store them, with codes drawn by seed, and the float32 numbers that they stand for. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random } from '../../src/random/random.js'
import { BrokenFolder, type Header } from './broken-folder.js'

interface Stored {
  dtype: string
  shape: number[]
  bytes: Uint8Array
}

/** Tensors in the place of a weight, by what comes behind its module's name. */
export interface PackedWeight {
  parts: Record<string, Stored>
  numbers: Float32Array
}

const group = 16
const awqColumns = [0, 2, 4, 6, 1, 3, 5, 7]
const bytesOf = (values: ArrayBufferView) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength)

/** A float16 of the form m·2^−14, m from 8 to 15: its bits, and its number. */
function halfScale(random: Random): { bits: number; value: number } {
  const mantissa = random.below(8)
  return { bits: (4 << 10) | (mantissa << 7), value: (1 + mantissa / 8) * 2 ** -11 }
}

/** `codes` [rows, columns] of four bits, eight along rows or columns a word. */
function words(
  codes: Uint8Array,
  [rows, columns]: [number, number],
  along: 'rows' | 'columns',
  order: readonly number[],
) {
  const packed = along === 'rows' ? new Int32Array((rows / 8) * columns) : new Int32Array(rows * (columns / 8))
  const shape = along === 'rows' ? [rows / 8, columns] : [rows, columns / 8]
  for (let word = 0; word < packed.length; word++) {
    const [i, j] = [Math.floor(word / shape[1]!), word % shape[1]!]
    for (const [place, at] of order.entries()) {
      const code = along === 'rows' ? codes[(8 * i + at) * columns + j]! : codes[i * columns + 8 * j + at]!
      packed[word]! |= code << (4 * place)
    }
  }
  return { dtype: 'I32', shape, bytes: bytesOf(packed) }
}

function fourBit(N: number, K: number, random: Random, format: 'gptq' | 'gptq_v2' | 'awq'): PackedWeight {
  const groups = K / group
  const codes = Uint8Array.from({ length: K * N }, () => random.below(16))
  const zeros = Uint8Array.from({ length: groups * N }, () => random.below(16))
  const scales = Array.from({ length: groups * N }, () => halfScale(random))
  const numbers = new Float32Array(N * K)
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) {
      const at = Math.floor(k / group) * N + n
      numbers[n * K + k] = scales[at]!.value * (codes[k * N + n]! - zeros[at]!)
    }
  }
  const ascending = [0, 1, 2, 3, 4, 5, 6, 7]
  const isAwq = format === 'awq'
  const stored = format === 'gptq' ? zeros.map((zero) => (zero - 1) & 15) : zeros
  const parts = {
    qweight: words(codes, [K, N], isAwq ? 'columns' : 'rows', isAwq ? awqColumns : ascending),
    qzeros: words(stored, [groups, N], 'columns', isAwq ? awqColumns : ascending),
    scales: { dtype: 'F16', shape: [groups, N], bytes: bytesOf(Uint16Array.from(scales, ({ bits }) => bits)) },
  }
  return { parts, numbers }
}

function fp8(N: number, K: number, random: Random, [rows, columns]: readonly [number, number]): PackedWeight {
  const [down, across] = [Math.ceil(N / rows), Math.ceil(K / columns)]
  // Exponents from 2^−7 to 2^0, all signs and mantissas: no NaN.
  const codes = Uint8Array.from(
    { length: N * K },
    () => (random.below(2) << 7) | (random.below(8) << 3) | random.below(8),
  )
  const scales = Float32Array.from({ length: down * across }, () => 0.02 + 0.01 * random.uniform())
  const numbers = new Float32Array(N * K)
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) {
      const code = codes[n * K + k]!
      const [exponent, mantissa] = [(code >> 3) & 15, code & 7]
      const magnitude = exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10)
      const scale = scales[Math.floor(n / rows) * across + Math.floor(k / columns)]!
      numbers[n * K + k] = scale * (code >> 7 ? -magnitude : magnitude)
    }
  }
  const parts = {
    weight: { dtype: 'F8_E4M3', shape: [N, K], bytes: codes },
    weight_scale_inv: { dtype: 'F32', shape: [down, across], bytes: bytesOf(scales) },
  }
  return { parts, numbers }
}

/** The golden llama with its linear weights packed, and the same with the numbers that they stand for. */
export function packedFolders(format: 'gptq' | 'gptq_v2' | 'awq' | 'fp8'): {
  packed: BrokenFolder
  plain: BrokenFolder
} {
  const packed = new BrokenFolder()
  const plain = new BrokenFolder()
  const block = [24, 40] as const
  const file = readFileSync(join(plain.path, 'model.safetensors'))
  const length = Number(file.readBigUInt64LE(0))
  const { __metadata__: _, ...header } = JSON.parse(file.toString('utf8', 8, 8 + length)) as Header & {
    __metadata__?: unknown
  }
  const random = new Random(11, 0)
  const left: [string, Stored][] = []
  const right: [string, Stored][] = []
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    const stored = { dtype, shape, bytes: file.subarray(8 + length + data_offsets[0], 8 + length + data_offsets[1]) }
    if (!name.endsWith('_proj.weight')) {
      left.push([name, stored])
      right.push([name, stored])
      continue
    }
    const [N, K] = shape as [number, number]
    const { parts, numbers } = format === 'fp8' ? fp8(N, K, random, block) : fourBit(N, K, random, format)
    const stem = name.slice(0, -'weight'.length)
    for (const [part, value] of Object.entries(parts)) left.push([stem + part, value])
    right.push([name, { dtype: 'F32', shape, bytes: bytesOf(numbers) }])
  }
  write(packed, left)
  write(plain, right)
  const gptq = { quant_method: 'gptq', bits: 4, group_size: group, desc_act: false, checkpoint_format: format }
  const quantization_config = {
    gptq,
    gptq_v2: gptq,
    awq: { quant_method: 'awq', bits: 4, group_size: group, version: 'gemm', zero_point: true },
    fp8: { quant_method: 'fp8', fmt: 'e4m3', activation_scheme: 'dynamic', weight_block_size: block },
  }[format]
  packed.config({ quantization_config })
  return { packed, plain }
}

function write(folder: BrokenFolder, tensors: readonly [string, Stored][]): void {
  const header: Header = {}
  let offset = 0
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] }
    offset += bytes.length
  }
  const data = Buffer.concat(tensors.map(([, { bytes }]) => bytes))
  writeFileSync(folder.file('model.safetensors'), BrokenFolder.assemble(JSON.stringify(header), data))
}
