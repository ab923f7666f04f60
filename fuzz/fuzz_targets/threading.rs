//! `make fuzz TARGET=threading`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::threading(input));
