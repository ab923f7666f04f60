//! `make fuzz TARGET=change_log`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::change_log(input));
