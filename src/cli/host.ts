import { hostname } from 'node:os'
import { joinCloud, readMembership, rolesOf } from '../cloud/membership.ts'
import { FLAGS, readFlags, settingsOf } from '../cloud/settings.ts'
import { HOST_ROLES } from '../cluster/client.ts'
import { badRequest } from '../kernel/errors/errors.ts'
import { showMs } from '../kernel/units/units.ts'
import { stayUntilStopped } from './stay.ts'

const HELP = `Makes this machine a host of a cloud whose control is elsewhere: guests, networks or disks. It knows no database.

The first start joins with a one-time token (npx yun join-token on a control host); what the host is given then lies in the state directory, mode 0600, and later starts
need neither token nor address.

Usage: npx yun host --control URL --token TOKEN [options]
       npx yun host [options]

  --control URL          where the APIs answer, as this machine reaches them
  --token TOKEN          lets this machine join, once
  --roles LIST           what it does: ${HOST_ROLES.join(',')} (all)
  --name NAME            what it is called (this machine's name)
  --address ADDRESS      as the other hosts reach this machine: tunnels, disks, screens
  --config FILE          further settings, in YAML
  --state DIR            where everything of this host lies (root: /var/lib/yun)
  --hypervisor KIND      libvirt or simulated
  --log-level LEVEL      of DIR/yun.log (info)
`

const HOST_FLAGS = {
  ...FLAGS,
  control: { type: 'string' },
  token: { type: 'string' },
  roles: { type: 'string' },
  name: { type: 'string' },
} as const

export async function run(argv: string[]): Promise<number> {
  const values = readFlags(argv, HOST_FLAGS)
  if (values.help) {
    console.log(HELP)
    return 0
  }
  const settings = settingsOf(values, hostname())
  const started = performance.now()
  const known = readMembership(settings.stateDir)
  const roles = typeof values.roles === 'string' ? rolesOf(values.roles) : (known?.roles ?? [...HOST_ROLES])
  let membership = known
  if (values.token) {
    if (!values.control) throw badRequest('--token needs --control URL: where the APIs of that cloud answer', 'Usage')
    const url = String(values.control).replace(/\/$/, '')
    membership = await joinCloud(settings.stateDir, {
      url,
      token: String(values.token),
      host: String(values.name ?? settings.hostname),
      roles,
    })
  }
  if (!membership)
    throw badRequest(
      `this machine has not joined a cloud (no host.json in ${settings.stateDir}): give --control URL and --token TOKEN`,
      'Usage',
    )
  const { startHost } = await import('../cloud/cloud.ts')
  const cloud = await startHost(settings, { ...membership, roles, url: values.control ? String(values.control) : membership.url })
  console.log(` Host       · ${membership.host} (${roles.join(', ')}) serves ${cloud.url} after ${showMs(performance.now() - started)}`)
  for (const notice of cloud.notices) console.log(` Machine    · ${notice}`)
  return await stayUntilStopped(cloud)
}
