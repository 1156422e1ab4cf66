// Which addresses a server may be made to connect to: those of the public internet and no others.
import { BlockList, isIP } from "node:net";

/** Not global by IANA's registries: this host, private, shared, link-local, documentation, benchmarks, multicast. */
const closed = new BlockList();
for (const [net, bits] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 3],
] as const) {
  closed.addSubnet(net, bits, "ipv4");
}
/** Tunnels (Teredo, 6to4) carry an IPv4 address inside; the rest is special or for documentation. */
for (const [net, bits] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
] as const) {
  closed.addSubnet(net, bits, "ipv6");
}
/** Global unicast: loopback, mapped IPv4, NAT64, unique local, link-local and multicast all lie outside. */
const unicast = new BlockList();
unicast.addSubnet("2000::", 3, "ipv6");

export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !closed.check(address, "ipv4");
  if (family === 6)
    return !address.includes("%") && unicast.check(address, "ipv6") && !closed.check(address, "ipv6");
  return false;
}
