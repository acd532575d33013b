import { existsSync } from 'node:fs'
import { exec } from '../../kernel/exec/exec.ts'
import { findProgram } from './processes.ts'

/** Whether the kernel has this module, built in or loaded; loads it when it can be. */
export async function loadModule(module: string): Promise<boolean> {
  return isLoaded(module) || (process.geteuid?.() === 0 && (await modprobe(['--quiet', module])))
}

/** Whether the kernel has this module or could load it; loads nothing. */
export async function knowsModule(module: string): Promise<boolean> {
  return isLoaded(module) || (await modprobe(['--quiet', '--dry-run', module]))
}

const isLoaded = (module: string): boolean => existsSync(`/sys/module/${module}`)

async function modprobe(args: string[]): Promise<boolean> {
  const program = findProgram('modprobe')
  return program !== undefined && (await exec(program, args, { ok: [0, 1], timeoutMs: 10_000 })).code === 0
}
