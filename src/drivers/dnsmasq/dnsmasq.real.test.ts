import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before } from 'node:test'
import { exec } from '../../kernel/exec/exec.ts'
import { realNetNs } from '../netns/real.ts'
import { dnsmasqContract } from './contract.ts'
import { realDnsmasq } from './real.ts'

before(() => {
  assert.ok(process.env.YUN_ISOLATED, 'run this through src/host/machine/isolated.ts')
})

let made = 0

dnsmasqContract(async () => {
  const netns = realNetNs()
  const tag = `${process.pid}-${++made}`
  const [server, client] = [`qdhcp-${tag}`, `guest-${tag}`]
  const directory = mkdtempSync(join(tmpdir(), 'dnsmasq-'))
  for (const name of [server, client]) await netns.ensureNamespace(name)
  await netns.apply(server, [
    { do: 'add-veth', name: 'tap0', peer: 'eth0', peerNamespace: client },
    { do: 'set-link', name: 'tap0', up: true },
    { do: 'set-address', dev: 'tap0', cidr: '10.1.0.2/24' },
  ])
  await netns.apply(client, [{ do: 'set-link', name: 'eth0', up: true }])
  return {
    dnsmasq: realDnsmasq({ directory }),
    namespace: server,
    interface: 'tap0',
    async ask(mac) {
      await netns.apply(client, [{ do: 'set-link', name: 'eth0', mac }])
      const options = { netns: client, ok: [0, 1] }
      const { stderr } = await exec(
        'busybox',
        ['udhcpc', '-f', '-q', '-n', '-t', '2', '-T', '1', '-A', '0', '-i', 'eth0', '-s', '/bin/true'],
        options,
      )
      return /lease of (\S+) obtained/.exec(stderr)?.[1]
    },
    again: () => realDnsmasq({ directory }),
    async done() {
      for (const name of [server, client]) await netns.removeNamespace(name)
      rmSync(directory, { recursive: true })
    },
  }
})
