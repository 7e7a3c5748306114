/** Measures the global adapter: the base model in memory, an adapter that takes the server's values, and rows of nobody. */
import { fitToModel } from '../data/fit.js'
import { loadDataset } from '../data/index.js'
import { FedloraError } from '../errors.js'
import { evaluate } from '../evaluation/evaluate.js'
import type { Judge } from '../federated/coordinator/judge.js'
import type { CoordinatorConfig } from '../federated/coordinator/options.js'
import { loadModel } from '../model/load.js'
import type { EvaluateConfig } from './evaluate-options.js'

/** @throws FedloraError as `loadDataset`, `loadModel` and `evaluate`: before anybody is let in. */
export async function openJudge(
  { path: rows, every, rows: options, place }: EvaluateConfig,
  { model: { path, ...format }, adapter: kind }: CoordinatorConfig,
): Promise<Judge> {
  const read = await loadDataset(rows, options)
  const model = await loadModel(path, { ...format, ...place })
  try {
    const data = await fitToModel(read, model)
    if (!Array.from({ length: data.length }, (_, row) => data.facts(row).supervised).some((tokens) => tokens > 0)) {
      const message = `evaluate: none of the ${data.length} rows of ${JSON.stringify(rows)} has a supervised token`
      throw new FedloraError('E_DATA', message, { rows: data.length })
    }
    const adapter = model.createAdapter(kind)
    return {
      every,
      async measure(values, residual, signal) {
        adapter.setResidual(residual ?? null)
        adapter.setVector(values)
        return await evaluate(adapter, data, { signal })
      },
      async close() {
        adapter.dispose()
        model.dispose()
      },
    }
  } catch (error) {
    model.dispose()
    throw error
  }
}
