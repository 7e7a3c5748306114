// The platforms that the package brings binaries for. Names are those of the folders of `prebuilds/`, with the C library where there are two.

/**
 * @typedef {object} Target
 * @property {string} name
 * @property {string} platform as `process.platform`
 * @property {string} arch as `process.arch`
 * @property {string | null} libc `glibc`, `musl`, or null where a system has but one
 * @property {'zig' | 'system'} compiler of the published binary: `system` is that of this machine, for its own platform
 * @property {string} triple of zig, which says the oldest system, too
 */

/** @returns {Target} */
export function target(/** @type {string} */ name, /** @type {'zig' | 'system'} */ compiler, triple = '') {
  const [platform, arch, libc = null] = name.split('-')
  return { name, platform, arch, libc, compiler, triple }
}

/** glibc 2.28 is of 2018 (Debian 10, RHEL 8), macOS 11.0 the first for arm64. */
export const targets = [
  target('linux-x64-glibc', 'zig', 'x86_64-linux-gnu.2.28'),
  target('linux-x64-musl', 'zig', 'x86_64-linux-musl'),
  target('linux-arm64-glibc', 'zig', 'aarch64-linux-gnu.2.28'),
  target('linux-arm64-musl', 'zig', 'aarch64-linux-musl'),
  target('darwin-arm64', 'zig', 'aarch64-macos.11.0'),
  target('darwin-x64', 'zig', 'x86_64-macos.11.0'),
  target('win32-x64', 'zig', 'x86_64-windows-gnu'),
]

/** Where the loader looks for it, below the package: node-gyp-build's names. */
export function prebuiltFile(/** @type {Pick<Target, 'platform' | 'arch' | 'libc'>} */ { platform, arch, libc }) {
  return `prebuilds/${platform}-${arch}/fedlora${libc === null ? '' : `.${libc}`}.node`
}
