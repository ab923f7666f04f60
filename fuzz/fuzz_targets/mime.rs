//! `make fuzz TARGET=mime`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::mime(input));
