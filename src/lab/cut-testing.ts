import { exec } from '../kernel/exec/exec.ts'

/** Nothing comes from this TCP port of the loopback any more, nor does anything reach it, and nobody is told: as when a cable is pulled out. */
export async function cut(port: number): Promise<{ heal(): Promise<void> }> {
  const rules = ['--sport', '--dport'].map((which) => ['INPUT', '--protocol', 'tcp', which, String(port), '--jump', 'DROP'])
  for (const rule of rules) await exec('iptables', ['--append', ...rule])
  return {
    async heal() {
      for (const rule of rules.splice(0)) await exec('iptables', ['--delete', ...rule])
    },
  }
}
