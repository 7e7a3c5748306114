/** Config files and flags of their fields: JSON and YAML, places of mistakes, types, precedence, schemas for editors. */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readFlags } from '../../src/cli/arguments.js'
import { type Command, checkConfig, configFlag, readConfig, section } from '../../src/cli/command.js'
import { train } from '../../src/cli/commands/train.js'
import { readConfigFile } from '../../src/cli/config-file.js'
import { configSchema } from '../../src/cli/config-schema.js'
import { dataSchema, modelSections, trainSchema } from '../../src/cli/sections.js'
import { UsageError } from '../../src/cli/usage.js'

const command: Command = { name: 'train', flags: configFlag, sections: modelSections, run: async () => ({}) }

/** The config of a command line. */
async function configOf(...words: string[]) {
  return await readConfig(command, readFlags('train', words, configFlag))
}

async function refused(t: Test, message: RegExp, words: string[]) {
  try {
    await checkConfig(command, await configOf(...words))
    t.fail(`${words.join(' ')}: it was taken`)
  } catch (error) {
    t.match((error as Error).message, message)
    t.ok(error instanceof UsageError, `a usage error: ${message}`)
  }
}

const yaml = `# what is tried
model: { path: here }
train:
  epochs: 2   # two are enough
  learningRate: 2e-4
  schedule:
    name: cosine

  batchSize: 4
data:
  path: [a.jsonl, "b.jsonl"]
  fields: &names { instruction: question }
evaluate:
  path: c.jsonl
  fields: *names
`

t.test('YAML and JSON hold the same', async (t) => {
  const folder = t.testdir({
    'a.yaml': yaml,
    'a.json': JSON.stringify({
      $schema: './schema.json',
      model: { path: 'here' },
      train: { epochs: 2, learningRate: 2e-4, schedule: { name: 'cosine' }, batchSize: 4 },
      data: { path: ['a.jsonl', 'b.jsonl'], fields: { instruction: 'question' } },
      evaluate: { path: 'c.jsonl', fields: { instruction: 'question' } },
    }),
  })
  const [fromYaml, fromJson] = await Promise.all(
    ['a.yaml', 'a.json'].map((name) => configOf('--config', join(folder, name))),
  )
  t.same(fromYaml, fromJson)
  t.equal(section(trainSchema, 'train', fromYaml!).learningRate, 2e-4, 'a number')
})

t.test('a mistake is named with file, line, column and key', async (t) => {
  const folder = t.testdir({
    'type.yaml': yaml.replace('batchSize: 4', 'batchSize: four'),
    'deep.yaml': yaml.replace('name: cosine', 'nam: cosine'),
    'key.yaml': yaml.replace('learningRate', 'lerningRate'),
    'section.yaml': yaml.replace('evaluate:', 'evalute:'),
    'item.yaml': yaml.replace('a.jsonl', '7'),
    'no.yaml': yaml.replace('epochs: 2', 'epochs: no'),
    'torn.yaml': 'train:\n  epochs: [1\n',
    'twice.yaml': 'train:\n  epochs: 1\n  epochs: 2\n',
    'twice.json': '{\n"train": {"epochs": 1, "epochs": 2}}',
    'torn.json': '{\n  "train": {,}\n}',
    'tag.yaml': 'train:\n  epochs: !two 2\n',
    'bomb.yaml': `a: &a [1]\n${Array.from({ length: 9 }, (_, i) => `${'bcdefghij'[i]}: &${'bcdefghij'[i]} [${Array(9).fill(`*${'abcdefghi'[i]}`)}]`).join('\n')}\n`,
    'empty.yaml': '# nothing\n',
    'list.yaml': '- train\n',
    'wrong.json': '{\n  "train": {\n    "batchSize": 0\n  }\n}',
    'folder.yaml': {},
  })
  const cases: [string, RegExp][] = [
    ['type.yaml', /type\.yaml:9:3: train: batchSize: got "four", expected/],
    ['deep.yaml', /deep\.yaml:\d+:\d+: train: .*"schedule\.nam".*did you mean "name"/],
    ['key.yaml', /key\.yaml:5:3: train: unknown key "lerningRate" \(did you mean "learningRate"\?\)/],
    ['section.yaml', /section\.yaml:13:1: unknown section "evalute"; did you mean "evaluate"/],
    ['item.yaml', /item\.yaml:\d+:\d+: data: path/],
    ['no.yaml', /no\.yaml:4:3: train: epochs: got "no", expected number/],
    ['torn.yaml', /torn\.yaml:\d+:\d+: .*is not YAML/],
    ['twice.yaml', /twice\.yaml:3:3: .*unique/],
    ['twice.json', /twice\.json:2:24: .*unique/],
    ['torn.json', /torn\.json.*is not JSON/],
    ['tag.yaml', /tag\.yaml:2:11: .*!two/],
    ['bomb.yaml', /bomb\.yaml/],
    ['empty.yaml', /holds null, expected an object/],
    ['list.yaml', /holds an array/],
    ['wrong.json', /wrong\.json:3:5: train: batchSize: got 0, /],
    ['folder.yaml', /folder\.yaml' cannot be read/],
    ['missing.yaml', /does not exist/],
  ]
  for (const [file, message] of cases) await refused(t, message, ['--config', join(folder, file)])
  await t.resolves(readConfigFile(join(folder, 'type.yaml')), 'canary: the YAML itself is right')
})

t.test('every field is a flag, typed by its schema', async (t) => {
  const config = await configOf(
    ...['--train.epochs', '2', '--train.packing', '--train.shuffle=false', '--train.schedule', 'cosine'],
    ...['--train.memoryBudget', '3 GiB', '--adapter.targetModules', '["q_proj","v_proj"]', '--data.path=12'],
    ...['--set', 'evaluate.path=a=b.jsonl', '--set', 'data.fields.instruction=question', '--model.path', '-'],
  )
  t.same(config, {
    train: { epochs: 2, packing: true, shuffle: false, schedule: 'cosine', memoryBudget: '3 GiB' },
    adapter: { targetModules: ['q_proj', 'v_proj'] },
    data: { path: '12', fields: { instruction: 'question' } },
    evaluate: { path: 'a=b.jsonl' },
    model: { path: '-' },
  })
  t.same((await configOf('--train.schedule.name', 'cosine', '--train.schedule.cycles', '2')).train, {
    schedule: { name: 'cosine', cycles: 2 },
  })
  t.same((await configOf('--set', 'train={"epochs":3}')).train, { epochs: 3 })
  await refused(t, /--train\.epochs: train: epochs: got "two", expected number/, ['--train.epochs', 'two'])
  await refused(t, /--train\.epoch: train: unknown key "epoch" \(did you mean "epochs"\?\)/, ['--train.epoch', '2'])
  await refused(t, /--trian\.epochs: unknown section "trian"; did you mean "train"/, ['--trian.epochs', '2'])
  await refused(t, /--train\.epochs is given twice/, ['--train.epochs', '2', '--set', 'train.epochs=3'])
  await refused(t, /--train\.epochs: .*got true, expected number/, ['--train.epochs'])
  for (const odd of ['train', '=2', 'train.=2', '.epochs=2', 'train.__proto__.x=1', 'train.epochs']) {
    await refused(t, /expected section\.field=value|--train/, ['--set', odd])
  }
  t.equal(({} as { x?: number }).x, undefined)
})

t.test('flags over file over defaults; one of two alternatives replaces the other', async (t) => {
  const folder = t.testdir({ 'a.yaml': yaml })
  const file = ['--config', join(folder, 'a.yaml')]
  const config = section(trainSchema, 'train', await configOf(...file, '--train.batchSize', '16'))
  t.match(config, { batchSize: 16, epochs: 2, gradientAccumulation: 1 })
  t.same((await configOf(...file, '--train.maxSteps', '7')).train, {
    maxSteps: 7,
    learningRate: 2e-4,
    schedule: { name: 'cosine' },
    batchSize: 4,
  })
  t.equal(section(dataSchema, 'data', await configOf(...file), { format: 'alpaca' }).format, 'alpaca')
})

t.test('the JSON Schema of a config file knows what the command knows', async (t) => {
  const schema = (await configSchema(train)) as { properties: Record<string, { properties: Record<string, object> }> }
  t.match(Object.keys(schema.properties), ['$schema', 'model', 'adapter', 'data', 'train', 'evaluate', 'split'])
  const { properties } = schema.properties.train!
  t.same(Object.keys(properties).sort(), Object.keys(trainSchema.shape).sort())
  t.match(properties.learningRate, {
    type: 'number',
    exclusiveMinimum: 0,
    default: 2e-4,
    description: 'peak learning rate',
  })
  const targets = schema.properties.adapter!.properties.targetModules as { anyOf: object[] }
  t.equal(targets.anyOf.length, 2, 'a regular expression cannot stand in JSON, and does not allow everything')
})
