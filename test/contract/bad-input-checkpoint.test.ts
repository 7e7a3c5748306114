/** Model folders whose weights are broken, one place at a time: the code, and a message that says what, where, got and expected. */
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { loadModel } from '../../src/model/load.js'
import { BrokenFolder, type Header } from '../support/broken-folder.js'

const q = 'model.layers.0.self_attn.q_proj.weight'
const norm = 'model.norm.weight'

async function refused(t: Test, folder: BrokenFolder, code: string, parts: RegExp[], what: string) {
  try {
    using model = await loadModel(folder.path)
    t.fail(`${what}: it was loaded, ${model.linears.length} layers`)
  } catch (error) {
    t.match(error, { name: 'FedloraError', code }, what)
    for (const part of parts) t.match((error as Error).message, part, what)
  }
}

t.test('the header of the file', async (t) => {
  const folder = new BrokenFolder()
  const good = folder.bytes()
  const file = folder.file('model.safetensors')
  const data = Buffer.alloc(8)
  const header = (text: string, claimed?: bigint) => BrokenFolder.assemble(text, data, claimed)
  const deep = `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`
  const entry = '{"dtype":"F32","shape":[2],"data_offsets":[0,8]}'
  const cases: [string, Buffer, string, RegExp][] = [
    ['empty', Buffer.alloc(0), 'E_FORMAT', /has 0 bytes/],
    ['seven bytes', good.subarray(0, 7), 'E_FORMAT', /has 7 bytes/],
    ['header cut off', good.subarray(0, 100), 'E_FORMAT', /claims a header of \d+ bytes, but only 92 follow/],
    ['data cut off', good.subarray(0, good.length - 1), 'E_FORMAT', /cut off|needs?/],
    ['bytes after the end', Buffer.concat([good, data]), 'E_FORMAT', /holds \d+ bytes of data, but its tensors need/],
    ['a header of 2^63 bytes', header('{}', 1n << 63n), 'E_FORMAT', /claims a header of 9223372036854775808 bytes/],
    ['a header of 0 bytes', header('{}', 0n), 'E_FORMAT', /does not begin with '{'/],
    ['another format', Buffer.from('PK\x03\x04 this is a zip file, a pickle'), 'E_FORMAT', /not a safetensors file/],
    ['not JSON', header('{"a": }'), 'E_FORMAT', /header of/],
    ['an array', header('[1, 2]'), 'E_FORMAT', /does not begin with '{'/],
    ['too deep', header(deep), 'E_FORMAT', /nesting/],
    ['the same name twice', header(`{"a":${entry},"a":${entry}}`), 'E_FORMAT', /"a"/],
    ['no object for a tensor', header('{"a":7}'), 'E_FORMAT', /tensor "a"/],
    ['no dtype', header('{"a":{"shape":[2],"data_offsets":[0,8]}}'), 'E_FORMAT', /no "dtype"/],
    ['no shape', header('{"a":{"dtype":"F32","data_offsets":[0,8]}}'), 'E_FORMAT', /no "shape"/],
    ['no offsets', header('{"a":{"dtype":"F32","shape":[2]}}'), 'E_FORMAT', /no "data_offsets"/],
    [
      'dtype a number',
      header('{"a":{"dtype":32,"shape":[2],"data_offsets":[0,8]}}'),
      'E_FORMAT',
      /dtype of tensor "a"/,
    ],
    [
      'an unknown dtype',
      header(entry.replace('F32', 'F8_E5M2').replace(/^/, '{"a":').concat('}')),
      'E_DTYPE',
      /F8_E5M2/,
    ],
    ['a shape of strings', header('{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}'), 'E_FORMAT', /shape of/],
    [
      'a fraction',
      header('{"a":{"dtype":"F32","shape":[2.5],"data_offsets":[0,8]}}'),
      'E_FORMAT',
      /shape of tensor "a"/,
    ],
    ['a negative extent', header('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}'), 'E_SHAPE', /\[-2\]/],
    [
      'a size that overflows',
      header('{"a":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,8]}}'),
      'E_SHAPE',
      /overflows/,
    ],
    ['a number too large', header('{"a":{"dtype":"F32","shape":[1e400],"data_offsets":[0,8]}}'), 'E_FORMAT', /./],
    [
      'offsets the wrong way',
      header(entry.replace('[0,8]', '[8,0]').replace(/^/, '{"a":').concat('}')),
      'E_FORMAT',
      /\[8, 0\]/,
    ],
    [
      'offsets beyond the end',
      header(entry.replace('[0,8]', '[8,16]').replace(/^/, '{"a":').concat('}')),
      'E_FORMAT',
      /≤ 8/,
    ],
    [
      'one offset',
      header(entry.replace('[0,8]', '[0]').replace(/^/, '{"a":').concat('}')),
      'E_FORMAT',
      /1 numbers, expected 2/,
    ],
    [
      'fewer bytes than the shape',
      header(entry.replace('[2]', '[3]').replace(/^/, '{"a":').concat('}')),
      'E_SHAPE',
      /needs 12/,
    ],
    [
      'overlapping tensors',
      header(
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
      ),
      'E_FORMAT',
      /overlap/,
    ],
    [
      'a hole between tensors',
      header(
        '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[6,8]}}',
      ),
      'E_FORMAT',
      /hole/,
    ],
  ]
  for (const [what, bytes, code, message] of cases) {
    writeFileSync(file, bytes)
    await refused(t, folder, code, [message, /model\.safetensors/], what)
  }
  folder.weights()
  using model = await loadModel(folder.path)
  t.equal(model.linears.length, 14, 'canary: mended, it loads')
  folder.remove()
})

t.test('what lies where the file should be', async (t) => {
  const folder = new BrokenFolder()
  const file = folder.file('model.safetensors')
  rmSync(file)
  await refused(t, folder, 'E_MISSING', [/neither model\.safetensors nor/], 'nothing')
  writeFileSync(folder.file('pytorch_model.bin'), 'pickle')
  await refused(t, folder, 'E_MISSING', [/pytorch_model\.bin/, /safe_serialization/], 'a pickle')
  symlinkSync('nowhere', file)
  await refused(t, folder, 'E_MISSING', [/model\.safetensors/], 'a link to nothing')
  rmSync(file)
  mkdirSync(file)
  await refused(t, folder, 'E_IO', [/model\.safetensors/, /not a regular file/], 'a folder')
  folder.remove()
  await refused(t, folder, 'E_MISSING', [/config\.json/, /does not exist/], 'no folder at all')
})

/** Writes numbers of a tensor. */
function poison(header: Header, data: Buffer, name: string, index: number, bits: Buffer) {
  bits.copy(data, header[name]!.data_offsets[0] + index * bits.length)
  return data
}

t.test('tensors: missing, of other shapes, of other types, not finite', async (t) => {
  const folder = new BrokenFolder()
  const change = async (
    what: string,
    code: string,
    parts: RegExp[],
    make: (header: Header, data: Buffer) => unknown,
  ) => {
    folder.weights((header, data) => {
      make(header, data)
      return data
    })
    await refused(t, folder, code, parts, what)
  }
  const rename = (header: Header, name: string, to: string) => {
    header[to] = header[name]!
    delete header[name]
  }
  await change(
    'two are missing',
    'E_MISSING',
    [/lacks 2 tensors/, /q_proj\.weight/, /model\.norm\.weight/],
    (header) => {
      rename(header, q, 'a')
      rename(header, norm, 'b')
    },
  )
  await change('all are missing', 'E_MISSING', [/lacks \d+ tensors/, /and \d+ more/], (header) => {
    for (const name of Object.keys(header)) if (name !== '__metadata__') rename(header, name, `other.${name}`)
  })
  await change('a norm of another length', 'E_SHAPE', [/model\.norm\.weight/, /expected \[\d+\]/], (header) => {
    header[norm]!.shape = [2, header[norm]!.shape[0]! / 2]
  })
  await change('an embedding the other way round', 'E_SHAPE', [/embed_tokens/, /expected \[263/], (header) => {
    header['model.embed_tokens.weight']!.shape.reverse()
  })
  const down = 'model.layers.1.mlp.down_proj.weight'
  await change('a linear layer the other way round', 'E_SHAPE', [/down_proj/, /expected \[/], (header) => {
    header[down]!.shape.reverse()
  })
  await change('a linear layer flattened', 'E_SHAPE', [/q_proj/], (header) => {
    header[q]!.shape = [header[q]!.shape[0]! * header[q]!.shape[1]!]
  })
  await change('integers for weights', 'E_DTYPE', [/q_proj/, /I32/], (header) => {
    header[q]!.dtype = 'I32'
  })
  await change('integers for a norm', 'E_DTYPE', [/model\.norm\.weight/, /I32/], (header) => {
    header[norm]!.dtype = 'I32'
  })
  const float = (value: number) => {
    const bits = Buffer.alloc(4)
    bits.writeFloatLE(value)
    return bits
  }
  for (const name of [q, norm, 'model.embed_tokens.weight']) {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const part = new RegExp(name.split('.').at(-2)!)
      await change(`${value} in ${name}`, 'E_NONFINITE', [part, /finite/], (header, data) =>
        poison(header, data, name, 7, float(value)),
      )
    }
  }
  for (const quantization of ['nf4', 'fp4', 'int8', 'bf16'] as const) {
    folder.weights((header, data) => poison(header, data, q, 3, float(Number.NaN)))
    await t.rejects(loadModel(folder.path, { quantization }), { code: 'E_NONFINITE', message: /q_proj/ }, quantization)
  }
  for (const dtype of ['F16', 'BF16']) {
    // Half the bytes, twice the rows of nonsense: enough to hold one infinity.
    const infinity = Buffer.from(dtype === 'F16' ? [0, 0x7c] : [0x80, 0x7f])
    await change(`infinity in ${dtype}`, 'E_NONFINITE', [/q_proj/], (header, data) => {
      const [begin, end] = header[q]!.data_offsets
      data.fill(0, begin, end)
      poison(header, data, q, 5, infinity)
      const half = begin + (end - begin) / 2
      header[q]!.dtype = dtype
      header[q]!.data_offsets = [begin, half]
      header.rest = { dtype: 'U8', shape: [end - half], data_offsets: [half, end] }
    })
  }
  folder.weights()
  using model = await loadModel(folder.path)
  t.equal(model.linears.length, 14, 'canary: mended, it loads')
  folder.remove()
})

t.test('shards', async (t) => {
  const folder = new BrokenFolder()
  const names = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
  const index = (value: unknown) => folder.write('model.safetensors.index.json', JSON.stringify(value))
  folder.shards(names)
  {
    using model = await loadModel(folder.path)
    t.equal(model.linears.length, 14, 'canary: two good shards load')
  }
  for (const name of [
    '../../x',
    '/etc/passwd',
    'a/b.safetensors',
    '..',
    '.',
    '',
    'a\\b',
    '../model.safetensors',
    7,
    null,
  ]) {
    index({ weight_map: { [q]: name } })
    await refused(
      t,
      folder,
      'E_FORMAT',
      [/shard index/, /expected a file name/],
      `a shard named ${JSON.stringify(name)}`,
    )
  }
  index({ weight_map: { [q]: 'a\0b' } })
  await refused(t, folder, 'E_FORMAT', [/expected a file name/], 'a name with a zero byte')
  index({ weight_map: { [q]: names[0], [norm]: 'model-00003-of-00002.safetensors' } })
  await refused(t, folder, 'E_MISSING', [/1 of 2 shards/, /model-00003-of-00002/], 'a shard that is not there')
  index({ weight_map: {} })
  await refused(t, folder, 'E_FORMAT', [/empty/], 'an empty map')
  index({ weight_map: [names[0]] })
  await refused(t, folder, 'E_FORMAT', [/no weight_map object/], 'a list for a map')
  index({})
  await refused(t, folder, 'E_FORMAT', [/no weight_map object/], 'no map')
  folder.write('model.safetensors.index.json', '{"weight_map": ')
  await refused(t, folder, 'E_FORMAT', [/index\.json/, /not JSON/], 'no JSON')
  index({ weight_map: { [q]: names[0] } })
  await refused(t, folder, 'E_MISSING', [/lacks \d+ tensors/], 'an index that names one shard only')
  folder.shards([...names])
  folder.write(names[1]!, readFileSync(folder.file(names[0]!)))
  await refused(t, folder, 'E_FORMAT', [/is in both/, /00001/, /00002/], 'the same tensors twice')
  folder.remove()
})

t.test("bitsandbytes' parts", async (t) => {
  const folder = new BrokenFolder('llama-bnb-nf4')
  const state = `${q}.quant_state.bitsandbytes__nf4`
  const broken = async (
    what: string,
    code: string,
    parts: RegExp[],
    make: (header: Header, data: Buffer) => unknown,
  ) => {
    folder.weights((header, data) => {
      make(header, data)
      return data
    })
    await refused(t, folder, code, [/q_proj/, ...parts], what)
  }
  /** Another text of the same length in place of the quantisation state. */
  const spelled = (from: RegExp, to: (text: string) => string) => (header: Header, data: Buffer) => {
    const [begin, end] = header[state]!.data_offsets
    const text = data.toString('utf8', begin, end)
    t.match(text, from)
    const other = text.replace(from, to)
    t.equal(other.length, text.length)
    data.write(other, begin)
  }
  const same = (to: string) => (text: string) => to.padEnd(text.length)
  await broken('a state that is no JSON', 'E_FORMAT', [/quant_state/], spelled(/^\{/, same('[')))
  await broken(
    'a shape of its own',
    'E_SHAPE',
    [/fit|expected/],
    spelled(/"shape": \[\d/, (text) => `${text.slice(0, -1)}9`),
  )
  await broken(
    'a block of 32',
    'E_UNSUPPORTED',
    [/blocksize/, /32/],
    spelled(/"blocksize": 64/, same('"blocksize": 32')),
  )
  await broken('another type', 'E_FORMAT', [/quant_type/, /fp4/], spelled(/"nf4"/, same('"fp4"')))
  await broken('no scales', 'E_MISSING', [/absmax/], (header) => {
    for (const name of [`${q}.absmax`, `${q}.nested_absmax`]) {
      if (header[name] === undefined) continue
      header[`${name}.gone`] = header[name]
      delete header[name]
    }
  })
  await broken('another value map', 'E_FORMAT', [/quant_map/, /entry 3/], (header, data) => {
    data.writeFloatLE(0.3, header[`${q}.quant_map`]!.data_offsets[0] + 12)
  })
  await broken('a scale that is not a number', 'E_NONFINITE', [/absmax/], (header, data) => {
    const name = header[`${q}.nested_absmax`] === undefined ? `${q}.absmax` : `${q}.nested_absmax`
    data.writeFloatLE(Number.NaN, header[name]!.data_offsets[0])
  })
  await broken('codes of another size', 'E_SHAPE', [/two codes a byte|elements/], (header) => {
    const [begin, end] = header[q]!.data_offsets
    header[q]!.data_offsets = [begin, end - 32]
    header[q]!.shape = [end - 32 - begin, 1]
    header.rest = { dtype: 'U8', shape: [32], data_offsets: [end - 32, end] }
  })
  folder.remove()

  const eight = new BrokenFolder('llama-bnb-int8')
  const scb = q.replace(/weight$/, 'SCB')
  const rest = (header: Header, name: string, keep: number) => {
    const [begin, end] = header[name]!.data_offsets
    header[name]!.data_offsets = [begin, begin + keep]
    header.rest = { dtype: 'U8', shape: [end - begin - keep], data_offsets: [begin + keep, end] }
  }
  eight.weights((header) => {
    rest(header, scb, 8)
    header[scb]!.shape = [2]
    return undefined
  })
  await refused(t, eight, 'E_SHAPE', [/q_proj/, /SCB/, /2 elements/], 'too few scales')
  eight.weights((header, data) => {
    header[q]!.dtype = 'U8'
    return data
  })
  await refused(t, eight, 'E_DTYPE', [/q_proj/, /U8/, /I8/], 'unsigned codes')
  eight.weights((header) => {
    header[`${scb}.gone`] = header[scb]!
    delete header[scb]
    return undefined
  })
  await refused(t, eight, 'E_DTYPE', [/q_proj/, /I8/], 'codes without scales')
  eight.remove()
})
