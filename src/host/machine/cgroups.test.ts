import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { hierarchies } from './cgroups.ts'

test('hierarchies are read from mountinfo: joint controllers, names, version 2, a mount that hides another, one that cannot be seen', () => {
  const root = mkdtempSync(join(tmpdir(), 'cgroups-'))
  try {
    for (const group of ['cpu,cpuacct/jobs/mine', 'systemd', 'unified/user']) {
      mkdirSync(join(root, group), { recursive: true })
      writeFileSync(join(root, group, 'cgroup.procs'), '')
    }
    const mountinfo = [
      '22 27 0:21 / /proc rw,relatime - proc proc rw',
      `31 23 0:29 /elsewhere ${root}/cpu,cpuacct rw - cgroup old rw,cpu,cpuacct`,
      `32 31 0:29 / ${root}/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct`,
      `33 31 0:30 / ${root}/systemd rw - cgroup cgroup rw,xattr,name=systemd`,
      `34 31 0:31 / ${root}/memory rw - cgroup cgroup rw,memory`,
      `35 31 0:32 / ${root}/unified rw shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot`,
      '',
    ].join('\n')
    const own = '9:name=systemd:/\n4:memory:/gone\n1:cpu,cpuacct:/jobs/mine\n0::/user\n'
    const cpu = join(root, 'cpu,cpuacct')
    assert.deepEqual(hierarchies(mountinfo, own), [
      { mountpoint: cpu, version: 1, options: 'cpu,cpuacct', own: join(cpu, 'jobs/mine') },
      { mountpoint: join(root, 'systemd'), version: 1, options: 'none,name=systemd', own: join(root, 'systemd') },
      { mountpoint: join(root, 'unified'), version: 2, options: '', own: join(root, 'unified/user') },
    ])
  } finally {
    rmSync(root, { recursive: true })
  }
})
