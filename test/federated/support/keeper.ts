/** An algorithm for tests: each client keeps the adapter that its work came to, and is served by it. FedAvg otherwise. */
import type { Algorithm } from '../../../src/federated/algorithms/algorithm.js'
import { trainAndSend } from '../../../src/federated/algorithms/defaults.js'

export const keeper: Algorithm = {
  name: 'keeper',
  about: 'for tests: clients keep what they have trained',
  source: 'nowhere',
  keeps: ['mine'],
  async work(kit) {
    const sent = await trainAndSend(kit)
    return { ...sent, keep: { mine: sent.trained.values } }
  },
  personal: ({ own, given }) => own.mine ?? given.adapter!,
}
