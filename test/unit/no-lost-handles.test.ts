/** Test processes fail when the garbage collector closes a file for them. */
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import t from 'tap'

const guard = './test/support/no-lost-handles.mjs'

/** Opens a file, and lets go of it, closed or not; then the garbage collector comes. */
const program = (closes: boolean) => `
  import { open } from 'node:fs/promises'
  const let_go = async () => { const file = await open('${resolve('package.json')}'); ${closes ? 'await file.close()' : ''} }
  await let_go()
  for (let turn = 0; turn < 20; turn++) { gc(); await new Promise((done) => setImmediate(done)) }
`
const run = (closes: boolean, ...words: string[]) =>
  spawnSync(process.execPath, ['--expose-gc', ...words, '--input-type=module', '-e', program(closes)], {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  })

t.match(run(true, `--import=${guard}`), { status: 0, stderr: '' })
t.match(run(false, `--import=${guard}`), { status: 1, stderr: /somebody has opened a file and not closed it/ })
t.match(run(false), { status: 0, stderr: /Closing file descriptor/ }, 'canary: without it only a warning')
t.match(readFileSync(resolve('.taprc'), 'utf8'), `--import=${guard}`, 'every test process has it')
