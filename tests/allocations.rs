//! What is not asked of the allocator: nothing for a packet, and for a cut and
//! its snapshot as much with a hundred thousand idle flows as with a thousand.

#[path = "../benches/rig/mod.rs"]
mod rig;

use rig::{Live, START, Table, decoder, drawn, frame, frame_bytes, one_of_each};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what this thread asks for.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    // A thread that is being torn down asks too, and is not measured.
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
}

// SAFETY: everything is the system allocator's; counting touches a thread's own cell.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn asked_for(work: impl FnOnce()) -> u64 {
    let before = ASKED.with(Cell::get);
    work();
    ASKED.with(Cell::get) - before
}

#[test]
fn a_packet_asks_for_nothing() {
    let mut decoder = decoder();
    let bytes = frame_bytes(7, false);
    let mut packet = Default::default();
    decoder.decode_into(&frame(&bytes, START, false), &mut packet);
    assert_eq!(asked_for(|| decoder.decode_into(&frame(&bytes, START, false), &mut packet)), 0);

    // Of flows that are known, and of new ones: a new one's place was taken at the start.
    let mut table = Table::with(20_000);
    let mut known = drawn(20_000, 50_000, START + 1);
    assert_eq!(asked_for(|| table.take(&mut known)), 0);
    let mut table = Table::with_room(100, 50_000);
    let mut new = one_of_each(100..50_000, START + 1);
    assert_eq!(asked_for(|| table.take(&mut new)), 0);
}

#[test]
fn a_cut_asks_for_as_much_whatever_is_idle() {
    let measured = [1_000, 100_000].map(|idle| {
        let mut live = Live::with(idle);
        let mut one = || {
            live.touch(0..1_000);
            asked_for(|| {
                live.cut();
                live.snapshot();
            })
        };
        // The first ones may find room for lists that grow.
        one();
        one();
        one()
    });
    assert_eq!(measured[0], measured[1]);
    assert!(measured[0] < 200, "{} for a cut and its snapshot", measured[0]);
}
