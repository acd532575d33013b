import { badRequest } from '../../kernel/errors/errors.ts'

/** A key of a flavor's extra specs and the values that it may have. */
interface Known {
  key: RegExp
  value: RegExp
}

const word = (key: string, ...values: string[]): Known => ({ key: new RegExp(`^${key}$`), value: new RegExp(`^(${values.join('|')})$`) })
const truth = (key: string): Known => ({ key: new RegExp(`^${key}$`), value: /^(1|t|true|on|y|yes|0|f|false|off|n|no)$/i })
const count = (key: string): Known => ({ key: new RegExp(`^${key}$`), value: /^\d+$/ })
const text = (key: string): Known => ({ key: new RegExp(`^${key}$`), value: /^.+$/ })

const CPUS = /^(\^?\d+(-\d+)?)(,\^?\d+(-\d+)?)*$/
const RESOURCE =
  '(?:VCPU|MEMORY_MB|DISK_GB|PCI_DEVICE|SRIOV_NET_VF|NUMA_[A-Z_]+|IPV4_ADDRESS|VGPU(?:_DISPLAY_HEAD)?|NET_[A-Z_]+|PCPU|FPGA|PGPU|MEM_ENCRYPTION_CONTEXT|CUSTOM_[A-Z0-9_]+)'

const KNOWN: Known[] = [
  text('accel:device_profile'),
  text('aggregate_instance_extra_specs:[\\w.-]+'),
  text('capabilities:[\\w:.-]+'),
  word('hw:boot_menu', 'true', 'false', 'True', 'False', '1', '0'),
  word('hw:cpu_policy', 'dedicated', 'shared', 'mixed'),
  word('hw:cpu_thread_policy', 'prefer', 'isolate', 'require'),
  word('hw:emulator_threads_policy', 'isolate', 'share'),
  { key: /^hw:cpu_dedicated_mask$/, value: CPUS },
  { key: /^hw:cpu_realtime_mask$/, value: CPUS },
  truth('hw:cpu_realtime'),
  count('hw:(max_)?cpu_(sockets|cores|threads)'),
  { key: /^hw:mem_page_size$/, value: /^(large|small|any|\d+([kKMG]([bB]|iB)?)?)$/ },
  truth('hw:mem_encryption'),
  word('hw:numa_nodes', '[1-9]\\d*'),
  { key: /^hw:numa_cpus\.\d+$/, value: CPUS },
  count('hw:numa_mem\\.\\d+'),
  word('hw:pci_numa_affinity_policy', 'required', 'preferred', 'legacy', 'socket'),
  word('hw:vif_multiqueue_enabled', 'true', 'false', 'True', 'False', '1', '0'),
  word('hw:serial_port_count', '\\d+'),
  word('hw:watchdog_action', 'none', 'pause', 'poweroff', 'reset', 'disabled'),
  word('hw:tpm_version', '1\\.2', '2\\.0'),
  word('hw:tpm_model', 'tpm-tis', 'tpm-crb'),
  truth('hw:pmu'),
  truth('hw:locked_memory'),
  word('hw:input_bus', 'usb', 'virtio'),
  text('hw:pmem'),
  truth('hw_rng:allowed'),
  count('hw_rng:rate_(bytes|period)'),
  count('hw_video:ram_max_mb'),
  word('os:secure_boot', 'required', 'disabled', 'optional'),
  text('pci_passthrough:alias'),
  count('quota:(disk|vif)_[a-z_]+'),
  count('quota:cpu_(shares|period|limit|reservation|shares_share)'),
  { key: /^quota:cpu_quota$/, value: /^-?\d+$/ },
  word('quota:(cpu|memory|disk_io|vif)_shares_level', 'custom', 'high', 'normal', 'low'),
  count('quota:(cpu|memory|disk_io|vif)_(limit|reservation|shares_share)'),
  { key: new RegExp(`^resources[^:]*:${RESOURCE}$`), value: /^\d+$/ },
  { key: /^trait[^:]*:[A-Z0-9_]+$/, value: /^(required|forbidden)$/ },
  text('(powervm|vmware):[\\w:.-]+'),
  truth('hide_hypervisor_id'),
  word('group_policy', 'none', 'isolate'),
]
/** Here a key that is not known is a mistake; any other is the operator's own. */
const SPACES = /^(accel|capabilities|hw|hw_rng|hw_video|os|pci_passthrough|powervm|quota|resources[^:]*|trait[^:]*|vmware):/

/** @throws Fault 400 for a key that looks like one of the cloud's and is none, or a value that its key cannot have */
export function checkExtraSpecs(specs: Record<string, string>): void {
  for (const [key, value] of Object.entries(specs)) {
    const known = KNOWN.find((one) => one.key.test(key))
    if (!known && SPACES.test(key)) throw badRequest(`Validation failed; extra spec '${key}' does not appear to be a valid extra spec.`)
    if (known && !known.value.test(value)) throw badRequest(`Validation failed; '${value}' is not a value of extra spec '${key}'.`)
  }
}
