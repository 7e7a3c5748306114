/** What the study of compression compares: ways up and down, in families of which the densities make a line of the plot. */
import { split } from '../../../data/index.js'
import type { FederationOptions } from '../../../federated/options.js'
import type { Study } from '../study.js'

type Traffic = Pick<FederationOptions, 'upload' | 'download'>

/** A line of the plot, and its points. */
interface Family {
  family: string
  ways: readonly { name: string; traffic: Traffic }[]
}

const share = (density: number) => `1/${Math.round(1 / density)}`

/** One codec at several densities. */
const dense = (
  family: string,
  densities: readonly number[],
  upload: (density: number) => Traffic['upload'],
): Family => ({
  family,
  ways: densities.map((density) => ({ name: `${family} ${share(density)}`, traffic: { upload: upload(density) } })),
})

const topk = (density: number, bits: 2 | 4 = 2) => ({ codec: 'topk', density, bits }) as const

export const families: readonly Family[] = [
  {
    family: 'rounded',
    ways: (['f32', 'int8', 'int4', 'sign'] as const).map((codec) => ({ name: codec, traffic: { upload: { codec } } })),
  },
  dense('top-k', [1 / 8, 1 / 16, 1 / 32, 1 / 64], (density) => topk(density)),
  {
    family: 'chosen by a seed',
    ways: [
      { name: 'randk 1/16', traffic: { upload: { codec: 'randk', density: 1 / 16 } } },
      { name: 'blocks 1/16', traffic: { upload: { codec: 'blocks', density: 1 / 16 } } },
    ],
  },
  { family: 'lowrank', ways: [{ name: 'lowrank 1', traffic: { upload: { codec: 'lowrank', rank: 1 } } }] },
  {
    family: 'segments by turn',
    ways: [
      { name: 'a quarter by turn, int4', traffic: { upload: { codec: 'int4', segments: 4, errorFeedback: true } } },
    ],
  },
  {
    family: 'both ways',
    ways: [
      { name: 'int4 up and down', traffic: { upload: { codec: 'int4' }, download: { codec: 'int4' } } },
      { name: 'top-k 1/16 up, int4 down', traffic: { upload: topk(1 / 16), download: { codec: 'int4' } } },
      { name: 'top-k 1/64 up, 1/16 down', traffic: { upload: topk(1 / 64), download: topk(1 / 16, 4) } },
    ],
  },
]

/** The way that all are compared with. */
export const reference = 'f32'

export const study: Study = {
  name: 'compression',
  title: 'Held-out loss by bytes',
  question:
    'Three clients with equal mixtures of GSM8K answers federate over codecs from float32 down to a few bytes a thousand values. What does each way cost in loss?',
  rank: 8,
  personal: false,
  settings: [
    {
      name: 'three clients alike',
      clients(rows, seed) {
        const parts = split(rows, { by: 'iid', clients: 3, label: 'kind', seed })
        return parts.clients.map(({ name }, index) => ({ name, train: parts.train(index) }))
      },
    },
  ],
  arms: families.flatMap(({ ways }) => ways.map((way) => ({ ...way, algorithm: 'fedavg' }))),
  full: { seeds: 3, rounds: 8, steps: 6, batchSize: 8, rowsEach: 160, heldOut: 48 },
  quick: {
    seeds: 1,
    rounds: 3,
    steps: 4,
    batchSize: 8,
    rowsEach: 100,
    heldOut: 32,
    settings: ['three clients alike'],
    arms: ['f32', 'int4', 'top-k 1/16', 'top-k 1/64', 'int4 up and down'],
  },
}
