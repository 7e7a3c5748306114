/** The first hour at the command line: refusals before any work, Ctrl-C at any moment, going on, pipes that close, no terminal. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { train } from '../../src/cli/commands/train.js'
import { called } from '../support/called.js'
import { fedlora, objects, shell, writeRows } from '../support/command.js'
import { goldenFolder } from '../support/golden-model.js'

const root = t.testdir()
const model = goldenFolder('llama')
const rows = writeRows(root, 'rows.jsonl', 24)
/** A model whose weights are gone: whoever begins to load it is told so, with exit code 1. */
const hollow = join(root, 'hollow')
cpSync(model, hollow, { recursive: true })
rmSync(join(hollow, 'model.safetensors'))

const inputs = ['--model', model, '--model.threads', '1', '--data', rows, '--format', 'tokens']
const recipe = ['--adapter.rank', '4', '--train.batchSize', '4', '--train.schedule', 'constant']

t.test('what is wrong is refused before the model is touched, with exit code 2', async (t) => {
  const used = join(root, 'used')
  mkdirSync(used)
  writeFileSync(join(used, 'events.ndjson'), '')
  const taken = join(root, 'taken')
  mkdirSync(join(taken, 'adapter'), { recursive: true })
  const file = join(root, 'config.yaml')
  writeFileSync(file, 'train:\n  epochs: two\n')
  const base = ['train', '--model', hollow, '--data', rows, '--format', 'tokens']
  t.match(await fedlora(base), { code: 1, stderr: /^E_MISSING/ }, 'canary: it would fail when it is loaded')
  const cases: [string[], RegExp][] = [
    [['--output', used], /already holds a run; go on with it by fedlora train --resume/],
    [['--output', taken], /holds 'adapter', which a run would overwrite/],
    [['--config', file], /config\.yaml:2:3: train: epochs: got "two", expected number/],
    [['--train.epochs', '1', '--train.maxSteps', '2'], /epochs and maxSteps exclude each other/],
    [['--train.evaluate', '1'], /unknown key "evaluate"/],
    [['--adapter.rank', '0'], /rank: got 0/],
    [['--model.doubleQuantization'], /doubleQuantization needs/],
    [['--validation', '0.2', '--evaluate.best', 'loss'], /evaluate\.best needs outputDir/],
    [['--validation', '1.5'], /validation: got 1\.5/],
    [['--validation', '0.001'], /leaves none to evaluate on/],
    [['--evaluate.every', '3'], /evaluate: needs path, or data\.validation/],
    [['--tensorboard'], /tensorboard: true needs outputDir/],
    [['--train.schedule', '{"name":"polynomial","endLearningRate":1}'], /endLearningRate: got 1, expected less/],
    [['--resume', join(root, 'nowhere')], /nowhere' does not exist/],
    [['--resume', join(used, 'checkpoints', 'step-7')], /step-7' does not exist/],
    [['--data.fields', '{"wrong":"x"}'], /wrong/],
  ]
  for (const [number, [words, message]] of cases.entries()) {
    const all = [...base, ...words]
    const ended = number === 0 ? await fedlora(all) : await called(t, all, async () => train)
    t.match(ended, { code: 2, stderr: message }, words.join(' '))
  }
})

t.test('Ctrl-C tells where the run stands and how to go on; the folder knows the rest', async (t) => {
  const run = join(root, 'stopped')
  let sent = false
  const stopped = await fedlora(
    ['train', ...inputs, ...recipe, '--train.maxSteps', '100000', '--output', 'stopped', '--json'],
    {
      cwd: root,
      onOutput(text, child) {
        if (!sent && text.includes('"step":3,')) sent = child.kill('SIGINT')
      },
    },
  )
  t.equal(stopped.code, 130)
  t.match(
    stopped.stderr,
    /stopped after step \d+ · adapter: stopped\/adapter\ngo on with: fedlora train --resume stopped\n/,
  )
  const last = objects(stopped.stdout).at(-1)!
  t.match(last, { type: 'stopped', outputDir: run, resume: 'fedlora train --resume stopped' })
  const step = last.step as number
  t.ok(existsSync(join(run, 'adapter', 'adapter_model.safetensors')))
  t.ok(existsSync(join(run, 'checkpoints', `step-${step}`)))

  const words = ['train', '--resume', 'stopped', '--train.maxSteps', String(step + 2), '--json']
  const resumed = await fedlora(words, { cwd: root })
  t.equal(resumed.code, 0, resumed.stderr)
  const steps = objects(resumed.stdout).filter(({ type }) => type === 'step')
  t.same(
    steps.map((event) => [event.step, event.totalSteps]),
    [
      [step + 1, step + 2],
      [step + 2, step + 2],
    ],
  )
  const elsewhere = await fedlora(['train', '--resume', run, '--json'], { cwd: '/' })
  t.match(elsewhere, { code: 0 }, elsewhere.stderr)
  t.match(
    objects(elsewhere.stdout).at(-1),
    { type: 'result', steps: step + 2 },
    'from anywhere; its new length is known',
  )
  const other = await fedlora(['train', '--resume', run, '--train.learningRate', '1'])
  t.match(other, { code: 1, stderr: /E_CHECKPOINT.*learningRate/ })
  t.match(await fedlora(['simulate', '--resume', run]), { code: 2, stderr: /is a run of fedlora train/ })
  const again = await fedlora(['train', '--config', join(run, 'recipe.json'), '--output', join(root, 'again')])
  t.match(again, { code: 0 }, 'the recipe is a config file')
})

t.test('signals at random moments: nothing, or a run to go on with', async (t) => {
  for (const [i, milliseconds] of [60, 180, 330, 420, 520, 650, 800, 1000].entries()) {
    const run = join(root, `random-${i}`)
    const name = i % 2 === 0 ? 'SIGINT' : 'SIGTERM'
    const words = [...inputs, ...recipe, '--train.maxSteps', '100000', '--output', run]
    const line = `$F train ${words.join(' ')} & sleep ${milliseconds / 1000}; kill -${name} $!; wait $!`
    const ended = await shell(line, root)
    // Before Node has begun to listen, the signal ends it as it ends any process.
    t.ok([130, 143].includes(ended.code!), `${milliseconds} ms: ${ended.code} ${ended.stderr}`)
    t.notMatch(ended.stderr, /E_INTERNAL|\n {4}at /)
    const left = existsSync(run) ? readdirSync(run) : []
    t.notOk(left.some((entry) => entry.endsWith('.tmp')))
    if (!left.includes('checkpoints')) continue
    const { stderr, code } = await fedlora(
      ['train', '--resume', run, '--train.maxSteps', '100001', '--train.checkpointEvery', '1'],
      {
        onOutput: (_, child) => child.kill('SIGINT'),
      },
    )
    t.ok(code === 130, stderr)
  }
})

t.test('a part kept back, the best adapter, early stopping', async (t) => {
  const run = join(root, 'best')
  const words = ['--validation', '0.25', '--evaluate.every', '1', '--evaluate.best', 'loss', '--evaluate.patience', '2']
  const flags = ['--train.learningRate', '0.5', '--train.maxSteps', '50', '--output', run, '--tensorboard']
  const ended = await fedlora(['train', ...inputs, ...recipe, ...words, ...flags])
  t.equal(ended.code, 0, ended.stderr)
  t.match(ended.stdout, /^18 rows/, 'of 24')
  t.match(ended.stdout, /step 1: held-out loss [\d.]+, the best so far\n/)
  t.match(ended.stdout, /\d+ steps of 50, stopped early.*\nbest: step \d+ · held-out loss [\d.]+ · .*best\n/)
  t.ok(existsSync(join(run, 'best', 'adapter_model.safetensors')))
  t.ok(readdirSync(join(run, 'tensorboard'))[0]!.includes('tfevents'))
  const held = await fedlora(['eval', '--config', join(run, 'recipe.json'), '--adapter', join(run, 'best'), '--json'])
  const best = /best: step \d+ · held-out loss ([\d.]+)/.exec(ended.stdout)![1]
  const judged = objects(held.stdout).at(-1)!
  t.equal((judged.loss as number).toFixed(4), best, 'eval sees the rows that were kept back')
  t.equal(judged.rows, 6)
})

t.test('a reader that goes away ends a run after a checkpoint, and a short command quietly', async (t) => {
  const run = join(root, 'piped')
  const words = [...inputs, ...recipe, '--train.maxSteps', '100000', '--output', run, '--json'].join(' ')
  const ended = await shell(`$F train ${words} | head -1`, root)
  t.equal(ended.code, 141)
  t.notMatch(ended.stderr, /EPIPE|\n {4}at /)
  t.match(ended.stderr, /go on with: fedlora train --resume piped\n/)
  t.ok(existsSync(join(run, 'adapter', 'adapter_model.safetensors')))
  const both = words.replace('--json', '').replace(run, join(root, 'both'))
  t.match(
    await shell(`FEDLORA_PROGRESS_SECONDS=0.2 $F train ${both} 2>&1 | head -1`, root),
    { code: 141 },
    'stderr too',
  )
  t.ok(existsSync(join(root, 'both', 'adapter', 'adapter_model.safetensors')))
  t.match(await shell('$F train --help | head -1', root), { code: 0, stderr: '' })
  t.match(await shell('$F doctor 2>&1 | true', root), { code: 0, stderr: '' })
  const full = await shell('$F train --help > /dev/full', root)
  t.equal(full.code, 1)
  t.match(full.stderr, /^E_IO: stdout: .*ENOSPC/)
  t.notMatch(full.stderr, /\n {4}at /)
})

t.test('without a terminal there is a line now and then, and an event beside NDJSON', async (t) => {
  const words = ['train', ...inputs, ...recipe]
  const environment = { FEDLORA_PROGRESS_SECONDS: '0.05' }
  const ended = await fedlora([...words, '--train.maxSteps', '400', '--json'], { environment })
  t.equal(ended.code, 0)
  t.match(ended.stderr, /step \d+\/400 · loss [\d.]+ · .*tokens\/s · \S+ so far · \S+ left\n/)
  const told = objects(ended.stdout).filter(({ type, phase }) => type === 'progress' && phase === 'step')
  t.match(told[0], { done: Number, total: 400, seconds: Number })
  const quiet = await fedlora([...words, '--train.maxSteps', '3'])
  t.match(quiet, { code: 0, stderr: /^no --output[^\n]*\n$/ }, 'canary: a short command says nothing of it')
})

t.test('places that cannot be written are told at once', async (t) => {
  for (const place of ['/proc/nothing/here', '/dev/null/x', join(rows, 'below'), rows]) {
    const ended = await fedlora(['train', '--model', hollow, '--data', rows, '--format', 'tokens', '--output', place])
    t.match(ended, { code: 1, stderr: /^E_IO: cannot (make|look at) / }, place)
  }
  t.ok(readFileSync(rows).length > 0)
})
