// How platforms that this machine is not are tried: what counts as the same outcome, which can be had, and what is told where a tool is missing.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import t from 'tap'
import { emulators } from '../../scripts/lib/emulators.mjs'
import { foreignNodes } from '../../scripts/lib/foreign-node.mjs'
import { targets } from '../../scripts/lib/targets.mjs'
import { plan } from '../../scripts/test-platforms.mjs'
import { differences } from '../../scripts/try-platforms.mjs'

const scripts = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'scripts')

t.test('the outcome of another platform: losses within half a bf16 step, bytes and resumed bits equal', async (t) => {
  const ours = { losses: [4, 3, 2], resumes: true, heldOut: 2.5, bytesUp: 1000 }
  t.same(differences(ours, ours), [])
  t.same(differences({ ...ours, losses: [4, 3, 2 * (1 + 0.9 / 256)], heldOut: 2.5 * (1 - 0.9 / 256) }, ours), [])
  t.match(differences({ ...ours, losses: [4, 3, 2 * (1 + 1.1 / 256)] }, ours), [/the loss of step 3 is .*, and 2 on/])
  t.match(differences({ ...ours, losses: [4 * (1 - 1.1 / 256), 3, 2] }, ours), [/the loss of step 1/])
  t.match(differences({ ...ours, losses: [4, Number.NaN, 2] }, ours), [/the loss of step 2 is NaN/])
  t.match(differences({ ...ours, losses: [4, 3] }, ours), [/2 steps were trained/, /step 3 is undefined/])
  t.match(differences({ ...ours, losses: [4, 3, 2, 1] }, ours), [/4 steps were trained/])
  t.match(differences({ ...ours, heldOut: 2.6 }, ours), [/the loss after a round is 2\.6, and 2\.5 on/])
  t.match(differences({ ...ours, resumes: false }, ours), [/resumed ends in other bytes/])
  t.match(differences({ ...ours, bytesUp: 1001 }, ours), [/sent 1001 bytes, and 1000 on/])
})

t.test('only published targets are tried, and all but macOS’s and this machine’s are', async (t) => {
  const tried = Object.keys(foreignNodes)
  const rest = targets.map(({ name }) => name).filter((name) => !tried.includes(name))
  t.same(rest, ['linux-x64-glibc', 'darwin-arm64', 'darwin-x64'])
  t.equal(tried.length + rest.length, targets.length)
  for (const name of Object.keys(emulators)) t.ok(tried.includes(name), name)
})

t.test(
  'native programs elsewhere: kernels as each processor, the others as the weakest, all as each when asked',
  async (t) => {
    const processors = [
      { name: 'weak', level: 'neon' },
      { name: 'strong', level: 'neonbf16' },
    ]
    const programs = ['backend_attention', 'kernels_gemm', 'tokenizer_text', 'model_pass', 'model_golden'].map(
      (name) => {
        return { name: `test_${name}` }
      },
    )
    const told = (each: boolean) =>
      plan(programs, processors, each).map(({ program, cpu }) => `${program.name} ${cpu.name}`)
    t.same(told(false), [
      'test_backend_attention strong',
      'test_kernels_gemm weak',
      'test_kernels_gemm strong',
      'test_tokenizer_text weak',
      'test_model_golden weak',
      'test_model_golden strong',
    ])
    t.equal(told(true).length, 10)
    t.equal(told(true)[7], 'test_model_pass strong')
  },
)

t.test('a tool that is missing is named with the package that brings it', async (t) => {
  const empty = t.testdir({})
  const said = (needs: object) => {
    const program = `
      import { needPrograms } from '${pathToFileURL(join(scripts, 'lib', 'emulators.mjs'))}'
      needPrograms(${JSON.stringify(needs)})`
    const words = ['--input-type=module', '--eval', program]
    const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8', env: { PATH: empty } })
    return { status, stderr }
  }
  t.match(said({ 'qemu-nowhere': 'qemu-user-static', [join(empty, 'libc.so')]: 'libc-a libc-b' }), {
    status: 1,
    stderr:
      /E_TOOL: qemu-user-static, libc-a, libc-b: not there\. Get it with: sudo apt-get install -y qemu-user-static/,
  })
  t.same(said({ [empty]: 'nothing' }), { status: 0, stderr: '' })
})
