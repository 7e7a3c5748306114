/** What does an update betray, and what helps? Two attacks on clients of the demo's model, with and without protections. */
import { join } from 'node:path'
import { loadDataset } from '../../../data/index.js'
import type { Model } from '../../../model/model.js'
import { gsm8kFolder } from '../../demo/assets.js'
import { openStudyFolder } from '../folder.js'
import type { Program, StudyRequest } from '../program.js'
import { full, quick, type Sizes } from './design.js'
import { openInference } from './inference.js'
import { openInversion, type Rows } from './inversion.js'
import { armOf, type Group, groupsOf } from './plan.js'
import { outcomesOf, tableRows, writeReport } from './report.js'
import type { Trial } from './trial.js'

/** Rows that everybody knows; all others are clients'. */
const knownRows = 128

async function readRows(model: Model): Promise<Rows> {
  const options = { format: 'gsm8k', tokenizer: model, maxLength: model.config.maxPositions, overlong: 'drop' } as const
  const all = await loadDataset(join(gsm8kFolder, 'train.jsonl'), options)
  const rows = (begin: number, end: number) => all.subset(Array.from({ length: end - begin }, (_, i) => begin + i))
  return { known: rows(0, knownRows), held: rows(knownRows, all.length) }
}

/** The trials of a group that are missing, one after the other, over one attacker. */
async function* attack(model: Model, rows: Rows, sizes: Sizes, group: Group, signal: AbortSignal) {
  if (group.attack === 'tokens') {
    using attacker = await openInversion(model, rows, group, signal)
    for (const wish of group.wishes) {
      yield { ...wish, ...(await attacker.attack(armOf(wish.arm), wish.length, wish.victim)) }
    }
  } else {
    using attacker = await openInference(model, rows.held, sizes, group, signal)
    for (const wish of group.wishes) yield { ...wish, ...(await attacker.attack(armOf(wish.arm).protection)) }
  }
}

async function runTrials(sizes: Sizes, { model, folder, signal, onProgress }: StudyRequest): Promise<readonly Trial[]> {
  const done = await openStudyFolder<Trial>(folder, { study: 'leakage', sizes })
  const groups = groupsOf(sizes)
  const total = groups.reduce((sum, { wishes }) => sum + wishes.length, 0)
  const rows = await readRows(model)
  const isDone = (wish: object) =>
    done.trials.some((trial) => Object.entries(wish).every(([key, value]) => trial[key as keyof Trial] === value))
  for (const group of groups) {
    const wishes = group.wishes.filter((wish) => !isDone(wish))
    if (wishes.length === 0) continue
    const what = group.attack === 'tokens' ? `${group.round} round, rank ${group.rank}` : `seed ${group.seed}`
    const tell = () =>
      onProgress({ done: done.trials.length, total, details: [group.attack, what], event: { attack: group.attack } })
    tell()
    for await (const trial of attack(model, rows, sizes, { ...group, wishes } as Group, signal)) {
      await done.add(trial)
      signal.throwIfAborted()
      tell()
    }
  }
  return done.trials
}

/** The study at these sizes. */
export function leakageOf(sizes: { full: Sizes; quick: Sizes }): Program {
  return {
    question:
      'An attacker sees what a client sends. Which share of the tokens of a row does it betray, and which rows were trained on?',
    async run(request) {
      const trials = await runTrials(request.quick ? sizes.quick : sizes.full, request)
      const outcomes = outcomesOf(trials)
      const files = await writeReport(trials, outcomes, request.folder)
      return { trials, outcomes, table: tableRows(trials, outcomes), files }
    },
  }
}

export const leakage = leakageOf({ full, quick })
