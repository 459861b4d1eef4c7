//! Hints about memory that no crate of ours gives.

/// Asks the kernel for huge pages behind a large array (madvise(2),
/// MADV_HUGEPAGE): a flow table is read at random, and a million flows in 4 KiB
/// pages miss the TLB at every packet. A hint: what the kernel answers does not
/// matter. The page in which the array begins is named whole (most of it would be
/// read in small ones otherwise), the one in which it ends is not.
pub fn advise_huge_pages(start: *mut u8, length: usize) {
    const HUGE: usize = 2 << 20;
    let end = (start as usize).saturating_add(length) & !(HUGE - 1);
    let start = start as usize & !(HUGE - 1);
    if end > start {
        // SAFETY: madvise reads and writes nothing of ours and keeps contents
        // and validity of every page (MADV_HUGEPAGE), whatever range it is
        // given; a range that is not mapped is an error that is ignored.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
        }
    }
}
