"""What Linux bonding's hash policies make of frames, from its own descriptions.

Written from Documentation/networking/bonding.rst and from what
drivers/net/bonding/bond_main.c and net/core/flow_dissector.c do, as truth for
another program's model of them; it shares nothing with that program.

Input (stdin): frames, each `tagged:u8 tci:u16 slaves:u8 length:u16` and so many
bytes, little-endian. `tagged` 1: the outermost VLAN tag stands in `tci`, not in
the bytes. Output (stdout): for each frame, policy (POLICIES) and kernel
(KERNELS) `hash:u32 slave:u8`. A frame that has no Ethernet header gives zeros.
"""

import struct
import sys

POLICIES = ["layer2", "layer2+3", "layer3+4", "encap2+3", "encap3+4", "vlan+srcmac"]

# How a kernel reads the ethertype (5.15: in host order), what it makes of ICMP
# (5.5: looks at it; 5.12: the id in host order), and which policies lose the
# lowest bit (4.15: all; 5.16: those with ports).
KERNELS = [
    (order, icmp, shift)
    for order in ("host", "raw")
    for icmp in ("id", "raw id", "none")
    for shift in ("ports", "all", "never")
]

NATIVE = "<" if sys.byteorder == "little" else ">"
IPV4, IPV6 = 0x0800, 0x86DD
VLANS = (0x8100, 0x88A8)
HAS_PORTS = {6: 0, 17: 0, 33: 0, 50: 0, 51: 4, 132: 0, 136: 0}
HAS_ID = (8, 0, 13, 14, 128, 129)
ICMP_ERRORS = {1: (3, 4, 5, 11, 12), 58: (1, 2, 3, 4)}


def native32(four):
    return struct.unpack(NATIVE + "I", four)[0]


def be16(data, at):
    return data[at] << 8 | data[at + 1]


def folded_address(address):
    word = 0
    for at in range(0, len(address), 4):
        word ^= native32(address[at : at + 4])
    return word


def ports_of(data, at, protocol):
    offset = HAS_PORTS.get(protocol)
    if offset is None or at + offset + 4 > len(data):
        return 0
    return native32(data[at + offset : at + offset + 4])


class Keys:
    """The flow keys of one look at a packet."""

    def __init__(self):
        self.addresses = 0
        self.ports = 0
        self.icmp = None  # type, code, id as two bytes; only where there is an id

    def word(self, icmp):
        if self.icmp is None or icmp == "none":
            return self.ports
        kind, code, number = self.icmp
        if number == b"\0\0":
            number = 1
        elif icmp == "id":
            number = be16(number, 0)
        else:
            number = struct.unpack(NATIVE + "H", number)[0]
        return struct.unpack(NATIVE + "I", struct.pack(NATIVE + "BBH", kind, code, number))[0]


class Skb:
    """A frame as the bond gets it: the outermost tag beside the bytes."""

    def __init__(self, frame, tci):
        if tci is None and len(frame) >= 18 and be16(frame, 12) in VLANS:
            tci = be16(frame, 14)
            frame = frame[:12] + frame[16:]
        self.data = frame
        self.tci = tci
        self.protocol = be16(frame, 12)
        # A bond has no offload of tags for MPLS (netif_skb_features), so the stack
        # puts the tag into the frame before the bond sees it, and leaves the
        # mark of the network header behind it.
        if self.tci is not None and self.protocol in (0x8847, 0x8848):
            self.tci = None
            self.protocol = 0x8100
            self.data = frame[:12] + b"\x81\x00" + frame[14:]

    def flow_ip(self, keys, at, protocol, ports):
        """bond_flow_ip: (found, behind the header, protocol or -1)."""
        data = self.data
        if self.protocol == IPV4:
            if at + 20 > len(data):
                return False, at, protocol
            keys.addresses = folded_address(data[at + 12 : at + 20])
            fragment = be16(data, at + 6) & 0x3FFF
            behind = at + (data[at] & 15) * 4
            if not fragment:
                protocol = data[at + 9]
        elif self.protocol == IPV6:
            if at + 40 > len(data):
                return False, at, protocol
            keys.addresses = folded_address(data[at + 8 : at + 40])
            behind = at + 40
            protocol = data[at + 6]
        else:
            return False, at, protocol
        if ports and protocol >= 0:
            keys.ports = ports_of(data, behind, protocol)
        return True, behind, protocol

    def plain(self, ports, knows_icmp):
        """What layer2+3 and layer3+4 look at; None where it is not IP."""
        keys = Keys()
        found, at, protocol = self.flow_ip(keys, 14, -1, ports)
        if not found:
            return None
        if knows_icmp and protocol in ICMP_ERRORS:
            head = self.data[at : at + 8]
            kind = head[0] if len(head) == 8 else 0
            if kind in ICMP_ERRORS[protocol]:
                found, at, protocol = self.flow_ip(keys, at + 8, protocol, ports)
                if not found:
                    return None
            elif len(head) == 8 and kind in HAS_ID:
                keys.icmp = (kind, head[1], head[4:6])
        return keys

    def dissected(self):
        """What the flow dissector finds for the encap policies; None where it gives up."""
        data = self.data
        keys = Keys()
        proto, at, headers, seen_vlan = self.protocol, 14, 0, False
        while True:
            if proto == IPV4:
                if at + 20 > len(data) or data[at] & 15 < 5:
                    return None
                keys.addresses = folded_address(data[at + 12 : at + 20])
                protocol = data[at + 9]
                fragment = be16(data, at + 6) & 0x3FFF
                at += (data[at] & 15) * 4
                if fragment:
                    return keys
            elif proto == IPV6:
                if at + 40 > len(data):
                    return None
                keys.addresses = folded_address(data[at + 8 : at + 40])
                protocol = data[at + 6]
                at += 40
            else:
                if proto in VLANS:
                    if not seen_vlan and self.tci is not None:
                        # The tag beside the frame is taken for this one.
                        proto = self.protocol
                    elif at + 4 > len(data):
                        return None
                    else:
                        proto = be16(data, at + 2)
                        at += 4
                    seen_vlan = True
                elif proto == 0x8864:
                    if at + 8 > len(data) or data[at] != 0x11 or data[at + 1] != 0:
                        return None
                    ppp = be16(data, at + 6)
                    at += 8
                    inner = {0x21: IPV4, 0x57: IPV6, 0x281: 0x8847, 0x283: 0x8848}.get(ppp)
                    if inner is None:
                        return keys if ppp & 0x0101 == 0x0001 else None
                    proto = inner
                elif proto in (0x8847, 0x8848, 0x0806, 0x8035):
                    return keys
                elif proto == 0x88F7:
                    return keys if at + 34 <= len(data) else None
                elif proto == 0x8906:
                    return keys if at + 38 <= len(data) else None
                else:
                    return None
                headers += 1
                if headers > 15:
                    return keys
                continue
            # The IP protocol, extension headers after one another.
            tunnel = None
            while True:
                again = False
                if protocol == 47:
                    verdict = self.gre(at)
                    if verdict is None:
                        return None
                    if verdict != "stop":
                        tunnel, at = verdict
                elif protocol in (0, 43, 60) and proto == IPV6:
                    if at + 2 > len(data):
                        return None
                    protocol, at = data[at], at + (data[at + 1] + 1) * 8
                    again = True
                elif protocol == 44 and proto == IPV6:
                    if at + 8 > len(data):
                        return None
                    # Fragments keep what was found before: nothing.
                    return keys
                elif protocol == 4:
                    tunnel = IPV4
                elif protocol == 41:
                    tunnel = IPV6
                elif protocol == 137:
                    tunnel = 0x8847
                elif protocol in (1, 58):
                    head = data[at : at + 8]
                    if len(head) == 8 and head[0] in HAS_ID:
                        keys.icmp = (head[0], head[1], head[4:6])
                keys.ports = ports_of(data, at, protocol)
                if not again:
                    break
                headers += 1
                if headers > 15:
                    return keys
            if tunnel is None:
                return keys
            proto = tunnel
            headers += 1
            if headers > 15:
                return keys

    def gre(self, at):
        """(inner protocol, where it begins), "stop", or None for giving up."""
        data = self.data
        if at + 4 > len(data):
            return None
        flags, proto = be16(data, at), be16(data, at + 2)
        version = flags & 7
        if flags & 0x4000 or version > 1:
            return "stop"
        if version == 1 and not (proto == 0x880B and flags & 0x2000):
            return "stop"
        behind = at + 4
        if flags & 0x8000:
            behind += 4
        if flags & 0x2000:
            if behind + 4 > len(data):
                return None
            behind += 4
        if flags & 0x1000:
            behind += 4
        if version == 0:
            if proto == 0x6558:
                if behind + 14 > len(data):
                    return None
                proto = be16(data, behind + 12)
                behind += 14
        else:
            if flags & 0x0080:
                behind += 4
            if behind + 4 > len(data):
                return None
            proto = {0x21: IPV4, 0x57: IPV6}.get(be16(data, behind + 2), proto)
            behind += 4
        return proto, behind


def mixed(word):
    word ^= word >> 16
    return word ^ word >> 8


def three(word, with_ports):
    """By `shift`: ports, all, never."""
    word = mixed(word)
    return [word >> 1 if with_ports else word, word >> 1, word]


def hashes(frame, tci):
    skb = Skb(frame, tci)
    data = skb.data
    ends = data[5] ^ data[11]
    eths = [ends ^ skb.protocol, ends ^ struct.unpack(NATIVE + "H", data[12:14])[0]]
    found = []
    # layer2
    for eth in eths:
        found += [eth] * 9
    # layer2+3, layer3+4: looked at by kernels that know ICMP and by those that do not.
    for ports in (False, True):
        modern, old = skb.plain(ports, True), skb.plain(ports, False)
        for eth in eths:
            for icmp in ("id", "raw id", "none"):
                keys = old if icmp == "none" else modern
                if keys is None:
                    found += [eth] * 3
                else:
                    start = keys.word(icmp) if ports else eth
                    found += three(start ^ keys.addresses, ports)
    # encap2+3, encap3+4
    keys = skb.dissected()
    for ports in (False, True):
        for eth in eths:
            for icmp in ("id", "raw id", "none"):
                if keys is None:
                    found += [eth] * 3
                else:
                    start = keys.word(icmp) if ports else eth
                    found += three(start ^ keys.addresses, ports)
    # vlan+srcmac
    vendor = int.from_bytes(data[6:9], "big")
    device = int.from_bytes(data[9:12], "big")
    found += [(skb.tci or 0) ^ vendor ^ device] * 18
    return found


def main():
    given = sys.stdin.buffer.read()
    out = bytearray()
    at = 0
    row = struct.Struct("<" + "IB" * (len(POLICIES) * len(KERNELS)))
    while at < len(given):
        tagged, tci, slaves, length = struct.unpack_from("<BHBH", given, at)
        at += 6
        frame = given[at : at + length]
        at += length
        if length < 14:
            out += bytes(row.size)
            continue
        values = []
        for one in hashes(frame, tci if tagged else None):
            values += (one, one % slaves)
        out += row.pack(*values)
    sys.stdout.buffer.write(out)


if __name__ == "__main__":
    main()
