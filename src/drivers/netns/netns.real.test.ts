import { netnsContract } from './contract.ts'
import { realNetNs } from './real.ts'

netnsContract(realNetNs, String(process.pid))
