//! `make fuzz TARGET=sasl`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::sasl(input));
