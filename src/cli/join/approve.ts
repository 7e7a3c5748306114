/** Asking a person before anything is sent. */
import { createInterface } from 'node:readline'
import { formatBytes } from '../../errors/describe.js'
import type { Outgoing } from '../../federated/participant/outgoing.js'
import type { Output } from '../output.js'
import { UsageError } from '../usage.js'
import { formatCount } from '../words.js'

export type Shown = Outgoing & { file: string | undefined }

/** What is about to be sent, in lines. */
function outgoingLines({
  round,
  bytes,
  codec,
  vectors,
  norm,
  masked,
  rows,
  steps,
  tokens,
  loss,
  numbers,
  file,
}: Shown): string[] {
  const what = vectors.map(({ name, length }) => `${name}: ${formatCount(length)} values`).join(', ')
  const beside = Object.entries(numbers).map(([name, list]) => `${name}: ${list.join(', ')}`)
  const mask = masked ? ', under a mask that only the sum of all clients takes off' : ''
  return [
    `round ${round}: about to be sent:`,
    `  ${formatBytes(bytes)} (${codec}${mask})${what === '' ? '' : `: ${what}; 2-norm ${norm.toPrecision(4)}`}`,
    `  and in numbers: ${rows} rows, ${steps} steps, ${tokens} tokens, loss ${loss === null ? 'none' : loss.toFixed(4)}${beside.length === 0 ? '' : `, ${beside.join(', ')}`}`,
    ...(file === undefined ? [] : [`  the bytes lie in ${file}`]),
  ]
}

export interface Terminal {
  input: NodeJS.ReadableStream & { isTTY?: boolean }
  output: NodeJS.WritableStream
}

/**
 * Shows each round's answer and waits for a yes.
 * @throws UsageError without a terminal.
 */
export function askFirst(
  output: Output,
  signal: AbortSignal,
  { input, output: screen }: Terminal = { input: process.stdin, output: process.stderr },
): (outgoing: Shown) => Promise<boolean> {
  if (input.isTTY !== true) {
    throw new UsageError(
      '--approve asks at the terminal, and this process has none; a program decides with joinFederation({ approve })',
    )
  }
  return async (outgoing) => {
    output.endProgress()
    for (const line of outgoingLines(outgoing)) output.note(line)
    const lines = createInterface({ input, output: screen })
    try {
      return await new Promise<boolean>((resolve) => {
        const stop = () => resolve(false)
        signal.addEventListener('abort', stop, { once: true })
        lines.once('close', stop)
        lines.question('send it? [y/N] ', (answer) => resolve(/^y(es)?$/i.test(answer.trim())))
      })
    } finally {
      lines.close()
    }
  }
}
