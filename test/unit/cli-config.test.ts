import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import { type Command, readConfig, section } from '../../src/cli/command.js'
import { UsageError } from '../../src/cli/usage.js'

const command: Command = {
  name: 'x',
  flags: {},
  sections: async () => ({ model: z.strictObject({}), adapter: z.strictObject({}) }),
  ignoredSections: ['split'],
  run: async () => ({}),
}

t.test('config files', async (t) => {
  const folder = t.testdir({
    'good.json': '{"model":{"path":"a"},"split":{}}',
    'typo.json': '{"modle":{}}',
    'torn.json': '{"model":',
    'list.json': '[]',
  })
  t.same(await readConfig(command, {}), {})
  t.match(await readConfig(command, { config: join(folder, 'good.json') }), { model: { path: 'a' } })
  for (const [file, message] of [
    ['typo.json', /unknown section "modle"; did you mean "model"\?; fedlora x knows model, adapter, split/],
    ['torn.json', /is not JSON/],
    ['list.json', /holds an array/],
    ['missing.json', /does not exist/],
  ] as const) {
    await t.rejects(readConfig(command, { config: join(folder, file) }), { code: 'E_CONFIG', message }, file)
  }
  writeFileSync(join(folder, 'typo.json'), '{"model":{}}')
  t.ok(
    await readConfig(command, { config: join(folder, 'typo.json') }),
    'canary: the same file without the typo passes',
  )
})

t.test('flags win over the file, and mistakes are usage errors', async (t) => {
  const schema = z.strictObject({ path: z.string().optional(), threads: z.int().default(1) })
  const config = { model: { path: 'file', threads: 3 } }
  t.same(section(schema, 'model', config, { path: 'flag' }), { path: 'flag', threads: 3 })
  t.same(section(schema, 'model', config, { path: undefined }), { path: 'file', threads: 3 })
  t.same(section(schema, 'model', {}), { threads: 1 })
  const wrong = { model: { thread: 3 } }
  t.throws(() => section(schema, 'model', wrong), { code: 'E_CONFIG', message: /unknown key "thread"/ })
  try {
    section(schema, 'model', { model: 7 })
    t.fail('a number is no section')
  } catch (error) {
    t.ok(error instanceof UsageError)
  }
})
