import { type FilterName, SCHEDULER_DEFAULTS } from '../src/compute/app/scheduler/settings.ts'
import type { Ground } from './ground.ts'

export interface Cloud {
  /** Of identity, with /v3. */
  authUrl: string
  region: string
  adminPassword: string
  /** Whether guests are real: they are logged into then. */
  real: boolean
  hosts: number
  /** qcow2 of the guest, for scenarios that upload an image themselves; null where guests are simulated. */
  imageFile: string | null
  /** An image that the cloud may fetch. */
  webImage: string
}

type Section = Record<string, string | number | boolean>

/** What tempest assumes of a cloud whose users' passwords have rules. */
export const PASSWORD_RULES = { lockoutFailureAttempts: 2, lockoutDuration: 5, uniqueLastPasswordCount: 2 }

export const ENABLED_FILTERS: FilterName[] = [...SCHEDULER_DEFAULTS.enabledFilters, 'DifferentHostFilter', 'SameHostFilter']

/** tempest.conf: where the cloud is, and which features it has. What is not named here keeps tempest's default. */
export function configuration(cloud: Cloud, ground: Ground, workDir: string): string {
  const { lockoutFailureAttempts, lockoutDuration, uniqueLastPasswordCount } = PASSWORD_RULES
  const passwordRules = {
    user_lockout_failure_attempts: lockoutFailureAttempts,
    user_lockout_duration: lockoutDuration,
    user_unique_last_password_count: uniqueLastPasswordCount,
  }
  const sections: Record<string, Section> = {
    DEFAULT: { log_dir: workDir, log_file: 'tempest.log', debug: true },
    oslo_concurrency: { lock_path: `${workDir}/locks` },
    auth: {
      use_dynamic_credentials: true,
      admin_username: 'admin',
      admin_project_name: 'admin',
      admin_password: cloud.adminPassword,
      admin_system: 'all',
    },
    identity: { auth_version: 'v3', uri_v3: cloud.authUrl, region: cloud.region, v3_endpoint_type: 'public', ...passwordRules },
    'identity-feature-enabled': { security_compliance: true },
    service_available: { nova: true, glance: true, neutron: true, cinder: true, swift: false, horizon: false },
    compute: {
      image_ref: ground.image,
      image_ref_alt: ground.imageAlt,
      flavor_ref: ground.flavor,
      flavor_ref_alt: ground.flavorAlt,
      min_compute_nodes: cloud.hosts,
      min_microversion: '2.1',
      max_microversion: 'latest',
      ...patience(cloud),
    },
    'compute-feature-enabled': {
      hostname_fqdn_sanitization: true,
      change_password: true,
      resize: true,
      vnc_console: true,
      stable_rescue: true,
      xenapi_apis: true, // that servers' metadata can be changed
      personality: true,
      swap_volume: true,
      volume_backed_live_migration: true,
      block_migration_for_live_migration: true,
      block_migrate_cinder_iscsi: true,
      live_migrate_back_and_forth: true,
      shelve_migrate: true,
      volume_multiattach: true,
      scheduler_enabled_filters: ENABLED_FILTERS.join(','),
    },
    placement: { min_microversion: '1.0', max_microversion: 'latest' },
    image: { http_image: cloud.webImage, ...patience(cloud) },
    'image-feature-enabled': { import_image: true, os_glance_reserved: true },
    network: { public_network_id: ground.externalNetwork, floating_network_name: 'public', ...patience(cloud) },
    'network-feature-enabled': { ipv6_subnet_attributes: true, port_security: true, api_extensions: extensions(ground) },
    validation: {
      run_validation: cloud.real,
      image_ssh_user: 'cirros',
      image_ssh_password: 'gocubsgo',
      image_alt_ssh_user: 'cirros',
      image_alt_ssh_password: 'gocubsgo',
    },
    volume: { min_microversion: '3.0', max_microversion: 'latest', ...patience(cloud) },
    'volume-feature-enabled': { backup: true, manage_snapshot: true, manage_volume: true, extend_attached_volume: true },
    scenario: cloud.imageFile ? { img_file: cloud.imageFile } : {},
  }
  return `${Object.entries(sections).map(ini).join('\n')}`
}

/** Those that the cloud names, and what its tags were called before every resource had them. */
const extensions = ({ networkExtensions }: Ground) => [...networkExtensions, 'tag', 'tag-ext'].join(',')

/** s: real guests are emulated where there is no hardware for them, simulated ones are there at once. */
const patience = ({ real }: Cloud): Section => ({ build_timeout: real ? 300 : 60, build_interval: 1 })

const ini = ([name, section]: [string, Section]) =>
  `[${name}]\n${Object.entries(section)
    .map(([key, value]) => `${key} = ${value}\n`)
    .join('')}`
