//! `make fuzz TARGET=imap_grammar`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| courier_fuzz::imap_grammar(input));
