// A copy of the native sources in a folder of its own, built for trying mutants: -O1, one object library a room, so that one changed
// file is compiled and only the programs that run are linked again. Which programs hold a file is read from Ninja's log of
// dependencies and from the linker's maps. Linux only, like the map's option.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { findPrograms } from './native-programs.mjs'
import { listFiles, run, ScriptError } from './project.mjs'

const sources = /\.(h|cpp|cu|cuh|def|inc|inl)$/
const linkRule =
  '<CMAKE_CXX_COMPILER> <FLAGS> <CMAKE_CXX_LINK_FLAGS> <LINK_FLAGS> <OBJECTS> -o <TARGET> -Wl,-Map=<TARGET>.map <LINK_LIBRARIES>'

/** What a mutant may use at most beside its time: bytes of memory and blocks of 512 bytes in one file. */
const memoryKiB = 6 << 20
const fileBlocks = 1 << 19

export class NativeMutantTree {
  /**
   * @param {string} base the checkout
   * @param {string} folder where the copy (`tree`) and its build lie
   */
  constructor(base, folder) {
    this.base = base
    this.tree = join(folder, 'tree')
    this.build = join(folder, 'cmake')
    this.scratch = join(folder, 'tmp')
    this.timesFile = join(folder, 'seconds.json')
    /** Program, instruction set and hash → seconds. @type {Record<string, number>} */
    this.times = existsSync(this.timesFile) ? JSON.parse(readFileSync(this.timesFile, 'utf8')) : {}
    const files = ['native', 'test/native'].flatMap((part) => listFiles(part, sources, base))
    /** The sources as they are now: the checkout may change while mutants are tried. */
    this.sources = new Map(
      ['CMakeLists.txt', 'package.json', ...files].map((file) => [file, readFileSync(join(base, file))]),
    )
    /** The test programs. @type {{ name: string, path: string }[]} */
    this.programs = []
    /** Program → its hash without a mutant. @type {Map<string, string>} */
    this.baseline = new Map()
    /** File → the objects that stand on it. @type {Map<string, Set<string>>} */
    this.objects = new Map()
    /** Program → the objects in it. @type {Map<string, Set<string>>} */
    this.maps = new Map()
  }

  /** Makes the copy equal to what was read and builds all test programs, a second time what has changed. */
  prepare() {
    for (const [file, source] of this.sources) {
      const copy = join(this.tree, file)
      if (existsSync(copy) && readFileSync(copy).equals(source)) continue
      mkdirSync(dirname(copy), { recursive: true })
      writeFileSync(copy, source)
    }
    for (const file of ['native', 'test/native'].flatMap((folder) => listFiles(folder, sources, this.tree))) {
      if (!this.sources.has(file)) rmSync(join(this.tree, file))
    }
    const golden = join(this.tree, 'test', 'golden')
    if (!existsSync(golden) && existsSync(join(this.base, 'test', 'golden')))
      symlinkSync(join(this.base, 'test', 'golden'), golden)
    const options = [
      '-DFEDLORA_TESTS=ON',
      '-DFEDLORA_ADDON=OFF',
      '-DCMAKE_BUILD_TYPE=Mutants',
      '-DCMAKE_CXX_FLAGS_MUTANTS=-O1 -DNDEBUG',
      `-DCMAKE_CXX_LINK_EXECUTABLE=${linkRule}`,
    ]
    run('cmake', ['-G', 'Ninja', '-S', this.tree, '-B', this.build, ...options], { quiet: true })
    const programs = join(this.build, 'tests')
    for (const { name, path } of findPrograms(programs)) {
      if (!this.sources.has(`test/native/${name}.cpp`)) rmSync(path)
    }
    run('cmake', ['--build', this.build, '--parallel', String(availableParallelism())])
    this.programs = findPrograms(programs)
    this.baseline = new Map(this.programs.map(({ name }) => [name, this.hash(name)]))
    this.readUsers()
  }

  /** Which objects stand on a file, and which programs hold an object. */
  readUsers() {
    this.objects = new Map()
    let object = ''
    for (const line of run('ninja', ['-C', this.build, '-t', 'deps'], { capture: true }).split('\n')) {
      const head = /^(\S.*): #deps/.exec(line)
      if (head) object = basename(head[1])
      const file = resolve(this.build, line.trim())
      if (!file.startsWith(`${this.tree}/`)) continue
      const name = file.slice(this.tree.length + 1)
      if (!this.objects.has(name)) this.objects.set(name, new Set())
      this.objects.get(name)?.add(object)
    }
    this.maps = new Map(
      this.programs.map(({ name, path }) => {
        const held = readFileSync(`${path}.map`, 'utf8').matchAll(/([\w.]+\.o)\b/g)
        return [name, new Set([...held].map((match) => match[1]))]
      }),
    )
  }

  /**
   * The programs that hold a file, nearest first: those named after its room (0), those whose source includes the file's header
   * (1) or something of its room (2), the others (3).
   * @param {string} file
   */
  users(file) {
    const objects = [...(this.objects.get(file) ?? [])]
    const path = file.replace(/^native\//, '')
    const header = path.replace(/\.cpp$/, '.h')
    const distance = (/** @type {string} */ name) => {
      if (name.startsWith(`test_${dirname(path).replaceAll('/', '_')}`)) return 0
      const source = this.source(`test/native/${name}.cpp`)
      return source.includes(`"${header}"`) ? 1 : source.includes(`"${dirname(path)}/`) ? 2 : 3
    }
    return this.programs
      .filter(({ name }) => objects.some((object) => this.maps.get(name)?.has(object)))
      .map((program) => ({ ...program, distance: distance(program.name) }))
      .sort((a, b) => a.distance - b.distance)
  }

  /** SHA-256 of a program: a mutant that compiles to the same bytes is none. */
  hash(/** @type {string} */ name) {
    return createHash('sha256')
      .update(readFileSync(join(this.build, 'tests', name)))
      .digest('hex')
  }

  source(/** @type {string} */ file) {
    const source = this.sources.get(file)
    if (source === undefined) throw new ScriptError('E_MUTANTS', `${file} is none of the native sources`)
    return source.toString('utf8')
  }

  write(/** @type {string} */ file, /** @type {string} */ text) {
    writeFileSync(join(this.tree, file), text)
  }

  restore(/** @type {string} */ file) {
    writeFileSync(join(this.tree, file), this.source(file))
  }

  /** Builds one program; false when it does not compile. */
  async link(/** @type {string} */ name) {
    const child = spawn('ninja', ['-C', this.build, `tests/${name}`], { stdio: 'ignore' })
    return new Promise((done) => child.on('close', (status) => done(status === 0)))
  }

  /**
   * Runs a program until its end or its first failed case. Returns why it failed, or undefined when it passed.
   * @param {string} path
   * @param {{ level: string, limit: number }} options level: the instruction set, '' for the best; limit: seconds of processor time, and ten times that on the clock
   * @returns {Promise<string | undefined>}
   */
  execute(path, { level, limit }) {
    rmSync(this.scratch, { recursive: true, force: true })
    mkdirSync(this.scratch, { recursive: true })
    const limits = `ulimit -t ${Math.ceil(limit)}; ulimit -v ${memoryKiB}; ulimit -f ${fileBlocks}; ulimit -c 0; exec "$0"`
    const child = spawn('sh', ['-c', limits, path], {
      cwd: this.scratch,
      env: { ...process.env, TMPDIR: this.scratch, ...(level === '' ? {} : { FEDLORA_ISA: level }) },
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return new Promise((done) => {
      let output = ''
      const timer = setTimeout(() => child.kill('SIGKILL'), limit * 10_000)
      const failure = () => /^not ok \d+ - (.*)$/m.exec(output)?.[1]
      child.stdout.setEncoding('utf8').on('data', (text) => {
        output += text
        if (failure() !== undefined) child.kill('SIGKILL')
      })
      child.on('close', (status, signal) => {
        clearTimeout(timer)
        if (failure() !== undefined) done(failure())
        else if (signal) done(signal === 'SIGXCPU' || signal === 'SIGKILL' ? 'no end' : signal)
        else done(status === 0 && /^1\.\.[1-9]\d*$/m.test(output) ? undefined : `status ${status}`)
      })
    })
  }

  /** Seconds of processor time that a program takes without a mutant, if it was measured: now or, the same bytes, in an earlier run. */
  seconds(/** @type {string} */ name, /** @type {string} */ level) {
    return this.times[`${name} ${level} ${this.baseline.get(name)}`]
  }

  /** Runs a program without a mutant, which must pass. The clock would count the machine's other work. */
  measure(/** @type {string} */ name, /** @type {string} */ level) {
    mkdirSync(this.scratch, { recursive: true })
    const env = { ...process.env, TMPDIR: this.scratch, ...(level === '' ? {} : { FEDLORA_ISA: level }) }
    const words = ['-c', '"$0"; status=$?; times; exit $status', join(this.build, 'tests', name)]
    const { stdout, status } = spawnSync('sh', words, { cwd: this.scratch, env, encoding: 'utf8', maxBuffer: 1 << 28 })
    if (status !== 0) throw new ScriptError('E_MUTANTS', `${name} fails without a mutant`)
    const [m, s, systemM, systemS] =
      stdout
        .trim()
        .split('\n')
        .at(-1)
        ?.match(/[\d.]+(?=[ms])/g)
        ?.map(Number) ?? []
    this.times[`${name} ${level} ${this.baseline.get(name)}`] = 60 * (m + systemM) + s + systemS
    writeFileSync(this.timesFile, JSON.stringify(this.times))
  }

  clean() {
    rmSync(this.scratch, { recursive: true, force: true })
  }
}

/** Whether a room has files of single instruction sets: its programs must be run at the weaker ones too. */
export const isDispatched = (/** @type {string} */ folder) =>
  existsSync(folder) && readdirSync(folder).some((name) => /_avx(2|512)/.test(name))
