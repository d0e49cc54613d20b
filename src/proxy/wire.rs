//! Reads a `CheckRequest` straight from its bytes, borrowing what the gate needs and stepping over
//! the rest.
//!
//! Decoding the whole message into owned strings and a map of headers costs more than every other
//! step of a check. The shape, by field number: `CheckRequest{1: attributes{4: request{2: http{2:
//! method, 3: headers, 4: path, 13: header_map}}}}`. As everywhere in protobuf, a message that
//! comes in several pieces is their union. Two differences from a generated decoder, both on the
//! strict side: a header that stands twice stays twice, and groups, gone for many years, are
//! malformed.

use crate::request::{Headers, Request};

/// The bytes are not a `CheckRequest`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads one message. The method, the path and the names of headers must be UTF-8.
pub(super) fn read(message: &[u8]) -> Result<Request<'_>, Malformed> {
    let mut request = Request {
        method: "",
        target: "",
        headers: Headers::new(),
    };
    for attributes in Messages::of(message, 1) {
        for inner in Messages::of(attributes?, 4) {
            for http in Messages::of(inner?, 2) {
                read_http(http?, &mut request)?;
            }
        }
    }
    Ok(request)
}

fn read_http<'a>(message: &'a [u8], request: &mut Request<'a>) -> Result<(), Malformed> {
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            2 => request.method = value.text()?,
            3 => read_header(value.bytes()?, request)?,
            4 => request.target = value.text()?,
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

/// An entry of the map `headers`, or a `HeaderValue`, which may have its value as bytes (3).
fn read_header<'a>(message: &'a [u8], request: &mut Request<'a>) -> Result<(), Malformed> {
    let (mut name, mut value) = ("", &b""[..]);
    let mut fields = Fields(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = field.text()?,
            2 => value = field.bytes()?,
            3 if !field.bytes()?.is_empty() => value = field.bytes()?,
            _ => {}
        }
    }
    request.headers.push(name, value);
    Ok(())
}

/// The messages under one field number.
struct Messages<'a> {
    fields: Fields<'a>,
    number: u32,
}

impl<'a> Messages<'a> {
    const fn of(message: &'a [u8], number: u32) -> Self {
        Self {
            fields: Fields(message),
            number,
        }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.fields.next().transpose()? {
                Ok((number, value)) if number == self.number => return Some(value.bytes()),
                Ok(_) => {}
                Err(malformed) => return Some(Err(malformed)),
            }
        }
    }
}

/// The fields of one message.
struct Fields<'a>(&'a [u8]);

enum Value<'a> {
    Bytes(&'a [u8]),
    Number,
}

impl<'a> Value<'a> {
    const fn bytes(&self) -> Result<&'a [u8], Malformed> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number => Err(Malformed),
        }
    }

    fn text(&self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }
}

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let value = match key & 7 {
            0 => self.varint().map(|_| Value::Number)?,
            1 => self.take(8).map(|_| Value::Number)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Number)?,
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok(Some((number, value))),
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for (i, byte) in self.0.iter().take(10).enumerate() {
            // The tenth byte has room for one bit.
            if i == 9 && *byte > 1 {
                return Err(Malformed);
            }
            value |= u64::from(byte & 0x7f) << (7 * i);
            if *byte < 0x80 {
                self.0 = &self.0[i + 1..];
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
