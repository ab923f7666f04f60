//! `make fuzz TARGET=folder_index`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::folder_index(input));
