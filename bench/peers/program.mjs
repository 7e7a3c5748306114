// A program that is timed says what it found in its last line, as JSON.
import { execFileSync } from 'node:child_process'

/** What the last line of a program's output says. */
export function lastLine(program, words) {
  const output = execFileSync(program, words, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    maxBuffer: 1 << 26,
  })
  return JSON.parse(output.trim().split('\n').at(-1) ?? '')
}

export const median = (numbers) => [...numbers].sort((a, b) => a - b)[numbers.length >> 1]
