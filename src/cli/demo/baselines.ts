/** What the demo's federation is compared with when it ran elsewhere: everyone alone, and all rows in one place, as `simulate` trains them. */
import type { BaselineReport } from '../../federated/events.js'
import { federationSchema } from '../../federated/options.js'
import { runBaselines } from '../../federated/simulate/baselines.js'
import { openClients } from '../../federated/simulate/clients.js'
import { openLocals } from '../../federated/simulate/overrides.js'
import type { Output } from '../output.js'
import { baselineFactor, recipe } from './recipe.js'
import { teller } from './simulated.js'
import type { Stage } from './stage.js'

export async function baselines(
  { model, clients: rows, held }: Stage,
  folder: string,
  output: Output,
  signal: AbortSignal,
): Promise<BaselineReport[]> {
  const { rounds, local, upload, seed } = recipe
  const compared = { baselines: ['local', 'global'], baselineSchedule: baselineFactor }
  const config = federationSchema.parse({ rounds, local, upload, seed, ...compared })
  const clients = await openClients(rows, model)
  const locals = openLocals(config.local, undefined, clients)
  using adapter = model.createAdapter(recipe.adapter)
  const initial = adapter.vector()
  const tell = teller(output)
  const reports: BaselineReport[] = []
  const onStep = (name: string, step: number, steps: number | null, loss: number, tokensPerSecond: number) =>
    tell({ type: 'baseline-step', name, step, steps, loss, tokensPerSecond })
  for await (const report of runBaselines({
    config,
    clients,
    locals,
    adapter,
    initial,
    evaluation: held,
    folder,
    signal,
    onStep,
  })) {
    reports.push(report)
    const event = { type: 'baseline', ...report } as const
    output.event(event)
    tell(event)
  }
  return reports
}
