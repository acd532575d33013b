import type { InstanceSpec, Vif } from '../../compute/rpc.ts'
import type { GuestFile, OpenedDisk } from '../../drivers/guest-files/driver.ts'
import { badRequest } from '../../kernel/errors/errors.ts'
import { exec } from '../../kernel/exec/exec.ts'
import { writeDrive } from './config-drive.ts'
import { goesIntoDisk, injectionOf } from './injection.ts'
import type { World } from './world.ts'

interface Guest {
  instance: InstanceSpec
  vifs: Vif[]
}

/** Step 30. Into the disk where the operator wants that, else onto the config drive, from where the guest's own start-up takes the files. */
export async function injectFiles(world: World, guest: Guest): Promise<{ files: string[]; by: string }> {
  const { instance } = guest
  if (goesIntoDisk(world.options, instance)) return await intoDisk(world, guest)
  if (instance.files.length === 0) return { files: [], by: 'nothing' }
  await writeDrive(world, guest)
  return { files: instance.files.map(({ path }) => path), by: "the config drive's openstack/content" }
}

async function intoDisk({ machine: { guestFiles }, places, options }: World, guest: Guest) {
  const { instance } = guest
  const injection = injectionOf(options)
  return await guestFiles.within(places.disk(instance.uuid), injection.partition, async (opened) => {
    const files = [...personality(instance), ...metadata(instance)]
    if (injection.key && instance.keyPair) files.push(await key(opened, instance.keyPair.publicKey))
    if (injection.password && instance.adminPass) files.push(await password(opened, instance.adminPass))
    files.push(...network(guest.vifs))
    await opened.write(files)
    const where = opened.partition === 0 ? 'the disk' : `partition ${opened.partition} of the disk`
    return { files: files.map(({ path }) => path), by: `debugfs, in ${where}` }
  })
}

const personality = ({ files }: InstanceSpec): GuestFile[] =>
  files.map(({ path, contents }) => ({
    path: path.startsWith('/') ? path : `/${path}`,
    content: Buffer.from(contents, 'base64'),
    mode: 0o644,
  }))

const metadata = (instance: InstanceSpec): GuestFile[] =>
  Object.keys(instance.metadata).length === 0
    ? []
    : [{ path: '/meta.js', content: Buffer.from(JSON.stringify(instance.metadata)), mode: 0o644 }]

async function key(opened: OpenedDisk, publicKey: string): Promise<GuestFile> {
  const path = '/root/.ssh/authorized_keys'
  const before = String((await opened.read(path)) ?? '')
  const separator = before === '' || before.endsWith('\n') ? '' : '\n'
  const content = before.includes(publicKey.trim())
    ? before
    : `${before}${separator}# put here when the server was created\n${publicKey.trim()}\n`
  return { path, content: Buffer.from(content), mode: 0o600, directoryMode: 0o700 }
}

/** The line of root in /etc/shadow. @throws Fault 400 when the image has none */
async function password(opened: OpenedDisk, clear: string): Promise<GuestFile> {
  const path = '/etc/shadow'
  const lines = String((await opened.read(path)) ?? '').split('\n')
  const at = lines.findIndex((line) => line.startsWith('root:'))
  if (at < 0) throw badRequest('The image has no root in /etc/shadow: its password cannot be set.', 'NoShadow')
  if (/[\0\r\n]/.test(clear)) throw badRequest('A password that is put into a disk is one line.', 'BadPassword')
  const { stdout } = await exec('openssl', ['passwd', '-6', '-stdin'], { input: `${clear}\n` })
  const [, , ...rest] = lines[at]!.split(':')
  lines[at] = ['root', stdout.trim(), ...rest].join(':')
  return { path, content: Buffer.from(lines.join('\n')), mode: 0o640 }
}

/** Addresses that no DHCP server gives, in Debian's words. */
function network(vifs: Vif[]): GuestFile[] {
  const cards = vifs.flatMap((vif, i) =>
    vif.subnets
      .filter((subnet) => !subnet.dhcp && subnet.addresses.length > 0)
      .map((subnet) => {
        const family = subnet.ipVersion === 4 ? 'inet' : 'inet6'
        const lines = [`auto eth${i}`, `iface eth${i} ${family} static`, `    address ${subnet.addresses[0]}/${subnet.cidr.split('/')[1]}`]
        if (subnet.gateway) lines.push(`    gateway ${subnet.gateway}`)
        if (subnet.dns.length > 0) lines.push(`    dns-nameservers ${subnet.dns.join(' ')}`)
        return lines.join('\n')
      }),
  )
  if (cards.length === 0) return []
  const content = ['auto lo\niface lo inet loopback', ...cards, ''].join('\n\n')
  return [{ path: '/etc/network/interfaces', content: Buffer.from(content), mode: 0o644 }]
}
