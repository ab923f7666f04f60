//! `make fuzz TARGET=address`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::address(input));
