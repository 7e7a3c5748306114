/** Processes by more than their number, which the system gives to others again. */
import { readFile } from 'node:fs/promises'

/**
 * When a process began, as a word that differs for every process with the same id: the system's start (8 digits of its boot id) and the
 * clock tick, both from /proc; 'alive' where there is no /proc; undefined when there is no such process.
 */
export async function processStart(pid: number): Promise<string | undefined> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return undefined
  }
  try {
    const [boot, stat] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
    ])
    // The name of the program, in parentheses, may hold anything; state is field 3, the start field 22 (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' || fields[0] === 'X' ? undefined : `${boot.slice(0, 8)}-${fields[19]}`
  } catch {
    return 'alive'
  }
}
