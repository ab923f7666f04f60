//! `make fuzz TARGET=userdb_text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::userdb_text(input));
