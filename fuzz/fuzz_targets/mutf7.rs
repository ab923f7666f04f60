//! `make fuzz TARGET=mutf7`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::mutf7(input));
