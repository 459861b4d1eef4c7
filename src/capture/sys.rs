//! The few kernel and libpcap calls that no crate makes: socket options of
//! AF_PACKET, the mapping of a TPACKET_V3 ring, the word of each block that
//! kernel and process both write. Nothing here knows what a frame is.
//!
//! Everything public is safe to call in any order: what must hold for the
//! unsafe blocks is held by the types ([`RingMap`] lends a block's bytes only
//! between its acquisition and its release).
//!
//! Sources: packet(7), linux/if_packet.h, net/packet/af_packet.c,
//! Documentation/networking/packet_mmap.rst.

use afpacket::sync::RawPacketStream;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

pub mod ethtool;
pub mod libpcap;
pub mod memory;
pub mod namespace;

/// One instruction of a classic BPF program; `struct sock_filter` of
/// linux/filter.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SockFilter {
    /// Operation.
    pub code: u16,
    /// Instructions to skip if true.
    pub jt: u8,
    /// Instructions to skip if false.
    pub jf: u8,
    /// Operand.
    pub k: u32,
}

const _: () = assert!(size_of::<SockFilter>() == size_of::<libc::sock_filter>());
const _: () = assert!(align_of::<SockFilter>() == align_of::<libc::sock_filter>());

impl SockFilter {
    /// `ret #k`: takes `k` bytes of every frame, none of any if it is 0.
    pub const fn ret(k: u32) -> SockFilter {
        SockFilter { code: 0x06, jt: 0, jf: 0, k }
    }
}

/// A raw packet socket, opened, bound and closed by the afpacket crate.
pub struct Socket {
    stream: RawPacketStream,
}

impl Socket {
    /// Opens one. It sees all interfaces until it is bound, so the caller
    /// attaches a filter that drops everything before anything else.
    pub fn open() -> io::Result<Socket> {
        let socket = Socket { stream: RawPacketStream::new()? };
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
        Ok(socket)
    }

    /// Binds it to the interface `name`, which has 1 to 15 bytes.
    pub fn bind(&mut self, name: &str) -> io::Result<()> {
        self.stream.bind(name)
    }

    /// Sends a frame on the interface that it is bound to.
    pub fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.stream.write(frame).map(|_| ())
    }

    /// Makes the interface take frames for other stations too, until this
    /// socket is closed.
    pub fn set_promiscuous(&mut self, name: &str) -> io::Result<()> {
        self.stream.set_promisc(name, true)
    }

    /// Number of the interface (-1 where it is gone) and its ARPHRD type.
    pub fn bound(&self) -> io::Result<(i32, u16)> {
        let mut address = sockaddr_ll_empty();
        let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the pointers are to a sockaddr_ll and its length, both alive
        // and ours during the call; the kernel writes at most `len` bytes.
        let code = unsafe {
            libc::getsockname(self.stream.as_raw_fd(), (&raw mut address).cast::<libc::sockaddr>(), &mut len)
        };
        check(code)?;
        Ok((address.sll_ifindex, address.sll_hatype))
    }

    /// Sets an option of SOL_PACKET to a plain value.
    pub fn set<T: PlainOption>(&self, name: libc::c_int, value: &T) -> io::Result<()> {
        // SAFETY: `value` is alive during the call and has the size given; a
        // `PlainOption` holds no pointer for the kernel to follow.
        let code = unsafe {
            libc::setsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_PACKET,
                name,
                std::ptr::from_ref(value).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        };
        check(code)
    }

    /// Reads a number that is an option of SOL_PACKET.
    pub fn get(&self, name: libc::c_int) -> io::Result<libc::c_int> {
        let mut value: libc::c_int = 0;
        self.read_option(name, &mut value)?;
        Ok(value)
    }

    /// PACKET_STATISTICS of a TPACKET_V3 ring since the last call: packets
    /// (drops included), drops, freezes. Reading resets the kernel's figures.
    pub fn take_statistics(&self) -> io::Result<[u32; 3]> {
        let mut stats = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        self.read_option(libc::PACKET_STATISTICS, &mut stats)?;
        Ok([stats.tp_packets, stats.tp_drops, stats.tp_freeze_q_cnt])
    }

    /// Sets the filter: what it returns is how many bytes are taken.
    pub fn attach_filter(&self, program: &[SockFilter]) -> io::Result<()> {
        self.set_program(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
    }

    /// Sets the program by which the socket's fanout group (of type
    /// PACKET_FANOUT_CBPF) picks a member.
    pub fn set_fanout_program(&self, program: &[SockFilter]) -> io::Result<()> {
        self.set_program(libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, program)
    }

    fn set_program(&self, level: libc::c_int, name: libc::c_int, code: &[SockFilter]) -> io::Result<()> {
        let len = u16::try_from(code.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let program = libc::sock_fprog { len, filter: code.as_ptr().cast_mut().cast() };
        // SAFETY: `program` points to `len` instructions that have the layout
        // of struct sock_filter (asserted above) and live during the call; the
        // kernel copies and does not write them (sk_attach_filter).
        let code = unsafe {
            libc::setsockopt(
                self.stream.as_raw_fd(),
                level,
                name,
                (&raw const program).cast(),
                size_of::<libc::sock_fprog>() as libc::socklen_t,
            )
        };
        check(code)
    }

    fn read_option<T: PlainOption>(&self, name: libc::c_int, value: &mut T) -> io::Result<()> {
        let mut len = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` is alive and ours during the call; the kernel writes
        // at most `len` bytes, and every pattern of bits is a `PlainOption`.
        let code = unsafe {
            libc::getsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_PACKET,
                name,
                std::ptr::from_mut(value).cast(),
                &mut len,
            )
        };
        check(code)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the stream closes its descriptor only when it is dropped,
        // which the borrow of `self` forbids; it is never -1 after `open`.
        unsafe { BorrowedFd::borrow_raw(self.stream.as_raw_fd()) }
    }
}

fn sockaddr_ll_empty() -> libc::sockaddr_ll {
    libc::sockaddr_ll {
        sll_family: 0,
        sll_protocol: 0,
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    }
}

fn check(code: libc::c_int) -> io::Result<()> {
    if code == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

mod sealed {
    /// Numbers only: no pointer, and every pattern of bits is a value.
    pub trait Plain: Copy {}
    impl Plain for libc::c_int {}
    impl Plain for libc::tpacket_req3 {}
    impl Plain for libc::tpacket_stats_v3 {}
}

/// What may be the value of a socket option: numbers only.
pub trait PlainOption: sealed::Plain {}
impl<T: sealed::Plain> PlainOption for T {}

/// Where `block_status` lies in a block (struct tpacket_block_desc: version
/// and offset_to_priv come before it).
const BLOCK_STATUS_AT: usize = 8;
const _: () = assert!(
    std::mem::offset_of!(libc::tpacket_block_desc, hdr) == BLOCK_STATUS_AT
        && std::mem::offset_of!(libc::tpacket_hdr_v1, block_status) == 0
        && size_of::<libc::tpacket_block_desc>() == 48
);

/// The mapped blocks of a TPACKET_V3 receive ring, and which one is ours.
///
/// A block has one owner at a time, told by its `block_status`: while
/// TP_STATUS_USER is set there, the kernel neither reads nor writes anything
/// of the block but this word (prb_dispatch_next_block, prb_queue_frozen);
/// once we have stored TP_STATUS_KERNEL, all of it is the kernel's. We hold at
/// most one block at a time, in ring order.
pub struct RingMap {
    /// Invariant: `blocks * block_bytes` bytes, mapped shared, readable and
    /// writable until drop, page aligned, and known to nobody else here.
    base: NonNull<u8>,
    block_bytes: usize,
    blocks: usize,
    /// Invariant: less than `blocks`.
    at: usize,
    /// Whether block `at` was seen with TP_STATUS_USER and not given back.
    is_held: bool,
}

// SAFETY: the mapping belongs to the process, not to a thread, and only this
// value has its address; nothing of it is used through `&self` that another
// thread could change.
unsafe impl Send for RingMap {}

impl RingMap {
    /// Maps the ring of `socket`, set up before with `blocks` blocks of
    /// `block_bytes` each (both at least 1, the latter a multiple of the page).
    pub fn new(socket: &Socket, block_bytes: usize, blocks: usize) -> io::Result<RingMap> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let len = block_bytes.checked_mul(blocks).filter(|&len| len > 0).ok_or_else(invalid)?;
        if !block_bytes.is_multiple_of(4096) {
            return Err(invalid());
        }
        // SAFETY: a new mapping at an address of the kernel's choice touches
        // no memory of ours; packet_mmap refuses a length that is not the ring's.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                socket.stream.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or_else(invalid)?;
        Ok(RingMap { base, block_bytes, blocks, at: 0, is_held: false })
    }

    /// Bytes of a block.
    pub fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    /// Number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// Takes the next block if the kernel has handed it over; true if one is
    /// held now.
    #[inline]
    pub fn acquire(&mut self) -> bool {
        // Acquire: what the kernel wrote before it set the bit (smp_wmb in
        // prb_flush_block, prb_close_block) is seen after it.
        self.is_held = self.is_held || self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER != 0;
        self.is_held
    }

    /// The bytes of the block that is held, none if none is.
    #[inline]
    pub fn held(&self) -> &[u8] {
        if !self.is_held {
            return &[];
        }
        // SAFETY: block `at` lies in the mapping (`at < blocks`). It is held:
        // the kernel writes nothing of it until `release`, which takes `&mut
        // self` and so waits for the end of this borrow; nor do we.
        unsafe {
            std::slice::from_raw_parts(self.base.as_ptr().add(self.at * self.block_bytes), self.block_bytes)
        }
    }

    /// Gives the block that is held back to the kernel and steps to the next.
    #[inline]
    pub fn release(&mut self) {
        if self.is_held {
            self.is_held = false;
            // Release: our reads of the block are done before the kernel sees
            // that it may write there.
            self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
            self.at = if self.at + 1 < self.blocks { self.at + 1 } else { 0 };
        }
    }

    #[inline]
    fn status(&self) -> &AtomicU32 {
        // SAFETY: block `at` lies in the mapping; its start is page aligned, so
        // this word is 4-aligned; the kernel writes it, always as one word
        // (BLOCK_STATUS), and no `&[u8]` from `held` is used meanwhile: both
        // callers take `&mut self`.
        unsafe {
            AtomicU32::from_ptr(self.base.as_ptr().add(self.at * self.block_bytes + BLOCK_STATUS_AT).cast())
        }
    }
}

impl Drop for RingMap {
    fn drop(&mut self) {
        // SAFETY: the very mapping made by `new`; nothing borrows from it any
        // more. A failure would leave it mapped, which harms nobody.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.block_bytes * self.blocks) };
    }
}
