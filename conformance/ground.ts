import { createReadStream, statSync } from 'node:fs'
import { Readable } from 'node:stream'
import type { Api } from '../src/cli/api.ts'
import { externalOf } from '../src/cloud/settings.ts'

/** What tempest expects to find in a cloud: two images, two flavors, an external network, and what automatically allocated networks are made of. */
export interface Ground {
  image: string
  imageAlt: string
  flavor: string
  flavorAlt: string
  externalNetwork: string
  /** Aliases of what the network service does beyond its core. */
  networkExtensions: string[]
}

/** The outside of the cloud under test: a network that its users' own do not touch. */
export const EXTERNAL = externalOf('172.24.4.0/24')

/** @param imageFile a qcow2 file; null where guests are simulated and any bytes do */
export async function layGround(api: Api, imageFile: string | null): Promise<Ground> {
  return {
    image: await image(api, 'tiny', imageFile),
    imageAlt: await image(api, 'tiny-too', imageFile),
    flavor: await flavor(api, { name: 'm1.nano', vcpus: 1, ram: 192, disk: 1 }),
    flavorAlt: await flavor(api, { name: 'm1.micro', vcpus: 1, ram: 256, disk: 1 }),
    externalNetwork: await externalNetwork(api),
    networkExtensions: (await api.get('/network/v2.0/extensions')).extensions.map((one: { alias: string }) => one.alias),
  }
}

async function image(api: Api, name: string, file: string | null): Promise<string> {
  const { id } = await api.post('/image/v2/images', {
    name,
    disk_format: file ? 'qcow2' : 'raw',
    container_format: 'bare',
    visibility: 'public',
  })
  const size = file ? statSync(file).size : 1 << 20
  await api.upload(
    `/image/v2/images/${id}/file`,
    file ? (Readable.toWeb(createReadStream(file)) as ReadableStream) : new Uint8Array(size),
    size,
  )
  return id
}

const flavor = async (api: Api, body: { name: string; vcpus: number; ram: number; disk: number }): Promise<string> =>
  (await api.post('/compute/v2.1/flavors', { flavor: body })).flavor.id

async function externalNetwork(api: Api): Promise<string> {
  const outside = { name: 'public', 'router:external': true, is_default: true }
  const { network } = await api.post('/network/v2.0/networks', {
    network: { ...outside, 'provider:network_type': 'flat', 'provider:physical_network': 'public' },
  })
  await api.post('/network/v2.0/subnetpools', {
    subnetpool: { name: 'default', prefixes: ['10.128.0.0/16'], default_prefixlen: 26, shared: true, is_default: true },
  })
  await api.post('/network/v2.0/subnets', {
    subnet: {
      name: 'public-subnet',
      network_id: network.id,
      ip_version: 4,
      cidr: EXTERNAL.cidr,
      gateway_ip: EXTERNAL.gateway,
      enable_dhcp: false,
      allocation_pools: [{ start: EXTERNAL.start, end: EXTERNAL.end }],
    },
  })
  return network.id
}
