/** Our own options and rows: every option object refuses an unknown key and names the closest one; rows name file, line and field. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAggregator } from '../../src/aggregation/aggregator.js'
import { encodeUpdate } from '../../src/compression/codec.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { evaluate } from '../../src/evaluation/evaluate.js'
import { simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { quantizeModel } from '../../src/model/quantize.js'
import { estimate } from '../../src/training/estimate.js'
import { train } from '../../src/training/train.js'
import { goldenFolder } from '../support/golden-model.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'

// biome-ignore lint/suspicious/noExplicitAny: wrong on purpose
type Wrong = any

t.test('unknown keys and wrong types in every option object', async (t) => {
  using model = await loadModel(goldenFolder('llama'), { threads: 1 })
  using adapter = model.createAdapter({ rank: 2 })
  const before = bytesOf(adapter.vector())
  const data = await tokenRows(6, 263)
  const folder = goldenFolder('llama')
  const calls: [string, (options: Wrong) => unknown, [object, RegExp][]][] = [
    [
      'loadModel',
      (options) => loadModel(folder, options),
      [
        [{ quantisation: 'nf4' }, /unknown key "quantisation" \(did you mean "quantization"\?\)/],
        [{ compute: 'f16' }, /compute: got "f16"/],
        [{ threads: 1e9 }, /threads/],
        [{ threads: 1.5 }, /threads/],
        [{ onProgress: 3 }, /onProgress/],
      ],
    ],
    [
      'createAdapter',
      (options) => model.createAdapter(options),
      [
        [{ rnak: 4 }, /unknown key "rnak" \(did you mean "rank"\?\)/],
        [{ rank: 0 }, /rank: got 0/],
        [{ rank: 1e9 }, /rank/],
        [{ alpha: -1 }, /alpha/],
        [{ alpha: Number.NaN }, /alpha/],
        [{ dropout: 1 }, /dropout/],
        [{ method: 'dora' }, /method/],
        [{ seed: -1 }, /seed/],
        [{ targetModules: [] }, /targetModules/],
        [{ rankPattern: { q_proj: 0 } }, /rankPattern\.q_proj/],
        [{ rankPattern: { '(': 2 } }, /not a regular expression/],
        [{ targetModules: '(' }, /not a regular expression/],
      ],
    ],
    [
      'train',
      (options) => train(adapter, data, options),
      [
        [{ learningrate: 1 }, /did you mean "learningRate"/],
        [{ learningRate: -1 }, /learningRate/],
        [{ learningRate: Number.POSITIVE_INFINITY }, /learningRate/],
        [{ batchSize: 0 }, /batchSize/],
        [{ epochs: 0 }, /epochs/],
        [{ betas: [0.9] }, /betas/],
        [{ betas: [0.9, 1] }, /betas/],
        [{ optimizer: 'lion' }, /optimizer/],
        [{ schedule: 'step' }, /schedule/],
        [{ schedule: { name: 'cosine', cycle: 2 } }, /cycle/],
        [{ memoryBudget: 'much' }, /memoryBudget/],
        [{ evaluate: { data: [], every: 1 } }, /evaluate\.data/],
        [{ signal: {} }, /signal/],
        [{ maxGradNorm: 'x' }, /maxGradNorm/],
      ],
    ],
    [
      'evaluate',
      (options) => evaluate(adapter, data, options),
      [
        [{ batchtokens: 3 }, /did you mean "batchTokens"/],
        [{ batchTokens: 0 }, /batchTokens/],
      ],
    ],
    [
      'logits',
      (options) => model.logits({ inputIds: [[1]] }, options),
      [
        [{ adaptor: adapter }, /did you mean "adapter"/],
        [{ adapter: {} }, /adapter/],
      ],
    ],
    [
      'generateTokens',
      (options) => model.generateTokens([1], options).next(),
      [
        [{ maxToken: 3 }, /did you mean "maxTokens"/],
        [{ temperature: -1 }, /temperature/],
        [{ topP: 0 }, /topP/],
        [{ topK: 1.5 }, /topK/],
      ],
    ],
    [
      'loadDataset',
      (options) => loadDataset([{ text: 'a' }], options),
      [
        [{ format: 'text', maxlength: 3 }, /did you mean "maxLength"/],
        [{ format: 'txt' }, /format/],
        [{}, /format/],
        [{ format: 'text', onBadRow: 'ignore' }, /onBadRow/],
        [{ format: 'text', fields: { txt: 'a' } }, /has no field "txt"/],
      ],
    ],
    [
      'quantizeModel',
      (options) => quantizeModel(folder, join(folder, 'never'), options),
      [
        [{ blocksize: 64 }, /did you mean "blockSize"/],
        [{ quantization: 'bf16' }, /quantization/],
        [{ quantization: 'int8', doubleQuantization: true }, /doubleQuantization/],
        [{ threads: 0 }, /threads/],
        [{ blockSize: 0 }, /blockSize/],
      ],
    ],
    [
      'estimate',
      (options) => estimate({ model: folder, ...options }),
      [
        [{ batchsize: 2 }, /did you mean "batchSize"/],
        [{ adapter: { rnak: 2 } }, /adapter\.rnak/],
        [{ batchSize: 0 }, /batchSize/],
        [{ maxLength: 0 }, /maxLength/],
        [{ concurrency: 0 }, /concurrency/],
        [{ threads: 0 }, /threads/],
      ],
    ],
    [
      'encodeUpdate',
      (options) => encodeUpdate(Float32Array.of(1), options),
      [
        [{ codec: 'topk', densty: 0.5 }, /did you mean "density"/],
        [{ codec: 'zip' }, /codec/],
        [{ codec: 'topk', density: 0 }, /density/],
        [{ codec: 'topk', bits: 3 }, /bits/],
        [{ codec: 'f32', residual: [0] }, /residual/],
      ],
    ],
    [
      'simulate',
      async (options) =>
        await simulate({ model, clients: [data], rounds: 1, local: { steps: 1, batchSize: 2 }, ...options }),
      [
        [{ cohrt: 1 }, /did you mean "cohort"/],
        [{ rounds: 0 }, /rounds/],
        [{ upload: { codec: 'zip' } }, /upload\.codec/],
        [{ aggregation: 'fedsum' }, /aggregation/],
        [{ algorithm: 'fedsum' }, /known are fedavg/],
        [{ local: { stepz: 3 } }, /local\.stepz|stepz/],
      ],
    ],
  ]
  for (const [name, call, tries] of calls) {
    for (const [options, message] of tries) {
      await t.rejects(
        async () => await call(options),
        { name: 'FedloraError', code: 'E_CONFIG', message },
        `${name} ${Object.keys(options)}`,
      )
    }
    await t.rejects(async () => await call('text'), { code: /E_/ }, `${name}: a text for options`)
  }
  t.ok(before.equals(bytesOf(adapter.vector())))
})

t.test('wrong arguments beside the options', async (t) => {
  using model = await loadModel(goldenFolder('llama'), { threads: 1 })
  using adapter = model.createAdapter({ rank: 2 })
  const refused = (call: () => unknown, code: string, message: RegExp) =>
    t.rejects(async () => await call(), { name: 'FedloraError', code, message }, String(call))
  for (const ids of [
    [],
    [[]],
    [[1], []],
    'abc',
    null,
    7,
    [['a']],
    [[1.5]],
    [[-1]],
    [[263]],
    [[Number.NaN]],
    [null],
  ] as Wrong[]) {
    await refused(() => model.logits({ inputIds: ids }), 'E_ARGUMENT', /inputIds/)
  }
  await refused(() => adapter.gradients({ inputIds: [[1, 2]], labels: [[1]] }), 'E_SHAPE', /labels\[0\]/)
  await refused(() => adapter.gradients({ inputIds: [[1, 2]], labels: [] as Wrong }), 'E_ARGUMENT', /labels/)
  await refused(() => adapter.gradients({ inputIds: [[1, 2]], labels: [[1, 263]] }), 'E_ARGUMENT', /labels\[0\]\[1\]/)
  await refused(() => adapter.gradients({ inputIds: [[1, 2]], labels: [[-100, -100]] }), 'E_ARGUMENT', /no token/)
  const long = Array(model.config.maxPositions + 1).fill(1)
  await refused(() => model.logits({ inputIds: [long] }), 'E_ARGUMENT', /positions/)
  await refused(() => model.generateTokens(long).next(), 'E_ARGUMENT', /positions/)
  await refused(() => adapter.setVector([1, 2] as Wrong), 'E_SHAPE', /expected a Float32Array/)
  await refused(() => adapter.setVector(new Float32Array(3)), 'E_SHAPE', /got 3 values/)
  await refused(() => adapter.setVector(new Float32Array(adapter.length).fill(Number.NaN)), 'E_NONFINITE', /lora_A/)
  await refused(() => adapter.load(new Map()), 'E_MISSING', /tensors are missing/)
  await refused(() => adapter.load({} as Wrong), 'E_ARGUMENT', /Map/)
  await refused(() => model.loadAdapter('/nowhere'), 'E_MISSING', /adapter_config\.json/)
  await refused(
    () => adapter.load(new Map(adapter.layout.map(({ name }) => [name, {} as Wrong]))),
    'E_ARGUMENT',
    /lora_A/,
  )
  for (const call of [
    () => model.logits(undefined as Wrong),
    () => adapter.gradients(null as Wrong),
    () => adapter.save('' as Wrong),
    () => adapter.save('a\0b'),
    () => adapter.merge(undefined as Wrong),
    () => quantizeModel(undefined as Wrong, 'x'),
    () => quantizeModel(goldenFolder('llama'), {} as Wrong),
    () => model.loadAdapter(null as Wrong),
    () => simulate({ model, clients: [], rounds: 1, local: { steps: 1, batchSize: 2 } }),
  ]) {
    await refused(call, 'E_ARGUMENT', /got .*expected/)
  }
  await refused(() => loadModel(7 as Wrong), 'E_ARGUMENT', /folder/)
  await refused(() => train(adapter, [] as Wrong), 'E_ARGUMENT', /data/)
  await refused(() => evaluate(adapter, [] as Wrong), 'E_ARGUMENT', /data/)
  for (const length of [0, -1, 1.5, Number.NaN, '3', 2 ** 60] as Wrong[]) {
    await refused(() => createAggregator(length), 'E_ARGUMENT', /createAggregator/)
  }
})

t.test('bad rows', async (t) => {
  const folder = temporaryFolder('rows')
  const file = (name: string, text: string | Buffer) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const good = '{"input_ids": [1, 2], "labels": [1, 2]}'
  const bad: [string, string | Buffer, RegExp][] = [
    ['a.jsonl', `${good}\n{"input_ids": [1,\n`, /a\.jsonl.*line 2.*JSON/],
    ['b.jsonl', `${good}\n\n[1, 2]\n`, /b\.jsonl.*line 3.*expected an object/],
    ['c.jsonl', `${good}\n{"input_ids": "1 2"}`, /c\.jsonl.*line 2.*input_ids/],
    ['d.jsonl', `${good}\n{"input_ids": [1, 2], "labels": [1]}`, /d\.jsonl.*line 2.*labels/],
    ['e.jsonl', `${good}\n{"input_ids": [1, -2]}`, /e\.jsonl.*line 2.*input_ids/],
    ['f.jsonl', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), /f\.jsonl.*line 1.*UTF-8/],
    ['g.jsonl', '', /g\.jsonl.*holds no row/],
    ['h.json', '{"rows": []}', /h\.json.*expected a JSON array/],
    ['i.json', `[${good}, 7]`, /i\.json.*row 2.*expected an object/],
    ['j.csv', 'input_ids,labels\n1,2,3\n', /j\.csv.*line 2.*2 fields/],
  ]
  for (const [name, text, message] of bad) {
    const path = file(name, text)
    await t.rejects(loadDataset(path, { format: 'tokens' }), { code: 'E_DATA', message, details: { file: path } }, name)
  }
  await t.rejects(loadDataset(join(folder, 'absent.jsonl'), { format: 'tokens' }), { code: 'E_MISSING' })
  const unknown = file('rows.bin', 'PK')
  await t.rejects(loadDataset(unknown, { format: 'tokens' }), {
    code: 'E_ARGUMENT',
    message: /rows\.bin: unknown kind of file/,
  })
  await t.rejects(loadDataset(7 as Wrong, { format: 'tokens' }), {
    code: 'E_ARGUMENT',
    message: /a path, a list of paths or an iterable/,
  })
  const mixed = file('mixed.jsonl', `${good}\n{"input_ids": 3}\n${good}\nnonsense\n`)
  const data = await loadDataset(mixed, { format: 'tokens', onBadRow: 'skip' })
  t.equal(data.length, 2, 'canary: skipped and counted')
  t.equal(data.counts.skipped, 2)
  using model = await loadModel(goldenFolder('llama'), { threads: 1 })
  using adapter = model.createAdapter({ rank: 2 })
  const foreign = await loadDataset([{ input_ids: [1, 100_000], labels: [1, 2] }], { format: 'tokens' })
  await t.rejects(train(adapter, foreign, { maxSteps: 1 }), {
    code: 'E_ARGUMENT',
    message: /row 1: token id 100000.*vocabulary has 263/,
  })
  await t.rejects(evaluate(model, foreign), { code: 'E_ARGUMENT', message: /100000/ })
  rmSync(folder, { recursive: true })
})
