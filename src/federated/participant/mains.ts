/** Whether a machine runs on mains power, where the system tells: Linux, /sys/class/power_supply (its ABI: sysfs-class-power). */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

const read = async (...path: string[]) => (await readFile(join(...path), 'utf8').catch(() => '')).trim()

/**
 * @param folder - where the system lists its supplies.
 * @returns undefined where it does not tell.
 */
export async function isOnMains(folder = '/sys/class/power_supply'): Promise<boolean | undefined> {
  const supplies = await readdir(folder).catch(() => [])
  let known: boolean | undefined
  for (const name of supplies) {
    const path = join(folder, name)
    const type = await read(path, 'type')
    // Supplies of a mouse or a pen say nothing of the machine.
    if ((await read(path, 'scope')) === 'Device') continue
    if (type === 'Mains' || type.startsWith('USB')) {
      const online = await read(path, 'online')
      if (online === '1' || online === '2') return true
      if (online === '0') known ??= false
    }
    if (type === 'Battery') {
      const status = await read(path, 'status')
      if (status === 'Discharging') known ??= false
      else if (status === 'Charging' || status === 'Full' || status === 'Not charging') known = true
    }
  }
  return known
}
