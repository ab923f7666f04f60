//! `make fuzz TARGET=login_message`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::login_message(input));
