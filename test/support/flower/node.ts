/** Nodes for tests: a work that can be checked, a pace of milliseconds. */
import { generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Instruction, Reply } from '../../../src/flower/node/instruction.js'
import type { FlowerNodeOptions } from '../../../src/flower/node/options.js'
import type { FlowerArray } from '../../../src/flower/objects/npy.js'
import { runFlowerNode } from '../../../src/flower/run-node.js'
import type { FleetServer } from './fleet-server.js'

/** Seconds. */
export const quick = { shortest: 0.005, longest: 0.02, poll: 0.005, heartbeat: 0.4, grace: 0.05 }

export const weights = (value: number) =>
  new Map<string, FlowerArray>([
    ['layer.lora_A.weight', { shape: [2, 3], data: new Float32Array(6).fill(value) }],
    ['layer.lora_B.weight', { shape: [3, 2], data: new Float32Array(6).fill(-value) }],
  ])

/** Adds 1 to every value, and says that it has 10 rows. */
export function addOne({ kind, arrays }: Instruction): Reply {
  const metrics = { loss: 0.5, 'num-examples': 10n }
  if (kind !== 'train') return { metrics }
  const next = new Map(
    [...arrays].map(([name, { shape, data }]) => [name, { shape, data: (data as Float32Array).map((x) => x + 1) }]),
  )
  return { arrays: next, metrics }
}

export interface Site {
  key: string
  folder: string
}

export function makeSite(folder: string): Site {
  const key = join(folder, 'key')
  // P-256 signs thirty times as fast as the P-384 of `keygenFlower`.
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  writeFileSync(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 })
  return { key, folder: join(folder, 'state') }
}

/** A node that leaves when nothing has come for a moment. */
export function startNode(server: FleetServer, site: Site, more: Partial<FlowerNodeOptions> = {}) {
  return runFlowerNode({ url: server.url, ...site, work: addOne, idle: 0.1, pace: quick, ...more })
}

/** The types of a finished node's events, without those of waiting. */
export async function tell(run: ReturnType<typeof startNode>): Promise<string[]> {
  const told: string[] = []
  for await (const event of run.events()) if (event.type !== 'waiting') told.push(event.type)
  return told
}
