import { qemuImgContract } from './contract.ts'
import { simulatedQemuImg } from './simulated.ts'

qemuImgContract(simulatedQemuImg)
