/**
 * What a private run has spent, in `privacy.json` of its folder: written and flushed before anything that its steps made leaves them, so that
 * no crash and no resuming forgets a step that somebody may have seen.
 */
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../errors.js'
import { exists } from '../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../files/json.js'

export const ledgerName = 'privacy.json'

const schema = z.looseObject({ version: z.literal(1), steps: z.int().min(0) })

/** Steps that a run in this folder has spent at most; 0 where none was. @throws FedloraError `E_CHECKPOINT` for a damaged file. */
export async function readSpent(folder: string): Promise<number> {
  const path = join(folder, ledgerName)
  if (!(await exists(path))) return 0
  const found = schema.safeParse(await readJsonObject(path, 'run folder'))
  if (found.success) return found.data.steps
  throw new FedloraError(
    'E_CHECKPOINT',
    `'${path}' does not say how many steps are spent; put it back, or start a new run`,
    {
      path,
    },
  )
}

export async function writeSpent(folder: string, spent: { steps: number }): Promise<void> {
  await writeJsonFile(join(folder, ledgerName), { version: 1, ...spent })
}
