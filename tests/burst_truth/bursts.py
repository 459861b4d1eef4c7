#!/usr/bin/env python3
"""Milliseconds and bursts of capture files, counted a second time.

    bursts.py [options] FILE...      one link group; prints one JSON object

Written from what bins, bursts, shares and excess are said to mean, not from
the program: its own reader of pcap and pcapng, whole numbers and fractions in
place of floats, and every sum made anew from the list of all segments. Slow,
plain, and of no use for anything else.

What it takes for granted: Ethernet without tags; TCP, UDP and other IP
without fragments; the server is the end with the lower port; TCP in frames
above 1,500 bytes is cut at 1,448 bytes of payload.
"""

import argparse
import collections
import fractions
import functools
import heapq
import ipaddress
import json
import os
import struct

MS = 1_000_000
SECOND = 1_000_000_000
Fraction = fractions.Fraction
# One packet on the line (or a segment of a super-frame).
Packet = collections.namedtuple("Packet", "ms lane flow sender bytes line_bytes began")


# --- Files: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng ----------------


def records(path):
    """(time in ns, interface, told direction or None, length, bytes) in the file's order."""
    with open(path, "rb") as file:
        data = file.read()
    if struct.unpack_from("<I", data)[0] == 0x0A0D0D0A:
        yield from pcapng(data)
        return
    magic = struct.unpack_from("<I", data)[0]
    order, magic = ("<", magic) if magic in (0xA1B2C3D4, 0xA1B23C4D) else (">", struct.unpack_from(">I", data)[0])
    unit = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}[magic]
    name, at = os.path.basename(path), 24
    while at + 16 <= len(data):
        seconds, part, kept, length = struct.unpack_from(order + "IIII", data, at)
        yield seconds * SECOND + part * unit, name, None, length, data[at + 16 : at + 16 + kept]
        at += 16 + kept


def pcapng(data):
    at, interfaces, order = 0, [], "<"
    while at + 12 <= len(data):
        if data[at : at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, size = struct.unpack_from(order + "II", data, at)
        body = data[at + 8 : at + size - 4]
        if kind == 1:
            told = dict(options(order, body[8:]))
            power = told.get(9, b"\x06")[0]
            assert power < 128, "powers of 2 are not for these tests"
            interfaces.append((told[2].rstrip(b"\0").decode(), 10**power))
        elif kind == 6:
            number, high, low, kept, length = struct.unpack_from(order + "IIIII", body)
            name, ticks = interfaces[number]
            flags = dict(options(order, body[20 + (kept + 3) // 4 * 4 :])).get(2)
            way = {1: "rx", 2: "tx"}.get(struct.unpack(order + "I", flags)[0] & 3) if flags else None
            yield (high << 32 | low) * SECOND // ticks, name, way, length, body[20 : 20 + kept]
        at += size


def options(order, data):
    at = 0
    while at + 4 <= len(data):
        code, size = struct.unpack_from(order + "HH", data, at)
        if code == 0:
            return
        yield code, data[at + 4 : at + 4 + size]
        at += 4 + (size + 3) // 4 * 4


# --- Frames -----------------------------------------------------------------


def understood(frame, length):
    """Flow, its sender's address, bytes of headers and of payload; flow None where it is no IP."""
    kind = struct.unpack_from(">H", frame, 12)[0]
    if kind == 0x0800:
        protocol, header = frame[23], (frame[14] & 15) * 4
        source, target = frame[26:30], frame[30:34]
        whole = struct.unpack_from(">H", frame, 16)[0]
    elif kind == 0x86DD:
        protocol, header = frame[20], 40
        source, target = frame[22:38], frame[38:54]
        whole = 40 + struct.unpack_from(">H", frame, 18)[0]
    else:
        return None, None, 0, 0, False
    at, ports, inner = 14 + header, (0, 0), 0
    if protocol in (6, 17):
        ports = struct.unpack_from(">HH", frame, at)
        inner = 8 if protocol == 17 else (frame[at + 12] >> 4) * 4
    one, two = (source, ports[0]), (target, ports[1])
    flow = (protocol, min(one, two), max(one, two))
    may_be_cut = protocol == 6 and min(length - 14, whole) > 1500
    return flow, source, at + inner, whole - header - inner, may_be_cut


def segments(length, headers, payload, may_be_cut):
    """Bytes of each packet that the frame was on the wire."""
    if not may_be_cut or payload <= 1448:
        return [length]
    full = payload // 1448
    return [headers + 1448] * full + ([headers + payload % 1448] if payload % 1448 else [])


def direction(told, frame, flow, local):
    if not local:
        return told or "rx"
    if flow is None:
        return told or "rx"
    at, size = (26, 4) if len(flow[1][0]) == 4 else (22, 16)
    return "tx" if is_local(frame[at : at + size], tuple(local)) else "rx"


@functools.lru_cache(maxsize=None)
def is_local(packed, local):
    source = ipaddress.ip_address(packed)
    return any(source in network for network in local)


def hand_over_begins(interval_ns, stamp):
    """Begin, in ms, of the window in force at this time."""
    length = SECOND if interval_ns == 0 else min(interval_ns, SECOND)
    begun = [stamp // length * length]
    if interval_ns > SECOND:
        begun.append(stamp // interval_ns * interval_ns)
    return max(begun) // MS


def packets(arguments):
    """Every packet, in the millisecond in which it began; also the latest stamp."""
    found, begun, seen, latest, window = [], {}, {}, 0, 0
    merged = heapq.merge(*[records(path) for path in arguments.files], key=lambda record: record[0])
    if len(arguments.files) == 1:
        merged = records(arguments.files[0])  # in its own order, whatever the stamps are
    for stamp, name, told, length, frame in merged:
        if stamp >= latest:
            # The first packet opens the first window.
            opened = stamp // MS if not found else hand_over_begins(arguments.interval_ns, stamp)
            window, latest = max(window, opened), stamp
        flow, sender, headers, payload, may_be_cut = understood(frame, length)
        lane = (name, direction(told, frame, flow, arguments.local))
        parts = segments(length, headers, payload, may_be_cut)
        speed = arguments.speeds.get(name)
        ms, within = max(stamp // MS, window), stamp % MS
        line = [max(part, 60) + 24 for part in parts]
        # What comes after hours of silence is another connection between the same ends.
        if flow not in begun or stamp - seen.get(flow, stamp) > 3600 * SECOND:
            begun[flow] = stamp
        seen[flow] = stamp
        for number, part in enumerate(parts):
            # (within + number * bits * SECOND / speed) // MS, in whole numbers.
            at = ms + (within * speed + number * line[0] * 8 * SECOND) // (MS * speed) if speed else ms
            found.append(Packet(at, lane, flow, sender, part, line[number], begun[flow]))
    return found, latest


# --- Bins -------------------------------------------------------------------


def percentile(values, percent):
    """Nearest rank."""
    return values[-(-percent * len(values) // 100) - 1] if values else 0


def spread(line, speed, from_ms, until_ms):
    """Of line bits by millisecond, those that are not empty."""
    asked = range(from_ms, until_ms) if until_ms - from_ms < len(line) else line
    filled = sorted(line[ms] for ms in asked if ms in line and from_ms <= ms < until_ms)
    empty = until_ms - from_ms - len(filled)
    figures = {"peak": 1000 * (filled[-1] if filled else 0)}
    for percent in (50, 90, 99):
        rank = -(-percent * (empty + len(filled)) // 100)
        figures[f"p{percent}"] = 1000 * filled[rank - empty - 1] if rank > empty else 0
    if speed:
        classes = [empty] + [0] * 11
        for bits in filled:
            share = Fraction(bits * 1000, speed)
            classes[next((1 + k for k in range(9) if share < Fraction(k + 1, 10)), 10 if share < Fraction(99, 100) else 11)] += 1
        figures["classes"] = classes
    return figures


# --- Bursts -----------------------------------------------------------------


def threshold_of(arguments, speed):
    """Line bits a millisecond, as a fraction."""
    if arguments.threshold.endswith("%"):
        return Fraction(arguments.threshold[:-1]) / 100 * speed / 1000 if speed else None
    return Fraction(rate(arguments.threshold), 1000)


def bursts_of(bins, speed, end_ms, arguments):
    """(first ms, one behind the last, whether the end cut it off, queue at the end of each ms)."""
    threshold = threshold_of(arguments, speed)
    if threshold is None or not bins:
        return []
    queue, last, found, begun, until = Fraction(0), None, [], None, None
    queues = {}
    for ms in sorted(bins):
        bits = sum(packet.line_bytes for packet in bins[ms]) * 8
        if begun is not None and ms - until >= arguments.gap:
            found.append((begun, until, False))
            begun = None
        if speed:
            idle = ms - last - 1 if last is not None else 0
            queue = max(Fraction(0), queue - idle * Fraction(speed, 1000))
            queue = max(Fraction(0), queue + bits - Fraction(speed, 1000))
        queues[ms], last = queue, ms
        if begun is None and bits >= threshold:
            begun, until = ms, ms + 1
        elif begun is not None and bits >= threshold * Fraction(7, 8):
            until = ms + 1
    if begun is not None:
        found.append((begun, until, end_ms - until < arguments.gap))
    return [(a, b, is_open, queues) for a, b, is_open in found if b - a >= arguments.min]


def ends_of(flow):
    """Client and server."""
    one, two = flow[1], flow[2]
    return (one, two) if two[1] < one[1] else (two, one)


def excesses(within, before, length_ms, before_ms):
    """Bytes beyond those of before."""
    usual = lambda who: before.get(who, 0) * length_ms // before_ms if before_ms else 0
    return {who: max(0, count - usual(who)) for who, count in within.items()}


def culprits(within, excess_of, all_excess, total, top):
    """Who filled it: by excess, then by bytes, then by name. `all_excess`: of all connections."""
    order = sorted(within, key=lambda who: (-excess_of[who], -within[who], who))
    return [
        {
            "who": who,
            "bytes": within[who],
            "share_ratio": within[who] / total if total else None,
            "excess_share_ratio": excess_of[who] / all_excess if all_excess else None,
        }
        for who in order[:top]
    ]


def named(who, kind):
    address = lambda packed: str(ipaddress.ip_address(packed))
    if kind == "connection":
        client, server = ends_of(who)
        with_port = lambda end: [address(end[0]), end[1] if who[0] in (6, 17) else None]
        return [who[0], with_port(client), with_port(server)]
    return address(who) if kind == "host" else [who[0], who[1] if who[0] in (6, 17) else None]


def told(lane, burst, lanes, begun_ms, arguments):
    first, until, is_open, queues = burst
    bins, speed, length_ms = lanes[lane], arguments.speeds.get(lane[0]), until - first
    if arguments.brief:
        return {"interface": lane[0], "direction": lane[1], "start_ms": first, "length_ms": length_ms}
    inside = [packet for ms in range(first, until) for packet in bins.get(ms, [])]
    line = {ms: 8 * sum(packet.line_bytes for packet in bins[ms]) for ms in range(first, until) if ms in bins}
    total = sum(packet.bytes for packet in inside)
    before_ms = min(first - begun_ms, 1000)
    flows = {packet.flow for packet in inside if packet.flow}
    earlier = [packet for ms in range(first - before_ms, first) for packet in bins.get(ms, []) if packet.flow in flows]
    answer = {
        "interface": lane[0],
        "direction": lane[1],
        "start_ms": first,
        "length_ms": length_ms,
        "open": is_open,
        "bytes": total,
        "packets": len(inside),
        "line_bits": sum(line.values()),
        "peak": 1000 * max(line.values()),
        "mean": total * 8000 // length_ms,
        "queue_peak_bytes": int(max(queues[ms] for ms in line) // 8) if speed else None,
        "queue_peak_seconds": float(max(queues[ms] for ms in line) / speed) if speed else None,
        "utilisation": sum(line.values()) * 1000 / (speed * length_ms) if speed else None,
        "connections": len(flows),
        "begun": len({packet.flow for packet in inside if packet.flow and packet.began >= first * MS}),
        "senders": len({packet.sender for packet in inside if packet.flow}),
        "before_ms": before_ms,
        "untracked": sum(packet.bytes for packet in inside if packet.flow is None),
        "others": {},
    }
    for other, its in lanes.items():
        if other != lane and other[1] == lane[1]:
            bits = sum(8 * packet.line_bytes for ms in range(first, until) for packet in its.get(ms, []))
            answer["others"][other[0]] = bits * 1000 // length_ms
    for kind, whos in (
        ("connection", lambda flow: [flow]),
        ("host", lambda flow: {flow[1][0], flow[2][0]}),
        ("port", lambda flow: [(flow[0], ends_of(flow)[1][1])]),
    ):
        sums = [collections.Counter(), collections.Counter()]
        for sum_of, counted in zip(sums, (inside, earlier)):
            for packet in counted:
                for who in whos(packet.flow) if packet.flow else []:
                    sum_of[who] += packet.bytes
        excess_of = excesses(*sums, length_ms, before_ms)
        if kind == "connection":
            all_excess = sum(excess_of.values())
        best = culprits(sums[0], excess_of, all_excess, total, arguments.top)
        answer[f"{kind}s" if kind != "connection" else "culprits"] = [{**one, "who": named(one["who"], kind)} for one in best]
    return answer


# --- The program ------------------------------------------------------------


def rate(text):
    unit = {"k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}
    return int(Fraction(text[:-1]) * unit[text[-1]]) if text[-1] in unit else int(text)


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--interval", default="1", help="seconds, 0: one for all")
    parser.add_argument("--threshold", default="80%")
    parser.add_argument("--min", type=int, default=1)
    parser.add_argument("--gap", type=int, default=3)
    parser.add_argument("--top", type=int, default=10)
    parser.add_argument("--speed", action="append", default=[], help="NAME=RATE")
    parser.add_argument("--local", action="append", default=[])
    parser.add_argument("--brief", action="store_true", help="of bursts no more than where and when")
    parser.add_argument("--bins", action="store_true", help="all milliseconds that are not empty, too")
    arguments = parser.parse_args()
    arguments.interval_ns = int(Fraction(arguments.interval) * SECOND)
    arguments.speeds = {name: rate(speed) for name, speed in (one.rsplit("=", 1) for one in arguments.speed)}
    arguments.local = [ipaddress.ip_network(one) for one in arguments.local]
    return arguments


def main():
    arguments = arguments_of()
    found, latest = packets(arguments)
    lanes = collections.defaultdict(lambda: collections.defaultdict(list))
    for packet in found:
        lanes[packet.lane][packet.ms].append(packet)
    begun_ms = min(packet.ms for packet in found)
    # A file ends with the last thing that began in it.
    end_ms = max(max(packet.ms for packet in found), latest // MS) + 1
    answer = {"begun_ms": begun_ms, "end_ms": end_ms, "run": [], "intervals": [], "bursts": []}
    for lane, bins in sorted(lanes.items()):
        speed, where = arguments.speeds.get(lane[0]), {"interface": lane[0], "direction": lane[1]}
        line = {ms: sum(packet.line_bytes for packet in found) * 8 for ms, found in bins.items()}
        answer["run"].append({**where, **spread(line, speed, begun_ms, end_ms)})
        length = arguments.interval_ns
        numbers = sorted({ms * MS // length for ms in bins}) if length else []
        for number in numbers:
            first, until = number * length // MS, (number + 1) * length // MS
            figures = spread(line, speed, max(first, begun_ms), min(until, end_ms))
            answer["intervals"].append({**where, "end_ns": (number + 1) * length, **figures})
        found_here = bursts_of(bins, speed, end_ms, arguments)
        answer["bursts"] += [told(lane, burst, lanes, begun_ms, arguments) for burst in found_here]
        if arguments.bins:
            listed = [[ms, sum(p.bytes for p in bins[ms]), len(bins[ms])] for ms in sorted(bins)]
            answer.setdefault("bins", []).append({**where, "bins": listed})
    answer["bursts"].sort(key=lambda burst: (burst["start_ms"], burst["interface"], burst["direction"]))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
