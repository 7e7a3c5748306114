/** Flat float32 vectors in files: nothing but the values, little-endian. Who writes one sees to it that damage is noticed. */
import { readFile, writeFile } from 'node:fs/promises'

export async function writeVector(path: string, values: Float32Array): Promise<void> {
  await writeFile(path, new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
}

/** The values in a file; bytes that make no whole value are left out. */
export async function readVector(path: string): Promise<Float32Array> {
  const { buffer, byteOffset, length } = await readFile(path)
  return new Float32Array(buffer.slice(byteOffset, byteOffset + length - (length % 4)))
}
