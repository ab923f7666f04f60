//! `make fuzz TARGET=uid_database`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::uid_database(input));
