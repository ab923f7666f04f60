//! `make fuzz TARGET=pop3_command`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::pop3_command(input));
