import { showBytes } from '../units/units.ts'

/** Of one process, kept by the kernel (setrlimit). */
export interface Limits {
  /** Of its address space. */
  bytes: number
  /** Of a processor. */
  cpuSeconds: number
}

/** The program with its arguments, started by prlimit. No core is left of one that is stopped: it would hold what a user made. */
export function limited({ bytes, cpuSeconds }: Limits, program: string, args: string[]): { argv: string[]; env: Record<string, string> } {
  // a second between the two, so that the signal tells what it was stopped for
  const cpu = `--cpu=${cpuSeconds}:${cpuSeconds + 1}`
  return {
    argv: ['prlimit', `--as=${bytes}`, cpu, '--core=0', '--', program, ...args],
    // each of glibc's arenas reserves 64 MiB of address space for a thread: without this the limit is reached by chance
    env: { MALLOC_ARENA_MAX: '1' },
  }
}

/** What of its limits stopped a program that failed, as far as it can be told. */
export function outOfBounds({ bytes, cpuSeconds }: Limits, signal: NodeJS.Signals | null, stderr: string): string | null {
  if (signal === 'SIGXCPU') return `stopped: it took more than ${cpuSeconds} s of processor time`
  const crashed = signal !== null && ['SIGABRT', 'SIGSEGV', 'SIGBUS', 'SIGTRAP'].includes(signal)
  return crashed || /allocat|out of memory|memory exhausted|MemoryError/i.test(stderr)
    ? `stopped: ${showBytes(bytes)} of memory, which is all that it may take, were not enough`
    : null
}
