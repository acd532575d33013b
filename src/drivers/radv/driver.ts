/** Router advertisements of one router: guests on its IPv6 networks learn prefixes and their way out, and give themselves addresses. */
export interface Advertisements {
  routerId: string
  /** `qrouter-<id>` */
  namespace: string
  links: AdvertisedLink[]
}

export interface AdvertisedLink {
  /** The router's device on the network; it has an address in each of the prefixes. */
  interface: string
  mtu: number
  prefixes: AdvertisedPrefix[]
}

/** As ipv6_ra_mode says it: guests make their own addresses (slaac), ask for everything else (dhcpv6-stateless), or ask for addresses, too (dhcpv6-stateful). */
export type AdvertisedMode = 'slaac' | 'dhcpv6-stateless' | 'dhcpv6-stateful'

export interface AdvertisedPrefix {
  cidr: string
  mode: AdvertisedMode
  /** IPv6 addresses of name servers. */
  dns: string[]
}

export type AdvertiserOutcome = 'unchanged' | 'started' | 'restarted'

export interface Radv {
  /**
   * Sees to it that the router advertises as asked; a process left by an earlier one is adopted. It answers no DHCP: a network's own server does.
   * @throws Fault 400 BadAdvertisement for an id that would not be one word
   */
  ensure(advertisements: Advertisements): Promise<AdvertiserOutcome>
  /** An absent one is no error. */
  stop(routerId: string): Promise<void>
  /** Routers that have files or a process, running or not. */
  list(): Promise<{ routerId: string; pid: number | undefined }[]>
}
