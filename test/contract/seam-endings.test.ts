/** Ends in mid-step: every way of leaving a process or a thread while the engine works is clean: its own exit code, no crash, no hang. */
import { rmSync } from 'node:fs'
import t from 'tap'
import { type Ended, runProgram } from '../support/programs.js'
import { temporaryFolder } from '../support/train.js'

/** What is wrong with an end, or nothing. */
function complaint(ended: Ended, code: number | null, signal: NodeJS.Signals | null): string {
  if (ended.hung) return `it hung: ${ended.stdout}${ended.stderr}`
  if (ended.code === code && ended.signal === signal) return ''
  return `it ended with ${ended.signal ?? ended.code}, expected ${signal ?? code}: ${ended.stderr}`
}

t.test('canary: a crash and a hang are told from a clean end', async (t) => {
  const clean = { code: 0, signal: null, stdout: '', stderr: '', hung: false }
  t.equal(complaint(clean, 0, null), '')
  t.match(complaint({ ...clean, code: null, signal: 'SIGSEGV' }, 0, null), /SIGSEGV/)
  t.match(complaint({ ...clean, hung: true }, 0, null), /hung/)
  t.match(complaint(await runProgram('seam/hang.mjs', [], { patience: 1 }), 0, null), /hung/)
  t.match(complaint(await runProgram('seam/hang.mjs', ['abort']), 0, null), /SIGABRT/)
})

t.test('process.exit, an exception and a rejection in mid-step', async (t) => {
  const exit = await runProgram('seam/ending.mjs', ['exit'])
  t.equal(complaint(exit, 7, null), '')
  t.match(exit.stdout, /step 2\n$/)
  const thrown = await runProgram('seam/ending.mjs', ['throw'])
  t.equal(complaint(thrown, 1, null), '')
  t.match(thrown.stderr, /nobody catches this/)
  const rejected = await runProgram('seam/ending.mjs', ['reject'])
  t.equal(complaint(rejected, 1, null), '')
  t.match(rejected.stderr, /nobody handles this/)
})

t.test('signals in mid-step', async (t) => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
    let sent = false
    const ended = await runProgram('seam/ending.mjs', ['wait'], {
      onOutput: (text, child) => {
        if (sent || !text.includes('step 2\n')) return
        sent = true
        setTimeout(() => child.kill(signal), 40)
      },
    })
    t.equal(complaint(ended, null, signal), '', signal)
  }
})

t.test('workers terminated at any moment leave a process that trains on', async (t) => {
  const ended = await runProgram('seam/ending.mjs', ['terminate'])
  t.equal(complaint(ended, 0, null), '')
  t.match(ended.stdout, /step 5 terminated 1\nstep 1\nstep 2\n$/)
})

t.test('calls that wait for a model which goes away are refused, not forgotten', async (t) => {
  const ended = await runProgram('seam/ending.mjs', ['queue'])
  t.equal(complaint(ended, 0, null), '')
  const [, ...codes] = ended.stdout.trim().split(' ')
  t.equal(codes.length, 6)
  t.ok(codes.every((code) => code === 'E_DISPOSED' || code === 'done') && codes.at(-1) === 'E_DISPOSED', ended.stdout)
})

t.test('the addon twice in a process, and in three workers at once: the same bits', async (t) => {
  const folder = temporaryFolder('twice')
  const ended = await runProgram('seam/twice.mjs', [folder])
  t.equal(complaint(ended, 0, null), '')
  t.match(JSON.parse(ended.stdout), {
    encoded: 1,
    bits: 1,
    distinct: true,
    codes: [0, 0, 0],
    foreign: ['ours', /^E_ARGUMENT expected an adapter of this library/],
  })
  rmSync(folder, { recursive: true })
})

t.test('what is dropped without dispose is given back: memory and threads', async (t) => {
  const ended = await runProgram('seam/collect.mjs', [], { node: ['--expose-gc'] })
  t.equal(complaint(ended, 0, null), '')
  const { before, after } = JSON.parse(ended.stdout)
  t.ok(after.threads < before.threads + 8, `${before.threads} threads, then ${after.threads}`)
  // 40 rounds that kept all would hold 40 packed models, 40 sums and 80 adapters: more than 300 MiB.
  t.ok(after.bytes - before.bytes < 64 * 2 ** 20, `${before.bytes} bytes, then ${after.bytes}`)
})
