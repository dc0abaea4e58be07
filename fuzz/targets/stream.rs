#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| voxbatch_fuzz::stream(data));
