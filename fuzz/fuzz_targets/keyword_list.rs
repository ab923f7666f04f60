//! `make fuzz TARGET=keyword_list`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::keyword_list(input));
