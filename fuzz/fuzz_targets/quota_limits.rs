//! `make fuzz TARGET=quota_limits`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::quota_limits(input));
