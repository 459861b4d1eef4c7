//! Memory of its own for a large array, in huge pages.

use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A huge page of x86-64, and of aarch64 with 4 KiB pages.
const HUGE: usize = 2 << 20;

/// What is read in order needs no huge pages: small ones come as it grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// From end to end.
    InOrder,
    /// Anywhere: in 4 KiB pages nearly every read would miss the TLB.
    AtRandom,
}

/// A list with a fixed most, whose memory comes from the kernel as it grows and
/// never moves.
///
/// Not a `Vec`: an allocator writes its own notes into what it hands out, and a
/// page that was written as a small one is not made a huge one any more. That
/// cost a page fault for each 4 KiB of the first 2 MiB of every array.
pub struct LargeVec<T: Copy> {
    start: NonNull<T>,
    length: usize,
    capacity: usize,
    mapping: *mut libc::c_void,
    mapped: usize,
}

// SAFETY: it owns its mapping alone, as a Vec owns its buffer.
unsafe impl<T: Copy + Send> Send for LargeVec<T> {}

impl<T: Copy> LargeVec<T> {
    /// Room for `capacity` items; address space only, until they are pushed.
    pub fn new(capacity: usize, reading: Reading) -> LargeVec<T> {
        const { assert!(align_of::<T>() <= HUGE && size_of::<T>() > 0) };
        let layout = Layout::array::<T>(capacity).unwrap_or(Layout::new::<T>());
        let bytes = layout.size();
        if capacity > 0 && bytes / size_of::<T>() != capacity {
            handle_alloc_error(layout);
        }
        let huge = reading == Reading::AtRandom && bytes >= HUGE;
        let aligned = if huge { HUGE } else { 1 };
        let mapped = (bytes + aligned).max(1);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new private mapping at an address of the kernel's choice
        // touches no memory that anybody has.
        let mapping = unsafe {
            libc::mmap(std::ptr::null_mut(), mapped, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        let place = mapping.map_addr(|address| address.next_multiple_of(aligned));
        let start = if mapping == libc::MAP_FAILED { None } else { NonNull::new(place.cast::<T>()) };
        let Some(start) = start else { handle_alloc_error(layout) };
        if huge {
            // SAFETY: within the mapping (it is `aligned` longer than `bytes`);
            // MADV_HUGEPAGE changes no contents. A hint: the answer does not matter.
            unsafe { libc::madvise(place, bytes, libc::MADV_HUGEPAGE) };
        }
        LargeVec { start, length: 0, capacity, mapping, mapped }
    }

    /// One more at the end.
    ///
    /// # Panics
    /// Where `capacity` items are there already: callers have counted.
    #[inline]
    pub fn push(&mut self, item: T) {
        assert!(self.length < self.capacity, "a list of {} has no room for more", self.capacity);
        // SAFETY: length < capacity, so the place is within the mapping, which
        // is aligned for T (page or huge page) and writable.
        unsafe { self.start.add(self.length).write(item) };
        self.length += 1;
    }

    /// As many items as `length`, new ones like `item`.
    ///
    /// # Panics
    /// Where that is more than the capacity.
    pub fn resize(&mut self, length: usize, item: T) {
        self.length = self.length.min(length);
        while self.length < length {
            self.push(item);
        }
    }

    /// Forgets all items; the memory stays.
    pub fn clear(&mut self) {
        self.length = 0;
    }
}

/// Types of which all bits zero are a value.
///
/// # Safety
/// That must be so.
pub unsafe trait Zero: Copy {}
// SAFETY: 0 is a number.
unsafe impl<const N: usize> Zero for [u32; N] {}
// SAFETY: as above.
unsafe impl<const N: usize> Zero for [u64; N] {}

impl<T: Zero> LargeVec<T> {
    /// So many items of zeros; they take memory when they are written to.
    pub fn zeroed(length: usize, reading: Reading) -> LargeVec<T> {
        let mut list = LargeVec::new(length, reading);
        // The kernel's fresh pages are zeros (mmap(2), MAP_ANONYMOUS), a valid
        // value of such a type; the mapping is at least `length` items long.
        list.length = length;
        list
    }
}

impl<T: Copy> Deref for LargeVec<T> {
    type Target = [T];
    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the first `length` items were written by `push` (or are fresh
        // zeros of an array of numbers, `zeroed`), and a Copy type is valid for as long as it is not overwritten; the borrow of
        // self keeps the mapping and keeps writers out.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl<T: Copy> DerefMut for LargeVec<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl<T: Copy> Drop for LargeVec<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, whole; no borrow of it is left.
        unsafe { libc::munmap(self.mapping, self.mapped) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_to_its_room_and_keeps_what_is_in_it() {
        for (capacity, reading) in
            [(10, Reading::AtRandom), (1 << 20, Reading::AtRandom), (1 << 20, Reading::InOrder)]
        {
            let mut list = LargeVec::new(capacity, reading);
            (0..capacity as u64).for_each(|n| list.push([n, !n]));
            assert!(list.iter().zip(0..).all(|(&item, n)| item == [n, !n]));
            assert_eq!(list.len(), capacity);
            list.clear();
            list.resize(5, [1, 2]);
            list.resize(3, [3, 4]);
            list[2] = [5, 6];
            assert_eq!(list[..], [[1, 2], [1, 2], [5, 6]]);
        }
        let mut zeros = LargeVec::<[u32; 3]>::zeroed(1000, Reading::InOrder);
        zeros[999] = [1, 2, 3];
        assert!(zeros[..999].iter().all(|&item| item == [0; 3]) && zeros[999] == [1, 2, 3]);
        let nothing: LargeVec<u8> = LargeVec::new(0, Reading::InOrder);
        assert!(nothing.is_empty());
    }

    #[test]
    #[should_panic(expected = "has no room for more")]
    fn refuses_what_it_has_no_room_for() {
        LargeVec::new(2, Reading::InOrder).resize(3, 0u64);
    }

    #[repr(align(64))]
    #[derive(Clone, Copy)]
    struct Line {
        _bytes: [u8; 64],
    }

    #[test]
    fn is_aligned_for_what_it_holds() {
        let mut list = LargeVec::new(3, Reading::AtRandom);
        list.push(Line { _bytes: [1; 64] });
        assert_eq!(list.as_ptr() as usize % 64, 0);
    }
}
