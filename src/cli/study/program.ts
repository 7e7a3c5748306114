/** What `fedlora study NAME` runs, whatever it measures. */
import type { Model } from '../../model/model.js'
import { outcomesOf, tableRows, writeReport } from './report.js'
import { planOf, runStudy } from './run.js'
import type { Study, Trial } from './study.js'

/** Trials done and in all, and what the one under way is. */
export interface Progress {
  done: number
  total: number
  /** In words. */
  details: readonly string[]
  /** For machines. */
  event: object
}

export interface StudyRequest {
  model: Model
  quick: boolean
  folder: string
  signal: AbortSignal
  onProgress(progress: Progress): void
}

export interface StudyOutcome {
  trials: readonly object[]
  outcomes: readonly object[]
  /** The outcomes as people read them. */
  table: string[][]
  /** Paths that were written. */
  files: readonly string[]
}

export interface Program {
  question: string
  run(request: StudyRequest): Promise<StudyOutcome>
}

/** Runs the federations of a study that are missing in its folder; gives all of them. */
export async function trialsOf(study: Study, request: StudyRequest): Promise<readonly Trial[]> {
  const { model, quick, folder, signal, onProgress } = request
  return await runStudy(model, planOf(study, quick), folder, signal, (progress, event) => {
    const { done, total, setting, arm, seed } = progress
    const round = event?.type === 'round' ? [`round ${event.round}`] : []
    onProgress({ done, total, details: [setting, arm, `seed ${seed}`, ...round], event: { setting, arm, seed } })
  })
}

/** A study of federations side by side. */
export function federations(study: Study): Program {
  return {
    question: study.question,
    async run(request) {
      const trials = await trialsOf(study, request)
      const outcomes = outcomesOf(study, trials)
      return { trials, outcomes, table: tableRows(outcomes), files: await writeReport(study, trials, request.folder) }
    },
  }
}
