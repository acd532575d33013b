import type { Wanted } from '../../drivers/iptables/plan.ts'
import type { RouterDetails } from '../../network/rpc.ts'
import { familyOf } from './addresses.ts'
import { METADATA_ADDRESS, METADATA_PORT, qgOf } from './names.ts'

const OWNER = 'neutron-l3-agent'
const BUILT_IN = {
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
  mangle: ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'],
  nat: ['PREROUTING', 'OUTPUT', 'POSTROUTING'],
  raw: ['PREROUTING', 'OUTPUT'],
}

export const ownsRouterChain = (chain: string) =>
  chain.startsWith(`${OWNER}-`) || chain === 'neutron-filter-top' || chain === 'neutron-postrouting-bottom'

/** Marks are Neutron's: 1 for a request to the metadata service, 2 for what came in from outside. */
const METADATA_MARK = '0x1/0xffff'
const OUTSIDE_MARK = '0x2/0xffff'

/** Address translation and metadata redirection in a router's namespace (IPv4), chain by chain as Neutron's L3 agent has it, in the words of iptables-save. */
export function rulesOf(router: RouterDetails): Wanted {
  const gateway = router.gateway?.addresses.find((each) => familyOf(each.address) === 4)?.address
  const out = router.gateway && gateway ? qgOf(router.gateway.id) : undefined
  const toMetadata = `-d ${METADATA_ADDRESS}/32 -i qr-+ -p tcp -m tcp --dport 80`
  const chain = (name: string) => `${OWNER}-${name}`

  const nat: Record<string, string[]> = {
    [chain('PREROUTING')]: [
      `${toMetadata} -j REDIRECT --to-ports ${METADATA_PORT}`,
      ...router.floatingIps.map((each) => `-d ${each.floatingAddress}/32 -j DNAT --to-destination ${each.fixedAddress}`),
    ],
    [chain('OUTPUT')]: router.floatingIps.map((each) => `-d ${each.floatingAddress}/32 -j DNAT --to-destination ${each.fixedAddress}`),
    [chain('POSTROUTING')]: out ? [`! -o ${out} -m conntrack ! --ctstate DNAT -j ACCEPT`] : [],
    [chain('float-snat')]: router.floatingIps.map((each) => `-s ${each.fixedAddress}/32 -j SNAT --to-source ${each.floatingAddress}`),
    [chain('snat')]: [
      `-j ${chain('float-snat')}`,
      ...(out && router.enableSnat
        ? [
            `-o ${out} -j SNAT --to-source ${gateway}`,
            `-m mark ! --mark ${OUTSIDE_MARK} -m conntrack --ctstate DNAT -j SNAT --to-source ${gateway}`,
          ]
        : []),
    ],
    'neutron-postrouting-bottom': [`-m comment --comment "Perform source NAT on outgoing traffic." -j ${chain('snat')}`],
  }
  const mangle: Record<string, string[]> = {
    ...empty('mangle'),
    [chain('PREROUTING')]: [`-j ${chain('mark')}`, `${toMetadata} -j MARK --set-xmark ${METADATA_MARK}`],
    [chain('mark')]: out ? [`-i ${out} -j MARK --set-xmark ${OUTSIDE_MARK}`] : [],
  }
  const filter: Record<string, string[]> = {
    ...empty('filter'),
    'neutron-filter-top': [`-j ${chain('local')}`],
    [chain('local')]: [],
    [chain('INPUT')]: [`-m mark --mark ${METADATA_MARK} -j ACCEPT`, `-p tcp -m tcp --dport ${METADATA_PORT} -j DROP`],
  }
  return {
    nat: { chains: nat, hooks: { ...hooks('nat'), POSTROUTING: [`-j ${chain('POSTROUTING')}`, '-j neutron-postrouting-bottom'] } },
    mangle: { chains: mangle, hooks: hooks('mangle') },
    filter: {
      chains: filter,
      hooks: {
        ...hooks('filter'),
        FORWARD: ['-j neutron-filter-top', `-j ${chain('FORWARD')}`],
        OUTPUT: ['-j neutron-filter-top', `-j ${chain('OUTPUT')}`],
      },
    },
  }
}

/** The rules that make one floating IP work, for its evidence. */
export function floatingRulesOf(router: RouterDetails, floatingAddress: string): string[] {
  const { nat } = rulesOf(router)
  return Object.entries(nat!.chains).flatMap(([chain, rules]) =>
    rules
      .filter((rule) => rule.includes(`${floatingAddress}/32`) || rule.endsWith(` ${floatingAddress}`))
      .map((rule) => `-A ${chain} ${rule}`),
  )
}

const empty = (table: 'filter' | 'mangle') => Object.fromEntries(BUILT_IN[table].map((name) => [`${OWNER}-${name}`, [] as string[]]))
const hooks = (table: 'filter' | 'mangle' | 'nat') => Object.fromEntries(BUILT_IN[table].map((name) => [name, [`-j ${OWNER}-${name}`]]))
