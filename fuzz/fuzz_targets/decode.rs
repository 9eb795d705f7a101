//! Whatever a file holds, it is a picture or an error in words; and what its header says holds for its pixels.
//! Seeds: `crates/care-data/tests/fixtures/images`.

#![no_main]

use care_data::{Look, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let header = decode::header(bytes);
    match decode::picture(bytes) {
        Ok(picture) => {
            let size = picture.size();
            assert_eq!(header.expect("what can be decoded has a header").size, size);
            let seen = picture.seen(&Look::default());
            assert_eq!((seen.width(), seen.height()), (size.width, size.height));
        }
        Err(error) => assert!(!error.to_string().contains('\n')),
    }
});
