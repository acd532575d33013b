import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'
import { migrationContract } from './migration-contract.ts'
import { simulatedLibvirt } from './simulated.ts'

const directory = mkdtempSync(join(tmpdir(), 'libvirt-migration-'))
after(() => rmSync(directory, { recursive: true }))

migrationContract(async () => {
  const end = () => ({ libvirt: simulatedLibvirt(), seenAt: directory })
  return { source: end(), destination: end(), directory, bridge: 'qbrcontract', listen: 'tcp://192.168.50.2' }
})
