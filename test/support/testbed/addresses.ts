/** One /16 for the whole testbed, outside what Docker hands out by default inside the hosts (172.17-31, 192.168). */
export const addresses = {
  subnet: '10.213.0.0/16',
  engineBridge: 'cu-tb0',
  engineAddress: '10.213.0.1',
  engineSubnet: '10.213.0.1/24',
  hostBridge: 'cu-tb1',
  hostNetwork: 'cu-tb-hosts',
  hostSubnet: '10.213.1.0/24',
  hostGateway: '10.213.1.1',
  registryPort: 5055,
} as const;

export const maximumHosts = 20;

export function hostAddress(index: number): string {
  return `10.213.1.${10 + index}`;
}

export function mirrorUrl(): string {
  return `http://${addresses.engineAddress}:${addresses.registryPort}`;
}
