//! `make fuzz TARGET=proxy_header`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::proxy_header(input));
