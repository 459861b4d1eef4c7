//! Asks the CPU to bring a cache line nearer. The only unsafe of `flow`.

/// Prefetches the cache line at `place` for reading and writing soon.
#[inline(always)]
#[allow(unsafe_code)]
pub fn line<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch of an address that a live reference holds; it reads
    // and writes nothing that the program could observe.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>((place as *const T).cast());
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above; `prfm` has no architectural effect but on the caches.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) place, options(nostack, preserves_flags, readonly));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = place;
}
