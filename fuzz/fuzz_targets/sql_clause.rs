//! `make fuzz TARGET=sql_clause`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::sql_clause(input));
