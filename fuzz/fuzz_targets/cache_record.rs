//! `make fuzz TARGET=cache_record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::cache_record(input));
