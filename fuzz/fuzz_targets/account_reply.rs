//! `make fuzz TARGET=account_reply`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::account_reply(input));
