"""Which slave the bonding driver itself sends frames over.

Run in a network namespace of its own (`unshare -n`), as its root. Makes a bond
(balance-xor) of veth pairs for each policy in turn, sends the frames over it or
over a VLAN device on it, and looks at which pair's other end they come out.

Arguments: slaves, then policies. Input (stdin): frames, each `tagged:u8
length:u16` and so many bytes, little-endian; tagged ones get VLAN 5. Output
(stdout): for each policy and frame one byte, the slave's place or 255.
"""

import select
import socket
import struct
import subprocess
import sys
import time

ALL = socket.htons(3)
OUTGOING = 4
VLAN = 5


def ip(arguments):
    made = subprocess.run(["ip"] + arguments.split(), capture_output=True, text=True)
    if made.returncode:
        sys.exit(f"ip {arguments}: {made.stderr.strip()}")


def packet_socket(interface, protocol):
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, protocol)
    made.bind((interface, socket.ntohs(protocol)))
    return made


def wait_for_slaves(slaves):
    until = time.monotonic() + 30
    while True:
        with open("/proc/net/bonding/bond") as told:
            if told.read().count("MII Status: up") == slaves + 1:
                return
        if time.monotonic() > until:
            sys.exit("the slaves do not come up")
        time.sleep(0.01)


def came_out(poll, sockets):
    """Where a frame that was just sent came out; 255 if it did not."""
    while True:
        events = poll.poll(2000)
        if not events:
            return 255
        for number, _ in events:
            place = sockets[number][0]
            _, address = sockets[number][1].recvfrom(4096)
            if address[2] != OUTGOING:
                return place


def main():
    slaves, policies = int(sys.argv[1]), sys.argv[2:]
    given, at, frames = sys.stdin.buffer.read(), 0, []
    while at < len(given):
        tagged, length = struct.unpack_from("<BH", given, at)
        frames.append((tagged, given[at + 3 : at + 3 + length]))
        at += 3 + length
    # Nothing but the frames: no IPv6 of the kernel's own.
    for scope in ("all", "default"):
        try:
            with open(f"/proc/sys/net/ipv6/conf/{scope}/disable_ipv6", "w") as file:
                file.write("1")
        except FileNotFoundError:
            pass
    for place in range(slaves):
        ip(f"link add s{place} type veth peer name p{place}")
        ip(f"link set p{place} arp off multicast off up")
    out = bytearray()
    for policy in policies:
        ip(f"link add bond type bond mode balance-xor xmit_hash_policy {policy} miimon 10")
        for place in range(slaves):
            ip(f"link set s{place} down")
            ip(f"link set s{place} master bond")
        ip("link set bond arp off multicast off up")
        ip(f"link add link bond name tagged type vlan id {VLAN}")
        ip("link set tagged arp off multicast off up")
        wait_for_slaves(slaves)
        senders = [packet_socket("bond", 0), packet_socket("tagged", 0)]
        receivers = [packet_socket(f"p{place}", ALL) for place in range(slaves)]
        sockets = {one.fileno(): (place, one) for place, one in enumerate(receivers)}
        poll = select.poll()
        for one in receivers:
            poll.register(one, select.POLLIN)
        # The driver takes over its slaves a moment after it tells of them; the
        # first that come out over each of them say that it has.
        seen, until, number = set(), time.monotonic() + 30, 0
        while len(seen) < slaves and time.monotonic() < until:
            senders[0].send(struct.pack("!11xBH46x", number & 255, 0x88B5))
            seen.add(came_out(poll, sockets))
            seen.discard(255)
            number += 1
        for tagged, frame in frames:
            senders[tagged].send(frame)
            out.append(came_out(poll, sockets))
        for one in senders + receivers:
            one.close()
        ip("link del tagged")
        ip("link del bond")
    sys.stdout.buffer.write(out)


if __name__ == "__main__":
    main()
