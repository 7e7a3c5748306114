/** The command line within this process: what a refusal says and its exit code need no process of their own. */
import type { Test } from 'tap'
import { runCli } from '../../src/cli/run.js'

/** Runs one command's words; gives the exit code and what went to stderr. */
export async function called(t: Test, words: readonly string[], load: Parameters<typeof runCli>[1][string]['load']) {
  const said = t.capture(process.stderr, 'write', () => true)
  const kept = t.capture(process.stdout, 'write')
  try {
    const code = await runCli(words, { [words[0]!]: { summary: '', load } })
    const text = said()
      .map(({ args }) => String(args[0]))
      .join('')
    return { code, stderr: text }
  } finally {
    said.restore()
    kept.restore()
  }
}
