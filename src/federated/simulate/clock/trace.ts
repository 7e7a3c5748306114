/**
 * A file of devices: CSV, TSV, JSON or JSONL with a row for each client.
 *
 *   client,compute,up,down,latency,available,period
 *   phone-1,900,2.5e5,1e6,0.1,0-3600 7200-9000,86400
 *
 * compute in tokens a second, up and down in bytes a second, latency in seconds (default 0). `available` lists windows in seconds, in JSON as
 * pairs; left out: always. With a `period` the windows come again after so many seconds.
 */
import { z } from 'zod'
import { readRows } from '../../../data/reading/read-rows.js'
import { FedloraError } from '../../../errors.js'
import { parseOptions } from '../../../options/parse.js'
import { always, type Window } from './availability.js'
import type { Device } from './part.js'

const columns = ['client', 'compute', 'up', 'down', 'latency', 'available', 'period'] as const

/** A field of CSV is text, an empty one is none. */
const given = <T extends z.ZodType>(schema: T) =>
  z.preprocess((value) => (value === '' || value === null ? undefined : value), schema)
const number = (least: z.ZodNumber) =>
  given(z.preprocess((value) => (typeof value === 'string' && value.trim() !== '' ? Number(value) : value), least))
const rate = number(z.number().positive())
const seconds = z.number().min(0)

/** '0-3600 7200-9000', or pairs of numbers. */
const windows = z.preprocess(
  (value) =>
    typeof value === 'string'
      ? value
          .trim()
          .split(/[\s;]+/)
          .map((window) => window.split('-').map((bound) => (bound === '' ? Number.NaN : Number(bound))))
      : value,
  z
    .array(z.tuple([seconds, seconds]))
    .min(1)
    .refine(
      (list) => list.every(([from, to], i) => from < to && (i === 0 || list[i - 1]![1] <= from)),
      'expected windows from-to in ascending order that do not overlap',
    ),
)

const rowSchema = z
  .strictObject({
    client: z.string().min(1),
    compute: rate,
    up: rate,
    down: rate,
    latency: number(seconds.default(0) as unknown as z.ZodNumber),
    available: given(windows.optional()),
    period: number(z.number().min(1).max(1e9).optional() as unknown as z.ZodNumber),
  })
  .refine(({ period, available }) => period === undefined || available !== undefined, {
    path: ['period'],
    message: 'expected windows (available) beside it',
  })
  .refine(
    ({ period, available }) => !(period !== undefined && available !== undefined && available.at(-1)![1] > period),
    {
      path: ['available'],
      message: 'expected windows within the period',
    },
  )

function deviceOf(row: unknown, where: string): [client: string, device: Device] {
  const { client, available, period, ...device } = parseOptions(rowSchema, row, where) as z.output<typeof rowSchema> & {
    available?: Window[]
    period?: number
  }
  const availability = available === undefined ? always : { windows: available, period: period ?? null }
  return [client, { ...(device as Omit<Device, 'availability'>), availability }]
}

/**
 * The devices of a trace by client.
 * @throws FedloraError `E_MISSING`, `E_IO`, `E_DATA` for a file that cannot be read; `E_CONFIG` for a row that is no device, or one of a client
 * that has one already, naming the line.
 */
export async function readTrace(path: string): Promise<Map<string, Device>> {
  const devices = new Map<string, Device>()
  for await (const { rows } of readRows(path, { wanted: columns, onBlank: () => {} })) {
    for (const { file, unit, number: place, row, problem } of rows) {
      const where = `clock.trace: ${file}, ${unit} ${place}`
      if (problem !== null) {
        const message = `${where}: expected ${problem.expected}, found ${problem.found}; mend the row`
        throw new FedloraError('E_CONFIG', message, { file, [unit]: place })
      }
      const [client, device] = deviceOf(row, where)
      if (devices.has(client)) {
        const message = `${where}: client '${client}' has a row already, expected one for each; remove one of them`
        throw new FedloraError('E_CONFIG', message, { file, [unit]: place, client })
      }
      devices.set(client, device)
    }
  }
  return devices
}
