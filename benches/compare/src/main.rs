//! Side-by-side benchmark; see `design/performance.md` for the method.
fn main() {}
