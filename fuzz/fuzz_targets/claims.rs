//! The `claims` request parameter: merging keeps an object an object.
#![no_main]

use keyward_oauth::claims;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    if let Ok(merged) = claims::merge(texts.0, texts.1) {
        assert!(claims::check(&merged).is_ok());
    }
    if let Ok(Some(text)) = claims::with_capabilities(Some(texts.0), &["CP1"]) {
        assert!(text.contains(r#""xms_cc":{"values":["CP1"]}"#));
    }
});
