/** The demo's federation in this process, and what it is compared with. */

import { formatBytes } from '../../errors/describe.js'
import type { FederationEvent, FederationResult } from '../../federated/events.js'
import { simulate } from '../../federated/simulate/simulate.js'
import { follow, tellClient } from '../follow.js'
import type { Output } from '../output.js'
import { ProgressLine } from '../progress-line.js'
import { baselineFactor, recipe } from './recipe.js'
import type { Stage } from './stage.js'

/** What the demo shows of its federation, however that ran; the adapter is the caller's to dispose. */
export type Federated = Pick<
  FederationResult,
  'adapter' | 'evaluation' | 'baselines' | 'bytesUp' | 'bytesUpRaw' | 'bytesDown' | 'bytesDownRaw' | 'tokensPerSecond'
>

/** Where it is kept, and whether something lies there already. */
export interface Place {
  folder: string
  resumes: boolean
}

export type Shown = Extract<FederationEvent, { type: 'client' | 'round' | 'baseline' | 'baseline-step' }>

/** What people are told of the events of the federation and of its baselines. */
export function teller(output: Output): (event: FederationEvent) => void {
  let line: { name: string; progress: ProgressLine } | undefined
  return (event) => {
    if (event.type === 'client') tellClient(output, event, recipe.rounds)
    else if (event.type === 'round') {
      const cosine = event.cosine === null ? '' : `, cosine to the exact mean ${event.cosine.toFixed(4)}`
      output.text(
        `  round ${event.round}/${event.rounds}: loss ${event.loss!.toFixed(4)}, up ${formatBytes(event.bytesUp)} ` +
          `(${event.compressionRatio!.toFixed(1)} times smaller)${cosine}`,
      )
    } else if (event.type === 'baseline-step') {
      if (line?.name !== event.name)
        line = { name: event.name, progress: new ProgressLine(output, event.name, event.steps!) }
      line.progress.update(event.step, event.loss, event.tokensPerSecond)
    } else if (event.type === 'baseline') {
      const whose = event.kind === 'global' ? 'all data in one place' : `"${event.name}" alone`
      output.text(`  ${whose}: ${event.steps} steps, held-out loss ${event.evaluation!.loss.toFixed(4)}`)
    }
  }
}

export async function simulated(
  { model, clients, held }: Stage,
  { folder, resumes }: Place,
  output: Output,
  signal: AbortSignal,
): Promise<Federated> {
  const run = simulate({
    model,
    adapter: recipe.adapter,
    clients,
    rounds: recipe.rounds,
    local: recipe.local,
    upload: recipe.upload,
    seed: recipe.seed,
    evaluate: { data: held },
    baselines: ['local', 'global'],
    baselineSchedule: baselineFactor,
    ...(resumes ? { resumeFrom: folder } : { outputDir: folder }),
    signal,
  })
  return await follow(run, output, teller(output))
}
