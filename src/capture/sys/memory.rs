//! Hints about memory that no crate of ours gives.

/// Asks the kernel for huge pages behind a large array (madvise(2),
/// MADV_HUGEPAGE): a flow table is read at random, and a million flows in 4 KiB
/// pages miss the TLB at every packet. A hint: what the kernel answers does not matter.
pub fn advise_huge_pages<T>(array: &mut [T]) {
    const HUGE: usize = 2 << 20;
    let start = (array.as_mut_ptr() as usize).next_multiple_of(HUGE);
    let end = (array.as_mut_ptr_range().end as usize) & !(HUGE - 1);
    if end > start {
        // SAFETY: the range lies within memory that the slice borrows
        // exclusively; MADV_HUGEPAGE changes neither contents nor validity.
        unsafe {
            libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE);
        }
    }
}
