/** A client's part of a round in virtual time: pure functions of its device, of when it was asked, and of its work. */
import type { ClockConfig } from '../../clock-options.js'
import { type Availability, finishOf } from './availability.js'

/** A client's device and link, as they are in one round. */
export interface Device {
  /** Tokens a second. */
  readonly compute: number
  /** Bytes a second. */
  readonly up: number
  readonly down: number
  /** Seconds before a transfer begins. */
  readonly latency: number
  readonly availability: Availability
}

/** What is asked of it. */
export interface Work {
  readonly bytesDown: number
  readonly tokens: number
  readonly bytesUp: number
}

/** Seconds by phase. */
export interface PartSeconds {
  /** Outside of its windows: before its work and within it. */
  wait: number
  download: number
  compute: number
  upload: number
}

export interface Part {
  /** Seconds since the federation began; Infinity: never. */
  readonly finish: number
  readonly seconds: PartSeconds
}

/** download, compute and upload one after the other; a transfer takes latency + bytes / rate. */
export function partOf(device: Device, asked: number, { bytesDown, tokens, bytesUp }: Work): Part {
  const { latency, down, up, compute, availability } = device
  const busy = { download: latency + bytesDown / down, compute: tokens / compute, upload: latency + bytesUp / up }
  const needed = busy.download + busy.compute + busy.upload
  const finish = finishOf(availability, asked, needed)
  return { finish, seconds: { wait: Math.max(0, finish - asked - needed), ...busy } }
}

/** Energy of a part in joules: watts × seconds of training and of transfers; waiting costs nothing. */
export function joulesOf({ seconds: { download, compute, upload } }: Part, watts: ClockConfig['watts']): number {
  return watts.compute * compute + watts.network * (download + upload)
}
