/** What every store of blobs promises, whatever it lies in. */
import { createHash, randomBytes } from 'node:crypto'
import type { Test } from 'tap'
import type { BlobRef, BlobStore } from '../../../src/federated/blobs/blob-store.js'

export interface OpenBlobs {
  blobs: BlobStore
  /** The blobs as a process that starts now finds them; absent: they end with their process. */
  again?(): Promise<BlobStore>
}

export const refOf = (bytes: Uint8Array): BlobRef => ({
  blob: createHash('sha256').update(bytes).digest('hex'),
  bytes: bytes.length,
})

export async function* chunksOf(bytes: Uint8Array, size = 7): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** Chunks of which the line is cut behind `length` bytes. */
export async function* cut(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  yield* chunksOf(bytes.subarray(0, length))
  throw new Error('cut')
}

async function collected(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(Buffer.from(chunk))
  return Buffer.concat(parts)
}

export async function blobConformance(t: Test, open: () => Promise<OpenBlobs>): Promise<void> {
  const bytes = randomBytes(100)
  const ref = refOf(bytes)

  await t.test('stored at once, and read from any byte', async (t) => {
    const { blobs } = await open()
    t.equal(await blobs.sizeOf(ref.blob), undefined)
    t.equal(await blobs.offsetOf(ref.blob), 0)
    await t.rejects(blobs.read(ref.blob), { code: 'E_BLOB_MISSING' })
    await t.rejects(collected(blobs.open(ref.blob)), { code: 'E_BLOB_MISSING' })
    t.same(await blobs.put(bytes), ref)
    t.same(await blobs.put(bytes), ref, 'twice')
    t.equal(await blobs.sizeOf(ref.blob), 100)
    t.equal(await blobs.offsetOf(ref.blob), 100)
    t.ok(bytes.equals(await blobs.read(ref.blob)))
    for (const from of [0, 1, 99, 100])
      t.ok(bytes.subarray(from).equals(await collected(blobs.open(ref.blob, from))), `from ${from}`)
    const empty = refOf(new Uint8Array())
    t.same(await blobs.put(new Uint8Array()), empty)
    t.equal(await blobs.sizeOf(empty.blob), 0)
    t.equal((await collected(blobs.open(empty.blob))).length, 0)
    await blobs.close()
  })
  await t.test('in pieces that end early or are cut, from where it stands', async (t) => {
    const { blobs } = await open()
    t.equal(await blobs.write(ref, 0, chunksOf(bytes.subarray(0, 30))), 30)
    t.equal(await blobs.sizeOf(ref.blob), undefined, 'not whole')
    await t.rejects(blobs.read(ref.blob), { code: 'E_BLOB_MISSING' })
    await t.rejects(blobs.write(ref, 30, cut(bytes.subarray(30), 14)), { message: 'cut' })
    t.equal(await blobs.offsetOf(ref.blob), 44, 'what came before the cut is there')
    for (const from of [0, 43, 45, 100, -1, Number.NaN]) {
      await t.rejects(
        blobs.write(ref, from, chunksOf(bytes)),
        { code: 'E_UPLOAD_OFFSET', details: { offset: 44 } },
        `from ${from}`,
      )
    }
    t.equal(await blobs.write(ref, 44, chunksOf(bytes.subarray(44))), 100)
    t.ok(bytes.equals(await blobs.read(ref.blob)))
    t.equal(await blobs.write(ref, 100, chunksOf(new Uint8Array())), 100, 'said twice')
    await blobs.close()
  })
  await t.test('an empty blob, and one cut behind its last byte', async (t) => {
    const { blobs } = await open()
    const empty = refOf(new Uint8Array())
    t.equal(await blobs.write(empty, 0, chunksOf(new Uint8Array())), 0)
    t.equal(await blobs.sizeOf(empty.blob), 0)
    await blobs.write(ref, 0, cut(bytes, 100)).catch(() => {})
    t.equal(await blobs.offsetOf(ref.blob), 100)
    t.equal(await blobs.write(ref, 100, chunksOf(new Uint8Array())), 100)
    t.ok(bytes.equals(await blobs.read(ref.blob)))
    await blobs.close()
  })
  await t.test('what is another blob is forgotten', async (t) => {
    const { blobs } = await open()
    const lie = { ...ref, blob: refOf(randomBytes(100)).blob }
    await t.rejects(blobs.write(lie, 0, chunksOf(bytes)), { code: 'E_HASH' })
    t.equal(await blobs.sizeOf(lie.blob), undefined)
    t.equal(await blobs.offsetOf(lie.blob), 0)
    const short = { ...ref, bytes: 60 }
    await t.rejects(blobs.write(short, 0, chunksOf(bytes.subarray(0, 60))), { code: 'E_HASH' })
    t.equal(await blobs.write(ref, 0, chunksOf(bytes)), 100)
    await blobs.close()
  })
  await t.test('no more bytes than were announced', async (t) => {
    const { blobs } = await open()
    await t.rejects(blobs.write(ref, 0, chunksOf(Buffer.concat([bytes, bytes]), 13)), { code: 'E_TOO_LARGE' })
    t.ok((await blobs.offsetOf(ref.blob)) <= 100)
    t.equal(await blobs.sizeOf(ref.blob), undefined)
    const offset = await blobs.offsetOf(ref.blob)
    t.equal(await blobs.write(ref, offset, chunksOf(bytes.subarray(offset))), 100, 'it goes on behind what fitted')
    await blobs.close()
  })
  await t.test('one writer a blob', async (t) => {
    const { blobs } = await open()
    const other = randomBytes(50)
    let release = () => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    async function* slow() {
      yield bytes.subarray(0, 10)
      await held
      yield bytes.subarray(10)
    }
    const first = blobs.write(ref, 0, slow())
    await t.rejects(blobs.write(ref, 0, chunksOf(bytes)), { code: 'E_UPLOAD_BUSY' })
    t.equal(await blobs.write(refOf(other), 0, chunksOf(other)), 50, 'another one is free')
    release()
    t.equal(await first, 100)
    t.ok(bytes.equals(await blobs.read(ref.blob)))
    await blobs.close()
  })
  await t.test('collected unless named, whole or not', async (t) => {
    const { blobs } = await open()
    const [a, b, c, d] = Array.from({ length: 4 }, () => randomBytes(20)) as [Buffer, Buffer, Buffer, Buffer]
    for (const whole of [a, b]) await blobs.put(whole)
    for (const begun of [c, d]) await blobs.write(refOf(begun), 0, chunksOf(begun.subarray(0, 9)))
    const named = new Set([refOf(a).blob, refOf(c).blob])
    await blobs.collect((id) => named.has(id))
    t.same(await Promise.all([a, b].map((whole) => blobs.sizeOf(refOf(whole).blob))), [20, undefined])
    t.same(await Promise.all([c, d].map((begun) => blobs.offsetOf(refOf(begun).blob))), [9, 0])
    await blobs.close()
  })
  await t.test('what was stored outlives its process', async (t) => {
    const { blobs, again } = await open()
    if (again === undefined) return t.pass('not this one')
    const whole = await blobs.put(randomBytes(20))
    await blobs.write(ref, 0, cut(bytes, 40)).catch(() => {})
    await blobs.close()
    const next = await again()
    t.equal(await next.sizeOf(whole.blob), 20)
    t.equal(await next.offsetOf(ref.blob), 40)
    t.equal(await next.write(ref, 40, chunksOf(bytes.subarray(40))), 100)
    t.ok(bytes.equals(await next.read(ref.blob)))
    await next.close()
    return undefined
  })
}
