/** Holding an adapter and its model: whose end ends the work, and that both are let go. */
import t from 'tap'
import type { Adapter } from '../../src/model/adapter.js'
import { Handle } from '../../src/native/handle.js'
import { holding } from '../../src/training/hold.js'

function makeAdapter() {
  const handle = new Handle('the adapter', { dispose() {} })
  const model = new Handle('the model', { dispose() {} })
  return { adapter: { handle, model: { handle: model } } as unknown as Adapter, handle, model }
}

const { signal } = new AbortController()

for (const which of ['handle', 'model'] as const) {
  t.test(`disposing the ${which === 'model' ? 'model' : 'adapter'} ends the work`, async (t) => {
    const made = makeAdapter()
    await holding('train', made.adapter, signal, async (held) => {
      t.equal(made.handle.owner, 'train')
      t.notOk(held.disposed || held.signal.aborted)
      made[which].dispose()
      t.ok(held.disposed)
      t.match(held.signal.reason, { code: 'E_DISPOSED', message: /^train: the adapter or its model was disposed/ })
    })
    t.equal(made.handle.owner, undefined)
  })
}

t.test('the caller’s abort comes through, also one from before, and is no disposal', async (t) => {
  const { adapter } = makeAdapter()
  const controller = new AbortController()
  const reason = new Error('enough')
  await holding('train', adapter, controller.signal, async (held) => {
    controller.abort(reason)
    t.equal(held.signal.reason, reason)
    t.notOk(held.disposed)
  })
  await holding('train', adapter, controller.signal, async (held) => t.equal(held.signal.reason, reason))
})

t.test('both are let go when the work fails, and nothing listens any more', async (t) => {
  const { adapter, handle, model } = makeAdapter()
  const controller = new AbortController()
  let inside: AbortSignal | undefined
  const work = holding('train', adapter, controller.signal, async (held) => {
    inside = held.signal
    throw new Error('oops')
  })
  await t.rejects(work, { message: 'oops' })
  t.ok(handle.use('again') && model.use('again'))
  controller.abort()
  handle.dispose()
  model.dispose()
  t.notOk(inside!.aborted)
})
