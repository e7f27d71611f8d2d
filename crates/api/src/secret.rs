//! Keys of providers: a type that shows as `***` wherever it is printed.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use reqwest::header::HeaderValue;
use weighbridge_core::Provider;

use crate::error::ApiError;

/// What stands in for a key.
pub const MASK: &str = "***";

/// The key of an account at a provider.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Arc<str>);

impl Key {
    /// A key from its text; white space around it is dropped.
    ///
    /// # Errors
    /// It is empty or has characters that no header can carry.
    pub fn new(text: &str) -> Result<Self, ApiError> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ApiError::BadKey { place: "the key".into() });
        }
        Ok(Self(text.into()))
    }

    /// The key in the first of the provider's variables that is set, with the name of the variable.
    ///
    /// # Errors
    /// The variable holds no key.
    pub fn from_environment(provider: &Provider) -> Result<Option<(Self, String)>, ApiError> {
        for variable in &provider.key_variables {
            if let Some(text) = std::env::var_os(variable).filter(|text| !text.is_empty()) {
                let place = || ApiError::BadKey { place: format!("the variable {variable}") };
                let key = text.to_str().ok_or_else(place).and_then(|text| Self::new(text).map_err(|_| place()))?;
                return Ok(Some((key, variable.clone())));
            }
        }
        Ok(None)
    }

    /// The key that stands alone in a file.
    ///
    /// # Errors
    /// The file cannot be read or holds no key.
    pub fn from_file(path: &Path) -> Result<Self, ApiError> {
        let text = fs_err::read_to_string(path).map_err(ApiError::KeyFile)?;
        Self::new(&text).map_err(|_| ApiError::BadKey { place: format!("the file {}", path.display()) })
    }

    /// The value of a header, marked so that nothing prints it.
    pub(crate) fn header(&self, prefix: &str) -> Result<HeaderValue, ApiError> {
        let mut value = HeaderValue::from_str(&format!("{prefix}{}", self.0))
            .map_err(|_| ApiError::BadKey { place: "the key".into() })?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The bytes without the key, where a server sends it back; `None` where it does not occur.
    pub(crate) fn masked(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let finder = memchr::memmem::Finder::new(self.0.as_bytes());
        finder.find(bytes)?;
        let mut out = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        while let Some(at) = finder.find(rest) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(MASK.as_bytes());
            rest = &rest[at + self.0.len()..];
        }
        out.extend_from_slice(rest);
        Some(out)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_shows_as_stars_and_is_masked_where_it_comes_back() {
        let key = Key::new(" sk-abc123\n").unwrap();
        assert_eq!(format!("{key} {key:?} {:?}", key.header("Bearer ").unwrap()), "*** *** Sensitive");
        assert_eq!(key.masked(b"nothing"), None);
        assert_eq!(key.masked(b"a sk-abc123 b sk-abc123"), Some(b"a *** b ***".to_vec()));
        for bad in ["", " \n", "two words", "schl\u{fc}ssel", "a\u{7f}"] {
            assert!(Key::new(bad).is_err(), "{bad:?}");
        }
    }
}
