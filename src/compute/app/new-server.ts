/** What a user asks for with POST /servers, out of the JSON and with its defaults, before anything of it has been looked up. */
export interface NewServer {
  name: string
  description: string | null
  hostname: string | null
  imageRef: string | null
  flavorRef: string
  /** `auto`: the one network that the project may use, or one that is allocated for it; null: that one network or none, as older clients say it. */
  networks: WantedNetwork[] | 'auto' | 'none' | null
  /** Names or ids. */
  securityGroups: string[]
  keyName: string | null
  /** base64 */
  userData: string | null
  metadata: Record<string, string>
  tags: string[]
  files: { path: string; contents: string }[]
  configDrive: boolean
  /** Null: as its image says. */
  autoDiskConfig: boolean | null
  /** `zone`, `zone:host`, `zone:host:node` or `zone::node`. */
  zone: string | null
  /** 2.74: without a zone. */
  host: string | null
  node: string | null
  hints: Record<string, unknown>
  minCount: number
  maxCount: number
  blockDevices: WantedBlockDevice[]
  accessIPv4: string | null
  accessIPv6: string | null
  adminPass: string | null
  trustedCertificates: string[] | null
  /** Whoever asks may have an image's disk without a bound: with a flavor that gives none. */
  unboundDisk: boolean
}

export interface WantedNetwork {
  uuid: string | null
  port: string | null
  fixedIp: string | null
  tag: string | null
}

export interface WantedBlockDevice {
  sourceType: 'volume' | 'image' | 'snapshot' | 'blank'
  destinationType: 'volume' | 'local'
  uuid: string | null
  bootIndex: number | null
  sizeGiB: number | null
  deviceName: string | null
  deleteOnTermination: boolean
  tag: string | null
  /** Of a volume that is made for the server; null: the default one. */
  volumeType: string | null
}
