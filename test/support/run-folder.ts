/** What a run left in its folder, without what differs from run to run. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The lines of `events.ndjson` behind the first, which says what they are. */
export function linesOf(folder: string): Record<string, unknown>[] {
  const text = readFileSync(join(folder, 'events.ndjson'), 'utf8')
  const [head, ...events] = text
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
  if (head?.type !== 'log' || head.version !== 1) throw new Error(`the first line is ${JSON.stringify(head)}`)
  return events
}

/** Every file of a run folder that holds vectors: its bytes must not depend on when the run was interrupted. */
export function filesOf(folder: string, names = /\.(f32|flup|safetensors)$/): Record<string, string> {
  const files: Record<string, string> = {}
  for (const name of (readdirSync(folder, { recursive: true }) as string[]).sort()) {
    if (names.test(name)) files[name] = readFileSync(join(folder, name)).toString('base64')
  }
  return files
}

/** The state of a checkpoint; speeds make lines of the log longer or shorter. */
export function stateOf(checkpoint: string): Record<string, unknown> {
  const { eventBytes: _, seal: __, ...state } = JSON.parse(readFileSync(join(checkpoint, 'state.json'), 'utf8'))
  return state
}
