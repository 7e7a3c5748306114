/** Following a run from the command line: its events for machines, words for people, and where it stands when it did not end. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { ClientEvent } from '../federated/events.js'
import type { Run } from '../run/run.js'
import type { Output } from './output.js'
import { resumeCommand } from './recipe.js'
import { formatCount } from './words.js'

/**
 * Hands every event to machines and to `tell`.
 * @param begins - events that only a run has which found its folder and data in order: `onBegun` is awaited at the first of them.
 */
export async function follow<E extends { type: string }, R>(
  run: Run<E, R>,
  output: Output,
  tell: (event: E) => void,
  begins: readonly E['type'][] = [],
  onBegun?: () => Promise<void>,
): Promise<R> {
  let begun = false
  output.phase('training')
  for await (const event of run) {
    output.eventOf(event)
    if (!begun && begins.includes(event.type)) {
      begun = true
      await onBegun?.()
    }
    tell(event)
  }
  return await run
}

/** A figure, or a dash where there is none. */
export const figure = (value: number | null | undefined, digits: number): string => value?.toFixed(digits) ?? '–'

/** A client that has done its part of a round, on the progress line. */
export function tellClient(output: Output, { round, name, loss, tokensPerSecond }: ClientEvent, rounds: number): void {
  output.status({
    label: `round ${round}/${rounds}`,
    details: [name, `loss ${figure(loss, 4)}`, `${formatCount(tokensPerSecond)} tokens/s`],
    event: { phase: 'round', done: round, total: rounds },
  })
}

/** A run that did not end. */
export interface StoppedRun {
  command: 'train' | 'simulate'
  unit: 'step' | 'round'
  /** Steps or rounds done. */
  done: number
  folder: string | undefined
  /** What the folder holds when there is something to go on with. */
  sign: string
  /** Fields of the event, and what people are told of the place. */
  fields: Readonly<Record<string, unknown>>
  place: string
}

/** Where a run that did not end stands, and how to go on. A failure before anything was done leaves nothing worth going on with. */
export function tellStopped(
  { command, unit, done, folder, sign, fields, place }: StoppedRun,
  failed: boolean,
  output: Output,
): void {
  output.endProgress()
  if (failed && done === 0) return
  const where = done === 0 ? `stopped before a ${unit} was done` : `stopped after ${unit} ${done}`
  if (folder === undefined || !existsSync(join(folder, sign))) {
    output.note(`${where}; ${folder === undefined ? 'no --output: nothing' : 'nothing'} is kept`)
    return
  }
  const resume = resumeCommand(command, folder)
  if (!failed) output.event({ type: 'stopped', [unit]: done, ...fields, adapter: `${folder}/adapter`, resume })
  output.note(`${where} · ${place}`)
  output.note(`go on ${failed ? 'when the cause is mended ' : ''}with: ${resume}`)
}
