import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { argumentsOf } from './arguments.ts'
import { radvContract } from './contract.ts'
import { simulatedRadv } from './simulated.ts'

radvContract(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'radv-twin-'))
  const file = join(folder, 'radv.json')
  return {
    radv: simulatedRadv({ file }),
    namespace: 'qrouter-1',
    again: () => simulatedRadv({ file }),
    done: async () => rmSync(folder, { recursive: true }),
  }
})

test('each mode has its word, and a prefix its name servers', () => {
  const args = argumentsOf(
    {
      routerId: 'r',
      namespace: 'qrouter-r',
      links: [
        {
          interface: 'qr-1',
          mtu: 1450,
          prefixes: [
            { cidr: '2001:db8::/64', mode: 'slaac', dns: ['2001:db8::53', '2001:db8::54'] },
            { cidr: '2001:db8:0:1::/64', mode: 'dhcpv6-stateless', dns: [] },
          ],
        },
        { interface: 'qr-2', mtu: 9000, prefixes: [{ cidr: '2001:db8:0:2::/64', mode: 'dhcpv6-stateful', dns: [] }] },
      ],
    },
    '/run/ra/r',
    'nobody',
  )
  for (const arg of [
    '--interface=qr-1',
    '--ra-param=qr-1,mtu:1450,100,300',
    '--ra-param=qr-2,mtu:9000,100,300',
    '--dhcp-range=set:prefix0,2001:db8::,ra-only,64,86400s',
    '--dhcp-range=set:prefix1,2001:db8:0:1::,ra-stateless,64,86400s',
    '--dhcp-range=set:prefix2,2001:db8:0:2::,static,64,86400s',
    '--dhcp-option=tag:prefix0,option6:dns-server,[2001:db8::53],[2001:db8::54]',
  ])
    assert.ok(args.includes(arg), `${arg} is not in ${args.join(' ')}`)
})
