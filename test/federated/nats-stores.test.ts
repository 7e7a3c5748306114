/** Journal and blobs in a real NATS server keep every promise that those in files and in memory keep. */
import t from 'tap'
import { MemoryBlobs } from '../../src/federated/blobs/memory.js'
import { NatsBlobs, openBucket } from '../../src/federated/nats/blobs.js'
import { connectNats } from '../../src/federated/nats/connect.js'
import { NatsJournal } from '../../src/federated/nats/journal.js'
import { namesOf } from '../../src/federated/nats/names.js'
import { temporaryFolder } from '../support/train.js'
import { blobConformance } from './support/blob-conformance.js'
import { journalConformance } from './support/journal-conformance.js'
import { natsOf, skipNats } from './support/nats-server.js'

t.test('stores in NATS', { skip: skipNats }, async (t) => {
  const folder = temporaryFolder('nats-stores')
  const nats = await natsOf(t, folder, 'test', [])
  const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
  t.teardown(() => connection.close())
  let count = 0
  await t.test('journal', (t) =>
    journalConformance(t, async () => {
      const names = namesOf(`journal-${count++}`)
      const open = () => NatsJournal.open(connection, names)
      return { journal: await open(), again: open }
    }),
  )
  await t.test('a blob that a killed server had whole, and not where everybody finds it', async (t) => {
    const [bucket, staging] = [await openBucket(connection, 'killed'), new MemoryBlobs()]
    const { blob, bytes } = await staging.put(Buffer.from('whole'))
    const blobs = new NatsBlobs(bucket, staging)
    t.equal(await blobs.sizeOf(blob), undefined)
    t.equal(await blobs.offsetOf(blob), bytes, 'nobody sends it again')
    t.equal(await blobs.sizeOf(blob), bytes, 'so it is brought there')
    t.equal(await staging.sizeOf(blob), undefined)
    t.equal((await blobs.read(blob)).toString(), 'whole')
  })
  await t.test('blobs', (t) =>
    blobConformance(t, async () => {
      const name = `blobs-${count++}`
      const staging = new MemoryBlobs()
      const open = async () => new NatsBlobs(await openBucket(connection, name), staging)
      return { blobs: await open(), again: open }
    }),
  )
})
