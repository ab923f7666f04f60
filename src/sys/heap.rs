//! Giving memory back to the system.

/// Returns free memory of the heap to the system, as far as the C library's allocator can. Costs little when there is
/// nothing to return, and page faults later when there was: for processes that are about to wait.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: the call takes the allocator's own locks and touches free memory only.
        unsafe { libc::malloc_trim(0) };
    }
}
