// The checks of layers, exports and sizes, on this tree and on trees that are wrong in one way each.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

function run(script: string, base: string) {
  const { status, stderr, stdout } = spawnSync(process.execPath, [join(root, 'scripts', script), '--root', base], {
    encoding: 'utf8',
  })
  return { status, text: stderr + stdout }
}

const layers = {
  native: {
    rooms: { base: [], backend: ['base'], 'backend/cpu': ['base', 'backend'], io: ['base'], napi: ['base', 'io'] },
    only: [
      { includes: '^napi\\.h$', in: ['native/napi/*'], why: 'kept' },
      { includes: 'intrin\\.h$', in: ['native/backend/cpu/kernels/*'], why: 'kept' },
    ],
    never: [{ includes: '^thread$', in: ['native/backend/cpu/kernels/*'], why: 'kept' }],
  },
  src: {
    rooms: {
      errors: [],
      native: ['errors'],
      model: ['errors', 'native'],
      'federated/protocol': ['errors'],
      'federated/server': ['errors', 'federated'],
      federated: ['errors', 'model', 'federated/*'],
      index: ['errors', 'model'],
    },
    only: [{ includes: '^node-gyp-build$', in: ['src/native/*'], why: 'kept' }],
    never: [],
    apart: [{ from: ['src/federated/server/*'], never: ['src/model/*'], why: 'kept apart' }],
  },
}
const sound = {
  'layers.json': JSON.stringify(layers),
  native: {
    base: {
      'error.h': '#pragma once\n#include <string>\n',
      'error.cpp': '#include "error.h"\n',
      'text.h': '#include "error.h"\n',
    },
    backend: {
      'ops.h': '#include "base/error.h"\n',
      cpu: { kernels: { 'dot.cpp': '#include <immintrin.h>\n#include "backend/ops.h"\n' } },
    },
    io: { 'file.h': '#include "base/error.h"\n' },
    napi: { 'addon.cpp': '#include <napi.h>\n#include "io/file.h"\n' },
  },
  src: {
    'errors.ts': 'export const x = 1\n',
    native: {
      'load.ts': "import load from 'node-gyp-build'\nimport { x } from '../errors.js'\n",
      'turn.ts': "import { y } from './load.js'\n",
    },
    model: { 'model.ts': "import { y } from '../native/load.js'\n" },
    federated: {
      'work.ts': "import { y } from '../model/model.js'\nimport { p } from './protocol/plan.js'\n",
      'types.ts': "import type { Y } from '../model/model.js'\n",
      protocol: { 'plan.ts': "import { x } from '../../errors.js'\n" },
      server: { 'server.ts': "import { t } from '../types.js'\n" },
    },
    'index.ts': "export * from './model/model.js'\n",
  },
}

/** The sound tree with one file put in or replaced. */
function withFile(path: string, content: string) {
  const tree = structuredClone(sound) as Record<string, unknown>
  const parts = path.split('/')
  let folder = tree
  for (const part of parts.slice(0, -1)) {
    folder[part] ??= {}
    folder = folder[part] as Record<string, unknown>
  }
  folder[parts.at(-1)!] = content
  return tree
}

t.test('this tree keeps its layers, sizes and exports', async (t) => {
  t.match(run('check-layers.mjs', root), { status: 0 })
  t.match(run('check-sizes.mjs', root), { status: 0 })
  t.match(run('check-exports.mjs', root), { status: 0 })
})

t.test('a sound tree passes', async (t) => {
  t.match(run('check-layers.mjs', t.testdir(sound)), { status: 0, text: /nothing reaches upwards/ })
})

const broken: [what: string, path: string, content: string, message: RegExp][] = [
  ['C++ upwards', 'native/base/up.cpp', '#include "io/file.h"\n', /base may not reach into io/],
  ['C++ sideways', 'native/io/side.cpp', '#include "backend/ops.h"\n', /io may not reach into backend/],
  [
    'C++ into an inner room',
    'native/napi/deep.cpp',
    '#include "backend/cpu/kernels/dot.cpp"\n',
    /napi may not reach into backend/,
  ],
  ['C++ by a path with dots', 'native/base/dots.cpp', '#include "../io/file.h"\n', /base may not reach into io/],
  [
    'C++ with blanks in the directive',
    'native/base/blank.cpp',
    '  #  include   "io/file.h"\n',
    /base may not reach into io/,
  ],
  ['a file in no room', 'native/other/file.cpp', '', /belongs to no room/],
  ['napi.h below the seam', 'native/io/napi.cpp', '#include <napi.h>\n', /may not include napi\.h/],
  ['intrinsics outside the kernels', 'native/io/fast.cpp', '#include <immintrin.h>\n', /may not include immintrin\.h/],
  ['threads in a kernel', 'native/backend/cpu/kernels/t.cpp', '#include <thread>\n', /may not include thread/],
  [
    'TypeScript upwards',
    'src/native/up.ts',
    "import { m } from '../model/model.js'\n",
    /native may not reach into model/,
  ],
  [
    'a type from above',
    'src/native/type.ts',
    "import type { M } from '../model/model.js'\n",
    /native may not reach into model/,
  ],
  [
    'an import over several lines',
    'src/native/lines.ts',
    "import {\n  m,\n} from '../model/model.js'\n",
    /native may not reach into model/,
  ],
  [
    'a dynamic import',
    'src/native/dynamic.ts',
    "const m = await import('../model/model.js')\n",
    /native may not reach into model/,
  ],
  ['a re-export', 'src/errors.ts', "export * from './model/model.js'\n", /errors may not reach into model/],
  ['index from below', 'src/model/top.ts', "import { x } from '../index.js'\n", /model may not reach into index/],
  [
    'the addon outside src/native',
    'src/model/addon.ts',
    "import load from 'node-gyp-build'\n",
    /may not include node-gyp-build/,
  ],
  [
    'an inner room into what only the outer one may',
    'src/federated/protocol/up.ts',
    "import { y } from '../../model/model.js'\n",
    /federated\/protocol may not reach into model/,
  ],
  [
    'an inner room into the outer one',
    'src/federated/protocol/out.ts',
    "import { w } from '../work.js'\n",
    /federated\/protocol may not reach into federated/,
  ],
  [
    'two rooms apart, by way of a third',
    'src/federated/server/far.ts',
    "import { w } from '../work.js'\n",
    /far\.ts: may not come to model\/model\.ts: kept apart \(federated\/server\/far\.ts → federated\/work\.ts → model\/model\.ts\)/,
  ],
  [
    'a circle of two files',
    'src/native/load.ts',
    "import { t } from './turn.js'\nexport const y = 1\n",
    /a circle of files: native\/load\.ts, native\/turn\.ts/,
  ],
  [
    'a circle of types',
    'src/native/load.ts',
    "import type { T } from './turn.js'\n",
    /a circle of files: native\/load\.ts, native\/turn\.ts/,
  ],
  [
    'a circle closed by a dynamic import',
    'src/native/load.ts',
    "export const t = () => import('./turn.js')\n",
    /a circle of files: native\/load\.ts, native\/turn\.ts/,
  ],
  [
    'a circle of headers',
    'native/base/error.h',
    '#include "base/text.h"\n',
    /a circle of files: base\/error\.h, base\/text\.h/,
  ],
  ['a file that imports itself', 'src/errors.ts', "import './errors.js'\n", /a circle of files: errors\.ts$/m],
  ['out of the tree', 'src/model/out.ts', "import x from '../../test/x.js'\n", /reaches out of src/],
]
for (const [what, path, content, message] of broken) {
  t.test(`canary: ${what}`, async (t) => {
    t.match(run('check-layers.mjs', t.testdir(withFile(path, content) as never)), { status: 1, text: message })
  })
}

t.test('canary: layers.json that names an unknown room, or is missing', async (t) => {
  const text = JSON.stringify({
    ...layers,
    native: { ...layers.native, rooms: { ...layers.native.rooms, io: ['bse'] } },
  })
  t.match(run('check-layers.mjs', t.testdir(withFile('layers.json', text) as never)), {
    status: 1,
    text: /unknown room bse/,
  })
  t.match(run('check-layers.mjs', t.testdir({})), { status: 1, text: /layers\.json is missing/ })
})

t.test('exports: what no other file names', async (t) => {
  const tree = { src: { 'a.ts': 'export const used = 1\nexport interface Only {}\n', 'b.ts': 'f(used)\n' } }
  t.match(run('check-exports.mjs', t.testdir(tree)), { status: 0, text: /each of 1 is used/ })
  const dead = { src: { ...tree.src, 'c.ts': 'export async function lost() {}\nlost()\n' } }
  t.match(run('check-exports.mjs', t.testdir(dead)), { status: 1, text: /c\.ts: lost is exported/ })
})

t.test('sizes: a long file needs a reason, and a reason needs a long file', async (t) => {
  const short = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`${i}.ts`, '']))
  const sizes = (files: Record<string, number>, reasons: string[] = []) => {
    const lengthy = Object.entries(files).map(([name, lines]) => [name, '\n'.repeat(lines)])
    const listed = JSON.stringify(Object.fromEntries(reasons.map((name) => [name, 'a table'])))
    const tree = { src: { ...short, ...Object.fromEntries(lengthy) }, 'sizes.json': listed }
    return run('check-sizes.mjs', t.testdir(tree))
  }
  t.match(sizes({ 'a.ts': 450 }), { status: 0, text: /src +21 files, median +0, p90 +0, longest 450/ })
  t.match(sizes({ 'a.ts': 451 }), { status: 1, text: /src\/a\.ts: 451 lines, at most 450/ })
  t.match(sizes({ 'a.ts': 451 }, ['src/a.ts']), { status: 0 })
  t.match(sizes({ 'a.ts': 450 }, ['src/a.ts']), { status: 1, text: /not needed/ })
  const many = (count: number, lines: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`long-${i}.ts`, lines]))
  t.match(sizes(many(2, 221)), { status: 0 }, 'two of 22 may be longer')
  t.match(sizes(many(3, 221)), { status: 1, text: /src: p90 221 lines, at most 220/ })
  t.match(sizes(many(20, 100)), { status: 0 })
  t.match(sizes(many(20, 101)), { status: 1, text: /src: median 101 lines, at most 100/ })
})
