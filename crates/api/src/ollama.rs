//! Not spoken yet.

use reqwest::header::HeaderMap;
use weighbridge_core::{GenerationRequest, Parameter};

use crate::dialect::{Delivery, StreamReader, Wire, WireError, WireReply};
use crate::endpoint::Endpoint;
use crate::error::ApiError;

/// The dialect.
pub struct Ollama;

impl Wire for Ollama {
    fn carries(&self, _: Parameter) -> bool {
        false
    }

    fn path(&self, _: &Endpoint, _: Delivery) -> String {
        String::new()
    }

    fn body(&self, _: &Endpoint, _: &GenerationRequest, _: Delivery) -> Result<Vec<u8>, ApiError> {
        Err(ApiError::Host("not spoken yet".into()))
    }

    fn headers(&self, _: &Endpoint, _: &mut HeaderMap) -> Result<(), ApiError> {
        Ok(())
    }

    fn read(&self, _: &[u8], _: &GenerationRequest) -> Result<WireReply, WireError> {
        Err(WireError::Malformed("not spoken yet".into()))
    }

    fn stream(&self, request: &GenerationRequest) -> Box<dyn StreamReader> {
        crate::openai_chat::OpenaiChat.stream(request)
    }
}
