/** A checkpoint of a published shape with random weights, so that loading can be timed without a download. */
import { open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { native } from '../../native/load.js'
import { Random } from '../../random/random.js'
import { type ShapeName, shapeConfig } from './shapes.js'

/** Normal numbers of standard deviation 0.02 in bf16, drawn from a table by a generator of 16 bits a draw. */
function weightBytes(count: number, seed: number, table: Uint16Array): Uint8Array {
  const words = new Uint16Array(count)
  let state = (seed * 0x9e3779b9) >>> 0 || 1
  for (let i = 0; i < count; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    words[i] = table[(state >>> 11) & 0xffff]!
  }
  return new Uint8Array(words.buffer)
}

/** Writes `config.json` and `model.safetensors` in bf16 into `folder`, which exists; gives the bytes of the weights' file. */
export async function writeCheckpoint(folder: string, shape: ShapeName): Promise<number> {
  const { description, raw } = shapeConfig(shape)
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...raw, torch_dtype: 'bfloat16' }))
  const random = new Random(1, 65)
  const values = Float32Array.from({ length: 1 << 16 }, () => 0.02 * random.normal())
  const table = Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16)
  const tensors = native().describeTensors(description)
  const header: Record<string, unknown> = {}
  let end = 0
  for (const { name, shape } of tensors) {
    const begin = end
    end += 2 * shape.reduce((product, extent) => product * extent, 1)
    header[name] = { dtype: 'BF16', shape, data_offsets: [begin, end] }
  }
  const text = Buffer.from(JSON.stringify(header))
  const padded = Buffer.concat([text, Buffer.alloc((8 - (text.length % 8)) % 8, ' ')])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  const file = await open(join(folder, 'model.safetensors'), 'w')
  try {
    await file.writeFile(length)
    await file.writeFile(padded)
    for (const [i, { shape }] of tensors.entries()) {
      const count = shape.reduce((product, extent) => product * extent, 1)
      // Norms of 1, or a model of this depth would not have finite activations.
      await file.writeFile(
        shape.length === 1
          ? new Uint8Array(new Uint16Array(count).fill(0x3f80).buffer)
          : weightBytes(count, i + 1, table),
      )
    }
  } finally {
    await file.close()
  }
  return 8 + padded.length + end
}
