// Runs compiled test files in a copy of the project, one after the other, each with its children in a process group of its own.
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

/** @type {number | undefined} */
let group

/** Ends what runs at the moment, children and all. */
export function stopRunning() {
  if (group === undefined) return
  try {
    process.kill(-group, 'SIGKILL')
  } catch {
    // It has ended.
  }
}

/**
 * Runs 'test/unit/x.test.ts' to its end, its first failure, or the limit.
 * Returns { failure, seconds }: the name of the first assertion that failed, or how the process ended; undefined when all passed.
 * @param {string} copy
 * @param {string} test
 * @param {Record<string, string>} environment
 * @param {number} limit seconds
 * @returns {Promise<{ failure: string | undefined, seconds: number }>}
 */
export function runTest(copy, test, environment, limit) {
  const temporary = join(copy, 'tmp')
  mkdirSync(temporary, { recursive: true })
  const { NODE_OPTIONS: _, ...inherited } = process.env
  // tap's own limit is for a machine that does nothing else.
  const tap = { TAP_BAIL: '1', TAP_TIMEOUT: '3600' }
  const env = { ...inherited, ...tap, TMPDIR: temporary, XDG_CACHE_HOME: join(temporary, 'cache'), ...environment }
  const file = test.replace(/ts$/, 'js')
  const begun = performance.now()
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [file], {
      cwd: copy,
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    group = child.pid
    let rest = ''
    /** @type {string | undefined} */
    let failure
    /** @type {NodeJS.Timeout | undefined} */
    let end
    const watchdog = setTimeout(() => {
      failure = `no end within ${limit.toFixed(0)} s`
      stopRunning()
    }, limit * 1000)
    child.stdout.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
      const lines = (rest + text).split('\n')
      rest = (lines.pop() ?? '').slice(0, 1 << 16)
      for (const line of lines) {
        const name = /^\s*not ok \d+ - (.*?)(?: # time=.*)?(?: \{)?$/.exec(line)?.[1]
        if (name === undefined || failure !== undefined) continue
        failure = name
        end = setTimeout(stopRunning, 200) // what comes after the first failure says nothing more
      }
    })
    child.on('close', (code, signal) => {
      clearTimeout(watchdog)
      clearTimeout(end)
      stopRunning()
      group = undefined
      if (code !== 0) failure ??= signal ?? `exit code ${code}`
      resolve({ failure, seconds: (performance.now() - begun) / 1000 })
    })
  })
}
