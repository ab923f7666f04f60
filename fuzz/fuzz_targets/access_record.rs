//! `make fuzz TARGET=access_record`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::access_record(input));
