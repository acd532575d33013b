import { existsSync } from 'node:fs'
import { exec } from '../../kernel/exec/exec.ts'
import { findProgram } from './processes.ts'

/** Whether the kernel has this module, built in or loaded; loads it when it can be. */
export async function loadModule(module: string): Promise<boolean> {
  if (hasModule(module)) return true
  const modprobe = findProgram('modprobe')
  if (!modprobe || process.geteuid?.() !== 0) return false
  const { code } = await exec(modprobe, ['--quiet', module], { ok: [0, 1], timeoutMs: 10_000 })
  return code === 0
}

const hasModule = (module: string): boolean => existsSync(`/sys/module/${module}`)
