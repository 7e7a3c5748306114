/** The folder of a study: what it is, and a line for each trial that is done. One that was stopped goes on in it. */
import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { exists, ioError, makeFolder } from '../../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'

export interface StudyFolder<Trial> {
  /** Those that are done, in the order in which they ended. */
  readonly trials: readonly Trial[]
  add(trial: Trial): Promise<void>
}

/**
 * @param identity - what all trials of the study have in common; plain JSON.
 * @throws FedloraError `E_ARGUMENT` for a folder of another study; `E_IO`.
 */
export async function openStudyFolder<Trial extends object>(
  folder: string,
  identity: { study: string } & Record<string, unknown>,
): Promise<StudyFolder<Trial>> {
  const trials = await readTrials<Trial>(folder, identity)
  return {
    trials,
    async add(trial) {
      await appendFile(join(folder, 'trials.ndjson'), `${JSON.stringify(trial)}\n`).catch((error: unknown) => {
        throw ioError(error, `cannot write '${folder}/trials.ndjson'`)
      })
      trials.push(trial)
    },
  }
}

async function readTrials<Trial>(folder: string, identity: object): Promise<Trial[]> {
  const file = join(folder, 'study.json')
  if (!(await exists(file))) {
    await makeFolder(folder)
    await writeJsonFile(file, identity)
    return []
  }
  const before = await readJsonObject(file, 'study')
  if (JSON.stringify(before) !== JSON.stringify(identity)) {
    const message = `'${folder}' holds another study (${String(before.study)}, or one of another size); choose another folder`
    throw new FedloraError('E_ARGUMENT', message, { folder })
  }
  const trials = join(folder, 'trials.ndjson')
  if (!(await exists(trials))) return []
  const text = await readFile(trials, 'utf8')
  // A line that a crash cut short has no end, and is run again.
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Trial)
}
