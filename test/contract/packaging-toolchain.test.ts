// A machine without the tools is told what is missing and how to get it, before anything is downloaded or built.
import { spawnSync } from 'node:child_process'
import { chmodSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t, { type Test } from 'tap'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const toolchain = pathToFileURL(join(root, 'scripts', 'lib', 'toolchain.mjs')).href
const main = pathToFileURL(join(root, 'scripts', 'lib', 'project.mjs')).href
const program = `
import { runMain } from '${main}'
import { checkCuda, checkToolchain } from '${toolchain}'
await runMain(import.meta, 'setup', process.argv[2] === 'cuda' ? checkCuda : checkToolchain)
`

/** Runs the check where PATH holds these tools alone: name → what it says when asked anything. */
function check(t: Test, tools: Record<string, string>, ...what: string[]) {
  const scripts = Object.entries(tools).map(([name, text]) => [name, `#!/bin/sh\necho "${text}"\n`])
  const folder = t.testdir({ bin: Object.fromEntries(scripts), 'check.mjs': program })
  for (const name of readdirSync(join(folder, 'bin'))) chmodSync(join(folder, 'bin', name), 0o755)
  const env = { PATH: join(folder, 'bin') }
  const { status, stderr } = spawnSync(process.execPath, [join(folder, 'check.mjs'), ...what], {
    encoding: 'utf8',
    env,
  })
  return { status, stderr }
}

const cmake = 'cmake version 3.25.1'
const clang = 'clang version 17.0.0'

t.test('what is missing is named, with its code', async (t) => {
  t.match(check(t, {}), { status: 1, stderr: /^setup: E_TOOL_CMAKE: cmake is not on PATH.*Get it with/ })
  t.match(check(t, { cmake: 'cmake version 3.16.3' }), {
    status: 1,
    stderr: /E_TOOL_CMAKE: CMake is 3\.16, 3\.24 or newer/,
  })
  t.match(
    check(t, { cmake: 'cmake version 3.4.0' }),
    { status: 1, stderr: /E_TOOL_CMAKE: CMake is 3\.4/ },
    'a number, not a text',
  )
  t.match(check(t, { cmake }), { status: 1, stderr: /E_TOOL_COMPILER: no C\+\+ compiler.*Get it with/ })
  t.match(check(t, { cmake, 'c++': '9.4.0 Free Software Foundation' }), {
    status: 1,
    stderr: /E_TOOL_COMPILER: c\+\+ is GCC 9/,
  })
  t.match(check(t, { cmake, 'c++': clang }), { status: 1, stderr: /E_TOOL_MAKE: neither ninja nor make/ })
})

t.test('a machine that has everything passes in silence', async (t) => {
  t.same(check(t, { cmake, 'clang++': clang, make: 'GNU Make 4.3' }), { status: 0, stderr: '' })
  t.same(check(t, { cmake: 'cmake version 4.0.0', 'g++': '12.2.0 Free Software Foundation', ninja: '1.11' }), {
    status: 0,
    stderr: '',
  })
})

t.test('the CUDA compiler: absent where nobody put one, too old, new enough', async (t) => {
  const nvcc = (version: string) => ({ nvcc: `Cuda compilation tools, release ${version}, V${version}.1` })
  t.match(check(t, nvcc('12.6'), 'cuda'), { status: 1, stderr: /E_TOOL_CUDA: nvcc is of CUDA 12\.6, 12\.8 or newer/ })
  t.match(check(t, nvcc('9.10'), 'cuda'), { status: 1, stderr: /CUDA 9\.10/ }, 'numbers, not texts')
  t.same(check(t, nvcc('12.8'), 'cuda'), { status: 0, stderr: '' })
  t.same(check(t, nvcc('13.0'), 'cuda'), { status: 0, stderr: '' })
})

t.test('what a script does not understand is told, without a stack', async (t) => {
  const program = `
    import { parseArgs } from 'node:util'
    import { runMain } from '${main}'
    await runMain(import.meta, 'try', () => parseArgs({ options: { fast: { type: 'boolean' }, only: { type: 'string' } } }))`
  const folder = t.testdir({ 'try.mjs': program, 'wrong.mjs': program.replace('() =>', '() => nothing ??') })
  const said = (file: string, ...words: string[]) => {
    const { status, stderr } = spawnSync(process.execPath, [file, ...words], { encoding: 'utf8', cwd: folder })
    return { status, stderr }
  }
  const refused = (...words: string[]) => said('try.mjs', ...words)
  const told = (what: string) => ({
    status: 1,
    stderr: new RegExp(`^try: E_ARGUMENT: ${what}; the first lines of try\\.mjs say.*\n$`),
  })
  t.match(refused('--nonsense'), told("Unknown option '--nonsense'"))
  t.match(refused('--only'), told('.*--only.*'))
  t.match(refused('--fast=yes'), told('.*--fast.*'))
  t.match(refused('word'), told(".*'word'.*"))
  t.same(refused('--fast', '--only', 'a'), { status: 0, stderr: '' })
  t.match(
    said('wrong.mjs'),
    { status: 1, stderr: /ReferenceError[\s\S]*at .*wrong\.mjs/ },
    'a mistake of ours keeps its stack',
  )
})
