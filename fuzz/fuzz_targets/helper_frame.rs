//! `make fuzz TARGET=helper_frame`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::helper_frame(input));
