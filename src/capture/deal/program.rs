//! The dealing hash as a classic BPF program: [`super::DealKey::program`].
//!
//! The first part leaves addresses and ports in the scratch words, the second
//! hashes them; each mirrors a function of the room above, step by step. A load
//! beyond the frame's end makes the whole program return 0, so every load that
//! may fail where 0 would be wrong has a comparison with the frame's length
//! before it.
//!
//! Sources: linux/filter.h, linux/bpf_common.h, net/core/filter.c
//! (bpf_check_classic, check_load_and_stores), net/packet/af_packet.c.

use super::*;
use crate::capture::sys::SockFilter;

/// Operations of classic BPF (linux/bpf_common.h, linux/filter.h).
pub(super) mod op {
    pub const LD_W: u16 = 0x20;
    pub const LD_H: u16 = 0x28;
    pub const LD_B: u16 = 0x30;
    /// Add to a load: the offset is relative to X.
    pub const IND: u16 = 0x20;
    pub const LD_IMM: u16 = 0x00;
    pub const LD_LEN: u16 = 0x80;
    pub const LDX_MEM: u16 = 0x61;
    /// X = 4 × the low half of a byte: the length of an IPv4 header.
    pub const LDX_MSH: u16 = 0xb1;
    pub const ST: u16 = 0x02;
    pub const ADD_X: u16 = 0x0c;
    pub const SUB_K: u16 = 0x14;
    pub const MUL_K: u16 = 0x24;
    pub const AND_K: u16 = 0x54;
    pub const LSH_K: u16 = 0x64;
    pub const RSH_K: u16 = 0x74;
    pub const XOR_X: u16 = 0xac;
    pub const JA: u16 = 0x05;
    pub const JEQ_K: u16 = 0x15;
    pub const JGT_K: u16 = 0x25;
    pub const JGE_K: u16 = 0x35;
    pub const JGE_X: u16 = 0x3d;
    pub const JSET_K: u16 = 0x45;
    pub const RET_K: u16 = 0x06;
    pub const RET_A: u16 = 0x16;
    pub const TAX: u16 = 0x07;
}

/// Offset that means: the packet's type (PACKET_OUTGOING and others).
pub(super) const AD_PKTTYPE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
/// Offset of the link header's first byte, wherever the packet's data begin.
pub(super) const LL_OFF: u32 = libc::SKF_LL_OFF as u32;
pub(super) const PACKET_OUTGOING: u32 = 4;

// The scratch words: two addresses of four words, two ports, one sum.
const ADDRESS: [u32; 2] = [0, 4];
const PORT: [u32; 2] = [8, 9];
const SUM: u32 = 10;

/// A place in the program that is jumped to before it is known where it lies.
#[derive(Clone, Copy)]
enum Label {
    Hash4,
    Hash6,
    Zero,
    /// Numbered as needed.
    Local(usize),
}

#[derive(Default)]
struct Assembler {
    code: Vec<SockFilter>,
    /// Jumps (JA) and where they lead.
    jumps: Vec<(usize, Label)>,
    named: [usize; 3],
    locals: Vec<usize>,
}

impl DealKey {
    /// The program for PACKET_FANOUT_DATA on an interface whose frames begin as
    /// `link_type` says. 1,416 instructions for Ethernet (the kernel takes
    /// 4,096), of which a TCP packet runs through 81.
    ///
    /// When it runs, a received packet's data begin at the network header, a
    /// sent one's at the link header; loads relative to one of the two headers
    /// (SKF_NET_OFF, SKF_LL_OFF) see only the buffer's linear part, and for a
    /// sent packet with a tag in the frame the network header may lie before or
    /// behind that tag. So there is a part for each way, with plain offsets.
    pub fn program(&self, link_type: LinkType) -> Vec<SockFilter> {
        let mut asm = Assembler::default();
        match link_type {
            LinkType::Ethernet => {
                let sent = asm.local();
                asm.op(op::LD_W, AD_PKTTYPE);
                asm.jump_if(op::JEQ_K, PACKET_OUTGOING, sent);
                asm.ethernet(0);
                asm.place(sent);
                asm.ethernet(ETHERNET_LEN);
            }
            LinkType::RawIp => asm.by_version(),
            // Cannot be looked into: one member gets all, and hands it on.
            LinkType::LinuxSll
            | LinkType::LinuxSll2
            | LinkType::Null
            | LinkType::Loop
            | LinkType::Other(_) => return vec![SockFilter { code: op::RET_K, jt: 0, jf: 0, k: 0 }],
        }
        // In this order: the kernel reckons what has been stored from one
        // instruction to the next, past returns (check_load_and_stores).
        asm.place(Label::Hash6);
        asm.hash(self, 4);
        asm.place(Label::Hash4);
        asm.hash(self, 1);
        asm.place(Label::Zero);
        asm.op(op::RET_K, 0);
        asm.finish()
    }
}

impl Assembler {
    fn op(&mut self, code: u16, k: u32) {
        self.code.push(SockFilter { code, jt: 0, jf: 0, k });
    }
    fn local(&mut self) -> Label {
        self.locals.push(0);
        Label::Local(self.locals.len() - 1)
    }
    fn target(&mut self, label: Label) -> &mut usize {
        match label {
            Label::Hash4 => &mut self.named[0],
            Label::Hash6 => &mut self.named[1],
            Label::Zero => &mut self.named[2],
            Label::Local(index) => &mut self.locals[index],
        }
    }
    fn place(&mut self, label: Label) {
        *self.target(label) = self.code.len();
    }
    fn jump(&mut self, label: Label) {
        self.jumps.push((self.code.len(), label));
        self.op(op::JA, 0);
    }
    /// A conditional jump reaches 255 instructions only, so each is a step over
    /// an unconditional one; the kernel's JIT makes one jump of it.
    fn jump_if(&mut self, code: u16, k: u32, label: Label) {
        self.code.push(SockFilter { code, jt: 0, jf: 1, k });
        self.jump(label);
    }
    fn jump_unless(&mut self, code: u16, k: u32, label: Label) {
        self.code.push(SockFilter { code, jt: 1, jf: 0, k });
        self.jump(label);
    }
    fn finish(mut self) -> Vec<SockFilter> {
        for (from, label) in std::mem::take(&mut self.jumps) {
            let to = *self.target(label);
            debug_assert!(to > from, "classic BPF jumps forward only");
            self.code[from].k = to.saturating_sub(from + 1) as u32;
        }
        self.code
    }

    /// Frames of an interface with link header; the packet's data begin
    /// `link_len` bytes before what follows that header.
    fn ethernet(&mut self, link_len: u32) {
        for tags in 0..=TAGS_MAX {
            let at = link_len + 4 * tags;
            let (ipv6, other) = (self.local(), self.local());
            match tags {
                0 => self.op(op::LD_H, LL_OFF.wrapping_add(12)),
                _ => self.op(op::LD_H, at - 2),
            }
            self.jump_if(op::JEQ_K, ETHERTYPE_IPV6, ipv6);
            self.jump_unless(op::JEQ_K, ETHERTYPE_IPV4, other);
            self.ipv4(at);
            self.place(ipv6);
            self.ipv6(at);
            self.place(other);
            if tags < TAGS_MAX {
                let tagged = self.local();
                for tpid in TPIDS {
                    self.jump_if(op::JEQ_K, tpid, tagged);
                }
                self.jump(Label::Zero);
                self.place(tagged);
            }
        }
        self.jump(Label::Zero);
    }

    /// Frames of an interface without link header.
    fn by_version(&mut self) {
        let ipv4 = self.local();
        self.op(op::LD_B, 0);
        self.op(op::AND_K, 0xf0);
        self.jump_if(op::JEQ_K, 0x40, ipv4);
        self.ipv6(0);
        self.place(ipv4);
        self.ipv4(0);
    }

    /// Goes on only if A lies in `range`.
    fn require(&mut self, range: std::ops::RangeInclusive<u32>, otherwise: Label) {
        self.jump_unless(op::JGE_K, *range.start(), otherwise);
        self.jump_if(op::JGT_K, *range.end(), otherwise);
    }
    /// Goes on only if A is one of `values`.
    fn require_one_of(&mut self, values: &[u32], otherwise: Label) {
        let found = self.local();
        for &value in values {
            self.jump_if(op::JEQ_K, value, found);
        }
        self.jump(otherwise);
        self.place(found);
    }
    fn require_len(&mut self, len: u32, otherwise: Label) {
        self.op(op::LD_LEN, 0);
        self.jump_unless(op::JGE_K, len, otherwise);
    }
    /// Goes on only if the frame has `len + X` bytes; it is known to have `len`.
    fn require_len_and_x(&mut self, len: u32, otherwise: Label) {
        self.op(op::LD_LEN, 0);
        self.op(op::SUB_K, len);
        self.jump_unless(op::JGE_X, 0, otherwise);
    }
    /// Two ports at `at` (relative to X with `op::IND`) into their words.
    fn ports(&mut self, mode: u16, at: u32) {
        for (offset, word) in [0, 2].into_iter().zip(PORT) {
            self.op(op::LD_H + mode, at + offset);
            self.op(op::ST, word);
        }
    }
    /// Addresses of `words` words that stand one after the other at `at`.
    fn addresses(&mut self, mode: u16, at: u32, words: u32) {
        for which in [0, 1] {
            for word in 0..words {
                self.op(op::LD_W + mode, at + 4 * (words * which + word));
                self.op(op::ST, ADDRESS[which as usize] + word);
            }
        }
    }
    fn no_ports(&mut self) {
        self.op(op::LD_IMM, 0);
        for word in PORT {
            self.op(op::ST, word);
        }
    }

    /// An IPv4 packet at `at`; mirrors [`Ends::of_ipv4`].
    fn ipv4(&mut self, at: u32) {
        let icmp = self.local();
        self.require_len(at + IPV4_LEN, Label::Zero);
        self.op(op::LD_B, at);
        self.require(IPV4_FIRST, Label::Zero);
        self.no_ports();
        self.addresses(0, at + 12, 1);
        self.op(op::LD_H, at + 6);
        self.jump_if(op::JSET_K, FRAGMENT, Label::Hash4);
        self.op(op::LD_B, at + 9);
        self.jump_if(op::JEQ_K, ICMP, icmp);
        self.require_one_of(&WITH_PORTS, Label::Hash4);
        self.op(op::LDX_MSH, at);
        self.require_len_and_x(at + PORTS_LEN, Label::Hash4);
        self.ports(op::IND, at);
        self.jump(Label::Hash4);

        self.place(icmp);
        let quoted = at + ICMP_LEN;
        // At least: the header, ICMP's, the quoted header.
        self.require_len(quoted + 2 * IPV4_LEN, Label::Hash4);
        self.op(op::LDX_MSH, at);
        self.require_len_and_x(quoted + IPV4_LEN, Label::Hash4);
        self.op(op::LD_B + op::IND, at);
        self.require_one_of(&ICMP_ERRORS, Label::Hash4);
        self.op(op::LD_B + op::IND, quoted);
        self.require(IPV4_FIRST, Label::Hash4);
        self.addresses(op::IND, quoted + 12, 1);
        self.op(op::LD_H + op::IND, quoted + 6);
        self.jump_if(op::JSET_K, FRAGMENT, Label::Hash4);
        self.op(op::LD_B + op::IND, quoted + 9);
        self.require_one_of(&WITH_PORTS, Label::Hash4);
        // X: both headers' lengths.
        self.op(op::LD_B + op::IND, quoted);
        self.op(op::AND_K, 0xf);
        self.op(op::LSH_K, 2);
        self.op(op::ADD_X, 0);
        self.op(op::TAX, 0);
        self.require_len_and_x(quoted + PORTS_LEN, Label::Hash4);
        self.ports(op::IND, quoted);
        self.jump(Label::Hash4);
    }

    /// An IPv6 packet at `at`; mirrors [`Ends::of_ipv6`].
    fn ipv6(&mut self, at: u32) {
        let icmp = self.local();
        let next = at + IPV6_LEN;
        self.require_len(next, Label::Zero);
        self.op(op::LD_B, at);
        self.require(IPV6_FIRST, Label::Zero);
        self.no_ports();
        self.addresses(0, at + 8, 4);
        self.op(op::LD_B, at + 6);
        self.jump_if(op::JEQ_K, ICMPV6, icmp);
        self.require_one_of(&WITH_PORTS, Label::Hash6);
        self.require_len(next + PORTS_LEN, Label::Hash6);
        self.ports(0, next);
        self.jump(Label::Hash6);

        self.place(icmp);
        let quoted = next + ICMP_LEN;
        self.require_len(quoted + IPV6_LEN, Label::Hash6);
        self.op(op::LD_B, next);
        self.require_one_of(&ICMPV6_ERRORS, Label::Hash6);
        self.op(op::LD_B, quoted);
        self.require(IPV6_FIRST, Label::Hash6);
        self.addresses(0, quoted + 8, 4);
        self.op(op::LD_B, quoted + 6);
        self.require_one_of(&WITH_PORTS, Label::Hash6);
        self.require_len(quoted + IPV6_LEN + PORTS_LEN, Label::Hash6);
        self.ports(0, quoted + IPV6_LEN);
        self.jump(Label::Hash6);
    }

    /// A ^= A >> `shift`
    fn fold(&mut self, shift: u32) {
        self.op(op::TAX, 0);
        self.op(op::RSH_K, shift);
        self.op(op::XOR_X, 0);
    }

    /// The hash of what stands in the scratch words; mirrors [`DealKey::hash`].
    fn hash(&mut self, key: &DealKey, words: u32) {
        for which in [0, 1] {
            self.op(op::LD_IMM, key.start);
            for (word, odd) in (0..words).zip(key.address) {
                self.op(op::LDX_MEM, ADDRESS[which] + word);
                self.op(op::XOR_X, 0);
                self.op(op::MUL_K, odd);
                self.fold(15);
            }
            self.op(op::LDX_MEM, PORT[which]);
            self.op(op::ADD_X, 0);
            self.op(op::MUL_K, key.port[0]);
            self.fold(15);
            self.op(op::MUL_K, key.port[1]);
            self.fold(13);
            if which == 0 {
                self.op(op::ST, SUM);
            }
        }
        self.op(op::LDX_MEM, SUM);
        self.op(op::ADD_X, 0);
        self.fold(16);
        self.op(op::MUL_K, FINAL[0]);
        self.fold(13);
        self.op(op::MUL_K, FINAL[1]);
        self.fold(16);
        self.op(op::RET_A, 0);
    }
}
