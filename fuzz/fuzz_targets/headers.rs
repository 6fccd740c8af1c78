#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| hooksluice_fuzz::headers::check(bytes));
