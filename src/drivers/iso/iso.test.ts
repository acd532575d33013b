import { isoContract } from './contract.ts'
import { simulatedIso } from './simulated.ts'

isoContract(simulatedIso)
