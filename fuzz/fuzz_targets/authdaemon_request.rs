//! `make fuzz TARGET=authdaemon_request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::authdaemon_request(input));
