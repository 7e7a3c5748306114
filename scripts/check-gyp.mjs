#!/usr/bin/env node
// Proves that binding.gyp builds the addon: removes build/Release/fedlora.node, runs the node-gyp that npm brings along
// (`configure build`; `rebuild` would empty the whole build folder), and loads what came out.
//
// Usage: node scripts/check-gyp.mjs
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { addon } from './build-native.mjs'
import { probe, root, run, runMain, ScriptError } from './lib/project.mjs'

/** The node-gyp inside npm, wherever this Node keeps its npm; its name is in npm's own environment when npm runs us. */
function findNodeGyp() {
  const prefix = dirname(dirname(process.execPath))
  const program = process.env.npm_execpath
  const global = probe('npm', ['root', '-g'])
  const npmRoots = [
    ...(program ? [dirname(dirname(program))] : []),
    ...(global ? [join(global, 'npm')] : []),
    join(prefix, 'lib', 'node_modules', 'npm'),
  ]
  for (const npmRoot of npmRoots) {
    const script = join(npmRoot, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js')
    if (existsSync(script)) return script
  }
  throw new ScriptError('E_TOOL_GYP', `npm's own node-gyp was not found (tried ${npmRoots.join(', ')})`)
}

await runMain(import.meta, 'check-gyp', () => {
  const nodeGyp = findNodeGyp()
  const version = JSON.parse(readFileSync(join(dirname(dirname(nodeGyp)), 'package.json'), 'utf8')).version
  // Headers beside this Node save a download; the addon itself takes them from the node-api-headers package.
  const prefix = dirname(dirname(process.execPath))
  const headers = existsSync(join(prefix, 'include', 'node', 'node.h')) ? [`--nodedir=${prefix}`] : []
  rmSync(addon, { force: true })
  run(process.execPath, [nodeGyp, 'configure', 'build', '--loglevel=warn', ...headers], { quiet: true })
  if (!existsSync(addon)) throw new ScriptError('E_BUILD', `node-gyp ended well but left no ${addon}`)
  const names = Object.keys(createRequire(join(root, 'package.json'))(addon))
  if (names.length === 0) throw new ScriptError('E_BUILD', `${addon} exports nothing`)
  console.log(`gyp: node-gyp ${version} built the addon through CMake; it exports ${names.length} names`)
})
