/** TensorBoard's files, byte for byte as TensorBoard writes them (test/golden/make_tensorboard.py). */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { crc32c } from '../../src/files/crc32c.js'
import type { TrainEvent } from '../../src/training/events.js'
import { restartRecord, scalarsOf, scalarsRecord, TensorBoard, versionRecord } from '../../src/training/tensorboard.js'

const golden = JSON.parse(readFileSync(new URL('../golden/tensorboard.json', import.meta.url), 'utf8'))
const { seconds } = golden

t.test('CRC-32C', async (t) => {
  // RFC 3720, B.4
  t.equal(crc32c(Buffer.from('123456789')), 0xe3069283)
  t.equal(crc32c(Buffer.alloc(32)), 0x8a9136aa)
  t.equal(crc32c(Buffer.alloc(32, 255)), 0x62a8ab43)
})

t.test('records', async (t) => {
  t.equal(versionRecord(seconds).toString('hex'), golden.version)
  t.equal(restartRecord(seconds, golden.restart.step).toString('hex'), golden.restart.record)
  const scalars = { 'train/loss': 2.0385, 'train/learning_rate': 2e-4, 'eval/loss': Number.NaN }
  t.equal(scalarsRecord(seconds, golden.scalars.step, scalars).toString('hex'), golden.scalars.record)
  const other = scalarsRecord(seconds, golden.scalars.step + 1, scalars).toString('hex')
  t.not(other, golden.scalars.record, 'canary: another step is other bytes')
})

t.test('which events have scalars', async (t) => {
  const step = {
    step: 3,
    totalSteps: 4,
    epoch: 0.75,
    loss: 1,
    learningRate: 2,
    gradNorm: 3,
    tokens: 4,
    tokensPerSecond: 5,
  }
  t.same(scalarsOf({ type: 'step', ...step }), {
    'train/loss': 1,
    'train/learning_rate': 2,
    'train/grad_norm': 3,
    'train/tokens_per_second': 5,
    'train/epoch': 0.75,
  })
  t.same(scalarsOf({ type: 'evaluation', step: 3, loss: 1, perplexity: 2, tokenAccuracy: 0.5, tokens: 9 }), {
    'eval/loss': 1,
    'eval/perplexity': 2,
    'eval/token_accuracy': 0.5,
  })
  t.same(scalarsOf({ type: 'checkpoint', step: 3, path: 'x' }), {})
})

t.test('a file is named after its second, begins with the version, and says from where it goes on', async (t) => {
  const { now } = Date
  Date.now = () => seconds * 1000
  t.teardown(() => {
    Date.now = now
  })
  const step = {
    type: 'step',
    step: 3,
    loss: 1,
    learningRate: 2,
    gradNorm: 3,
    tokensPerSecond: 5,
    epoch: 0.75,
  } as TrainEvent
  for (const done of [0, 2]) {
    const folder = join(t.testdir(), `${done}`)
    const board = await TensorBoard.open(folder, done)
    await board.add(step)
    await board.add({ type: 'checkpoint', step: 3, path: 'x' } as TrainEvent)
    await board.close()
    t.same(readdirSync(folder), [`events.out.tfevents.${seconds.toFixed(3).replace('.', '')}.fedlora`])
    const expected = [
      versionRecord(seconds),
      ...(done > 0 ? [restartRecord(seconds, 3)] : []),
      scalarsRecord(seconds, 3, scalarsOf(step)),
    ]
    t.ok(readFileSync(join(folder, readdirSync(folder)[0]!)).equals(Buffer.concat(expected)))
  }
})
