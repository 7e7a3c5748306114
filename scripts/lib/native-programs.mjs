// Runs the native test programs and judges what they say. A program prints TAP: "ok N - name" or "not ok N - name" a case,
// '#' lines with the particulars of a failure before it, and the plan "1..N" last. It passes only when it ended with status
// 0, named its plan, ran exactly that many cases (at least one), and every one is ok.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** The programs `test_*` in a folder, sorted by name. */
export function findPrograms(folder) {
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .filter((name) => /^test_[a-z0-9_]+(\.exe)?$/.test(name))
    .sort()
    .map((name) => ({ name, path: join(folder, name) }))
}

/**
 * Judges the output of a program that has ended.
 * Returns { cases: [{ name, ok, comments }], problems: [text] }; the program passes when problems is empty.
 */
export function judge({ output, status, signal }) {
  const cases = []
  const problems = []
  let comments = []
  let plan
  for (const line of output.split('\n')) {
    const result = /^(not )?ok (\d+) - (.*)$/.exec(line)
    if (result) {
      if (Number(result[2]) !== cases.length + 1) problems.push(`case ${result[2]} came as number ${cases.length + 1}`)
      cases.push({ name: result[3], ok: result[1] === undefined, comments })
      comments = []
    } else if (/^1\.\.\d+$/.test(line)) {
      plan = Number(line.slice(3))
    } else if (line.startsWith('#')) {
      comments.push(line.slice(1).trim())
    }
  }
  for (const failed of cases.filter(({ ok }) => !ok)) {
    problems.push([`not ok: ${failed.name}`, ...failed.comments].join('\n  '))
  }
  if (plan === undefined) problems.push('it ended without a plan')
  else if (plan !== cases.length) problems.push(`its plan is ${plan} cases, ${cases.length} came`)
  if (cases.length === 0) problems.push('it ran no case')
  if (signal) problems.push(`it was ended by ${signal}`)
  else if (status !== 0) problems.push(`it ended with status ${status}`)
  return { cases, problems }
}

/**
 * Runs one program to its end, or for `timeout` milliseconds, and judges it; standard error is returned and belongs to the report of a
 * failure.
 */
export function runProgram(path, args = [], env = {}, timeout = 0) {
  return new Promise((resolve) => {
    const child = spawn(path, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], timeout })
    let output = ''
    let errors = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text
    })
    child.stderr.setEncoding('utf8').on('data', (text) => {
      errors += text
    })
    child.on('error', (error) => {
      resolve({ cases: [], problems: [`it could not be started: ${error.message}`], errors })
    })
    child.on('close', (status, signal) => resolve({ ...judge({ output, status, signal }), errors }))
  })
}

/** Runs `work` over all items, at most `width` at a time; results come in the order of the items. */
export async function runAll(items, width, work) {
  const results = new Array(items.length)
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const index = next++
      results[index] = await work(items[index], index)
    }
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker))
  return results
}

/**
 * The instruction-set levels below the strongest one that this machine has, as FEDLORA_ISA names them: the strongest is what
 * a plain run takes. The flags are those of native/base/cpu_x86.cpp and cpu_arm64.cpp.
 */
export function lowerIsaLevels(cpuinfo = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '') {
  const [, heading, words] = /^(flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo) ?? []
  if (heading === undefined) return []
  const flags = new Set(words.split(' '))
  /** @type {[name: string, needed: string[]][]} */
  const x86 = [
    ['scalar', []],
    ['avx2', ['avx2', 'fma', 'f16c']],
    ['avx512bf16', ['avx512f', 'avx512bw', 'avx512vl', 'avx512dq', 'avx512_bf16']],
  ]
  /** @type {typeof x86} */
  const arm64 = [
    ['scalar', []],
    ['neon', ['asimd']],
    ['neonbf16', ['bf16']],
  ]
  const levels = heading === 'flags' ? x86 : arm64
  return levels
    .filter(([, needed]) => needed.every((flag) => flags.has(flag)))
    .map(([name]) => name)
    .slice(0, -1)
}
