//! `make fuzz TARGET=size_list`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::size_list(input));
