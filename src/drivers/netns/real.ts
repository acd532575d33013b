import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { conflict, Fault, notFound } from '../../kernel/errors/errors.ts'
import { ExecError, exec } from '../../kernel/exec/exec.ts'
import type { Change, Link, Namespace, Neighbour, NetNs, Route, Shape } from './driver.ts'
import { cidr, destination, deviceName, fullShape, ipAddress, macAddress, namespaceName, sysctlName, whole } from './words.ts'

/** `ip`, `tc`, `ethtool` and `arping` of this machine; needs root. Many changes are one `ip -batch`. */
export function realNetNs(): NetNs {
  return {
    async namespaces() {
      const { stdout } = await exec('ip', ['-j', 'netns', 'list'])
      return (stdout.trim() ? JSON.parse(stdout) : []).map((each: { name: string }) => each.name).sort()
    },

    async ensureNamespace(name) {
      if (existsSync(`/run/netns/${namespaceName(name)}`)) return false
      const made = await exec('ip', ['netns', 'add', namespaceName(name)], { ok: [0, 1] })
      if (made.code !== 0 && !/File exists/.test(made.stderr))
        throw new Fault(500, 'CommandFailed', `ip netns add ${name}: ${made.stderr.trim()}`)
      if (made.code === 0) await exec('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
      return made.code === 0
    },

    async removeNamespace(name) {
      const { code, stderr } = await exec('ip', ['netns', 'delete', namespaceName(name)], { ok: [0, 1] })
      if (code !== 0 && !/No such file/.test(stderr)) throw new Fault(500, 'CommandFailed', `ip netns delete ${name}: ${stderr.trim()}`)
    },

    links: async (namespace) => parseLinks(await ip(namespace, ['-j', '-d', 'address', 'show'])),

    async apply(namespace, changes) {
      if (!changes.length) return
      const lines = changes.flatMap(batchLines)
      try {
        await exec('ip', [...within(namespace), '-batch', '-'], { input: `${lines.map(([, line]) => line).join('\n')}\n` })
      } catch (error) {
        throw explained(error, namespace, lines)
      }
    },

    routes: async (namespace, family) =>
      JSON.parse((await ip(namespace, [`-${family}`, '-j', 'route', 'show'])) || '[]').map(
        (each: any): Route => ({
          to: each.dst,
          ...(each.gateway ? { via: each.gateway } : {}),
          dev: each.dev,
          protocol: each.protocol ?? 'boot',
        }),
      ),

    neighbours: async (namespace, dev) =>
      JSON.parse((await ip(namespace, ['-j', 'neighbour', 'show', 'dev', deviceName(dev)])) || '[]').map(
        (each: any): Neighbour => ({
          address: each.dst,
          ...(each.lladdr ? { mac: each.lladdr } : {}),
          dev,
          state: each.state?.[0] ?? 'NONE',
        }),
      ),

    async sysctl(namespace, names) {
      names.forEach(sysctlName)
      if (namespace === undefined) {
        const read = await Promise.all(
          names.map(async (name) => [name, await readFile(procPath(name), 'utf8').catch(() => undefined)] as const),
        )
        return Object.fromEntries(read.flatMap(([name, value]) => (value === undefined ? [] : [[name, value.trim()]])))
      }
      const { stdout } = await exec('sysctl', ['-e', ...names], { netns: namespaceName(namespace) }).catch(noNamespace(namespace))
      return Object.fromEntries(
        stdout
          .split('\n')
          .filter(Boolean)
          .map((line) => line.split(/ = ?/, 2) as [string, string]),
      )
    },

    async setSysctl(namespace, values) {
      const pairs = Object.entries(values).map(([name, value]) => [sysctlName(name), String(value)] as const)
      if (namespace === undefined) for (const [name, value] of pairs) await writeFile(procPath(name), value)
      else if (pairs.length)
        await exec('sysctl', ['-q', '-w', ...pairs.map(([name, value]) => `${name}=${value}`)], { netns: namespaceName(namespace) }).catch(
          noNamespace(namespace),
        )
    },

    async checksumOffload(namespace, dev) {
      const { stdout } = await exec('ethtool', ['-k', deviceName(dev)], netnsOf(namespace)).catch(noDevice(namespace, dev))
      return /^tx-checksumming: on/m.test(stdout)
    },

    async setChecksumOffload(namespace, dev, on) {
      await exec('ethtool', ['-K', deviceName(dev), 'tx', on ? 'on' : 'off'], netnsOf(namespace)).catch(noDevice(namespace, dev))
    },

    async announce(namespace, dev, address) {
      await exec('arping', ['-q', '-U', '-c', '1', '-w', '1', '-I', deviceName(dev), ipAddress(address)], {
        ...netnsOf(namespace),
        ok: [0, 1],
      }).catch(noDevice(namespace, dev))
    },

    async shape(namespace, dev) {
      const show = (kind: string, ...how: string[]) =>
        exec('tc', [...within(namespace), ...how, kind, 'show', 'dev', deviceName(dev)]).catch(noDevice(namespace, dev))
      const root = JSON.parse((await show('qdisc', '-j')).stdout || '[]').find((each: any) => each.root)
      if (root?.kind === 'tbf') return { kind: 'tbf', rate: kbit(root.options.rate), burst: kbit(root.options.burst) }
      if (root?.kind !== 'htb') return undefined
      // tc has no JSON for classes
      const [, rate, ceil, burst] = / rate (\S+) ceil (\S+) burst (\S+)/.exec((await show('class')).stdout) ?? []
      return rate && ceil && burst ? { kind: 'htb', rate: kbit(rate), ceil: kbit(ceil), burst: kbit(burst) } : undefined
    },

    async setShape(namespace, dev, shape) {
      deviceName(dev)
      if (!shape) {
        const { code, stderr } = await exec('tc', [...within(namespace), 'qdisc', 'delete', 'dev', dev, 'root'], { ok: [0, 1, 2] })
        if (code !== 0 && !/handle of zero|No such file|Invalid handle/.test(stderr))
          throw noDevice(namespace, dev)(new ExecError(`tc qdisc delete dev ${dev} root`, code, stderr, stderr.trim()))
        return
      }
      await exec('tc', [...within(namespace), '-batch', '-'], {
        input: shapeLines(dev, shape, await this.shape(namespace, dev)).join('\n'),
      }).catch(noDevice(namespace, dev))
    },
  }
}

function shapeLines(dev: string, given: Shape, current: Shape | undefined): string[] {
  const shape = fullShape(given)
  const burst = `${Math.round((shape.burst * 1000) / 8)}b`
  if (shape.kind === 'tbf') return [`qdisc replace dev ${dev} root tbf rate ${shape.rate}kbit burst ${burst} latency 50ms`]
  return [
    // the kernel cannot change an HTB root in place, only its classes
    ...(current?.kind === 'htb' ? [] : [`qdisc replace dev ${dev} root handle 1: htb default 1`]),
    `class replace dev ${dev} parent 1: classid 1:1 htb rate ${shape.rate}kbit ceil ${shape.ceil}kbit burst ${burst} cburst ${burst}`,
  ]
}

/** Thousands of bits from what tc prints: a number of bytes, or text such as `8Mbit` and `100000b` (bytes). */
function kbit(value: number | string): number {
  if (typeof value === 'number') return Math.round((value * 8) / 1000)
  const bits = { bit: 0.001, Kbit: 1, Mbit: 1e3, Gbit: 1e6, b: 0.008, Kb: 8.192, Mb: 8388.608 }[value.replace(/^[\d.]+/, '')]
  return Math.round(Number.parseFloat(value) * (bits ?? Number.NaN))
}

const within = (namespace: Namespace): string[] => (namespace === undefined ? [] : ['-n', namespaceName(namespace)])
const netnsOf = (namespace: Namespace) => (namespace === undefined ? {} : { netns: namespaceName(namespace) })
const procPath = (name: string) => `/proc/sys/${name.replace(/[./]/g, (sign) => (sign === '.' ? '/' : '.'))}`

async function ip(namespace: Namespace, args: string[]): Promise<string> {
  try {
    return (await exec('ip', [...within(namespace), ...args])).stdout.trim()
  } catch (error) {
    throw explained(error, namespace, [])
  }
}

function parseLinks(json: string): Link[] {
  return (JSON.parse(json || '[]') as any[]).map((each) => ({
    name: each.ifname,
    index: each.ifindex,
    kind: each.linkinfo?.info_kind ?? (each.link_type === 'loopback' ? 'loopback' : 'other'),
    mac: each.address,
    mtu: each.mtu,
    up: each.flags.includes('UP'),
    promisc: each.flags.includes('PROMISC'),
    ...(each.master ? { master: each.master } : {}),
    addresses: each.addr_info.map((one: any) => ({ family: one.family === 'inet' ? 4 : 6, address: one.local, prefix: one.prefixlen })),
  }))
}

/** The lines of a batch, each with the change it belongs to, so that a refusal can say which one it was. */
function batchLines(change: Change): [Change, string][] {
  return lines(change).map((line) => [change, line])
}

function lines(change: Change): string[] {
  switch (change.do) {
    case 'add-bridge':
      return [`link add name ${deviceName(change.name)}${change.mac !== undefined ? ` address ${macAddress(change.mac)}` : ''} type bridge`]
    case 'add-dummy':
      return [`link add name ${deviceName(change.name)} type dummy`]
    case 'add-veth':
      return [
        `link add name ${deviceName(change.name)} type veth peer name ${deviceName(change.peer)}${change.peerNamespace !== undefined ? ` netns ${namespaceName(change.peerNamespace)}` : ''}`,
      ]
    case 'delete-link':
      return [`link delete ${deviceName(change.name)}`]
    case 'set-link': {
      const dev = `link set dev ${deviceName(change.name)}`
      return [
        ...(change.mtu === undefined ? [] : [`${dev} mtu ${whole(change.mtu)}`]),
        ...(change.mac === undefined ? [] : [`${dev} address ${macAddress(change.mac)}`]),
        ...(change.promisc === undefined ? [] : [`${dev} promisc ${change.promisc ? 'on' : 'off'}`]),
        ...(change.master === undefined ? [] : [change.master === null ? `${dev} nomaster` : `${dev} master ${deviceName(change.master)}`]),
        ...(change.up === undefined ? [] : [`${dev} ${change.up ? 'up' : 'down'}`]),
        ...(change.namespace === undefined ? [] : [`${dev} netns ${namespaceName(change.namespace)}`]),
      ]
    }
    case 'set-bridge': {
      const options = [
        ...(change.forwardDelay === undefined ? [] : [`forward_delay ${whole(change.forwardDelay * 100)}`]),
        ...(change.ageing === undefined ? [] : [`ageing_time ${whole(change.ageing * 100)}`]),
        ...(change.stp === undefined ? [] : [`stp_state ${change.stp ? 1 : 0}`]),
        ...(change.multicastSnooping === undefined ? [] : [`mcast_snooping ${change.multicastSnooping ? 1 : 0}`]),
      ]
      return options.length ? [`link set dev ${deviceName(change.name)} type bridge ${options.join(' ')}`] : []
    }
    case 'set-address': {
      const { address, prefix, family } = cidr(change.cidr)
      // IPv6: no duplicate address detection, the address is unique by the network's own bookkeeping and must answer at once
      return [
        `address replace ${address}/${prefix} dev ${deviceName(change.dev)}${family === 6 ? ' nodad' : prefix < 31 ? ' broadcast +' : ''}`,
      ]
    }
    case 'delete-address': {
      const { address, prefix } = cidr(change.cidr)
      return [`address delete ${address}/${prefix} dev ${deviceName(change.dev)}`]
    }
    case 'set-route':
    case 'delete-route': {
      const words = [
        change.via !== undefined ? ` via ${ipAddress(change.via)}` : '',
        change.dev !== undefined ? ` dev ${deviceName(change.dev)}` : '',
      ]
      return [`route ${change.do === 'set-route' ? 'replace' : 'delete'} ${destination(change.to)}${words.join('')}`]
    }
    case 'set-neighbour':
      return [`neighbour replace ${ipAddress(change.address)} lladdr ${macAddress(change.mac)} dev ${deviceName(change.dev)} nud permanent`]
  }
}

/** Turns iproute2's words into one of the few errors that the contract knows. */
function explained(error: unknown, namespace: Namespace, batch: [Change, string][]): unknown {
  if (!(error instanceof ExecError)) return error
  const line = Number(/Command failed -:(\d+)/.exec(error.stderr)?.[1])
  const [change] = batch[line - 1] ?? []
  const said = error.stderr
    .replace(/^Command failed.*$/m, '')
    .trim()
    .split('\n')[0]
  const where = namespace === undefined ? '' : ` in ${namespace}`
  const what = change ? `${JSON.stringify(change)}${where}: ${said}` : `${error.message}${where}`
  if (/Cannot open network namespace|Invalid "?netns/.test(error.stderr))
    return notFound(`There is no network namespace ${namespace}: ${said}`, 'NoSuchNamespace')
  if (/Cannot find device|does not exist|No such device/.test(error.stderr)) return notFound(what, 'NoSuchLink')
  if (/Cannot assign requested address|No such process|[Aa]ddress not found/.test(error.stderr)) return notFound(what, 'NoSuchEntry')
  if (/invalid gateway|Network is unreachable/.test(error.stderr)) return conflict(what, 'UnreachableGateway')
  if (/File exists/.test(error.stderr)) return conflict(what, 'LinkExists')
  return new Fault(500, 'CommandFailed', what, { cause: error })
}

const noNamespace = (namespace: string) => (error: unknown) => {
  throw explained(error, namespace, [])
}

const noDevice = (namespace: Namespace, dev: string) => (error: unknown) => {
  if (error instanceof ExecError && /No such device|Cannot find device|does not exist/.test(`${error.stderr}${error.message}`))
    throw notFound(`There is no device ${dev}${namespace ? ` in ${namespace}` : ''}.`, 'NoSuchLink')
  throw explained(error, namespace, [])
}
