//! Reads a `CheckRequest` straight from its bytes, borrowing what the gate needs and stepping over
//! the rest.
//!
//! Decoding the whole message into owned strings and a map of headers costs more than every other
//! step of a check. The shape, by field number: `CheckRequest{1: attributes{4: request{2: http{2:
//! method, 3: headers, 4: path, 5: host, 13: header_map}}, 10: context_extensions}}`. As everywhere in protobuf, a message that
//! comes in several pieces is their union. One difference from a generated decoder, on the strict
//! side, beside those of [`protobuf`](crate::core::protobuf): a header that stands twice stays twice.

use crate::core::protobuf::{Fields, Malformed, Messages};
use crate::core::request::{NamedPolicy, Request};

/// The key of `context_extensions` that names the policy of a route.
const POLICY: &[u8] = b"portcullis-policy";

/// Reads one message. The method and the path must be UTF-8. The name of a header need not be: it is
/// only compared, and then it is no name that anybody asks for.
///
/// # Errors
/// When the bytes are no such message.
pub fn read(message: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut request = Request::unread();
    for attributes in Messages::of(message, 1) {
        let mut fields = Fields::of(attributes?);
        while let Some((number, value)) = fields.next()? {
            match number {
                4 => {
                    for http in Messages::of(value.bytes()?, 2) {
                        read_http(http?, &mut request)?;
                    }
                }
                10 => read_extension(value.bytes()?, &mut request)?,
                _ => {}
            }
        }
    }
    Ok(request)
}

fn read_http<'a>(message: &'a [u8], request: &mut Request<'a>) -> Result<(), Malformed> {
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            2 => request.method = value.text()?,
            3 => read_header(value.bytes()?, request)?,
            4 => request.target = value.text()?,
            5 => request.host = value.text()?,
            13 => {
                for header in Messages::of(value.bytes()?, 1) {
                    read_header(header?, request)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// An entry of the map `context_extensions`. Envoy takes it from the route.
fn read_extension<'a>(message: &'a [u8], request: &mut Request<'a>) -> Result<(), Malformed> {
    let (mut name, mut value) = (&b""[..], "");
    let mut fields = Fields::of(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = field.bytes()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    if name == POLICY {
        request.policy = NamedPolicy::Name(value);
    }
    Ok(())
}

/// An entry of the map `headers`, or a `HeaderValue`, which may have its value as bytes (3).
fn read_header<'a>(message: &'a [u8], request: &mut Request<'a>) -> Result<(), Malformed> {
    let (mut name, mut value) = (&b""[..], &b""[..]);
    let mut fields = Fields::of(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = field.bytes()?,
            2 => value = field.bytes()?,
            3 if !field.bytes()?.is_empty() => value = field.bytes()?,
            _ => {}
        }
    }
    request.headers.push(name, value);
    Ok(())
}

#[cfg(test)]
mod tests;
