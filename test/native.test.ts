// Runs every native test program, each C++ case as an assertion here, and the kernel tests again at the weaker instruction sets.
import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { findPrograms, judge, lowerIsaLevels, runAll, runProgram } from '../scripts/lib/native-programs.mjs'

// Some eight minutes of processor time at three levels of instructions: a busy machine takes longer than one file usually may.
t.setTimeout(3_600_000)

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const programs = findPrograms(join(root, 'build', 'cmake', 'tests'))

/** Programs whose subject computes: what they judge is dispatched by instruction set. */
const dispatched = /^test_(?!base|cuda_|io_|ref_)/

type Run = { name: string; path: string; env: Record<string, string> }

async function check(runs: Run[]) {
  const results = await runAll(runs, 2, ({ path, env }: Run) => runProgram(path, [], env))
  for (const [index, { name }] of runs.entries()) {
    const { cases, problems, errors } = results[index]
    await t.test(name, async (t) => {
      for (const { name, ok, comments } of cases) t.ok(ok, name, { comments, stack: '' })
      t.same(problems, [], 'the program passed', { errors, stack: '' })
    })
  }
}

/** The emulator of CUDA's threads is written for one machine (CMakeLists.txt). */
const emulates = process.platform === 'linux' && process.arch === 'x64'
const elsewhere = `their emulator is for linux-x64, and this is ${process.platform}-${process.arch}`
if (!emulates) t.test('CUDA kernels', { skip: elsewhere }, async () => {})

t.test('every source has its program', async (t) => {
  const folders = ['native', ...(emulates ? ['native/cuda'] : [])].map((folder) => join(root, 'test', folder))
  const sources = folders.flatMap((folder) => readdirSync(folder)).filter((name) => /^test_.*\.cpp$/.test(name))
  t.ok(sources.length >= 1, 'there are native tests')
  t.same(programs.map(({ name }) => `${name}.cpp`).sort(), sources.sort(), 'built programs = sources')
})

await check(programs.map((program) => ({ ...program, env: {} })))
for (const level of lowerIsaLevels()) {
  const runs = programs.filter(({ name }) => dispatched.test(name))
  await check(runs.map(({ name, path }) => ({ name: `${name} at ${level}`, path, env: { FEDLORA_ISA: level } })))
}

t.test('canaries: what the judge must call wrong', async (t) => {
  const good = 'ok 1 - one\nok 2 - two\n1..2\n'
  const problems = (output: string, status: number | null = 0, signal: string | null = null) =>
    judge({ output, status, signal }).problems
  t.same(problems(good), [], 'the sound program passes')
  t.not(problems('ok 1 - one\n# x.cpp:3 failed: a == b\nnot ok 2 - two\n1..2\n', 1).length, 0, 'a failed case')
  t.not(problems('ok 1 - one\nnot ok 2 - two\n1..2\n', 0).length, 0, 'a failed case that ends with status 0')
  t.not(problems(good, 1).length, 0, 'all cases ok but a bad status')
  t.not(problems(good, null, 'SIGSEGV').length, 0, 'a crash after the last case')
  t.not(problems('ok 1 - one\n').length, 0, 'an end before the plan')
  t.not(problems('ok 1 - one\n1..2\n').length, 0, 'a case short of the plan')
  t.not(problems('1..0\n').length, 0, 'no case at all')
  t.not(problems('').length, 0, 'silence')
  t.match(problems('# x.cpp:3 a = 1, allowed 0\nnot ok 1 - one\n1..1\n', 1)[0], /x\.cpp:3/, 'particulars are kept')
})

t.test('canaries: programs that fail, crash or are not there', async (t) => {
  const directory = t.testdir({
    'failing.mjs': "console.log('not ok 1 - one\\n1..1'); process.exitCode = 1",
    'crashing.mjs':
      "console.log('ok 1 - one\\n1..1'); process.kill(process.pid, 'SIGKILL'); setInterval(() => {}, 1000)",
  })
  for (const name of ['failing.mjs', 'crashing.mjs']) {
    const { problems } = await runProgram(process.execPath, [join(directory, name)])
    t.not(problems.length, 0, name)
  }
  t.match((await runProgram(join(directory, 'absent'))).problems, [/could not be started/])
})

t.test('canary: the harness itself reports a failed check', async (t) => {
  // The harness is compiled into every program; an unknown case name selects nothing, and nothing run is not a pass.
  const [first] = programs
  t.ok(first, 'there is a program')
  const { stdout, status, signal } = spawnSync(first!.path, ['--only', 'no such case'], { encoding: 'utf8' })
  t.not(judge({ output: stdout, status, signal }).problems.length, 0)
})

t.test('instruction-set levels follow from the processor', async (t) => {
  t.same(lowerIsaLevels(''), [], 'a processor of unknown kind runs what it has')
  t.same(lowerIsaLevels('flags\t\t: sse4_2 avx avx2 fma f16c\n'), ['scalar'])
  t.same(lowerIsaLevels('flags\t\t: avx2 fma f16c avx512f avx512bw avx512vl avx512dq avx512_bf16\n'), [
    'scalar',
    'avx2',
  ])
  t.same(lowerIsaLevels('Features\t: fp asimd evtstrm aes\n'), ['scalar'], "Arm's word for NEON")
  t.same(lowerIsaLevels('Features\t: fp asimd evtstrm i8mm bf16\n'), ['scalar', 'neon'])
})
