/** A federation in which clients keep adapters of their own and residuals, and are measured after some steps more. */
import type { ClientData } from '../../../src/federated/simulate/clients.js'
import type { SimulateOptions } from '../../../src/federated/simulate/simulate.js'
import type { Model } from '../../../src/model/model.js'
import { tokenRows } from '../../support/train.js'
import { federation, type Variation } from './federation.js'

export async function personalFederation(
  model: Model,
  variation: Variation = {},
): Promise<SimulateOptions & { clients: ClientData[] }> {
  const clients = await Promise.all(
    ['a', 'b', 'c', 'd', 'e'].map(async (name, i) => ({
      name,
      train: await tokenRows(4 + i, 263, 17 * i),
      test: await tokenRows(2, 263, 90 + i),
    })),
  )
  const options = await federation(model, {
    algorithm: 'ditto',
    rounds: 4,
    cohort: 3,
    checkpointEvery: 2,
    evaluate: { of: 'both', every: 1, fineTune: { steps: 1 } },
    ...variation,
  })
  return { ...options, clients }
}
