/** Every function, method and accessor of the addon called with values drawn by a seed: a coded error or a result, never a crash. */
import { rmSync } from 'node:fs'
import t from 'tap'
import { runProgram } from '../support/programs.js'
import { temporaryFolder } from '../support/train.js'

for (const seed of [1, 2, 3]) {
  t.test(`seed ${seed}`, async (t) => {
    const folder = temporaryFolder('fuzz')
    const { code, signal, hung, stdout, stderr } = await runProgram('seam/fuzz.mjs', [`${seed}`, '12000'], {
      cwd: folder,
    })
    rmSync(folder, { recursive: true })
    t.same({ code, signal, hung }, { code: 0, signal: null, hung: false }, stderr)
    const counts = JSON.parse(stdout)
    t.same(counts.wrong, [], 'every refusal has a code or is JavaScript’s own')
    t.ok(counts.alive, 'the objects still work')
    t.ok(counts.left, 'the checkpoint is as it was')
    // It tried: every target several times, and all three outcomes were common.
    t.ok(counts.targets > 40 && counts.calls > 100 * counts.targets)
    for (const outcome of ['returned', 'coded', 'javascript'])
      t.ok(counts[outcome] > 500, `${outcome}: ${counts[outcome]}`)
  })
}

t.test('canary: an error without a code is reported', async (t) => {
  const folder = temporaryFolder('fuzz')
  const { code, stdout } = await runProgram('seam/fuzz.mjs', ['1', '500'], { cwd: folder, env: { FUZZ_CANARY: '1' } })
  rmSync(folder, { recursive: true })
  t.equal(code, 0)
  t.match(JSON.parse(stdout).wrong[0], /^canary: undefined Error: no code/)
})
