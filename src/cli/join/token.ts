/**
 * Where a join token comes from: a file, the environment, the standard input, or the command line, which other users of a machine can read
 * (`ps`) for as long as the process lives.
 */
import { readFile } from 'node:fs/promises'
import { text as textOf } from 'node:stream/consumers'
import { FedloraError } from '../../errors.js'
import { parseJoinToken } from '../../federated/https/join-token.js'
import type { Flag, FlagValues } from '../arguments.js'
import { text, usage } from '../command.js'
import { UsageError } from '../usage.js'

const tokenVariable = 'FEDLORA_TOKEN'

export const tokenFlag: Flag = {
  type: 'string',
  value: 'FILE',
  description: `a file that holds the join token, - for the standard input; default: TOKEN, or the variable ${tokenVariable}`,
}

async function inFile(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const what = code === 'ENOENT' ? 'does not exist' : `cannot be read: ${message}`
    throw new UsageError(`--token-file: '${path}' ${what}`, { path }, 'E_MISSING', error)
  }
}

/** What was written, and where it stands. */
async function written(
  flags: FlagValues,
  input: () => Promise<string>,
  environment: NodeJS.ProcessEnv,
): Promise<{ from: string; token: string } | undefined> {
  const [word, file] = [text(flags, 'token'), text(flags, 'token-file')]
  if (word !== undefined && file !== undefined)
    throw new UsageError('TOKEN and --token-file say the same thing; leave one of them out', { flag: 'token-file' })
  if (word === '-' || file === '-') return { from: 'the standard input', token: await input() }
  if (word !== undefined) return { from: 'TOKEN', token: word }
  if (file !== undefined) return { from: `'${file}'`, token: await inFile(file) }
  const variable = environment[tokenVariable]
  return variable === undefined || variable === '' ? undefined : { from: tokenVariable, token: variable }
}

/**
 * The join token of a command line.
 * @throws UsageError when there is none, or more than one; `E_TOKEN` for one that is damaged, naming where it stands.
 */
export async function readToken(
  flags: FlagValues,
  input: () => Promise<string> = () => textOf(process.stdin),
  environment: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const found = await written(flags, input, environment)
  if (found === undefined) {
    const message = `fedlora join: no join token: give --token-file FILE, or ${tokenVariable}, or - and the token on the standard input`
    throw new UsageError(message, { flag: 'token-file' })
  }
  const { from, token } = found
  if (token.trim() === '') throw new UsageError(`${from} is empty, expected a join token`, { from }, 'E_TOKEN')
  await usage(() => checked(token, from))
  return token
}

function checked(token: string, from: string): void {
  try {
    parseJoinToken(token)
  } catch (error) {
    if (!(error instanceof FedloraError) || from === 'TOKEN') throw error
    throw new FedloraError(error.code, `${from}: ${error.message}`, error.details, error)
  }
}
