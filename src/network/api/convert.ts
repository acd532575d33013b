const FLAGS = [
  'admin_state_up',
  'shared',
  'router:external',
  'is_default',
  'port_security_enabled',
  'enable_dhcp',
  'stateful',
  'enable_snat',
]
const NUMBERS = ['mtu', 'provider:segmentation_id', 'ip_version', 'port_range_min', 'port_range_max']
const NESTED = ['external_gateway_info', 'extra_dhcp_opts']

/** The older client sends `"True"` and `"22"`, as typed: the document with truth values and numbers in their place. */
export function converted(document: Record<string, any>): Record<string, any> {
  const result = { ...document }
  for (const name of FLAGS)
    if (result[name] !== undefined && result[name] !== null) result[name] = /^(true|1|yes|on|t|y)$/i.test(String(result[name]))
  for (const name of NUMBERS) if (typeof result[name] === 'string') result[name] = Number(result[name])
  for (const name of NESTED) {
    const value = result[name]
    if (Array.isArray(value)) result[name] = value.map(converted)
    else if (value !== null && typeof value === 'object') result[name] = converted(value)
  }
  return result
}
