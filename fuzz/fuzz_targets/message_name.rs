//! `make fuzz TARGET=message_name`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::message_name(input));
