//! `make fuzz TARGET=proxied_login`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::proxied_login(input));
