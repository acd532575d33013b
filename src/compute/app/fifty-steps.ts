/** The article's fifty steps in its nine chapters. Sagas and services number their steps by this table; the trace shows every row of it, done or not. */
export interface ArticleStep {
  step: number
  /** Kebab-case: the name under which it is recorded and found in docs/steps.md. */
  name: string
  title: string
  chapter: Chapter
}

export const CHAPTERS = ['Keystone', 'Nova API', 'Scheduler', 'Compute', 'Image', 'Libvirt', 'Neutron', 'KVM', 'Cinder'] as const
export type Chapter = (typeof CHAPTERS)[number]

const chapter = (name: Chapter, rows: [step: number, name: string, title: string][]): ArticleStep[] =>
  rows.map(([step, id, title]) => ({ step, name: id, title, chapter: name }))

export const FIFTY_STEPS: ArticleStep[] = [
  ...chapter('Keystone', [
    [1, 'token', 'token'],
    [2, 'post-servers', 'POST /servers'],
  ]),
  ...chapter('Nova API', [
    [3, 'rate-limit', 'rate limit'],
    [4, 'validate-token', 'token validated'],
    [5, 'policy', 'policy'],
    [6, 'quota', 'quota'],
    [7, 'instance-row', 'instance row'],
    [8, 'filter-properties', 'filter properties'],
    [9, 'call-conductor', 'RPC to conductor'],
    [10, 'request-spec', 'request spec'],
    [11, 'call-scheduler', 'RPC to scheduler'],
  ]),
  ...chapter('Scheduler', [
    [12, 'host-states', 'host states'],
    [13, 'filter-hosts', 'filter hosts'],
    [14, 'weigh-hosts', 'weigh hosts'],
    [15, 'select-host', 'RPC to the host'],
  ]),
  ...chapter('Compute', [
    [16, 'receive', 'request received'],
    [17, 'claim', 'resource claim'],
    [18, 'allocate-network', 'allocate network'],
    [19, 'mac-address', 'MAC address'],
    [20, 'dhcp-entry', 'DHCP entry'],
    [21, 'network-info', 'network information'],
    [22, 'security-groups', 'security groups'],
    [23, 'port', 'port object'],
    [24, 'spawn', 'libvirt driver asked'],
  ]),
  ...chapter('Image', [
    [25, 'prepare-directory', 'instance directory'],
    [26, 'fetch-base', 'base image'],
    [27, 'create-overlay', 'qcow2 overlay'],
    [28, 'resize-disk', 'disk resized'],
    [29, 'config-drive', 'config drive'],
    [30, 'inject-files', 'file injection'],
  ]),
  ...chapter('Libvirt', [
    [31, 'domain-xml', 'domain XML'],
    [32, 'define-domain', 'domain defined'],
  ]),
  ...chapter('Neutron', [
    [33, 'create-qbr', 'qbr bridge'],
    [34, 'create-veth', 'veth qvo/qvb'],
    [35, 'join-qbr', 'qvb joins qbr'],
    [36, 'join-br-int', 'qvo joins br-int'],
  ]),
  ...chapter('KVM', [
    [37, 'start-domain', 'domain started'],
    [38, 'dhcp-lease', 'address by DHCP'],
    [39, 'metadata', 'metadata, key'],
    [40, 'console', 'boot seen by VNC'],
    [41, 'floating-ip', 'floating IP'],
    [42, 'outside', 'the outside'],
    [43, 'governed', 'share governed'],
  ]),
  ...chapter('Cinder', [
    [44, 'create-volume', 'volume asked for'],
    [45, 'schedule-volume', 'back end chosen'],
    [46, 'iscsi-target', 'iSCSI target'],
    [47, 'logical-volume', 'logical volume'],
    [48, 'connect-target', 'target connected'],
    [49, 'attach-volume', 'volume attached'],
    [50, 'data-outlives', 'data outlives guest'],
  ]),
]
