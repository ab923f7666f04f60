//! Keeping what children allocate together.
//!
//! A child shares its parent's pages until it writes to them. The parent's heap has holes, left behind by the parsing of
//! certificates and the like; small blocks that a child puts into them cost it a page of its own each. So the
//! parent fills the holes with blocks that nobody ever writes to, and its children allocate at the end of the heap.

/// The C library's allocator keeps small free blocks by their sizes, which are these and 16 octets apart: each kind of
/// hole has to be asked for.
const SMALL: std::ops::RangeInclusive<usize> = 24..=1032;
/// Then any block serves.
const MEDIUM: [usize; 5] = [32_768, 16_384, 8192, 4096, 2048];
/// A block that fits into no hole.
const LARGE: usize = 120_000;
/// Most blocks; what is left then stays as it is.
const BLOCKS_MAX: usize = 20_000;

/// The blocks. Dropping them opens the holes again.
#[derive(Default)]
pub(crate) struct Filling {
    _blocks: Vec<Vec<u8>>,
}

impl Filling {
    /// Fills the holes of the heap.
    pub(crate) fn new() -> Self {
        // Room for all of them at once: a list that grew would leave holes itself.
        let mut blocks: Vec<Vec<u8>> = Vec::with_capacity(BLOCKS_MAX);
        let end = Vec::with_capacity(LARGE);
        let address = |block: &Vec<u8>| block.as_ptr().addr();
        let limit = address(&end);
        blocks.push(end);
        let small = SMALL.rev().step_by(16);
        for size in MEDIUM.into_iter().chain(small) {
            while blocks.len() < BLOCKS_MAX {
                let block = Vec::with_capacity(size);
                if address(&block) > limit {
                    break;
                }
                blocks.push(block);
            }
        }
        Self { _blocks: blocks }
    }
}

#[cfg(all(test, target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_and_opened_again() {
        let small: Vec<Vec<u8>> = (0..1000).map(|_| Vec::with_capacity(100)).collect();
        let low = small.iter().map(|block| block.as_ptr().addr()).min();
        // Every second one is given back.
        let kept: Vec<Vec<u8>> = small.into_iter().step_by(2).collect();
        let filling = Filling::new();
        let marker = filling._blocks.first().map(|block| block.as_ptr().addr());
        let new: Vec<u8> = Vec::with_capacity(100);
        // Other threads of the test program have heaps of their own; in this one nothing lies below the marker.
        assert!(Some(new.as_ptr().addr()) > marker, "{low:?}");
        drop((filling, kept));
    }
}
