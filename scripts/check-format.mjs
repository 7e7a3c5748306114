#!/usr/bin/env node
// Checks (or with --fix applies) .clang-format on native/ and test/native/. The version is pinned, because versions differ
// in what they call well formatted; it comes from PyPI into build/venv when PATH has another one or none.
//
// Usage: node scripts/check-format.mjs [--fix] [--install]
//   --install  first make build/venv with the pinned clang-format when it is not at hand (needs Python 3 and PyPI)
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { listFiles, probe, root, run, runMain, ScriptError } from './lib/project.mjs'

const version = '23.1.5'
const venv = join(root, 'build', 'venv')
const candidates = ['clang-format', join(venv, 'bin', 'clang-format')]

const find = () => candidates.find((name) => probe(name, ['--version'])?.includes(`version ${version}`))

function install() {
  if (!existsSync(join(venv, 'bin', 'pip'))) run('python3', ['-m', 'venv', venv], { quiet: true })
  run(join(venv, 'bin', 'pip'), ['install', '--quiet', '--disable-pip-version-check', `clang-format==${version}`], {
    quiet: true,
  })
}

await runMain(import.meta, 'check-format', () => {
  const { values } = parseArgs({ options: { fix: { type: 'boolean' }, install: { type: 'boolean' } } })
  if (values.install && find() === undefined) install()
  const clangFormat = find()
  if (clangFormat === undefined) {
    throw new ScriptError(
      'E_TOOL_FORMAT',
      `clang-format ${version} is not at hand; \`node scripts/check-format.mjs --install\` puts it into build/venv`,
    )
  }
  const files = ['native', 'test/native'].flatMap((folder) => listFiles(folder, /\.(h|cpp|inc|inl|cu|cuh)$/))
  try {
    run(clangFormat, values.fix ? ['-i', ...files] : ['--dry-run', '--Werror', '--ferror-limit=1', ...files])
  } catch {
    throw new ScriptError('E_FORMAT', 'see above; `node scripts/check-format.mjs --fix` formats the files')
  }
  console.log(`format: ${files.length} C++ files ${values.fix ? 'formatted' : 'are formatted'}`)
})
