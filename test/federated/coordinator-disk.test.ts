/** A server whose disk is full at the worst moment goes on when there is room: nothing that it acknowledged is lost, and no step is made twice. */
import t from 'tap'
import { MemoryBlobs } from '../../src/federated/blobs/memory.js'
import { Aggregation } from '../../src/federated/coordinator/aggregation.js'
import { Coordinator } from '../../src/federated/coordinator/coordinator.js'
import type { CoordinatorEvent } from '../../src/federated/coordinator/events.js'
import type { Record as Entry } from '../../src/federated/coordinator/records.js'
import { MemoryJournal } from '../../src/federated/journal/memory.js'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import { FedloraError } from '../../src/index.js'
import { options } from './support/conformance.js'
import { drifts, SmallParticipant } from './support/small-participant.js'

const names = ['a', 'b', 'c', 'd']
const full = () => new FedloraError('E_DISK_FULL', 'the disk is full')

interface Parts {
  journal: MemoryJournal<Entry>
  blobs: MemoryBlobs
}

/** Runs a federation to its end; gives the blob of its last adapter, and what went wrong on the way. */
async function run(disturb: (parts: Parts) => void) {
  const parts = { journal: new MemoryJournal<Entry>(), blobs: new MemoryBlobs() }
  parts.journal.close = async () => {} // the next server reads it
  parts.blobs.close = async () => {}
  disturb(parts)
  const { clients } = options()
  const troubles: string[] = []
  const open = async () => {
    const opened = await Coordinator.open({
      ...parts,
      config: options({ clients: { ...clients, deadline: null } }),
      after: (_, act) => {
        const soon = setImmediate(act)
        return () => clearImmediate(soon)
      },
    })
    opened.onEvent((event: CoordinatorEvent) => {
      if (event.type === 'trouble') troubles.push(event.code)
    })
    return opened
  }
  let coordinator = await open()
  /** Where a server ends before its federation, another is opened. */
  const toTheEnd = async (): Promise<void> => {
    try {
      await coordinator.over
    } catch (error) {
      troubles.push(`ended: ${(error as FedloraError).code}`)
      await coordinator.close()
      coordinator = await open()
      await toTheEnd()
    }
  }
  const over = toTheEnd()
  const participants: SmallParticipant[] = []
  for (const name of names) {
    const { token } = await coordinator.invite(name, 60)
    await coordinator.enroll(token, `key of ${name}`)
    participants.push(new SmallParticipant(name, new InProcessLink(() => coordinator, name), drifts))
  }
  await Promise.all(
    participants.map(async (one) => {
      await one.open()
      await one.run()
      await one.close()
    }),
  )
  await over
  await coordinator.close()
  const commits: (Entry & { type: 'commit' })[] = []
  for await (const { record } of parts.journal.read()) if (record.type === 'commit') commits.push(record)
  return {
    adapter: commits.at(-1)!.checkpoint.vectors.adapter,
    counted: commits.map(({ counted }) => counted),
    troubles,
  }
}

const expected = await run(() => {})

t.test('canary: undisturbed it ends without trouble, and steps are made', async (t) => {
  t.equal(expected.counted.length, 3)
  t.same(expected.troubles, [])
})

t.test('no room for a checkpoint', async (t) => {
  let puts = 0
  const { troubles, ...result } = await run(({ blobs }) => {
    const put = blobs.put.bind(blobs)
    // Vectors of checkpoints and offers alike: two of five.
    blobs.put = async (bytes) => {
      if (++puts % 5 === 2 || puts % 5 === 4) throw full()
      return await put(bytes)
    }
  })
  t.ok(troubles.length > 2 && troubles.every((code) => code === 'E_DISK_FULL'), `${troubles}`)
  t.same({ ...result, troubles: [] }, expected)
})

t.test('no room for the record of a commit', async (t) => {
  let left = 4
  const { troubles, ...result } = await run(({ journal }) => {
    const append = journal.append.bind(journal)
    journal.append = async (records, after) => {
      if (records.some(({ type }) => type === 'commit') && left-- > 0) throw full()
      return await append(records, after)
    }
  })
  t.same(troubles, ['E_DISK_FULL', 'E_DISK_FULL', 'E_DISK_FULL', 'E_DISK_FULL'])
  t.same({ ...result, troubles: [] }, expected)
})

t.test('no room for an answer that is acknowledged already', async (t) => {
  const add = Aggregation.prototype.add
  let adds = 0
  Aggregation.prototype.add = async function (...parts) {
    if (++adds % 4 === 2) throw full()
    return await add.apply(this, parts)
  }
  t.teardown(() => (Aggregation.prototype.add = add))
  const { troubles, ...result } = await run(() => {})
  t.ok(troubles.length > 1 && troubles.every((code) => code === 'E_DISK_FULL'), `${troubles}`)
  t.same({ ...result, troubles: [] }, expected)
})

t.test('a step that fails midway ends the server, and the next one makes it', async (t) => {
  const finish = Aggregation.prototype.finish
  let ends = 0
  Aggregation.prototype.finish = async function (...parts) {
    const outcome = await finish.apply(this, parts)
    if (++ends === 2) throw new FedloraError('E_MEMORY', 'no memory left')
    return outcome
  }
  t.teardown(() => (Aggregation.prototype.finish = finish))
  const { troubles, ...result } = await run(() => {})
  t.same(troubles, ['ended: E_MEMORY'])
  t.same({ ...result, troubles: [] }, expected)
})
