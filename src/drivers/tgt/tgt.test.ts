import assert from 'node:assert/strict'
import { test } from 'node:test'
import { targetContract } from './contract.ts'
import { readTargets } from './listing.ts'
import { simulatedTargets } from './simulated.ts'

targetContract(async () => {
  const driver = simulatedTargets()
  return { driver, path: '/dev/simulated/volume', login: driver.login }
})

test('reads what tgtadm prints', () => {
  const output = `Target 1: iqn.2010-10.org.openstack:volume-1
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
        I_T nexus: 3
            Initiator: iqn.2008-11.org.linux-kvm:guest alias: none
            Connection: 0
                IP Address: 127.0.0.1
    LUN information:
        LUN: 0
            Type: controller
            Readonly: No
            Backing store path: None
        LUN: 1
            Type: disk
            Size: 1074 MB, Block size: 512
            Readonly: Yes
            Backing store type: rdwr
            Backing store path: /srv/with space/volume-1
            Backing store flags: 
    Account information:
        volume-1
    ACL information:
        ALL
Target 12: iqn.x:half-made
    System information:
        Driver: iscsi
    LUN information:
        LUN: 0
            Backing store path: None
    Account information:
    ACL information:
`
  assert.deepEqual(readTargets(output), [
    {
      tid: 1,
      iqn: 'iqn.2010-10.org.openstack:volume-1',
      path: '/srv/with space/volume-1',
      megabytes: 1074,
      readOnly: true,
      username: 'volume-1',
      open: true,
      initiators: ['iqn.2008-11.org.linux-kvm:guest'],
    },
    { tid: 12, iqn: 'iqn.x:half-made', path: null, megabytes: null, readOnly: false, username: null, open: false, initiators: [] },
  ])
  assert.deepEqual(readTargets(''), [])
})
