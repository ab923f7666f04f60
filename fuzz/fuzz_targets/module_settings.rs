//! `make fuzz TARGET=module_settings`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::module_settings(input));
